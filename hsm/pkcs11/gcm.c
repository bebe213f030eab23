#include "hsm/pkcs11/gcm.h"

/* Cryptoki knows no const; it does not write to these. */
static CK_GCM_PARAMS params_of(const struct p11_gcm *gcm)
{
    return (CK_GCM_PARAMS){
        .pIv = (CK_BYTE *)gcm->iv,
        .ulIvLen = HF_GCM_IV_BYTES,
        .ulIvBits = HF_GCM_IV_BYTES * 8,
        .pAAD = (CK_BYTE *)gcm->aad.data,
        .ulAADLen = gcm->aad.len,
        .ulTagBits = HF_GCM_TAG_BYTES * 8,
    };
}

HF_STATUS p11_gcm_seal(struct p11_work *work, struct p11_gcm *gcm)
{
    CK_GCM_PARAMS gcm_params = params_of(gcm);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm_params, sizeof gcm_params};
    CK_ULONG len = gcm->out_len;
    HF_TRY(P11_CALL(work, C_EncryptInit, work->session, &mechanism, gcm->key));
    HF_TRY(P11_CALL(work, C_Encrypt, work->session, (CK_BYTE *)gcm->in.data,
                    gcm->in.len, gcm->out, &len));
    gcm->out_len = len;
    return len == gcm->in.len + HF_GCM_TAG_BYTES ? HF_OK : HF_E_UNREACHABLE;
}

HF_STATUS p11_gcm_open(struct p11_work *work, struct p11_gcm *gcm)
{
    CK_GCM_PARAMS gcm_params = params_of(gcm);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm_params, sizeof gcm_params};
    CK_ULONG len = gcm->out_len;
    HF_TRY(P11_CALL(work, C_DecryptInit, work->session, &mechanism, gcm->key));
    HF_TRY(P11_CALL(work, C_Decrypt, work->session, (CK_BYTE *)gcm->in.data,
                    gcm->in.len, gcm->out, &len));
    gcm->out_len = len;
    return len + HF_GCM_TAG_BYTES == gcm->in.len ? HF_OK : HF_E_UNREACHABLE;
}
