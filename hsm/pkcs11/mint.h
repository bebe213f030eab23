/* mint: a DEP key is born, wrapped under every root, and gone. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_mint: all or nothing; whatever it made in the token is destroyed before
 * it returns, also when it fails. */
HF_STATUS p11_mint(struct p11_work *work, struct token_mint *mint);
