#include "hsm/tool/key_find.h"

#include "hsm/base/text.h"

#include "hsm/token/ability.h"
#include "hsm/token/names.h"

#include <string.h>

struct bytes key_id_of(const struct token_key *key)
{
    return (struct bytes){key->id, key->id_len};
}

static bool is_reserved(const char *name)
{
    return strncmp(name, "holdfast-", strlen("holdfast-")) == 0 ||
           strncmp(name, "hf-", strlen("hf-")) == 0;
}

HF_STATUS key_name_check(struct tool *tool, const char *name)
{
    size_t len = strlen(name);
    if (len > HF_NAME_MAX_BYTES || !text_is_plain(bytes_of_text(name))) {
        return tool_fail(tool, HF_E_INVALID,
                         "--name has 1 to %d bytes of plain text",
                         HF_NAME_MAX_BYTES);
    }
    if (is_reserved(name)) {
        return tool_fail(tool, HF_E_DENIED,
                         "names that begin with holdfast- or hf- are "
                         "Holdfast's own: choose another --name");
    }
    return HF_OK;
}

HF_STATUS key_id_wanted(struct tool *tool, uint8_t *out, size_t cap,
                        size_t *out_len)
{
    const char *text = tool_value(tool, OPTION_ID);
    *out_len = 0;
    if (text == NULL) {
        return HF_OK;
    }
    if (hex_decode(text, out, cap, out_len) != HF_OK || *out_len == 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "--id is 1 to %zu bytes as pairs of hex digits", cap);
    }
    return HF_OK;
}

/* The newest version of a name: the one whose id is the last in order. */
const struct token_key_report *key_newest(const struct session *session,
                                          const char *name)
{
    const struct token_key_report *last = NULL;
    size_t at = 0;
    for (const struct token_key_report *key = session_named(session, name, &at);
         key != NULL; key = session_named(session, name, &at)) {
        if (last == NULL ||
            bytes_order(key_id_of(&key->key), key_id_of(&last->key)) > 0) {
            last = key;
        }
    }
    return last;
}

const struct token_key_report *key_with_id(const struct session *session,
                                           struct bytes id)
{
    for (size_t i = 0; i < session->key_count; i++) {
        if (bytes_equal(key_id_of(&session->keys[i].key), id)) {
            return &session->keys[i];
        }
    }
    return NULL;
}

size_t key_count_with_id(const struct session *session, struct bytes id)
{
    size_t count = 0;
    for (size_t i = 0; i < session->key_count; i++) {
        count += bytes_equal(key_id_of(&session->keys[i].key), id) ? 1 : 0;
    }
    return count;
}

HF_STATUS key_alone_check(struct tool *tool, const struct session *session,
                          const struct token_key_report *key)
{
    size_t count = key_count_with_id(session, key_id_of(&key->key));
    return count <= 1
               ? HF_OK
               : tool_fail(tool, HF_E_CONFLICT,
                           "%zu keys of this token have the id of %s: all of "
                           "them would go; nothing was changed (give one "
                           "another id by the vendor's tool)",
                           count, key->label);
}

/* a token of the service holds nothing of the customers', and the other
 * way round. */
bool key_is_services(const struct token_key_report *key)
{
    return key->key.type != TOKEN_KEY_RSA ||
           strncmp(key->label, TOKEN_NAME_AVAILABILITY,
                   strlen(TOKEN_NAME_AVAILABILITY)) == 0;
}

HF_STATUS key_token_check(struct tool *tool, const struct session *session)
{
    if (!session->has_custody) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "the token %s has no custody label: prepare it with "
                         "holdfast-hsm token init",
                         session->profile.label);
    }
    for (size_t i = 0; i < session->key_count; i++) {
        if (key_is_services(&session->keys[i])) {
            return tool_fail(tool, HF_E_DENIED,
                             "the token %s holds keys of the service: customer "
                             "keys live in tokens of their own",
                             session->profile.label);
        }
    }
    return HF_OK;
}

HF_STATUS key_find_check(struct tool *tool)
{
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len = 0;
    HF_TRY(key_id_wanted(tool, id, sizeof id, &id_len));
    if (!tool_has(tool, OPTION_NAME) && id_len == 0) {
        return tool_fail(tool, HF_E_INVALID, "which key? --name or --id");
    }
    return HF_OK;
}

HF_STATUS key_find(struct tool *tool, const struct session *session,
                   const struct token_key_report **out_key)
{
    const char *name = tool_value(tool, OPTION_NAME);
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len = 0;
    HF_TRY(key_id_wanted(tool, id, sizeof id, &id_len));
    const struct token_key_report *key =
        id_len != 0 ? key_with_id(session, (struct bytes){id, id_len})
                    : key_newest(session, name);
    if (key == NULL || (name != NULL && strcmp(key->label, name) != 0)) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "the token %s has no such key; holdfast-hsm key list "
                         "shows those it has",
                         session->profile.label);
    }
    *out_key = key;
    return HF_OK;
}

HF_STATUS key_serve_check(struct tool *tool, const struct session *session,
                          bool memory)
{
    char lacks[256];
    token_profile_lacks(&session->profile,
                        memory ? TOKEN_ROLE_CUSTOMER_MEMORY
                               : TOKEN_ROLE_CUSTOMER_TOKEN,
                        lacks, sizeof lacks);
    if (lacks[0] == '\0') {
        return HF_OK;
    }
    return tool_fail(tool, HF_E_UNSUPPORTED,
                     "the token %s cannot serve a key of residency %s; it "
                     "lacks: %s%s",
                     session->profile.label, memory ? "memory" : "token", lacks,
                     memory ? ""
                            : ". --residency memory may be possible: "
                              "holdfast-hsm token test says");
}
