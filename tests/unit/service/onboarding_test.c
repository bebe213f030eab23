/* Does a production tenant get to a scenario by a fresh passing VALIDATE and an
 * ENABLE, and by nothing else? */
#include "hsm/base/check.h"

#include "server/service/onboardings.h"
#include "server/service/purges.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000ll

static struct world world;
static struct onboarding_view seen;

static void be_production(bool production)
{
    struct tenant_update update = {
        .name = WORLD_TENANT, .set_production = true, .production = production};
    struct tenant_view view;
    assert_ok(tenants_update(world.service, &world.operator_, &update, &view,
                             &world.problem));
}

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world.enroll_hardware = true;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    be_production(true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static struct onboarding_submit ask(enum onboarding_mode mode)
{
    struct onboarding_submit request = {
        .tenant = WORLD_TENANT,
        .scenario = DEP_TYPE_EXCHANGE_MAILBOX,
        .mode = mode,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
    };
    memcpy(request.identity, world.workload.identity, sizeof request.identity);
    return request;
}

static enum hf_status submit(const struct onboarding_submit *request)
{
    memset(&seen, 0, sizeof seen);
    return onboardings_submit(world.service, &world.admin, request, &seen,
                              &world.problem);
}

static enum hf_status run(enum onboarding_mode mode)
{
    const struct onboarding_submit request = ask(mode);
    return submit(&request);
}

static void validated(bool passed)
{
    assert_ok(run(ONBOARDING_VALIDATE));
    assert_int_equal(seen.record.passed, passed);
    assert_int_equal(seen.record.enablement, ENABLEMENT_NOT_ASKED);
}

static void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

static enum hf_status create(const char *name, enum dep_type type)
{
    struct dep_create request = {
        .tenant = WORLD_TENANT,
        .type = type,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = -1,
    };
    struct dep_view view;
    snprintf(request.name, sizeof request.name, "%s", name);
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    return deps_create(world.service, &world.admin, &request, &view,
                       &world.problem);
}

static void move_clock(int64_t by_ms)
{
    __atomic_add_fetch(&world.now_ms, by_ms, __ATOMIC_SEQ_CST);
}

static const struct onboarding_check *finding(enum check_code code, int key)
{
    for (size_t i = 0; i < seen.record.check_count; i++) {
        if (seen.record.checks[i].code == code &&
            seen.record.checks[i].key == key) {
            return &seen.record.checks[i];
        }
    }
    fail_msg("no %s", check_code_text(code));
    return NULL;
}

static void a_production_tenant_needs_the_scenario(void **state)
{
    (void)state;
    assert_refused(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX),
                   "SCENARIO_NOT_ENABLED");
    validated(true);
    assert_refused(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX),
                   "SCENARIO_NOT_ENABLED");
    assert_ok(run(ONBOARDING_ENABLE));
    assert_int_equal(seen.record.enablement, ENABLEMENT_ENABLED);
    assert_ok(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX));
    /* of that type alone */
    assert_refused(create("all", DEP_TYPE_MULTI_WORKLOAD),
                   "SCENARIO_NOT_ENABLED");
    assert_ok(world_restart(&world));
    assert_ok(create("dep3", DEP_TYPE_EXCHANGE_MAILBOX));
    assert_refused(create("all", DEP_TYPE_MULTI_WORKLOAD),
                   "SCENARIO_NOT_ENABLED");
}

static void another_tenant_does_not(void **state)
{
    (void)state;
    be_production(false);
    assert_ok(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX));
    validated(true); /* and may onboard all the same */
    assert_ok(run(ONBOARDING_ENABLE));
    be_production(true);
    assert_ok(create("dep3", DEP_TYPE_EXCHANGE_MAILBOX));
}

