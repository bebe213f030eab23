#include "server/service/sign.h"

#include "hsm/token/names.h"

#include "server/store/hash.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>

#include <string.h>

static struct token_key audit_key(void)
{
    struct token_key key = {
        .type = TOKEN_KEY_EC,
        .id_len = sizeof TOKEN_NAME_AUDIT_SIGN - 1,
    };
    memcpy(key.id, TOKEN_NAME_AUDIT_SIGN, key.id_len);
    return key;
}

/* one_of_them: it may be another token's, and its absence says nothing. */
static HF_STATUS find(struct service *service, const struct token_key *key,
                      bool one_of_them, struct signer *out)
{
    struct token_key_report report = {0};
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = *key, .tentative = one_of_them, .report = &report},
    };
    HF_TRY(token_call(service->settings.service_token, &request));
    if (report.spki_len == 0 || report.spki_len > OFFICER_KEY_MAX_BYTES) {
        return HF_E_CORRUPT;
    }
    memcpy(out->public_key, report.spki, report.spki_len);
    out->public_key_len = report.spki_len;
    return sha256((struct bytes){out->public_key, out->public_key_len},
                  out->fingerprint);
}

HF_STATUS sign_find(struct service *service, struct signer *out)
{
    const struct token_key key = audit_key();
    return find(service, &key, false, out);
}

HF_STATUS sign_find_by(struct service *service,
                       const uint8_t fingerprint[HF_SHA256_BYTES],
                       struct signer *out)
{
    struct token_key key = audit_key();
    memcpy(key.fingerprint, fingerprint, sizeof key.fingerprint);
    return find(service, &key, true, out);
}

static void free_signature(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
}

static HF_STATUS to_der(const uint8_t raw[64], uint8_t out[SIGN_DER_MAX_BYTES],
                        size_t *out_len)
{
    HF_OWNED(free_signature) ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);
    if (signature == NULL || r == NULL || s == NULL ||
        ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return HF_E_NO_MEMORY;
    }
    int len = i2d_ECDSA_SIG(signature, NULL);
    if (len <= 0 || len > SIGN_DER_MAX_BYTES) {
        return HF_E_INTERNAL;
    }
    uint8_t *at = out;
    *out_len = (size_t)i2d_ECDSA_SIG(signature, &at);
    return HF_OK;
}

HF_STATUS sign_by(struct service *service, const struct signer *signer,
                  struct bytes text, uint8_t out[SIGN_DER_MAX_BYTES],
                  size_t *out_len)
{
    struct token_request request = {
        .op = TOKEN_OP_SIGN,
        .u.sign.key = audit_key(),
    };
    memcpy(request.u.sign.key.fingerprint, signer->fingerprint,
           sizeof request.u.sign.key.fingerprint);
    HF_TRY(sha256(text, request.u.sign.digest));
    HF_TRY(token_call(service->settings.service_token, &request));
    return to_der(request.u.sign.signature, out, out_len);
}

HF_STATUS sign_text(struct service *service, struct bytes text,
                    struct signer *out_signer, uint8_t out[SIGN_DER_MAX_BYTES],
                    size_t *out_len)
{
    enum hf_status status = HF_E_UNREACHABLE;
    for (int i = 0; i < SIGN_TRIES && status != HF_OK; i++) {
        HF_TRY(sign_find(service, out_signer));
        status = sign_by(service, out_signer, text, out, out_len);
    }
    return status;
}
