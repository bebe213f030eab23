/* What must hold of every report, over many random pairs of keys; and the
 * texts at their edges: dates against the C library, lengths against the cut.
 */
#include "hsm/base/check.h"

#include "server/domain/customer_key.h"
#include "server/domain/validation_text.h"

#include "tests/support/unit.h"
#include "tests/unit/domain/validation_facts.h"

#include <string.h>
#include <time.h>

#define ROUNDS 40000
#define DAY_MS 86400000ll

/* xorshift64*: the same sequence in every run. */
static uint64_t seed = 0x9e3779b97f4a7c15u;
static uint64_t next_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1du;
}

/* One in `of` times. */
static bool now_and_then(uint64_t of)
{
    return (next_random() >> 8) % of == 0;
}

static void flip(bool *fact, uint64_t of)
{
    if (now_and_then(of)) {
        *fact = !*fact;
    }
}

static void spoil_key(struct key_facts *key, uint64_t of)
{
    static const uint32_t sizes[] = {0, 1024, 2048, 3072, 4096, UINT32_MAX};
    bool *const facts[] = {
        &key->reachable,
        &key->exists,
        &key->is_rsa,
        &key->deleted,
        &key->enabled,
        &key->sensitive,
        &key->extractable,
        &key->always_sensitive,
        &key->never_extractable,
        &key->imported,
        &key->can_unwrap,
        &key->can_decrypt,
        &key->mechanism_ok,
        &key->round_trip_ok,
        &key->has_get,
        &key->has_wrap,
        &key->has_unwrap,
        &key->domain_declared,
        &key->token_in_domain,
        &key->test_only,
        &key->hardware,
        &key->token_used_by_other_dep,
    };
    for (size_t i = 0; i < HF_COUNT(facts); i++) {
        flip(facts[i], of);
    }
    if (now_and_then(of)) {
        key->bits = sizes[next_random() % HF_COUNT(sizes)];
    }
    if (now_and_then(of)) {
        key->expires_ms = (int64_t)next_random();
    }
    if (now_and_then(of)) {
        key->not_before_ms = (int64_t)next_random();
    }
    if (now_and_then(of)) {
        key->protection = (enum deletion_protection)(next_random() % 7);
    }
    if (now_and_then(of)) {
        key->retention_days = (uint32_t)next_random();
    }
    if (now_and_then(of)) {
        memset(key->custody_domain, 'D', HF_NAME_MAX_BYTES);
    }
    if (now_and_then(of)) {
        key->token_record = (struct hf_id){{1}};
        key->fingerprint[0] = 1;
    }
}

static struct validation_facts random_pair(uint64_t of)
{
    struct validation_facts facts = good_pair();
    spoil_key(&facts.keys[0], of);
    spoil_key(&facts.keys[1], of);
    flip(&facts.production_tenant, 2);
    flip(&facts.approvers_recorded, 2);
    flip(&facts.licensed, of);
    facts.residency = (enum residency)(next_random() % 3);
    facts.dep_type = (enum dep_type)(next_random() % 6);
    return facts;
}

static bool is_pass(const struct validation_report *report,
                    enum check_code code, int key)
{
    return finding(report, code, key)->status == CHECK_PASS;
}

/* What nobody may create a DEP with, whatever else is true. */
static void look_at_passed(const struct validation_facts *facts,
                           const struct validation_report *report)
{
    for (int key = 0; key < 2; key++) {
        const struct key_facts *k = &facts->keys[key];
        assert_true(is_pass(report, CHECK_ROUND_TRIP, key));
        assert_true(k->reachable && k->exists && k->is_rsa && k->enabled &&
                    !k->deleted);
        assert_true(k->bits == 2048 || k->bits == 3072 || k->bits == 4096);
        assert_true(k->sensitive && !k->extractable);
        assert_true(k->round_trip_ok && k->mechanism_ok);
        assert_true(k->has_get && k->has_wrap && k->has_unwrap);
        assert_true(k->expires_ms == 0 ||
                    k->expires_ms == CUSTOMER_KEY_NO_EXPIRY_MS);
        assert_true(k->not_before_ms <= facts->now_ms);
        if (facts->production_tenant) {
            assert_true(!k->test_only && k->hardware);
            assert_true(k->retention_days >= 90);
            assert_true(k->protection == PROTECTION_TOKEN_PROTECTED ||
                        k->protection ==
                            PROTECTION_SOFT_DELETE_PURGE_PROTECTED);
        }
    }
    assert_true(is_pass(report, CHECK_TWO_CUSTODY_DOMAINS, -1));
    assert_true(is_pass(report, CHECK_TWO_TOKENS, -1));
    assert_true(is_pass(report, CHECK_KEYS_DISTINCT, -1));
}

