/* slow: the steps that the verbs of the slow lane are made of: opening an
 * envelope of a mailbox, sealing a key for it, recording what became of it.
 */
#pragma once

#include "server/service/keys_slow.h"
#include "server/service/leases.h"
#include "server/service/resources.h"

#define SLOW_LEASES_MAX 4 /* open, rewrap or seal; once each */

/* One call on the slow lane. */
struct slow {
    struct service *service;
    struct key_call *call;
    struct resource_view view;
    /* what the call was served by: held until it is answered, so that a
     * revocation waits for the answer */
    struct lease *held[SLOW_LEASES_MAX];
    size_t held_count;
};

/* What became of a step: go on, or the call is no longer ours: it was answered,
 * or parked and will come back from the start. */
enum step { STEP_ON, STEP_OVER };

/* Answer the call: refused with a reason, or failed with what the status
 * means. Always STEP_OVER. */
enum step slow_refuse(struct slow *slow, enum reason reason, const char *text);
enum step slow_fail(struct slow *slow, enum hf_status status);

/* To be asked before every side effect. */
bool slow_is_cancelled(const struct slow *slow);
/* a DEP that is not enabled takes no new wrap. */
bool slow_may_wrap(struct slow *slow,
                   const struct generation_entry *generation);
/* it was purged. */
bool slow_is_tombstoned(const struct slow *slow);
/* The reply says what the key is wrapped by. */
void slow_tell_where(struct key_call *call,
                     const struct generation_entry *generation);

/* slow_hold: keeps a lease until the call is answered. slow_let_go: it is. */
void slow_hold(struct slow *slow, struct lease *lease);
void slow_let_go(struct slow *slow);

/* slow_open_envelope: opens an envelope of this mailbox into *out_key, the
 * caller's to free. Every kind of bad envelope is refused alike (N10 to N19).
 */
enum step slow_open_envelope(struct slow *slow, struct bytes blob,
                             struct secret **out_key);
/* slow_seal_wanted: seals under the generation the mailbox should be on.
 * slow_seal_key: under a lease that is at hand; does not answer the call. A
 * lease that does not seal is left, so that the next call gets another. */
enum step slow_seal_wanted(struct slow *slow, const struct secret *key,
                           uint8_t out[ENVELOPE_KEY_BYTES]);
HF_STATUS slow_seal_key(struct slow *slow, struct generation_entry *generation,
                        struct lease *lease, const struct secret *key,
                        uint8_t out[ENVELOPE_KEY_BYTES]);

/* slow_set_effective: the view's record now holds this envelope, under the
 * wanted generation. slow_record_resource: the view's record as its next
 * version, with an audit record, and into the cache. slow_record_rewrap: both,
 * for the stored key (M2, M6, M7); on failure the view is as before. */
void slow_set_effective(struct slow *slow,
                        const uint8_t envelope[ENVELOPE_KEY_BYTES]);
HF_STATUS slow_record_resource(struct slow *slow, struct change *change,
                               const char *activity);
HF_STATUS slow_record_rewrap(struct slow *slow,
                             const uint8_t envelope[ENVELOPE_KEY_BYTES]);
/* slow_record_new_key: the same with a key that takes the place of the stored
 * one, which is `replaced` and stays among the earlier ones.
 * The change may hold more. */
struct new_key {
    const uint8_t *envelope; /* ENVELOPE_KEY_BYTES */
    const struct secret *replaced;
    const char *activity;
    struct change *change;
};
HF_STATUS slow_record_new_key(struct slow *slow, const struct new_key *made);

/* slow_mark: what tells a key from every other without telling it.
 * slow_check_retired: KEY_RETIRED for one that its resource has retired
 * (R-15.15). */
HF_STATUS slow_mark(const struct secret *key, uint8_t out[HF_SHA256_BYTES]);
enum step slow_check_retired(struct slow *slow, const struct secret *key);

/* slow_repeat: what is kept of a call that makes a key, so that its repeat is
 * known; its content is its verb and resource. The mutation is the caller's. */
HF_STATUS slow_repeat(const struct slow *slow, struct mutation *mutation,
                      struct repeat *out);
/* slow_refuse_keyless: there is no key yet. */
enum step slow_refuse_keyless(struct slow *slow);
