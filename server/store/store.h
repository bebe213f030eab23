/* store: the port to what Holdfast remembers. It only ever holds wraps.
 *
 * Records are canonical bytes under a kind and a key, each with a version that
 * rises by one (compare-and-set: one winner, I3) and a MAC that the service
 * computes and checks; the store neither reads nor makes either.
 * Bodies are encoded by server/store/record.h. Beside the records: the audit
 * chain, appended in the transaction of what it records, and the
 * history of epochs.
 *
 * One write transaction at a time; any number of readers, each a consistent
 * snapshot. What was committed is durable when store_commit returns; an adapter
 * whose sync fails ends the process (facts: after a failed sync nothing that is
 * read back can be believed).
 *
 * May not: log, decide, know a key, open a socket.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/ids.h"
#include "hsm/base/limits.h"
#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every kind of record: its word, its stored number (never reuse one), and what
 * its MAC is made under: SEALED under the record MAC key inside the
 * service's token, ROW under a subkey in the daemon's memory. */
#define RECORD_KIND_TABLE(X)                                                   \
    X(TENANT, 1, SEALED)                                                       \
    X(TOKEN, 2, SEALED)        /* an enrolled token                        */  \
    X(CUSTOMER_KEY, 3, SEALED) /* name and current version                 */  \
    X(KEY_VERSION, 4, SEALED)                                                  \
    X(GRANT, 5, SEALED)                                                        \
    X(DEP, 6, SEALED)                                                          \
    X(GENERATION, 7, SEALED) /* the wrapped copies of one DEP key        */    \
    X(RESOURCE, 8, ROW)      /* a mailbox, ...: assignment and stored key */   \
    X(NAME, 9, ROW)          /* index: scope and folded name -> id       */    \
    X(ASSIGNED, 10, ROW)     /* index: DEP -> resource                   */    \
    X(REQUEST, 11, ROW)      /* idempotency: request id -> what came of it */  \
    X(SEALS, 12, ROW)        /* seals reserved per generation            */    \
    X(OPERATION, 13, ROW)    /* a long-running operation                 */    \
    X(TENANT_ASSIGNMENT, 14, SEALED)                                           \
    X(GEO, 15, SEALED) /* a SharePoint geo: its DEP, its recovery */           \
    X(WORKLOAD_PROGRESS, 16, ROW) /* what a workload reported            */    \
    X(ONBOARDING, 21, SEALED)     /* a request and what the checks said */     \
    X(WRAPPED, 23, ROW)        /* index: DEP, generation -> resource       */  \
    X(INDEX, 26, ROW)          /* an index that is complete                */  \
    X(HELD, 30, ROW)           /* index: DEP, generation -> resource       */  \
    X(OFFICER, 17, SEALED)     /* who may approve a purge                  */  \
    X(PURGE, 18, SEALED)       /* how far the purge of a DEP is            */  \
    X(APPROVAL, 19, SEALED)    /* an officer's signature                   */  \
    X(TOMBSTONE, 20, ROW)      /* a purged resource; PURGE seals the set   */  \
    X(CERTIFICATE, 28, SEALED) /* the signed record of a destruction     */    \
    X(CHECKPOINT, 24, ROW)     /* the signed heads of the audit chains   */    \
    X(DELETION, 29, SEALED)    /* a resource that was deleted              */  \
    X(MOVE, 22, ROW)           /* index: moves queued and running        */    \
    X(ENCRYPTED, 27, ROW)      /* index: DEP -> mailbox encrypted under it */  \
    X(NOTICE, 25, ROW)         /* what a tenant was told of an outage  */      \
    X(AK_TOKEN, 31, SEALED)    /* a token of availability keys          */

enum record_kind {
#define X(word, number, mac) RECORD_##word = (number),
    RECORD_KIND_TABLE(X)
#undef X
};

/* record_kind_is_known: for numbers from outside.
 * record_kind_is_sealed: see above.
 * record_kind_at: every kind, from 0; 0 behind the last. */
