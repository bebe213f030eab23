/* What the module says of the token, and what is in it. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/token/names.h"
#include "hsm/tool/byok/proof.h"
#include "hsm/tool/doctor/diagnosis.h"
#include "hsm/tool/key_find.h"
#include "hsm/tool/session.h"

#include <stdio.h>
#include <string.h>

#define TOKENS_MAX   256
#define NEAR_LETTERS 2

/* "those there are: a, b": what somebody who mistyped a name needs to see. */
static void add_missing(const struct pkcs11_token_info *infos, size_t count,
                        const char *wanted, struct diagnosis *out)
{
    char names[160] = "";
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names);
        if (!infos[i].initialised) {
            continue;
        }
        snprintf(names + len, sizeof names - len, "%s%.32s",
                 len == 0 ? "" : ", ", infos[i].label);
        if (text_distance(infos[i].label, wanted) <= NEAR_LETTERS) {
            nearest = infos[i].label;
        }
    }
    if (nearest != NULL) {
        diagnosis_add(out, FINDING_TOKEN_MISSING, "holdfast-hsm token list",
                      "there is no token %s; did you mean %s?", wanted,
                      nearest);
        return;
    }
    diagnosis_add(out, FINDING_TOKEN_MISSING,
                  names[0] == '\0' ? "holdfast-hsm token init --help"
                                   : "holdfast-hsm token list",
                  "there is no token %s; those there are: %s", wanted,
                  names[0] == '\0' ? "none" : names);
}

static bool find(struct tool *tool, const char *module,
                 struct pkcs11_token_info *out_info, struct diagnosis *out)
{
    struct pkcs11_token_info infos[TOKENS_MAX];
    struct pkcs11_refusal refusal = {0};
    const char *wanted = tool_value(tool, OPTION_TOKEN);
    const char *serial = tool_value(tool, OPTION_SERIAL);
    size_t count = 0;
    size_t found = 0;
    if (pkcs11_tokens(module, infos, TOKENS_MAX, &count, &refusal) != HF_OK) {
        diagnosis_add(out, FINDING_MODULE_LOAD, "ldd with the module's path",
                      "%s: a library of the vendor's is missing, or its own "
                      "configuration or daemon",
                      refusal.text);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (infos[i].initialised && strcmp(infos[i].label, wanted) == 0 &&
            (serial == NULL || strcmp(infos[i].serial, serial) == 0)) {
            *out_info = infos[i];
            found += 1;
        }
    }
    if (found == 0) {
        add_missing(infos, count, wanted, out);
    } else if (found > 1) {
        diagnosis_add(out, FINDING_TOKEN_TWICE,
                      "holdfast-hsm token list, then --serial SERIAL",
                      "%zu tokens are named %s: by the label alone none can be "
                      "singled out",
                      found, wanted);
    }
    return found == 1;
}

static void look_at_flags(const struct pkcs11_token_info *info,
                          struct diagnosis *out)
{
    if (!info->pin_set) {
        diagnosis_add(out, FINDING_PIN_NEVER_SET, "holdfast-hsm token init",
                      "the user PIN was never set: an initialisation was "
                      "interrupted, or the token was emptied");
    }
    if (info->pin_locked) {
        diagnosis_add(out, FINDING_PIN_LOCKED,
                      "the vendor's tool, with the security officer's PIN",
                      "the user PIN is locked: too many wrong ones. Only the "
                      "security officer sets it anew");
    } else if (info->pin_final_try) {
        diagnosis_add(out, FINDING_PIN_FINAL_TRY,
                      "the vendor's tool: log in by hand, once",
                      "one wrong user PIN more and the token locks: nothing "
                      "here tries one. Find out first who tries the wrong one");
    } else if (info->pin_count_low) {
        diagnosis_add(out, FINDING_PIN_COUNT_LOW, NULL,
                      "a wrong user PIN was tried since the last log-in: look "
                      "for an old PIN file before anything else");
    }
    if (info->so_pin_locked || info->so_pin_final_try ||
        info->so_pin_count_low) {
        diagnosis_add(out, FINDING_SO_PIN, NULL,
                      "the security officer's PIN %s",
                      info->so_pin_locked ? "is locked: too many wrong ones"
                      : info->so_pin_final_try
                          ? "has one try left: nothing here tries one"
                          : "was tried wrong since the last log-in");
    }
    if (info->write_protected) {
        diagnosis_add(out, FINDING_WRITE_PROTECTED, NULL,
                      "the token is write-protected: it serves, but no key can "
                      "be made or destroyed");
    }
}

static void look_at_key(const struct session *session,
                        const struct token_key_report *key,
                        struct diagnosis *out)
{
    const char *name = key->label;
    if (strcmp(name, TOKEN_NAME_IMPORT) == 0) {
        diagnosis_add(out, FINDING_IMPORT_OPEN, "holdfast-hsm key import",
                      "a transport key waits for a customer's own key: finish "
                      "the import, or destroy it with key destroy");
        return;
    }
    if (key->extractable || !key->sensitive) {
        diagnosis_add(out, FINDING_EXTRACTABLE, "holdfast-hsm key roll",
                      "the key %.64s can leave the token: whoever has the PIN "
                      "has the key. Never register it",
                      name);
    }
    bool root = key->key.type == TOKEN_KEY_RSA && key->can_unwrap &&
                strcmp(name, TOKEN_NAME_CANARY) != 0;
    if (root && !key->local) {
        diagnosis_add(out, FINDING_IMPORTED, NULL,
                      "the key %.64s was made elsewhere: copies may exist "
                      "there",
                      name);
    }
    if (root && !key->unwrap_template &&
        session->profile.unwrap_template_honoured) {
        diagnosis_add(out, FINDING_NO_TEMPLATE, "holdfast-hsm key roll",
                      "the key %.64s has no unwrap template: whoever has the "
                      "PIN could unwrap a DEP key as readable (R-15.13)",
                      name);
    }
}

