#include "hsm/pkcs11/import.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/rv.h"
#include "hsm/token/names.h"

#include <string.h>

static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
static const CK_MECHANISM_TYPE only_oaep = CKM_RSA_PKCS_OAEP;

/* What comes of an unwrap can never be read. */
static void add_inner(struct p11_template *inner, bool honoured,
                      struct p11_template *to)
{
    *inner = (struct p11_template){.count = 0};
    p11_add_flag(inner, CKA_SENSITIVE, true);
    p11_add_flag(inner, CKA_EXTRACTABLE, false);
    if (honoured) {
        p11_add_bytes(to, CKA_UNWRAP_TEMPLATE, inner->at,
                      inner->count * sizeof inner->at[0]);
    }
}

static void add_guards(struct p11_template *to, bool in_token)
{
    p11_add_flag(to, CKA_TOKEN, in_token);
    p11_add_flag(to, CKA_PRIVATE, true);
    p11_add_flag(to, CKA_SENSITIVE, true);
    p11_add_flag(to, CKA_EXTRACTABLE, false);
}

static enum hf_status open_desk(const struct pkcs11_import_token *token,
                                struct admin_desk *out,
                                struct pkcs11_refusal *refusal)
{
    return admin_desk_open(token->module_path, token->profile->label,
                           token->profile->serial, out, refusal);
}

HF_STATUS pkcs11_transport_make(const struct pkcs11_import_token *token,
                                struct bytes id,
                                struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    struct p11_template inner;
    struct p11_template private_key = {.count = 0};
    struct p11_template public_key = {.count = 0};
    CK_OBJECT_HANDLE made[2];
    HF_TRY(open_desk(token, &desk, out_refusal));
    add_guards(&private_key, true);
    p11_add_flag(&private_key, CKA_MODIFIABLE, false);
    p11_add_flag(&private_key, CKA_UNWRAP, true);
    p11_add_flag(&private_key, CKA_DECRYPT, false);
    p11_add_flag(&private_key, CKA_SIGN, false);
    p11_add_bytes(&private_key, CKA_ID, id.data, id.len);
    p11_add_bytes(&private_key, CKA_LABEL, TOKEN_NAME_IMPORT,
                  sizeof TOKEN_NAME_IMPORT - 1);
    add_inner(&inner, token->profile->unwrap_template_honoured, &private_key);
    p11_add_flag(&public_key, CKA_TOKEN, true);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_WRAP, true);
    p11_add_flag(&public_key, CKA_VERIFY, false);
    p11_add_bytes(&public_key, CKA_ID, id.data, id.len);
    p11_add_bytes(&public_key, CKA_LABEL, TOKEN_NAME_IMPORT,
                  sizeof TOKEN_NAME_IMPORT - 1);
    p11_add_number(&public_key, CKA_MODULUS_BITS, PKCS11_TRANSPORT_BITS);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    CK_MECHANISM mechanism = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    CK_RV rv = desk.calls->C_GenerateKeyPair(
        desk.session, &mechanism, public_key.at, public_key.count,
        private_key.at, private_key.count, &made[1], &made[0]);
    if (rv != CKR_OK) {
        admin_refuse(out_refusal, rv, "the token makes no transport key");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}

static enum hf_status find_transport(const struct admin_desk *desk,
                                     struct bytes id, CK_OBJECT_HANDLE *out,
                                     struct pkcs11_refusal *refusal)
{
    struct p11_template filter = {.count = 0};
    CK_ULONG count = 0;
    p11_add_number(&filter, CKA_CLASS, CKO_PRIVATE_KEY);
    p11_add_bytes(&filter, CKA_ID, id.data, id.len);
    p11_add_bytes(&filter, CKA_LABEL, TOKEN_NAME_IMPORT,
                  sizeof TOKEN_NAME_IMPORT - 1);
    CK_RV rv =
        desk->calls->C_FindObjectsInit(desk->session, filter.at, filter.count);
    if (rv == CKR_OK) {
        rv = desk->calls->C_FindObjects(desk->session, out, 1, &count);
        desk->calls->C_FindObjectsFinal(desk->session);
    }
    if (rv != CKR_OK || count == 0) {
        admin_refuse(refusal, rv, "the token has no such transport key");
        return rv == CKR_OK ? HF_E_NOT_FOUND : rv_meaning(rv).status;
    }
    return HF_OK;
}

