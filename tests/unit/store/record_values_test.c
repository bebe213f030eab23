/* What cannot be stored: each field out of its range, one at a time. */
#include "hsm/token/token.h"

#include "server/store/codec.h"
#include "server/store/record.h"

#include "tests/support/unit.h"
#include "tests/unit/store/record_cases.h"

#include <stdalign.h>
#include <string.h>

union room {
    uint8_t bytes[RECORD_STRUCT_MAX_BYTES];
    alignas(max_align_t) char aligned;
};

/* A value put into one field of an otherwise good sample. */
struct bad_value {
    const char *record;
    const char *field;
    size_t offset;
    size_t size;
    uint64_t value;
    bool from_smallest; /* the sample to spoil */
};

#define BAD(name, type, field, value)                                          \
    {                                                                          \
        name, #field, offsetof(struct type, field),                            \
            sizeof(((struct type *)NULL)->field), (uint64_t)(value), false     \
    }
#define BAD_SMALL(name, type, field, value)                                    \
    {                                                                          \
        name, #field, offsetof(struct type, field),                            \
            sizeof(((struct type *)NULL)->field), (uint64_t)(value), true      \
    }

#define LONG_PAST (-1)

static const struct bad_value numbers[] = {
    BAD("tenant", tenant_record, created_ms, LONG_PAST),
    BAD("tenant", tenant_record, created_ms, INT64_MIN),
    BAD("token", token_record, protection, 0),
    BAD("token", token_record, protection, PROTECTION_TOKEN_PROTECTED + 1),
    BAD("token", token_record, protection, 257), /* fits no byte */
    BAD("token", token_record, enrolled_ms, LONG_PAST),
    BAD("token", token_record, statement_len, STATEMENT_MAX_BYTES + 1),
    BAD("token", token_record, statement_len, SIZE_MAX),
    BAD("customer_key", customer_key_record, created_ms, LONG_PAST),
    BAD("customer_key", customer_key_record, state, 3),
    BAD("customer_key", customer_key_record, deleted_ms, LONG_PAST),
    BAD("customer_key", customer_key_record, purge_ms, LONG_PAST),
    BAD("customer_key", customer_key_record, state, KEY_ACTIVE), /* and dated */
    BAD("customer_key", customer_key_record, purge_ms, 0),
    BAD_SMALL("customer_key", customer_key_record, state, KEY_SOFT_DELETED),
    BAD("key_version", key_version_record, cka_id_len, HF_CKA_ID_MAX_BYTES + 1),
    BAD("key_version", key_version_record, spki_len, HF_SPKI_MAX_BYTES + 1),
    BAD("key_version", key_version_record, suite, RECORD_SUITE_LAST + 1),
    BAD("key_version", key_version_record, suite, 255),
    BAD("key_version", key_version_record, not_before_ms, LONG_PAST),
    BAD("key_version", key_version_record, expires_ms, LONG_PAST),
    BAD("key_version", key_version_record, created_ms, LONG_PAST),
    BAD("key_version", key_version_record, updated_ms, LONG_PAST),
    BAD("key_version", key_version_record, label[HF_LABEL_MAX_BYTES], 'x'),
    BAD("geo", geo_record, state, GEO_RECOVERING + 1),
    BAD("geo", geo_record, state, GEO_UNREGISTERED),     /* and has a DEP */
    BAD_SMALL("geo", geo_record, state, GEO_REGISTERED), /* and has none */
    BAD("geo", geo_record, recovery, GEO_RECOVERY_OPEN + 1),
    /* open, and nobody asked for it */
    BAD_SMALL("geo", geo_record, recovery, GEO_RECOVERY_OPEN),
    BAD("geo", geo_record, requested_ms, LONG_PAST),
    BAD("geo", geo_record, window_ms, LONG_PAST),
    BAD("geo", geo_record, until_ms, LONG_PAST),
    BAD("geo", geo_record, created_ms, LONG_PAST),
    BAD("geo", geo_record, updated_ms, LONG_PAST),
    BAD("grant", grant_record, granted, 8),
    BAD("grant", grant_record, ever_held, 8),
    BAD("grant", grant_record, ever_held, PERMISSION_GET), /* less than now */
    BAD("grant", grant_record, updated_ms, LONG_PAST),
    BAD("dep", dep_record, type, 0),
    BAD("dep", dep_record, type, DEP_TYPE_SERVICE_MANAGED + 1),
    BAD("dep", dep_record, state, DEP_NONE),
    BAD("dep", dep_record, state, DEP_PURGED + 1),
    BAD("dep", dep_record, residency, 0),
    BAD("dep", dep_record, residency, RESIDENCY_MEMORY + 1),
    BAD("dep", dep_record, ak_state, 0),
    BAD("dep", dep_record, ak_state, AK_DESTROYED + 1),
    BAD("dep", dep_record, key_update, KEY_UPDATE_REPLACING + 1),
    BAD("dep", dep_record, fallback_limit_ms, LONG_PAST),
    BAD("dep", dep_record, fallback_limit_ms, FALLBACK_LIMIT_MIN_MS - 1),
    BAD("dep", dep_record, fallback_limit_ms, FALLBACK_LIMIT_MAX_MS + 1),
    BAD("notice", notice_record, event, NOTICE_NONE),
    BAD("notice", notice_record, event, NOTICE_ENDED + 1),
    BAD("notice", notice_record, time_ms, LONG_PAST),
    BAD("notice", notice_record, since_ms, 0),
    BAD("notice", notice_record, since_ms, LONG_PAST),
    BAD("notice", notice_record, limit_ms, LONG_PAST),
    BAD("dep", dep_record, ak_cka_id_len, HF_CKA_ID_MAX_BYTES + 1),
    BAD("dep", dep_record, created_ms, LONG_PAST),
    BAD("dep", dep_record, updated_ms, LONG_PAST),
    BAD("generation", generation_record, copies[0].suite, 0), /* but a blob */
    BAD("generation", generation_record, copies[1].suite,
        RECORD_SUITE_LAST + 1),
    BAD("generation", generation_record, copies[1].wrapped_len,
        HF_RSA_MAX_BYTES + 1),
    BAD("generation", generation_record, copies[2].wrapped_len, 0),
    BAD_SMALL("generation", generation_record, copies[2].suite, 1),
    BAD("generation", generation_record, mirrors[0].suite, 0),
    BAD("generation", generation_record, mirrors[3].wrapped_len,
        HF_RSA_MAX_BYTES + 1),
    BAD_SMALL("generation", generation_record, mirrors[1].suite, 1),
    BAD("ak_token", ak_token_record, state, 0),
    BAD("ak_token", ak_token_record, state, AK_TOKEN_RETIRED + 1),
    BAD("ak_token", ak_token_record, state, AK_TOKEN_ACTIVE), /* and retired */
    BAD_SMALL("ak_token", ak_token_record, state, AK_TOKEN_RETIRED),
    BAD_SMALL("ak_token", ak_token_record, serial[0], 0),
    BAD("ak_token", ak_token_record, transport_len, HF_SPKI_MAX_BYTES + 1),
    BAD("ak_token", ak_token_record, enrolled_ms, LONG_PAST),
    BAD("ak_token", ak_token_record, active_ms, LONG_PAST),
    BAD("ak_token", ak_token_record, requested_ms, LONG_PAST),
    BAD("ak_token", ak_token_record, retired_ms, LONG_PAST),
    BAD("generation", generation_record, check_sealed_len,
        HF_SEALED_MAX_BYTES + 1),
    BAD("generation", generation_record, created_ms, LONG_PAST),
    BAD("resource", resource_record, type, 0),
    BAD("resource", resource_record, type, RESOURCE_MAILBOX + 1),
    BAD("tenant_assignment", tenant_assignment_record, state, 0),
    BAD("tenant_assignment", tenant_assignment_record, state,
        ASSIGNMENT_OFFBOARDING + 1),
    BAD("tenant_assignment", tenant_assignment_record, assigned_ms, -1),
    BAD("workload_progress", workload_progress_record, reported_ms, -1),
    BAD("workload_progress", workload_progress_record, total, 1),
    BAD("resource", resource_record, earlier_count, RESOURCE_EARLIER_MAX + 1),
    BAD("resource", resource_record, earlier[3].replaced_ms, -1),
    BAD("resource", resource_record, retired_count, RESOURCE_RETIRED_MAX + 1),
    BAD("resource", resource_record, kind, 0),
    BAD("resource", resource_record, move, MOVE_MOVING + 1),
    BAD("resource", resource_record, move, MOVE_QUEUED), /* but a claim */
    BAD("resource", resource_record, priority, 0),
    BAD("resource", resource_record, priority, MOVE_LOW + 1),
    BAD_SMALL("resource", resource_record, priority, MOVE_LOW),
    BAD("resource", resource_record, claim_ends_ms, 0),
    BAD("resource", resource_record, claim_ends_ms, LONG_PAST),
    BAD("resource", resource_record, queued_ms, LONG_PAST),
    BAD("resource", resource_record, waits_since_ms, LONG_PAST),
    BAD("resource", resource_record, kind, MAILBOX_SHARED + 1),
    BAD("resource", resource_record, envelope_len, 0), /* but wrapped by one */
    BAD("resource", resource_record, envelope_len, ENVELOPE_KEY_BYTES - 1),
    BAD("resource", resource_record, envelope_len, ENVELOPE_KEY_BYTES + 1),
    BAD("resource", resource_record, envelope_len,
        ENVELOPE_PLAIN_KEY_BYTES + 1),
    BAD("resource", resource_record, envelope_len,
        ENVELOPE_PLAIN_KEY_BYTES - 1),
    BAD("resource", resource_record, earlier[2].envelope_len, 0),
    BAD("resource", resource_record, earlier[2].envelope_len,
        ENVELOPE_PLAIN_KEY_BYTES + 1),
    BAD_SMALL("resource", resource_record, envelope_len, ENVELOPE_KEY_BYTES),
    BAD("resource", resource_record, wrap_count, RESOURCE_WRAPS_MAX + 1),
    BAD("resource", resource_record, wrap_count, (size_t)1 << 32),
    BAD("resource", resource_record, wrap_count, SIZE_MAX),
    BAD("resource", resource_record, id[0], 0), /* no id at all */
    BAD("resource", resource_record, assigned_ms, LONG_PAST),
    BAD("resource", resource_record, effective_ms, LONG_PAST),
    BAD("resource", resource_record, created_ms, LONG_PAST),
    BAD("request", request_record, created_ms, LONG_PAST),
    BAD("onboarding", onboarding_record, scenario, 0),
    BAD("onboarding", onboarding_record, scenario, DEP_TYPE_SHAREPOINT_GEO),
    BAD("onboarding", onboarding_record, mode, 0),
    BAD("onboarding", onboarding_record, mode, ONBOARDING_ENABLE + 1),
    BAD("onboarding", onboarding_record, residency, 0),
    BAD("onboarding", onboarding_record, enablement, ENABLEMENT_REFUSED + 1),
    BAD("onboarding", onboarding_record, created_ms, LONG_PAST),
    BAD("onboarding", onboarding_record, check_count,
        ONBOARDING_CHECKS_MAX + 1),
    BAD("onboarding", onboarding_record, check_count, SIZE_MAX),
    BAD("onboarding", onboarding_record, checks[0].code, CHECK_LICENCE + 1),
    BAD("onboarding", onboarding_record, checks[1].key, 2),
    BAD("onboarding", onboarding_record, checks[1].status, 0),
    BAD("onboarding", onboarding_record, checks[1].evidence, 0),
    /* texts without an end: the last byte of a full one */
    BAD("tenant", tenant_record, name[HF_NAME_MAX_BYTES], 'x'),
    BAD("token", token_record, name[HF_NAME_MAX_BYTES], 'x'),
    BAD("token", token_record, label[32], 'x'),
    BAD("token", token_record, serial[16], 'x'),
    BAD("token", token_record, custody_domain[HF_NAME_MAX_BYTES], 'x'),
    BAD("customer_key", customer_key_record, name[HF_NAME_MAX_BYTES], 'x'),
    BAD("grant", grant_record, identity[HF_URI_MAX_BYTES], 'x'),
    BAD("dep", dep_record, name[HF_NAME_MAX_BYTES], 'x'),
    BAD("dep", dep_record, description[HF_DESCRIPTION_MAX_BYTES], 'x'),
    BAD("resource", resource_record, id[HF_RESOURCE_ID_MAX_BYTES], 'x'),
};

