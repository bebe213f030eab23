/* key generate, list, show. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/key_find.h"
#include "hsm/tool/key_id.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <string.h>

#define BITS_DEFAULT 3072

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

static enum hf_status wanted(struct tool *tool, struct token_generate *out)
{
    const char *name = tool_value(tool, OPTION_NAME);
    HF_TRY(wishes_refused(tool));
    HF_TRY(bits_wanted(tool, &out->bits));
    HF_TRY(residency_wanted(tool, &out->purpose));
    HF_TRY(key_name_check(tool, name));
    HF_TRY(text_copy(out->label, sizeof out->label, name));
    return key_id_wanted(tool, out->id, sizeof out->id, &out->id_len);
}

/* The key that is there already and is what was asked for, or NULL; a conflict
 * when it is another. */
static enum hf_status existing(struct tool *tool, const struct session *session,
                               const struct token_generate *how,
                               bool new_version,
                               const struct token_key_report **out_key)
{
    struct bytes id = {how->id, how->id_len};
    const struct token_key_report *same_id =
        id.len == 0 ? NULL : key_with_id(session, id);
    const struct token_key_report *key = key_newest(session, how->label);
    *out_key = NULL;
    if (same_id != NULL && strcmp(same_id->label, how->label) == 0) {
        key = same_id;
    } else if (same_id != NULL) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "this id belongs to the key %s; nothing was made",
                         same_id->label);
    } else if (key == NULL || new_version) {
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

static enum hf_status make(struct tool *tool, const struct session *session,
                           struct token_generate *how)
{
    if (how->id_len == 0) {
        if (key_id_make(how->id) != HF_OK) {
            return tool_fail(tool, HF_E_INTERNAL, "no randomness for an id");
        }
        how->id_len = KEY_ID_BYTES;
    }
    HF_TRY(session_generate(tool, session, how));
    if (!is_locked_down(how->report)) {
        return tool_fail(tool, HF_E_DENIED,
                         "the token made a key that it does not protect (its "
                         "attributes are not what was asked for): do not "
                         "register it, and do not use this token");
    }
    return print_key(tool, session, how->report, true,
                     "The key is in the token and cannot leave it. Back it up "
                     "by the vendor's means before you rely on it.");
}

HF_STATUS cmd_key_generate(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report report = {0};
    struct token_generate how = {.report = &report};
    const struct token_key_report *there = NULL;
    HF_TRY(wanted(tool, &how));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_token_check(tool, &session));
    HF_TRY(key_serve_check(tool, &session,
                           how.purpose == TOKEN_FOR_CUSTOMER_KEY_MEMORY));
    HF_TRY(existing(tool, &session, &how, tool_has(tool, OPTION_NEW_VERSION),
                    &there));
    if (there != NULL) {
        return print_key(tool, &session, there, false,
                         "The key was there already; nothing was made. "
                         "--new-version makes one more.");
    }
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "make the key");
    }
    return make(tool, &session, &how);
}

/* A roll is a new version like the one before, which stays. */
HF_STATUS cmd_key_roll(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report report = {0};
    struct token_generate how = {.report = &report};
    const struct token_key_report *there = NULL;
    HF_TRY(wanted(tool, &how));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_token_check(tool, &session));
    const struct token_key_report *before = key_newest(&session, how.label);
    if (before == NULL) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "the token %s has no key %s to roll: holdfast-hsm key "
                         "generate makes the first version",
                         session.profile.label, how.label);
    }
    if (!tool_has(tool, OPTION_BITS)) {
        how.bits = before->bits;
    }
    if (!tool_has(tool, OPTION_RESIDENCY)) {
        how.purpose = before->can_decrypt ? TOKEN_FOR_CUSTOMER_KEY_MEMORY
                                          : TOKEN_FOR_CUSTOMER_KEY_TOKEN;
    }
    HF_TRY(key_serve_check(tool, &session,
                           how.purpose == TOKEN_FOR_CUSTOMER_KEY_MEMORY));
    HF_TRY(existing(tool, &session, &how, true, &there));
    if (there != NULL) {
        return print_key(tool, &session, there, false,
                         "This version was there already; nothing was made.");
    }
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "make a new version; the old one stays");
    }
    return make(tool, &session, &how);
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
    const struct token_key_report *key = NULL;
    HF_TRY(key_find_check(tool));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_find(tool, &session, &key));
    return output_object(tool, facts_of_key(&session.profile, key), NULL);
}
