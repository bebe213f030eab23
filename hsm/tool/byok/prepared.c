#include "hsm/tool/byok/prepared.h"

#include "hsm/base/own.h"
#include "hsm/base/statement.h"

#include "hsm/sys/signature.h"

#include "hsm/tool/base64.h"

#include <jansson.h>
#include <openssl/sha.h>

#include <string.h>

#define TITLE     "holdfast-import-v1"
#define SUITE_MAX 32
#define HASH_TEXT (2 * HF_SHA256_BYTES + 1)

static void json_free(json_t **json)
{
    json_decref(*json);
}

static enum hf_status encode(const struct prepared *prepared,
                             uint8_t out[PREPARED_MAX_BYTES], size_t *out_len)
{
    char hash[HASH_TEXT];
    hex_encode(prepared->transport_sha256, HF_SHA256_BYTES, hash, sizeof hash);
    struct statement_writer writer =
        statement_begin((char *)out, PREPARED_MAX_BYTES, TITLE);
    statement_put_text(&writer, "token_label", prepared->token_label,
                       ENROLMENT_LABEL_MAX_BYTES);
    statement_put_text(&writer, "token_serial", prepared->token_serial,
                       ENROLMENT_SERIAL_MAX_BYTES);
    statement_put_text(&writer, "transport_id", prepared->transport_id,
                       PREPARED_ID_TEXT);
    statement_put_text(&writer, "transport_sha256", hash, HASH_TEXT);
    statement_put_text(&writer, "suite", token_suite_text(prepared->suite),
                       SUITE_MAX);
    statement_put_time(&writer, "prepared_at", prepared->prepared_s);
    return statement_end(&writer, out_len);
}

static enum token_suite suite_of(const char *text)
{
    static const enum token_suite suites[] = {TOKEN_SUITE_OAEP_SHA256,
                                              TOKEN_SUITE_OAEP_SHA1};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(text, token_suite_text(suites[i])) == 0) {
            return suites[i];
        }
    }
    return TOKEN_SUITE_NONE;
}

static enum hf_status parse(struct bytes text, struct prepared *out)
{
    char hash[HASH_TEXT];
    char suite[SUITE_MAX];
    size_t hash_len = 0;
    struct statement_reader reader = statement_read(text, TITLE);
    statement_get_text(&reader, "token_label", out->token_label,
                       sizeof out->token_label);
    statement_get_text(&reader, "token_serial", out->token_serial,
                       sizeof out->token_serial);
    statement_get_text(&reader, "transport_id", out->transport_id,
                       sizeof out->transport_id);
    statement_get_text(&reader, "transport_sha256", hash, sizeof hash);
    statement_get_text(&reader, "suite", suite, sizeof suite);
    out->prepared_s = statement_get_time(&reader, "prepared_at");
    HF_TRY(statement_done(&reader));
    HF_TRY(hex_decode(hash, out->transport_sha256, HF_SHA256_BYTES, &hash_len));
    out->suite = suite_of(suite);
    return hash_len == HF_SHA256_BYTES && out->suite != TOKEN_SUITE_NONE
               ? HF_OK
               : HF_E_INVALID;
}

HF_STATUS prepared_write(const struct prepared *prepared,
                         const struct custodian *custodian, char **out_text)
{
    uint8_t statement[PREPARED_MAX_BYTES];
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t statement_len = 0;
    size_t signature_len = 0;
    HF_TRY(encode(prepared, statement, &statement_len));
    struct bytes signed_text = {statement, statement_len};
    HF_TRY(custodian_sign(custodian, signed_text, signature, &signature_len));
    HF_OWNED(json_free)
    json_t *file = json_pack(
        "{s:o, s:o, s:o}", "statement", base64_json(signed_text), "signature",
        base64_json((struct bytes){signature, signature_len}), "transport_key",
        base64_json((struct bytes){prepared->spki, prepared->spki_len}));
    *out_text = file == NULL ? NULL : json_dumps(file, JSON_INDENT(2));
    return *out_text == NULL ? HF_E_NO_MEMORY : HF_OK;
}

HF_STATUS prepared_read(struct bytes text, struct bytes custodian_public,
                        struct prepared *out)
{
    HF_OWNED(json_free)
    json_t *file = json_loadb((const char *)text.data, text.len, 0, NULL);
    uint8_t statement[PREPARED_MAX_BYTES];
    uint8_t signature[SIGNATURE_MAX_BYTES];
    uint8_t hash[HF_SHA256_BYTES];
    size_t statement_len = 0;
    size_t signature_len = 0;
    *out = (struct prepared){0};
    HF_TRY(base64_get(file, "statement", statement, sizeof statement,
                      &statement_len));
    HF_TRY(base64_get(file, "signature", signature, sizeof signature,
                      &signature_len));
    HF_TRY(base64_get(file, "transport_key", out->spki, sizeof out->spki,
                      &out->spki_len));
    HF_TRY(signature_verify(custodian_public,
                            (struct bytes){statement, statement_len},
                            (struct bytes){signature, signature_len}));
    if (parse((struct bytes){statement, statement_len}, out) != HF_OK ||
        SHA256(out->spki, out->spki_len, hash) == NULL ||
        !bytes_equal(BYTES_OF(hash), BYTES_OF(out->transport_sha256))) {
        return HF_E_CORRUPT;
    }
    return HF_OK;
}
