/* key generate, list, show. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/text.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"

#include "hsm/token/ability.h"
#include "hsm/token/names.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <string.h>

#define BITS_DEFAULT 3072
#define ID_BYTES     16 /* of the ids that are made here */

static struct bytes id_of(const struct token_key *key)
{
    return (struct bytes){key->id, key->id_len};
}

static bool is_reserved(const char *name)
{
    return strncmp(name, "holdfast-", strlen("holdfast-")) == 0 ||
           strncmp(name, "hf-", strlen("hf-")) == 0;
}

/* said before anything is opened. */
static enum hf_status wishes_refused(struct tool *tool)
{
    const char *type = tool_value(tool, OPTION_TYPE);
    if (tool_has(tool, OPTION_EXTRACTABLE)) {
        return tool_fail(tool, HF_E_DENIED,
                         "an extractable root key is refused: a key that can "
                         "leave its token protects nothing. Leave "
                         "--extractable out");
    }
    if (type != NULL && strcmp(type, "rsa") != 0) {
        return tool_fail(tool, HF_E_DENIED,
                         "a root key of type %s is refused: customer keys are "
                         "RSA (2048, 3072 or 4096 bits), because DEP keys are "
                         "wrapped with RSA-OAEP. Leave --type out",
                         type);
    }
    return HF_OK;
}

static enum hf_status bits_wanted(struct tool *tool, uint32_t *out)
{
    HF_TRY(tool_number(tool, OPTION_BITS, BITS_DEFAULT, UINT16_MAX, out));
    if (*out != 2048 && *out != 3072 && *out != 4096) {
        return tool_fail(tool, HF_E_DENIED,
                         "an RSA key of %u bits is refused: choose 2048, 3072 "
                         "(default) or 4096",
                         *out);
    }
    return HF_OK;
}

static enum hf_status residency_wanted(struct tool *tool,
                                       enum token_purpose *out)
{
    const char *text = tool_value(tool, OPTION_RESIDENCY);
    if (text == NULL || strcmp(text, "token") == 0) {
        *out = TOKEN_FOR_CUSTOMER_KEY_TOKEN;
        return HF_OK;
    }
    if (strcmp(text, "memory") == 0) {
        *out = TOKEN_FOR_CUSTOMER_KEY_MEMORY;
        return HF_OK;
    }
    return tool_fail(tool, HF_E_INVALID, "--residency is token or memory");
}

static enum hf_status name_check(struct tool *tool, const char *name)
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

static enum hf_status id_wanted(struct tool *tool, uint8_t *out, size_t cap,
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

/* An id that is made here begins with the time in milliseconds, so that the
 * versions of a key sort by age (R-4.15: the version is the CKA_ID). */
static enum hf_status id_make(struct tool *tool, struct token_generate *how)
{
    struct byte_writer writer = byte_writer_on(how->id, sizeof how->id);
    uint8_t random[ID_BYTES - sizeof(uint64_t)];
    if (rng_fill(rng_system(), random, sizeof random) != HF_OK) {
        return tool_fail(tool, HF_E_INTERNAL, "no randomness for an id");
    }
    put_u64(&writer, (uint64_t)clock_wall_ms(clock_system()));
    put_raw(&writer, random, sizeof random);
    how->id_len = writer.len;
    return HF_OK;
}

static enum hf_status wanted(struct tool *tool, struct token_generate *out)
{
    const char *name = tool_value(tool, OPTION_NAME);
    HF_TRY(wishes_refused(tool));
    HF_TRY(bits_wanted(tool, &out->bits));
    HF_TRY(residency_wanted(tool, &out->purpose));
    HF_TRY(name_check(tool, name));
    HF_TRY(text_copy(out->label, sizeof out->label, name));
    return id_wanted(tool, out->id, sizeof out->id, &out->id_len);
}

/* The newest version of a name: the one whose id is the last in order. */
static const struct token_key_report *newest(const struct session *session,
                                             const char *name)
{
    const struct token_key_report *last = NULL;
    size_t at = 0;
    for (const struct token_key_report *key = session_named(session, name, &at);
         key != NULL; key = session_named(session, name, &at)) {
        if (last == NULL ||
            bytes_order(id_of(&key->key), id_of(&last->key)) > 0) {
            last = key;
        }
    }
    return last;
}

static const struct token_key_report *with_id(const struct session *session,
                                              struct bytes id)
{
    for (size_t i = 0; i < session->key_count; i++) {
        if (bytes_equal(id_of(&session->keys[i].key), id)) {
            return &session->keys[i];
        }
    }
    return NULL;
}

/* a token of the service holds nothing of the customers', and the other
 * way round. */
static enum hf_status must_be_a_customers(struct tool *tool,
                                          const struct session *session)
{
    if (!session->has_custody) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "the token %s has no custody label: prepare it with "
                         "holdfast-hsm token init",
                         session->profile.label);
    }
    for (size_t i = 0; i < session->key_count; i++) {
        if (session->keys[i].key.type != TOKEN_KEY_RSA) {
            return tool_fail(tool, HF_E_DENIED,
                             "the token %s holds keys of the service: customer "
                             "keys live in tokens of their own",
                             session->profile.label);
        }
    }
    return HF_OK;
}

