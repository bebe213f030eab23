#include "hsm/pkcs11/wrap.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/canary.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/unwrapped.h"

/* One of the two operations, on a key that was found. */
typedef enum hf_status attempt_fn(struct p11_work *work,
                                  const struct p11_cached_key *key,
                                  struct token_unwrap *unwrap);

static HF_STATUS unwrap_on(struct p11_work *anchor, CK_OBJECT_HANDLE key,
                           struct token_unwrap *unwrap, CK_OBJECT_HANDLE *out)
{
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(anchor->token, unwrap->suite, &mechanism));
    struct p11_template lease;
    p11_template_lease(&lease);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    HF_TRY(P11_CALL(anchor, C_UnwrapKey, anchor->session, &mechanism.mechanism,
                    key, (CK_BYTE *)unwrap->wrapped.data, unwrap->wrapped.len,
                    lease.at, lease.count, &object));
    enum hf_status status = object >> P11_HANDLE_BITS == 0
                                ? p11_unwrapped_check(anchor, object)
                                : HF_E_UNSUPPORTED; /* no module does that */
    if (status != HF_OK) {
        HF_IGNORE(p11_object_destroy(anchor, object),
                  "it dies with its session");
        return status;
    }
    *out = object;
    return HF_OK;
}

static HF_STATUS try_unwrap(struct p11_work *work,
                            const struct p11_cached_key *key,
                            struct token_unwrap *unwrap)
{
    struct p11_work anchor = p11_work_begin(work->token);
    size_t index = 0;
    enum hf_status status = p11_anchor_take(&anchor, &index);
    if (status == HF_OK) {
        CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
        anchor.kind = RV_FINAL;
        status = unwrap_on(&anchor, key->handle, unwrap, &object);
        /* bad data is no reason to distrust the session: the canary decides */
        bool retire = anchor.broken && anchor.kind != RV_DOUBTFUL;
        uint64_t generation = anchor.generation;
        bool alive = p11_anchor_give(&anchor, index, status == HF_OK, retire);
        if (status == HF_OK && !alive) {
            anchor.kind = RV_SESSION; /* repaired under us: once more */
            status = HF_E_UNREACHABLE;
        }
        if (status == HF_OK) {
            unwrap->object = (struct token_object){
                .handle = object | (uint64_t)index << P11_HANDLE_BITS,
                .generation = generation,
            };
            atomic_fetch_add(&work->token->objects, 1);
        }
    }
    if (status != HF_OK) {
        work->rv = anchor.rv;
        work->kind = anchor.kind;
        work->function = anchor.function;
    }
    return status;
}

static HF_STATUS decrypt_into(struct p11_work *work, CK_OBJECT_HANDLE key,
                              struct token_unwrap *unwrap, uint8_t *out,
                              CK_ULONG *len)
{
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(work->token, unwrap->suite, &mechanism));
    HF_TRY(P11_CALL(work, C_DecryptInit, work->session, &mechanism.mechanism,
                    key));
    return P11_CALL(work, C_Decrypt, work->session,
                    (CK_BYTE *)unwrap->wrapped.data, unwrap->wrapped.len, out,
                    len);
}

static HF_STATUS try_decrypt(struct p11_work *work,
                             const struct p11_cached_key *key,
                             struct token_unwrap *unwrap)
{
    HF_OWNED(secret_freep) struct secret *plain = NULL;
    HF_TRY(secret_new(HF_RSA_MAX_BYTES, &plain));
    CK_ULONG len = secret_len(plain);
    HF_TRY(p11_session_need(work));
    HF_TRY(
        decrypt_into(work, key->handle, unwrap, secret_writable(plain), &len));
    if (len != HF_KEY_BYTES) {
        return HF_E_BAD_BLOB;
    }
    /* the whole block would fill the locked heap in no time */
    HF_OWNED(secret_freep) struct secret *result = NULL;
    HF_TRY(secret_new(HF_KEY_BYTES, &result));
    for (size_t i = 0; i < HF_KEY_BYTES; i++) {
        secret_writable(result)[i] = secret_bytes(plain)[i];
    }
    unwrap->secret = HF_GIVE(result);
    return HF_OK;
}

struct attempt {
    attempt_fn *attempt;
    struct token_unwrap *unwrap;
};

