/* dep_view: how a DEP is shown, and what its use cases have in common. */
#pragma once

#include "server/service/admin.h"
#include "server/service/deps.h"
#include "server/service/key_facts.h"

/* NULL: no such DEP of this tenant. By UUID or name; dep_find_typed:
 * of this type, dep_find: of any (catalogue_dep). */
struct dep_entry *dep_find(struct service *service,
                           const struct tenant_entry *tenant,
                           const char *id_or_name);
struct dep_entry *dep_find_typed(struct service *service,
                                 const struct tenant_entry *tenant,
                                 const char *id_or_name, enum dep_type type);
/* dep_admit: may the caller make or change DEPs of this type;
 * ROLE_REQUIRED. */
HF_STATUS dep_admit(const struct admin *admin, enum dep_type type);
/* Its place in the index of names. */
HF_STATUS dep_put_name(struct change *change, const struct dep_record *dep);
struct record_key dep_name_key(const struct dep_record *dep);
/* dep_count_active. */
uint32_t dep_count_active(struct service *service,
                          const struct tenant_entry *tenant);
/* The catalogue's lock is held. What is counted in the store is missing:
 * dep_count, without the lock. */
void dep_fill_view(struct service *service, struct dep_entry *dep,
                   struct dep_view *out);
/* dep_count: of the keys under it. */
HF_STATUS dep_count(struct service *service, struct dep_view *out);
/* dep_show_named: with all that is counted, of a mailbox DEP also,
 * which looks at each of its mailboxes. */
HF_STATUS dep_show_named(const struct admin *admin, const char *id_or_name,
                         enum dep_type type, struct dep_view *out);
/* dep_show_recorded: the same of what was changed, which is answered although
 * it cannot be counted now. */
HF_STATUS dep_show_recorded(const struct admin *admin, const struct hf_id *id,
                            struct dep_view *out);
/* What a creation would make (validate_only). */
void dep_preview(const struct admin *admin, const struct dep_create *request,
                 enum dep_state state, struct dep_view *out);
/* An identity that holds unwrap on both keys now; else on one; else "". */
void dep_find_workload(struct service *service,
                       const struct generation_entry *generation,
                       char out[HF_URI_MAX_BYTES + 1]);
/* dep_validate: every check, live; VALIDATION_FAILED with the whole
 * list. */
HF_STATUS dep_validate(const struct admin *admin,
                       struct facts_request *request);
/* dep_decide: T1 to T7 with what is known now. dep_decide_new: of one to be
 * made. */
HF_STATUS dep_decide(const struct admin *admin, enum dep_event event,
                     const struct dep_entry *dep, struct dep_step *step);
HF_STATUS dep_decide_new(const struct admin *admin, enum dep_event event,
                         enum dep_type type, struct dep_step *step);
/* dep_check_fallback_limit; field is its name in the request. */
HF_STATUS dep_check_fallback_limit(const char *field, int64_t limit_ms,
                                   struct problem *problem);
/* dep_note: every attribute of a DEP that an administrator gives it. */
void dep_note(struct details *details, const struct dep_record *before,
              const struct dep_record *after);
/* dep_note_keys: the customer keys a generation rests on, by id and version:
 * who holds the chain can tell which were meant, whatever becomes of their
 * names. */
void dep_note_keys(struct details *details,
                   const struct generation_record *before,
                   const struct generation_record *after);
HF_STATUS dep_finish_change(const struct admin *admin, struct change *change,
                            const struct dep_record *dep,
                            const struct details *details);
/* dep_finish_order: the same for a verb that makes something else: the
 * operation it began. */
HF_STATUS dep_finish_order(const struct admin *admin, struct change *change,
                           const struct dep_record *dep,
                           const struct details *details,
                           const struct hf_id *made);