/* nothing but that it can be looked up. */
static void validate_changes_nothing(void **state)
{
    struct onboarding_submit request = ask(ONBOARDING_VALIDATE);
    struct onboarding_view again;
    char id[HF_ID_TEXT];
    struct customer_key_view before;
    struct customer_key_view after;
    (void)state;
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &before, &world.problem));
    snprintf(request.mutation.request_id, sizeof request.mutation.request_id,
             "0b9c2f1e-7a53-4d28-9a4e-6f1b2c3d4e5f");
    assert_ok(submit(&request));
    id_format(&seen.record.id, id);
    assert_ok(world_restart(&world));
    assert_ok(onboardings_get(world.service, &world.auditor, WORLD_TENANT, id,
                              &again, &world.problem));
    assert_memory_equal(&again.record, &seen.record, sizeof again.record);
    assert_ok(submit(&request)); /* the same request: nothing twice */
    assert_true(id_equal(&again.record.id, &seen.record.id));
    assert_int_equal(world_audit_count(&world, "SubmitOnboardingRequest"), 1);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &after, &world.problem));
    assert_string_equal(before.etag, after.etag);
    assert_refused(onboardings_get(world.service, &world.auditor, WORLD_TENANT,
                                   "not-an-id", &again, &world.problem),
                   "NOT_FOUND");
}

/* */
static void enable_needs_a_validation_of_a_day(void **state)
{
    (void)state;
    assert_refused(run(ONBOARDING_ENABLE), "VALIDATION_REQUIRED");
    validated(true);
    move_clock(24 * HOUR_MS + 1);
    assert_refused(run(ONBOARDING_ENABLE), "VALIDATION_REQUIRED");
    validated(true);
    move_clock(24 * HOUR_MS);
    assert_ok(world_restart(&world));
    assert_ok(run(ONBOARDING_ENABLE));
    /* a refusal is kept nowhere */
    assert_int_equal(world_audit_count(&world, "SubmitOnboardingRequest"), 3);
}

static void enable_needs_the_newest_to_have_passed(void **state)
{
    (void)state;
    validated(true);
    world_revoke(&world, "ck2", &world.workload);
    validated(false);
    world_grant(&world, "ck2", &world.workload,
                PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP);
    assert_refused(run(ONBOARDING_ENABLE), "VALIDATION_REQUIRED");
    validated(true);
    assert_ok(run(ONBOARDING_ENABLE));
}

/* of the same inputs; each one other is another. */
static void enable_needs_the_same_inputs(void **state)
{
    struct onboarding_submit other = ask(ONBOARDING_ENABLE);
    (void)state;
    validated(true);
    other.scenario = DEP_TYPE_MULTI_WORKLOAD;
    assert_refused(submit(&other), "VALIDATION_REQUIRED");
    other = ask(ONBOARDING_ENABLE);
    other.residency = RESIDENCY_MEMORY;
    assert_refused(submit(&other), "VALIDATION_REQUIRED");
    other = ask(ONBOARDING_ENABLE);
    memcpy(other.identity, world.system.identity, sizeof other.identity);
    assert_refused(submit(&other), "VALIDATION_REQUIRED");
    other = ask(ONBOARDING_ENABLE);
    memcpy(other.keys[0], "ck2", 4);
    memcpy(other.keys[1], "ck1", 4);
    assert_refused(submit(&other), "VALIDATION_REQUIRED");
    other = ask(ONBOARDING_ENABLE);
    snprintf(other.domains[0], sizeof other.domains[0], "east");
    assert_refused(submit(&other), "VALIDATION_REQUIRED");
    world_key_version(&world, 0, "ck1", 2);
    assert_refused(run(ONBOARDING_ENABLE), "VALIDATION_REQUIRED");
    validated(true);
    assert_int_equal(seen.record.versions[0], 2);
    /* what was asked with others since is no matter */
    other = ask(ONBOARDING_VALIDATE);
    memcpy(other.identity, world.stranger.identity, sizeof other.identity);
    assert_ok(submit(&other));
    assert_false(seen.record.passed);
    assert_ok(run(ONBOARDING_ENABLE));
}

