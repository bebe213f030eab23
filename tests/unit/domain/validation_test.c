/* Each check of: what makes it pass, fail, warn or be skipped, that
 * nothing else changes with it, and that all are reported together (R-4.17;
 * appendix B, check 1). */
#include "hsm/base/check.h"

#include "server/domain/customer_key.h"

#include "tests/support/unit.h"
#include "tests/unit/domain/validation_facts.h"

#include <stdio.h>
#include <string.h>

#define PAIR     (-1)
#define PASS     CHECK_PASS
#define FAIL     CHECK_FAIL
#define WARN     CHECK_WARN
#define SKIP     CHECK_SKIPPED
#define Y2030_MS 1893456000000ll

/* k is the key spoiled, o the other one. */
typedef void spoil_fn(struct validation_facts *f, struct key_facts *k,
                      struct key_facts *o);

#define SPOIL(name, ...)                                                       \
    static void name(struct validation_facts *f, struct key_facts *k,          \
                     struct key_facts *o)                                      \
    {                                                                          \
        (void)f;                                                               \
        (void)k;                                                               \
        (void)o;                                                               \
        __VA_ARGS__;                                                           \
    }

static void set_domain(struct key_facts *key, const char *domain)
{
    snprintf(key->custody_domain, sizeof key->custody_domain, "%s", domain);
}

SPOIL(nothing, (void)0)
SPOIL(for_tests, f->production_tenant = false)
SPOIL(in_memory, f->residency = RESIDENCY_MEMORY; k->can_decrypt = true;
      o->can_decrypt = true)
SPOIL(one_domain, set_domain(k, "Contoso-HQ"); set_domain(o, "contoso-hq"))
SPOIL(no_domain, set_domain(k, ""))
SPOIL(one_token, k->token_record = o->token_record)
SPOIL(one_serial, memcpy(k->token_serial, o->token_serial, 17))
SPOIL(no_serials, k->token_serial[0] = '\0'; o->token_serial[0] = '\0')
SPOIL(one_key_record, k->key_record = o->key_record)
SPOIL(one_public_key, memcpy(k->fingerprint, o->fingerprint, 32))
SPOIL(no_public_key, memset(k->fingerprint, 0, 32))
SPOIL(undeclared, k->domain_declared = false)
SPOIL(test_token, k->test_only = true)
SPOIL(test_token_for_tests, k->test_only = true; f->production_tenant = false)
SPOIL(elsewhere, k->token_in_domain = false)
SPOIL(stated_right, snprintf(k->stated_domain, sizeof k->stated_domain, "%s",
                             k == &f->keys[0] ? "DOMAIN-1" : "Domain-2"))
SPOIL(stated_wrong,
      snprintf(k->stated_domain, sizeof k->stated_domain, "paris"))
SPOIL(unreachable, k->reachable = false)
SPOIL(unreachable_all_unknown, k->reachable = false; k->exists = false;
      k->is_rsa = false; k->bits = 0; k->sensitive = false;
      k->never_extractable = false; k->can_unwrap = false;
      k->mechanism_ok = false; k->round_trip_ok = false)
