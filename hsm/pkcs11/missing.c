#include "hsm/pkcs11/missing.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/canary.h"
#include "hsm/pkcs11/login.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/slot.h"

#include <string.h>

/* What a module says of a key is its own view, and not what it failed to read
 * once, for so long after it was initialised. */
#define FRESH_VIEW_MS    2000
#define MISSING_KNOWN_MS 600000

static HF_STATUS canary_search(struct p11_work *work,
                               struct p11_cached_key *out, bool *out_found)
{
    struct p11_template filter = {.count = 0};
    p11_add_number(&filter, CKA_CLASS, CKO_PRIVATE_KEY);
    p11_add_number(&filter, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&filter, CKA_TOKEN, true);
    p11_add_bytes(&filter, CKA_LABEL, HF_CANARY_LABEL,
                  sizeof HF_CANARY_LABEL - 1);
    CK_OBJECT_HANDLE found[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_find(work, filter.at, filter.count, found, HF_COUNT(found),
                    &count));
    *out = (struct p11_cached_key){.key = {.type = TOKEN_KEY_RSA},
                                   .handle = count > 0 ? found[0]
                                                       : CK_INVALID_HANDLE};
    *out_found = count > 0;
    return HF_OK;
}

/* At least one key of any kind is to be seen. */
static HF_STATUS any_key(struct p11_work *work, bool *out_any)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_SECRET_KEY};
    *out_any = false;
    for (size_t i = 0; i < HF_COUNT(classes); i++) {
        struct p11_template filter = {.count = 0};
        p11_add_number(&filter, CKA_CLASS, classes[i]);
        p11_add_flag(&filter, CKA_TOKEN, true);
        CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
        size_t count = 0;
        enum hf_status status =
            p11_find(work, filter.at, filter.count, &found, 1, &count);
        if (status != HF_OK && status != HF_E_LIMIT) {
            return status;
        }
        *out_any = *out_any || count > 0;
    }
    return HF_OK;
}

HF_STATUS p11_canary_look(struct p11_work *work)
{
    struct p11_cached_key canary;
    bool seen = false;
    HF_TRY(canary_search(work, &canary, &seen));
    work->token->canary_seen = seen;
    HF_TRY(any_key(work, &seen));
    work->token->keys_seen = seen;
    return HF_OK;
}

static HF_STATUS same_token_answers(struct p11_work *work)
{
    const struct p11_token *token = work->token;
    struct token_profile now = {0};
    size_t sessions = 0;
    HF_TRY(p11_token_info(work, &now, &sessions));
    if (strcmp(now.label, token->label) != 0 ||
        strcmp(now.serial, token->serial) != 0) {
        return HF_E_UNREACHABLE;
    }
    return HF_OK;
}

static HF_STATUS canary_answers(struct p11_work *work)
{
    struct p11_token *token = work->token;
    HF_TRY(same_token_answers(work));
    struct p11_cached_key canary;
    bool found = false;
    HF_TRY(canary_search(work, &canary, &found));
    if (found) {
        token->canary_seen = true;
        return p11_canary_decrypt(work, &canary,
                                  token_suite_preferred(&token->profile));
    }
    if (token->canary_seen) {
        return HF_E_UNCONFIRMED; /* it has gone as well */
    }
    bool any = false;
    HF_TRY(any_key(work, &any));
    if (token->keys_seen && !any) {
        return HF_E_UNCONFIRMED; /* everything has gone */
    }
    /* a token that makes no session keys has answered all it can */
    return token->honours.session_keys ? p11_canary_session(work) : HF_OK;
}

HF_STATUS p11_empty_confirm(struct p11_work *work)
{
    enum hf_status status = canary_answers(work);
    /* looked at last: what was short during the search may be short still */
    if (!p11_descriptors_left(work->token)) {
        return HF_E_RESOURCES;
    }
    if (status == HF_OK || hf_status_class(status) == HF_CLASS_OURS) {
        return status;
    }
    return HF_E_UNCONFIRMED;
}

static bool same_key(const struct token_key *a, const struct token_key *b)
{
    return a->type == b->type &&
           bytes_equal((struct bytes){a->id, a->id_len},
                       (struct bytes){b->id, b->id_len}) &&
           bytes_equal(BYTES_OF(a->fingerprint), BYTES_OF(b->fingerprint));
}

