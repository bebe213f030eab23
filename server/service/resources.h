/* resources: the record of one mailbox, workload or site, read and written by
 * the use cases that change it, with what it refers to looked up. */
#pragma once

#include "server/domain/mailbox.h"
#include "server/domain/workload_catalogue.h"

#include "server/service/core.h"

/* What the record refers to, at one moment. */
struct resource_view {
    struct tenant_entry *tenant;
    struct resource_record record;
    struct stamp stamp;
    struct geo_entry *geo;              /* of a site */
    struct dep_entry *assigned;         /* NULL: none */
    struct generation_entry *effective; /* NULL: no key yet */
    struct generation_entry *wanted;    /* where its key should be */
    struct mailbox_facts facts;
    struct move_line line; /* in the index of moves, when it was loaded */
    struct hf_id counted;  /* in that of encrypted.h, then; nil: not */
};

/* resource_load: HF_OK; HF_E_NOT_FOUND; HF_E_CORRUPT; the store's failures. */
HF_STATUS resource_load(struct service *service, struct tenant_entry *tenant,
                        enum resource_type type, const char *resource_id,
                        struct resource_view *out);

/* resource_load_by_key: the same, by its record's key: that an index names. */
HF_STATUS resource_load_by_key(struct service *service,
                               struct tenant_entry *tenant, struct bytes key,
                               struct resource_view *out);

/* resource_name: tenants/{tenant}/COLLECTION/{id}. resource_noun: "mailbox". */
#define RESOURCE_NAME_BYTES (HF_NAME_MAX_BYTES + HF_RESOURCE_ID_MAX_BYTES + 32)
void resource_name(const char *tenant, enum resource_type type, const char *id,
                   char out[RESOURCE_NAME_BYTES]);
const char *resource_noun(enum resource_type type);

/* resource_workload: the workload its wraps are bound to: a hierarchy's number,
 * or the row's of a workload's own key. 0 for a workload nobody knows. */
uint16_t resource_workload(enum resource_type type, const char *id);
/* resource_purpose: and what for. */
enum wrap_purpose resource_purpose(enum resource_type type);
/* resource_row: what the catalogue of workloads says of it; NULL: nothing. */
const struct workload_row *resource_row(const struct resource_record *record);
/* resource_is_covered: a multi-workload DEP applies to it. */
bool resource_is_covered(const struct resource_record *record);

/* resource_wanted_dep: the DEP its key should be under; what the administrator
 * assigned it to comes first. The catalogue's lock is held. NULL: a
 * record that leads nowhere. */
struct resource_place {
    enum resource_type type;
    struct dep_entry *assigned; /* NULL: none */
    bool covered;               /* see above */
};
struct dep_entry *resource_wanted_dep(struct service *service,
                                      const struct tenant_entry *tenant,
                                      const struct resource_place *place);
/* resource_renews: its key is to be replaced, not moved: older data stays where
 * it is. */
bool resource_renews(const struct resource_view *view);
/* resource_is_settled: what was decided from the view holds still: its key
 * should be where the view says. Else the caller decides again. */
bool resource_is_settled(struct service *service,
                         const struct resource_view *view);

/* resource_look_up: fills what a view's record refers to; its tenant and
 * record are set. HF_OK; HF_E_CORRUPT. */
HF_STATUS resource_look_up(struct service *service, struct resource_view *view);

/* resource_generation: the entry of a (DEP, generation) that may open
 * envelopes of this resource; NULL: it may not, or there is none. */
struct generation_entry *resource_generation(struct service *service,
                                             const struct resource_view *view,
                                             const struct hf_id *dep,
                                             uint32_t generation);

/* resource_wrap_is_gone: nothing is left that opens what this generation
 * wrapped: its DEP was purged, or it was retired and its root is destroyed. The
 * catalogue's lock is held. */
bool resource_wrap_is_gone(struct service *service, const struct dep_ref *ref);

/* resource_note_wrap: adds a generation to those that ever wrapped the key
 * . Where there is no room those go that are gone. HF_OK; HF_E_LIMIT:
 * nothing else may be forgotten, so nothing is added. */
HF_STATUS resource_note_wrap(struct service *service,
                             struct resource_record *record,
                             const struct generation_entry *generation);

/* resource_put: adds the record as the next version to a change, and the
 * indexes of what wraps its key (wrapped.h), of what it is encrypted under
 * (encrypted.h) and of moves (move_queue.h) where
 * that has changed since the view was loaded. Once per loaded view. After the
 * commit: rows_put. */
HF_STATUS resource_put(const struct resource_view *view, struct change *change,
                       struct stamp *out_next);
