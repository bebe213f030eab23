/* rename: another label for a key, where the token lets it have one. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/token.h"

struct pkcs11_rename {
    const char *module_path;
    const char *label; /* of the token */
    const char *serial;
    const struct token_key *key;
    const char *from; /* the key's CKA_LABEL, and what it shall be */
    const char *to;
};

/* pkcs11_key_rename: both halves of the pair; if the second does not take it,
 * the first gets its name back.
 *
 * Takes     a token that this process has open and logged in.
 * Returns   HF_OK; refused: HF_E_UNSUPPORTED when the token or the key (its
 *           CKA_MODIFIABLE is false) does not allow it; HF_E_NOT_FOUND;
 *           HF_E_UNREACHABLE. */
HF_STATUS pkcs11_key_rename(const struct pkcs11_rename *how,
                            struct pkcs11_refusal *out_refusal);
