/* calls: one line for each operation of the token port, for tests. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"

HF_STATUS call_generate(const struct token *token, enum token_purpose purpose,
                        uint32_t bits, uint8_t id,
                        struct token_key_report *report);
HF_STATUS call_find(const struct token *token, const struct token_key *key,
                    struct token_key_report *report);
HF_STATUS call_unwrap(const struct token *token, const struct token_key *key,
                      enum token_suite suite, struct bytes wrapped,
                      struct token_object *object);
HF_STATUS call_decrypt(const struct token *token, const struct token_key *key,
                       enum token_suite suite, struct bytes wrapped,
                       struct secret **secret);
/* An IV of all `iv`, and the AAD a text. */
HF_STATUS call_seal(const struct token *token, const struct token_object *key,
                    uint8_t iv, const char *aad, struct bytes in, uint8_t *out,
                    size_t *out_len);
HF_STATUS call_open(const struct token *token, const struct token_object *key,
                    uint8_t iv, const char *aad, struct bytes in, uint8_t *out,
                    size_t *out_len);
HF_STATUS call_mac(const struct token *token, const struct token_key *key,
                   const char *text, uint8_t out[HF_SHA256_BYTES]);
HF_STATUS call_destroy(const struct token *token, const struct token_key *key);
HF_STATUS call_forget(const struct token *token,
                      const struct token_object *object);
HF_STATUS call_health(const struct token *token);
HF_STATUS call_sign(const struct token *token, const struct token_key *key,
                    const uint8_t digest[HF_SHA256_BYTES],
                    uint8_t signature[64]);
HF_STATUS call_mint(const struct token *token, struct token_mint *mint);
HF_STATUS call_data(const struct token *token, enum token_op op,
                    const char *label, const char *value);
HF_STATUS call_data_list(const struct token *token, const char *label,
                         struct token_data *items, size_t cap, size_t *count);

/* wrap_for: 32 (or len) known bytes encrypted to an RSA key by OpenSSL. */
struct wrapped {
    uint8_t bytes[HF_RSA_MAX_BYTES];
    size_t len;
};
HF_STATUS wrap_for(const struct token_key_report *report,
                   enum token_suite suite, struct bytes plain,
                   struct wrapped *out);
