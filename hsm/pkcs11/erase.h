/* erase: the one place that empties a token. Whoever calls it has made sure
 * that nothing depends on what is in it. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/pkcs11.h"

struct pkcs11_token_erase {
    const char *module_path;
    const char *label;
    const char *serial;
    const struct secret *so_pin; /* borrowed; NULL: the token asks itself */
};

/* pkcs11_token_erase: initialises the token again under its own label: every
 * object of it is gone, also what C_DestroyObject may not take, and it has no
 * user PIN. The officer's PIN is offered once, and not where the token says
 * that it is locked or has one try left.
 *
 * Takes     a token that nobody of this process has open.
 * Returns   HF_OK; refused: HF_E_DENIED; HF_E_NOT_FOUND; HF_E_UNREACHABLE.
 * Blocks    as long as the module does. */
HF_STATUS pkcs11_token_erase(const struct pkcs11_token_erase *how,
                             struct pkcs11_refusal *out_refusal);
