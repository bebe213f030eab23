#include "hsm/pkcs11/canary.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/unwrapped.h"

#include <openssl/rand.h>

struct probe {
    uint8_t plain[HF_KEY_BYTES];
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t wrapped_len;
};

static HF_STATUS probe_for(struct p11_work *work,
                           const struct p11_cached_key *key,
                           enum token_suite suite, struct probe *out)
{
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len = 0;
    HF_TRY(p11_public_key_of(work, key->handle, &key->key, spki, &spki_len));
    if (RAND_bytes(out->plain, sizeof out->plain) != 1) {
        return HF_E_INTERNAL;
    }
    return p11_oaep_encrypt((struct bytes){spki, spki_len}, suite,
                            BYTES_OF(out->plain), out->wrapped,
                            &out->wrapped_len);
}

HF_STATUS p11_canary_decrypt(struct p11_work *work,
                             const struct p11_cached_key *key,
                             enum token_suite suite)
{
    struct probe probe = {.wrapped_len = 0};
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(work->token, suite, &mechanism));
    HF_TRY(probe_for(work, key, suite, &probe));
    uint8_t out[HF_RSA_MAX_BYTES];
    CK_ULONG out_len = sizeof out;
    HF_TRY(P11_CALL(work, C_DecryptInit, work->session, &mechanism.mechanism,
                    key->handle));
    HF_TRY(P11_CALL(work, C_Decrypt, work->session, probe.wrapped,
                    probe.wrapped_len, out, &out_len));
    bool same =
        bytes_equal((struct bytes){out, out_len}, BYTES_OF(probe.plain));
    return same ? HF_OK : HF_E_UNREACHABLE;
}

static HF_STATUS unwrap_and_drop(struct p11_work *work, CK_MECHANISM *mechanism,
                                 CK_OBJECT_HANDLE key, struct probe *probe)
{
    struct p11_template lease;
    p11_template_lease(&lease);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    HF_TRY(P11_CALL(work, C_UnwrapKey, work->session, mechanism, key,
                    probe->wrapped, probe->wrapped_len, lease.at, lease.count,
                    &object));
    HF_TRY(p11_unwrapped_check(work, object)); /* it dies with its session */
    return p11_object_destroy(work, object);
}

HF_STATUS p11_canary_unwrap(struct p11_work *work,
                            const struct p11_cached_key *key,
                            enum token_suite suite)
{
    struct probe probe = {.wrapped_len = 0};
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(work->token, suite, &mechanism));
    HF_TRY(probe_for(work, key, suite, &probe));
    return unwrap_and_drop(work, &mechanism.mechanism, key->handle, &probe);
}

static HF_STATUS session_key(struct p11_work *work, bool extractable,
                             CK_OBJECT_HANDLE *out)
{
    struct p11_template key;
    p11_template_lease(&key);
    for (size_t i = 0; i < key.count; i++) {
        if (key.at[i].type == CKA_EXTRACTABLE && extractable) {
            struct p11_template yes = {.count = 0};
            p11_add_flag(&yes, CKA_EXTRACTABLE, true);
            key.at[i] = yes.at[0];
        }
    }
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    return P11_CALL(work, C_GenerateKey, work->session, &generate, key.at,
                    key.count, out);
}

HF_STATUS p11_canary_kwp(struct p11_work *work,
                         const struct p11_cached_key *key)
{
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(work->token, TOKEN_SUITE_AES_KWP, &mechanism));
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    HF_TRY(session_key(work, true, &made));
    struct probe probe = {.wrapped_len = 0};
    CK_ULONG wrapped_len = sizeof probe.wrapped;
    enum hf_status status =
        P11_CALL(work, C_WrapKey, work->session, &mechanism.mechanism,
                 key->handle, made, probe.wrapped, &wrapped_len);
    probe.wrapped_len = wrapped_len;
    if (status == HF_OK) {
        status =
            unwrap_and_drop(work, &mechanism.mechanism, key->handle, &probe);
    }
    enum hf_status dropped = p11_object_destroy(work, made);
    return status != HF_OK ? status : dropped;
}

HF_STATUS p11_canary_object(struct p11_work *work, CK_OBJECT_HANDLE object)
{
    uint8_t plain[HF_KEY_BYTES];
    uint8_t iv[HF_GCM_IV_BYTES];
    if (RAND_bytes(plain, sizeof plain) != 1 ||
        RAND_bytes(iv, sizeof iv) != 1) {
        return HF_E_INTERNAL;
    }
    uint8_t sealed[sizeof plain + HF_GCM_TAG_BYTES];
    uint8_t opened[sizeof sealed];
    struct p11_gcm gcm = {.key = object,
                          .iv = iv,
                          .in = BYTES_OF(plain),
                          .out = sealed,
                          .out_len = sizeof sealed};
    HF_TRY(p11_gcm_seal(work, &gcm));
    gcm.in = (struct bytes){sealed, gcm.out_len};
    gcm.out = opened;
    gcm.out_len = sizeof opened;
    HF_TRY(p11_gcm_open(work, &gcm));
    bool same =
        bytes_equal((struct bytes){opened, gcm.out_len}, BYTES_OF(plain));
    return same ? HF_OK : HF_E_UNREACHABLE;
}

HF_STATUS p11_canary_session(struct p11_work *work)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    HF_TRY(session_key(work, false, &key));
    enum hf_status status =
        work->token->profile.aes_gcm
            ? p11_canary_object(work, key)
            : HF_OK; /* made and destroyed is all there is */
    enum hf_status dropped = p11_object_destroy(work, key);
    return status != HF_OK ? status : dropped;
}
