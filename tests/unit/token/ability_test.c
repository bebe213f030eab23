/* ability: which roles can a token have? */
#include "hsm/base/check.h"

#include "hsm/token/ability.h"

#include "tests/support/unit.h"

#include <string.h>

#define LACKS_MAX_BYTES 512

static struct token_findings all(enum token_verdict verdict)
{
    struct token_findings findings = {.broken = ""};
    for (size_t i = 0; i < TOKEN_ABILITY_COUNT; i++) {
        findings.of[i] = verdict;
    }
    return findings;
}

static bool serves(const struct token_findings *findings, enum token_role role)
{
    char lacks[LACKS_MAX_BYTES];
    token_role_lacks(findings, role, lacks, sizeof lacks);
    return lacks[0] == '\0';
}

static void a_token_that_can_everything_has_every_role(void **state)
{
    (void)state;
    struct token_findings findings = all(TOKEN_CAN);
    for (size_t i = 0; i < TOKEN_ROLE_COUNT; i++) {
        assert_true(serves(&findings, (enum token_role)i));
    }
}

/* what each role cannot do without; the whole table. */
static void each_role_lacks_what_it_needs_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        enum token_role role;
        enum token_ability needs[10];
        size_t count;
    } roles[] = {
        {TOKEN_ROLE_CUSTOMER_TOKEN,
         {TOKEN_ABILITY_LOG_IN, TOKEN_ABILITY_RSA_TOKEN, TOKEN_ABILITY_FIND_ID,
          TOKEN_ABILITY_UNWRAP, TOKEN_ABILITY_GCM},
         5},
        {TOKEN_ROLE_CUSTOMER_MEMORY,
         {TOKEN_ABILITY_LOG_IN, TOKEN_ABILITY_RSA_TOKEN, TOKEN_ABILITY_FIND_ID},
         3},
        {TOKEN_ROLE_AVAILABILITY,
         {TOKEN_ABILITY_LOG_IN, TOKEN_ABILITY_AES_TOKEN, TOKEN_ABILITY_FIND_ID,
          TOKEN_ABILITY_UNWRAP, TOKEN_ABILITY_WRAP_OUT, TOKEN_ABILITY_KWP,
          TOKEN_ABILITY_GCM},
         7},
        {TOKEN_ROLE_SERVICE,
         {TOKEN_ABILITY_LOG_IN, TOKEN_ABILITY_HMAC, TOKEN_ABILITY_ECDSA,
          TOKEN_ABILITY_DATA, TOKEN_ABILITY_FIND_ID},
         5},
        {TOKEN_ROLE_TLS,
         {TOKEN_ABILITY_LOG_IN, TOKEN_ABILITY_ECDSA, TOKEN_ABILITY_FIND_ID},
         3},
    };
    assert_int_equal(HF_COUNT(roles), TOKEN_ROLE_COUNT);
    for (size_t i = 0; i < HF_COUNT(roles); i++) {
        for (size_t ability = 0; ability < TOKEN_ABILITY_COUNT; ability++) {
            struct token_findings findings = all(TOKEN_CAN);
            findings.of[ability] = TOKEN_CANNOT;
            bool needed = false;
            for (size_t n = 0; n < roles[i].count; n++) {
                needed = needed || roles[i].needs[n] == ability;
            }
            assert_int_equal(serves(&findings, roles[i].role), !needed);
            findings.of[ability] = TOKEN_UNTRIED;
            assert_int_equal(serves(&findings, roles[i].role), !needed);
        }
    }
}

/* */
static void one_of_the_two_oaep_is_enough(void **state)
{
    (void)state;
    struct token_findings findings = all(TOKEN_CAN);
    char lacks[LACKS_MAX_BYTES];
    findings.of[TOKEN_ABILITY_OAEP_SHA256] = TOKEN_CANNOT;
    assert_true(serves(&findings, TOKEN_ROLE_CUSTOMER_MEMORY));
    findings.of[TOKEN_ABILITY_OAEP_SHA1] = TOKEN_CANNOT;
    token_role_lacks(&findings, TOKEN_ROLE_CUSTOMER_MEMORY, lacks,
                     sizeof lacks);
    assert_string_equal(lacks, "RSA-OAEP");
    assert_true(serves(&findings, TOKEN_ROLE_SERVICE));
}