/* it runs the checks again. */
static void enable_runs_the_checks_again(void **state)
{
    (void)state;
    validated(true);
    world_revoke(&world, "ck2", &world.workload);
    assert_ok(run(ONBOARDING_ENABLE));
    assert_false(seen.record.passed);
    assert_int_equal(seen.record.enablement, ENABLEMENT_REFUSED);
    assert_refused(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX),
                   "SCENARIO_NOT_ENABLED");
}

/* every code, and where each is known from. */
static void every_check_is_reported(void **state)
{
    bool told[VALIDATION_CHECK_COUNT] = {false};
    (void)state;
    validated(true);
    assert_int_equal(seen.record.check_count, 45);
    for (size_t i = 0; i < seen.record.check_count; i++) {
        const struct onboarding_check *check = &seen.record.checks[i];
        told[check->code] = true;
        assert_in_range(check->evidence, EVIDENCE_MEASURED, EVIDENCE_DECLARED);
        assert_true(check->text[0] != '\0');
    }
    for (size_t i = 0; i < VALIDATION_CHECK_COUNT; i++) {
        assert_true(told[i]);
    }
    assert_int_equal(finding(CHECK_ROUND_TRIP, 0)->evidence, EVIDENCE_MEASURED);
    assert_int_equal(finding(CHECK_HSM_BACKED, 0)->evidence, EVIDENCE_DECLARED);
}

/* officers that can approve a purge; a warning without, PASS with. */
static void approvers_are_asked_for(void **state)
{
    struct officers_set officers = {.tenant = WORLD_TENANT, .count = 1};
    struct officer_list list;
    (void)state;
    validated(true);
    assert_int_equal(finding(CHECK_APPROVERS_RECORDED, -1)->status, CHECK_WARN);
    snprintf(officers.officers[0].identity,
             sizeof officers.officers[0].identity,
             "spiffe://holdfast.test/contoso/officer");
    snprintf(officers.officers[0].name, sizeof officers.officers[0].name,
             "Officer");
    officers.officers[0].public_key = bytes_of_text(world.custodian_pem);
    assert_ok(officers_set(world.service, &world.admin, &officers, &list,
                           &world.problem));
    validated(true);
    assert_int_equal(finding(CHECK_APPROVERS_RECORDED, -1)->status, CHECK_PASS);
}

/* the domains that are stated are held against the enrolments. */
static void stated_domains_are_checked(void **state)
{
    struct onboarding_submit request = ask(ONBOARDING_VALIDATE);
    (void)state;
    snprintf(request.domains[0], sizeof request.domains[0], "East");
    snprintf(request.domains[1], sizeof request.domains[1], "west");
    assert_ok(submit(&request));
    assert_true(seen.record.passed);
    snprintf(request.domains[1], sizeof request.domains[1], "north");
    assert_ok(submit(&request));
    assert_false(seen.record.passed);
    assert_int_equal(finding(CHECK_TOKEN_IN_DOMAIN, 1)->status, CHECK_FAIL);
    assert_int_equal(finding(CHECK_TOKEN_IN_DOMAIN, 0)->status, CHECK_PASS);
}

static void who_may_ask(void **state)
{
    struct onboarding_submit request = ask(ONBOARDING_VALIDATE);
    struct caller exchange = world.admin;
    (void)state;
    exchange.roles = ROLE_EXCHANGE_ADMIN;
    assert_ok(onboardings_submit(world.service, &exchange, &request, &seen,
                                 &world.problem));
    assert_refused(onboardings_submit(world.service, &world.compliance,
                                      &request, &seen, &world.problem),
                   "ROLE_REQUIRED");
    request.scenario = DEP_TYPE_MULTI_WORKLOAD;
    assert_refused(onboardings_submit(world.service, &exchange, &request, &seen,
                                      &world.problem),
                   "ROLE_REQUIRED");
    /* */
    request.scenario = DEP_TYPE_SHAREPOINT_GEO;
    assert_refused(submit(&request), "FIELD_INVALID");
    request = ask(ONBOARDING_VALIDATE);
    request.identity[0] = '\0';
    assert_refused(submit(&request), "FIELD_INVALID");
    request = ask(ONBOARDING_VALIDATE);
    memcpy(request.keys[1], "none", 5);
    assert_refused(submit(&request), "NOT_FOUND");
}

