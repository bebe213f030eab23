/* token enroll, custodian new: who gives a token to a tenant. */
#include "hsm/base/bytes.h"
#include "hsm/base/enrolment.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/signature.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/custodian.h"
#include "hsm/tool/file.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#define BASE64_MAX_BYTES (4 * (ENROLMENT_MAX_BYTES + 2) / 3 + 1)

struct signed_enrolment {
    struct enrolment enrolment;
    uint8_t statement[ENROLMENT_MAX_BYTES];
    size_t statement_len;
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t signature_len;
    uint8_t key_sha256[HF_SHA256_BYTES];
};

static enum hf_status fingerprint_of(struct tool *tool,
                                     const struct custodian *custodian,
                                     uint8_t out[HF_SHA256_BYTES])
{
    if (custodian_fingerprint(custodian, out) != HF_OK) {
        return tool_fail(tool, HF_E_INTERNAL,
                         "the public key cannot be written");
    }
    return HF_OK;
}

/* What the custodian signs is what the token says of itself, as measured and
 * declared; only the tenant is new. */
static enum hf_status facts_gather(struct tool *tool,
                                   const struct session *session,
                                   struct enrolment *out)
{
    const char *domain = tool_value(tool, OPTION_DOMAIN);
    if (!session->has_custody) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "the token %s has no custody label: prepare it with "
                         "holdfast-hsm token init",
                         session->profile.label);
    }
    if (strcmp(session->custody.domain, domain) != 0) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the token %s is in the custody domain %s, not in %s; "
                         "nothing was signed",
                         session->profile.label, session->custody.domain,
                         domain);
    }
    *out = (struct enrolment){
        .protection = session->custody.protection,
        .retention_days = session->custody.retention_days,
        .test_only = session->custody.test_only,
        .hardware = session->profile.hardware,
        .issued_s = clock_wall_ms(clock_system()) / 1000,
    };
    memcpy(out->custody_domain, session->custody.domain,
           sizeof out->custody_domain);
    memcpy(out->token_label, session->profile.label, sizeof out->token_label);
    memcpy(out->token_serial, session->profile.serial,
           sizeof out->token_serial);
    if (text_copy(out->tenant, sizeof out->tenant,
                  tool_value(tool, OPTION_TENANT)) != HF_OK) {
        return tool_fail(tool, HF_E_INVALID, "--tenant has 1 to %d bytes",
                         HF_NAME_MAX_BYTES);
    }
    return HF_OK;
}

static enum hf_status sign_facts(struct tool *tool,
                                 const struct custodian *custodian,
                                 struct signed_enrolment *work)
{
    if (enrolment_encode(&work->enrolment, work->statement,
                         &work->statement_len) != HF_OK) {
        return tool_fail(tool, HF_E_INVALID,
                         "the statement cannot be written: --tenant and the "
                         "token's label and serial must be plain text");
    }
    struct bytes statement = {work->statement, work->statement_len};
    enum hf_status status = custodian_sign(
        custodian, statement, work->signature, &work->signature_len);
    if (status != HF_OK) {
        return tool_fail(tool, status, "the statement cannot be signed");
    }
    return fingerprint_of(tool, custodian, work->key_sha256);
}

static json_t *base64(const uint8_t *data, size_t len)
{
    unsigned char text[BASE64_MAX_BYTES];
    int text_len = EVP_EncodeBlock(text, data, (int)len);
    return text_len < 0 ? NULL
                        : json_stringn((const char *)text, (size_t)text_len);
}

static enum hf_status write_out(struct tool *tool,
                                const struct signed_enrolment *work)
{
    const char *path = tool_value(tool, OPTION_OUT);
    json_t *content =
        json_pack("{s:o, s:o, s:o}", "statement",
                  base64(work->statement, work->statement_len), "signature",
                  base64(work->signature, work->signature_len), "key_sha256",
                  output_hex(BYTES_OF(work->key_sha256)));
    char *text = content == NULL ? NULL : json_dumps(content, JSON_INDENT(2));
    json_decref(content);
    if (text == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    enum hf_status status = file_create(path, 0644, bytes_of_text(text));
    free(text);
    if (status == HF_E_EXISTS) {
        return tool_fail(tool, status,
                         "the file %s exists and is not overwritten: give "
                         "another --out",
                         path);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the file %s cannot be written: %s",
                         path, hf_status_text(status));
    }
    return HF_OK;
}