/* A token without C_UnwrapKey or AES-GCM serves residency MEMORY only. */
static enum hf_status must_serve(struct tool *tool,
                                 const struct session *session,
                                 enum token_purpose purpose)
{
    char lacks[256];
    bool memory = purpose == TOKEN_FOR_CUSTOMER_KEY_MEMORY;
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

/* The key that is there already and is what was asked for, or NULL; a conflict
 * when it is another. */
static enum hf_status existing(struct tool *tool, const struct session *session,
                               const struct token_generate *how,
                               const struct token_key_report **out_key)
{
    struct bytes id = {how->id, how->id_len};
    const struct token_key_report *same_id =
        id.len == 0 ? NULL : with_id(session, id);
    const struct token_key_report *key = newest(session, how->label);
    *out_key = NULL;
    if (same_id != NULL && strcmp(same_id->label, how->label) == 0) {
        key = same_id;
    } else if (same_id != NULL) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "this id belongs to the key %s; nothing was made",
                         same_id->label);
    } else if (key == NULL || tool_has(tool, OPTION_NEW_VERSION)) {
        return HF_OK;
    } else if (id.len != 0) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "a key named %s exists with another id; nothing was "
                         "made. --new-version makes one more",
                         how->label);
    }
    bool memory = how->purpose == TOKEN_FOR_CUSTOMER_KEY_MEMORY;
    if ((tool_has(tool, OPTION_BITS) && key->bits != how->bits) ||
        (tool_has(tool, OPTION_RESIDENCY) && key->can_decrypt != memory)) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "a key named %s exists with %u bits and residency %s; "
                         "nothing was made. --new-version makes one more",
                         how->label, key->bits,
                         key->can_decrypt ? "memory" : "token");
    }
    *out_key = key;
    return HF_OK;
}

/* Whatever the module promised. */
static bool is_locked_down(const struct token_key_report *key)
{
    return key->sensitive && key->always_sensitive && !key->extractable &&
           key->never_extractable && key->local &&
           (key->can_unwrap || key->can_decrypt);
}

static enum hf_status print_key(struct tool *tool,
                                const struct session *session,
                                const struct token_key_report *key,
                                bool created, const char *note)
{
    json_t *answer = facts_of_key(&session->profile, key);
    if (answer != NULL &&
        json_object_set_new(answer, "created", json_boolean(created)) != 0) {
        json_decref(answer);
        answer = NULL;
    }
    return output_object(tool, answer, note);
}

HF_STATUS cmd_key_generate(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report report = {0};
    struct token_generate how = {.report = &report};
    const struct token_key_report *there = NULL;
    HF_TRY(wanted(tool, &how));
    HF_TRY(session_open(tool, &session));
    HF_TRY(must_be_a_customers(tool, &session));
    HF_TRY(must_serve(tool, &session, how.purpose));
    HF_TRY(existing(tool, &session, &how, &there));
    if (there != NULL) {
        return print_key(tool, &session, there, false,
                         "The key was there already; nothing was made. "
                         "--new-version makes one more.");
    }
    if (how.id_len == 0) {
        HF_TRY(id_make(tool, &how));
    }
    HF_TRY(session_generate(tool, &session, &how));
    if (!is_locked_down(&report)) {
        return tool_fail(tool, HF_E_DENIED,
                         "the token made a key that it does not protect (its "
                         "attributes are not what was asked for): do not "
                         "register it, and do not use this token");
    }
    return print_key(tool, &session, &report, true,
                     "The key is in the token and cannot leave it. Back it up "
                     "by the vendor's means before you rely on it.");
}

HF_STATUS cmd_key_list(struct tool *tool)
{
    static const struct output_column columns[] = {
        {"name",      "NAME"     },
        {"role",      "ROLE"     },
        {"type",      "TYPE"     },
        {"bits",      "BITS"     },
        {"residency", "RESIDENCY"},
        {"id",        "ID"       },
    };
    HF_OWNED(session_close) struct session session = {0};
    HF_TRY(session_open(tool, &session));
    json_t *list = json_array();
    for (size_t i = 0; i < session.key_count; i++) {
        if (json_array_append_new(
                list, facts_of_key(&session.profile, &session.keys[i])) != 0) {
            json_decref(list);
            return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
        }
    }
    return output_list(tool,
                       json_pack("{s:o, s:o}", "token",
                                 facts_token_uri(&session.profile), "keys",
                                 list),
                       "keys", columns, HF_COUNT(columns));
}

HF_STATUS cmd_key_show(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    const char *name = tool_value(tool, OPTION_NAME);
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len = 0;
    HF_TRY(id_wanted(tool, id, sizeof id, &id_len));
    if (name == NULL && id_len == 0) {
        return tool_fail(tool, HF_E_INVALID, "which key? --name or --id");
    }
    HF_TRY(session_open(tool, &session));
    const struct token_key_report *key =
        id_len != 0 ? with_id(&session, (struct bytes){id, id_len})
                    : newest(&session, name);
    if (key == NULL || (name != NULL && strcmp(key->label, name) != 0)) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "the token %s has no such key; holdfast-hsm key list "
                         "shows those it has",
                         session.profile.label);
    }
    return output_object(tool, facts_of_key(&session.profile, key), NULL);
}
