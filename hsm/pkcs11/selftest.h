/* selftest: what a token must prove before it is used, and the profile that
 * comes of it.
 *
 * Modules lie: one of Debian's ignores SENSITIVE and EXTRACTABLE on an unwrap,
 * another exports a non-extractable key by C_WrapKey (facts.md). So nothing is
 * believed that can be tried. All of it is done with session objects on one
 * session, closed at the end; nothing of the token is touched.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/pkcs11.h"

/* p11_selftest: probes token->profile, token->honours and token->kwp, and
 * refuses the token when an answer is wrong or a key can get out.
 *
 * Gives     refusal->text, in words, on failure.
 * Returns   HF_OK; HF_E_UNSUPPORTED when it is refused; else as the module.
 * Blocks    for the generation of one RSA-2048 key pair in the token.
 */
HF_STATUS p11_selftest(struct p11_work *work, struct pkcs11_refusal *refusal);
