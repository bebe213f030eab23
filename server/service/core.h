/* core: what the files of this module share. Not for the edge.
 *
 * Ranks of locks, outermost first: the writing lock of the denials,
 * record_lock, catalogue.lock, generation.lock, notices.lock,
 * version.health_lock; ak_tokens.lock inside any. No token,
 * store or edge is called while catalogue.lock or an inner one is held.
 */
#pragma once

#include "server/domain/workload_catalogue.h"

#include "server/service/blob_alert.h"
#include "server/service/catalogue.h"
#include "server/service/denials.h"
#include "server/service/ledger.h"
#include "server/service/pool.h"
#include "server/service/service.h"
#include "server/service/topic.h"

struct ak_tokens;
struct operations;
struct purge_book;
struct rows;
struct scheduler;
struct chronicle;
struct checkpoints;
struct notices;

struct service {
    struct service_settings settings;
    struct ledger *ledger;
    struct catalogue catalogue;
    struct pool *pool;
    struct rows *rows;
    struct operations *operations;
    struct purge_book *purges;
    struct ak_tokens *ak_tokens;
    struct scheduler *scheduler;
    struct chronicle *chronicle;
    struct checkpoints *checkpoints;
    struct notices *notices;
    /* Held from the last look at the facts to the change of the catalogue by
     * every administrative change: what was decided is what is recorded. Token
     * work is done before it. */
    pthread_mutex_t record_lock;
    void (*health_changed)(void *context, const struct hf_id *dep,
                           enum dep_health health);
    void *health_context;
    struct blob_alerts blob_alerts;
    struct blob_alerts lie_alerts; /* liars.h */
    struct denials *denials;
    int64_t held_since_ms; /* held.h; set at start */
    int64_t carry_due_ms;  /* the scheduler's */
    atomic_bool scrubbing;
    atomic_bool carrying; /* to a mirror that is enrolled (ak_enrol.h) */
    atomic_bool stopping; /* what takes long ends early */
    atomic_uint_fast64_t root_ops;
    atomic_uint_fast64_t ak_uses;
    atomic_uint_fast64_t hot_calls;
    atomic_uint_fast64_t slow_calls;
    atomic_uint_fast64_t overloaded;
    atomic_uint_fast64_t checkpoint_count;
    atomic_uint_fast64_t leases;
    atomic_uint_fast64_t tik_answers_due; /* of races, the late ones too */
};

/* service_itself: the caller of what the service does on its own account, such
 * as a background rewrap. Known by its address: nobody's certificate can say
 * it. It is let in everywhere, may say SYSTEM, and holds what any identity
 * holds on a customer key: the service works for whoever was granted. */
extern const struct caller service_itself;

/* service_admit: the one place where a caller is let in: tenant first, then
 * role, then initiator (server/domain/access.h). tenant "" for verbs without.
 *
 * Gives     *out_tenant (may be NULL when not wanted), the entry; NULL for "".
 * Returns   HF_OK; else *problem is filled: NOT_FOUND for another tenant or a
 *           missing one, alike.
 */
HF_STATUS service_admit(struct service *service, const struct caller *caller,
                        enum verb verb, const char *tenant,
                        struct tenant_entry **out_tenant,
                        struct problem *problem);
/* the same for the data plane; the catalogue's lock is held by the caller */
HF_STATUS service_admit_call(struct service *service,
                             const struct key_call *call,
                             struct tenant_entry **out_tenant,
                             struct problem *problem);
/* service_note_denial: a refusal of an administrative verb, for the chain
 * (denials.h). service_admit has done it for its own. */
void service_note_denial(struct service *service, const struct caller *caller,
                         enum verb verb, const char *tenant,
                         const struct problem *problem);

/* service_admit_workload: the same for a verb about one workload: of the
 * workloads only its own is let in. workload_check: it can have a key;
 * NOT_FOUND, FIELD_INVALID, WORKLOAD_NOT_COVERED. */
struct workload_name {
    const char *tenant;
    const struct workload_row *row; /* NULL: there is none of that name */
};
HF_STATUS service_admit_workload(struct service *service,
                                 const struct caller *caller, enum verb verb,
                                 const struct workload_name *name,
                                 struct tenant_entry **out_tenant,
                                 struct problem *problem);
HF_STATUS workload_check(const struct workload_row *row,
                         struct problem *problem);

/* Repeats (AIP-155). repeat_check: *out_seen true when this very request was
 * done before, *out_object then names what it made; the ledger is settled.
 * FIELD_INVALID / REQUEST_ID_REUSED as a problem. repeat_record adds the record
 * of it to the change. Both do nothing for an empty request id. */
struct repeat {
    const struct caller *caller;
    enum verb verb;
    struct hf_id tenant; /* nil: none */
    const struct mutation *mutation;
};
HF_STATUS repeat_check(struct service *service, const struct repeat *repeat,
                       bool *out_seen, struct hf_id *out_object,
                       struct problem *problem);
HF_STATUS repeat_record(struct service *service, const struct repeat *repeat,
                        const struct hf_id *object, struct change *change);

/* etag_write / etag_check: "" is not compared; ETAG_MISMATCH. */
void etag_write(const struct stamp *stamp, char out[ETAG_BYTES]);
HF_STATUS etag_check(const char *etag, const struct stamp *stamp,
                     struct problem *problem);

