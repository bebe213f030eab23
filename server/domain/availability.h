/* availability: the life of an availability key (specification 3.6); the
 * tenant's own root of a SERVICE_MANAGED DEP lives alike.
 *
 *           create              roll                 destroy
 *   NONE ------------> ACTIVE ---------> ROLLING ---------------> DESTROYED
 *                       |  ^                |                        ^
 *                       |  +-- every copy --+                        |
 *                       |      is rewrapped                          |
 *                       +--------------------------------------------+
 *
 * No rule means no. While ROLLING there are two versions in the token, and the
 * older one stays until no copy needs it.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum ak_event {
    AK_EV_CREATE,
    AK_EV_ROLL,
    AK_EV_ROLLED,  /* every copy is under the new version */
    AK_EV_DESTROY, /* purge, step 3; the tenant's end */
};
#define AK_EVENT_COUNT 4

/* ak_next: HF_OK and *out_next; HF_E_PRECONDITION, STATE_CONFLICT, or
 * KEY_DESTROYED for what comes after the end. */
HF_STATUS ak_next(enum ak_state state, enum ak_event event,
                  enum ak_state *out_next, enum reason *out_reason);
const char *ak_state_text(enum ak_state state);
