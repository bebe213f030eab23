/* key import-prepare, import-wrap, import: a customer's own key. */
#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret_file.h"

#include "hsm/pkcs11/import.h"
#include "hsm/token/names.h"
#include "hsm/tool/byok/package.h"
#include "hsm/tool/byok/prepared.h"
#include "hsm/tool/byok/proof.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/file.h"
#include "hsm/tool/key_find.h"
#include "hsm/tool/key_id.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"

#include <stdlib.h>
#include <string.h>

static void bytes_free(uint8_t **bytes)
{
    free(*bytes);
}

static void text_free(char **text)
{
    free(*text);
}

static enum hf_status write_new(struct tool *tool, const char *text)
{
    const char *path = tool_value(tool, OPTION_OUT);
    struct bytes content = bytes_of_text(text);
    enum hf_status status = file_create_whole(path, 0644, content);
    if (status == HF_E_EXISTS) {
        return tool_fail(tool, status,
                         "the file %s exists and is not overwritten: give "
                         "another --out",
                         path);
    }
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status, "the file %s cannot be written: %s",
                           path, hf_status_text(status));
}

static enum hf_status read_file(struct tool *tool, enum option_id id,
                                size_t max, uint8_t **out, size_t *out_len)
{
    const char *path = tool_value(tool, id);
    enum hf_status status = file_read(path, max, out, out_len);
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status, "%s cannot be read: %s",
                                       path, hf_status_text(status));
}

/* Of --id, or made here. */
static enum hf_status settle_id(struct tool *tool,
                                uint8_t id[HF_CKA_ID_MAX_BYTES], size_t *len)
{
    HF_TRY(key_id_wanted(tool, id, HF_CKA_ID_MAX_BYTES, len));
    if (*len > 0) {
        return HF_OK;
    }
    *len = KEY_ID_BYTES;
    return key_id_make(id) == HF_OK
               ? HF_OK
               : tool_fail(tool, HF_E_INTERNAL, "no randomness for an id");
}

static enum hf_status told(struct tool *tool, enum hf_status status,
                           const char *what,
                           const struct pkcs11_refusal *refusal)
{
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status, "%s: %s", what,
                           refusal->text[0] == '\0' ? hf_status_text(status)
                                                    : refusal->text);
}

static enum hf_status find_by_id(struct tool *tool,
                                 const struct session *session, struct bytes id,
                                 struct token_key_report *out)
{
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .attempt_ms = 10000,
        .u.find = {.key = {.type = TOKEN_KEY_RSA, .id_len = id.len},
                   .report = out}
    };
    memcpy(request.u.find.key.id, id.data, id.len);
    return session_call(tool, session, &request, "show the new key");
}

/* The pair is there already when an earlier call was interrupted. */
static enum hf_status make_transport(struct tool *tool,
                                     const struct session *session,
                                     struct bytes id,
                                     struct token_key_report *out)
{
    struct pkcs11_refusal refusal = {0};
    struct pkcs11_token_info info = {0};
    const struct token_key_report *there = key_with_id(session, id);
    const struct pkcs11_import_token token = {.module_path = session->module,
                                              .profile = &session->profile};
    if (there != NULL && strcmp(there->label, TOKEN_NAME_IMPORT) != 0) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "this id belongs to the key %s; nothing was made",
                         there->label);
    }
    if (there != NULL) {
        *out = *there;
        return HF_OK;
    }
    HF_TRY(told(tool, pkcs11_transport_make(&token, id, &refusal),
                "no transport key was made", &refusal));
    HF_TRY(session_find(tool, session->module, &info));
    HF_TRY(session_sync(tool, &info));
    return find_by_id(tool, session, id, out);
}

/* Does --out hold what this custodian signed about this very pair? Then a call
 * that was interrupted wrote it. */
