#include "tests/contract/token/token_contract.h"

#include "hsm/base/check.h"
#include "hsm/base/mechanisms.h"

#include "tests/contract/token/calls.h"
#include "tests/contract/token/inside.h"
#include "tests/support/unit.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <pthread.h>
#include <string.h>

const struct contract_subject *contract_subject;
struct contract_tokens contract;

/* Keys that most tests need, made once: one customer key in each token, and
 * the service's keys in token 0. */
static int set_up(void **state)
{
    (void)state;
    assert_ok(contract_subject->open(0, 0, &contract.token[0]));
    assert_ok(contract_subject->open(1, 0, &contract.token[1]));
    for (uint8_t i = 0; i < 2; i++) {
        assert_ok(call_generate(&contract.token[i],
                                TOKEN_FOR_CUSTOMER_KEY_TOKEN, 2048, i,
                                &contract.root[i]));
    }
    const struct token *own = &contract.token[0];
    assert_ok(call_generate(own, TOKEN_FOR_CUSTOMER_KEY_MEMORY, 3072, 10,
                            &contract.memory));
    assert_ok(
        call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 11, &contract.ak));
    assert_ok(call_generate(own, TOKEN_FOR_RECORD_MAC, 0, 12, &contract.mac));
    assert_ok(
        call_generate(own, TOKEN_FOR_AUDIT_SIGNING, 0, 13, &contract.audit));
    struct token_profile profile;
    token_profile_get(own, &profile);
    contract.suite = token_suite_preferred(&profile);
    assert_int_not_equal(contract.suite, TOKEN_SUITE_NONE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    token_close(&contract.token[0]);
    token_close(&contract.token[1]);
    return 0;
}

static void check_guarded(const struct token_key_report *report, bool local)
{
    assert_true(report->sensitive);
    assert_false(report->extractable);
    assert_true(report->always_sensitive);
    assert_true(report->never_extractable);
    assert_int_equal(report->local, local);
    assert_false(report->modifiable);
}

/* */
static void reports_say_what_was_made(void **state)
{
    (void)state;
    const struct token_key_report *root = &contract.root[0];
    check_guarded(root, true);
    assert_int_equal(root->bits, 2048);
    assert_true(root->can_unwrap);
    assert_false(root->can_decrypt);
    assert_false(root->can_sign);
    struct token_profile profile;
    token_profile_get(&contract.token[0], &profile);
    assert_int_equal(root->unwrap_template, profile.unwrap_template_honoured);
    assert_int_equal(root->destroyable, !profile.destroyable_honoured);
    assert_int_equal(root->mechanisms, TOKEN_MECHANISM_RSA_OAEP);

    check_guarded(&contract.memory, true);
    assert_int_equal(contract.memory.mechanisms, TOKEN_MECHANISM_RSA_OAEP);
    assert_int_equal(contract.memory.bits, 3072);
    assert_true(contract.memory.can_unwrap);
    assert_true(contract.memory.can_decrypt);

    check_guarded(&contract.ak, true);
    assert_int_equal(contract.ak.bits, 256);
    assert_true(contract.ak.can_wrap && contract.ak.can_unwrap);
    assert_false(contract.ak.can_decrypt || contract.ak.can_encrypt);
    assert_int_equal(contract.ak.spki_len, 0);

    check_guarded(&contract.mac, true);
    assert_true(contract.mac.can_sign);
    check_guarded(&contract.audit, true);
    assert_true(contract.audit.can_sign);
    assert_int_equal(contract.audit.bits, 256);
}

static void check_same(const struct token_key_report *a,
                       const struct token_key_report *b)
{
    assert_int_equal(a->key.type, b->key.type);
    assert_int_equal(a->key.id_len, b->key.id_len);
    assert_memory_equal(a->key.id, b->key.id, a->key.id_len);
    assert_memory_equal(a->key.fingerprint, b->key.fingerprint,
                        sizeof a->key.fingerprint);
    assert_string_equal(a->label, b->label);
    assert_int_equal(a->spki_len, b->spki_len);
    assert_memory_equal(a->spki, b->spki, a->spki_len);
    assert_int_equal(a->sensitive, b->sensitive);
    assert_int_equal(a->can_unwrap, b->can_unwrap);
    assert_int_equal(a->destroyable, b->destroyable);
}

static void find_by_id_and_fingerprint(void **state)
{
    (void)state;
    struct token_key_report found;
    struct token_key key = contract.root[0].key;
    assert_ok(call_find(&contract.token[0], &key, &found));
    check_same(&found, &contract.root[0]);
    memset(key.fingerprint, 0, sizeof key.fingerprint);
    assert_ok(call_find(&contract.token[0], &key, &found));
    check_same(&found, &contract.root[0]);
    /* another key under the same id is not this key */
    key.fingerprint[0] = 1;
    assert_status(call_find(&contract.token[0], &key, &found), HF_E_NOT_FOUND);
    /* the other token's key is not here */
    assert_status(call_find(&contract.token[0], &contract.root[1].key, &found),
                  HF_E_NOT_FOUND);
    /* nor is this one there as a key of another kind */
    key = contract.ak.key;
    key.type = TOKEN_KEY_GENERIC;
    assert_status(call_find(&contract.token[0], &key, &found), HF_E_NOT_FOUND);
}

