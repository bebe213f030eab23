/* keys: the data plane (specification 6).
 *
 * Two lanes. The hot lane runs on the caller's (polling) thread: everything an
 * UnwrapKey needs is in memory, the caller's grants are evaluated, a lease is
 * live; one AES operation, then done. Everything else (a lease to be had, a
 * rewrap, a key to be made) is handed to the slow lane, bounded, and done comes
 * from there. A hot call writes nothing to the store and asks no root key.
 */
#pragma once

#include "hsm/sys/secret.h"

#include "server/domain/envelope.h"

#include "server/service/liars.h"
#include "server/service/service.h"

enum system_purpose {
    SYSTEM_PURPOSE_NONE = 0,
    SYSTEM_PURPOSE_EDISCOVERY = 1,
    SYSTEM_PURPOSE_ANTI_MALWARE = 2,
    SYSTEM_PURPOSE_ANTI_SPAM = 3,
    SYSTEM_PURPOSE_SEARCH_INDEXING = 4,
    SYSTEM_PURPOSE_DATA_LOSS_PREVENTION = 5,
    SYSTEM_PURPOSE_MOVE = 6,
    SYSTEM_PURPOSE_REWRAP = 7,
};

struct key_call;
typedef void key_call_done_fn(struct key_call *call);

/* One call; owned by the edge until done was called, exactly once, on any
 * thread, possibly before submit returns. */
struct key_call {
    /* GENERATE_KEY, WRAP_KEY, UNWRAP_KEY, REWRAP_KEY, RENEW_KEY,
     * RETIRE_EARLIER_KEYS; of sites CREATE_SITE_KEY,
     * UNWRAP_SITE_KEY, REWRAP_KEY, WRAP_BLOB_KEY, UNWRAP_BLOB_KEY */
    enum verb verb;
    const struct caller *caller;
    char tenant[HF_NAME_MAX_BYTES + 1];
    enum resource_type type;
    char resource[HF_RESOURCE_ID_MAX_BYTES + 1];
    char blob[HF_RESOURCE_ID_MAX_BYTES + 1]; /* of blob verbs */
    uint8_t wrapped[ENVELOPE_MAX_BYTES];
    size_t wrapped_len;       /* UNWRAP, REWRAP; 0: the stored one */
    struct secret *plaintext; /* WRAP: in. UNWRAP, GENERATE: result.
                                 WRAP_BLOB: in, or NULL: made here. The edge
                                 frees it. */
    bool confirm;             /* RETIRE_EARLIER_KEYS */
    bool validate_only;       /* RETIRE_EARLIER_KEYS */
    enum initiator initiator;
    enum system_purpose purpose;
    char request_id[HF_ID_TEXT]; /* the client's; "": none */
    int64_t deadline_ms;         /* monotonic; 0: none */
    /* Looked at again before every side effect; any thread. */
    bool (*cancelled)(struct key_call *call);
    key_call_done_fn *done;
    void *owner;

    /* result */
    enum hf_status status;
    struct problem problem;
    uint8_t envelope[ENVELOPE_KEY_BYTES]; /* GENERATE, WRAP, REWRAP; UNWRAP
                                             only when the access rewrapped */
    size_t envelope_len;
    /* RENEW: the envelope of the key that was replaced */
    uint8_t replaced[ENVELOPE_KEY_BYTES];
    size_t replaced_len;
    bool keyless;     /* refused: the resource has no key yet */
    uint32_t retired; /* RETIRE_EARLIER_KEYS: so many */
    struct hf_id dep; /* what it is wrapped by */
    bool dep_is_service_managed;
    uint32_t generation;

    /* the service's own while the call is in its hands */
    struct service *service;
    struct key_call *link;
    struct token_request token_request;
    struct key_binding binding;
    uint8_t stored[ENVELOPE_KEY_BYTES]; /* blob verbs: the site's envelope */
    size_t stored_len;
    struct secret *site_key;
    struct hf_id blob_site;
    uint8_t blob_context[CONTEXT_BYTES];
    void *lease;
    uint32_t tries;
    struct liars liars; /* it got a wrong key from them */
    /* what audit records call the request: request_id, or one made on the slow
     * lane, which makes it no repeat; "": not there yet */
    char audit_id[HF_ID_TEXT];
    bool has_results; /* what an attempt shared with this call came to */
    uint8_t results[HF_CUSTOMER_KEYS_PER_DEP];
    struct hf_id results_dep;
    uint32_t results_generation;
    uint64_t results_revision;
};

/* keys_submit: hands over a batch of calls. Never blocks. */
void keys_submit(struct service *service, struct key_call *const *calls,
                 size_t count);