/* What is wrong with a blob is told the same way whatever it is. */
static enum hf_status not_opened(CK_RV rv, struct pkcs11_refusal *refusal)
{
    admin_refuse(refusal, rv,
                 "what was wrapped does not open: it was made for "
                 "another transport key, or changed on the way");
    return HF_E_BAD_BLOB;
}

static enum hf_status open_kek(const struct admin_desk *desk,
                               const struct pkcs11_import *import,
                               CK_OBJECT_HANDLE *out,
                               struct pkcs11_refusal *refusal)
{
    struct p11_template kek = {.count = 0};
    struct p11_mechanism mechanism;
    CK_OBJECT_HANDLE transport = CK_INVALID_HANDLE;
    HF_TRY(find_transport(desk, import->transport_id, &transport, refusal));
    p11_add_number(&kek, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&kek, CKA_KEY_TYPE, CKK_AES);
    add_guards(&kek, false);
    p11_add_flag(&kek, CKA_UNWRAP, true);
    p11_add_flag(&kek, CKA_WRAP, false);
    p11_add_flag(&kek, CKA_ENCRYPT, false);
    p11_add_flag(&kek, CKA_DECRYPT, false);
    p11_mechanism_raw(import->suite, 0, &mechanism);
    CK_RV rv = desk->calls->C_UnwrapKey(
        desk->session, &mechanism.mechanism, transport,
        (CK_BYTE *)(uintptr_t)import->wrapped_kek.data, import->wrapped_kek.len,
        kek.at, kek.count, out);
    return rv == CKR_OK ? HF_OK : not_opened(rv, refusal);
}

/* The number under which the module knows KWP. */
static CK_MECHANISM_TYPE kwp_of(const struct admin_desk *desk)
{
    CK_MECHANISM_INFO info = {0};
    CK_RV rv = desk->calls->C_GetMechanismInfo(desk->slot, P11_CKM_AES_KWP_V300,
                                               &info);
    return rv == CKR_OK && (info.flags & CKF_UNWRAP) != 0
               ? P11_CKM_AES_KWP_V300
               : P11_CKM_AES_KWP_V240;
}

/* As has it, as far as the token keeps to it. */
static void key_template(const struct pkcs11_import_token *token,
                         const struct pkcs11_import *import, bool in_token,
                         struct p11_template *inner, struct p11_template *key)
{
    const struct token_profile *profile = token->profile;
    *key = (struct p11_template){.count = 0};
    p11_add_number(key, CKA_CLASS, CKO_PRIVATE_KEY);
    p11_add_number(key, CKA_KEY_TYPE, CKK_RSA);
    add_guards(key, in_token);
    p11_add_flag(key, CKA_UNWRAP, true);
    p11_add_flag(key, CKA_DECRYPT, import->memory);
    p11_add_flag(key, CKA_SIGN, false);
    p11_add_bytes(key, CKA_ID, import->id.data, import->id.len);
    p11_add_bytes(key, CKA_LABEL, import->label, strlen(import->label));
    add_inner(inner, profile->unwrap_template_honoured, key);
    if (in_token && profile->destroyable_honoured) {
        p11_add_flag(key, CKA_DESTROYABLE, false);
        p11_add_flag(key, CKA_COPYABLE, false);
        p11_add_bytes(key, CKA_ALLOWED_MECHANISMS, &only_oaep,
                      sizeof only_oaep);
    }
    /* last: some modules take nothing more after it (SoftHSM) */
    if (in_token) {
        p11_add_flag(key, CKA_MODIFIABLE, false);
    }
}

static enum hf_status open_key(const struct admin_desk *desk,
                               const struct pkcs11_import *import,
                               CK_OBJECT_HANDLE kek, struct p11_template *key,
                               CK_OBJECT_HANDLE *out, CK_RV *out_rv)
{
    CK_MECHANISM kwp = {.mechanism = kwp_of(desk)};
    *out_rv = desk->calls->C_UnwrapKey(
        desk->session, &kwp, kek,
        (CK_BYTE *)(uintptr_t)import->wrapped_key.data, import->wrapped_key.len,
        key->at, key->count, out);
    return *out_rv == CKR_OK ? HF_OK : HF_E_BAD_BLOB;
}

