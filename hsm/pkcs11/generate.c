#include "hsm/pkcs11/generate.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/report.h"
#include "hsm/pkcs11/session_pool.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What each purpose may do. Everything that is not named is false. */
struct purpose_rule {
    enum token_key_type type;
    bool unwrap;
    bool decrypt;
    bool wrap;
    bool sign;
    bool locked; /* cannot be copied or, where honoured, destroyed */
    /* what it unwraps may be wrapped again inside the token (MINT); readable it
     * never is */
    bool rewraps;
};

static const struct purpose_rule rules[] = {
  /* clang-format off */
    /*                                  type               unwrap decrypt wrap   sign   locked rewraps */
    [TOKEN_FOR_CUSTOMER_KEY_TOKEN]  = { TOKEN_KEY_RSA,     true,  false,  false, false, true,  false },
    [TOKEN_FOR_CUSTOMER_KEY_MEMORY] = { TOKEN_KEY_RSA,     true,  true,   false, false, true,  false },
    [TOKEN_FOR_AVAILABILITY_KEY]    = { TOKEN_KEY_AES,     true,  false,  true,  false, false, true  },
    [TOKEN_FOR_RECORD_MAC]          = { TOKEN_KEY_GENERIC, false, false,  false, true,  false, false },
    [TOKEN_FOR_AUDIT_SIGNING]       = { TOKEN_KEY_EC,      false, false,  false, true,  false, false },
    [TOKEN_FOR_CANARY]              = { TOKEN_KEY_RSA,     true,  true,   false, false, false, false },
    [TOKEN_FOR_AVAILABILITY_PAIR]   = { TOKEN_KEY_RSA,     true,  false,  false, false, false, true  },
    [TOKEN_FOR_TRANSPORT_PAIR]      = { TOKEN_KEY_RSA,     true,  false,  false, false, false, true  },
  /* clang-format on */
};

/* What an unwrap by this key may make, whoever asks. */
struct unwrap_limits {
    struct p11_template inner;
};

static void add_names(const struct token_generate *generate,
                      struct p11_template *to)
{
    p11_add_bytes(to, CKA_ID, generate->id, generate->id_len);
    p11_add_bytes(to, CKA_LABEL, generate->label, strlen(generate->label));
}

static void add_guards(struct p11_template *to)
{
    p11_add_flag(to, CKA_TOKEN, true);
    p11_add_flag(to, CKA_PRIVATE, true);
    p11_add_flag(to, CKA_SENSITIVE, true);
    p11_add_flag(to, CKA_EXTRACTABLE, false);
    p11_add_flag(to, CKA_MODIFIABLE, false);
}

static void add_uses(const struct purpose_rule *rule, struct p11_template *to)
{
    p11_add_flag(to, CKA_UNWRAP, rule->unwrap);
    p11_add_flag(to, CKA_DECRYPT, rule->decrypt);
    p11_add_flag(to, CKA_SIGN, rule->sign);
}

static void add_unwrap_limits(const struct p11_token *token,
                              const struct purpose_rule *rule,
                              struct unwrap_limits *limits,
                              struct p11_template *to)
{
    limits->inner = (struct p11_template){.count = 0};
    if (token->honours.unwrap_template) {
        p11_add_flag(&limits->inner, CKA_SENSITIVE, true);
        if (!rule->rewraps) {
            p11_add_flag(&limits->inner, CKA_EXTRACTABLE, false);
        }
        p11_add_bytes(to, CKA_UNWRAP_TEMPLATE, limits->inner.at,
                      limits->inner.count * sizeof limits->inner.at[0]);
    }
}

/* as far as the self-test found that the token keeps to it. */
static void add_locks(const struct p11_token *token,
                      const struct purpose_rule *rule,
                      struct unwrap_limits *limits, struct p11_template *to)
{
    static const CK_MECHANISM_TYPE oaep = CKM_RSA_PKCS_OAEP;
    const struct p11_honours *honours = &token->honours;
    add_unwrap_limits(token, rule, limits, to);
    if (honours->allowed_mechanisms) {
        p11_add_bytes(to, CKA_ALLOWED_MECHANISMS, &oaep, sizeof oaep);
    }
    if (honours->copyable && rule->locked) {
        p11_add_flag(to, CKA_COPYABLE, false);
    }
    if (honours->destroyable && rule->locked) {
        p11_add_flag(to, CKA_DESTROYABLE, false);
    }
}

