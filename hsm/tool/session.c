#include "hsm/tool/session.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/names.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/softhsm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKENS_MAX 256
/* An RSA-4096 pair takes a slow token its time; no lane waits behind us. */
#define GENERATE_MS 120000
#define CALL_MS     10000

static const char *const usual_modules[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
};

HF_STATUS session_module(struct tool *tool, const char **out_module)
{
    const char *module = tool_value(tool, OPTION_MODULE);
    for (size_t i = 0; module == NULL && i < HF_COUNT(usual_modules); i++) {
        if (access(usual_modules[i], R_OK) == 0) {
            module = usual_modules[i];
        }
    }
    if (module == NULL) {
        return tool_fail(tool, HF_E_INVALID,
                         "--module PATH is needed: SoftHSM is not where it "
                         "usually is");
    }
    *out_module = module;
    return HF_OK;
}

static bool is_asked_for(const struct tool *tool,
                         const struct pkcs11_token_info *info)
{
    const char *serial = tool_value(tool, OPTION_SERIAL);
    return info->initialised &&
           strcmp(info->label, tool_value(tool, OPTION_TOKEN)) == 0 &&
           (serial == NULL || strcmp(info->serial, serial) == 0);
}

HF_STATUS session_find(struct tool *tool, const char *module,
                       struct pkcs11_token_info *out_info)
{
    struct pkcs11_token_info infos[TOKENS_MAX];
    struct pkcs11_refusal refusal = {0};
    size_t count = 0;
    size_t found = 0;
    enum hf_status status =
        pkcs11_tokens(module, infos, TOKENS_MAX, &count, &refusal);
    if (status != HF_OK) {
        return tool_fail(tool, status, "%s", refusal.text);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_asked_for(tool, &infos[i])) {
            *out_info = infos[i];
            found += 1;
        }
    }
    if (found == 0) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "there is no token %s in %s; holdfast-hsm token list "
                         "shows those there are",
                         tool_value(tool, OPTION_TOKEN), module);
    }
    if (found > 1) {
        return tool_fail(tool, HF_E_INVALID,
                         "%zu tokens are named %s: say which with --serial",
                         found, tool_value(tool, OPTION_TOKEN));
    }
    return HF_OK;
}

const char *session_state_text(const struct pkcs11_token_info *info)
{
    if (!info->initialised) {
        return "free slot";
    }
    if (!info->pin_set) {
        return "user PIN not set";
    }
    if (info->pin_locked) {
        return "user PIN locked";
    }
    if (info->pin_final_try) {
        return "one PIN try left";
    }
    return info->pin_count_low ? "a wrong PIN was tried" : "ready";
}

static enum hf_status sync_settle(struct tool *tool,
                                  const struct pkcs11_token_info *info,
                                  char path[PATH_MAX],
                                  struct pkcs11_settings *settings)
{
    const char *given = tool_value(tool, OPTION_SYNC_PATH);
    enum hf_status status = HF_E_NOT_FOUND;
    if (given != NULL) {
        status = text_copy(path, PATH_MAX, given);
    } else if (softhsm_is(info->manufacturer)) {
        status = softhsm_token_dir(path, PATH_MAX);
    } else {
        return HF_OK; /* hardware: durable when the module returns */
    }
    if (status != HF_OK) {
        return tool_fail(tool, HF_E_INVALID,
                         "where the token's files are is not known, and they "
                         "must be synced: say it with --sync-path");
    }
    settings->sync = PKCS11_SYNC_SYNCFS;
    settings->sync_path = path;
    return HF_OK;
}