static bool is_stated(struct tool *tool, const struct custodian *custodian,
                      const struct prepared *wanted)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    struct prepared there;
    char pem[CUSTODIAN_PEM_MAX_BYTES];
    size_t len = 0;
    size_t pem_len = 0;
    return file_read(tool_value(tool, OPTION_OUT), PREPARED_FILE_MAX, &text,
                     &len) == HF_OK &&
           custodian_public_pem(custodian, pem, &pem_len) == HF_OK &&
           prepared_read((struct bytes){text, len},
                         (struct bytes){(const uint8_t *)pem, pem_len},
                         &there) == HF_OK &&
           strcmp(there.token_serial, wanted->token_serial) == 0 &&
           strcmp(there.transport_id, wanted->transport_id) == 0 &&
           bytes_equal(BYTES_OF(there.transport_sha256),
                       BYTES_OF(wanted->transport_sha256));
}

static enum hf_status state_it(struct tool *tool, const struct session *session,
                               const struct custodian *custodian,
                               const struct token_key_report *key)
{
    HF_OWNED(text_free) char *text = NULL;
    struct prepared prepared = {
        .suite = token_suite_preferred(&session->profile),
        .prepared_s = clock_wall_ms(clock_system()) / 1000,
        .spki_len = key->spki_len};
    memcpy(prepared.token_label, session->profile.label,
           sizeof prepared.token_label);
    memcpy(prepared.token_serial, session->profile.serial,
           sizeof prepared.token_serial);
    hex_encode(key->key.id, key->key.id_len, prepared.transport_id,
               sizeof prepared.transport_id);
    memcpy(prepared.transport_sha256, key->key.fingerprint, HF_SHA256_BYTES);
    memcpy(prepared.spki, key->spki, key->spki_len);
    if (is_stated(tool, custodian, &prepared)) {
        return HF_OK;
    }
    enum hf_status status = prepared_write(&prepared, custodian, &text);
    if (status != HF_OK) {
        return tool_fail(tool, status, "the statement cannot be written: %s",
                         hf_status_text(status));
    }
    return write_new(tool, text);
}

HF_STATUS cmd_key_import_prepare(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_OWNED(custodian_freep) struct custodian *custodian = NULL;
    struct token_key_report key = {0};
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len = 0;
    HF_TRY(settle_id(tool, id, &id_len));
    HF_TRY(custodian_open(tool, tool_value(tool, OPTION_KEY), &custodian));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_token_check(tool, &session));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, "make a transport key and sign a statement");
    }
    HF_TRY(make_transport(tool, &session, (struct bytes){id, id_len}, &key));
    HF_TRY(state_it(tool, &session, custodian, &key));
    return output_object(
        tool,
        json_pack("{s:o, s:o, s:o, s:s}", "file",
                  output_text(tool_value(tool, OPTION_OUT)), "transport_id",
                  output_hex((struct bytes){id, id_len}), "transport_sha256",
                  output_hex(BYTES_OF(key.key.fingerprint)), "suite",
                  token_suite_text(token_suite_preferred(&session.profile))),
        "Give the file and your public key to the key's owner, who wraps it: "
        "holdfast-hsm key import-wrap.");
}

static enum hf_status read_prepared(struct tool *tool, struct prepared *out)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    HF_OWNED(bytes_free) uint8_t *key = NULL;
    size_t len = 0;
    size_t key_len = 0;
    HF_TRY(read_file(tool, OPTION_PREPARED, PREPARED_FILE_MAX, &text, &len));
    HF_TRY(read_file(tool, OPTION_PUBLIC, PREPARED_FILE_MAX, &key, &key_len));
    enum hf_status status = prepared_read((struct bytes){text, len},
                                          (struct bytes){key, key_len}, out);
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status,
                           "what --prepared names is not what the custodian of "
                           "--public signed: your key would go to somebody "
                           "else; nothing was wrapped");
}

