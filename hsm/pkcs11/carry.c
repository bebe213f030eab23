#include "hsm/pkcs11/carry.h"

#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/rv.h"
#include "hsm/pkcs11/slot.h"

#include <stdio.h>
#include <string.h>

#define SLOTS_MAX     256
#define TRANSPORT_BIT 3072
#define WRAPPED_MAX   HF_RSA_MAX_BYTES

struct end {
    struct p11_module *module;
    CK_FUNCTION_LIST *calls;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE pair[2]; /* private, public; of the session */
    CK_BYTE modulus[HF_RSA_MAX_BYTES];
    CK_ULONG modulus_len;
    CK_BYTE wrapped[WRAPPED_MAX];
    CK_ULONG wrapped_len;
    CK_OBJECT_HANDLE made; /* the token object */
};

static HF_STATUS refuse(struct pkcs11_refusal *refusal,
                        const struct pkcs11_carry_end *at, const char *what,
                        CK_RV rv)
{
    snprintf(refusal->text, sizeof refusal->text,
             "the token %s does not %s "
             "(%s)",
             at->label, what, rv_name(rv));
    refusal->rv = rv;
    return rv_meaning(rv).status;
}

static bool is_wanted(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                      const struct pkcs11_carry_end *how)
{
    CK_TOKEN_INFO info = {0};
    char label[sizeof info.label + 1];
    char serial[sizeof info.serialNumber + 1];
    if (calls->C_GetTokenInfo(slot, &info) != CKR_OK) {
        return false;
    }
    p11_text_of(info.label, sizeof info.label, label);
    p11_text_of(info.serialNumber, sizeof info.serialNumber, serial);
    return strcmp(label, how->label) == 0 && strcmp(serial, how->serial) == 0;
}

static HF_STATUS open_session(const struct pkcs11_carry_end *how,
                              struct end *end, struct pkcs11_refusal *refusal)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    CK_ULONG at = 0;
    CK_SESSION_INFO about = {0};
    CK_RV rv = end->calls->C_GetSlotList(CK_TRUE, slots, &count);
    while (rv == CKR_OK && at < count &&
           !is_wanted(end->calls, slots[at], how)) {
        at++;
    }
    if (rv != CKR_OK || at == count) {
        return refuse(refusal, how, "show itself",
                      rv != CKR_OK ? rv : CKR_TOKEN_NOT_PRESENT);
    }
    rv = end->calls->C_OpenSession(slots[at],
                                   CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                   NULL, &end->session);
    if (rv == CKR_OK) {
        rv = end->calls->C_GetSessionInfo(end->session, &about);
    }
    if (rv != CKR_OK) {
        return refuse(refusal, how, "open a session", rv);
    }
    return about.state == CKS_RW_USER_FUNCTIONS
               ? HF_OK
               : refuse(refusal, how, "have anybody logged in",
                        CKR_USER_NOT_LOGGED_IN);
}

static HF_STATUS end_open(const struct pkcs11_carry_end *how, struct end *end,
                          struct pkcs11_refusal *refusal)
{
    CK_RV rv = CKR_OK;
    enum hf_status status =
        p11_module_open(how->module_path, &end->module, &rv);
    if (status != HF_OK) {
        HF_IGNORE(refuse(refusal, how, "open its module", rv), "status says");
        return status;
    }
    end->calls = p11_module_calls(end->module);
    return open_session(how, end, refusal);
}

/* What is of the session dies with it. */
static void end_close(struct end *end)
{
    if (end->session != CK_INVALID_HANDLE) {
        (void)end->calls->C_CloseSession(end->session);
    }
    p11_module_release(end->module);
}

static HF_STATUS make_pair(const struct pkcs11_carry_end *how, struct end *end,
                           struct pkcs11_refusal *refusal)
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    struct p11_template private_key = {.count = 0};
    p11_add_flag(&private_key, CKA_TOKEN, false);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, CKA_UNWRAP, true);
    p11_add_flag(&private_key, CKA_DECRYPT, false);
    p11_add_flag(&private_key, CKA_SIGN, false);
    struct p11_template public_key = {.count = 0};
    p11_add_flag(&public_key, CKA_TOKEN, false);
    p11_add_flag(&public_key, CKA_WRAP, true);
    p11_add_flag(&public_key, CKA_ENCRYPT, false);
    p11_add_flag(&public_key, CKA_VERIFY, false);
    p11_add_number(&public_key, CKA_MODULUS_BITS, TRANSPORT_BIT);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    CK_MECHANISM mechanism = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    CK_RV rv = end->calls->C_GenerateKeyPair(
        end->session, &mechanism, public_key.at, public_key.count,
        private_key.at, private_key.count, &end->pair[1], &end->pair[0]);
    CK_ATTRIBUTE modulus = {CKA_MODULUS, end->modulus, sizeof end->modulus};
    if (rv == CKR_OK) {
        rv = end->calls->C_GetAttributeValue(end->session, end->pair[1],
                                             &modulus, 1);
    }
    end->modulus_len = modulus.ulValueLen;
    return rv == CKR_OK ? HF_OK
                        : refuse(refusal, how, "make a transport pair", rv);
}

