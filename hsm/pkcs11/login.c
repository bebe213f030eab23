#include "hsm/pkcs11/login.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <string.h>

#define REFUSED_MAX 64

/* PINs that a token of this process has refused. Not a setting of anybody: a
 * property of the process, like the log level. */
static struct {
    pthread_mutex_t lock;
    struct secret *key;
    uint8_t digests[REFUSED_MAX][HF_SHA256_BYTES];
    size_t count;
} refused = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under refused.lock. */
static HF_STATUS digest_of(const struct p11_token *token,
                           uint8_t out[HF_SHA256_BYTES])
{
    if (refused.key == NULL) {
        HF_TRY(secret_random(HF_SHA256_BYTES, &refused.key));
    }
    HF_OWNED(secret_freep) struct secret *text = NULL;
    size_t pin_len = token->pin != NULL ? secret_len(token->pin) : 0;
    size_t name_len = sizeof token->label + sizeof token->serial;
    HF_TRY(secret_new(name_len + pin_len + 1, &text));
    uint8_t *to = secret_writable(text);
    memcpy(to, token->label, sizeof token->label);
    memcpy(to + sizeof token->label, token->serial, sizeof token->serial);
    if (pin_len > 0) {
        memcpy(to + name_len, secret_bytes(token->pin), pin_len);
    }
    if (HMAC(EVP_sha256(), secret_bytes(refused.key), HF_SHA256_BYTES,
             secret_bytes(text), secret_len(text), out, NULL) == NULL) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

static HF_STATUS was_refused(const struct p11_token *token, bool *out_yes)
{
    uint8_t digest[HF_SHA256_BYTES];
    pthread_mutex_lock(&refused.lock);
    enum hf_status status = digest_of(token, digest);
    bool yes = false;
    size_t stored = refused.count < REFUSED_MAX ? refused.count : REFUSED_MAX;
    for (size_t i = 0; status == HF_OK && i < stored; i++) {
        yes = yes ||
              equal_constant_time(refused.digests[i], digest, sizeof digest);
    }
    pthread_mutex_unlock(&refused.lock);
    *out_yes = yes;
    return status;
}

static HF_STATUS remember(const struct p11_token *token)
{
    uint8_t digest[HF_SHA256_BYTES];
    pthread_mutex_lock(&refused.lock);
    enum hf_status status = digest_of(token, digest);
    if (status == HF_OK) {
        memcpy(refused.digests[refused.count % REFUSED_MAX], digest,
               sizeof digest);
        refused.count += 1;
    }
    pthread_mutex_unlock(&refused.lock);
    return status;
}

static const char *why_not_to_try(CK_FLAGS flags)
{
    if ((flags & CKF_USER_PIN_LOCKED) != 0) {
        return "the user PIN is locked";
    }
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        return "the user PIN has one try left; use it by hand";
    }
    if ((flags & CKF_USER_PIN_INITIALIZED) == 0) {
        return "the user PIN was never set";
    }
    return NULL;
}

static bool is_refusal(CK_RV rv)
{
    return rv_meaning(rv).status == HF_E_DENIED;
}

static void tell_offered(const struct p11_token *token, bool under_way)
{
    if (token->pin_offered != NULL) {
        token->pin_offered(token->lane_self, under_way);
    }
}

static HF_STATUS try_pin(struct p11_work *work, CK_FLAGS token_flags)
{
    struct p11_token *token = work->token;
    CK_UTF8CHAR *pin = NULL;
    CK_ULONG pin_len = 0;
    bool own_path = (token_flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
    if (!own_path && token->pin != NULL) {
        pin = secret_writable(token->pin);
        pin_len = secret_len(token->pin);
    }
    tell_offered(token, true);
    CK_RV rv = token->calls->C_Login(work->session, CKU_USER, pin, pin_len);
    tell_offered(token, false);
    if (rv == CKR_USER_ALREADY_LOGGED_IN) {
        return HF_OK;
    }
    enum hf_status status = p11_result(work, "C_Login", rv);
    if (is_refusal(rv)) {
        pthread_mutex_lock(&token->lock);
        token->pin_refused = true;
        pthread_mutex_unlock(&token->lock);
        HF_IGNORE(remember(token), "the token itself remembers it too");
    }
    return status;
}

HF_STATUS p11_login(struct p11_work *work, const char **out_why)
{
    struct p11_token *token = work->token;
    *out_why = NULL;
    pthread_mutex_lock(&token->lock);
    bool known_bad = token->pin_refused;
    pthread_mutex_unlock(&token->lock);
    if (!known_bad) {
        HF_TRY(was_refused(token, &known_bad));
    }
    if (known_bad) {
        *out_why = "this PIN was refused before and is not tried again; "
                   "restart with the right one";
        return HF_E_DENIED;
    }
    CK_TOKEN_INFO info = {0};
    HF_TRY(P11_CALL(work, C_GetTokenInfo, atomic_load(&token->slot), &info));
    if ((info.flags & CKF_LOGIN_REQUIRED) == 0) {
        return HF_OK;
    }
    bool logged_in = false;
    HF_TRY(p11_is_logged_in(work, &logged_in));
    if (logged_in) {
        return HF_OK;
    }
    *out_why = why_not_to_try(info.flags);
    if (*out_why != NULL) {
        return HF_E_DENIED;
    }
    return try_pin(work, info.flags);
}

HF_STATUS p11_is_logged_in(struct p11_work *work, bool *out_yes)
{
    CK_SESSION_INFO info = {0};
    HF_TRY(P11_CALL(work, C_GetSessionInfo, work->session, &info));
    *out_yes = info.state == CKS_RO_USER_FUNCTIONS ||
               info.state == CKS_RW_USER_FUNCTIONS;
    return HF_OK;
}