bool record_kind_is_known(int kind);
bool record_kind_is_sealed(enum record_kind kind);
enum record_kind record_kind_at(size_t index);

#define RECORD_KEY_MAX_BYTES  96
#define RECORD_BODY_MAX_BYTES 8192

struct record {
    enum record_kind kind;
    uint8_t key[RECORD_KEY_MAX_BYTES];
    size_t key_len;
    uint64_t version; /* from 1 */
    uint8_t mac[HF_SHA256_BYTES];
    uint8_t previous_mac[HF_SHA256_BYTES]; /* of version - 1; zero for 1 */
    size_t body_len;
    uint8_t body[RECORD_BODY_MAX_BYTES];
};

/* One link of the audit chain. hash = SHA-256("HFA2" | index u64 | previous
 * hash | content hash), content hash = SHA-256(tenant | time_ms u64 | body as
 * length-prefixed bytes): whoever may not read a record can still follow the
 * chain through it. index from 1, the first link's previous hash is all zero.
 * body is the record itself as canonical JSON text. */
struct audit_link {
    uint64_t index;
    struct hf_id tenant; /* nil: the service's own */
    int64_t time_ms;
    uint8_t previous[HF_SHA256_BYTES];
    uint8_t hash[HF_SHA256_BYTES];
    size_t body_len;
    uint8_t body[RECORD_BODY_MAX_BYTES];
};

/* One epoch: written in the transaction it covers. */
struct epoch {
    uint64_t counter;              /* from 1, without gaps */
    uint8_t root[HF_SHA256_BYTES]; /* over all sealed records, see ledger.h */
    uint64_t audit_index;          /* the last link at that moment */
    uint8_t mac[HF_SHA256_BYTES];
};

struct store_txn;

enum store_mode { STORE_READ, STORE_WRITE };

struct store_page {
    struct bytes prefix; /* keys that start with it                     */
    struct bytes after;  /* keys behind it; BYTES_NONE: from the start  */
    size_t max;          /* at most so many                             */
};

/* Called for each record in key order; the record is the store's, valid during
 * the call. Anything but HF_OK ends the listing and is returned, and does not
 * spoil the transaction. A callback may store_get; any other call on the same
 * transaction stops the process. */
typedef enum hf_status store_record_fn(void *context,
                                       const struct record *record);
typedef enum hf_status store_audit_fn(void *context,
                                      const struct audit_link *link);
typedef enum hf_status store_epoch_fn(void *context, const struct epoch *epoch);

struct store_port {
    HF_STATUS(*begin)
    (void *self, enum store_mode mode, struct store_txn **out_txn);
    HF_STATUS(*get)
    (struct store_txn *txn, enum record_kind kind, struct bytes key,
     struct record *out_record);
    HF_STATUS (*put)(struct store_txn *txn, const struct record *record);
    HF_STATUS(*remove)
    (struct store_txn *txn, enum record_kind kind, struct bytes key,
     uint64_t version);
    HF_STATUS(*list)
    (struct store_txn *txn, enum record_kind kind,
     const struct store_page *page, store_record_fn *each, void *context);
    HF_STATUS(*count)
    (struct store_txn *txn, enum record_kind kind, struct bytes prefix,
     uint64_t *out_count);
    HF_STATUS (*audit_append)(struct store_txn *txn, struct audit_link *link);
    HF_STATUS(*audit_list)
    (struct store_txn *txn, const struct hf_id *tenant, uint64_t from_index,
     size_t max, store_audit_fn *each, void *context);
    HF_STATUS (*epoch_append)(struct store_txn *txn, const struct epoch *epoch);
    /* newest first */
    HF_STATUS(*epoch_list)
    (struct store_txn *txn, size_t max, store_epoch_fn *each, void *context);
    HF_STATUS (*commit)(struct store_txn *txn); /* frees txn, always */
    void (*rollback)(struct store_txn *txn);    /* frees txn */
    uint64_t (*writes)(void *self); /* committed write transactions */
    void (*close)(void *self);
};

