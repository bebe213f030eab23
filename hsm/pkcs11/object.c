#include "hsm/pkcs11/object.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/public_key.h"

#include <string.h>

HF_STATUS p11_find(struct p11_work *work, CK_ATTRIBUTE *filter,
                   size_t filter_len, CK_OBJECT_HANDLE *out, size_t cap,
                   size_t *out_count)
{
    size_t count = 0;
    CK_ULONG got = 0;
    HF_TRY(
        P11_CALL(work, C_FindObjectsInit, work->session, filter, filter_len));
    enum hf_status status = HF_OK;
    do {
        status = P11_CALL(work, C_FindObjects, work->session, out + count,
                          cap - count, &got);
        count += status == HF_OK ? got : 0;
    } while (status == HF_OK && got > 0 && count < cap);
    CK_OBJECT_HANDLE more = CK_INVALID_HANDLE;
    CK_ULONG more_count = 0;
    if (status == HF_OK && count == cap) {
        status =
            P11_CALL(work, C_FindObjects, work->session, &more, 1, &more_count);
    }
    enum hf_status ended = P11_CALL(work, C_FindObjectsFinal, work->session);
    HF_TRY(status);
    HF_TRY(ended);
    *out_count = count;
    return more_count > 0 ? HF_E_LIMIT : HF_OK;
}

CK_OBJECT_CLASS p11_key_class(enum token_key_type type)
{
    bool pair = type == TOKEN_KEY_RSA || type == TOKEN_KEY_EC;
    return pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
}

CK_KEY_TYPE p11_key_type(enum token_key_type type)
{
    switch (type) {
    case TOKEN_KEY_RSA:
        return CKK_RSA;
    case TOKEN_KEY_EC:
        return CKK_EC;
    case TOKEN_KEY_AES:
        return CKK_AES;
    case TOKEN_KEY_GENERIC:
        return CKK_GENERIC_SECRET;
    }
    return CKK_GENERIC_SECRET;
}

static bool is_zero(const uint8_t fingerprint[HF_SHA256_BYTES])
{
    static const uint8_t zero[HF_SHA256_BYTES];
    return bytes_equal((struct bytes){fingerprint, HF_SHA256_BYTES},
                       BYTES_OF(zero));
}

static bool same_id(const struct token_key *a, const struct token_key *b)
{
    return a->type == b->type && bytes_equal((struct bytes){a->id, a->id_len},
                                             (struct bytes){b->id, b->id_len});
}

static bool same_fingerprint(const struct token_key *wanted,
                             const struct token_key *real)
{
    return is_zero(wanted->fingerprint) ||
           bytes_equal(BYTES_OF(wanted->fingerprint),
                       BYTES_OF(real->fingerprint));
}

static HF_STATUS fingerprint_of(struct p11_work *work, CK_OBJECT_HANDLE handle,
                                struct token_key *key)
{
    if (p11_key_class(key->type) == CKO_SECRET_KEY) {
        return HF_OK;
    }
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len = 0;
    HF_TRY(p11_public_key_of(work, handle, key, spki, &spki_len));
    return p11_fingerprint((struct bytes){spki, spki_len}, key->fingerprint);
}

HF_STATUS p11_key_search(struct p11_work *work, const struct token_key *key,
                         struct token_key *out_key,
                         CK_OBJECT_HANDLE *out_handle)
{
    CK_OBJECT_CLASS class_ = p11_key_class(key->type);
    CK_KEY_TYPE type = p11_key_type(key->type);
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE filter[] = {
        {CKA_CLASS,    &class_,         sizeof class_},
        {CKA_KEY_TYPE, &type,           sizeof type  },
        {CKA_TOKEN,    &yes,            sizeof yes   },
        {CKA_ID,       (void *)key->id, key->id_len  },
    };
    CK_OBJECT_HANDLE handles[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_find(work, filter, HF_COUNT(filter), handles, HF_COUNT(handles),
                    &count));
    size_t fits = 0;
    for (size_t i = 0; i < count; i++) {
        struct token_key real = *key;
        memset(real.fingerprint, 0, sizeof real.fingerprint);
        HF_TRY(fingerprint_of(work, handles[i], &real));
        if (same_fingerprint(key, &real)) {
            *out_key = real;
            *out_handle = handles[i];
            fits += 1;
        }
    }
    if (fits == 0) {
        return HF_E_NOT_FOUND;
    }
    return fits == 1 ? HF_OK : HF_E_UNCONFIRMED;
}