static CK_RV number_of(const struct admin_desk *desk, CK_OBJECT_HANDLE key,
                       CK_ATTRIBUTE_TYPE type, uint8_t *out, size_t *len)
{
    CK_ATTRIBUTE attribute = {type, out, *len};
    CK_RV rv =
        desk->calls->C_GetAttributeValue(desk->session, key, &attribute, 1);
    *len = rv == CKR_OK ? attribute.ulValueLen : 0;
    return rv;
}

/* What an earlier attempt left behind; of this label, where one is given. */
static CK_RV drop_public(const struct admin_desk *desk, struct bytes id,
                         const char *label)
{
    struct p11_template filter = {.count = 0};
    CK_OBJECT_HANDLE found[4];
    CK_ULONG count = 0;
    p11_add_number(&filter, CKA_CLASS, CKO_PUBLIC_KEY);
    p11_add_bytes(&filter, CKA_ID, id.data, id.len);
    if (label != NULL) {
        p11_add_bytes(&filter, CKA_LABEL, label, strlen(label));
    }
    CK_RV rv =
        desk->calls->C_FindObjectsInit(desk->session, filter.at, filter.count);
    if (rv == CKR_OK) {
        rv = desk->calls->C_FindObjects(desk->session, found, HF_COUNT(found),
                                        &count);
        desk->calls->C_FindObjectsFinal(desk->session);
    }
    for (CK_ULONG i = 0; i < count && rv == CKR_OK; i++) {
        rv = desk->calls->C_DestroyObject(desk->session, found[i]);
    }
    return rv;
}

/* The public half, which others expect beside the private one. */
static CK_RV make_public(const struct admin_desk *desk,
                         const struct pkcs11_import *import,
                         struct bytes modulus, struct bytes exponent)
{
    struct p11_template key = {.count = 0};
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    p11_add_number(&key, CKA_CLASS, CKO_PUBLIC_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&key, CKA_TOKEN, true);
    p11_add_flag(&key, CKA_PRIVATE, false);
    p11_add_flag(&key, CKA_MODIFIABLE, false);
    p11_add_flag(&key, CKA_WRAP, true);
    p11_add_flag(&key, CKA_ENCRYPT, import->memory);
    p11_add_flag(&key, CKA_VERIFY, false);
    p11_add_bytes(&key, CKA_ID, import->id.data, import->id.len);
    p11_add_bytes(&key, CKA_LABEL, import->label, strlen(import->label));
    p11_add_bytes(&key, CKA_MODULUS, modulus.data, modulus.len);
    p11_add_bytes(&key, CKA_PUBLIC_EXPONENT, exponent.data, exponent.len);
    return desk->calls->C_CreateObject(desk->session, key.at, key.count, &made);
}

struct numbers {
    uint8_t modulus[HF_RSA_MAX_BYTES + 1];
    size_t modulus_len;
    uint8_t exponent[8];
    size_t exponent_len;
};

static bool flag_is(const struct admin_desk *desk, CK_OBJECT_HANDLE key,
                    CK_ATTRIBUTE_TYPE type, bool wanted)
{
    CK_BBOOL flag = wanted ? CK_FALSE : CK_TRUE;
    CK_ATTRIBUTE attribute = {type, &flag, sizeof flag};
    return desk->calls->C_GetAttributeValue(desk->session, key, &attribute,
                                            1) == CKR_OK &&
           (flag != CK_FALSE) == wanted;
}

/* opencryptoki 3.8.1 gives an unwrapped key other attributes than were asked
 * for. In the token there would be no way back (CKA_DESTROYABLE, R-15.13). */
static enum hf_status prove_locked(const struct admin_desk *desk,
                                   CK_OBJECT_HANDLE key,
                                   struct pkcs11_refusal *refusal)
{
    uint8_t out[HF_RSA_MAX_BYTES];
    size_t len = sizeof out;
    CK_RV rv = number_of(desk, key, CKA_PRIVATE_EXPONENT, out, &len);
    wipe(out, sizeof out);
    if ((rv == CKR_OK && len > 0) || !flag_is(desk, key, CKA_SENSITIVE, true) ||
        !flag_is(desk, key, CKA_EXTRACTABLE, false)) {
        admin_refuse(refusal, CKR_OK,
                     "the token does not lock a key that comes in this way: "
                     "nothing was kept");
        return HF_E_UNSUPPORTED;
    }
    return HF_OK;
}

