/* dep_generation: how a DEP gets its next generation: a fresh DEP key
 * under the customer keys to be used from now on, and under the unchanged
 * availability key. Resources move to it on access; the generations of before
 * stay, and open what is under them.
 *
 *   generation_make    token work, with no lock held
 *   record_lock        generation_may_record: nothing it rests on has changed
 *   generation_put     parts of the change, with what else is to be recorded
 *   generation_adopt   the catalogue follows, if the store did
 *   generation_drop    always, at the end
 */
#pragma once

#include "server/service/admin.h"

struct generation_making {
    struct dep_entry *dep;
    /* the DEP's record as it will be; key_update and state are the caller's to
     * set before generation_put */
    struct dep_record next;
    struct generation_entry *fresh;
    struct stamp made_from; /* the DEP's, when the work began */
    struct stamp stamp;
};

/* generation_make: mints the key and proves its copies. keys and versions: the
 * two customer keys; NULL for the built-in DEP, whose next generation comes
 * with a root of its own, ROLLING. Returns   HF_OK; HF_E_NO_MEMORY; the
 * failures of the tokens. */
HF_STATUS generation_make(struct service *service, struct dep_entry *dep,
                          struct key_entry *const *keys,
                          struct key_version_entry *const *versions,
                          struct generation_making *making);
/* customer_keys_still_serve: HF_OK; HF_E_CONFLICT: a version (NULL: there is
 * none) was disabled, or its key soft-deleted, while it was worked with.
 * record_lock is held. */
HF_STATUS customer_keys_still_serve(struct key_entry *const *keys,
                                    struct key_version_entry *const *versions);
/* generation_may_record: HF_OK; HF_E_CONFLICT: the DEP has changed since, or
 * one of the versions may not be used any more. record_lock is held. */
HF_STATUS generation_may_record(struct service *service,
                                const struct generation_making *making);
HF_STATUS generation_put(struct generation_making *making,
                         struct change *change);
HF_STATUS generation_adopt(struct service *service,
                           struct generation_making *making);
void generation_drop(struct generation_making *making);

/* dep_put: a DEP's record as the version after *current, in a change. */
HF_STATUS dep_put(const struct dep_record *next, const struct stamp *current,
                  struct change *change, struct stamp *out_next);
