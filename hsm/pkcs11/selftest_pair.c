/* The RSA pair that the self-test works with. */
#include "hsm/base/check.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/proof.h"
#include "hsm/pkcs11/public_key.h"

static const char probe_name[] = SELFTEST_OBJECT;

/* The pair of a session, with the optional attributes that the token takes. */
static HF_STATUS make_pair(struct selftest *test, bool with_template,
                           bool with_allowed)
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    static const CK_MECHANISM_TYPE oaep = CKM_RSA_PKCS_OAEP;
    struct p11_work *work = test->work;
    struct p11_template public_key = {.count = 0};
    p11_add_flag(&public_key, CKA_TOKEN, false);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_WRAP, true);
    p11_add_flag(&public_key, CKA_ENCRYPT, true);
    p11_add_number(&public_key, CKA_MODULUS_BITS, HF_RSA_MIN_BITS);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);

    struct p11_template limits = {.count = 0};
    p11_add_flag(&limits, CKA_SENSITIVE, true);
    p11_add_flag(&limits, CKA_EXTRACTABLE, false);
    struct p11_template private_key = {.count = 0};
    p11_add_flag(&private_key, CKA_TOKEN, false);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, CKA_UNWRAP, true);
    p11_add_flag(&private_key, CKA_DECRYPT, true);
    if (with_template) {
        p11_add_bytes(&private_key, CKA_UNWRAP_TEMPLATE, limits.at,
                      limits.count * sizeof limits.at[0]);
    }
    if (with_allowed) {
        p11_add_bytes(&private_key, CKA_ALLOWED_MECHANISMS, &oaep, sizeof oaep);
    }
    test->pair_has_template = with_template;
    test->pair_has_allowed = with_allowed;
    CK_MECHANISM generate = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &generate,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &test->public_key, &test->private_key);
}

static HF_STATUS make_session_pair(struct selftest *test)
{
    static const struct {
        bool with_template;
        bool with_allowed;
    } ways[] = {
        {true,  true },
        {true,  false},
        {false, true },
        {false, false}
    };
    enum hf_status status = HF_E_INTERNAL;
    for (size_t i = 0; i < HF_COUNT(ways) && status != HF_OK; i++) {
        status = make_pair(test, ways[i].with_template, ways[i].with_allowed);
        if (status != HF_OK && hf_status_class(status) != HF_CLASS_OURS &&
            hf_status_class(status) != HF_CLASS_CALLER) {
            return status; /* not a matter of attributes */
        }
    }
    return status;
}

/* HF_E_NOT_FOUND without one. */
static HF_STATUS find_half(struct selftest *test, CK_OBJECT_CLASS class_of,
                           const char *label, size_t label_len,
                           CK_OBJECT_HANDLE *out)
{
    struct p11_template filter = {.count = 0};
    p11_add_number(&filter, CKA_CLASS, class_of);
    p11_add_number(&filter, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&filter, CKA_TOKEN, true);
    p11_add_bytes(&filter, CKA_LABEL, label, label_len);
    CK_OBJECT_HANDLE found[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_find(test->work, filter.at, filter.count, found, HF_COUNT(found),
                    &count));
    *out = count > 0 ? found[0] : CK_INVALID_HANDLE;
    return count > 0 ? HF_OK : HF_E_NOT_FOUND;
}

static HF_STATUS find_pair(struct selftest *test, const char *label,
                           size_t label_len)
{
    HF_TRY(
        find_half(test, CKO_PRIVATE_KEY, label, label_len, &test->private_key));
    enum hf_status status =
        find_half(test, CKO_PUBLIC_KEY, label, label_len, &test->public_key);
    return status == HF_E_NOT_FOUND ? HF_OK : status;
}

/* Only what is needed: see p11_honours.session_keys. */
static HF_STATUS make_token_pair(struct selftest *test)
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    struct p11_work *work = test->work;
    struct p11_template public_key = {.count = 0};
    struct p11_template private_key = {.count = 0};
    struct p11_template *both[] = {&public_key, &private_key};
    for (size_t i = 0; i < HF_COUNT(both); i++) {
        p11_add_flag(both[i], CKA_TOKEN, true);
        p11_add_bytes(both[i], CKA_ID, probe_name, sizeof probe_name - 1);
        p11_add_bytes(both[i], CKA_LABEL, probe_name, sizeof probe_name - 1);
    }
    p11_add_flag(&public_key, CKA_ENCRYPT, true);
    p11_add_number(&public_key, CKA_MODULUS_BITS, HF_RSA_MIN_BITS);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, CKA_DECRYPT, true);
    CK_MECHANISM generate = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    HF_TRY(P11_CALL(work, C_GenerateKeyPair, work->session, &generate,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &test->public_key, &test->private_key));
    test->pair_in_token = true;
    return HF_OK;
}

/* One that an interrupted test left behind is taken, and destroyed with it. */
static HF_STATUS borrow_pair(struct selftest *test)
{
    test->pair_has_template = false;
    test->pair_has_allowed = false;
    enum hf_status status =
        find_pair(test, HF_CANARY_LABEL, sizeof HF_CANARY_LABEL - 1);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    status = find_pair(test, probe_name, sizeof probe_name - 1);
    test->pair_in_token = status == HF_OK;
    return status == HF_E_NOT_FOUND ? make_token_pair(test) : status;
}

HF_STATUS selftest_pair_get(struct selftest *test)
{
    struct p11_honours *honours = &test->work->token->honours;
    enum hf_status status = make_session_pair(test);
    honours->session_keys = status == HF_OK;
    if (status != HF_OK && hf_status_class(status) != HF_CLASS_OURS &&
        hf_status_class(status) != HF_CLASS_CALLER) {
        return status;
    }
    selftest_found(test, TOKEN_ABILITY_RSA_SESSION,
                   status == HF_OK ? TOKEN_CAN : TOKEN_CANNOT);
    HF_TRY(status == HF_OK ? HF_OK : borrow_pair(test));
    const struct token_key key = {.type = TOKEN_KEY_RSA};
    return p11_public_key_of(test->work, test->private_key, &key, test->spki,
                             &test->spki_len);
}

void selftest_pair_end(struct selftest *test)
{
    const CK_OBJECT_HANDLE both[] = {test->private_key, test->public_key};
    for (size_t i = 0; test->pair_in_token && i < HF_COUNT(both); i++) {
        enum hf_status status = both[i] == CK_INVALID_HANDLE
                                    ? HF_OK
                                    : p11_object_destroy(test->work, both[i]);
        if (status != HF_OK) {
            p11_log(test->work, "token.orphan_key", status);
        }
    }
}
