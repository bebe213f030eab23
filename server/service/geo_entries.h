/* geo_entries: the geos of the catalogue. A geo's DEPs are those of type
 * SHAREPOINT_GEO that bear its name: the one its sites are brought under
 * (geo->dep), and those of before a restore. */
#pragma once

#include "server/service/catalogue.h"

/* Finding: under the lock. NULL: not there. catalogue_geo: by name or UUID
 * (which no name looks like). */
struct geo_entry *catalogue_geo(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *name);
struct geo_entry *catalogue_geo_by_id(struct catalogue *catalogue,
                                      const struct hf_id *id);

/* catalogue_load_geo: one record at start; ledger_each_fn. */
HF_STATUS catalogue_load_geo(void *context, const struct record *record,
                             const struct stamp *stamp);
/* catalogue_add_geo: after the commit; takes the lock itself.
 * Returns   HF_OK; HF_E_NO_MEMORY (the entry is still the caller's). */
HF_STATUS catalogue_add_geo(struct service *service, struct geo_entry *entry);
/* catalogue_set_geo: what the geo's record says since the commit; its DEP is in
 * the catalogue already. Takes the lock itself. */
void catalogue_set_geo(struct service *service, struct geo_entry *geo,
                       const struct geo_record *record,
                       const struct stamp *stamp);
void catalogue_free_geos(struct catalogue *catalogue);
