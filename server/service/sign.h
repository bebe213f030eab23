/* sign: the service's own word: ECDSA P-256 by the audit key in its token
 * in the form everybody's tools read. */
#pragma once

#include "server/service/core.h"
#include "server/store/record.h"

#define SIGN_DER_MAX_BYTES 80 /* 72 at most */

/* sign_public_key: DER, SubjectPublicKeyInfo. HF_E_NOT_FOUND when the
 * service's token has no audit key (holdfast-hsm service init). */
HF_STATUS sign_public_key(struct service *service,
                          uint8_t out[OFFICER_KEY_MAX_BYTES], size_t *out_len);
/* sign_text: over the SHA-256 of text; `openssl dgst -sha256 -verify` reads
 * it. Blocks: a token operation. */
HF_STATUS sign_text(struct service *service, struct bytes text,
                    uint8_t out[SIGN_DER_MAX_BYTES], size_t *out_len);