static bool known_missing(struct p11_token *token, const struct token_key *key)
{
    int64_t now_ms = clock_monotonic_ms(clock_system());
    bool known = false;
    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < P11_MISSING_KNOWN; i++) {
        known = known || (token->missing[i].until_ms > now_ms &&
                          same_key(&token->missing[i].key, key));
    }
    pthread_mutex_unlock(&token->lock);
    return known;
}

static void note_missing(struct p11_token *token, const struct token_key *key)
{
    int64_t now_ms = clock_monotonic_ms(clock_system());
    pthread_mutex_lock(&token->lock);
    token->missing[token->missing_next].key = *key;
    token->missing[token->missing_next].until_ms = now_ms + MISSING_KNOWN_MS;
    token->missing_next = (token->missing_next + 1) % P11_MISSING_KNOWN;
    pthread_mutex_unlock(&token->lock);
}

/* The thread is inside the module, and has to come out for a renewal. */
static HF_STATUS renew(struct p11_work *work)
{
    struct p11_token *token = work->token;
    if (!p11_descriptors_left(token)) {
        return HF_E_RESOURCES; /* it would not come up again */
    }
    p11_session_end(work);
    p11_module_leave(token->module);
    enum hf_status status = p11_module_renew(token->module);
    p11_module_enter(token->module);
    if (status != HF_OK) {
        return HF_E_UNCONFIRMED;
    }
    return p11_result(work, "C_Initialize", CKR_USER_NOT_LOGGED_IN);
}

/* Private objects are not shown to a session that is not logged in, without any
 * error. */
static HF_STATUS check_shown(struct p11_work *work)
{
    bool logged_in = false;
    HF_TRY(p11_session_need(work));
    HF_TRY(p11_is_logged_in(work, &logged_in));
    if (!logged_in && work->token->profile.login_required) {
        return p11_result(work, "C_GetSessionInfo", CKR_USER_NOT_LOGGED_IN);
    }
    return HF_OK;
}

HF_STATUS p11_missing_confirm(struct p11_work *work,
                              const struct token_key *key)
{
    struct p11_token *token = work->token;
    HF_TRY(check_shown(work));
    if (token->profile.hardware || known_missing(token, key)) {
        return p11_empty_confirm(work);
    }
    if (p11_module_age_ms(token->module) > FRESH_VIEW_MS) {
        return renew(work);
    }
    HF_TRY(p11_empty_confirm(work));
    note_missing(token, key);
    return HF_OK;
}

static HF_STATUS search(struct p11_work *work, const struct token_key *key,
                        struct p11_cached_key *out)
{
    *out = (struct p11_cached_key){
        .generation = atomic_load(&work->token->generation),
    };
    HF_TRY(p11_session_need(work));
    HF_TRY(p11_key_search(work, key, &out->key, &out->handle));
    p11_key_remember(work->token, out);
    return HF_OK;
}

/* HF_E_NOT_FOUND: two sessions agree; what that is worth is for others to say.
 */
static HF_STATUS search_twice(struct p11_work *work,
                              const struct token_key *key,
                              struct p11_cached_key *out)
{
    enum hf_status status = search(work, key, out);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    if (!p11_descriptors_left(work->token)) {
        return HF_E_RESOURCES;
    }
    work->suspect = true; /* a fresh one has to agree */
    p11_session_end(work);
    return search(work, key, out);
}

HF_STATUS p11_key_need(struct p11_work *work, const struct token_key *key,
                       struct p11_cached_key *out)
{
    HF_TRY(p11_session_need(work));
    if (p11_key_cached(work->token, key, out)) {
        return HF_OK;
    }
    enum hf_status status = search_twice(work, key, out);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    HF_TRY(p11_missing_confirm(work, key));
    return HF_E_NOT_FOUND;
}

HF_STATUS p11_key_look(struct p11_work *work, const struct token_key *key,
                       struct p11_cached_key *out)
{
    enum hf_status status = search_twice(work, key, out);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    HF_TRY(check_shown(work));
    return HF_E_UNCONFIRMED;
}

HF_STATUS p11_with_key(struct p11_work *work, const struct token_key *key,
                       p11_key_step_fn *step, void *argument)
{
    struct p11_cached_key found;
    HF_TRY(p11_key_need(work, key, &found));
    work->kind = RV_FINAL;
    enum hf_status status = step(work, &found, argument);
    if (status == HF_OK || work->kind != RV_HANDLE) {
        return status;
    }
    p11_key_forget(work->token, key);
    work->suspect = true; /* the operation may be half begun on this session */
    p11_session_end(work);
    HF_TRY(p11_key_need(work, key, &found));
    work->kind = RV_FINAL;
    return step(work, &found, argument);
}
