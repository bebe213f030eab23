/* selftest: what a token must prove before it is used, and the profile that
 * comes of it.
 *
 * Modules lie: one of Debian's ignores SENSITIVE and EXTRACTABLE on an unwrap,
 * another exports a non-extractable key by C_WrapKey (facts.md). So nothing is
 * believed that can be tried. All of it is done with session objects, closed at
 * the end; nothing of the token is touched. One exception: tpm2-pkcs11 1.9
 * makes no session keys at all (every key is CKA_TOKEN). There the canary is
 * tried, and before there is one, a pair that is made in the token for this
 * and destroyed.
 *
 * A token is refused for an answer that is wrong, for a key that gets out, and
 * when it has no RSA-OAEP. What it merely lacks is in its profile: it serves
 * what it can (hsm/token/ability.h).
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/ability.h"

/* p11_selftest: probes token->profile, token->honours and token->kwp, and
 * refuses the token when an answer is wrong or a key can get out.
 *
 * findings: NULL, or for the table of pkcs11_examine: then it goes on after a
 * broken promise, tries what Holdfast does not depend on as well, and returns
 * HF_OK.
 *
 * Gives     refusal->text, in words, on failure; *findings.
 * Returns   HF_OK; HF_E_UNSUPPORTED when it is refused; else as the module.
 * Blocks    for the generation of one RSA-2048 key pair in the token.
 */
HF_STATUS p11_selftest(struct p11_work *work, struct pkcs11_refusal *refusal,
                       struct token_findings *findings);
