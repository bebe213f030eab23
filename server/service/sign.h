/* sign: the service's own word: ECDSA P-256 by the audit key in its token
 * in the form everybody's tools read. */
#pragma once

#include "server/service/core.h"
#include "server/store/record.h"

#define SIGN_DER_MAX_BYTES 80 /* 72 at most */

/* The audit key of the service's token; of several tokens that mirror each
 * other each has its own, and any of them may sign. */
struct signer {
    uint8_t public_key[OFFICER_KEY_MAX_BYTES]; /* DER, SubjectPublicKeyInfo */
    size_t public_key_len;
    uint8_t fingerprint[HF_SHA256_BYTES];
};

/* sign_find: the one that would sign now. HF_E_NOT_FOUND when the service's
 * token has no audit key (holdfast-hsm service init). */
HF_STATUS sign_find(struct service *service, struct signer *out);
/* sign_find_by: the one with this fingerprint. HF_E_UNCONFIRMED when no token
 * shows it; HF_E_UNREACHABLE when its token is away. */
HF_STATUS sign_find_by(struct service *service,
                       const uint8_t fingerprint[HF_SHA256_BYTES],
                       struct signer *out);
/* sign_by: over the SHA-256 of text, by this one; `openssl dgst -sha256
 * -verify` reads it. HF_E_UNREACHABLE also when its token has gone away since:
 * another may be there (sign_find). Blocks: a token operation. */
HF_STATUS sign_by(struct service *service, const struct signer *signer,
                  struct bytes text, uint8_t out[SIGN_DER_MAX_BYTES],
                  size_t *out_len);
/* sign_text: by whoever can; *out_signer says who. */
HF_STATUS sign_text(struct service *service, struct bytes text,
                    struct signer *out_signer, uint8_t out[SIGN_DER_MAX_BYTES],
                    size_t *out_len);
/* How often another one is asked when one goes away in between. */
#define SIGN_TRIES 3