/* Ids that name the record. */
struct own_id {
    const char *record;
    size_t offset;
};

static const struct own_id own_ids[] = {
    {"tenant",                            offsetof(struct tenant_record,                id)},
    {"token",                                   offsetof(struct token_record,                                                                         id)},
    {"token",                                offsetof(struct token_record,    tenant)},
    {"customer_key",offsetof(struct customer_key_record,          id)},
    {"customer_key",                      offsetof(struct customer_key_record,                                                        tenant)},
    {"key_version",                                   offsetof(struct key_version_record,                                                                  key)},
    {"grant",                            offsetof(struct grant_record,                 key)},
    {"dep",offsetof(struct dep_record,id)},
    {"dep",                             offsetof(struct dep_record,                  tenant)},
    {"generation",                                   offsetof(struct generation_record,                                                                           tenant)},
    {"generation",                                offsetof(struct generation_record,                                                                                                                                       dep)},
    {"ak_token",offsetof(struct ak_token_record, id)},
    {"resource",                        offsetof(struct resource_record, tenant)},
    {"request",                                   offsetof(struct request_record,                                                                    tenant)},
    {"seals",                               offsetof(struct seals_record,dep)},
    {"name",                        0                                                                },
};

static const struct record_case *case_of(const char *name)
{
    for (size_t i = 0; i < record_case_count; i++) {
        if (strcmp(record_cases[i].name, name) == 0) {
            return &record_cases[i];
        }
    }
    fail_msg("no record %s", name);
    return NULL;
}

