/* ak_tokens: the tokens that hold availability keys. Of each kind
 * (SharePoint's geos, and all the rest, R-2.10) there is one, or several that
 * are mirrors of each other: each with an availability key of its own for a
 * DEP, under the same CKA_ID and version, that wraps the same DEP key.
 *
 * A kind without records has the one token of the configuration. The first
 * enrolment of a mirror makes a record of that one too, and from then on the
 * records say which tokens there are; the configuration says how to reach them.
 * What answers under a name is used only if it has the serial of the record.
 */
#pragma once

#include "server/service/core.h"

#include <stdatomic.h>

struct ak_token_entry {
    struct ak_token_record record;
    struct stamp stamp;
    /* monotonic: until then others are asked first; 0: it answered */
    atomic_int_fast64_t away_until_ms;
    /* what its enrolment met last; under the lock of the book */
    enum hf_status met;
    struct ak_token_entry *next;
};

/* A copy: valid as long as anybody likes. */
struct ak_token_ref {
    struct hf_id id; /* nil: there is no record */
    bool first;      /* copies that name no token are its */
    bool enrolling;
    /* NULL: it is not configured, or another answers in its place */
    const struct token *token;
    uint64_t capacity_objects; /* 0: not said */
    char name[HF_NAME_MAX_BYTES + 1];
    char label[33];
    char serial[17];
    uint8_t transport[HF_SPKI_MAX_BYTES];
    size_t transport_len;
    struct ak_token_entry *entry; /* NULL: there is no record */
};
struct ak_token_set {
    struct ak_token_ref at[AK_TOKENS_MAX];
    size_t count;
};

HF_STATUS ak_tokens_new(struct service *service);
void ak_tokens_free(struct service *service);
/* ak_tokens_load: one record, for the catalogue. */
HF_STATUS ak_tokens_load(void *context, const struct record *record,
                         const struct stamp *stamp);

/* ak_tokens_of: those of DEPs of this type that are not retired; at[0] is the
 * one in which DEP keys are born. Empty: there is none.
 * Threads   safe from any thread, with any lock but the book's. */
void ak_tokens_of(struct service *service, enum dep_type type,
                  struct ak_token_set *out);
/* ak_token_open: HF_OK, or what it is that the token is not there. */
HF_STATUS ak_token_open(const struct ak_token_ref *ref);
/* ak_token_note: what asking it came to: one that is away is asked last. */
void ak_token_note(struct service *service, const struct ak_token_ref *ref,
                   enum hf_status status);
/* ak_tokens_in_order: indices of the set, those known to be away last. */
void ak_tokens_in_order(struct service *service, const struct ak_token_set *set,
                        size_t out[AK_TOKENS_MAX]);

/* ak_tokens_check: SERVICE_UNAVAILABLE, naming the one that is away, unless
 * every token of the type's kind answers now: all are written before anything
 * is acknowledged. A single token is not asked. */
HF_STATUS ak_tokens_check(struct service *service, enum dep_type type,
                          struct problem *problem);

/* ak_token_named: the entry that is not retired; NULL: none. record_lock is
 * held for as long as it is to stay so. ak_token_by_id: retired ones too. */
struct ak_token_entry *ak_token_named(struct service *service,
                                      const char *name);
struct ak_token_entry *ak_token_by_id(struct service *service,
                                      const struct hf_id *id);
/* ak_tokens_have_record: of this kind. */
bool ak_tokens_have_record(struct service *service, bool sharepoint);
/* ak_token_visit: each entry, oldest first; NULL: from the start. */
struct ak_token_entry *ak_token_visit(struct service *service,
                                      const struct ak_token_entry *after);
/* ak_token_adopt: after the commit: the entry is the book's.
 * ak_token_set_record: what it is now. */
void ak_token_adopt(struct service *service, struct ak_token_entry *entry);
void ak_token_set_record(struct service *service, struct ak_token_entry *entry,
                         const struct ak_token_record *record,
                         const struct stamp *stamp);
/* ak_token_record_of: a copy, under the lock. */
struct ak_token_record ak_token_record_of(struct service *service,
                                          const struct ak_token_entry *entry);
void ak_token_met(struct service *service, struct ak_token_entry *entry,
                  enum hf_status met);
enum hf_status ak_token_last_met(struct service *service,
                                 const struct ak_token_entry *entry);

/* ak_token_configured: how the configuration reaches the token of this name;
 * false: it does not. */
struct ak_token_config {
    bool sharepoint;
    const struct token *token;
    uint64_t capacity_objects;
};
bool ak_token_configured(const struct service *service, const char *name,
                         struct ak_token_config *out);
/* ak_token_primary: the name of the kind's own token; NULL: none. */
const char *ak_token_primary(const struct service *service, bool sharepoint);

static inline bool ak_type_is_sharepoint(enum dep_type type)
{
    return type == DEP_TYPE_SHAREPOINT_GEO;
}
