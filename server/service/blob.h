/* blob: blob (file-chunk) keys under a site key, in process: the site key is in
 * locked memory anyway when it was opened (R-15.8, crypto.md). The envelope
 * names the site in place of a DEP and the site key's version in place of a
 * generation, never a TIK or customer key: no roll above it makes it stale. */
#pragma once

#include "server/service/keys.h"

#define SITE_KEY_VERSION 1

/* blob_bind: what the call's blob is bound to: tenant, site, site key version,
 * blob id. Fills call->blob_context and call->blob_site. */
void blob_bind(struct key_call *call, const struct hf_id *tenant,
               const uint8_t site_hash[HF_SHA256_BYTES]);

/* blob_run: WRAP_BLOB_KEY: call->plaintext (made here when there is none) into
 * call->envelope. UNWRAP_BLOB_KEY: call->wrapped into call->plaintext.
 * Returns   HF_OK; HF_E_BAD_BLOB, for every kind of bad envelope alike;
 *           HF_E_NO_MEMORY; HF_E_INTERNAL. Never blocks. */
HF_STATUS blob_run(struct key_call *call, const struct secret *site_key);

static inline bool verb_is_blob(enum verb verb)
{
    return verb == VERB_WRAP_BLOB_KEY || verb == VERB_UNWRAP_BLOB_KEY;
}