static CK_RV make_key(struct end *first, CK_OBJECT_HANDLE *out)
{
    struct p11_template key = {.count = 0};
    p11_add_number(&key, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_PRIVATE, true);
    p11_add_flag(&key, CKA_SENSITIVE, true);
    p11_add_flag(&key, CKA_EXTRACTABLE, true);
    p11_add_flag(&key, CKA_SIGN, false);
    p11_add_flag(&key, CKA_VERIFY, false);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    CK_MECHANISM mechanism = {.mechanism = CKM_GENERIC_SECRET_KEY_GEN};
    return first->calls->C_GenerateKey(first->session, &mechanism, key.at,
                                       key.count, out);
}

/* In the first token, under the public key of the end it is for. */
static CK_RV wrap_for(struct end *first, CK_OBJECT_HANDLE key,
                      enum token_suite suite, struct end *to)
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    struct p11_mechanism mechanism;
    struct p11_template public_key = {.count = 0};
    CK_OBJECT_HANDLE under = CK_INVALID_HANDLE;
    p11_mechanism_raw(suite, 0, &mechanism);
    p11_add_number(&public_key, CKA_CLASS, CKO_PUBLIC_KEY);
    p11_add_number(&public_key, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&public_key, CKA_TOKEN, false);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_WRAP, true);
    p11_add_flag(&public_key, CKA_ENCRYPT, false);
    p11_add_flag(&public_key, CKA_VERIFY, false);
    p11_add_bytes(&public_key, CKA_MODULUS, to->modulus, to->modulus_len);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    CK_RV rv = first->calls->C_CreateObject(first->session, public_key.at,
                                            public_key.count, &under);
    to->wrapped_len = sizeof to->wrapped;
    return rv != CKR_OK
               ? rv
               : first->calls->C_WrapKey(first->session, &mechanism.mechanism,
                                         under, key, to->wrapped,
                                         &to->wrapped_len);
}

/* No CKA_MODIFIABLE: SoftHSM takes none on an unwrap. What matters nobody can
 * take back: once sensitive and not extractable, always so. */
static CK_RV unwrap_in(struct end *end, enum token_suite suite,
                       const char *name)
{
    struct p11_mechanism mechanism;
    struct p11_template key = {.count = 0};
    p11_mechanism_raw(suite, 0, &mechanism);
    p11_add_number(&key, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    p11_add_bytes(&key, CKA_ID, name, strlen(name));
    p11_add_bytes(&key, CKA_LABEL, name, strlen(name));
    p11_add_flag(&key, CKA_TOKEN, true);
    p11_add_flag(&key, CKA_PRIVATE, true);
    p11_add_flag(&key, CKA_SENSITIVE, true);
    p11_add_flag(&key, CKA_EXTRACTABLE, false);
    p11_add_flag(&key, CKA_SIGN, true);
    p11_add_flag(&key, CKA_VERIFY, true);
    p11_add_flag(&key, CKA_ENCRYPT, false);
    p11_add_flag(&key, CKA_DECRYPT, false);
    p11_add_flag(&key, CKA_WRAP, false);
    p11_add_flag(&key, CKA_UNWRAP, false);
    return end->calls->C_UnwrapKey(end->session, &mechanism.mechanism,
                                   end->pair[0], end->wrapped, end->wrapped_len,
                                   key.at, key.count, &end->made);
}

/* The mirror first: a key that the first token alone holds could not be given
 * to the mirror any more. */
static HF_STATUS carry(const struct pkcs11_carry_end *const how[2],
                       struct end ends[2], enum token_suite suite,
                       const char *name, struct pkcs11_refusal *refusal)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    for (size_t i = 0; i < 2; i++) {
        HF_TRY(end_open(how[i], &ends[i], refusal));
        HF_TRY(make_pair(how[i], &ends[i], refusal));
    }
    CK_RV rv = make_key(&ends[0], &key);
    for (size_t i = 0; rv == CKR_OK && i < 2; i++) {
        rv = wrap_for(&ends[0], key, suite, &ends[i]);
    }
    if (rv != CKR_OK) {
        return refuse(refusal, how[0], "make and wrap the key", rv);
    }
    for (size_t i = 2; i-- > 0;) {
        rv = unwrap_in(&ends[i], suite, name);
        if (rv != CKR_OK) {
            return refuse(refusal, how[i], "take the key", rv);
        }
    }
    return HF_OK;
}

HF_STATUS pkcs11_carry_mac_key(const struct pkcs11_carry_end *first,
                               const struct pkcs11_carry_end *mirror,
                               enum token_suite suite, const char *name,
                               struct pkcs11_refusal *out_refusal)
{
    const struct pkcs11_carry_end *const how[2] = {first, mirror};
    struct end ends[2] = {{.made = CK_INVALID_HANDLE},
                          {.made = CK_INVALID_HANDLE}};
    enum hf_status status = carry(how, ends, suite, name, out_refusal);
    for (size_t i = 0; i < 2; i++) {
        if (status != HF_OK && ends[i].made != CK_INVALID_HANDLE) {
            (void)ends[i].calls->C_DestroyObject(ends[i].session, ends[i].made);
        }
        end_close(&ends[i]);
    }
    return status;
}
