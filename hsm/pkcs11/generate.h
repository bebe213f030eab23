/* generate: root keys are made in the token, with attributes fixed by purpose
 * and destroyed there. Both are durable when they return
 * (R-15.11). */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_generate: fills generate->report, as a fresh session sees the key.
 *
 * Gives     made[0..1], the handles of the new objects, as soon as they exist.
 * Returns   HF_OK; HF_E_EXISTS when a key with this id is there; HF_E_IO when
 *           it could not be made durable: then it was destroyed again, unless
 *           the token forbids that (R-15.13: CKA_DESTROYABLE is false);
 *           HF_E_INVALID; else as the module.
 */
HF_STATUS p11_generate(struct p11_work *work, struct token_generate *generate,
                       CK_OBJECT_HANDLE made[2]);

/* p11_destroy: every key object with this CKA_ID.
 * Returns   HF_OK: a fresh session sees none of them; HF_E_UNCONFIRMED when
 *           nothing was found and that is not to be believed; HF_E_DENIED when
 *           the token forbids it; HF_E_IO; else as the module. */
HF_STATUS p11_destroy(struct p11_work *work,
                      const struct token_destroy *destroy);

/* p11_undo: destroys token objects that nobody waits for any more. */
void p11_undo(struct p11_work *work, const CK_OBJECT_HANDLE made[2]);

/* p11_durable: the token's durability hook. HF_OK; HF_E_IO. Blocks on disk. */
HF_STATUS p11_durable(const struct p11_token *token);
