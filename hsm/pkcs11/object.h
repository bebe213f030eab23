/* object: root keys, found by CKA_ID and pinned by their public key, and what
 * the token says of them. A handle that was found is kept until the session
 * generation ends or the token says it is gone. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

#define P11_MATCHES_MAX 16

/* p11_find: every object that fits a template.
 * Returns   HF_OK, also for none; HF_E_LIMIT for more than cap. */
HF_STATUS p11_find(struct p11_work *work, CK_ATTRIBUTE *filter,
                   size_t filter_len, CK_OBJECT_HANDLE *out, size_t cap,
                   size_t *out_count);

/* p11_key_search: asks the token on work->session, not the cache.
 * Gives     *out_handle, and the key's real fingerprint in *out_key.
 * Returns   HF_OK; HF_E_NOT_FOUND: an empty search and nothing more
 *           (missing.h says what it is worth); HF_E_UNCONFIRMED when more than
 *           one key fits, so that none can be singled out; else as the module.
 */
HF_STATUS p11_key_search(struct p11_work *work, const struct token_key *key,
                         struct token_key *out_key,
                         CK_OBJECT_HANDLE *out_handle);

/* p11_key_cached: a copy of what is known; false when nothing is. */
bool p11_key_cached(struct p11_token *token, const struct token_key *key,
                    struct p11_cached_key *out);
/* p11_key_remember: generation is the one it was found in. */
void p11_key_remember(struct p11_token *token,
                      const struct p11_cached_key *found);
void p11_key_forget(struct p11_token *token, const struct token_key *key);

/* p11_key_class: the class of the half that acts: private or secret. */
CK_OBJECT_CLASS p11_key_class(enum token_key_type type);
CK_KEY_TYPE p11_key_type(enum token_key_type type);

/* p11_attribute: one attribute's bytes; *len is the capacity, then the length.
 * HF_E_UNSUPPORTED when the object does not have it. */
HF_STATUS p11_attribute(struct p11_work *work, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE_TYPE type, void *out, size_t *len);
/* p11_flag: a CK_BBOOL; absent counts as otherwise. */
HF_STATUS p11_flag(struct p11_work *work, CK_OBJECT_HANDLE object,
                   CK_ATTRIBUTE_TYPE type, bool otherwise, bool *out);

/* p11_object_destroy: HF_OK also when it is gone already. */
HF_STATUS p11_object_destroy(struct p11_work *work, CK_OBJECT_HANDLE object);
