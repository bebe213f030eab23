/* missing: "not found" is never proof of deletion.
 *
 * An empty search is believed, and answered HF_E_NOT_FOUND, only when
 *   - this process can still open descriptors (some modules answer "nothing
 *     there" when they cannot), and
 *   - a fresh session searches again and finds nothing either, and
 *   - for a software token, the module was initialised after it may have failed
 *     to read the key: it is renewed once for each key that is missing (and
 *     then all leased objects are gone), and the search is repeated; what that
 *     found is remembered for MISSING_KNOWN_MS, and
 *   - a canary in the same token answers:
 *       where the token has a key labelled HF_CANARY_LABEL (made with
 *       TOKEN_FOR_CANARY): random bytes encrypted to it come back from it;
 *       where it had one when it was opened and has none now: not believed;
 *       where it never had one: C_GetTokenInfo answers for the same label and
 *       serial, a session key made now opens what it sealed, and, when the
 *       token held any keys at its opening, it still shows at least one.
 * Everything else is HF_E_UNCONFIRMED, or OURS.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

#define HF_CANARY_LABEL "holdfast-canary"

/* p11_key_need: a key's handle, from the cache or by a search that is
 * confirmed as above. work->session is open afterwards.
 * Returns   HF_OK; HF_E_NOT_FOUND; HF_E_UNCONFIRMED; else as the module. */
HF_STATUS p11_key_need(struct p11_work *work, const struct token_key *key,
                       struct p11_cached_key *out);

/* p11_key_look: the same by a search, and an empty one costs nobody anything:
 * it is not confirmed, and the module never renewed for it. Returns   HF_OK;
 * HF_E_UNCONFIRMED; else as the module. */
HF_STATUS p11_key_look(struct p11_work *work, const struct token_key *key,
                       struct p11_cached_key *out);

/* p11_missing_confirm: what an empty search for this key is worth: see above.
 * Returns   HF_OK: it is missing; HF_E_UNCONFIRMED; OURS; or, once, what
 *           CKR_USER_NOT_LOGGED_IN means: the module was renewed; after the
 *           repair, search again. */
HF_STATUS p11_missing_confirm(struct p11_work *work,
                              const struct token_key *key);

/* p11_empty_confirm: whether this token may be believed when it shows nothing.
 * Returns   HF_OK; HF_E_UNCONFIRMED; OURS. */
HF_STATUS p11_empty_confirm(struct p11_work *work);

/* p11_canary_look: notes, when the token is opened, what will be there to be
 * seen later. */
HF_STATUS p11_canary_look(struct p11_work *work);

/* p11_with_key: runs one operation on a root key; a handle that has gone stale
 * is searched for again, and the operation repeated once. */
typedef enum hf_status p11_key_step_fn(struct p11_work *work,
                                       const struct p11_cached_key *key,
                                       void *argument);
HF_STATUS p11_with_key(struct p11_work *work, const struct token_key *key,
                       p11_key_step_fn *step, void *argument);
