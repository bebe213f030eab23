/* is the tenant told of an outage with the first use of the
 * availability key, and hourly after; do users stop at the limit, and the
 * service not; does the outage's beginning outlive the process; and what does
 * all that cost a call? */
#include "server/service/ak_audit.h"
#include "server/service/notices.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEASE_MS  60000
#define HOUR_MS   3600000LL
#define LIMIT_MS  (4 * HOUR_MS)
#define LIST_MAX  16
#define TIMEOUT_S 30

static struct world world;
static struct outcome made;

static int start_with(int64_t ak_lease_ms)
{
    world_start(&world);
    world.settings.ak_lease_ms = ak_lease_ms;
    assert_ok(world_restart(&world));
    world_ready(&world, LEASE_MS, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(0);
}

static int start_ak_lease(void **state)
{
    (void)state;
    return start_with(HF_AK_LEASE_MAX_MS);
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void pass(int64_t ms)
{
    __atomic_add_fetch(&world.now_ms, ms, __ATOMIC_SEQ_CST);
}

static void fail_both(enum hf_status status)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP, status);
    }
}

static void heal_both(void)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world.customer_fake[i]);
    }
}

static const char *unwrap_as(enum initiator initiator)
{
    struct outcome out;
    world_unwrap(
        &world, initiator == INITIATOR_SYSTEM ? &world.system : &world.workload,
        initiator, &out);
    return out.status == HF_OK ? "OK" : reason_word(out.problem.reason);
}

/* The events, the newest first, as one text. */
static const char *told(void)
{
    static char text[256];
    struct notice_view views[LIST_MAX];
    const struct notice_list_request request = {.tenant = WORLD_TENANT};
    struct notice_list list = {.views = views, .cap = LIST_MAX};
    assert_ok(notices_list(world.service, &world.admin, &request, &list,
                           &world.problem));
    text[0] = '\0';
    for (size_t i = 0; i < list.count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", i == 0 ? "" : " ",
                 notice_event_text(views[i].record.event));
    }
    return text;
}

/* The scheduler looks once a second by the clock, and then it has to write. */
static void expect_told(const char *events)
{
    for (int i = 0; i < TIMEOUT_S * 20 && strcmp(told(), events) != 0; i++) {
        pass(1000);
        usleep(50000);
    }
    assert_string_equal(told(), events);
}

static void expect_served_by_customer_key(void)
{
    size_t before = 0;
    size_t after = 1;
    for (int i = 0; i < TIMEOUT_S * 10 && after != before; i++) {
        before = world_audit_count(&world, AK_AUDIT_ACTIVITY);
        pass(300001); /* a probe is due */
        usleep(100000);
        assert_string_equal(unwrap_as(INITIATOR_SYSTEM), "OK");
        after = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    }
    assert_int_equal(after, before);
}

static void set_limit(int64_t limit_ms)
{
    struct dep_view view;
    struct dep_update update = {
        .tenant = WORLD_TENANT,
        .dep = WORLD_DEP,
        .set_fallback_limit = true,
        .fallback_limit_ms = limit_ms,
    };
    assert_ok(deps_update(world.service, &world.admin, &update, &view,
                          &world.problem));
    assert_true(view.record.fallback_limit_ms == limit_ms);
}

static int64_t outage_since(void)
{
    struct dep_view view;
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    return view.outage_since_ms;
}

static void begin_outage(void)
{
    pass(LEASE_MS + 1);
    fail_both(HF_E_UNREACHABLE);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
}

/* --- what is told -------------------------------------------------------- */

/* Within 60 s: with the result, in the transaction of the use's own record. */
static void the_tenant_is_told_with_the_first_use(void **state)
{
    char record[WORLD_AUDIT_BYTES];
    (void)state;
    assert_true(outage_since() == 0);
    begin_outage();
    int64_t now_ms = __atomic_load_n(&world.now_ms, __ATOMIC_SEQ_CST);
    assert_string_equal(told(), "BEGAN");
    assert_true(outage_since() == now_ms);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
    assert_int_equal(world_audit_count(&world, NOTICE_AUDIT_ACTIVITY), 1);
    world_audit_last(&world, NOTICE_AUDIT_ACTIVITY, record);
    assert_non_null(strstr(record, "\"event\":\"BEGAN\""));
    assert_string_equal(unwrap_as(INITIATOR_SYSTEM), "OK");
    assert_string_equal(told(), "BEGAN");
}

