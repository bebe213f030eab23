#include "hsm/pkcs11/report.h"

#include "hsm/base/check.h"
#include "hsm/base/mechanisms.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"

#include <stdlib.h>
#include <string.h>

#define LIST_HANDLES_MAX    65536 /* keys looked at; cap bounds the shown */
#define UNWRAP_TEMPLATE_MAX 16
#define MECHANISMS_MAX      64

/* One of the three steps in which PKCS#11 gives away an attribute that is a
 * template: how many, which and how long, and at last what. */
static HF_STATUS template_step(struct p11_work *work, CK_OBJECT_HANDLE handle,
                               CK_ATTRIBUTE *inner, size_t *count)
{
    size_t len = *count * sizeof *inner;
    enum hf_status status =
        p11_attribute(work, handle, CKA_UNWRAP_TEMPLATE, inner, &len);
    bool told = status == HF_OK && len % sizeof *inner == 0;
    *count = told ? len / sizeof *inner : 0;
    return status == HF_E_UNSUPPORTED ? HF_OK : status;
}

/* CKA_UNWRAP_TEMPLATE forbids readable results: it is there and says SENSITIVE
 * and not EXTRACTABLE. */
static HF_STATUS unwrap_template(struct p11_work *work, CK_OBJECT_HANDLE handle,
                                 bool *out)
{
    CK_ATTRIBUTE inner[UNWRAP_TEMPLATE_MAX] = {0};
    CK_BBOOL values[UNWRAP_TEMPLATE_MAX] = {CK_FALSE};
    size_t count = UNWRAP_TEMPLATE_MAX;
    *out = false;
    HF_TRY(template_step(work, handle, NULL, &count));
    if (count == 0) {
        return HF_OK;
    }
    HF_TRY(template_step(work, handle, inner, &count));
    for (size_t i = 0; i < count; i++) {
        if (inner[i].ulValueLen != sizeof values[i]) {
            return HF_OK; /* more than flags: not one of ours */
        }
        inner[i].pValue = &values[i];
    }
    HF_TRY(template_step(work, handle, inner, &count));
    bool sensitive = false;
    bool kept_in = false;
    for (size_t i = 0; i < count; i++) {
        bool value = values[i] != CK_FALSE;
        sensitive = sensitive || (inner[i].type == CKA_SENSITIVE && value);
        kept_in = kept_in || (inner[i].type == CKA_EXTRACTABLE && !value);
    }
    *out = sensitive && kept_in;
    return HF_OK;
}

struct flag_field {
    CK_ATTRIBUTE_TYPE type;
    bool
        otherwise; /* what PKCS#11 says of an absent one; never the safe side */
    size_t offset;
};

#define FIELD(type_, otherwise_, name)                                         \
    {                                                                          \
        (type_), (otherwise_), offsetof(struct token_key_report, name)         \
    }

static const struct flag_field fields[] = {
    FIELD(CKA_SENSITIVE, false, sensitive),
    FIELD(CKA_EXTRACTABLE, true, extractable),
    FIELD(CKA_ALWAYS_SENSITIVE, false, always_sensitive),
    FIELD(CKA_NEVER_EXTRACTABLE, false, never_extractable),
    FIELD(CKA_LOCAL, false, local),
    FIELD(CKA_UNWRAP, false, can_unwrap),
    FIELD(CKA_DECRYPT, false, can_decrypt),
    FIELD(CKA_WRAP, false, can_wrap),
    FIELD(CKA_ENCRYPT, false, can_encrypt),
    FIELD(CKA_SIGN, false, can_sign),
    FIELD(CKA_MODIFIABLE, true, modifiable),
    FIELD(CKA_DESTROYABLE, true, destroyable),
};

/* All in one call: each is a file read anew in some modules. What an object
 * does not have is answered with a code, and the rest is there all the same. */
static HF_STATUS read_flags(struct p11_work *work, CK_OBJECT_HANDLE handle,
                            struct token_key_report *out)
{
    CK_ATTRIBUTE wanted[HF_COUNT(fields)];
    CK_BBOOL values[HF_COUNT(fields)] = {CK_FALSE};
    for (size_t i = 0; i < HF_COUNT(fields); i++) {
        wanted[i] =
            (CK_ATTRIBUTE){fields[i].type, &values[i], sizeof values[i]};
    }
    CK_RV rv = work->token->calls->C_GetAttributeValue(
        work->session, handle, wanted, HF_COUNT(fields));
    if (rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE) {
        HF_TRY(p11_result(work, "C_GetAttributeValue", rv));
    }
    for (size_t i = 0; i < HF_COUNT(fields); i++) {
        bool told = wanted[i].ulValueLen == sizeof values[i];
        bool value = told ? values[i] != CK_FALSE : fields[i].otherwise;
        memcpy((uint8_t *)out + fields[i].offset, &value, sizeof value);
    }
    return HF_OK;
}

