#include "tests/contract/token/calls.h"

#include "hsm/pkcs11/public_key.h"

#include <stdio.h>
#include <string.h>

HF_STATUS call_generate(const struct token *token, enum token_purpose purpose,
                        uint32_t bits, uint8_t id,
                        struct token_key_report *report)
{
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = purpose,
                       .bits = bits,
                       .id = {0xA0, id},
                       .id_len = 2,
                       .report = report},
    };
    struct token_generate *generate = &request.u.generate;
    snprintf(generate->label, sizeof generate->label,
             purpose == TOKEN_FOR_CANARY ? "holdfast-canary" : "test key %u",
             id);
    return token_call(token, &request);
}

HF_STATUS call_find(const struct token *token, const struct token_key *key,
                    struct token_key_report *report)
{
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = *key, .report = report},
    };
    return token_call(token, &request);
}

HF_STATUS call_unwrap(const struct token *token, const struct token_key *key,
                      enum token_suite suite, struct bytes wrapped,
                      struct token_object *object)
{
    struct token_request request = {
        .op = TOKEN_OP_UNWRAP,
        .u.unwrap = {.key = *key, .suite = suite, .wrapped = wrapped},
    };
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        *object = request.u.unwrap.object;
    }
    return status;
}

HF_STATUS call_decrypt(const struct token *token, const struct token_key *key,
                       enum token_suite suite, struct bytes wrapped,
                       struct secret **secret)
{
    struct token_request request = {
        .op = TOKEN_OP_DECRYPT,
        .u.unwrap = {.key = *key, .suite = suite, .wrapped = wrapped},
    };
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        *secret = request.u.unwrap.secret;
    }
    return status;
}

static HF_STATUS call_aead(const struct token *token,
                           struct token_request *request, uint8_t iv,
                           uint8_t *out, size_t *out_len)
{
    struct token_aead *aead = &request->u.aead;
    memset(aead->iv, iv, sizeof aead->iv);
    aead->out = out;
    aead->out_cap = HF_SEALED_MAX_BYTES;
    enum hf_status status = token_call(token, request);
    if (status == HF_OK) {
        *out_len = aead->out_len;
    }
    return status;
}

HF_STATUS call_seal(const struct token *token, const struct token_object *key,
                    uint8_t iv, const char *aad, struct bytes in, uint8_t *out,
                    size_t *out_len)
{
    struct token_request request = {
        .op = TOKEN_OP_SEAL,
        .u.aead = {.key = *key, .aad = bytes_of_text(aad), .in = in},
    };
    return call_aead(token, &request, iv, out, out_len);
}

HF_STATUS call_open(const struct token *token, const struct token_object *key,
                    uint8_t iv, const char *aad, struct bytes in, uint8_t *out,
                    size_t *out_len)
{
    struct token_request request = {
        .op = TOKEN_OP_OPEN,
        .u.aead = {.key = *key, .aad = bytes_of_text(aad), .in = in},
    };
    return call_aead(token, &request, iv, out, out_len);
}

HF_STATUS call_mac(const struct token *token, const struct token_key *key,
                   const char *text, uint8_t out[HF_SHA256_BYTES])
{
    struct token_request request = {
        .op = TOKEN_OP_MAC,
        .u.mac = {.key = *key, .in = bytes_of_text(text)},
    };
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        memcpy(out, request.u.mac.out, HF_SHA256_BYTES);
    }
    return status;
}

HF_STATUS call_destroy(const struct token *token, const struct token_key *key)
{
    struct token_request request = {.op = TOKEN_OP_DESTROY,
                                    .u.destroy = {.key = *key}};
    return token_call(token, &request);
}

HF_STATUS call_forget(const struct token *token,
                      const struct token_object *object)
{
    struct token_request request = {.op = TOKEN_OP_FORGET, .u.forget = *object};
    return token_call(token, &request);
}

HF_STATUS call_health(const struct token *token)
{
    struct token_request request = {.op = TOKEN_OP_HEALTH};
    return token_call(token, &request);
}

HF_STATUS call_sign(const struct token *token, const struct token_key *key,
                    const uint8_t digest[HF_SHA256_BYTES],
                    uint8_t signature[64])
{
    struct token_request request = {.op = TOKEN_OP_SIGN,
                                    .u.sign = {.key = *key}};
    memcpy(request.u.sign.digest, digest, HF_SHA256_BYTES);
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        memcpy(signature, request.u.sign.signature, 64);
    }
    return status;
}

HF_STATUS call_mint(const struct token *token, struct token_mint *mint)
{
    struct token_request request = {.op = TOKEN_OP_MINT, .u.mint = mint};
    return token_call(token, &request);
}

HF_STATUS call_data(const struct token *token, enum token_op op,
                    const char *label, const char *value)
{
    struct token_data data = {.value_len = strlen(value)};
    snprintf(data.label, sizeof data.label, "%s", label);
    memcpy(data.value, value, data.value_len);
    struct token_request request = {.op = op, .u.data = &data};
    return token_call(token, &request);
}

HF_STATUS call_data_list(const struct token *token, const char *label,
                         struct token_data *items, size_t cap, size_t *count)
{
    struct token_request request = {
        .op = TOKEN_OP_DATA_LIST,
        .u.data_list = {.items = items, .cap = cap},
    };
    snprintf(request.u.data_list.label, sizeof request.u.data_list.label, "%s",
             label);
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        *count = request.u.data_list.count;
    }
    return status;
}

HF_STATUS wrap_for(const struct token_key_report *report,
                   enum token_suite suite, struct bytes plain,
                   struct wrapped *out)
{
    return p11_oaep_encrypt((struct bytes){report->spki, report->spki_len},
                            suite, plain, out->bytes, &out->len);
}