HF_STATUS cmd_key_import_wrap(struct tool *tool)
{
    HF_OWNED(secret_freep) struct secret *pem = NULL;
    HF_OWNED(text_free) char *text = NULL;
    struct prepared prepared;
    struct package package;
    const char *path = tool_value(tool, OPTION_SOURCE);
    HF_TRY(read_prepared(tool, &prepared));
    enum hf_status status =
        secret_from_whole_file(path, PACKAGE_KEY_MAX_BYTES - 1, &pem);
    if (status != HF_OK) {
        return tool_fail(tool,
                         status == HF_E_PRECONDITION ? HF_E_DENIED : status,
                         "the key file %s must be a file of yours that nobody "
                         "else can read or write: %s",
                         path, hf_status_text(status));
    }
    status = package_wrap(&prepared, pem, &package);
    if (status != HF_OK) {
        return tool_fail(tool, status,
                         "%s is not the PEM of an RSA private key of 2048, "
                         "3072 or 4096 bits without a password",
                         path);
    }
    if (package_write(&package, &text) != HF_OK) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    HF_TRY(write_new(tool, text));
    return output_object(
        tool,
        json_pack("{s:o, s:o, s:o, s:o}", "file",
                  output_text(tool_value(tool, OPTION_OUT)),
                  "public_key_sha256",
                  output_hex(BYTES_OF(package.fingerprint)), "token_label",
                  output_text(prepared.token_label), "token_serial",
                  output_text(prepared.token_serial)),
        "Give the file to the token's custodian, and tell them the fingerprint "
        "by another way: by telephone, on paper.");
}

struct wanted {
    struct package package;
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len;
    uint8_t fingerprint[HF_SHA256_BYTES];
    bool memory;
};

static enum hf_status wanted(struct tool *tool, struct wanted *out)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    const char *residency = tool_value(tool, OPTION_RESIDENCY);
    size_t len = 0;
    size_t hash_len = 0;
    HF_TRY(key_name_check(tool, tool_value(tool, OPTION_NAME)));
    HF_TRY(settle_id(tool, out->id, &out->id_len));
    out->memory = residency != NULL && strcmp(residency, "memory") == 0;
    if (residency != NULL && !out->memory && strcmp(residency, "token") != 0) {
        return tool_fail(tool, HF_E_INVALID, "--residency is token or memory");
    }
    if (hex_decode(tool_value(tool, OPTION_FINGERPRINT), out->fingerprint,
                   sizeof out->fingerprint, &hash_len) != HF_OK ||
        hash_len != sizeof out->fingerprint) {
        return tool_fail(tool, HF_E_INVALID,
                         "--public-key-sha256 is 64 hex digits, as the key's "
                         "owner told them");
    }
    HF_TRY(read_file(tool, OPTION_IN, PACKAGE_FILE_MAX, &text, &len));
    if (package_read((struct bytes){text, len}, &out->package) != HF_OK) {
        return tool_fail(tool, HF_E_INVALID,
                         "%s is not what key import-wrap writes",
                         tool_value(tool, OPTION_IN));
    }
    return HF_OK;
}

/* *out_there: it is in the token already, by an earlier call. */
static enum hf_status is_there(struct tool *tool, const struct session *session,
                               const struct wanted *want, bool *out_there)
{
    *out_there = false;
    for (size_t i = 0; i < session->key_count; i++) {
        const struct token_key_report *key = &session->keys[i];
        bool same_id = bytes_equal(key_id_of(&key->key),
                                   (struct bytes){want->id, want->id_len});
        bool same_key = bytes_equal(BYTES_OF(key->key.fingerprint),
                                    BYTES_OF(want->fingerprint));
        if (same_id && same_key &&
            strcmp(key->label, tool_value(tool, OPTION_NAME)) == 0) {
            *out_there = true;
        } else if (same_id || same_key) {
            return tool_fail(tool, HF_E_CONFLICT,
                             "the token holds %s already, as %s; nothing was "
                             "made",
                             same_key ? "this key" : "a key with this id",
                             key->label);
        }
    }
    return HF_OK;
}

static enum hf_status bring_in(struct tool *tool, const struct session *session,
                               const struct wanted *want)
{
    struct pkcs11_refusal refusal = {0};
    struct pkcs11_token_info info = {0};
    const struct package *package = &want->package;
    const struct pkcs11_import_token token = {.module_path = session->module,
                                              .profile = &session->profile};
    struct pkcs11_import import = {
        .transport_id = {package->transport_id, package->transport_id_len},
        .suite = package->suite,
        .wrapped_kek = {package->wrapped_kek,  package->wrapped_kek_len },
        .wrapped_key = {package->wrapped_key,  package->wrapped_key_len },
        .id = {want->id,              want->id_len             },
        .label = tool_value(tool, OPTION_NAME),
        .memory = want->memory
    };
    memcpy(import.fingerprint, want->fingerprint, HF_SHA256_BYTES);
    enum hf_status status = pkcs11_import(&token, &import, &refusal);
    if (status == HF_E_NOT_FOUND) {
        return tool_fail(tool, status,
                         "%s: the package was made for another token, or its "
                         "key is in already (key import-prepare makes a new "
                         "one)",
                         refusal.text);
    }
    if (status == HF_E_BAD_BLOB) {
        status = HF_E_DENIED;
    }
    HF_TRY(told(tool, status, "nothing was imported", &refusal));
    HF_TRY(session_find(tool, session->module, &info));
    return session_sync(tool, &info);
}