static HF_STATUS read_size(struct p11_work *work, CK_OBJECT_HANDLE handle,
                           struct token_key_report *out)
{
    enum token_key_type type = out->key.type;
    if (type == TOKEN_KEY_RSA || type == TOKEN_KEY_EC) {
        enum hf_status status = p11_public_key_of(work, handle, &out->key,
                                                  out->spki, &out->spki_len);
        if (status == HF_E_UNSUPPORTED || status == HF_E_NOT_FOUND) {
            out->spki_len = 0; /* another curve or size: not one of ours */
            return HF_OK;
        }
        HF_TRY(status);
        struct bytes spki = {out->spki, out->spki_len};
        out->bits = p11_public_bits(spki);
        return p11_fingerprint(spki, out->key.fingerprint);
    }
    CK_ULONG value_len = 0;
    size_t len = sizeof value_len;
    enum hf_status status =
        p11_attribute(work, handle, CKA_VALUE_LEN, &value_len, &len);
    out->bits = status == HF_OK ? (uint32_t)(value_len * 8) : 0;
    return status == HF_E_UNSUPPORTED ? HF_OK : status;
}

static HF_STATUS read_label(struct p11_work *work, CK_OBJECT_HANDLE handle,
                            char out[HF_LABEL_MAX_BYTES + 1])
{
    size_t len = HF_LABEL_MAX_BYTES;
    enum hf_status status = p11_attribute(work, handle, CKA_LABEL, out, &len);
    if (status == HF_OK) {
        out[len] = '\0';
        return HF_OK;
    }
    out[0] = '\0'; /* longer than any of ours, or none */
    return work->rv == CKR_BUFFER_TOO_SMALL || status == HF_E_UNSUPPORTED
               ? HF_OK
               : status;
}

static uint32_t mechanism_bit(CK_MECHANISM_TYPE type)
{
    switch (type) {
    case CKM_RSA_PKCS_OAEP:
        return TOKEN_MECHANISM_RSA_OAEP;
    case CKM_RSA_PKCS:
        return TOKEN_MECHANISM_RSA_PKCS1;
    case CKM_RSA_X_509:
        return TOKEN_MECHANISM_RSA_RAW;
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA1_RSA_PKCS:
    case CKM_SHA256_RSA_PKCS:
    case CKM_SHA384_RSA_PKCS:
    case CKM_SHA512_RSA_PKCS:
    case CKM_SHA1_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
    case CKM_SHA384_RSA_PKCS_PSS:
    case CKM_SHA512_RSA_PKCS_PSS:
        return TOKEN_MECHANISM_RSA_SIGN;
    default: /* an open set of numbers */
        return TOKEN_MECHANISM_OTHER;
    }
}

/* Of RSA keys only: one more call for each key is dear in a token of thousands
 * (facts: each is a file read anew). More than we have room for is more than
 * Holdfast would ask for. */
static HF_STATUS read_mechanisms(struct p11_work *work, CK_OBJECT_HANDLE handle,
                                 struct token_key_report *out)
{
    CK_MECHANISM_TYPE types[MECHANISMS_MAX];
    size_t len = sizeof types;
    if (out->key.type != TOKEN_KEY_RSA) {
        return HF_OK;
    }
    enum hf_status status =
        p11_attribute(work, handle, CKA_ALLOWED_MECHANISMS, types, &len);
    if (status != HF_OK && work->rv == CKR_BUFFER_TOO_SMALL) {
        out->mechanisms = TOKEN_MECHANISMS_ALL;
        return HF_OK;
    }
    for (size_t i = 0; status == HF_OK && i < len / sizeof types[0]; i++) {
        out->mechanisms |= mechanism_bit(types[i]);
    }
    return status == HF_E_UNSUPPORTED ? HF_OK : status;
}

