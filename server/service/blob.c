#include "server/service/blob.h"

#include "hsm/base/check.h"

#include "server/service/aead.h"
#include "server/service/core.h"
#include "server/store/hash.h"

#include <string.h>

/* A site's own place for the DEP of an envelope: a selector only, the context
 * is bound to the whole hash. */
static struct hf_id site_selector(const uint8_t site_hash[HF_SHA256_BYTES])
{
    struct hf_id id;
    memcpy(id.bytes, site_hash, sizeof id.bytes);
    return id;
}

void blob_bind(struct key_call *call, const struct hf_id *tenant,
               const uint8_t site_hash[HF_SHA256_BYTES])
{
    uint8_t both[2 * HF_SHA256_BYTES];
    struct context context = {
        .tenant = *tenant,
        .dep = site_selector(site_hash),
        .generation = SITE_KEY_VERSION,
        .workload = WORKLOAD_SHAREPOINT,
        .resource_type = RESOURCE_SITE,
        .purpose = PURPOSE_BLOB_KEY,
    };
    memcpy(both, site_hash, HF_SHA256_BYTES);
    resource_hash(call->blob, both + HF_SHA256_BYTES);
    /* fixed widths, so that no two pairs run together (N18) */
    CHECK(sha256(BYTES_OF(both), context.resource_hash) == HF_OK);
    context_encode(&context, ENVELOPE_SUITE_AES256_GCM, call->blob_context);
    call->blob_site = context.dep;
}

static HF_STATUS unwrap(struct key_call *call, const struct secret *site_key)
{
    struct envelope envelope;
    HF_OWNED(secret_freep) struct secret *key = NULL;
    HF_TRY(envelope_parse((struct bytes){call->wrapped, call->wrapped_len},
                          HF_KEY_BYTES, &envelope));
    if (envelope.suite != ENVELOPE_SUITE_AES256_GCM ||
        envelope.generation != SITE_KEY_VERSION ||
        !id_equal(&envelope.dep, &call->blob_site)) {
        return HF_E_BAD_BLOB;
    }
    HF_TRY(secret_new(HF_KEY_BYTES, &key));
    HF_TRY(aead_open(site_key, envelope.iv, BYTES_OF(call->blob_context),
                     envelope.sealed, secret_writable(key)));
    call->plaintext = HF_GIVE(key);
    return HF_OK;
}

static HF_STATUS wrap(struct key_call *call, const struct secret *site_key)
{
    uint8_t sealed[HF_KEY_BYTES + HF_GCM_TAG_BYTES];
    struct envelope envelope = {
        .suite = ENVELOPE_SUITE_AES256_GCM, /* no token opens it */
        .dep = call->blob_site,
        .generation = SITE_KEY_VERSION,
        .sealed = BYTES_OF(sealed),
    };
    if (call->plaintext == NULL) {
        HF_TRY(secret_random(HF_KEY_BYTES, &call->plaintext));
    }
    HF_TRY(
        rng_fill(call->service->settings.rng, envelope.iv, sizeof envelope.iv));
    HF_TRY(aead_seal(
        site_key, envelope.iv, BYTES_OF(call->blob_context),
        (struct bytes){secret_bytes(call->plaintext), HF_KEY_BYTES}, sealed));
    return envelope_encode(&envelope, call->envelope, sizeof call->envelope,
                           &call->envelope_len);
}

HF_STATUS blob_run(struct key_call *call, const struct secret *site_key)
{
    call->generation = SITE_KEY_VERSION;
    return call->verb == VERB_WRAP_BLOB_KEY ? wrap(call, site_key)
                                            : unwrap(call, site_key);
}