/* audit_change: one administrative record: who did which verb to what; details
 * is an extra JSON object as text, or NULL. */
struct audit_entry {
    const struct caller *caller; /* NULL: the service itself */
    const char *activity;        /* the verb's method, or the activity's name */
    struct hf_id tenant;         /* nil: the service's own */
    const char *object;          /* resource name */
    const char *details;         /* JSON object; NULL: none */
    const char *request_id;      /* "" or NULL: none */
};
HF_STATUS audit_change(struct service *service, struct change *change,
                       const struct audit_entry *entry);

/* A change that narrows is in effect when it is answered, and so is a
 * repeat of it: leases_narrow ends every lease of the generations that use this
 * customer key, or of this DEP; record_lock is held since the catalogue knows
 * the narrower facts, so that a repeat finds it done. leases_settle waits for
 * the calls that were using them. */
void leases_narrow_for_key(struct service *service,
                           const struct key_entry *key);
void leases_settle_for_key(struct service *service,
                           const struct key_entry *key);
void leases_narrow_for_dep(struct service *service,
                           const struct dep_entry *dep);
void leases_settle_for_dep(struct service *service,
                           const struct dep_entry *dep);

/* token_entry_configured: the token to ask; NULL: none is configured, or what
 * is there under its name turned out to be another than the enrolled one. One
 * that could not be opened yet counts: it answers that itself. The catalogue's
 * lock is held. */
const struct configured_token *
token_entry_configured(const struct token_entry *entry);

/* token_entry_ask: the same, for callers that do not hold the catalogue's lock.
 */
const struct configured_token *token_entry_ask(struct service *service,
                                               const struct token_entry *entry);

/* key_round_trip: wraps random bytes for this key version, has the token
 * unwrap them the way the residency does, and proves they are the same
 * (R-4.17, probes ). HF_OK, or the attempt's status. */
HF_STATUS key_round_trip(struct service *service, struct token_entry *token,
                         const struct key_version_record *version,
                         enum residency residency);

/* generation_test: for each customer key: its copy opens and the key
 * commitment verifies. Never the availability key. */
HF_STATUS generation_test(struct service *service,
                          struct generation_entry *generation,
                          enum root_slot slot);

/* health_note: what an attempt at a key version came to, whoever made it;
 * updates health, breaker, what is known now and the DEPs that rest on it, and
 * tells the watcher. A key that its token does not show is reported once, and
 * once more when it is seen again: it is never forgotten, and every probe and
 * every call looks for it anew. */
void health_note(struct service *service, struct key_version_entry *version,
                 enum hf_status status);
/* The catalogue's lock is held. */
enum dep_health dep_health_locked(struct service *service,
                                  const struct dep_entry *dep);
/* health_refresh: after a change of grants or of enabled: works out every DEP's
 * health again and tells the watcher what changed. */
void health_refresh(struct service *service);
/* key_serves_anyone: enabled, and at least one identity may unwrap. The
 * catalogue's lock is held. */
bool key_serves_anyone(const struct key_entry *key,
                       const struct key_version_entry *version,
                       int64_t wall_ms);

/* key_attempt_known: what an attempt would come to, by what is known; by the
 * last one made, or DENIED when nobody may use the key. The catalogue's lock is
 * held. */
enum attempt key_attempt_known(const struct key_entry *key,
                               struct key_version_entry *version,
                               int64_t wall_ms);

/* dep_make_keys: T1's DEP_FX_MAKE_KEYS. Generates the availability key in every
 * one of its tokens (durable), mints the DEP key and its copies, and checks
 * that every copy opens to the same key. On failure nothing is left behind but,
 * at worst, an orphan availability key that is reported. For SERVICE_MANAGED
 * keys are NULL.
 */
struct dep_key_plan {
    struct dep_record *dep; /* ak_cka_id, ak_state and ak_version are filled */
    struct generation_record *generation; /* filled */
    struct key_entry *keys[HF_CUSTOMER_KEYS_PER_DEP];
    struct key_version_entry *versions[HF_CUSTOMER_KEYS_PER_DEP];
    /* SHAREPOINT_GEO: the public half of its availability key; filled */
    uint8_t ak_spki[HF_SPKI_MAX_BYTES];
    size_t ak_spki_len;
    uint8_t ak_fingerprint[HF_SHA256_BYTES];
};
HF_STATUS dep_make_keys(struct service *service, struct dep_key_plan *plan);
/* dep_make_generation: the same for plan->dep->generation of a DEP whose
 * availability key is there (DEP_FX_NEW_GENERATION); nothing is left behind on
 * failure. */
HF_STATUS dep_make_generation(struct service *service,
                              struct dep_key_plan *plan);
/* dep_unmake_keys: after a failed record: destroys the availability keys that
 * dep_make_keys made. */
void dep_unmake_keys(struct service *service, const struct dep_record *dep);

/* rows: verified resource rows (rows.h) that a change of assignment touches. */
void rows_forget(struct service *service, const struct hf_id *tenant,
                 enum resource_type type, const char *resource_id);

int64_t service_wall_ms(const struct service *service);
int64_t service_monotonic_ms(const struct service *service);
