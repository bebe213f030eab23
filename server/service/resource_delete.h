/* resource_delete: a mailbox or site ends for ever: it is
 * tombstoned by its id, and no envelope of it opens under any root. The
 * tombstone is a sealed record of its own; what wrapped its keys is forgotten.
 *
 * HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/service.h"
#include "server/store/record.h"

struct resource_delete {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    enum resource_type type;
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    bool confirm;
};
struct resource_deletion {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct deletion_record record;
};
/* resource_delete: NOT_FOUND, KEY_DESTROYED (it is, already). When it answers,
 * calls that were using its keys are over. */
HF_STATUS resource_delete(struct service *service, const struct caller *caller,
                          const struct resource_delete *request,
                          struct resource_deletion *out,
                          struct problem *problem);