HF_STATUS session_sync(struct tool *tool, const struct pkcs11_token_info *info)
{
    char path[PATH_MAX] = "";
    struct pkcs11_settings settings = {.sync = PKCS11_SYNC_NONE};
    HF_TRY(sync_settle(tool, info, path, &settings));
    if (settings.sync == PKCS11_SYNC_NONE) {
        return HF_OK;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && syncfs(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good ? HF_OK
                : tool_fail(tool, HF_E_IO,
                            "done in the token, but it is not sure to be on "
                            "the disk: %s cannot be synced",
                            path);
}

/* What to do about a token that did not open. Without a code of the module's
 * no PIN was tried at all: it was never set, it is locked. */
static const char *advice(enum hf_status status, unsigned long rv)
{
    switch (hf_status_class(status)) {
    case HF_CLASS_DENIED:
        return rv == 0 ? ""
                       : "; it was tried once only: check the PIN before you "
                         "try again";
    case HF_CLASS_TRANSIENT:
        return "; check that the module and its token are reachable";
    case HF_CLASS_OK:
    case HF_CLASS_CALLER:
    case HF_CLASS_MISSING:
    case HF_CLASS_CONFLICT:
    case HF_CLASS_OURS:
    case HF_CLASS_BROKEN:
        break;
    }
    return "";
}

static struct pkcs11_settings settings_of(const struct session *session,
                                          const struct pkcs11_token_info *info,
                                          const struct secret *pin)
{
    return (struct pkcs11_settings){.module_path = session->module,
                                    .label = info->label,
                                    .serial = info->serial,
                                    .pin = pin,
                                    .sync = PKCS11_SYNC_NONE,
                                    .max_sessions = PKCS11_SESSIONS_MIN,
                                    .clock = clock_system()};
}

static enum hf_status refused(struct tool *tool, enum hf_status status,
                              const struct pkcs11_token_info *info,
                              const struct pkcs11_refusal *refusal)
{
    return tool_fail(tool, status, "token %s is refused: %s%s", info->label,
                     refusal->text[0] == '\0' ? hf_status_text(status)
                                              : refusal->text,
                     advice(status, refusal->rv));
}

static enum hf_status open_token(struct tool *tool, const struct secret *pin,
                                 const struct pkcs11_token_info *info,
                                 struct session *session)
{
    char sync_path[PATH_MAX] = "";
    struct pkcs11_refusal refusal = {0};
    struct pkcs11_settings settings = settings_of(session, info, pin);
    HF_TRY(sync_settle(tool, info, sync_path, &settings));
    enum hf_status status = pkcs11_open(&settings, &session->token, &refusal);
    if (status != HF_OK) {
        return refused(tool, status, info, &refusal);
    }
    token_profile_get(&session->token, &session->profile);
    return HF_OK;
}

HF_STATUS session_examine(struct tool *tool, struct token_profile *out_profile,
                          struct token_findings *out_findings)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    struct session session = {0};
    struct pkcs11_token_info info = {.label = ""};
    char sync_path[PATH_MAX] = "";
    struct pkcs11_refusal refusal = {0};
    HF_TRY(session_module(tool, &session.module));
    HF_TRY(session_find(tool, session.module, &info));
    HF_TRY(session_pin(tool, &info, &pin));
    struct pkcs11_settings settings = settings_of(&session, &info, pin);
    HF_TRY(sync_settle(tool, &info, sync_path, &settings));
    enum hf_status status =
        pkcs11_examine(&settings, out_profile, out_findings, &refusal);
    return status == HF_OK ? HF_OK : refused(tool, status, &info, &refusal);
}

HF_STATUS session_call(struct tool *tool, const struct session *session,
                       struct token_request *request, const char *what)
{
    if (request->attempt_ms == 0) {
        request->attempt_ms = CALL_MS;
    }
    enum hf_status status = token_call(&session->token, request);
    if (status != HF_OK) {
        return tool_fail(tool, status, "the token does not %s: %s (code %#lx)",
                         what, hf_status_text(status), request->rv);
    }
    return HF_OK;
}

/* By name, then by id, which is by age where ids were made here. */
static int order_of_keys(const void *left, const void *right)
{
    const struct token_key_report *a = left;
    const struct token_key_report *b = right;
    int by_name = strcmp(a->label, b->label);
    return by_name != 0 ? by_name
                        : bytes_order((struct bytes){a->key.id, a->key.id_len},
                                      (struct bytes){b->key.id, b->key.id_len});
}

static enum hf_status read_keys(struct tool *tool, struct session *session)
{
    struct token_request request = {.op = TOKEN_OP_LIST};
    request.u.list =
        (struct token_list){.reports = session->keys, .cap = SESSION_KEYS_MAX};
    HF_TRY(session_call(tool, session, &request, "list its keys"));
    session->key_count = request.u.list.count;
    qsort(session->keys, session->key_count, sizeof *session->keys,
          order_of_keys);
    size_t at = 0;
    session->has_canary =
        session_named(session, TOKEN_NAME_CANARY, &at) != NULL;
    return HF_OK;
}

static enum hf_status read_custody(struct tool *tool, struct session *session)
{
    struct token_data items[2];
    struct token_request request = {.op = TOKEN_OP_DATA_LIST};
    request.u.data_list = (struct token_data_list){
        .label = TOKEN_NAME_CUSTODY, .items = items, .cap = HF_COUNT(items)};
    enum hf_status status =
        session_call(tool, session, &request, "show its custody label");
    if (status == HF_E_LIMIT || request.u.data_list.count > 1) {
        return tool_fail(tool, HF_E_CORRUPT,
                         "the token has more than one custody label: somebody "
                         "else writes to it");
    }
    HF_TRY(status);
    session->has_custody = request.u.data_list.count == 1;
    if (session->has_custody &&
        custody_parse((struct bytes){items[0].value, items[0].value_len},
                      &session->custody) != HF_OK) {
        return tool_fail(tool, HF_E_CORRUPT,
                         "the token's custody label is damaged");
    }
    return HF_OK;
}

static enum hf_status open_and_read(struct tool *tool, const struct secret *pin,
                                    const struct pkcs11_token_info *info,
                                    struct session *session)
{
    HF_TRY(open_token(tool, pin, info, session));
    session->keys = calloc(SESSION_KEYS_MAX, sizeof *session->keys);
    if (session->keys == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    HF_TRY(read_keys(tool, session));
    return read_custody(tool, session);
}

HF_STATUS session_open_with(struct tool *tool, const struct secret *pin,
                            struct session *out_session)
{
    HF_OWNED(session_close) struct session session = {0};
    struct pkcs11_token_info info = {.label = ""};
    HF_TRY(session_module(tool, &session.module));
    HF_TRY(session_find(tool, session.module, &info));
    HF_TRY(open_and_read(tool, pin, &info, &session));
    *out_session = session;
    session = (struct session){0};
    return HF_OK;
}

HF_STATUS session_pin(struct tool *tool, const struct pkcs11_token_info *info,
                      struct secret **out_pin)
{
    return info->own_path ? HF_OK : pin_get(tool, PIN_USER, false, out_pin);
}

HF_STATUS session_open(struct tool *tool, struct session *out_session)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    const char *module = NULL;
    struct pkcs11_token_info info = {.label = ""};
    /* nobody is asked for the PIN of a token that is not there */
    HF_TRY(session_module(tool, &module));
    HF_TRY(session_find(tool, module, &info));
    HF_TRY(session_pin(tool, &info, &pin));
    return session_open_with(tool, pin, out_session);
}

HF_STATUS session_open_plain(struct tool *tool, struct session *out_session)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    struct pkcs11_token_info info = {.label = ""};
    HF_TRY(session_module(tool, &session.module));
    HF_TRY(session_find(tool, session.module, &info));
    HF_TRY(session_pin(tool, &info, &pin));
    HF_TRY(open_token(tool, pin, &info, &session));
    *out_session = session;
    session = (struct session){0};
    return HF_OK;
}