static HF_STATUS canary(struct p11_work *work, const struct p11_cached_key *key,
                        const struct attempt *attempt)
{
    work->suspect = true;
    p11_session_end(work);
    HF_TRY(p11_session_need(work));
    enum token_suite suite = attempt->unwrap->suite;
    if (suite == TOKEN_SUITE_AES_KWP) {
        return p11_canary_kwp(work, key);
    }
    return attempt->attempt == try_decrypt
               ? p11_canary_decrypt(work, key, suite)
               : p11_canary_unwrap(work, key, suite);
}

/* "General error" says neither that the blob is bad nor that the token is. A
 * canary under the same key does; and when it is fine, the blob gets a second
 * chance before its owner is told that data is lost. */
static HF_STATUS decide(struct p11_work *work, const struct p11_cached_key *key,
                        const struct attempt *attempt)
{
    if (!p11_descriptors_left(work->token)) {
        return HF_E_RESOURCES;
    }
    CK_RV first_rv = work->rv;
    const char *first_function = work->function;
    HF_TRY(canary(work, key, attempt));
    work->kind = RV_FINAL;
    enum hf_status status = attempt->attempt(work, key, attempt->unwrap);
    if (status == HF_OK || work->kind != RV_DOUBTFUL) {
        return status;
    }
    work->kind = RV_FINAL;
    work->rv = first_rv;
    work->function = first_function;
    return HF_E_BAD_BLOB;
}

static HF_STATUS on_key(struct p11_work *work, const struct p11_cached_key *key,
                        void *argument)
{
    const struct attempt *attempt = argument;
    enum hf_status status = attempt->attempt(work, key, attempt->unwrap);
    if (status == HF_OK || work->kind != RV_DOUBTFUL) {
        return status;
    }
    return decide(work, key, attempt);
}

static HF_STATUS step(struct p11_work *work, void *argument)
{
    const struct attempt *attempt = argument;
    return p11_with_key(work, &attempt->unwrap->key, on_key, argument);
}

/* The suite has to suit the root: a malformed record is no module's business.
 */
static HF_STATUS check_suite(const struct p11_token *token,
                             const struct token_unwrap *unwrap)
{
    bool kwp = unwrap->suite == TOKEN_SUITE_AES_KWP;
    enum token_key_type needed = kwp ? TOKEN_KEY_AES : TOKEN_KEY_RSA;
    if (unwrap->key.type != needed) {
        return HF_E_INVALID;
    }
    if (kwp && unwrap->wrapped.len != HF_KWP_BYTES) {
        return HF_E_BAD_BLOB; /* RFC 5649: the length of the key shows */
    }
    struct p11_mechanism mechanism;
    return p11_mechanism_of(token, unwrap->suite, &mechanism);
}

HF_STATUS p11_unwrap(struct p11_work *work, struct token_unwrap *unwrap)
{
    HF_TRY(check_suite(work->token, unwrap));
    if (!work->token->profile.unwrap_to_object) {
        return HF_E_UNSUPPORTED;
    }
    struct attempt attempt = {try_unwrap, unwrap};
    return p11_run_repaired(work, step, &attempt);
}

HF_STATUS p11_decrypt(struct p11_work *work, struct token_unwrap *unwrap)
{
    HF_TRY(check_suite(work->token, unwrap));
    if (unwrap->suite == TOKEN_SUITE_AES_KWP) {
        return HF_E_UNSUPPORTED;
    }
    struct attempt attempt = {try_decrypt, unwrap};
    return p11_run_repaired(work, step, &attempt);
}

static HF_STATUS forget_step(struct p11_work *work, void *argument)
{
    const struct token_object *object = argument;
    if (object->generation != atomic_load(&work->token->generation)) {
        return HF_OK; /* it died with its session */
    }
    HF_TRY(p11_session_need(work));
    enum hf_status status = P11_CALL(work, C_DestroyObject, work->session,
                                     p11_object_handle(object));
    if (status == HF_OK) {
        atomic_fetch_sub(&work->token->objects, 1);
        p11_anchor_less(work->token, object->handle >> P11_HANDLE_BITS,
                        object->generation);
    }
    bool gone = status != HF_OK && work->kind == RV_HANDLE;
    return gone ? HF_OK : status;
}

HF_STATUS p11_forget(struct p11_work *work, const struct token_object *object)
{
    struct token_object copy = *object;
    return p11_run_repaired(work, forget_step, &copy);
}
