/* ak_objects: the availability keys of a DEP as the AK tokens show them: found
 * there by their names, not from the store, which may not know them all. */
#pragma once

#include "server/service/core.h"

/* ak_label_prefix: what the labels of every one of a DEP begin with; its
 * version follows. */
void ak_label_prefix(const struct hf_id *dep, char out[HF_LABEL_MAX_BYTES + 1]);

/* ak_objects_destroy: destroys every one of them in every token of its kind and
 * looks again; a token that fails keeps no other from it.
 *
 * Gives     *out, how many there were before, and the token that failed first.
 * Returns   HF_OK: none is found any more, in any token; HF_E_CONFLICT one that
 * bears the DEP's label and another's CKA_ID: not touched, because destroying
 *           by that id would take what is not to go; HF_E_IO one is found
 *           still; the token's failures; HF_E_UNREACHABLE also for a token
 *           that is not configured: it is waited for, or retired.
 */
struct ak_destroyed {
    size_t found;
    char failed[HF_NAME_MAX_BYTES + 1]; /* "": none */
};
HF_STATUS ak_objects_destroy(struct service *service,
                             const struct dep_entry *dep,
                             struct ak_destroyed *out);

/* ak_objects_show: which versions one enumeration of each token shows.
 *
 * Takes     count versions.
 * Gives     shown[i]: version[i]'s object is in any of them; in every one.
 * Returns   HF_OK; the tokens' failures.
 */
struct ak_shown {
    bool any;
    bool every;
};
HF_STATUS ak_objects_show(struct service *service, const struct dep_record *dep,
                          const uint32_t version[], size_t count,
                          struct ak_shown shown[]);
