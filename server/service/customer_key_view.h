/* customer_key_view: how a customer key is shown, and what its use cases have
 * in common. */
#pragma once

#include "server/service/admin.h"
#include "server/service/customer_keys.h"

/* NULL: no such key of this tenant. */
struct key_entry *customer_key_find(struct service *service,
                                    const struct tenant_entry *tenant,
                                    const char *name);
/* customer_key_stamp: of the key with its versions and grants: rises with each
 * change of any of them. The record_lock or the catalogue's lock is held. */
struct stamp customer_key_stamp(const struct key_entry *key);
/* The catalogue's lock is held. */
void customer_key_fill_view(struct key_entry *key,
                            struct customer_key_view *out);
HF_STATUS customer_key_show_named(const struct admin *admin, const char *name,
                                  struct customer_key_view *out);
/* What a registration would make (validate_only). */
void customer_key_preview(const struct admin *admin, const char *name,
                          const struct token_entry *token,
                          const struct key_version_record *version,
                          struct customer_key_view *out);

/* customer_key_check_name_free: a soft-deleted key keeps its name:
 * NAME_TAKEN. */
HF_STATUS customer_key_check_name_free(const struct admin *admin,
                                       const char *name);
/* customer_key_check_object_free: one token object, one name:
 * ALREADY_REGISTERED; also for one that is soft-deleted. */
HF_STATUS
customer_key_check_object_free(const struct admin *admin,
                               const struct token_entry *token,
                               const struct key_version_record *fresh);
/* customer_key_may_get_version: same token, room left. */
HF_STATUS customer_key_may_get_version(const struct admin *admin,
                                       const struct key_entry *key,
                                       const struct token_entry *token);

/* customer_key_note: every attribute of a version that an administrator gives
 * it. */
void customer_key_note(struct details *details,
                       const struct key_version_record *before,
                       const struct key_version_record *after);
/* The audit record and the record of the request. */
HF_STATUS customer_key_finish_change(const struct admin *admin,
                                     struct change *change,
                                     const struct customer_key_record *key,
                                     uint32_t version,
                                     const struct details *details);