SPOIL(gone, k->exists = false)
SPOIL(elliptic, k->is_rsa = false; k->bits = 256)
SPOIL(bits_0, k->bits = 0)
SPOIL(bits_1024, k->bits = 1024)
SPOIL(bits_2047, k->bits = 2047)
SPOIL(bits_2048, k->bits = 2048)
SPOIL(bits_4096, k->bits = 4096)
SPOIL(bits_8192, k->bits = 8192)
SPOIL(disabled, k->enabled = false)
SPOIL(soft_deleted, k->deleted = true)
SPOIL(until_2030, k->expires_ms = Y2030_MS)
SPOIL(until_9999, k->expires_ms = CUSTOMER_KEY_NO_EXPIRY_MS)
SPOIL(until_almost_9999, k->expires_ms = CUSTOMER_KEY_NO_EXPIRY_MS - 1)
SPOIL(until_before_1970, k->expires_ms = -1)
SPOIL(until_year_10000, k->expires_ms = 253402300800000ll)
SPOIL(from_now, k->not_before_ms = f->now_ms)
SPOIL(from_soon, k->not_before_ms = f->now_ms + 1)
SPOIL(from_2030, k->not_before_ms = Y2030_MS)
SPOIL(readable, k->sensitive = false)
SPOIL(extractable, k->extractable = true)
SPOIL(once_extractable, k->never_extractable = false)
SPOIL(once_readable, k->always_sensitive = false)
SPOIL(oaep_only, k->mechanisms = KEY_MECHANISMS_OAEP_ONLY)
SPOIL(oaep_too, k->mechanisms = KEY_MECHANISMS_OAEP_TOO)
SPOIL(no_oaep, k->mechanisms = KEY_MECHANISMS_NO_OAEP)
/* made elsewhere and brought in: told, not refused */
SPOIL(imported, k->imported = true; k->never_extractable = false)
SPOIL(imported_extractable, k->imported = true; k->extractable = true)
SPOIL(no_unwrap, k->can_unwrap = false)
SPOIL(decrypt_instead, k->can_unwrap = false; k->can_decrypt = true)
SPOIL(beyond_the_token,
      snprintf(k->token_lacks, sizeof k->token_lacks, "AES-256-GCM"))
SPOIL(memory_beyond_the_token, f->residency = RESIDENCY_MEMORY;
      k->can_decrypt = true; o->can_decrypt = true;
      snprintf(k->token_lacks, sizeof k->token_lacks, "AES-256-GCM"))
SPOIL(memory_without_decrypt, f->residency = RESIDENCY_MEMORY;
      o->can_decrypt = true)
SPOIL(no_such_residency, f->residency = (enum residency)0)
SPOIL(may_not_get, k->has_get = false)
SPOIL(may_not_wrap, k->has_wrap = false)
SPOIL(may_not_unwrap, k->has_unwrap = false)
SPOIL(no_mechanism, k->mechanism_ok = false; k->round_trip_ok = false)
SPOIL(no_round_trip, k->round_trip_ok = false)
SPOIL(shared, k->token_used_by_other_dep = true)
SPOIL(no_approvers, f->approvers_recorded = false)
SPOIL(unlicensed, f->licensed = false)
SPOIL(unlicensed_for_tests, f->licensed = false; f->production_tenant = false)
/* one key's token, whatever the other's is */
SPOIL(software, k->hardware = false)
SPOIL(software_for_tests, k->hardware = false; f->production_tenant = false)
SPOIL(days_89, k->retention_days = 89)
SPOIL(days_89_for_tests, k->retention_days = 89; f->production_tenant = false)
SPOIL(days_36500, k->retention_days = 36500)
SPOIL(unprotected, k->protection = PROTECTION_NONE; k->retention_days = 0)
SPOIL(unprotected_for_tests, k->protection = PROTECTION_NONE;
      k->retention_days = 0; f->production_tenant = false)
SPOIL(protection_unknown, k->protection = (enum deletion_protection)0)
SPOIL(protection_beyond, k->protection = (enum deletion_protection)5)
SPOIL(soft_delete_only, k->protection = PROTECTION_SOFT_DELETE)
SPOIL(purge_protected, k->protection = PROTECTION_SOFT_DELETE_PURGE_PROTECTED)
SPOIL(purge_protected_for_geo,
      k->protection = PROTECTION_SOFT_DELETE_PURGE_PROTECTED;
      f->dep_type = DEP_TYPE_SHAREPOINT_GEO)
SPOIL(multi_workload, f->dep_type = DEP_TYPE_MULTI_WORKLOAD;
      f->approvers_recorded = false)

/* What changes against a good pair; everything else passes. */
struct change {
    enum check_code code;
    bool about_pair;
    enum check_status status;
    const char *text; /* what the text begins with */
};
#define CHANGES_MAX 8

