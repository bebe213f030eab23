/* service init, ak init, tls init: the service's own tokens.
 */
#include "hsm/tool/cmd_service.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/token/mirror_view.h"
#include "hsm/token/names.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <string.h>

/* nothing of the customers' in a token of the service. */
HF_STATUS service_token_check(struct tool *tool, const struct session *session)
{
    if (!session->has_custody) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "the token %s has no custody label: prepare it with "
                         "holdfast-hsm token init",
                         session->profile.label);
    }
    for (size_t i = 0; i < session->key_count; i++) {
        const char *label = session->keys[i].label;
        if (session->keys[i].key.type == TOKEN_KEY_RSA &&
            strcmp(label, TOKEN_NAME_CANARY) != 0 &&
            strncmp(label, TOKEN_NAME_AVAILABILITY,
                    sizeof TOKEN_NAME_AVAILABILITY - 1) != 0) {
            return tool_fail(tool, HF_E_DENIED,
                             "the token %s holds the customer key %s: the "
                             "service's tokens hold nothing of the customers'",
                             session->profile.label, session->keys[i].label);
        }
    }
    return HF_OK;
}

#define TRANSPORT_BITS 3072

/* A MAC key that is mirrored was carried here once. */
static enum hf_status is_mirrored(struct tool *tool,
                                  const struct session *session, bool *out)
{
    struct mirror_view view;
    enum hf_status status = mirror_view_read(&session->token, 0, &view);
    if (status != HF_OK) {
        return tool_fail(tool, status,
                         "the token does not show its mirrors: %s",
                         hf_status_text(status));
    }
    *out = view.number > 0;
    return HF_OK;
}

static enum hf_status is_of_use(struct tool *tool,
                                const struct session *session,
                                const struct token_key_report *key,
                                enum token_purpose purpose, bool *out)
{
    bool mac = purpose == TOKEN_FOR_RECORD_MAC;
    bool carried = false;
    if (mac) {
        HF_TRY(is_mirrored(tool, session, &carried));
    }
    bool guarded = key->sensitive && !key->extractable &&
                   (carried || (key->never_extractable && key->local));
    if (purpose == TOKEN_FOR_TRANSPORT_PAIR) {
        *out = guarded && key->key.type == TOKEN_KEY_RSA && key->can_unwrap &&
               !key->can_decrypt && !key->can_sign &&
               key->bits == TRANSPORT_BITS;
        return HF_OK;
    }
    *out = guarded && key->can_sign &&
           key->key.type == (mac ? TOKEN_KEY_GENERIC : TOKEN_KEY_EC);
    return HF_OK;
}

HF_STATUS service_key_ensure(struct tool *tool, const struct session *session,
                             enum token_purpose purpose, const char *name,
                             struct token_key_report *out_report,
                             bool *out_made)
{
    size_t at = 0;
    const struct token_key_report *there = session_named(session, name, &at);
    if (there == NULL) {
        struct token_generate how = {
            .purpose = purpose,
            .bits = purpose == TOKEN_FOR_TRANSPORT_PAIR ? TRANSPORT_BITS : 0,
            .id_len = strlen(name),
            .report = out_report};
        HF_TRY(text_copy(how.label, sizeof how.label, name));
        memcpy(how.id, name, how.id_len);
        *out_made = true;
        return session_generate(tool, session, &how);
    }
    bool of_use = false;
    HF_TRY(is_of_use(tool, session, there, purpose, &of_use));
    if (session_named(session, name, &at) != NULL || !of_use) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the token's key %s is there twice, or is not the key "
                         "that this service makes; nothing was changed",
                         name);
    }
    *out_report = *there;
    return HF_OK;
}

HF_STATUS cmd_service_init(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report mac = {0};
    struct token_key_report sign = {0};
    bool canary_made = false;
    bool keys_made = false;
    if (tool_has(tool, OPTION_MIRROR)) {
        return service_init_mirrored(tool);
    }
    HF_TRY(session_open(tool, &session));
    HF_TRY(service_token_check(tool, &session));
    HF_TRY(session_canary(tool, &session, &canary_made));
    HF_TRY(service_key_ensure(tool, &session, TOKEN_FOR_RECORD_MAC,
                              TOKEN_NAME_RECORD_MAC, &mac, &keys_made));
    HF_TRY(service_key_ensure(tool, &session, TOKEN_FOR_AUDIT_SIGNING,
                              TOKEN_NAME_AUDIT_SIGN, &sign, &keys_made));
    bool changed = canary_made || keys_made;
    return output_object(
        tool,
        json_pack("{s:o, s:b, s:o, s:o}", "token",
                  facts_token_uri(&session.profile), "changed", (int)changed,
                  "record_mac", facts_of_key(&session.profile, &mac),
                  "audit_sign", facts_of_key(&session.profile, &sign)),
        changed ? "The service's token is ready. Back it up by the vendor's "
                  "means."
                : "Everything was there already; nothing was changed.");
}

HF_STATUS cmd_ak_init(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report transport = {0};
    bool changed = false;
    bool made = false;
    HF_TRY(session_open(tool, &session));
    HF_TRY(service_token_check(tool, &session));
    HF_TRY(session_canary(tool, &session, &changed));
    HF_TRY(service_key_ensure(tool, &session, TOKEN_FOR_TRANSPORT_PAIR,
                              TOKEN_NAME_TRANSPORT, &transport, &made));
    return output_object(
        tool,
        json_pack("{s:o, s:b, s:b, s:i, s:o}", "token",
                  facts_token_uri(&session.profile), "changed",
                  (int)(changed || made), "canary", (int)session.has_canary,
                  "keys", (int)session.key_count, "transport",
                  facts_of_key(&session.profile, &transport)),
        "The token is ready for availability keys. Never back it up: a backup "
        "would outlive deletion.");
}

/* P-256, SIGN only. Its certificate is the CA's affair: it gets the public half
 * (public_key), and the daemon the URI. */
HF_STATUS cmd_tls_init(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report key = {0};
    bool made = false;
    HF_TRY(session_open(tool, &session));
    HF_TRY(service_token_check(tool, &session));
    HF_TRY(service_key_ensure(tool, &session, TOKEN_FOR_AUDIT_SIGNING,
                              TOKEN_NAME_TLS, &key, &made));
    return output_object(
        tool,
        json_pack("{s:o, s:b, s:o}", "token", facts_token_uri(&session.profile),
                  "changed", (int)made, "key",
                  facts_of_key(&session.profile, &key)),
        made ? "The TLS key is in the token: have its public half certified, "
               "and name its URI in the configuration (tls, key_in_token)."
             : "The TLS key was there already; nothing was changed.");
}