void session_close(struct session *session)
{
    token_close(&session->token);
    free(session->keys);
    *session = (struct session){0};
}

HF_STATUS session_generate(struct tool *tool, const struct session *session,
                           const struct token_generate *how)
{
    struct token_request request = {
        .op = TOKEN_OP_GENERATE, .attempt_ms = GENERATE_MS, .u.generate = *how};
    return session_call(tool, session, &request, "make the key");
}

const struct token_key_report *session_named(const struct session *session,
                                             const char *label, size_t *at)
{
    while (*at < session->key_count) {
        const struct token_key_report *key = &session->keys[*at];
        *at += 1;
        if (strcmp(key->label, label) == 0) {
            return key;
        }
    }
    return NULL;
}

HF_STATUS session_canary(struct tool *tool, struct session *session,
                         bool *out_made)
{
    struct token_key_report report;
    struct token_generate how = {.purpose = TOKEN_FOR_CANARY,
                                 .bits = HF_RSA_MIN_BITS,
                                 .label = TOKEN_NAME_CANARY,
                                 .id = TOKEN_NAME_CANARY,
                                 .id_len = sizeof TOKEN_NAME_CANARY - 1,
                                 .report = &report};
    *out_made = false;
    if (session->has_canary) {
        return HF_OK;
    }
    HF_TRY(session_generate(tool, session, &how));
    session->has_canary = true;
    *out_made = true;
    return HF_OK;
}