/* A pair of a token that takes only what it has (p11_honours.session_keys):
 * nothing is asked to be false. Its keys are what the token makes them, and the
 * report says what that is. */
static HF_STATUS make_plain_pair(struct p11_work *work,
                                 const struct token_generate *generate,
                                 CK_MECHANISM_TYPE type,
                                 struct p11_template *public_key,
                                 CK_OBJECT_HANDLE made[2])
{
    const struct purpose_rule *rule = &rules[generate->purpose];
    struct p11_template private_key = {.count = 0};
    if (!rule->decrypt && !rule->sign) {
        return HF_E_UNSUPPORTED; /* it could only unwrap, and cannot */
    }
    add_names(generate, &private_key);
    p11_add_flag(&private_key, CKA_TOKEN, true);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, rule->sign ? CKA_SIGN : CKA_DECRYPT, true);
    add_names(generate, public_key);
    p11_add_flag(public_key, CKA_TOKEN, true);
    p11_add_flag(public_key, rule->sign ? CKA_VERIFY : CKA_ENCRYPT, true);
    CK_MECHANISM mechanism = {.mechanism = type};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &mechanism,
                    public_key->at, public_key->count, private_key.at,
                    private_key.count, &made[1], &made[0]);
}

static HF_STATUS make_rsa(struct p11_work *work,
                          const struct token_generate *generate,
                          CK_OBJECT_HANDLE made[2])
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    const struct purpose_rule *rule = &rules[generate->purpose];
    struct unwrap_limits limits;
    struct p11_template private_key = {.count = 0};
    struct p11_template plain = {.count = 0};
    if (!work->token->honours.session_keys) {
        p11_add_number(&plain, CKA_MODULUS_BITS, generate->bits);
        p11_add_bytes(&plain, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
        return make_plain_pair(work, generate, CKM_RSA_PKCS_KEY_PAIR_GEN,
                               &plain, made);
    }
    add_names(generate, &private_key);
    add_guards(&private_key);
    add_uses(rule, &private_key);
    add_locks(work->token, rule, &limits, &private_key);

    struct p11_template public_key = {.count = 0};
    add_names(generate, &public_key);
    p11_add_flag(&public_key, CKA_TOKEN, true);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_MODIFIABLE, false);
    p11_add_flag(&public_key, CKA_WRAP, rule->unwrap);
    p11_add_flag(&public_key, CKA_ENCRYPT, rule->decrypt);
    p11_add_flag(&public_key, CKA_VERIFY, false);
    p11_add_number(&public_key, CKA_MODULUS_BITS, generate->bits);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);

    CK_MECHANISM mechanism = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &mechanism,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &made[1], &made[0]);
}

static HF_STATUS make_ec(struct p11_work *work,
                         const struct token_generate *generate,
                         CK_OBJECT_HANDLE made[2])
{
    /* OBJECT IDENTIFIER 1.2.840.10045.3.1.7: P-256 */
    static const CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07};
    struct p11_template private_key = {.count = 0};
    struct p11_template plain = {.count = 0};
    if (!work->token->honours.session_keys) {
        p11_add_bytes(&plain, CKA_EC_PARAMS, p256, sizeof p256);
        return make_plain_pair(work, generate, CKM_EC_KEY_PAIR_GEN, &plain,
                               made);
    }
    add_names(generate, &private_key);
    add_guards(&private_key);
    add_uses(&rules[generate->purpose], &private_key);

    struct p11_template public_key = {.count = 0};
    add_names(generate, &public_key);
    p11_add_flag(&public_key, CKA_TOKEN, true);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_MODIFIABLE, false);
    p11_add_flag(&public_key, CKA_VERIFY, true);
    p11_add_bytes(&public_key, CKA_EC_PARAMS, p256, sizeof p256);

    CK_MECHANISM mechanism = {.mechanism = CKM_EC_KEY_PAIR_GEN};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &mechanism,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &made[1], &made[0]);
}