static void assert_refused(const struct record_case *of, const void *sample,
                           const char *field)
{
    struct record record;
    struct record before;
    memset(&record, 0x5a, sizeof record);
    memset(&before, 0x5a, sizeof before);
    enum hf_status status = of->encode(sample, &record);
    if (status != HF_E_INVALID) {
        fail_msg("%s.%s: %s", of->name, field, hf_status_name(status));
    }
    assert_memory_equal(&record, &before, sizeof record); /* untouched */
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct bad_value *bad = &numbers[i];
        const struct record_case *of = case_of(bad->record);
        union room sample;
        record_case_sample(of, !bad->from_smallest, &sample);
        /* little endian: the low bytes are the field */
        memcpy(sample.bytes + bad->offset, &bad->value, bad->size);
        assert_refused(of, &sample, bad->field);
    }
}

static void nil_ids_in_keys_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof own_ids / sizeof own_ids[0]; i++) {
        const struct record_case *of = case_of(own_ids[i].record);
        union room sample;
        record_case_sample(of, true, &sample);
        memset(sample.bytes + own_ids[i].offset, 0, HF_ID_BYTES);
        assert_refused(of, &sample, "id");
    }
}

/* Stored numbers: the store may not include the token's port, so its own bound
 * is held to it here. */
static void suites_agree_with_the_token_port(void **state)
{
    (void)state;
    assert_int_equal(TOKEN_SUITE_NONE, 0);
    assert_int_equal(TOKEN_SUITE_OAEP_SHA256, 1);
    assert_int_equal(TOKEN_SUITE_OAEP_SHA1, 2);
    assert_int_equal(TOKEN_SUITE_AES_KWP, RECORD_SUITE_LAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(nil_ids_in_keys_are_refused),
        cmocka_unit_test(suites_agree_with_the_token_port),
    };
    return cmocka_run_group_tests_name("record values", tests, NULL, NULL);
}
