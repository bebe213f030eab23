/* ledger: the store with its seals. Nothing above it touches a store record
 * whose MAC was not checked, and nothing is acknowledged that a rollback of the
 * store could take back unseen.
 *
 * Two kinds of MAC, both HMAC-SHA-256 over record_mac_input:
 *   sealed records (tenant, token, customer key, key version, grant, DEP,
 *     generation) under the record MAC key inside the service's token;
 *   rows (resource, names, requests, ...) under a subkey derived from it at
 *     start, held in locked memory.
 *
 * The root of an epoch is a keyed multiset hash over all sealed records: the
 * sum modulo 2^256 of HMAC(set key, kind | key | version | MAC) for each. It is
 * kept up as records change and recomputed from the store at start, so that one
 * record put back to an earlier version, or taken out, is seen although its own
 * MAC is good.
 *
 * Order of a sealed change: store transaction (records, audit, epoch), then
 * the epoch in the token, then the older ones destroyed, then the
 * acknowledgement.
 */
#pragma once

#include "hsm/sys/clock.h"

#include "hsm/token/names.h"
#include "hsm/token/token.h"

#include "server/service/problem.h"
#include "server/service/topic.h"
#include "server/store/store.h"

struct ledger;

/* The names of the service token's objects (holdfast-hsm service init). */
#define LEDGER_MAC_KEY_ID  "hf-record-mac"
#define LEDGER_EPOCH_LABEL TOKEN_NAME_EPOCH

/* Where a record stands: what compare-and-set compares. version 0: none. */
struct stamp {
    uint64_t version;
    uint8_t mac[HF_SHA256_BYTES];
};

/* ledger_open: derives the subkeys and checks the epoch against the token.
 * ledger_load comes next, before any change.
 *
 * Returns   HF_OK; HF_E_CORRUPT with *problem saying what does not fit;
 *           HF_E_NOT_FOUND the record MAC key is not in the token; the token's
 *           and the store's failures.
 */
HF_STATUS ledger_open(const struct store *store, const struct token *token,
                      const struct clock *clock, struct ledger **out_ledger,
                      struct problem *problem);
/* ledger_open_blind: to read a store whose token is lost (reseal.h): no MAC and
 * no epoch is checked, and nothing can be committed. */
HF_STATUS ledger_open_blind(const struct store *store,
                            const struct clock *clock,
                            struct ledger **out_ledger);
void ledger_close(struct ledger *ledger);
const struct store *ledger_store(struct ledger *ledger);

/* A change: records to write or take away, and the audit records that say so,
 * all in one transaction. */
struct change;
HF_STATUS change_new(struct change **out_change);
void change_free(struct change *change);
HF_DEFINE_FREEP(struct change, change)

/* change_put: record (kind, key, body) as the version after *current.
 * out_next, if not NULL, is where the record stands after the commit; written
 * by ledger_commit, must stay in place until then. */
HF_STATUS change_put(struct change *change, const struct record *record,
                     const struct stamp *current, struct stamp *out_next);
HF_STATUS change_remove(struct change *change, enum record_kind kind,
                        struct bytes key, uint64_t version);
/* change_audit: one audit record as JSON text. tenant nil: the service's. */
HF_STATUS change_audit(struct change *change, const struct hf_id *tenant,
                       const char *json);

/* ledger_commit: all of the change, or nothing.
 *
 * Returns   HF_OK: durable, sealed, the epoch in the token;
 *           HF_E_CONFLICT, HF_E_EXISTS: nothing happened;
 *           HF_E_UNREACHABLE and the like before the store's commit: nothing
 *           happened; HF_E_TIMEOUT: committed in the store, the token did not
 *           take the epoch: not to be acknowledged; repeat with the same
 *           request id (ledger_settle does what is left).
 * Blocks    some milliseconds; seconds when the token or disk is slow.
 * Threads   safe from any; sealed changes are one at a time.
 */
HF_STATUS ledger_commit(struct ledger *ledger, struct change *change);
/* ledger_watch: topics_watch's part. */
void ledger_watch(struct ledger *ledger, topic_fn *changed, void *context);
/* ledger_last_index: of the last link of the audit chain; 0: none. */
uint64_t ledger_last_index(const struct ledger *ledger);
/* ledger_epoch: the counter of the newest epoch; 0: none. */
uint64_t ledger_epoch(struct ledger *ledger);
/* ledger_settle: HF_OK when the token's epoch is the store's, catching up if
 * need be. Called before a repeated request is answered from the record. */
HF_STATUS ledger_settle(struct ledger *ledger);

/* ledger_get: one record, its MAC checked; *out_stamp where it stands.
 * Returns   HF_OK; HF_E_NOT_FOUND; HF_E_CORRUPT when the MAC does not fit. */
HF_STATUS ledger_get(struct ledger *ledger, enum record_kind kind,
                     struct bytes key, struct record *out_record,
                     struct stamp *out_stamp);
typedef enum hf_status ledger_each_fn(void *context,
                                      const struct record *record,
                                      const struct stamp *stamp);
/* ledger_load: every sealed record once, its MAC checked, in an order in which
 * each comes after those it names: tenants, tokens, customer keys, versions,
 * grants, DEPs, generations; and the root over all. What each is given is not
 * to be acted on before HF_OK: an earlier version of a record has a good MAC.
 *
 * Returns   HF_OK; HF_E_CORRUPT, the store's and the token's failures with
 *           *problem saying what does not fit; what each said, as it left
 *           *problem.
 */
HF_STATUS ledger_load(struct ledger *ledger, ledger_each_fn *each,
                      void *context, struct problem *problem);
/* ledger_each: every record of a kind under a prefix, each checked. */
HF_STATUS ledger_each(struct ledger *ledger, enum record_kind kind,
                      const struct store_page *page, ledger_each_fn *each,
                      void *context);
/* ledger_each_assigned: the resources that the index of a DEP names, in the
 * order of their keys; index and resource of one snapshot, each checked.
 * after: the key of a resource, BYTES_NONE: from the first.
 * Returns   as ledger_each; HF_E_CORRUPT also for a row of the index that leads
 *           nowhere. */
HF_STATUS ledger_each_assigned(struct ledger *ledger, const struct hf_id *dep,
                               struct bytes after, ledger_each_fn *each,
                               void *context);

/* ledger_set_add: takes a record into the keyed hash of a set: the same for the
 * same records in any order, another for any other set. For what a sealed
 * record vouches for (tombstones). set: zero at first. */
HF_STATUS ledger_set_add(struct ledger *ledger, uint8_t set[HF_SHA256_BYTES],
                         const struct record *record);
