#include "hsm/pkcs11/seal.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/canary.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/wrap.h"

struct aead_step {
    struct token_aead *aead;
    bool opening;
};

static bool is_current(const struct p11_token *token,
                       const struct token_object *object)
{
    return object->generation ==
           atomic_load_explicit(&token->generation, memory_order_acquire);
}

/* What does not open would be a key that nobody gets back: a module that seals
 * wrongly is found out before its answer is anybody's. */
static HF_STATUS prove_sealed(struct p11_work *work,
                              const struct token_aead *aead,
                              struct bytes sealed)
{
    uint8_t opened[HF_SEALED_MAX_BYTES];
    struct p11_gcm gcm = {.key = p11_object_handle(&aead->key),
                          .iv = aead->iv,
                          .aad = aead->aad,
                          .in = sealed,
                          .out = opened,
                          .out_len = sizeof opened};
    enum hf_status status = p11_gcm_open(work, &gcm);
    bool same = status == HF_OK &&
                bytes_equal((struct bytes){opened, gcm.out_len}, aead->in);
    wipe(opened, sizeof opened);
    return status != HF_OK || same ? status : HF_E_UNREACHABLE;
}

static HF_STATUS aead_once(struct p11_work *work, const struct aead_step *step)
{
    struct token_aead *aead = step->aead;
    HF_TRY(p11_session_need(work));
    struct p11_gcm gcm = {.key = p11_object_handle(&aead->key),
                          .iv = aead->iv,
                          .aad = aead->aad,
                          .in = aead->in,
                          .out = aead->out,
                          .out_len = aead->out_cap};
    HF_TRY(step->opening ? p11_gcm_open(work, &gcm) : p11_gcm_seal(work, &gcm));
    aead->out_len = gcm.out_len;
    return step->opening
               ? HF_OK
               : prove_sealed(work, aead, (struct bytes){gcm.out, gcm.out_len});
}

/* The generation is looked at after the operation too: had it ended meanwhile,
 * the handle might have named another key by then. */
static HF_STATUS aead_try(struct p11_work *work, void *argument)
{
    const struct aead_step *step = argument;
    if (!is_current(work->token, &step->aead->key)) {
        return HF_E_PRECONDITION;
    }
    enum hf_status status = aead_once(work, step);
    if (status == HF_OK && !is_current(work->token, &step->aead->key)) {
        wipe(step->aead->out, step->aead->out_len);
        return HF_E_PRECONDITION;
    }
    return status;
}

/* As in wrap.c: a general error on opening is the blob's fault only when the
 * same key opens what it sealed just now, and the blob fails twice. */
static HF_STATUS decide(struct p11_work *work, struct aead_step *step)
{
    if (!p11_descriptors_left(work->token)) {
        return HF_E_RESOURCES;
    }
    CK_RV first_rv = work->rv;
    work->suspect = true;
    p11_session_end(work);
    HF_TRY(p11_session_need(work));
    enum hf_status status =
        p11_canary_object(work, p11_object_handle(&step->aead->key));
    if (status != HF_OK) {
        return work->kind == RV_HANDLE ? HF_E_PRECONDITION : status;
    }
    work->kind = RV_FINAL;
    status = aead_try(work, step);
    if (status == HF_OK || work->kind != RV_DOUBTFUL) {
        return status;
    }
    work->kind = RV_FINAL;
    work->rv = first_rv;
    return HF_E_BAD_BLOB;
}

static HF_STATUS aead_failed(struct p11_work *work, struct aead_step *step,
                             enum hf_status status)
{
    if (work->kind == RV_HANDLE) {
        return HF_E_PRECONDITION;
    }
    if (work->kind != RV_DOUBTFUL) {
        return status;
    }
    return step->opening ? decide(work, step) : status;
}

static HF_STATUS aead_run(struct p11_work *work, struct aead_step *step)
{
    enum hf_status status = p11_run_repaired(work, aead_try, step);
    if (__builtin_expect(status == HF_OK, 1) || status == HF_E_PRECONDITION) {
        return status;
    }
    return aead_failed(work, step, status);
}

