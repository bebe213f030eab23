#include "hsm/tool/erase.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/pkcs11/erase.h"
#include "hsm/token/names.h"
#include "hsm/tool/ceremony/observe.h"
#include "hsm/tool/in_use.h"
#include "hsm/tool/key_find.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/session.h"

#include <stdio.h>
#include <string.h>

/* what the service itself lives on is not this tool's to
 * destroy. */
static enum hf_status not_the_services(struct tool *tool,
                                       const struct session *session)
{
    for (size_t i = 0; i < session->key_count; i++) {
        if (key_is_services(&session->keys[i])) {
            return tool_fail(tool, HF_E_DENIED,
                             "the token %s holds keys of the service: they end "
                             "by a purge, never here",
                             session->profile.label);
        }
    }
    return HF_OK;
}

static enum hf_status destroy(struct tool *tool, const struct session *session,
                              const struct token_key_report *key)
{
    struct token_request request = {.op = TOKEN_OP_DESTROY,
                                    .attempt_ms = 30000,
                                    .u.destroy = {.key = key->key}};
    enum hf_status status = token_call(&session->token, &request);
    if (status == HF_OK) {
        return HF_OK;
    }
    if (status == HF_E_DENIED || !key->destroyable) {
        return tool_fail(tool, HF_E_UNSUPPORTED,
                         "the token forbids that the key %s is destroyed "
                         "(CKA_DESTROYABLE is false, R-15.13): it ends when "
                         "its token is emptied (holdfast-hsm token erase)",
                         key->label);
    }
    return tool_fail(tool, status,
                     "the key %s is not destroyed: %s (code %#lx)", key->label,
                     hf_status_text(status), request.rv);
}

/* The interrupted step found it, and it is gone now: what is left is a half
 * that no list shows, if anything. */
static enum hf_status finish_destroying(struct tool *tool,
                                        const struct session *session)
{
    struct token_key_report gone = {.key = {.type = TOKEN_KEY_RSA},
                                    .destroyable = true};
    snprintf(gone.label, sizeof gone.label, "%.60s",
             tool_value(tool, OPTION_ID));
    HF_TRY(
        key_id_wanted(tool, gone.key.id, sizeof gone.key.id, &gone.key.id_len));
    return destroy(tool, session, &gone);
}

static bool was_destroyed(const struct tool *tool,
                          const struct session *session)
{
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    char text[2 * HF_CKA_ID_MAX_BYTES + 1];
    size_t len = 0;
    const char *given = tool_value(tool, OPTION_ID);
    if (!pins_resumed(tool) || given == NULL ||
        hex_decode(given, id, sizeof id, &len) != HF_OK ||
        key_with_id(session, (struct bytes){id, len}) != NULL) {
        return false;
    }
    hex_encode(id, len, text, sizeof text);
    return observe_key(tool->pins->found, text) != NULL;
}

HF_STATUS erase_key(struct tool *tool, const char *doing)
{
    HF_OWNED(session_close) struct session session = {0};
    const struct token_key_report *key = NULL;
    char what[200];
    HF_TRY(key_find_check(tool));
    HF_TRY(session_open(tool, &session));
    HF_TRY(not_the_services(tool, &session));
    if (was_destroyed(tool, &session)) {
        return finish_destroying(tool, &session);
    }
    HF_TRY(key_find(tool, &session, &key));
    HF_TRY(key_alone_check(tool, &session, key));
    if (strcmp(key->label, TOKEN_NAME_CANARY) == 0) {
        return tool_fail(tool, HF_E_DENIED,
                         "the canary stays: by it the service knows that the "
                         "token answers");
    }
    snprintf(what, sizeof what, "%s the key %.64s", doing, key->label);
    HF_TRY(in_use_refuse(tool, what, session.profile.serial, key, 1));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return HF_OK;
    }
    return destroy(tool, &session, key);
}

/* Is what is in the token, and what is in use of it, known? Then it is closed:
 * PKCS#11 empties no token that somebody has open. */
static enum hf_status may_be_emptied(struct tool *tool, const char *doing,
                                     char serial[17])
{
    HF_OWNED(session_close) struct session session = {0};
    char what[200];
    HF_TRY(session_open(tool, &session));
    HF_TRY(not_the_services(tool, &session));
    snprintf(what, sizeof what, "%s the token %.32s with %zu keys", doing,
             session.profile.label, session.key_count);
    memcpy(serial, session.profile.serial, 17);
    return in_use_refuse(tool, what, serial, session.keys, session.key_count);
}

HF_STATUS erase_token(struct tool *tool, const char *doing)
{
    HF_OWNED(secret_freep) struct secret *so_pin = NULL;
    const char *module = NULL;
    char serial[17];
    struct pkcs11_token_info info = {0};
    struct pkcs11_refusal refusal = {0};
    HF_TRY(session_module(tool, &module));
    HF_TRY(session_find(tool, module, &info));
    HF_TRY(may_be_emptied(tool, doing, serial));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return HF_OK;
    }
    if (!info.own_path) {
        HF_TRY(pin_get(tool, PIN_OFFICER, false, &so_pin));
    }
    const struct pkcs11_token_erase how = {.module_path = module,
                                           .label = info.label,
                                           .serial = serial,
                                           .so_pin = so_pin};
    enum hf_status status = pkcs11_token_erase(&how, &refusal);
    if (status != HF_OK) {
        return tool_fail(tool, status, "token %s is not emptied: %s",
                         info.label, refusal.text);
    }
    return session_sync(tool, &info);
}