static HF_STATUS make_secret(struct p11_work *work,
                             const struct token_generate *generate,
                             CK_OBJECT_HANDLE made[2])
{
    const struct purpose_rule *rule = &rules[generate->purpose];
    bool aes = rule->type == TOKEN_KEY_AES;
    struct p11_template key = {.count = 0};
    add_names(generate, &key);
    add_guards(&key);
    add_uses(rule, &key);
    p11_add_number(&key, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, p11_key_type(rule->type));
    p11_add_flag(&key, CKA_ENCRYPT, false);
    p11_add_flag(&key, CKA_WRAP, rule->wrap);
    p11_add_flag(&key, CKA_VERIFY, rule->sign);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    struct unwrap_limits limits;
    if (aes) {
        add_unwrap_limits(work->token, rule, &limits, &key);
    }
    CK_MECHANISM mechanism = {.mechanism = aes ? CKM_AES_KEY_GEN
                                               : CKM_GENERIC_SECRET_KEY_GEN};
    return P11_CALL(work, C_GenerateKey, work->session, &mechanism, key.at,
                    key.count, &made[0]);
}

static HF_STATUS make(struct p11_work *work,
                      const struct token_generate *generate,
                      CK_OBJECT_HANDLE made[2])
{
    switch (rules[generate->purpose].type) {
    case TOKEN_KEY_RSA:
        return make_rsa(work, generate, made);
    case TOKEN_KEY_EC:
        return make_ec(work, generate, made);
    case TOKEN_KEY_AES:
    case TOKEN_KEY_GENERIC:
        return make_secret(work, generate, made);
    }
    return HF_E_INTERNAL;
}

HF_STATUS p11_durable(const struct p11_token *token)
{
    if (token->sync == PKCS11_SYNC_NONE) {
        return HF_OK;
    }
    int directory = open(token->sync_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return HF_E_IO;
    }
    int failed = syncfs(directory);
    close(directory);
    return failed == 0 ? HF_OK : HF_E_IO;
}

/* Every private, public and secret key object with this id. */
static HF_STATUS find_by_id(struct p11_work *work, const uint8_t *id,
                            size_t id_len, CK_OBJECT_HANDLE *out, size_t cap,
                            size_t *out_count)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
                                              CKO_SECRET_KEY};
    *out_count = 0;
    for (size_t i = 0; i < HF_COUNT(classes); i++) {
        struct p11_template filter = {.count = 0};
        p11_add_number(&filter, CKA_CLASS, classes[i]);
        p11_add_flag(&filter, CKA_TOKEN, true);
        p11_add_bytes(&filter, CKA_ID, id, id_len);
        size_t count = 0;
        HF_TRY(p11_find(work, filter.at, filter.count, out + *out_count,
                        cap - *out_count, &count));
        *out_count += count;
    }
    return HF_OK;
}

static bool is_valid(const struct token_generate *generate)
{
    if ((unsigned)generate->purpose >= HF_COUNT(rules)) {
        return false;
    }
    if (rules[generate->purpose].type != TOKEN_KEY_RSA) {
        return generate->bits == 0;
    }
    if (generate->purpose == TOKEN_FOR_AVAILABILITY_PAIR) {
        return generate->bits == 2048;
    }
    if (generate->purpose == TOKEN_FOR_TRANSPORT_PAIR) {
        return generate->bits == 3072;
    }
    return generate->bits == 2048 || generate->bits == 3072 ||
           generate->bits == 4096;
}

struct generate_step {
    struct token_generate *generate;
    CK_OBJECT_HANDLE *made;
};

static HF_STATUS generate_once(struct p11_work *work, void *argument)
{
    struct generate_step *step = argument;
    CK_OBJECT_HANDLE taken[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_session_need(work));
    HF_TRY(find_by_id(work, step->generate->id, step->generate->id_len, taken,
                      HF_COUNT(taken), &count));
    if (count > 0) {
        return HF_E_EXISTS;
    }
    return make(work, step->generate, step->made);
}

