#include "hsm/pkcs11/data.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/generate.h"
#include "hsm/pkcs11/login.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/slot.h"

#include <stdlib.h>
#include <string.h>

#define DATA_HANDLES_MAX 256

static void data_filter(struct p11_template *to, const char *label)
{
    *to = (struct p11_template){.count = 0};
    p11_add_number(to, CKA_CLASS, CKO_DATA);
    p11_add_flag(to, CKA_TOKEN, true);
    p11_add_bytes(to, CKA_LABEL, label, strlen(label));
}

struct listing {
    const char *label;
    size_t cap;
    struct token_data *items;
    size_t count;
};

static HF_STATUS list_once(struct p11_work *work, void *argument)
{
    struct listing *list = argument;
    struct p11_template filter;
    data_filter(&filter, list->label);
    CK_OBJECT_HANDLE handles[DATA_HANDLES_MAX];
    size_t count = 0;
    HF_TRY(p11_session_need(work));
    HF_TRY(p11_find(work, filter.at, filter.count, handles, HF_COUNT(handles),
                    &count));
    if (count > list->cap) {
        return HF_E_LIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        struct token_data *item = &list->items[i];
        HF_TRY(text_copy(item->label, sizeof item->label, list->label));
        item->value_len = sizeof item->value;
        enum hf_status status = p11_attribute(work, handles[i], CKA_VALUE,
                                              item->value, &item->value_len);
        if (status != HF_OK) {
            return work->rv == CKR_BUFFER_TOO_SMALL ? HF_E_LIMIT : status;
        }
    }
    list->count = count;
    return count > 0 ? HF_OK : p11_empty_confirm(work);
}

HF_STATUS p11_data_list(struct p11_work *work, const char *label, size_t cap,
                        struct token_data **out_items, size_t *out_count)
{
    struct token_data *items = calloc(cap > 0 ? cap : 1, sizeof *items);
    if (items == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct listing list = {label, cap, items, 0};
    enum hf_status status = p11_run_repaired(work, list_once, &list);
    if (status != HF_OK) {
        free(items);
        return status;
    }
    *out_items = items;
    *out_count = list.count;
    return HF_OK;
}

static HF_STATUS find_data(struct p11_work *work, const struct token_data *data,
                           CK_OBJECT_HANDLE handles[DATA_HANDLES_MAX],
                           size_t *out_count)
{
    struct p11_template filter;
    data_filter(&filter, data->label);
    p11_add_bytes(&filter, CKA_VALUE, data->value, data->value_len);
    HF_TRY(p11_session_need(work));
    return p11_find(work, filter.at, filter.count, handles, DATA_HANDLES_MAX,
                    out_count);
}

struct creation {
    const struct token_data *data;
    CK_OBJECT_HANDLE *made;
};

static HF_STATUS create_once(struct p11_work *work, void *argument)
{
    const struct creation *creation = argument;
    const struct token_data *data = creation->data;
    struct p11_template object = {.count = 0};
    p11_add_number(&object, CKA_CLASS, CKO_DATA);
    p11_add_flag(&object, CKA_TOKEN, true);
    p11_add_flag(&object, CKA_PRIVATE, true);
    p11_add_flag(&object, CKA_MODIFIABLE, false);
    p11_add_bytes(&object, CKA_LABEL, data->label, strlen(data->label));
    p11_add_bytes(&object, CKA_VALUE, data->value, data->value_len);
    HF_TRY(p11_session_need(work));
    return P11_CALL(work, C_CreateObject, work->session, object.at,
                    object.count, &creation->made[0]);
}

/* It is in the token: a fresh session sees it, and it is on the disk. */
static HF_STATUS created(struct p11_work *work, void *argument)
{
    const struct creation *creation = argument;
    CK_OBJECT_HANDLE handles[DATA_HANDLES_MAX];
    size_t count = 0;
    HF_TRY(find_data(work, creation->data, handles, &count));
    if (count == 0) {
        return HF_E_UNREACHABLE;
    }
    return p11_durable(work->token);
}

HF_STATUS p11_data_create(struct p11_work *work, const struct token_data *data,
                          CK_OBJECT_HANDLE made[2])
{
    struct creation creation = {data, made};
    HF_TRY(p11_run_repaired(work, create_once, &creation));
    p11_session_renew(work);
    enum hf_status status = p11_run_repaired(work, created, &creation);
    if (status != HF_OK) {
        p11_undo(work, made);
    }
    return status;
}

static HF_STATUS destroy_once(struct p11_work *work, void *argument)
{
    const struct token_data *data = argument;
    CK_OBJECT_HANDLE handles[DATA_HANDLES_MAX];
    size_t count = 0;
    HF_TRY(find_data(work, data, handles, &count));
    if (count == 0 && work->token->destroy_failed) {
        return HF_E_UNCONFIRMED;
    }
    if (count == 0) {
        return p11_empty_confirm(work);
    }
    for (size_t i = 0; i < count; i++) {
        enum hf_status status = p11_object_destroy(work, handles[i]);
        if (status != HF_OK) {
            work->token->destroy_failed = true;
            return status;
        }
    }
    p11_session_renew(work); /* the look that counts is a fresh session's */
    HF_TRY(find_data(work, data, handles, &count));
    return count == 0 ? HF_OK : HF_E_UNREACHABLE;
}

HF_STATUS p11_data_destroy(struct p11_work *work, const struct token_data *data)
{
    struct token_data copy = *data;
    HF_TRY(p11_run_repaired(work, destroy_once, &copy));
    return p11_durable(work->token);
}

static HF_STATUS sign_on_key(struct p11_work *work,
                             const struct p11_cached_key *key, void *argument)
{
    struct token_sign *sign = argument;
    CK_MECHANISM mechanism = {.mechanism = CKM_ECDSA};
    CK_ULONG len = sizeof sign->signature;
    HF_TRY(P11_CALL(work, C_SignInit, work->session, &mechanism, key->handle));
    HF_TRY(P11_CALL(work, C_Sign, work->session, sign->digest,
                    sizeof sign->digest, sign->signature, &len));
    if (len != sizeof sign->signature) {
        return HF_E_UNREACHABLE;
    }
    /* what nobody can verify must not be anybody's signature */
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len = 0;
    HF_TRY(p11_public_key_of(work, key->handle, &key->key, spki, &spki_len));
    return p11_verifies((struct bytes){spki, spki_len}, sign)
               ? HF_OK
               : HF_E_UNREACHABLE;
}

static HF_STATUS sign_once(struct p11_work *work, void *argument)
{
    struct token_sign *sign = argument;
    return p11_with_key(work, &sign->key, sign_on_key, sign);
}

HF_STATUS p11_sign(struct p11_work *work, struct token_sign *sign)
{
    if (sign->key.type != TOKEN_KEY_EC) {
        return HF_E_INVALID;
    }
    return p11_run_repaired(work, sign_once, sign);
}

static HF_STATUS health_once(struct p11_work *work, void *argument)
{
    (void)argument;
    struct token_profile now = {0};
    size_t sessions = 0;
    HF_TRY(p11_session_need(work));
    HF_TRY(p11_token_info(work, &now, &sessions));
    atomic_store(&work->token->free_private_bytes, now.free_private_bytes);
    bool logged_in = false;
    HF_TRY(p11_is_logged_in(work, &logged_in));
    if (!logged_in && now.login_required) {
        return p11_result(work, "C_GetSessionInfo", CKR_USER_NOT_LOGGED_IN);
    }
    return HF_OK;
}

HF_STATUS p11_health(struct p11_work *work)
{
    return p11_run_repaired(work, health_once, NULL);
}
