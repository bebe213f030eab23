/* geo_inside: what the use cases of geos have in common. */
#pragma once

#include "server/service/admin.h"
#include "server/service/geo_entries.h"
#include "server/service/geos.h"

#define GEO_NAME_BYTES (2 * HF_NAME_MAX_BYTES + 32)
#define GEOS_MAX       64 /* of a tenant */

/* NULL: no such geo of this tenant. */
struct geo_entry *geo_find(struct service *service,
                           const struct tenant_entry *tenant, const char *name);
/* geo_copy: its record and where it stands, at one moment; recovery as it is
 * now. */
struct geo_record geo_copy(struct service *service, const struct geo_entry *geo,
                           struct stamp *out_stamp);
void geo_object_name(const struct admin *admin, const char *geo,
                     char out[GEO_NAME_BYTES]);

/* geo_decide: what the event comes to for this record; the problem says why
 * not. person: whether the caller took part in this recovery. */
HF_STATUS geo_decide(const struct admin *admin, const struct geo_record *geo,
                     enum geo_event event, struct geo_step *step);
/* geo_new: the record of one that nobody named before. GEO_LIMIT is STATE. */
HF_STATUS geo_new(const struct admin *admin, const char *name,
                  struct geo_record *out);
/* geo_put: the record after *current in a change; its name as well when it is
 * the first. */
HF_STATUS geo_put(struct change *change, const struct geo_record *geo,
                  const struct stamp *current, struct stamp *out_next);
/* geo_details: what a change of a geo's record was, for its audit record.
 * before: NULL: nobody named it before. */
HF_STATUS geo_details(const struct geo_record *before,
                      const struct geo_record *after,
                      struct details **out_details);
/* geo_adopt: the catalogue follows what was committed. geo: NULL: it is new. */
HF_STATUS geo_adopt(struct service *service, struct geo_entry *geo,
                    const struct geo_record *next, const struct stamp *stamp);
HF_STATUS geo_count_sites(struct service *service, const struct hf_id *geo,
                          uint64_t *out_count);
HF_STATUS geo_show(const struct admin *admin, const char *name,
                   struct geo_view *out);

/* geo_find_keys: two customer keys and their exact versions. */
HF_STATUS geo_find_version(const struct admin *admin,
                           const struct geo_key_ref *ref,
                           struct key_entry **out_key,
                           struct key_version_entry **out_version);
/* geo_clear_recovery: nothing is left of the one that is over. */
void geo_clear_recovery(struct geo_record *geo);
