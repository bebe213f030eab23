#include "hsm/pkcs11/rename.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/rv.h"

#include <string.h>

#define HALVES_MAX 4

/* Every half of the pair with this id. */
static CK_RV find(const struct admin_desk *desk, const struct token_key *key,
                  CK_OBJECT_HANDLE out[HALVES_MAX], CK_ULONG *out_count)
{
    struct p11_template filter = {.count = 0};
    p11_add_flag(&filter, CKA_TOKEN, true);
    p11_add_number(&filter, CKA_KEY_TYPE, CKK_RSA);
    p11_add_bytes(&filter, CKA_ID, key->id, key->id_len);
    CK_RV rv =
        desk->calls->C_FindObjectsInit(desk->session, filter.at, filter.count);
    if (rv == CKR_OK) {
        rv = desk->calls->C_FindObjects(desk->session, out, HALVES_MAX,
                                        out_count);
        desk->calls->C_FindObjectsFinal(desk->session);
    }
    return rv;
}

static CK_RV set_label(const struct admin_desk *desk, CK_OBJECT_HANDLE object,
                       const char *label)
{
    CK_ATTRIBUTE attribute = {CKA_LABEL, (void *)(uintptr_t)label,
                              strlen(label)};
    return desk->calls->C_SetAttributeValue(desk->session, object, &attribute,
                                            1);
}

HF_STATUS pkcs11_key_rename(const struct pkcs11_rename *how,
                            struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    CK_OBJECT_HANDLE halves[HALVES_MAX];
    CK_ULONG count = 0;
    CK_ULONG done = 0;
    HF_TRY(admin_desk_open(how->module_path, how->label, how->serial, &desk,
                           out_refusal));
    CK_RV rv = find(&desk, how->key, halves, &count);
    if (rv != CKR_OK || count == 0) {
        admin_refuse(out_refusal, rv, "the key is not found");
        return rv == CKR_OK ? HF_E_NOT_FOUND : rv_meaning(rv).status;
    }
    while (done < count && rv == CKR_OK) {
        rv = set_label(&desk, halves[done], how->to);
        done += rv == CKR_OK ? 1 : 0;
    }
    if (rv == CKR_OK) {
        return HF_OK;
    }
    for (CK_ULONG i = 0; i < done; i++) {
        if (set_label(&desk, halves[i], how->from) != CKR_OK) {
            admin_refuse(out_refusal, rv,
                         "one half has the new name, the "
                         "other does not take it");
            return HF_E_UNREACHABLE;
        }
    }
    admin_refuse(out_refusal, rv,
                 "the token does not let this key have "
                 "another name");
    return hf_status_class(rv_meaning(rv).status) == HF_CLASS_TRANSIENT
               ? HF_E_UNREACHABLE
               : HF_E_UNSUPPORTED;
}