static void a_broken_promise_costs_every_role(void **state)
{
    (void)state;
    size_t promises = 0;
    for (size_t ability = 0; ability < TOKEN_ABILITY_COUNT; ability++) {
        struct token_findings findings = all(TOKEN_CAN);
        if (!token_ability_is_promise((enum token_ability)ability)) {
            continue;
        }
        promises += 1;
        findings.of[ability] = TOKEN_BREAKS;
        memcpy(findings.broken, "it lies", sizeof "it lies");
        for (size_t role = 0; role < TOKEN_ROLE_COUNT; role++) {
            char lacks[LACKS_MAX_BYTES];
            token_role_lacks(&findings, (enum token_role)role, lacks,
                             sizeof lacks);
            assert_string_equal(lacks, "breaks a promise: it lies");
        }
    }
    assert_int_equal(promises, 8);
}

static void
what_is_taken_that_a_strict_module_refuses_costs_no_role(void **state)
{
    (void)state;
    struct token_findings findings = all(TOKEN_CAN);
    findings.of[TOKEN_ABILITY_GCM_EMPTY_IV] = TOKEN_LENIENT;
    findings.of[TOKEN_ABILITY_GCM_SHORT_TAG] = TOKEN_LENIENT;
    for (size_t i = 0; i < TOKEN_ROLE_COUNT; i++) {
        assert_true(serves(&findings, (enum token_role)i));
    }
}

static void an_open_token_lacks_what_its_profile_lacks(void **state)
{
    (void)state;
    char lacks[LACKS_MAX_BYTES];
    struct token_profile tpm = {.oaep_sha256 = true, .ecdsa_p256 = true};
    token_profile_lacks(&tpm, TOKEN_ROLE_CUSTOMER_MEMORY, lacks, sizeof lacks);
    assert_string_equal(lacks, "");
    token_profile_lacks(&tpm, TOKEN_ROLE_CUSTOMER_TOKEN, lacks, sizeof lacks);
    assert_string_equal(lacks, "C_UnwrapKey by RSA-OAEP to a session key; "
                               "AES-256-GCM with associated data");
    token_profile_lacks(&tpm, TOKEN_ROLE_SERVICE, lacks, sizeof lacks);
    assert_string_equal(lacks, "HMAC-SHA-256");
    struct token_profile whole = {.oaep_sha1 = true,
                                  .unwrap_to_object = true,
                                  .aes_gcm = true,
                                  .aes_kwp = true,
                                  .hmac_sha256 = true,
                                  .ecdsa_p256 = true};
    for (size_t i = 0; i < TOKEN_ROLE_COUNT; i++) {
        token_profile_lacks(&whole, (enum token_role)i, lacks, sizeof lacks);
        assert_string_equal(lacks, "");
    }
}

/* Part of the interface of token test --json. */
static void every_name_is_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOKEN_ABILITY_COUNT; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(token_ability_key((enum token_ability)i),
                                    token_ability_key((enum token_ability)k));
            assert_string_not_equal(token_ability_words((enum token_ability)i),
                                    token_ability_words((enum token_ability)k));
        }
    }
    assert_string_equal(token_verdict_key(TOKEN_UNTRIED), "untried");
    assert_string_equal(token_verdict_key(TOKEN_CAN), "can");
    assert_string_equal(token_verdict_key(TOKEN_CANNOT), "cannot");
    assert_string_equal(token_verdict_key(TOKEN_LENIENT), "lenient");
    assert_string_equal(token_verdict_key(TOKEN_BREAKS), "breaks");
    for (size_t i = 0; i < TOKEN_ROLE_COUNT; i++) {
        assert_true(strlen(token_role_key((enum token_role)i)) > 0);
        assert_true(strlen(token_role_words((enum token_role)i)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_can_everything_has_every_role),
        cmocka_unit_test(each_role_lacks_what_it_needs_and_nothing_else),
        cmocka_unit_test(one_of_the_two_oaep_is_enough),
        cmocka_unit_test(a_broken_promise_costs_every_role),
        cmocka_unit_test(
            what_is_taken_that_a_strict_module_refuses_costs_no_role),
        cmocka_unit_test(an_open_token_lacks_what_its_profile_lacks),
        cmocka_unit_test(every_name_is_there_once),
    };
    return cmocka_run_group_tests_name("token_ability", tests, NULL, NULL);
}
