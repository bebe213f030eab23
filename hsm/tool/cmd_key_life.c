/* key roll, rename, destroy; token erase. */
#include "hsm/base/own.h"

#include "hsm/pkcs11/rename.h"
#include "hsm/tool/ceremony/observe.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/erase.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/key_find.h"
#include "hsm/tool/output.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/session.h"

#include <string.h>

HF_STATUS cmd_key_destroy(struct tool *tool)
{
    HF_TRY(erase_key(tool, "destroying"));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "destroy the key, for ever");
    }
    return output_object(tool, json_pack("{s:b}", "destroyed", 1),
                         "The key is gone from this token. Copies that a "
                         "vendor's backup holds are not.");
}

HF_STATUS cmd_token_erase(struct tool *tool)
{
    HF_TRY(erase_token(tool, "emptying"));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "destroy every key in the token, for ever");
    }
    return output_object(tool, json_pack("{s:b}", "erased", 1),
                         "The token is empty and has no user PIN: holdfast-hsm "
                         "token init takes it again, with the same security "
                         "officer's PIN.");
}

static enum hf_status rename_in(struct tool *tool,
                                const struct session *session,
                                const struct token_key_report *key)
{
    struct pkcs11_refusal refusal = {0};
    struct pkcs11_token_info info = {0};
    const struct pkcs11_rename how = {.module_path = session->module,
                                      .label = session->profile.label,
                                      .serial = session->profile.serial,
                                      .key = &key->key,
                                      .from = key->label,
                                      .to = tool_value(tool, OPTION_NEW_NAME)};
    enum hf_status status = pkcs11_key_rename(&how, &refusal);
    if (status == HF_E_UNSUPPORTED) {
        return tool_fail(tool, status,
                         "%s: keys that are locked down (R-15.13) keep their "
                         "name for ever. A new version under another name: "
                         "holdfast-hsm key generate --name %s",
                         refusal.text, how.to);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the key %s is not renamed: %s",
                         key->label, refusal.text);
    }
    HF_TRY(session_find(tool, session->module, &info));
    return session_sync(tool, &info);
}

static enum hf_status may_be_renamed(struct tool *tool,
                                     const struct session *session,
                                     const struct token_key_report *key)
{
    const char *to = tool_value(tool, OPTION_NEW_NAME);
    size_t at = 0;
    if (session_named(session, to, &at) != NULL) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the token holds a key named %s: nothing was changed",
                         to);
    }
    return key_name_check(tool, key->label);
}

/* In the step that was interrupted: a key that has the new name now and had
 * another when the step first began. NULL: there is none, it is yet to do. */
static const struct token_key_report *
renamed_before(const struct tool *tool, const struct session *session,
               const char **out_was)
{
    const char *name = tool_value(tool, OPTION_NAME);
    const char *given = tool_value(tool, OPTION_ID);
    const char *to = tool_value(tool, OPTION_NEW_NAME);
    uint8_t wanted[HF_CKA_ID_MAX_BYTES];
    char id[2 * HF_CKA_ID_MAX_BYTES + 1];
    size_t len = 0;
    size_t at = 0;
    const struct token_key_report *key = session_named(session, to, &at);
    if (!pins_resumed(tool) || key == NULL) {
        return NULL;
    }
    hex_encode(key->key.id, key->key.id_len, id, sizeof id);
    const char *was = json_string_value(
        json_object_get(observe_key(tool->pins->found, id), "name"));
    if (was == NULL || strcmp(was, to) == 0 ||
        (name != NULL && strcmp(was, name) != 0) ||
        (given != NULL &&
         (hex_decode(given, wanted, sizeof wanted, &len) != HF_OK ||
          !bytes_equal(key_id_of(&key->key), (struct bytes){wanted, len})))) {
        return NULL;
    }
    *out_was = was;
    return key;
}

/* One that an interrupted step renamed is renamed once more: that may have been
 * but its one half. */
static enum hf_status which_to_rename(struct tool *tool,
                                      const struct session *session,
                                      const struct token_key_report **out_key,
                                      const char **out_was)
{
    const struct token_key_report *key = NULL;
    *out_key = renamed_before(tool, session, out_was);
    if (*out_key != NULL) {
        return key_alone_check(tool, session, *out_key);
    }
    HF_TRY(key_find(tool, session, &key));
    HF_TRY(key_alone_check(tool, session, key));
    HF_TRY(may_be_renamed(tool, session, key));
    *out_key = key;
    *out_was = key->label;
    return HF_OK;
}

HF_STATUS cmd_key_rename(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    const struct token_key_report *key = NULL;
    const char *was = NULL;
    HF_TRY(key_find_check(tool));
    HF_TRY(key_name_check(tool, tool_value(tool, OPTION_NEW_NAME)));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_token_check(tool, &session));
    HF_TRY(which_to_rename(tool, &session, &key, &was));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "give the key another CKA_LABEL, if its token "
                                "lets it");
    }
    HF_TRY(rename_in(tool, &session, key));
    return output_object(
        tool,
        json_pack("{s:o, s:o, s:o}", "name",
                  output_text(tool_value(tool, OPTION_NEW_NAME)), "was",
                  output_text(was), "id", output_hex(key_id_of(&key->key))),
        "The service finds keys by CKA_ID and fingerprint, and calls this one "
        "as it was registered.");
}