static void validate_only_keeps_nothing(void **state)
{
    struct onboarding_submit request = ask(ONBOARDING_VALIDATE);
    (void)state;
    request.mutation.validate_only = true;
    assert_ok(submit(&request));
    assert_true(seen.record.passed);
    assert_refused(run(ONBOARDING_ENABLE), "VALIDATION_REQUIRED");
    validated(true);
    request.mode = ONBOARDING_ENABLE;
    assert_ok(submit(&request));
    assert_refused(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX),
                   "SCENARIO_NOT_ENABLED");
}

/* All of them newest first, page by page; how many of the newest. */
static size_t listed(size_t page_size, struct hf_id *out_last)
{
    static struct onboarding_view views[40];
    struct onboarding_list list = {.views = views, .cap = HF_COUNT(views)};
    struct page_request page = {.size = (uint32_t)page_size};
    uint64_t number = UINT64_MAX;
    size_t count = 0;
    do {
        assert_ok(onboardings_list(world.service, &world.operator_,
                                   WORLD_TENANT, &page, &list, &world.problem));
        for (size_t i = 0; i < list.count; i++) {
            assert_true(views[i].record.number < number);
            number = views[i].record.number;
            *out_last = views[i].record.id;
        }
        count += list.count;
        memcpy(page.token, list.next, sizeof page.token);
    } while (list.next[0] != '\0');
    return count;
}

/* Sealed records never go: the newest ones take the place of the oldest, and
 * what enabled the scenario stays. */
static void the_newest_are_kept(void **state)
{
    struct hf_id last;
    struct hf_id enabling;
    struct page_request page = {.size = 1};
    struct onboarding_view view;
    struct onboarding_list list = {.views = &view, .cap = 1};
    (void)state;
    validated(true);
    assert_ok(run(ONBOARDING_ENABLE));
    enabling = seen.record.id;
    for (int i = 0; i < ONBOARDING_RING + 3; i++) {
        validated(true);
    }
    assert_int_equal(listed(5, &last), ONBOARDING_RING + 1);
    assert_true(id_equal(&last, &enabling));
    assert_ok(world_restart(&world));
    assert_int_equal(listed(40, &last), ONBOARDING_RING + 1);
    assert_true(id_equal(&last, &enabling));
    assert_ok(create("dep2", DEP_TYPE_EXCHANGE_MAILBOX));
    snprintf(page.token, sizeof page.token,
             "0b9c2f1e-7a53-4d28-9a4e-6f1b2c3d4e5f");
    assert_refused(onboardings_list(world.service, &world.operator_,
                                    WORLD_TENANT, &page, &list, &world.problem),
                   "FIELD_INVALID");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_production_tenant_needs_the_scenario),
        TEST(another_tenant_does_not),
        TEST(validate_changes_nothing),
        TEST(enable_needs_a_validation_of_a_day),
        TEST(enable_needs_the_newest_to_have_passed),
        TEST(enable_needs_the_same_inputs),
        TEST(enable_runs_the_checks_again),
        TEST(every_check_is_reported),
        TEST(approvers_are_asked_for),
        TEST(stated_domains_are_checked),
        TEST(who_may_ask),
        TEST(validate_only_keeps_nothing),
        TEST(the_newest_are_kept),
    };
#undef TEST
    return cmocka_run_group_tests_name("onboarding", tests, NULL, NULL);
}
