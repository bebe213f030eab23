/* slot: which slot holds the token, by label and serial: slot numbers change
 * from start to start. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_slot_find: sets token->slot, and token->serial when it was not given.
 *
 * Gives     *out_matches, how many tokens fit.
 * Returns   HF_OK; HF_E_NOT_FOUND for none or more than one; or what the
 *           module's answer means.
 */
HF_STATUS p11_slot_find(struct p11_work *work, size_t *out_matches);

/* p11_token_info: the profile's texts, flags and memory from C_GetTokenInfo,
 * and the token's session limit as *out_sessions (0: it names none). */
HF_STATUS p11_token_info(struct p11_work *work, struct token_profile *profile,
                         size_t *out_sessions);

/* p11_text_of: a blank-padded PKCS#11 text without its padding; out holds
 * len + 1 bytes. */
void p11_text_of(const unsigned char *padded, size_t len, char *out);