HF_STATUS p11_report(struct p11_work *work, const struct token_key *key,
                     CK_OBJECT_HANDLE handle, struct token_key_report *out)
{
    *out = (struct token_key_report){.key = *key};
    memset(out->key.fingerprint, 0, sizeof out->key.fingerprint);
    HF_TRY(read_label(work, handle, out->label));
    HF_TRY(read_flags(work, handle, out));
    HF_TRY(read_size(work, handle, out));
    HF_TRY(read_mechanisms(work, handle, out));
    return unwrap_template(work, handle, &out->unwrap_template);
}

static HF_STATUS find_on_key(struct p11_work *work,
                             const struct p11_cached_key *key, void *argument)
{
    return p11_report(work, &key->key, key->handle, argument);
}

static HF_STATUS find_step(struct p11_work *work, void *argument)
{
    struct token_find *find = argument;
    /* what is asked for is what the token says now, not what it said once */
    p11_key_forget(work->token, &find->key);
    if (find->tentative) {
        struct p11_cached_key found;
        HF_TRY(p11_key_look(work, &find->key, &found));
        return find_on_key(work, &found, find->report);
    }
    return p11_with_key(work, &find->key, find_on_key, find->report);
}

HF_STATUS p11_report_find(struct p11_work *work, struct token_find *find)
{
    return p11_run_repaired(work, find_step, find);
}

struct listing {
    struct token_list *asked;
    size_t cap;
    struct token_key_report *reports;
    size_t count;
    size_t seen; /* whether asked for or not */
    CK_OBJECT_HANDLE handles[LIST_HANDLES_MAX];
};

static HF_STATUS read_id(struct p11_work *work, CK_OBJECT_HANDLE handle,
                         struct token_key *key)
{
    key->id_len = sizeof key->id;
    enum hf_status status =
        p11_attribute(work, handle, CKA_ID, key->id, &key->id_len);
    if (status != HF_OK && work->rv == CKR_BUFFER_TOO_SMALL) {
        key->id_len = 0; /* not one of ours; it is listed all the same */
        return HF_OK;
    }
    return status;
}

static HF_STATUS list_one(struct p11_work *work, enum token_key_type type,
                          CK_OBJECT_HANDLE handle, struct listing *list)
{
    struct token_key key = {.type = type};
    char label[HF_LABEL_MAX_BYTES + 1];
    HF_TRY(read_id(work, handle, &key));
    HF_TRY(read_label(work, handle, label));
    list->seen += 1;
    if (!token_list_wants(list->asked, &key, label)) {
        return HF_OK;
    }
    if (list->count == list->cap) {
        return HF_E_LIMIT;
    }
    HF_TRY(p11_report(work, &key, handle, &list->reports[list->count]));
    list->count += 1;
    return HF_OK;
}

static HF_STATUS list_type(struct p11_work *work, enum token_key_type type,
                           struct listing *list)
{
    struct p11_template filter = {.count = 0};
    p11_add_number(&filter, CKA_CLASS, p11_key_class(type));
    p11_add_number(&filter, CKA_KEY_TYPE, p11_key_type(type));
    p11_add_flag(&filter, CKA_TOKEN, true);
    size_t count = 0;
    HF_TRY(p11_find(work, filter.at, filter.count, list->handles,
                    HF_COUNT(list->handles), &count));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(list_one(work, type, list->handles[i], list));
    }
    return HF_OK;
}

static HF_STATUS list_step(struct p11_work *work, void *argument)
{
    static const enum token_key_type types[] = {
        TOKEN_KEY_RSA, TOKEN_KEY_EC, TOKEN_KEY_AES, TOKEN_KEY_GENERIC};
    struct listing *list = argument;
    list->count = 0;
    list->seen = 0;
    HF_TRY(p11_session_need(work));
    for (size_t i = 0; i < HF_COUNT(types); i++) {
        HF_TRY(list_type(work, types[i], list));
    }
    return list->seen > 0 ? HF_OK : p11_empty_confirm(work);
}

HF_STATUS p11_report_list(struct p11_work *work, struct token_list *asked,
                          size_t cap, struct token_key_report **out_reports)
{
    struct listing *list = calloc(1, sizeof *list);
    struct token_key_report *reports = calloc(cap, sizeof *reports);
    enum hf_status status = HF_E_NO_MEMORY;
    if (list != NULL && reports != NULL) {
        list->asked = asked;
        list->cap = cap;
        list->reports = reports;
        status = p11_run_repaired(work, list_step, list);
    }
    if (status == HF_OK) {
        asked->count = list->count;
        *out_reports = HF_GIVE(reports);
    }
    free(reports);
    free(list);
    return status;
}