/* Under token->lock. */
static struct p11_cached_key *entry_of(struct p11_token *token,
                                       const struct token_key *key)
{
    for (size_t i = 0; i < P11_KEYS_CACHED; i++) {
        struct p11_cached_key *entry = &token->keys[i];
        if (entry->handle != CK_INVALID_HANDLE && same_id(key, &entry->key) &&
            same_fingerprint(key, &entry->key)) {
            return entry;
        }
    }
    return NULL;
}

bool p11_key_cached(struct p11_token *token, const struct token_key *key,
                    struct p11_cached_key *out)
{
    pthread_mutex_lock(&token->lock);
    struct p11_cached_key *entry = entry_of(token, key);
    if (entry != NULL) {
        entry->used = ++token->key_clock;
        *out = *entry;
    }
    pthread_mutex_unlock(&token->lock);
    return entry != NULL;
}

void p11_key_remember(struct p11_token *token,
                      const struct p11_cached_key *found)
{
    token->keys_seen = true;
    pthread_mutex_lock(&token->lock);
    struct p11_cached_key *place = entry_of(token, &found->key);
    for (size_t i = 0; place == NULL && i < P11_KEYS_CACHED; i++) {
        if (token->keys[i].handle == CK_INVALID_HANDLE) {
            place = &token->keys[i];
        }
    }
    if (place == NULL) {
        place = &token->keys[0];
        for (size_t i = 1; i < P11_KEYS_CACHED; i++) {
            if (token->keys[i].used < place->used) {
                place = &token->keys[i];
            }
        }
    }
    if (atomic_load(&token->generation) == found->generation) {
        *place = *found;
        place->used = ++token->key_clock;
    }
    pthread_mutex_unlock(&token->lock);
}

void p11_key_forget(struct p11_token *token, const struct token_key *key)
{
    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < P11_KEYS_CACHED; i++) {
        if (same_id(key, &token->keys[i].key)) {
            token->keys[i] = (struct p11_cached_key){0};
        }
    }
    pthread_mutex_unlock(&token->lock);
}

HF_STATUS p11_attribute(struct p11_work *work, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE_TYPE type, void *out, size_t *len)
{
    CK_ATTRIBUTE attribute = {type, out, *len};
    CK_RV rv = work->token->calls->C_GetAttributeValue(work->session, object,
                                                       &attribute, 1);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
        (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
        return HF_E_UNSUPPORTED;
    }
    HF_TRY(p11_result(work, "C_GetAttributeValue", rv));
    if (attribute.ulValueLen > *len) {
        return HF_E_UNREACHABLE; /* the module does not keep to the rules */
    }
    *len = attribute.ulValueLen;
    return HF_OK;
}

HF_STATUS p11_flag(struct p11_work *work, CK_OBJECT_HANDLE object,
                   CK_ATTRIBUTE_TYPE type, bool otherwise, bool *out)
{
    CK_BBOOL value = CK_FALSE;
    size_t len = sizeof value;
    enum hf_status status = p11_attribute(work, object, type, &value, &len);
    if (status == HF_E_UNSUPPORTED || (status == HF_OK && len == 0)) {
        *out = otherwise;
        return HF_OK;
    }
    HF_TRY(status);
    *out = value != CK_FALSE;
    return HF_OK;
}

HF_STATUS p11_object_destroy(struct p11_work *work, CK_OBJECT_HANDLE object)
{
    enum hf_status status =
        P11_CALL(work, C_DestroyObject, work->session, object);
    if (status != HF_OK && work->kind == RV_HANDLE) {
        return HF_OK; /* it is gone, which was the point */
    }
    return status;
}
