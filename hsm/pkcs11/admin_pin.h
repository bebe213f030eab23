/* admin_pin: the PINs of a token that is in service. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/pkcs11.h"

#include <stdbool.h>

struct pkcs11_pin_owner {
    const char *module_path;
    const char *label;
    const char *serial;
    bool officer; /* else the user */
};

/* pkcs11_pin_change: old_pin is offered once.
 * Returns   HF_OK; refused: HF_E_DENIED, also for a new PIN that the token does
 *           not take; HF_E_NOT_FOUND; HF_E_UNREACHABLE; HF_E_MISUSE. */
HF_STATUS pkcs11_pin_change(const struct pkcs11_pin_owner *whose,
                            const struct secret *old_pin,
                            const struct secret *new_pin,
                            struct pkcs11_refusal *out_refusal);

/* pkcs11_pin_prove: logs in once, and out again. The module is initialised
 * anew if nobody of this process has it open: some go on accepting an earlier
 * PIN otherwise (SoftHSM). HF_OK; refused, as above. */
HF_STATUS pkcs11_pin_prove(const struct pkcs11_pin_owner *whose,
                           const struct secret *pin,
                           struct pkcs11_refusal *out_refusal);
