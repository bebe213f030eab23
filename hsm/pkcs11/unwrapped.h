/* unwrapped: whether what C_UnwrapKey made is a key that can be used. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_unwrapped_check: asked of a caller's key and of a canary alike, so that
 * the one does all that the other has to do: a token that unwraps and then does
 * not use what it made has not shown that a blob is bad (table 6-A).
 *
 * Takes     anchor->session, on which the object lives.
 * Returns   HF_OK; HF_E_BAD_BLOB for a key of another length; else as the
 *           module, with anchor->kind RV_DOUBTFUL: the key may be at fault.
 */
HF_STATUS p11_unwrapped_check(struct p11_work *anchor, CK_OBJECT_HANDLE object);