struct store {
    const struct store_port *port;
    void *self;
};

/* store_begin: a snapshot (READ) or the one write transaction (WRITE).
 *
 * Gives     *out_txn, ended by store_commit or store_rollback.
 * Returns   HF_OK; HF_E_IO; HF_E_NO_MEMORY; HF_E_OVERLOAD when the writer could
 *           not be had in time.
 * Blocks    WRITE: until the writer before is done, at most 5 s.
 * Threads   a transaction belongs to the thread that began it; another's use of
 *           it, or a write in a READ one, stops the process.
 */
HF_STATUS store_begin(const struct store *store, enum store_mode mode,
                      struct store_txn **out_txn);

/* store_get: HF_OK; HF_E_NOT_FOUND; HF_E_CORRUPT (sizes that cannot be);
 * HF_E_IO. A write transaction sees its own writes. */
HF_STATUS store_get(struct store_txn *txn, enum record_kind kind,
                    struct bytes key, struct record *out_record);

/* store_put: writes record->version; the one before must be version - 1
 * (version 1: must not exist).
 * Returns   HF_OK; HF_E_EXISTS for version 1 of a key that is there;
 *           HF_E_CONFLICT for any other version that does not follow. */
HF_STATUS store_put(struct store_txn *txn, const struct record *record);
/* store_remove: HF_OK; HF_E_CONFLICT; HF_E_NOT_FOUND. */
HF_STATUS store_remove(struct store_txn *txn, enum record_kind kind,
                       struct bytes key, uint64_t version);
HF_STATUS store_list(struct store_txn *txn, enum record_kind kind,
                     const struct store_page *page, store_record_fn *each,
                     void *context);
HF_STATUS store_count(struct store_txn *txn, enum record_kind kind,
                      struct bytes prefix, uint64_t *out_count);

/* store_audit_append: fills link->index, previous and hash, and appends.
 * store_audit_list: from from_index upwards; tenant NULL: every tenant's. */
HF_STATUS store_audit_append(struct store_txn *txn, struct audit_link *link);
HF_STATUS store_audit_list(struct store_txn *txn, const struct hf_id *tenant,
                           uint64_t from_index, size_t max,
                           store_audit_fn *each, void *context);
HF_STATUS store_epoch_append(struct store_txn *txn, const struct epoch *epoch);
HF_STATUS store_epoch_list(struct store_txn *txn, size_t max,
                           store_epoch_fn *each, void *context);

/* store_commit: durable when it returns HF_OK. *txn is NULL afterwards.
 * Returns   HF_OK; else nothing of the transaction is kept: the status of an
 *           earlier call that met trouble of ours or damage (after it every
 *           call on the transaction gives that status again). A commit whose
 *           outcome is unknown does not return (the adapter ends the process).
 */
HF_STATUS store_commit(struct store_txn **txn);
/* store_rollbackp: for HF_OWNED; NULL-safe. */
void store_rollbackp(struct store_txn **txn);

/* store_writes: committed write transactions since the start (the bench proves
 * with it that the hot lane writes nothing). */
uint64_t store_writes(const struct store *store);
void store_close(struct store *store);

/* audit_content_hash: of what a link says, without its place in the chain.
 * audit_link_hash: the hash of a link, from its other fields. */
HF_STATUS audit_content_hash(const struct audit_link *link,
                             uint8_t out_hash[HF_SHA256_BYTES]);
HF_STATUS audit_link_hash(const struct audit_link *link,
                          uint8_t out_hash[HF_SHA256_BYTES]);
/* record_mac_input: the canonical bytes a record's MAC is computed over: kind,
 * key, version, previous MAC, body. */
#define RECORD_MAC_INPUT_MAX_BYTES (RECORD_BODY_MAX_BYTES + 256)
HF_STATUS record_mac_input(const struct record *record, uint8_t *out,
                           size_t out_cap, size_t *out_len);