struct spoiled {
    const char *name;
    spoil_fn *spoil;
    struct change changes[CHANGES_MAX];
};

#define TOKEN_SILENT "its token does not answer"
#define NO_SUCH_KEY  "there is no such key in the token"
#define NOT_ALLOWED  "not tried: the workload identity may not"
#define NOT_ABLE     "not tried: the key cannot do it"
#define UNSEEN(text)                                                           \
    {CHECK_KEY_TYPE, false, SKIP, text}, {CHECK_KEY_SIZE, false, SKIP, text},  \
        {CHECK_KEY_NON_EXPORTABLE, false, SKIP, text},                         \
        {CHECK_KEY_OPS, false, SKIP, text},                                    \
        {CHECK_MECHANISM_PROBE, false, SKIP, text},                            \
        {CHECK_ROUND_TRIP, false, SKIP, text},

/* clang-format off */
#define CASE(name, ...) {#name, name, {__VA_ARGS__}}
static const struct spoiled cases[] = {
    {"nothing", nothing, {{0}}},
    {"for_tests", for_tests, {{0}}},
    {"in_memory", in_memory, {{0}}},
    /* the pair */
    CASE(one_domain, {CHECK_TWO_CUSTODY_DOMAINS, true, FAIL, "both keys are in the custody domain "}),
    CASE(no_domain, {CHECK_TWO_CUSTODY_DOMAINS, true, FAIL, "the custody domain of a token is not known"}),
    CASE(one_token, {CHECK_TWO_TOKENS, true, FAIL, "both keys are in the same token"}),
    CASE(one_serial, {CHECK_TWO_TOKENS, true, FAIL, "both keys are in the same token"}),
    {"no_serials", no_serials, {{0}}},
    CASE(one_key_record, {CHECK_KEYS_DISTINCT, true, FAIL, "both are the same key"}),
    CASE(one_public_key, {CHECK_KEYS_DISTINCT, true, FAIL, "both are the same key"}),
    CASE(no_public_key, {CHECK_KEYS_DISTINCT, true, FAIL, "the public key of a key is not known"}),
    CASE(no_approvers, {CHECK_APPROVERS_RECORDED, true, WARN, "no purge approvers are recorded"}),
    CASE(multi_workload, {CHECK_APPROVERS_RECORDED, true, SKIP, "this type of DEP has no purge"}),
    CASE(unlicensed, {CHECK_LICENCE, true, FAIL, "the tenant is not licensed"}),
    CASE(unlicensed_for_tests, {CHECK_LICENCE, true, WARN, "the tenant is not licensed; refused for a production tenant"}),
    /* the token */
    CASE(undeclared, {CHECK_DOMAIN_ELIGIBLE, false, FAIL, "the custody domain domain-"}),
    CASE(test_token, {CHECK_DOMAIN_ELIGIBLE, false, FAIL, "the token is for tests only"}),
    CASE(test_token_for_tests, {CHECK_DOMAIN_ELIGIBLE, false, WARN, "the token is for tests only; refused for a production tenant"}),
    CASE(stated_right, {CHECK_TOKEN_IN_DOMAIN, false, PASS, "token and enrolment name one domain"}),
    CASE(stated_wrong, {CHECK_TOKEN_IN_DOMAIN, false, FAIL, "the token is in the custody domain domain-"}),
    CASE(elsewhere, {CHECK_TOKEN_IN_DOMAIN, false, FAIL, "the token is not in the custody domain domain-"}),
    CASE(days_89, {CHECK_SOFT_DELETE_90D, false, FAIL, "soft delete for 89 days; 90 are needed"}),
    CASE(days_89_for_tests, {CHECK_SOFT_DELETE_90D, false, WARN, "soft delete for 89 days; 90 are needed; refused"}),
    CASE(days_36500, {CHECK_SOFT_DELETE_90D, false, PASS, "soft delete for 36500 days"}),
    CASE(unprotected,
         {CHECK_SOFT_DELETE_90D, false, FAIL, "deleted keys are gone at once"},
         {CHECK_PURGE_PROTECTION, false, FAIL, "deleted keys can be purged before their time"},
         {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(unprotected_for_tests,
         {CHECK_SOFT_DELETE_90D, false, WARN, "deleted keys are gone at once"},
         {CHECK_PURGE_PROTECTION, false, WARN, "deleted keys can be purged before their time"},
         {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(protection_unknown,
         {CHECK_SOFT_DELETE_90D, false, FAIL, "deleted keys are gone at once"},
         {CHECK_PURGE_PROTECTION, false, FAIL, "deleted keys can be purged before their time"},
         {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(protection_beyond,
         {CHECK_SOFT_DELETE_90D, false, FAIL, "deleted keys are gone at once"},
         {CHECK_PURGE_PROTECTION, false, FAIL, "deleted keys can be purged before their time"},
         {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(soft_delete_only,
         {CHECK_PURGE_PROTECTION, false, FAIL, "deleted keys can be purged before their time"},
         {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(purge_protected, {CHECK_TOKEN_PROTECTED, false, WARN, "one party alone"}),
    CASE(purge_protected_for_geo,
         {CHECK_TOKEN_PROTECTED, false, FAIL, "one party alone"},
         {CHECK_APPROVERS_RECORDED, true, SKIP, "this type of DEP has no purge"}),
    CASE(software, {CHECK_HSM_BACKED, false, FAIL, "the token is software"}),
    CASE(software_for_tests, {CHECK_HSM_BACKED, false, WARN, "the token is software; refused for a production tenant"}),
    /* */
    CASE(shared, {CHECK_TOKEN_SHARED, false, WARN, "another DEP uses this token"}),
    /* the key */
    CASE(unreachable, {CHECK_KEY_EXISTS, false, FAIL, "its token does not answer, so nothing is known"}, UNSEEN(TOKEN_SILENT)),
    CASE(unreachable_all_unknown, {CHECK_KEY_EXISTS, false, FAIL, "its token does not answer, so nothing is known"}, UNSEEN(TOKEN_SILENT)),
    CASE(gone, {CHECK_KEY_EXISTS, false, FAIL, "the token has no key with the registered id"}, UNSEEN(NO_SUCH_KEY)),
    CASE(elliptic,
         {CHECK_KEY_TYPE, false, FAIL, "not an RSA key; only RSA keys can wrap"},
         {CHECK_KEY_SIZE, false, SKIP, "not an RSA key"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(bits_0, {CHECK_KEY_SIZE, false, FAIL, "0 bits; it must be 2048, 3072 or 4096"}),
    CASE(bits_1024, {CHECK_KEY_SIZE, false, FAIL, "1024 bits; it must be 2048, 3072 or 4096"}),
    CASE(bits_2047, {CHECK_KEY_SIZE, false, FAIL, "2047 bits; it must be 2048, 3072 or 4096"}),
    CASE(bits_8192, {CHECK_KEY_SIZE, false, FAIL, "8192 bits; it must be 2048, 3072 or 4096"}),
    CASE(bits_2048, {CHECK_KEY_SIZE, false, PASS, "2048 bits"}),
    CASE(bits_4096, {CHECK_KEY_SIZE, false, PASS, "4096 bits"}),
    CASE(disabled,
         {CHECK_KEY_ENABLED, false, FAIL, "disabled"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ALLOWED}),
    CASE(soft_deleted,
         {CHECK_KEY_ENABLED, false, FAIL, "soft-deleted; RecoverCustomerKey"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ALLOWED}),
    CASE(until_2030, {CHECK_KEY_NO_EXPIRY, false, FAIL, "expires 2030-01-01; allowed are none or 9999-12-31"}),
    CASE(until_9999, {CHECK_KEY_NO_EXPIRY, false, PASS, "expires 9999-12-31, which counts as never"}),
    CASE(until_almost_9999, {CHECK_KEY_NO_EXPIRY, false, FAIL, "expires 9999-12-30; allowed are"}),
    CASE(until_before_1970, {CHECK_KEY_NO_EXPIRY, false, FAIL, "expires an impossible date; allowed are"}),
    CASE(until_year_10000, {CHECK_KEY_NO_EXPIRY, false, FAIL, "expires an impossible date; allowed are"}),
    CASE(from_now, {CHECK_KEY_NOT_BEFORE, false, PASS, "valid already"}),
    CASE(from_soon, {CHECK_KEY_NOT_BEFORE, false, FAIL, "not valid before 2026-11-24; it must be now or earlier"}),
    CASE(from_2030, {CHECK_KEY_NOT_BEFORE, false, FAIL, "not valid before 2030-01-01; it must be now or earlier"}),
    CASE(readable, {CHECK_KEY_NON_EXPORTABLE, false, FAIL, "can be taken out of the token"}),
    CASE(extractable, {CHECK_KEY_NON_EXPORTABLE, false, FAIL, "can be taken out of the token"}),
    CASE(once_extractable, {CHECK_KEY_NON_EXPORTABLE, false, FAIL, "could be taken out of the token at some time"}),
    CASE(once_readable, {CHECK_KEY_NON_EXPORTABLE, false, FAIL, "could be read at some time"}),
    CASE(oaep_only, {CHECK_MECHANISM_PROBE, false, PASS, "its token has RSA-OAEP, and the key allows nothing else"}),
    CASE(oaep_too, {CHECK_MECHANISM_PROBE, false, PASS, "its token has RSA-OAEP; the key allows other"}),
    CASE(no_oaep,
         {CHECK_MECHANISM_PROBE, false, FAIL, "the key does not allow RSA-OAEP"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(imported, {CHECK_KEY_NON_EXPORTABLE, false, WARN, "cannot be taken out, but was imported"}),
    CASE(imported_extractable, {CHECK_KEY_NON_EXPORTABLE, false, FAIL, "can be taken out of the token"}),
    CASE(no_unwrap,
         {CHECK_KEY_OPS, false, FAIL, "may not unwrap; residency TOKEN"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(decrypt_instead,
         {CHECK_KEY_OPS, false, FAIL, "may not unwrap; residency TOKEN"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(beyond_the_token,
         {CHECK_KEY_OPS, false, FAIL, "residency TOKEN is beyond its token: no AES-256-GCM"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(memory_beyond_the_token,
         {CHECK_KEY_OPS, false, PASS, "may decrypt, as residency MEMORY needs"}),
    CASE(memory_without_decrypt,
         {CHECK_KEY_OPS, false, FAIL, "may not decrypt; residency MEMORY"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(may_not_get, {CHECK_PERM_GET, false, FAIL, "the workload identity lacks get on this key; grant it"}),
    CASE(may_not_wrap,
         {CHECK_PERM_WRAP, false, FAIL, "the workload identity lacks wrap on this key; grant it"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ALLOWED}),
    CASE(may_not_unwrap,
         {CHECK_PERM_UNWRAP, false, FAIL, "the workload identity lacks unwrap on this key; grant it"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ALLOWED}),
    CASE(no_mechanism,
         {CHECK_MECHANISM_PROBE, false, FAIL, "its token has RSA-OAEP neither"},
         {CHECK_ROUND_TRIP, false, SKIP, NOT_ABLE}),
    CASE(no_round_trip, {CHECK_ROUND_TRIP, false, FAIL, "random bytes wrapped for the key did not come back"}),
};
/* clang-format on */

/* The order of the report, and what each finding rests on. */
static const struct {
    enum check_code code;
    const char *text;
    bool about_pair;
    enum check_evidence evidence;
} checks[VALIDATION_CHECK_COUNT] = {
    {CHECK_TWO_CUSTODY_DOMAINS, "TWO_CUSTODY_DOMAINS", true,  EVIDENCE_DECLARED},
    {CHECK_TWO_TOKENS,          "TWO_TOKENS",          true,  EVIDENCE_DECLARED},
    {CHECK_DOMAIN_ELIGIBLE,     "DOMAIN_ELIGIBLE",     false, EVIDENCE_DECLARED},
    {CHECK_TOKEN_IN_DOMAIN,     "TOKEN_IN_DOMAIN",     false, EVIDENCE_DECLARED},
    {CHECK_KEY_EXISTS,          "KEY_EXISTS",          false, EVIDENCE_MEASURED},
    {CHECK_KEY_TYPE,            "KEY_TYPE",            false, EVIDENCE_MEASURED},
    {CHECK_KEY_SIZE,            "KEY_SIZE",            false, EVIDENCE_MEASURED},
    {CHECK_KEY_ENABLED,         "KEY_ENABLED",         false, EVIDENCE_DECLARED},
    {CHECK_KEY_NO_EXPIRY,       "KEY_NO_EXPIRY",       false, EVIDENCE_DECLARED},
    {CHECK_KEY_NOT_BEFORE,      "KEY_NOT_BEFORE",      false, EVIDENCE_DECLARED},
    {CHECK_KEY_NON_EXPORTABLE,  "KEY_NON_EXPORTABLE",  false, EVIDENCE_MEASURED},
    {CHECK_KEY_OPS,             "KEY_OPS",             false, EVIDENCE_MEASURED},
    {CHECK_PERM_GET,            "PERM_GET",            false, EVIDENCE_DECLARED},
    {CHECK_PERM_WRAP,           "PERM_WRAP",           false, EVIDENCE_DECLARED},
    {CHECK_PERM_UNWRAP,         "PERM_UNWRAP",         false, EVIDENCE_DECLARED},
    {CHECK_SOFT_DELETE_90D,     "SOFT_DELETE_90D",     false, EVIDENCE_DECLARED},
    {CHECK_PURGE_PROTECTION,    "PURGE_PROTECTION",    false, EVIDENCE_DECLARED},
    {CHECK_TOKEN_PROTECTED,     "TOKEN_PROTECTED",     false, EVIDENCE_DECLARED},
    {CHECK_HSM_BACKED,          "HSM_BACKED",          false, EVIDENCE_DECLARED},
    {CHECK_MECHANISM_PROBE,     "MECHANISM_PROBE",     false, EVIDENCE_MEASURED},
    {CHECK_ROUND_TRIP,          "ROUND_TRIP",          false, EVIDENCE_MEASURED},
    {CHECK_TOKEN_SHARED,        "TOKEN_SHARED",        false, EVIDENCE_MEASURED},
    {CHECK_KEYS_DISTINCT,       "KEYS_DISTINCT",       true,  EVIDENCE_MEASURED},
    {CHECK_APPROVERS_RECORDED,  "APPROVERS_RECORDED",  true,  EVIDENCE_DECLARED},
    {CHECK_LICENCE,             "LICENCE",             true,  EVIDENCE_DECLARED},
};

static void test_order_and_evidence(void **state)
{
    (void)state;
    struct validation_facts facts = good_pair();
    struct validation_report report;
    size_t at = 0;
    validation_run(&facts, &report);
    for (size_t i = 0; i < HF_COUNT(checks); i++) {
        int last = checks[i].about_pair ? -1 : 1;
        for (int key = checks[i].about_pair ? -1 : 0; key <= last; key++) {
            assert_in_range(at, 0, report.count - 1);
            assert_int_equal(report.results[at].code, checks[i].code);
            assert_int_equal(report.results[at].key, key);
            assert_int_equal(report.results[at].evidence, checks[i].evidence);
            at++;
        }
        assert_int_equal(checks[i].code, i);
        assert_string_equal(check_code_text(checks[i].code), checks[i].text);
    }
    assert_int_equal(report.count, at);
    assert_int_equal(at, 45);
    assert_int_equal(CHECK_CODE_COUNT, VALIDATION_CHECK_COUNT + 1);
    assert_string_equal(check_code_text(CHECK_COPY_OPENS), "COPY_OPENS");
}

static const struct change *change_of(const struct spoiled *spoiled,
                                      const struct check_result *result,
                                      int spoiled_key)
{
    for (size_t i = 0; i < CHANGES_MAX; i++) {
        const struct change *change = &spoiled->changes[i];
        if (change->text != NULL && change->code == result->code &&
            result->key == (change->about_pair ? PAIR : spoiled_key)) {
            return change;
        }
    }
    return NULL;
}

static void expect(const struct spoiled *spoiled, int spoiled_key)
{
    struct validation_facts facts = good_pair();
    struct validation_report report;
    bool fails = false;
    size_t changes = 0;
    size_t seen = 0;
    spoiled->spoil(&facts, &facts.keys[spoiled_key],
                   &facts.keys[1 - spoiled_key]);
    validation_run(&facts, &report);
    for (size_t i = 0; i < CHANGES_MAX; i++) {
        changes += spoiled->changes[i].text != NULL ? 1 : 0;
    }
    for (size_t i = 0; i < report.count; i++) {
        const struct check_result *result = &report.results[i];
        const struct change *change = change_of(spoiled, result, spoiled_key);
        enum check_status status = change == NULL ? PASS : change->status;
        const char *text = change == NULL ? "" : change->text;
        seen += change != NULL ? 1 : 0;
        fails = fails || status == FAIL;
        if (result->status != status ||
            strncmp(result->text, text, strlen(text)) != 0 ||
            result->text[0] == '\0') {
            fail_msg("%s, key %d: %s of %d is %s \"%s\", not %s \"%s\"",
                     spoiled->name, spoiled_key, check_code_text(result->code),
                     result->key, check_status_text(result->status),
                     result->text, check_status_text(status), text);
        }
    }
    assert_int_equal(seen, changes);
    assert_int_equal(report.passed, !fails);
}

static void test_each_check_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        expect(&cases[i], 0);
        expect(&cases[i], 1);
    }
}

static void expect_text(spoil_fn *spoil, enum check_code code, int key,
                        const char *text)
{
    struct validation_facts facts = good_pair();
    struct validation_report report;
    spoil(&facts, &facts.keys[0], &facts.keys[1]);
    validation_run(&facts, &report);
    assert_string_equal(finding(&report, code, key)->text, text);
}

SPOIL(short_domains, set_domain(k, "a"); set_domain(o, "b"))
SPOIL(short_serials, k->token_serial[0] = '7'; k->token_serial[1] = '\0';
      memcpy(o->token_serial, k->token_serial, 2))
SPOIL(longest_domain, memset(k->custody_domain, 'd', HF_NAME_MAX_BYTES);
      memset(o->custody_domain, 'D', HF_NAME_MAX_BYTES);
      k->domain_declared = false)
#define D16 "dddddddddddddddd"

/* Texts with a name in them, whole. */
static void test_names_in_texts(void **state)
{
    (void)state;
    expect_text(one_domain, CHECK_TWO_CUSTODY_DOMAINS, PAIR,
                "both keys are in the custody domain Contoso-HQ; they must be "
                "in two");
    expect_text(undeclared, CHECK_DOMAIN_ELIGIBLE, 0,
                "the custody domain domain-1 is not in the service's "
                "configuration");
    expect_text(elsewhere, CHECK_TOKEN_IN_DOMAIN, 0,
                "the token is not in the custody domain domain-1 of its "
                "enrolment");
    expect_text(longest_domain, CHECK_TWO_CUSTODY_DOMAINS, PAIR,
                "both keys are in the custody domain " D16 D16 D16 D16
                "; they must be in two");
    expect_text(longest_domain, CHECK_DOMAIN_ELIGIBLE, 0,
                "the custody domain " D16 D16 D16 D16
                " is not in the service's configuration");
    expect_text(short_domains, CHECK_TWO_CUSTODY_DOMAINS, PAIR,
                "two custody domains");
    expect_text(short_serials, CHECK_TWO_TOKENS, PAIR,
                "both keys are in the same token; they must be in two");
}

/* A residency that is none fits no key. */
static void test_no_such_residency(void **state)
{
    (void)state;
    struct validation_facts facts = good_pair();
    struct validation_report report;
    no_such_residency(&facts, &facts.keys[0], &facts.keys[1]);
    validation_run(&facts, &report);
    assert_int_equal(finding(&report, CHECK_KEY_OPS, 0)->status, FAIL);
    assert_int_equal(finding(&report, CHECK_KEY_OPS, 1)->status, FAIL);
    assert_false(report.passed);
}

/* The same key given twice is three faults, and all three are named. */
static void test_one_key_twice(void **state)
{
    (void)state;
    struct validation_facts facts = good_pair();
    struct validation_report report;
    facts.keys[1] = facts.keys[0];
    validation_run(&facts, &report);
    assert_false(report.passed);
    assert_int_equal(finding(&report, CHECK_TWO_CUSTODY_DOMAINS, PAIR)->status,
                     FAIL);
    assert_int_equal(finding(&report, CHECK_TWO_TOKENS, PAIR)->status, FAIL);
    assert_int_equal(finding(&report, CHECK_KEYS_DISTINCT, PAIR)->status, FAIL);
    assert_int_equal(report.count, 45);
}

/* Appendix B, check 1: everything wrong at once, each with its own code. */
static void test_all_codes_together(void **state)
{
    (void)state;
    static const struct {
        enum check_code code;
        int key;
    } expected[] = {
        {CHECK_TWO_CUSTODY_DOMAINS, PAIR},
        {CHECK_TWO_TOKENS,          PAIR},
        {CHECK_KEY_TYPE,            0   },
        {CHECK_KEY_SIZE,            1   },
        {CHECK_KEY_NO_EXPIRY,       0   },
        {CHECK_KEY_NON_EXPORTABLE,  1   },
        {CHECK_PERM_UNWRAP,         0   },
        {CHECK_KEYS_DISTINCT,       PAIR},
    };
    struct validation_facts facts = good_pair();
    struct validation_report report;
    struct key_facts *first = &facts.keys[0];
    struct key_facts *second = &facts.keys[1];
    one_domain(&facts, first, second);
    one_token(&facts, first, second);
    one_public_key(&facts, first, second);
    elliptic(&facts, first, second);
    bits_1024(&facts, second, first);
    extractable(&facts, second, first);
    until_2030(&facts, first, second);
    may_not_unwrap(&facts, first, second);
    validation_run(&facts, &report);
    assert_false(report.passed);
    size_t failed = 0;
    for (size_t i = 0; i < report.count; i++) {
        failed += report.results[i].status == FAIL ? 1 : 0;
    }
    assert_int_equal(failed, HF_COUNT(expected));
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        assert_int_equal(
            finding(&report, expected[i].code, expected[i].key)->status, FAIL);
    }
}

/* what was measured says when, what was declared counts now. */
static void test_each_check_says_when(void **state)
{
    struct validation_facts facts = good_pair();
    struct validation_report report;
    (void)state;
    facts.keys[1].measured_ms = VALIDATION_NOW_MS - 5;
    validation_run(&facts, &report);
    for (size_t i = 0; i < report.count; i++) {
        const struct check_result *result = &report.results[i];
        bool measured =
            result->evidence == EVIDENCE_MEASURED && result->key == 1;
        assert_int_equal(result->time_ms,
                         VALIDATION_NOW_MS - (measured ? 5 : 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_evidence),
        cmocka_unit_test(test_each_check_alone),
        cmocka_unit_test(test_names_in_texts),
        cmocka_unit_test(test_no_such_residency),
        cmocka_unit_test(test_one_key_twice),
        cmocka_unit_test(test_each_check_says_when),
        cmocka_unit_test(test_all_codes_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
