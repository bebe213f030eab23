#include "hsm/tool/ceremony/signed.h"

#include "hsm/base/own.h"
#include "hsm/base/statement.h"

#include "hsm/sys/signature.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TITLE     "holdfast-ceremony-v1"
#define HASH_TEXT (2 * HF_SHA256_BYTES + 1)

static void json_free(json_t **json)
{
    json_decref(*json);
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text == NULL ? "" : text;
}

static const char *custodian_of(const json_t *begin, size_t which)
{
    const char *text = json_string_value(
        json_array_get(json_object_get(begin, "custodians"), which));
    return text == NULL ? "" : text;
}

static const json_t *last_of(const json_t *lines)
{
    size_t count = json_array_size(lines);
    return count < 2 ? NULL : json_array_get(lines, count - 1);
}

HF_STATUS signed_write(const json_t *lines, struct bytes transcript,
                       uint8_t out[SIGNED_MAX_BYTES], size_t *out_len)
{
    const json_t *begin = json_array_get(lines, 0);
    const json_t *end = last_of(lines);
    uint8_t hash[HF_SHA256_BYTES];
    char hash_text[HASH_TEXT];
    if (end == NULL || strcmp(text_of(end, "event"), "end") != 0 ||
        strcmp(text_of(begin, "event"), "begin") != 0) {
        return HF_E_PRECONDITION;
    }
    HF_TRY(transcript_sha256(transcript, hash));
    hex_encode(hash, sizeof hash, hash_text, sizeof hash_text);
    struct statement_writer writer =
        statement_begin((char *)out, SIGNED_MAX_BYTES, TITLE);
    statement_put_text(&writer, "name", text_of(begin, "name"),
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "token_label", text_of(begin, "token"),
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "token_serial", text_of(end, "serial"),
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "outcome", text_of(end, "outcome"),
                       HF_NAME_MAX_BYTES);
    statement_put_number(&writer, "lines", (uint32_t)json_array_size(lines));
    statement_put_text(&writer, "transcript_sha256", hash_text, HASH_TEXT);
    statement_put_text(&writer, "custodian_1", custodian_of(begin, 0),
                       HASH_TEXT);
    statement_put_text(&writer, "custodian_2", custodian_of(begin, 1),
                       HASH_TEXT);
    return statement_end(&writer, out_len);
}

__attribute__((format(printf, 2, 3))) static enum hf_status
wrong(struct transcript_fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->why, sizeof fault->why, format, args);
    va_end(args);
    fault->line = 0;
    return HF_E_CORRUPT;
}

/* The signature of the custodian whom the transcript names at this place. */
static enum hf_status one_signed(const struct signed_parts *parts,
                                 const json_t *begin, size_t which,
                                 struct transcript_fault *fault)
{
    for (size_t i = 0; i < CUSTODIANS; i++) {
        uint8_t fingerprint[HF_SHA256_BYTES];
        char text[HASH_TEXT];
        HF_TRY(signature_key_fingerprint(parts->public_keys[i], fingerprint));
        hex_encode(fingerprint, sizeof fingerprint, text, sizeof text);
        if (strcmp(text, custodian_of(begin, which)) != 0) {
            continue;
        }
        enum hf_status status = signature_verify(
            parts->public_keys[i], parts->statement, parts->signatures[which]);
        return status == HF_E_DENIED
                   ? wrong(fault,
                           "signature %zu is not its custodian's over "
                           "this statement",
                           which + 1)
                   : status;
    }
    return wrong(fault,
                 "custodian %zu of the ceremony is the owner of neither of "
                 "the public keys given",
                 which + 1);
}

HF_STATUS signed_verify(const struct signed_parts *parts, json_t **out_lines,
                        struct transcript_fault *fault)
{
    HF_OWNED(json_free) json_t *lines = NULL;
    uint8_t statement[SIGNED_MAX_BYTES];
    size_t statement_len = 0;
    size_t len = 0;
    HF_TRY(transcript_check(parts->transcript, &lines, &len, fault));
    if (len != parts->transcript.len) {
        return wrong(fault, "its last line is not whole");
    }
    const json_t *begin = json_array_get(lines, 0);
    enum hf_status status =
        signed_write(lines, parts->transcript, statement, &statement_len);
    if (status == HF_E_PRECONDITION || status == HF_E_INVALID) {
        return wrong(fault, "the ceremony has not ended: its first or last "
                            "lines are missing");
    }
    HF_TRY(status);
    if (!bytes_equal((struct bytes){statement, statement_len},
                     parts->statement)) {
        return wrong(fault, "what was signed is another transcript");
    }
    if (strcmp(custodian_of(begin, 0), custodian_of(begin, 1)) == 0) {
        return wrong(fault, "both custodians are one");
    }
    for (size_t i = 0; i < CUSTODIANS; i++) {
        HF_TRY(one_signed(parts, begin, i, fault));
    }
    *out_lines = HF_GIVE(lines);
    return HF_OK;
}
