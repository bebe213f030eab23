/* token init, list, show. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/token/names.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <string.h>

#define TOKENS_MAX             256
#define RETENTION_DEFAULT_DAYS 90 /* */
#define CANARY_OBJECTS         2  /* both halves of the pair */

static enum hf_status custody_wanted(struct tool *tool, struct custody *out)
{
    const char *protection = tool_value(tool, OPTION_PROTECTION);
    struct custody custody = {.protection = CUSTODY_PROTECTION_NONE,
                              .test_only = tool_has(tool, OPTION_TEST_ONLY),
                              .created_s =
                                  clock_wall_ms(clock_system()) / 1000};
    if (protection != NULL &&
        custody_protection_parse(protection, &custody.protection) != HF_OK) {
        return tool_fail(tool, HF_E_INVALID,
                         "--deletion-protection is none, soft-delete, "
                         "soft-delete-purge-protected or token-protected");
    }
    uint32_t otherwise = custody.protection == CUSTODY_PROTECTION_NONE
                             ? 0
                             : RETENTION_DEFAULT_DAYS;
    HF_TRY(tool_number(tool, OPTION_RETENTION, otherwise,
                       CUSTODY_RETENTION_DAYS_MAX, &custody.retention_days));
    if ((custody.protection == CUSTODY_PROTECTION_NONE) !=
        (custody.retention_days == 0)) {
        return tool_fail(tool, HF_E_INVALID,
                         "--retention-days goes with a --deletion-protection "
                         "other than none, and is 1 or more there");
    }
    uint8_t text[CUSTODY_MAX_BYTES];
    size_t len = 0;
    if (text_copy(custody.domain, sizeof custody.domain,
                  tool_value(tool, OPTION_DOMAIN)) != HF_OK ||
        custody_encode(&custody, text, &len) != HF_OK) {
        return tool_fail(tool, HF_E_INVALID,
                         "--domain has 1 to %d bytes of plain text",
                         HF_NAME_MAX_BYTES);
    }
    *out = custody;
    return HF_OK;
}

/* What is there is not changed, so what is asked for must be what is there. */
static enum hf_status custody_compare(struct tool *tool,
                                      const struct custody *there,
                                      const struct custody *wanted)
{
    bool same = strcmp(there->domain, wanted->domain) == 0 &&
                there->protection == wanted->protection &&
                there->retention_days == wanted->retention_days &&
                there->test_only == wanted->test_only;
    if (same) {
        return HF_OK;
    }
    return tool_fail(
        tool, HF_E_CONFLICT,
        "the token exists with other words: domain %s, deletion protection %s, "
        "%u days%s; nothing was changed. A custody label is never rewritten: "
        "use these words, or another --label for another token",
        there->domain, custody_protection_text(there->protection),
        there->retention_days, there->test_only ? ", test only" : "");
}

/* An initialised token without our label is taken on only when it is empty, or
 * when an earlier call was interrupted after the canary. */
static enum hf_status must_be_ours(struct tool *tool,
                                   const struct session *session)
{
    size_t count = 0;
    enum hf_status status =
        pkcs11_token_objects(session->module, session->profile.label,
                             session->profile.serial, &count);
    if (status != HF_OK) {
        return tool_fail(tool, status,
                         "what is in the token cannot be counted: %s",
                         hf_status_text(status));
    }
    size_t ours = session->has_canary ? CANARY_OBJECTS : 0;
    if (count != ours) {
        return tool_fail(tool, HF_E_DENIED,
                         "the token %s holds %zu objects that are not "
                         "Holdfast's; nothing was changed. Use a token of its "
                         "own: choose another --label",
                         session->profile.label, count - ours);
    }
    return HF_OK;
}

static enum hf_status custody_write(struct tool *tool,
                                    const struct session *session,
                                    const struct custody *wanted)
{
    struct token_data data = {.label = TOKEN_NAME_CUSTODY};
    struct token_request request = {.op = TOKEN_OP_DATA_CREATE,
                                    .u.data = &data};
    HF_TRY(custody_encode(wanted, data.value, &data.value_len));
    return session_call(tool, session, &request, "take its custody label");
}

/* The canary first: a custody label says that all is done. */
static enum hf_status fill(struct tool *tool, struct session *session,
                           const struct custody *wanted, bool *out_changed)
{
    if (session->has_custody) {
        HF_TRY(custody_compare(tool, &session->custody, wanted));
        return session_canary(tool, session, out_changed);
    }
    HF_TRY(must_be_ours(tool, session));
    HF_TRY(session_canary(tool, session, out_changed));
    HF_TRY(custody_write(tool, session, wanted));
    session->custody = *wanted;
    session->has_custody = true;
    *out_changed = true;
    return HF_OK;
}

