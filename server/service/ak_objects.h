/* ak_objects: the availability keys of a DEP as the AK token shows them: found
 * there by their names, not from the store, which may not know them all. */
#pragma once

#include "server/service/core.h"

/* ak_label_prefix: what the labels of every one of a DEP begin with; its
 * version follows. */
void ak_label_prefix(const struct hf_id *dep, char out[HF_LABEL_MAX_BYTES + 1]);

/* ak_objects_destroy: destroys every one of them and looks again.
 *
 * Gives     *out_found, how many there were before.
 * Returns   HF_OK: none is found any more; HF_E_CONFLICT one that bears the
 *           DEP's label and another's CKA_ID: not touched, because destroying
 *           by that id would take what is not to go; HF_E_IO one is found
 *           still; the token's failures.
 */
HF_STATUS ak_objects_destroy(struct service *service,
                             const struct dep_entry *dep, size_t *out_found);

/* ak_objects_show: which versions one enumeration shows.
 *
 * Takes     count versions.
 * Gives     shown[i]: version[i]'s object is there.
 * Returns   HF_OK; the token's failures.
 */
HF_STATUS ak_objects_show(struct service *service, const struct dep_record *dep,
                          const uint32_t version[], size_t count, bool shown[]);
