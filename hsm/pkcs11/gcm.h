/* gcm: AES-256-GCM in the token, one call for each message. Two module calls an
 * operation, no allocation: this is the hot path. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

struct p11_gcm {
    CK_OBJECT_HANDLE key;
    const uint8_t *iv; /* HF_GCM_IV_BYTES; an empty one repeats itself */
    struct bytes aad;
    struct bytes in;
    uint8_t *out;
    size_t out_len; /* capacity, then length: modules want in.len to open */
};

/* p11_gcm_seal, p11_gcm_open: the tag is always 128 bits and is checked by its
 * length as well: SoftHSM takes shorter ones.
 *
 * Takes     work->session open.
 * Returns   HF_OK; HF_E_UNREACHABLE for a result of a wrong length; else as
 *           the module.
 */
HF_STATUS p11_gcm_seal(struct p11_work *work, struct p11_gcm *gcm);
HF_STATUS p11_gcm_open(struct p11_work *work, struct p11_gcm *gcm);