void p11_undo(struct p11_work *work, const CK_OBJECT_HANDLE made[2])
{
    if (p11_session_need(work) != HF_OK) {
        p11_log(work, "token.orphan_key", HF_E_RESOURCES);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (made[i] == CK_INVALID_HANDLE) {
            continue;
        }
        enum hf_status status = p11_object_destroy(work, made[i]);
        if (status != HF_OK) {
            p11_log(work, "token.orphan_key", status);
        }
    }
}

/* A session that had no part in making it sees the key in the token: a module
 * that says OK and loses it is found out here. */
static HF_STATUS is_there(struct p11_work *work, void *argument)
{
    const struct generate_step *step = argument;
    const struct token_generate *generate = step->generate;
    CK_OBJECT_HANDLE found[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_session_need(work));
    HF_TRY(find_by_id(work, generate->id, generate->id_len, found,
                      HF_COUNT(found), &count));
    struct token_key key = {.type = rules[generate->purpose].type,
                            .id_len = generate->id_len};
    memcpy(key.id, generate->id, generate->id_len);
    for (size_t i = 0; i < count; i++) {
        if (found[i] == step->made[0]) {
            return p11_report(work, &key, found[i], generate->report);
        }
    }
    return HF_E_UNREACHABLE;
}

static HF_STATUS confirm(struct p11_work *work, struct generate_step *step)
{
    p11_session_renew(work);
    HF_TRY(p11_run_repaired(work, is_there, step));
    return p11_durable(work->token);
}

HF_STATUS p11_generate(struct p11_work *work, struct token_generate *generate,
                       CK_OBJECT_HANDLE made[2])
{
    if (!is_valid(generate)) {
        return HF_E_INVALID;
    }
    struct generate_step step = {generate, made};
    HF_TRY(p11_run_repaired(work, generate_once, &step));
    enum hf_status status = confirm(work, &step);
    if (status != HF_OK) {
        p11_undo(work, made);
        return status;
    }
    /* from here on their absence would mean something (missing.h) */
    work->token->keys_seen = true;
    if (strcmp(generate->label, HF_CANARY_LABEL) == 0) {
        work->token->canary_seen = true;
    }
    return HF_OK;
}

static HF_STATUS destroy_found(struct p11_work *work,
                               const CK_OBJECT_HANDLE *handles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum hf_status status = p11_object_destroy(work, handles[i]);
        if (status != HF_OK) {
            /* some modules now show none to us and one to everybody else */
            work->token->destroy_failed = status != HF_E_DENIED;
            return status;
        }
    }
    return HF_OK;
}

static HF_STATUS destroy_once(struct p11_work *work, void *argument)
{
    const struct token_destroy *destroy = argument;
    const struct token_key *key = &destroy->key;
    CK_OBJECT_HANDLE found[P11_MATCHES_MAX];
    size_t count = 0;
    HF_TRY(p11_session_need(work));
    p11_key_forget(work->token, key);
    HF_TRY(
        find_by_id(work, key->id, key->id_len, found, HF_COUNT(found), &count));
    if (count == 0 && work->token->destroy_failed) {
        return HF_E_UNCONFIRMED;
    }
    if (count == 0) {
        HF_TRY(p11_missing_confirm(work, key));
    }
    HF_TRY(destroy_found(work, found, count));
    p11_session_renew(work); /* the look that counts is a fresh session's */
    HF_TRY(p11_session_need(work));
    HF_TRY(
        find_by_id(work, key->id, key->id_len, found, HF_COUNT(found), &count));
    if (count > 0) {
        return HF_E_UNREACHABLE;
    }
    /* it may have been the canary, or the last key: their absence is in order
     */
    return p11_canary_look(work);
}

HF_STATUS p11_destroy(struct p11_work *work,
                      const struct token_destroy *destroy)
{
    struct token_destroy copy = *destroy;
    HF_TRY(p11_run_repaired(work, destroy_once, &copy));
    return p11_durable(work->token);
}