static json_t *enrolment_facts(const struct tool *tool,
                               const struct signed_enrolment *work)
{
    const struct enrolment *enrolment = &work->enrolment;
    char when[CLOCK_UTC_TEXT];
    clock_format_utc(enrolment->issued_s * 1000, when);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:i, s:b, s:b, s:s}", "file",
        output_text(tool_value(tool, OPTION_OUT)), "key_sha256",
        output_hex(BYTES_OF(work->key_sha256)), "tenant",
        output_text(enrolment->tenant), "token_label",
        output_text(enrolment->token_label), "token_serial",
        output_text(enrolment->token_serial), "custody_domain",
        output_text(enrolment->custody_domain), "deletion_protection",
        custody_protection_text(enrolment->protection), "retention_days",
        (int)enrolment->retention_days, "test_only", (int)enrolment->test_only,
        "hardware", (int)enrolment->hardware, "issued_at", when);
}

HF_STATUS cmd_token_enroll(struct tool *tool)
{
    HF_OWNED(custodian_freep) struct custodian *custodian = NULL;
    HF_OWNED(session_close) struct session session = {0};
    struct signed_enrolment work = {0};
    HF_TRY(custodian_open(tool, tool_value(tool, OPTION_KEY), &custodian));
    HF_TRY(session_open(tool, &session));
    HF_TRY(facts_gather(tool, &session, &work.enrolment));
    HF_TRY(sign_facts(tool, custodian, &work));
    HF_TRY(write_out(tool, &work));
    return output_object(tool, enrolment_facts(tool, &work),
                         "Give the file to the service's operator: holdfast "
                         "token enroll.");
}

static enum hf_status key_type_wanted(struct tool *tool, bool *out_ed25519)
{
    const char *type = tool_value(tool, OPTION_KEY_TYPE);
    *out_ed25519 = type != NULL && strcmp(type, "ed25519") == 0;
    if (type != NULL && !*out_ed25519 && strcmp(type, "p256") != 0) {
        return tool_fail(tool, HF_E_INVALID, "--key-type is p256 or ed25519");
    }
    return HF_OK;
}

/* A key that is there already is used as it is; a file that is something else
 * is left alone. */
static enum hf_status make_or_open(struct tool *tool, const char *path,
                                   bool *out_made,
                                   struct custodian **out_custodian)
{
    HF_OWNED(custodian_freep) struct custodian *custodian = NULL;
    HF_OWNED(secret_freep) struct secret *pem = NULL;
    bool ed25519 = false;
    HF_TRY(key_type_wanted(tool, &ed25519));
    enum hf_status status = custodian_new(ed25519, &custodian);
    if (status == HF_OK) {
        status = custodian_private_pem(custodian, &pem);
    }
    if (status == HF_OK) {
        status = file_create(
            path, 0600, (struct bytes){secret_bytes(pem), secret_len(pem)});
    }
    if (status == HF_E_EXISTS) {
        return custodian_open(tool, path, out_custodian);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the key file %s cannot be made: %s",
                         path, hf_status_text(status));
    }
    *out_made = true;
    *out_custodian = HF_GIVE(custodian);
    return HF_OK;
}

static enum hf_status write_public(struct tool *tool, const char *path,
                                   struct bytes pem)
{
    enum hf_status status = file_create(path, 0644, pem);
    if (status == HF_E_EXISTS && file_holds(path, pem)) {
        return HF_OK;
    }
    if (status == HF_E_EXISTS) {
        return tool_fail(tool, status,
                         "the file %s exists and is not this key's public "
                         "half; it was left alone",
                         path);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the file %s cannot be written: %s",
                         path, hf_status_text(status));
    }
    return HF_OK;
}

HF_STATUS cmd_custodian_new(struct tool *tool)
{
    HF_OWNED(custodian_freep) struct custodian *custodian = NULL;
    const char *path = tool_value(tool, OPTION_OUT);
    const char *public_path = tool_value(tool, OPTION_PUBLIC);
    char pem[CUSTODIAN_PEM_MAX_BYTES + 1];
    uint8_t fingerprint[HF_SHA256_BYTES];
    size_t len = 0;
    bool made = false;
    HF_TRY(make_or_open(tool, path, &made, &custodian));
    HF_TRY(fingerprint_of(tool, custodian, fingerprint));
    HF_TRY(custodian_public_pem(custodian, pem, &len));
    pem[len] = '\0';
    if (public_path != NULL) {
        HF_TRY(write_public(tool, public_path, bytes_of_text(pem)));
    }
    return output_object(
        tool,
        json_pack("{s:o, s:b, s:o, s:s}", "file", output_text(path), "created",
                  (int)made, "key_sha256", output_hex(BYTES_OF(fingerprint)),
                  "public_key", pem),
        made ? "Give the public key to the service; keep the file to yourself."
             : "The key was there already; nothing was changed.");
}
