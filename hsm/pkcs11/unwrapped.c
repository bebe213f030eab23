#include "hsm/pkcs11/unwrapped.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/session_pool.h"

/* Seals a block with the new key, on a session that may fail. A key of a length
 * that AES does not have cannot. */
static HF_STATUS try_out(struct p11_work *anchor, CK_OBJECT_HANDLE object)
{
    struct p11_work trial = p11_work_begin(anchor->token);
    /* always the same text under the same IV, and nobody sees the result:
     * nothing is learnt from it; the callers' IVs are random */
    static const uint8_t iv[HF_GCM_IV_BYTES];
    static const uint8_t text[16];
    uint8_t out[sizeof text + HF_GCM_TAG_BYTES];
    struct p11_gcm gcm = {.key = object,
                          .iv = iv,
                          .in = BYTES_OF(text),
                          .out = out,
                          .out_len = sizeof out};
    HF_TRY(p11_session_need(&trial));
    enum hf_status status = p11_gcm_seal(&trial, &gcm);
    p11_session_end(&trial);
    if (status != HF_OK) {
        anchor->rv = trial.rv;
        anchor->function = trial.function;
        /* bad data or a bad token: as after any other general error */
        anchor->kind = trial.kind == RV_SESSION ? RV_SESSION : RV_DOUBTFUL;
    }
    /* it was made just now: that it is gone says nothing of any root key */
    return trial.kind == RV_HANDLE ? HF_E_UNREACHABLE : status;
}

/* An OAEP payload of 5 bytes "unwraps" as an AES key (facts.md). Some modules
 * tell the length of an unwrapped key; SoftHSM says 0. Then a trial tells
 * whether it is a key at all, and the caller's commitment whether it is the
 * right one. */
HF_STATUS p11_unwrapped_check(struct p11_work *anchor, CK_OBJECT_HANDLE object)
{
    CK_ULONG value_len = 0;
    size_t len = sizeof value_len;
    enum hf_status status =
        p11_attribute(anchor, object, CKA_VALUE_LEN, &value_len, &len);
    bool told = status == HF_OK && len == sizeof value_len && value_len != 0;
    if (told) {
        return value_len == HF_KEY_BYTES ? HF_OK : HF_E_BAD_BLOB;
    }
    if (status != HF_OK && status != HF_E_UNSUPPORTED) {
        return status;
    }
    return anchor->token->profile.aes_gcm ? try_out(anchor, object) : HF_OK;
}