HF_STATUS p11_seal(struct p11_work *work, struct token_aead *aead)
{
    struct aead_step step = {aead, false};
    return aead_run(work, &step);
}

HF_STATUS p11_open(struct p11_work *work, struct token_aead *aead)
{
    struct aead_step step = {aead, true};
    return aead_run(work, &step);
}

/* A session copy answers in a third of the time (facts.md); it lives on an
 * anchor because it must outlive this lane's session. A token that copies no
 * keys is used as it is. */
static CK_OBJECT_HANDLE session_copy(struct p11_token *token,
                                     const struct p11_cached_key *key)
{
    struct p11_work anchor = p11_work_begin(token);
    size_t index = 0;
    if (p11_anchor_take(&anchor, &index) != HF_OK) {
        return CK_INVALID_HANDLE;
    }
    struct p11_template differences = {.count = 0};
    p11_add_flag(&differences, CKA_TOKEN, false);
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    enum hf_status status =
        anchor.generation != key->generation
            ? HF_E_PRECONDITION
            : P11_CALL(&anchor, C_CopyObject, anchor.session, key->handle,
                       differences.at, differences.count, &copy);
    bool alive =
        p11_anchor_give(&anchor, index, status == HF_OK, anchor.broken);
    return status == HF_OK && alive ? copy : CK_INVALID_HANDLE;
}

/* A wrong MAC makes a record that is refused when it is read next, as one that
 * was changed. The token is asked the other way round, as far as it and the key
 * can do that. */
static HF_STATUS hmac_verifies(struct p11_work *work, CK_OBJECT_HANDLE key,
                               struct token_mac *mac)
{
    CK_MECHANISM mechanism = {.mechanism = CKM_SHA256_HMAC};
    enum hf_status status =
        P11_CALL(work, C_VerifyInit, work->session, &mechanism, key);
    if (status == HF_OK) {
        status =
            P11_CALL(work, C_Verify, work->session, (CK_BYTE *)mac->in.data,
                     mac->in.len, mac->out, sizeof mac->out);
    }
    bool cannot = status == HF_E_DENIED || status == HF_E_UNSUPPORTED ||
                  work->rv == CKR_MECHANISM_INVALID;
    return cannot ? HF_OK : status;
}

static HF_STATUS hmac(struct p11_work *work, CK_OBJECT_HANDLE key,
                      struct token_mac *mac)
{
    CK_MECHANISM mechanism = {.mechanism = CKM_SHA256_HMAC};
    CK_ULONG len = sizeof mac->out;
    HF_TRY(p11_session_need(work));
    HF_TRY(P11_CALL(work, C_SignInit, work->session, &mechanism, key));
    HF_TRY(P11_CALL(work, C_Sign, work->session, (CK_BYTE *)mac->in.data,
                    mac->in.len, mac->out, &len));
    return len == sizeof mac->out ? hmac_verifies(work, key, mac)
                                  : HF_E_UNREACHABLE;
}

static HF_STATUS mac_on_key(struct p11_work *work,
                            const struct p11_cached_key *found, void *argument)
{
    struct token_mac *mac = argument;
    struct p11_cached_key key = *found;
    if (key.mac_copy == CK_INVALID_HANDLE) {
        key.mac_copy = session_copy(work->token, &key);
        if (key.mac_copy == CK_INVALID_HANDLE) {
            key.mac_copy = key.handle;
        }
        p11_key_remember(work->token, &key);
    }
    return hmac(work, key.mac_copy, mac);
}

static HF_STATUS mac_step(struct p11_work *work, void *argument)
{
    struct token_mac *mac = argument;
    return p11_with_key(work, &mac->key, mac_on_key, mac);
}

HF_STATUS p11_mac(struct p11_work *work, struct token_mac *mac)
{
    if (mac->key.type != TOKEN_KEY_GENERIC) {
        return HF_E_INVALID;
    }
    return p11_run_repaired(work, mac_step, mac);
}
