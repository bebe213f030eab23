/* purge_book: officers, purges and tombstones in memory, and how a purge's
 * record moves on. What the use cases and the steps of a purge share.
 *
 * Entries change in place under the catalogue's lock, after the ledger has
 * committed, as the catalogue's own do; whoever changes one holds record_lock.
 */
#pragma once

#include "server/service/purges.h"

struct officer_entry {
    struct officer_record record;
    struct stamp stamp;
    struct officer_entry *next;
};

struct approval_entry {
    struct approval_record record;
    struct stamp stamp;
};

struct purge_entry {
    struct purge_record record;
    struct stamp stamp;
    struct dep_entry *dep; /* the built-in one: of the whole tenant */
    struct tenant_entry *tenant;
    /* as many as officers were registered; those of record.version count */
    struct approval_entry approvals[OFFICERS_MAX];
    size_t approval_count;
    struct purge_entry *next;
};

struct tombstone_entry {
    struct record_key key;
    struct tombstone_entry *next;
};

struct purge_book {
    struct officer_entry *officers; /* oldest first, as the purges */
    struct officer_entry **officers_end;
    struct purge_entry *purges;
    struct purge_entry **purges_end;
    struct table *tombstones; /* by the resource's key */
    struct tombstone_entry *stones;
    int64_t guard_due_ms; /* monotonic; the scheduler's */
    atomic_bool guarding;
};

/* Finding: under the catalogue's lock. NULL: not there. */
struct officer_entry *purge_book_officer(const struct purge_book *book,
                                         const struct hf_id *tenant,
                                         const char *identity);
struct purge_entry *purge_book_purge(const struct purge_book *book,
                                     const struct hf_id *id);
/* the one of a DEP that is open; NULL: none */
struct purge_entry *purge_book_open(const struct purge_book *book,
                                    const struct dep_entry *dep);
/* another one of this tenant that was executed and is not done; NULL: none */
struct purge_entry *purge_book_running(const struct purge_book *book,
                                       const struct purge_entry *beside);
/* purge_is_of_tenant: of every DEP of its tenant, of every type.
 * purge_next_dep: the next DEP that goes with it, behind the given one (NULL:
 * the first); takes the catalogue's lock. */
bool purge_is_of_tenant(const struct purge_entry *purge);
struct dep_entry *purge_next_dep(struct service *service,
                                 const struct purge_entry *purge,
                                 const struct dep_entry *after);
/* purge_settle: waits for whoever was served by what goes with it. */
void purge_settle(struct service *service, const struct purge_entry *purge);
struct approval_entry *purge_entry_approval(struct purge_entry *purge,
                                            const char *identity);

/* Adding, after the commit, under the lock for writing; takes the entry over.
 */
void purge_book_add_officer(struct purge_book *book,
                            struct officer_entry *entry);
void purge_book_add_purge(struct purge_book *book, struct purge_entry *entry);
HF_STATUS purge_book_add_tombstone(struct purge_book *book,
                                   const struct record_key *key);

/* purge_tombstones_mark: some of the resources that go with it and have no
 * tombstone yet; *out_none: there was none. HF_E_CONFLICT: one was changed
 * meanwhile; look again. */
HF_STATUS purge_tombstones_mark(struct service *service,
                                const struct purge_entry *purge,
                                uint64_t *out_marked, bool *out_none);
/* purge_forget_copies: the wrapped copies of some generations that go with it;
 * *out_none: there was none left. */
HF_STATUS purge_forget_copies(struct service *service,
                              const struct purge_entry *purge, bool *out_none);
/* purge_state_of: where it is, read at once: an order may change it. */
struct purge_state {
    struct hf_id id;
    enum purge_phase phase;
    bool paused;
    int64_t hold_until_ms;
};
struct purge_state purge_state_of(struct service *service,
                                  const struct purge_entry *purge);

/* purge_tombstones_sum: how many tombstones of this purge the store holds, and
 * the hash of their set. */
HF_STATUS purge_tombstones_sum(struct service *service,
                               const struct hf_id *purge, uint64_t *out_count,
                               uint8_t out_set[HF_SHA256_BYTES]);

/* --- a purge's next record ---------------------------------------------- */

/* One move: facts, decision, change, memory. record_lock is held from begin to
 * commit. dep is taken along when its state changes. */
struct purge_move {
    struct service *service;
    struct purge_entry *purge;
    struct purge_record next;
    bool with_dep;
    struct dep_record dep_next;
    struct change *change; /* the caller may add to it */
    struct stamp purge_stamp;
    struct stamp dep_stamp;
};
/* purge_move_decide: the facts of the entry as they are, with the event. */
struct purge_seen {
    bool earlier_open;
    bool has_strays;
    uint32_t approvals; /* with the one being given */
};
HF_STATUS purge_move_begin(struct service *service, struct purge_entry *purge,
                           enum purge_event event,
                           const struct purge_seen *seen,
                           struct purge_move *out_move,
                           enum reason *out_reason);
/* purge_move_dep: the DEP takes this event in the same change; of a tenant no
 * DEP does: what it was, it was to the end. */
HF_STATUS purge_move_dep(struct purge_move *move, enum dep_event event);
/* purge_move_put: the records into the change (once next is complete). */
HF_STATUS purge_move_put(struct purge_move *move);
/* purge_move_commit: ledger, then memory, then every lease of the DEP is dead.
 * The caller waits for them (purge_settle) when it has let go of
 * record_lock, and before it answers. */
HF_STATUS purge_move_commit(struct purge_move *move);
void purge_move_end(struct purge_move *move);

/* --- what a purge is about ---------------------------------------------- */

struct purge_census {
    uint64_t marked; /* resources that go with the DEP */
    uint64_t strays; /* that would lose their key unasked */
    char stray[HF_RESOURCE_ID_MAX_BYTES + 1]; /* one of them */
    uint64_t unmarked; /* of marked: without a tombstone yet */
    struct purge_earlier earlier[PURGE_EARLIER_MAX]; /* */
    size_t earlier_count;
    bool too_many; /* more of them than that */
};
HF_STATUS purge_census_take(struct service *service,
                            struct tenant_entry *tenant,
                            const struct dep_entry *dep,
                            struct purge_census *out);

/* purge_name: tenants/{tenant}/purges/{purge}. */
#define PURGE_NAME_BYTES (HF_NAME_MAX_BYTES + HF_ID_TEXT + 32)
void purge_name(const struct purge_entry *purge, char out[PURGE_NAME_BYTES]);
/* purge_write_document: what is signed; accepting: with the earlier wraps.
 * HF_E_INVALID when a value may not stand in it. */
HF_STATUS purge_write_document(struct service *service,
                               const struct purge_entry *purge,
                               const struct purge_record *record,
                               bool accepting, struct purge_document *out);
/* purge_signed_document: true: *out is the text of this approval, if it was
 * over this one of the two. None is kept in a record of format 1. */
bool purge_signed_document(const struct approval_record *approval,
                           bool accepting, struct purge_document *out);
/* purge_write_certificate: text and signature, of what was done. */
HF_STATUS purge_write_certificate(struct service *service,
                                  const struct purge_entry *purge,
                                  const struct purge_record *record,
                                  struct certificate_record *out);
/* purge_show: the view; takes the catalogue's lock. */
void purge_show(struct service *service, const struct purge_entry *purge,
                struct purge_view *out);
/* purge_find: of the admin's tenant; NOT_FOUND. */
HF_STATUS purge_find(const struct admin *admin, const char *id,
                     struct purge_entry **out_purge);