static void look_at_pairs(const struct session *session, struct diagnosis *out)
{
    for (size_t i = 0; i < session->key_count; i++) {
        const struct token_key_report *a = &session->keys[i];
        size_t versions = 1;
        bool first = true;
        for (size_t j = 0; j < session->key_count; j++) {
            const struct token_key_report *b = &session->keys[j];
            bool same_name = strcmp(a->label, b->label) == 0;
            first = first && !(j < i && same_name);
            versions += j > i && same_name ? 1 : 0;
            if (j > i && bytes_equal(key_id_of(&a->key), key_id_of(&b->key))) {
                diagnosis_add(out, FINDING_SAME_ID, "holdfast-hsm key list",
                              "the keys %.48s and %.48s have one CKA_ID: "
                              "by it alone neither can be singled out; the "
                              "service tells them by fingerprint",
                              a->label, b->label);
            }
        }
        if (first && versions > 1) {
            diagnosis_add(out, FINDING_VERSIONS, NULL,
                          "%zu versions are named %.64s; the newest is the "
                          "current one",
                          versions, a->label);
        }
    }
}

static void look_at_canary(struct tool *tool, const struct session *session,
                           struct diagnosis *out)
{
    size_t at = 0;
    const struct token_key_report *canary =
        session_named(session, TOKEN_NAME_CANARY, &at);
    if (canary == NULL) {
        diagnosis_add(out, FINDING_CANARY_MISSING, "holdfast-hsm token init",
                      "the canary is missing: without it a key that is not "
                      "shown never counts as deleted (R-15.9)");
    } else if (proof_of_key(tool, session, canary) != HF_OK) {
        diagnosis_add(out, FINDING_CANARY_SILENT, "holdfast-hsm token test",
                      "the canary is there and does not open: %.200s",
                      tool->problem);
    }
}

static void look_inside(struct tool *tool, const struct session *session,
                        struct diagnosis *out)
{
    look_at_canary(tool, session, out);
    if (!session->has_custody) {
        diagnosis_add(out, FINDING_CUSTODY_MISSING,
                      "holdfast-hsm token init --domain NAME",
                      "the token does not say in whose custody it is: it "
                      "cannot be enrolled");
    }
    for (size_t i = 0; i < session->key_count; i++) {
        look_at_key(session, &session->keys[i], out);
    }
    look_at_pairs(session, out);
}

static void add_not_opened(struct tool *tool, enum hf_status status,
                           struct diagnosis *out)
{
    switch (hf_status_class(status)) {
    case HF_CLASS_DENIED:
        diagnosis_add(out, FINDING_PIN_REFUSED,
                      "check the PIN file; do not try again before",
                      "the token refuses the PIN; it was tried once: %.200s",
                      tool->problem);
        return;
    case HF_CLASS_BROKEN:
        diagnosis_add(out, FINDING_CUSTODY_DAMAGED, "holdfast-hsm token show",
                      "%.300s", tool->problem);
        return;
    case HF_CLASS_OURS:
        diagnosis_add(out, FINDING_SESSIONS, "ls /proc/PID/fd of the service",
                      "no session, descriptor or memory is left: %.200s",
                      tool->problem);
        return;
    case HF_CLASS_CALLER:
        diagnosis_add(out, FINDING_SELF_TEST, "holdfast-hsm token test",
                      "the token fails its self-test: %.200s", tool->problem);
        return;
    case HF_CLASS_OK:
    case HF_CLASS_MISSING:
    case HF_CLASS_CONFLICT:
    case HF_CLASS_TRANSIENT:
        break;
    }
    diagnosis_add(out, FINDING_NOT_OPENED, "holdfast-hsm token doctor, again",
                  "the token does not open: %.250s", tool->problem);
}

static bool may_try(const struct tool *tool,
                    const struct pkcs11_token_info *info, struct diagnosis *out)
{
    bool dangerous = !info->pin_set || info->pin_locked ||
                     info->pin_final_try || info->pin_count_low;
    if (dangerous) {
        return false;
    }
    if (!tool_has(tool, OPTION_TRY_PIN)) {
        diagnosis_add(out, FINDING_PIN_NOT_TRIED,
                      "the same with --try-pin --pin-file FILE",
                      "no PIN was tried, so what is in the token was not "
                      "looked at");
        return false;
    }
    return true;
}

void doctor_token(struct tool *tool, struct diagnosis *out)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    struct pkcs11_token_info info = {0};
    const char *module = NULL;
    if (session_module(tool, &module) != HF_OK ||
        !find(tool, module, &info, out)) {
        return;
    }
    look_at_flags(&info, out);
    if (!may_try(tool, &info, out)) {
        return;
    }
    if (session_pin(tool, &info, &pin) != HF_OK) {
        diagnosis_add(out, FINDING_PIN_NOT_TRIED,
                      "the same with a PIN file of yours alone",
                      "no PIN was tried: %.250s", tool->problem);
        return;
    }
    enum hf_status status = session_open_with(tool, pin, &session);
    if (status != HF_OK) {
        add_not_opened(tool, status, out);
        return;
    }
    look_inside(tool, &session, out);
}