static void and_hourly_while_it_goes_on(void **state)
{
    (void)state;
    begin_outage();
    pass(HOUR_MS);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    expect_told("GOES_ON BEGAN");
    pass(HOUR_MS);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    expect_told("GOES_ON GOES_ON BEGAN");
    heal_both();
    expect_served_by_customer_key();
    expect_told("ENDED GOES_ON GOES_ON BEGAN");
    assert_true(outage_since() == 0);
}

/* No record, no availability key: the notice is part of that. */
static void what_cannot_be_told_is_not_opened(void **state)
{
    (void)state;
    pass(LEASE_MS + 1);
    fail_both(HF_E_UNREACHABLE);
    store_memory_fail_at(world.memory, STORE_MEMORY_COMMIT, 1, HF_E_IO);
    assert_string_equal(unwrap_as(INITIATOR_USER), "SERVICE_UNAVAILABLE");
    store_memory_fail_at(world.memory, STORE_MEMORY_ANY, 0, HF_OK);
    assert_string_equal(told(), "");
    assert_true(outage_since() == 0);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    assert_string_equal(told(), "BEGAN");
}

/* The customer meant it: nothing to be told that the customer did not do. */
static void a_revocation_is_no_outage(void **state)
{
    (void)state;
    pass(LEASE_MS + 1);
    fail_both(HF_E_DENIED);
    assert_string_equal(unwrap_as(INITIATOR_SYSTEM), "OK");
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
    assert_string_equal(told(), "");
    assert_true(outage_since() == 0);
    /* and during an outage ends none */
    fail_both(HF_E_UNREACHABLE);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    fail_both(HF_E_DENIED);
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_ACCESS_DENIED");
    pass(2000);
    usleep(500000);
    assert_true(outage_since() != 0);
    assert_string_equal(told(), "BEGAN");
}

/* The record of the first use is the only write of an AK lease's calls. */
static void later_calls_write_nothing(void **state)
{
    struct service_counters before;
    struct service_counters after;
    (void)state;
    begin_outage();
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 20; i++) {
        assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    }
    service_counters_get(world.service, &after);
    assert_true(after.store_writes == before.store_writes);
    assert_true(after.ak_uses == before.ak_uses);
    assert_string_equal(told(), "BEGAN");
}

/* --- the limit ----------------------------------------------------------- */

static void users_stop_at_the_limit_and_the_service_does_not(void **state)
{
    (void)state;
    set_limit(LIMIT_MS);
    begin_outage();
    pass(LIMIT_MS - 1);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    pass(1);
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_UNAVAILABLE");
    assert_string_equal(unwrap_as(INITIATOR_SYSTEM), "OK");
    expect_told("LIMIT_REACHED BEGAN");
    /* more time is given by whoever set the limit */
    set_limit(10 * LIMIT_MS);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    set_limit(LIMIT_MS);
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_UNAVAILABLE");
    set_limit(0);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
}

/* Not a call longer than the limit, though the lease has some seconds left. */
static void a_lease_does_not_outlast_the_limit(void **state)
{
    (void)state;
    set_limit(LIMIT_MS);
    begin_outage();
    pass(LIMIT_MS - 1);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    size_t uses = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    pass(1);
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_UNAVAILABLE");
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), uses);
}

/* Whoever restarts the service gives users no second term. */
static void the_outage_outlives_the_process(void **state)
{
    (void)state;
    set_limit(LIMIT_MS);
    begin_outage();
    int64_t since_ms = outage_since();
    pass(LIMIT_MS / 2);
    assert_ok(world_restart(&world));
    assert_true(outage_since() == since_ms);
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    pass(LIMIT_MS / 2);
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_UNAVAILABLE");
    assert_ok(world_restart(&world));
    assert_string_equal(unwrap_as(INITIATOR_USER), "KEY_UNAVAILABLE");
    assert_string_equal(unwrap_as(INITIATOR_SYSTEM), "OK");
    heal_both();
    expect_served_by_customer_key();
    assert_string_equal(unwrap_as(INITIATOR_USER), "OK");
    for (int i = 0; i < TIMEOUT_S * 20 && outage_since() != 0; i++) {
        pass(1000);
        usleep(50000);
    }
    assert_true(outage_since() == 0);
    /* and the next outage has a term of its own */
    assert_ok(world_restart(&world));
    assert_true(outage_since() == 0);
    begin_outage();
    assert_true(outage_since() > since_ms + LIMIT_MS);
}

/* What is not known after a start is no answer: an outage that nobody asks
 * about goes on. */
static void a_restart_ends_no_outage(void **state)
{
    (void)state;
    set_limit(LIMIT_MS);
    begin_outage();
    world.settings.probe_ms = INT64_MAX;
    assert_ok(world_restart(&world));
    pass(LIMIT_MS);
    expect_told("LIMIT_REACHED BEGAN"); /* and not that it ended */
    assert_true(outage_since() != 0);
}

