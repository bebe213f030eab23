/* admin: what an operator does with a module before and beside the token port:
 * see which tokens there are, initialise a free one, count what is in one.
 *
 * Nothing here ever erases: an initialised token is never initialised again.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/pkcs11.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pkcs11_token_info {
    char label[33];
    char serial[17];
    char manufacturer[33];
    char model[17];
    bool initialised;
    bool pin_set; /* the user's */
    bool pin_count_low;
    bool pin_final_try;
    bool pin_locked;
    bool so_pin_count_low; /* the security officer's */
    bool so_pin_final_try;
    bool so_pin_locked;
    bool write_protected;
    bool own_path;      /* CKF_PROTECTED_AUTHENTICATION_PATH: no PIN is given */
    bool hardware_slot; /* CKF_HW_SLOT */
};

/* pkcs11_tokens: every token that is present, free slots (not initialised)
 * included.
 *
 * Gives     infos[0 .. *out_count); *out_refusal on failure.
 * Returns   HF_OK; HF_E_UNREACHABLE when the module cannot be loaded or does
 *           not answer; HF_E_LIMIT for more than cap; HF_E_NO_MEMORY.
 * Blocks    as long as the module does.
 */
HF_STATUS pkcs11_tokens(const char *module_path,
                        struct pkcs11_token_info *infos, size_t cap,
                        size_t *out_count, struct pkcs11_refusal *out_refusal);

struct pkcs11_token_init {
    const char *module_path;
    const char *label;           /* 1 to 32 bytes */
    const char *serial;          /* of the token that is there; NULL: any */
    const struct secret *so_pin; /* borrowed */
    const struct secret *pin;    /* the user's; borrowed */
};

/* pkcs11_token_initialise: takes a free slot, names its token, sets both PINs;
 * or sets the user PIN of a token with this label that has none: an earlier
 * call was interrupted there. With a serial it is that token or none. The
 * lengths of the PINs are checked before anything is changed. A wrong SO PIN is
 * offered once, and none where the token says that it is locked, or has one try
 * left.
 *
 * Gives     *out_info of the token; *out_refusal on failure.
 * Returns   HF_OK; HF_E_EXISTS when a token with this label is ready already;
 *           HF_E_NOT_FOUND when no slot is free, or no token has the label
 *           and the serial; HF_E_INVALID for a label or
 *           PIN that is too long or too short; HF_E_DENIED when the SO PIN is
 *           refused; HF_E_UNREACHABLE.
 * Blocks    as long as the module does.
 */
HF_STATUS pkcs11_token_initialise(const struct pkcs11_token_init *how,
                                  struct pkcs11_token_info *out_info,
                                  struct pkcs11_refusal *out_refusal);

/* pkcs11_token_objects: how many token objects of any class the token holds.
 *
 * Takes     a token that this process has open through pkcs11_open: the log-in
 *           is the whole process's, so no PIN is needed a second time.
 * Returns   HF_OK; HF_E_PRECONDITION when it is not logged in;
 *           HF_E_NOT_FOUND; HF_E_UNREACHABLE.
 */
HF_STATUS pkcs11_token_objects(const char *module_path, const char *label,
                               const char *serial, size_t *out_count);
