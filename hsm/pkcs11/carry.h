/* carry: one MAC key into two tokens, in a ceremony. It is born as an
 * extractable session object in the first, leaves it only wrapped, under a
 * key pair that each token makes for this once, and stays in both as a token
 * object that never leaves again. Both copies are made by an unwrap, so that
 * neither module is asked for more than the other.
 *
 * What the tokens say of such a key afterwards is true: not LOCAL, not
 * NEVER_EXTRACTABLE.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/token.h"

/* A token that this process has open through pkcs11_open: the log-in is the
 * whole process's. */
struct pkcs11_carry_end {
    const char *module_path;
    const char *label;
    const char *serial;
};

/* pkcs11_carry_mac_key: name is label and CKA_ID. Not durable before the next
 * durable call of each token's port.
 *
 * Takes     a suite of OAEP that both have.
 * Returns   HF_OK; HF_E_PRECONDITION a token is not logged in; HF_E_UNSUPPORTED
 *           and what else the modules say: nothing stays in either token, as
 *           far as they let go of it; *out_refusal tells.
 */
HF_STATUS pkcs11_carry_mac_key(const struct pkcs11_carry_end *first,
                               const struct pkcs11_carry_end *mirror,
                               enum token_suite suite, const char *name,
                               struct pkcs11_refusal *out_refusal);