/* Is it the key that its owner named, and can it no more be read? */
static enum hf_status prove(const struct admin_desk *desk,
                            const struct pkcs11_import *import,
                            CK_OBJECT_HANDLE key, struct numbers *out,
                            struct pkcs11_refusal *refusal)
{
    uint8_t spki[HF_SPKI_MAX_BYTES];
    uint8_t fingerprint[HF_SHA256_BYTES];
    size_t spki_len = 0;
    *out = (struct numbers){.modulus_len = sizeof out->modulus,
                            .exponent_len = sizeof out->exponent};
    CK_RV rv =
        number_of(desk, key, CKA_MODULUS, out->modulus, &out->modulus_len);
    if (rv == CKR_OK) {
        rv = number_of(desk, key, CKA_PUBLIC_EXPONENT, out->exponent,
                       &out->exponent_len);
    }
    if (rv != CKR_OK ||
        p11_rsa_spki((struct bytes){out->modulus, out->modulus_len},
                     (struct bytes){out->exponent, out->exponent_len}, spki,
                     &spki_len) != HF_OK ||
        p11_fingerprint((struct bytes){spki, spki_len}, fingerprint) != HF_OK) {
        admin_refuse(refusal, rv, "the token does not show the public half");
        return HF_E_UNSUPPORTED;
    }
    if (!bytes_equal(BYTES_OF(fingerprint), BYTES_OF(import->fingerprint))) {
        admin_refuse(refusal, CKR_OK,
                     "what was wrapped is another key than the one with this "
                     "fingerprint");
        return HF_E_BAD_BLOB;
    }
    return prove_locked(desk, key, refusal);
}

/* Opened as a session object, it is known for the right one and dies with the
 * session. */
static enum hf_status try_key(const struct admin_desk *desk,
                              const struct pkcs11_import_token *token,
                              const struct pkcs11_import *import,
                              CK_OBJECT_HANDLE kek, struct numbers *out,
                              struct pkcs11_refusal *refusal)
{
    struct p11_template inner;
    struct p11_template as;
    CK_OBJECT_HANDLE tried = CK_INVALID_HANDLE;
    CK_RV rv = CKR_OK;
    key_template(token, import, false, &inner, &as);
    if (open_key(desk, import, kek, &as, &tried, &rv) != HF_OK) {
        return not_opened(rv, refusal);
    }
    return prove(desk, import, tried, out, refusal);
}

/* The public half first: while the private one is missing, all of this is done
 * again. */
static enum hf_status
keep_key(const struct admin_desk *desk, const struct pkcs11_import_token *token,
         const struct pkcs11_import *import, CK_OBJECT_HANDLE kek,
         const struct numbers *numbers, struct pkcs11_refusal *refusal)
{
    struct p11_template inner;
    struct p11_template as;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_RV rv = drop_public(desk, import->id, NULL);
    if (rv == CKR_OK) {
        rv = make_public(
            desk, import,
            (struct bytes){numbers->modulus, numbers->modulus_len},
            (struct bytes){numbers->exponent, numbers->exponent_len});
    }
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the token takes no public half");
        return rv_meaning(rv).status;
    }
    key_template(token, import, true, &inner, &as);
    if (open_key(desk, import, kek, &as, &key, &rv) != HF_OK) {
        admin_refuse(refusal, rv,
                     "the token does not take the key as one of "
                     "its own");
        return HF_E_UNSUPPORTED;
    }
    return HF_OK;
}

HF_STATUS pkcs11_import(const struct pkcs11_import_token *token,
                        const struct pkcs11_import *import,
                        struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    struct numbers numbers;
    CK_OBJECT_HANDLE kek = CK_INVALID_HANDLE;
    HF_TRY(open_desk(token, &desk, out_refusal));
    HF_TRY(open_kek(&desk, import, &kek, out_refusal));
    HF_TRY(try_key(&desk, token, import, kek, &numbers, out_refusal));
    return keep_key(&desk, token, import, kek, &numbers, out_refusal);
}

HF_STATUS pkcs11_transport_drop_half(const struct pkcs11_import_token *token,
                                     struct bytes id,
                                     struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    HF_TRY(open_desk(token, &desk, out_refusal));
    CK_RV rv = drop_public(&desk, id, TOKEN_NAME_IMPORT);
    if (rv != CKR_OK) {
        admin_refuse(out_refusal, rv,
                     "the public half of the transport key stays");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}