static void generate_refuses(void **state)
{
    (void)state;
    struct token_key_report report;
    const struct token *own = &contract.token[0];
    assert_status(
        call_generate(own, TOKEN_FOR_CUSTOMER_KEY_TOKEN, 2048, 0, &report),
        HF_E_EXISTS);
    assert_status(call_generate(own, TOKEN_FOR_RECORD_MAC, 0, 11, &report),
                  HF_E_EXISTS);
    assert_status(
        call_generate(own, TOKEN_FOR_CUSTOMER_KEY_TOKEN, 1024, 90, &report),
        HF_E_INVALID);
    assert_status(
        call_generate(own, TOKEN_FOR_CUSTOMER_KEY_TOKEN, 2500, 90, &report),
        HF_E_INVALID);
    struct token_key key = contract.root[0].key;
    key.id[1] = 90;
    assert_status(call_find(own, &key, &report), HF_E_NOT_FOUND);
}

static void list_shows_every_key(void **state)
{
    (void)state;
    struct token_key_report reports[16];
    struct token_request request = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = HF_COUNT(reports)},
    };
    assert_ok(token_call(&contract.token[0], &request));
    const struct token_key_report *expected[] = {
        &contract.root[0], &contract.memory, &contract.ak,
        &contract.mac,     &contract.audit,
    };
    assert_int_equal(request.u.list.count, HF_COUNT(expected));
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        size_t seen = 0;
        for (size_t j = 0; j < request.u.list.count; j++) {
            if (reports[j].key.id[1] == expected[i]->key.id[1]) {
                check_same(&reports[j], expected[i]);
                seen += 1;
            }
        }
        assert_int_equal(seen, 1);
    }
    request.u.list.cap = 2;
    assert_status(token_call(&contract.token[0], &request), HF_E_LIMIT);
}

static size_t count_listed(const char *label_prefix, const uint8_t *id,
                           size_t id_len, struct token_key_report *first)
{
    struct token_key_report reports[16];
    struct token_request request = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports,
                   .cap = HF_COUNT(reports),
                   .id_prefix_len = id_len},
    };
    snprintf(request.u.list.label_prefix, sizeof request.u.list.label_prefix,
             "%s", label_prefix);
    memcpy(request.u.list.id_prefix, id, id_len);
    assert_ok(token_call(&contract.token[0], &request));
    if (request.u.list.count > 0) {
        *first = reports[0];
    }
    return request.u.list.count;
}

/* a purge finds its keys by their names: by label, by id, or by both;
 * what nobody asked for is not counted against the room there is. */
static void list_finds_by_name(void **state)
{
    (void)state;
    const struct token_key_report *ak = &contract.ak;
    const uint8_t none[] = {0xee, 0xee, 0xee};
    struct token_key_report found = {.label = ""};
    char part[HF_LABEL_MAX_BYTES + 1];
    assert_int_equal(count_listed(ak->label, ak->key.id, 0, &found), 1);
    check_same(&found, ak);
    snprintf(part, sizeof part, "%.*s", (int)strlen(ak->label) - 1, ak->label);
    assert_true(count_listed(part, ak->key.id, 0, &found) >= 1);
    assert_int_equal(count_listed("", ak->key.id, ak->key.id_len, &found), 1);
    check_same(&found, ak);
    assert_int_equal(count_listed("no such label", none, sizeof none, &found),
                     0);
    assert_int_equal(
        count_listed("no such label", ak->key.id, ak->key.id_len, &found), 1);
}

static void sign_verifies(void **state)
{
    (void)state;
    uint8_t digest[HF_SHA256_BYTES] = {1, 2, 3};
    uint8_t signature[64];
    assert_ok(
        call_sign(&contract.token[0], &contract.audit.key, digest, signature));
    const uint8_t *at = contract.audit.spki;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)contract.audit.spki_len);
    assert_non_null(pkey);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    assert_int_equal(ECDSA_SIG_set0(pair, BN_bin2bn(signature, 32, NULL),
                                    BN_bin2bn(signature + 32, 32, NULL)),
                     1);
    uint8_t der[80];
    uint8_t *to = der;
    int der_len = i2d_ECDSA_SIG(pair, &to);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_PKEY_verify_init(context), 1);
    assert_int_equal(
        EVP_PKEY_verify(context, der, (size_t)der_len, digest, sizeof digest),
        1);
    digest[0] ^= 1;
    assert_int_not_equal(
        EVP_PKEY_verify(context, der, (size_t)der_len, digest, sizeof digest),
        1);
    EVP_PKEY_CTX_free(context);
    ECDSA_SIG_free(pair);
    EVP_PKEY_free(pkey);
    assert_status(
        call_sign(&contract.token[0], &contract.mac.key, digest, signature),
        HF_E_INVALID);
}

