/* seal: the operations of the data lane, each on the lane's own session. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_seal, p11_open: HF_E_PRECONDITION for an object of an earlier generation
 * or one that is gone: unwrap again. */
HF_STATUS p11_seal(struct p11_work *work, struct token_aead *aead);
HF_STATUS p11_open(struct p11_work *work, struct token_aead *aead);
HF_STATUS p11_mac(struct p11_work *work, struct token_mac *mac);
