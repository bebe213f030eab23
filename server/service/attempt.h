/* attempt: one attempt at one root of a generation: the token unwraps, the key
 * commitment verifies, and there is a lease (R-6.6, table 6-A). */
#pragma once

#include "server/service/ak_tokens.h"
#include "server/service/leases.h"

/* attempt_note: what an attempt came to: health, breaker and what is known of
 * the key are told, and a copy that proved bad. */
void attempt_note(struct service *service, struct generation_entry *generation,
                  size_t slot, enum hf_status status);

/* attempt_customer_key: HF_OK with *out_lease; else the attempt's status, as
 * hsm/token/token.h; HF_E_BAD_BLOB also when the commitment does not fit.
 * Health and breaker of the key are told. drop_dead_ms: 0 or the caller's
 * deadline. */
HF_STATUS attempt_customer_key(struct service *service,
                               struct generation_entry *generation, size_t slot,
                               int64_t drop_dead_ms, struct lease **out_lease);

/* The two halves of it, for who does not wait in between: what the token is to
 * be asked (HF_OK, or nothing is to be asked), and what its success is worth.
 * Neither tells health and breaker. */
struct attempt_asked {
    const struct token *token;
    struct token_request request;
    enum lease_source source;
    size_t slot;
    int64_t asked_ms; /* monotonic: the lease's life begins here */
};
HF_STATUS attempt_prepare(struct service *service,
                          struct generation_entry *generation, size_t slot,
                          struct attempt_asked *out);
HF_STATUS attempt_finish(struct service *service,
                         struct generation_entry *generation,
                         const struct attempt_asked *asked,
                         struct lease **out_lease);

/* attempt_service_root: by the availability key, or the tenant's own root of a
 * SERVICE_MANAGED DEP: AES objects in the AK token; a geo's is an RSA pair in a
 * token of its own. Where the token has mirrors, any one that opens its copy
 * will do; when none does, HF_E_NOT_FOUND or HF_E_BAD_BLOB only if each says
 * so. One of the liars is not asked: HF_E_BAD_BLOB. attempt_root_in: by that of
 * one token alone. */
HF_STATUS attempt_root_in(struct service *service,
                          struct generation_entry *generation,
                          const struct ak_token_ref *ref, int64_t drop_dead_ms,
                          struct lease **out_lease);
HF_STATUS attempt_service_root(struct service *service,
                               struct generation_entry *generation,
                               int64_t drop_dead_ms, const struct liars *liars,
                               struct lease **out_lease);

/* commitment_context: what the key commitment of a generation is bound to. */
void commitment_context(const struct generation_record *generation,
                        uint8_t out[CONTEXT_BYTES]);
#define COMMITMENT_TEXT  "holdfast DEP key commitment v1"
#define COMMITMENT_BYTES (sizeof COMMITMENT_TEXT - 1)