static void mac_is_the_keys_own(void **state)
{
    (void)state;
    struct token_key_report other;
    uint8_t a[HF_SHA256_BYTES];
    uint8_t b[HF_SHA256_BYTES];
    const struct token *own = &contract.token[0];
    assert_ok(call_mac(own, &contract.mac.key, "text", a));
    assert_ok(call_mac(own, &contract.mac.key, "text", b));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(call_mac(own, &contract.mac.key, "texu", b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_ok(call_generate(own, TOKEN_FOR_RECORD_MAC, 0, 20, &other));
    assert_ok(call_mac(own, &other.key, "text", b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_ok(call_mac(own, &contract.mac.key, "", a));
    assert_ok(call_destroy(own, &other.key));
}

static void data_objects_come_and_go(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_data items[4];
    size_t count = 99;
    assert_ok(call_data_list(own, "epoch", items, 4, &count));
    assert_int_equal(count, 0);
    assert_ok(call_data(own, TOKEN_OP_DATA_CREATE, "epoch", "one"));
    assert_ok(call_data(own, TOKEN_OP_DATA_CREATE, "epoch", "two"));
    assert_ok(call_data(own, TOKEN_OP_DATA_CREATE, "other", "one"));
    assert_ok(call_data_list(own, "epoch", items, 4, &count));
    assert_int_equal(count, 2);
    assert_status(call_data_list(own, "epoch", items, 1, &count), HF_E_LIMIT);
    assert_ok(call_data(own, TOKEN_OP_DATA_DESTROY, "epoch", "one"));
    assert_ok(call_data_list(own, "epoch", items, 4, &count));
    assert_int_equal(count, 1);
    assert_int_equal(items[0].value_len, 3);
    assert_memory_equal(items[0].value, "two", 3);
    assert_string_equal(items[0].label, "epoch");
    assert_ok(call_data(own, TOKEN_OP_DATA_DESTROY, "epoch", "one"));
    assert_ok(call_data_list(own, "other", items, 4, &count));
    assert_int_equal(count, 1);
}

static void destroy_is_final_and_may_run_twice(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_key_report report;
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 30, &report));
    assert_ok(call_destroy(own, &report.key));
    assert_status(call_find(own, &report.key, &report), HF_E_NOT_FOUND);
    assert_ok(call_destroy(own, &report.key));
    assert_ok(call_generate(own, TOKEN_FOR_CANARY, 2048, 31, &report));
    assert_ok(call_destroy(own, &report.key));
    assert_status(call_find(own, &report.key, &report), HF_E_NOT_FOUND);
}

/* where the token honours CKA_DESTROYABLE, nobody with the PIN can
 * destroy a customer key by it. */
static void customer_keys_stay(void **state)
{
    (void)state;
    struct token_profile profile;
    token_profile_get(&contract.token[0], &profile);
    struct token_key_report report;
    assert_ok(call_generate(&contract.token[0], TOKEN_FOR_CUSTOMER_KEY_TOKEN,
                            2048, 32, &report));
    if (profile.destroyable_honoured) {
        assert_status(call_destroy(&contract.token[0], &report.key),
                      HF_E_DENIED);
        assert_ok(call_find(&contract.token[0], &report.key, &report));
    } else {
        assert_ok(call_destroy(&contract.token[0], &report.key));
    }
}

static void health_and_profile(void **state)
{
    (void)state;
    struct token_profile profile;
    assert_ok(call_health(&contract.token[0]));
    token_profile_get(&contract.token[0], &profile);
    assert_true(profile.label[0] != '\0');
    assert_true(profile.serial[0] != '\0');
    assert_true(profile.aes_gcm);
    assert_true(profile.aes_kwp);
    assert_true(profile.unwrap_to_object);
}

int token_contract_run(const struct contract_subject *subject)
{
    /* the list is checked before others add to it: order matters */
    static const struct CMUnitTest first[] = {
        cmocka_unit_test(reports_say_what_was_made),
        cmocka_unit_test(find_by_id_and_fingerprint),
        cmocka_unit_test(generate_refuses),
        cmocka_unit_test(list_shows_every_key),
        cmocka_unit_test(list_finds_by_name),
        cmocka_unit_test(sign_verifies),
        cmocka_unit_test(mac_is_the_keys_own),
        cmocka_unit_test(data_objects_come_and_go),
        cmocka_unit_test(destroy_is_final_and_may_run_twice),
        cmocka_unit_test(health_and_profile),
    };
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t i = 0; i < HF_COUNT(first); i++) {
        tests[count++] = first[i];
    }
    count += contract_keys_tests(tests + count);
    count += contract_flow_tests(tests + count);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(customer_keys_stay);
    contract_subject = subject;
    return _cmocka_run_group_tests(subject->name, tests, count, set_up,
                                   tear_down);
}