/* there: the token as it was found, without a user PIN; empty: none was. */
static enum hf_status initialise(struct tool *tool, const char *module,
                                 const struct pkcs11_token_info *there,
                                 struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *so_pin = NULL;
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    struct pkcs11_token_info info;
    struct pkcs11_refusal refusal = {0};
    if (!there->own_path) {
        HF_TRY(pin_get(tool, PIN_OFFICER, true, &so_pin));
        HF_TRY(pin_get(tool, PIN_USER, true, &pin));
    }
    const struct pkcs11_token_init how = {
        .module_path = module,
        .label = tool_value(tool, OPTION_TOKEN),
        .serial = there->initialised ? there->serial : NULL,
        .so_pin = so_pin,
        .pin = pin};
    enum hf_status status = pkcs11_token_initialise(&how, &info, &refusal);
    if (status != HF_OK) {
        return tool_fail(tool, status, "token %s is not initialised: %s",
                         how.label, refusal.text);
    }
    *out_pin = HF_GIVE(pin);
    return HF_OK;
}

/* Finds the token, or makes it; *out_made tells. With --dry-run it is not made.
 */
static enum hf_status find_or_make(struct tool *tool, bool *out_made,
                                   struct secret **out_pin)
{
    const char *module = NULL;
    struct pkcs11_token_info info = {0};
    HF_TRY(session_module(tool, &module));
    enum hf_status status = session_find(tool, module, &info);
    if (status != HF_OK &&
        (status != HF_E_NOT_FOUND || tool_has(tool, OPTION_SERIAL))) {
        return status;
    }
    *out_made = status != HF_OK || !info.pin_set;
    if (!*out_made) {
        return session_pin(tool, &info, out_pin);
    }
    return tool_has(tool, OPTION_DRY_RUN)
               ? HF_OK
               : initialise(tool, module, &info, out_pin);
}

static enum hf_status dry_fill(struct tool *tool, const struct session *session,
                               const struct custody *wanted)
{
    if (session->has_custody) {
        HF_TRY(custody_compare(tool, &session->custody, wanted));
    } else {
        HF_TRY(must_be_ours(tool, session));
    }
    return dry_answer(tool, session->has_canary && session->has_custody
                                ? "do nothing: all is there"
                                : "add what is missing: the canary, the "
                                  "custody label");
}

HF_STATUS cmd_token_init(struct tool *tool)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    HF_OWNED(session_close) struct session session = {0};
    struct custody wanted = {0};
    bool made = false;
    bool changed = false;
    HF_TRY(custody_wanted(tool, &wanted));
    HF_TRY(find_or_make(tool, &made, &pin));
    if (tool_has(tool, OPTION_DRY_RUN) && made) {
        return dry_answer(tool, "initialise a free slot, make the canary and "
                                "write the custody label");
    }
    HF_TRY(session_open_with(tool, pin, &session));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_fill(tool, &session, &wanted);
    }
    HF_TRY(fill(tool, &session, &wanted, &changed));
    return output_object(
        tool,
        json_pack("{s:o, s:o, s:o, s:b, s:b, s:o}", "label",
                  output_text(session.profile.label), "serial",
                  output_text(session.profile.serial), "uri",
                  facts_token_uri(&session.profile), "created", (int)made,
                  "changed", (int)(made || changed), "custody",
                  facts_of_custody(&session.custody)),
        made      ? "The token is ready. Keep both PINs apart and safe: nobody "
                    "can bring them back."
        : changed ? "The token was there; what was missing was added."
                  : "The token was there already; nothing was changed.");
}

HF_STATUS cmd_token_show(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_TRY(session_open(tool, &session));
    json_t *custody =
        session.has_custody ? facts_of_custody(&session.custody) : json_null();
    json_t *answer = facts_of_token(&session.profile);
    if (json_object_set_new(answer, "canary",
                            json_boolean(session.has_canary)) != 0 ||
        json_object_set_new(answer, "keys",
                            json_integer((json_int_t)session.key_count)) != 0 ||
        json_object_set(answer, "custody", custody) != 0) {
        json_decref(answer);
        answer = NULL;
    }
    json_decref(custody);
    return output_object(tool, answer,
                         session.has_custody
                             ? NULL
                             : "The token has no custody label: holdfast-hsm "
                               "token init gives it one.");
}