static void look_at(const struct validation_facts *facts,
                    const struct validation_report *report)
{
    bool failed = false;
    assert_int_equal(report->count, 45);
    for (size_t i = 0; i < report->count; i++) {
        const struct check_result *result = &report->results[i];
        assert_in_range(result->status, CHECK_PASS, CHECK_SKIPPED);
        assert_true(memchr(result->text, '\0', sizeof result->text) != NULL);
        assert_true(result->text[0] != '\0');
        failed = failed || result->status == CHECK_FAIL;
    }
    assert_int_equal(report->passed, !failed);
    if (report->passed) {
        look_at_passed(facts, report);
    }
}

/* Production refuses whatever it is given less for: nothing that fails without
 * it may pass with it. */
static void look_at_production(struct validation_facts facts)
{
    struct validation_report strict;
    struct validation_report lenient;
    facts.production_tenant = true;
    validation_run(&facts, &strict);
    facts.production_tenant = false;
    validation_run(&facts, &lenient);
    assert_true(lenient.passed || !strict.passed);
    for (size_t i = 0; i < strict.count; i++) {
        enum check_status before = strict.results[i].status;
        enum check_status after = lenient.results[i].status;
        assert_true(before == after ||
                    (before == CHECK_FAIL && after == CHECK_WARN));
    }
}

static void test_every_report(void **state)
{
    (void)state;
    size_t passed = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct validation_facts facts = random_pair(i % 2 == 0 ? 100 : 3);
        struct validation_report report;
        validation_run(&facts, &report);
        look_at(&facts, &report);
        look_at_production(facts);
        passed += report.passed ? 1 : 0;
    }
    assert_in_range(passed, ROUNDS / 100, ROUNDS / 2); /* both were seen */
}

static void expect_date(int64_t unix_ms, const char *expected)
{
    char text[32];
    struct text_out out;
    text_begin(&out, text, sizeof text);
    text_put_date(&out, unix_ms);
    assert_string_equal(text, expected);
}

static void test_dates(void **state)
{
    (void)state;
    const int64_t year_2200_days = 84006;
    const int64_t year_10k_days = 2932897;
    for (int64_t day = 0; day < year_10k_days;
         day += day < year_2200_days ? 1 : 29) {
        time_t seconds = (time_t)(day * 86400);
        struct tm parts;
        char text[32];
        assert_non_null(gmtime_r(&seconds, &parts));
        strftime(text, sizeof text, "%Y-%m-%d", &parts);
        expect_date(day * DAY_MS, text);
        expect_date(day * DAY_MS + DAY_MS - 1, text);
    }
    expect_date(year_10k_days * DAY_MS - 1, "9999-12-31");
    expect_date(year_10k_days * DAY_MS, "an impossible date");
    expect_date(-1, "an impossible date");
    expect_date(INT64_MIN, "an impossible date");
    expect_date(INT64_MAX, "an impossible date");
}

static void test_cut(void **state)
{
    (void)state;
    static const char whole[] = "key 4294967295 and 0";
    for (size_t cap = 1; cap <= sizeof whole + 1; cap++) {
        char text[sizeof whole + 2];
        struct text_out out;
        memset(text, '#', sizeof text);
        text_begin(&out, text, cap);
        assert_int_equal(text[0], '\0');
        text_put(&out, "key ");
        text_put_number(&out, UINT32_MAX);
        text_put(&out, " and ");
        text_put_number(&out, 0);
        size_t len = cap < sizeof whole ? cap - 1 : sizeof whole - 1;
        assert_int_equal(strlen(text), len);
        assert_memory_equal(text, whole, len);
        assert_int_equal(text[cap], '#');
    }
}

static void test_texts_of_words(void **state)
{
    (void)state;
    static const char *const statuses[] = {"?",    "PASS",    "FAIL",
                                           "WARN", "SKIPPED", "?"};
    static const char *const evidences[] = {"?", "MEASURED", "ATTESTED",
                                            "DECLARED", "?"};
    for (size_t i = 0; i < HF_COUNT(statuses); i++) {
        assert_string_equal(check_status_text((enum check_status)i),
                            statuses[i]);
    }
    for (size_t i = 0; i < HF_COUNT(evidences); i++) {
        assert_string_equal(check_evidence_text((enum check_evidence)i),
                            evidences[i]);
    }
    assert_string_equal(check_code_text(CHECK_CODE_COUNT), "?");
    assert_string_equal(check_code_text((enum check_code) - 1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_report),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_texts_of_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