/* as far as it can hold for a key that was made elsewhere. */
static enum hf_status check_locked(struct tool *tool,
                                   const struct session *session,
                                   const struct token_key_report *key)
{
    bool locked =
        key->sensitive && !key->extractable && key->can_unwrap &&
        (key->unwrap_template || !session->profile.unwrap_template_honoured);
    return locked && !key->local
               ? HF_OK
               : tool_fail(tool, HF_E_DENIED,
                           "the token took the key and does not protect it "
                           "(its attributes are not what was asked for): do "
                           "not register it");
}

static enum hf_status drop_half(struct tool *tool,
                                const struct session *session, struct bytes id)
{
    struct pkcs11_refusal refusal = {0};
    struct pkcs11_token_info info = {0};
    const struct pkcs11_import_token token = {.module_path = session->module,
                                              .profile = &session->profile};
    HF_TRY(told(tool, pkcs11_transport_drop_half(&token, id, &refusal),
                "the key is in the token", &refusal));
    HF_TRY(session_find(tool, session->module, &info));
    return session_sync(tool, &info);
}

/* The transport key has done its work; another key needs another one. Its
 * public half may be there alone, after an interruption. Whatever a package
 * says, no key of anybody's ends, nor one that has the same id. */
static enum hf_status drop_transport(struct tool *tool,
                                     const struct session *session,
                                     const struct wanted *want)
{
    struct token_request request = {
        .op = TOKEN_OP_DESTROY,
        .attempt_ms = 30000,
        .u.destroy = {.key = {.type = TOKEN_KEY_RSA,
                              .id_len = want->package.transport_id_len}}};
    struct bytes id = {want->package.transport_id,
                       want->package.transport_id_len};
    const struct token_key_report *key = key_with_id(session, id);
    if (key == NULL) {
        return drop_half(tool, session, id);
    }
    if (strcmp(key->label, TOKEN_NAME_IMPORT) != 0 ||
        key_count_with_id(session, id) != 1) {
        return HF_OK;
    }
    memcpy(request.u.destroy.key.id, id.data, id.len);
    return session_call(tool, session, &request, "destroy the transport key");
}

HF_STATUS cmd_key_import(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct token_key_report report = {0};
    struct wanted want = {0};
    bool there = false;
    HF_TRY(wanted(tool, &want));
    HF_TRY(session_open(tool, &session));
    HF_TRY(key_token_check(tool, &session));
    HF_TRY(is_there(tool, &session, &want, &there));
    if (!there) {
        HF_TRY(key_serve_check(tool, &session, want.memory));
    }
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, there ? "do nothing: the key is there"
                                      : "unwrap the key inside the token, and "
                                        "destroy the transport key");
    }
    if (!there) {
        HF_TRY(bring_in(tool, &session, &want));
    }
    HF_TRY(find_by_id(tool, &session, (struct bytes){want.id, want.id_len},
                      &report));
    HF_TRY(check_locked(tool, &session, &report));
    HF_TRY(proof_of_key(tool, &session, &report));
    HF_TRY(drop_transport(tool, &session, &want));
    json_t *answer = facts_of_key(&session.profile, &report);
    if (answer != NULL &&
        (json_object_set_new(answer, "imported", json_true()) != 0 ||
         json_object_set_new(answer, "created", json_boolean(!there)) != 0)) {
        json_decref(answer);
        answer = NULL;
    }
    return output_object(tool, answer,
                         "The key is in the token and cannot leave it. That it "
                         "was made elsewhere shows for ever (local: no): "
                         "copies may exist there. Destroy the source when you "
                         "need it no more.");
}