static void limits_have_a_range(void **state)
{
    static const int64_t bad[] = {-1, 1, FALLBACK_LIMIT_MIN_MS - 1,
                                  FALLBACK_LIMIT_MAX_MS + 1};
    struct dep_view view;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct dep_update update = {
            .tenant = WORLD_TENANT,
            .dep = WORLD_DEP,
            .set_fallback_limit = true,
            .fallback_limit_ms = bad[i],
        };
        assert_status(deps_update(world.service, &world.admin, &update, &view,
                                  &world.problem),
                      HF_E_INVALID);
        assert_string_equal(world.problem.field, "dep.fallback_limit");
        const struct dep_create create = {
            .tenant = WORLD_TENANT,
            .type = DEP_TYPE_EXCHANGE_MAILBOX,
            .name = "other",
            .keys = {"ck1", "ck2"},
            .workload_identity = "spiffe://x/y",
            .residency = RESIDENCY_TOKEN,
            .key_lease_ms = -1,
            .fallback_limit_ms = bad[i],
        };
        assert_status(deps_create(world.service, &world.admin, &create, &view,
                                  &world.problem),
                      HF_E_INVALID);
        assert_string_equal(world.problem.field, "fallback_limit");
    }
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_true(view.record.fallback_limit_ms == 0);
}

/* --- the list ------------------------------------------------------------ */

static void lists_are_paged_and_for_those_who_may(void **state)
{
    struct notice_view view;
    struct notice_list_request request = {.tenant = WORLD_TENANT};
    struct notice_list list = {.views = &view, .cap = 1};
    (void)state;
    set_limit(HOUR_MS);
    begin_outage();
    pass(HOUR_MS);
    expect_told("LIMIT_REACHED BEGAN");
    assert_ok(notices_list(world.service, &world.auditor, &request, &list,
                           &world.problem));
    assert_int_equal(view.record.event, NOTICE_LIMIT_REACHED);
    assert_true(view.record.limit_ms == HOUR_MS);
    assert_string_equal(view.dep_name, WORLD_DEP);
    assert_true(list.next[0] != '\0');
    memcpy(request.page.token, list.next, sizeof request.page.token);
    snprintf(request.dep, sizeof request.dep, "%s", WORLD_DEP);
    assert_ok(notices_list(world.service, &world.admin, &request, &list,
                           &world.problem));
    assert_int_equal(view.record.event, NOTICE_BEGAN);
    assert_string_equal(list.next, "");
    request.page.token[0] = 'x';
    assert_status(notices_list(world.service, &world.admin, &request, &list,
                               &world.problem),
                  HF_E_INVALID);
    request.page.token[0] = '\0';
    snprintf(request.dep, sizeof request.dep, "nobody");
    assert_status(notices_list(world.service, &world.admin, &request, &list,
                               &world.problem),
                  HF_E_NOT_FOUND);
    assert_status(notices_list(world.service, &world.workload, &request, &list,
                               &world.problem),
                  HF_E_DENIED);
}

static void old_ones_go(void **state)
{
    (void)state;
    begin_outage();
    heal_both();
    expect_served_by_customer_key();
    expect_told("ENDED BEGAN");
    pass(NOTICES_KEPT_MS);
    set_limit(HOUR_MS);
    begin_outage();
    assert_string_equal(told(), "BEGAN ENDED BEGAN");
    pass(HOUR_MS);
    expect_told("LIMIT_REACHED BEGAN");
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start, stop)
#define AK_LEASE(test)                                                         \
    cmocka_unit_test_setup_teardown(test, start_ak_lease, stop)
    const struct CMUnitTest tests[] = {
        PLAIN(the_tenant_is_told_with_the_first_use),
        PLAIN(and_hourly_while_it_goes_on),
        PLAIN(what_cannot_be_told_is_not_opened),
        PLAIN(a_revocation_is_no_outage),
        PLAIN(users_stop_at_the_limit_and_the_service_does_not),
        PLAIN(the_outage_outlives_the_process),
        PLAIN(a_restart_ends_no_outage),
        PLAIN(limits_have_a_range),
        PLAIN(lists_are_paged_and_for_those_who_may),
        PLAIN(old_ones_go),
        AK_LEASE(later_calls_write_nothing),
        AK_LEASE(a_lease_does_not_outlast_the_limit),
    };
    return cmocka_run_group_tests_name("service_notices", tests, NULL, NULL);
}
