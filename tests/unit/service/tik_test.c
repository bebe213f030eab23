/* Is the cached TIK what 6.3 says: two staggered unwraps, a life of a day,
 * refreshed two hours ahead, told of when that fails, deaf to revocation unless
 * wanted otherwise, and never opened by the availability key (R-6.17 to
 * table 6-C, R-15.4)? */
#include "hsm/base/check.h"

#include "server/service/core.h"
#include "server/service/geo_entries.h"

#include "tests/unit/service/geo_world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MINUTE_MS 60000ll
#define HOUR_MS   (60 * MINUTE_MS)
#define ALERT     "TIK_REFRESH_FAILING"
#define SITE      "site-000"
#define SITES     2
#define WAIT_US   300000 /* more than a round of the scheduler */

static struct outcome made[SITES];

static void begin(bool evict)
{
    const struct geo_pair keys = {
        {"ck1", "ck2"},
        {1,     1    }
    };
    struct operation_view operation;
    geo_world_start();
    geo_fill(SITES, made);
    assert_ok(geo_register_by(&world.admin, false, &keys, evict, &operation));
    geo_wait(&operation);
    geo_assert_all_open(SITES, made);
}

static int start(void **state)
{
    (void)state;
    begin(false);
    return 0;
}

static int start_evicting(void **state)
{
    (void)state;
    begin(true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static uint64_t asked(size_t token)
{
    return token_fake_calls(world.customer_fake[token], TOKEN_OP_UNWRAP);
}

static uint64_t asked_both(void)
{
    return asked(0) + asked(1);
}

static void flush(void)
{
    const struct geo_flush request = {.tenant = WORLD_TENANT, .geo = GEO};
    struct geo_view view;
    assert_ok(geos_flush(world.service, &world.admin, &request, &view,
                         &world.problem));
    assert_false(view.tik_cached);
}

static void unwrap_ok(void)
{
    struct outcome out;
    geo_unwrap(&world.files, SITE, INITIATOR_USER, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made[0].key, HF_KEY_BYTES);
}

static void refused(const char *reason)
{
    struct outcome out;
    geo_unwrap(&world.files, SITE, INITIATOR_USER, &out);
    geo_assert_refused(&out, reason);
}

static void revoke_both(void)
{
    world_revoke(&world, "ck1", &world.files);
    world_revoke(&world, "ck2", &world.files);
}

/* --- the cache ---------------------------------------------------------- */

/* Table 6-C, row 1: while it is fresh nobody is asked, and a call is
 * one operation of the hot lane. */
static void a_fresh_entry_asks_nobody(void **state)
{
    struct service_counters before;
    struct service_counters after;
    (void)state;
    unwrap_ok();
    uint64_t calls = asked_both();
    geo_pass(21 * HOUR_MS);
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 20; i++) {
        unwrap_ok();
    }
    service_counters_get(world.service, &after);
    assert_int_equal(asked_both(), calls);
    assert_int_equal(after.hot_calls - before.hot_calls, 20);
    assert_int_equal(after.store_writes, before.store_writes);
}

/* a revocation leaves the entry, for the day it has
 * left; then nobody can read; and a grant is enough to read again. */
static void a_revocation_waits_for_the_entrys_end(void **state)
{
    struct outcome out;
    (void)state;
    revoke_both();
    unwrap_ok();
    /* but who never held unwrap is a stranger, cached or not */
    const struct caller stranger = {
        .identity = "spiffe://holdfast.test/contoso/other",
        .tenant = WORLD_TENANT,
        .roles = ROLE_WORKLOAD_SHAREPOINT,
    };
    geo_unwrap(&stranger, SITE, INITIATOR_USER, &out);
    geo_assert_refused(&out, "KEY_ACCESS_DENIED");
    geo_pass(23 * HOUR_MS);
    unwrap_ok();
    geo_pass(2 * HOUR_MS);
    refused("KEY_ACCESS_DENIED");
    world_grant(&world, "ck2", &world.files,
                PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP);
    unwrap_ok();
    assert_int_equal(geo_ak_uses(), 1); /* the proof at registration */
}

/* table 6-C, rows 4 to 6: whatever fails, the availability key is no
 * answer, to no initiator. */
static void no_failure_leads_to_the_availability_key(void **state)
{
    static const struct {
        enum hf_status first;
        enum hf_status second;
        const char *reason;
    } rows[] = {
        {HF_E_UNREACHABLE, HF_E_UNREACHABLE, "KEY_UNAVAILABLE"    },
        {HF_E_TIMEOUT,     HF_E_UNREACHABLE, "KEY_UNAVAILABLE"    },
        {HF_E_DENIED,      HF_E_UNREACHABLE, "KEY_ACCESS_DENIED"  },
        {HF_E_UNREACHABLE, HF_E_DENIED,      "KEY_ACCESS_DENIED"  },
        {HF_E_DENIED,      HF_E_DENIED,      "KEY_ACCESS_DENIED"  },
        {HF_E_NOT_FOUND,   HF_E_DENIED,      "KEY_ACCESS_DENIED"  },
        {HF_E_BAD_BLOB,    HF_E_BAD_BLOB,    "BLOB_INVALID"       },
        {HF_E_BAD_BLOB,    HF_E_UNREACHABLE, "KEY_UNAVAILABLE"    },
        {HF_E_RESOURCES,   HF_E_UNREACHABLE, "SERVICE_UNAVAILABLE"},
    };
    struct caller system = world.files;
    (void)state;
    system.roles |= ROLE_SYSTEM_WORKLOAD;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        struct outcome out;
        flush();
        token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP,
                            rows[i].first);
        token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                            rows[i].second);
        refused(rows[i].reason);
        geo_unwrap(&system, SITE, INITIATOR_SYSTEM, &out);
        geo_assert_refused(&out, rows[i].reason);
        token_fake_clear(world.customer_fake[0]);
        token_fake_clear(world.customer_fake[1]);
        geo_pass(MINUTE_MS); /* the probes of open breakers close them */
        usleep(2 * WAIT_US);
    }
    assert_int_equal(geo_ak_uses(), 1);
    assert_int_equal(world_audit_count(&world, "Fallback to Availability Key"),
                     0);
    unwrap_ok();
}

/* --- the race ----------------------------------------------------------- */

static void *unwrap_thread(void *argument)
{
    geo_unwrap(&world.files, SITE, INITIATOR_USER, argument);
    return NULL;
}

/* One call whose first token holds still: *out_first is that one. */
static pthread_t begin_race(struct outcome *out, size_t *out_first)
{
    pthread_t thread;
    flush();
    token_fake_hold(world.customer_fake[0], TOKEN_OP_UNWRAP);
    token_fake_hold(world.customer_fake[1], TOKEN_OP_UNWRAP);
    assert_int_equal(pthread_create(&thread, NULL, unwrap_thread, out), 0);
    for (int i = 0; i < 20000; i++) {
        for (size_t token = 0; token < 2; token++) {
            if (token_fake_held(world.customer_fake[token], TOKEN_OP_UNWRAP) >
                0) {
                *out_first = token;
                return thread;
            }
        }
        usleep(1000);
    }
    fail_msg("nobody was asked");
    return thread;
}

static uint64_t objects_of(size_t token)
{
    struct token_counters counters;
    token_counters_get(&world.customer[token], &counters);
    return counters.objects;
}

/* the second is asked 50 ms after the first, by the clock; the
 * first to succeed wins; what comes late is wiped. */
static void the_second_follows_and_the_late_one_is_wiped(void **state)
{
    struct outcome out;
    size_t first = 0;
    (void)state;
    pthread_t thread = begin_race(&out, &first);
    size_t second = 1 - first;
    geo_pass(49);
    usleep(100000); /* the clock of the service stands still */
    assert_int_equal(
        token_fake_held(world.customer_fake[second], TOKEN_OP_UNWRAP), 0);
    geo_pass(1);
    assert_true(token_fake_wait_held(world.customer_fake[second],
                                     TOKEN_OP_UNWRAP, 1, 5000));
    token_fake_release(world.customer_fake[second], TOKEN_OP_UNWRAP);
    pthread_join(thread, NULL);
    assert_ok(out.status);
    assert_memory_equal(out.key, made[0].key, HF_KEY_BYTES);
    uint64_t kept = objects_of(first);
    token_fake_release(world.customer_fake[first], TOKEN_OP_UNWRAP);
    for (int i = 0; i < 20000 && objects_of(first) != kept; i++) {
        usleep(1000);
    }
    assert_int_equal(objects_of(first), kept); /* none is left of it */
    unwrap_ok();
}

/* a fast failure does not win: it releases the second at once. */
static void a_fast_failure_releases_the_second(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        size_t bad = (size_t)(i % 2);
        flush();
        geo_pass(60000); /* breakers close */
        token_fake_fail_all(world.customer_fake[bad], TOKEN_OP_UNWRAP,
                            HF_E_DENIED);
        unwrap_ok(); /* with a clock that stands still */
        token_fake_clear(world.customer_fake[bad]);
    }
}

/* the order is random. Both keys are first within R-6.5's bounds. */
static void either_key_may_be_first(void **state)
{
    uint64_t before[2] = {asked(0), asked(1)};
    (void)state;
    for (int i = 0; i < 200; i++) {
        flush();
        unwrap_ok();
    }
    /* the winner is the only one asked: the clock stands still */
    uint64_t firsts = asked(0) - before[0];
    assert_int_equal(firsts + asked(1) - before[1], 200);
    assert_in_range(firsts, 60, 140);
}

/* --- ahead of expiry ---------------------------------------------------- */

static int64_t expires_ms(void)
{
    struct geo_view view;
    geo_look(&view);
    assert_true(view.tik_cached);
    return view.tik_expires_ms;
}

/* two hours before its end, one success begins a new life. */
static void the_window_renews_the_entry(void **state)
{
    (void)state;
    flush();
    unwrap_ok();
    int64_t before = expires_ms();
    uint64_t calls = asked_both();
    geo_pass(22 * HOUR_MS - 1000);
    usleep(WAIT_US);
    assert_int_equal(asked_both(), calls);
    geo_pass(1000);
    for (int i = 0; i < 1000 && expires_ms() == before; i++) {
        usleep(20000);
    }
    assert_int_equal(expires_ms(), before + 22 * HOUR_MS);
    assert_int_equal(asked_both(), calls + 1);
    unwrap_ok();
}

/* How often in a row the refresh of the entry has failed. */
static uint32_t failures(void)
{
    struct catalogue *catalogue = &world.service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    const struct tenant_entry *tenant =
        catalogue_tenant(catalogue, WORLD_TENANT);
    const struct dep_entry *dep = catalogue_geo(catalogue, tenant, GEO)->dep;
    struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    pthread_mutex_lock(&generation->lock);
    uint32_t count = generation->tik.failures;
    pthread_mutex_unlock(&generation->lock);
    pthread_rwlock_unlock(&catalogue->lock);
    return count;
}

static void wait_failures(uint32_t count)
{
    for (int i = 0; i < 2000 && failures() < count; i++) {
        usleep(10000);
    }
    assert_int_equal(failures(), count);
}

/* A wrong key under CKR_OK is known by its check: the cached TIK is over, the
 * other customer key is asked, and the first one is not, by this call. When
 * both lie nobody gets a key, and the availability key is not asked.
 */
static void a_token_that_lies_is_found_out(void **state)
{
    (void)state;
    uint64_t of_ak = geo_ak_uses();
    for (int i = 0; i < 8; i++) {
        flush();
        unwrap_ok();
        token_fake_lie(world.customer_fake[i % 2], true);
        unwrap_ok();
        unwrap_ok();
        token_fake_lie(world.customer_fake[i % 2], false);
    }
    token_fake_lie(world.customer_fake[0], true);
    token_fake_lie(world.customer_fake[1], true);
    refused("BLOB_INVALID");
    flush();
    refused("BLOB_INVALID");
    assert_int_equal(geo_ak_uses(), of_ak);
    token_fake_lie(world.customer_fake[0], false);
    token_fake_lie(world.customer_fake[1], false);
    unwrap_ok();
}

static void wait_alerts(size_t count)
{
    for (int i = 0; i < 2000 && world_audit_count(&world, ALERT) < count; i++) {
        usleep(10000);
    }
    assert_int_equal(world_audit_count(&world, ALERT), count);
}

/* served all the while; tried every five minutes; somebody is
 * told after the third failure, and again before the end; then it is over. */
static void failures_are_told_before_the_end(void **state)
{
    struct geo_view view;
    (void)state;
    flush();
    unwrap_ok();
    geo_outage(true);
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_OPEN, HF_OK);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_OPEN, HF_OK);
    geo_pass(22 * HOUR_MS);
    wait_failures(1);
    geo_pass(6 * MINUTE_MS);
    wait_failures(2);
    assert_int_equal(world_audit_count(&world, ALERT), 0);
    geo_pass(6 * MINUTE_MS);
    wait_failures(3);
    wait_alerts(1);
    geo_look(&view);
    assert_true(view.tik_refresh_failing);
    unwrap_ok();
    geo_pass(70 * MINUTE_MS);
    wait_failures(4);
    geo_pass(10 * MINUTE_MS); /* 28 minutes are left */
    wait_failures(5);
    wait_alerts(2);
    unwrap_ok();
    geo_pass(30 * MINUTE_MS);
    refused("KEY_UNAVAILABLE");
    geo_outage(false);
    assert_int_equal(geo_ak_uses(), 1);
}

/* both refuse in the window, and the geo does not evict: it is served
 * to its end. */
static void a_refused_refresh_evicts_nothing(void **state)
{
    (void)state;
    flush();
    unwrap_ok();
    revoke_both();
    geo_pass(22 * HOUR_MS);
    usleep(WAIT_US);
    unwrap_ok();
}

/* with evict_on_denied it is dropped at once, by a revocation through
 * the service and by one in the tokens that a refresh finds. */
static void a_geo_that_evicts_drops_it_at_once(void **state)
{
    (void)state;
    revoke_both();
    refused("KEY_ACCESS_DENIED");
    world_grant(&world, "ck1", &world.files, PERMISSION_UNWRAP);
    world_grant(&world, "ck2", &world.files, PERMISSION_UNWRAP);
    unwrap_ok();
    geo_pass(22 * HOUR_MS);
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP, HF_E_DENIED);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_DENIED);
    for (int i = 0; i < 1000; i++) {
        struct geo_view view;
        geo_look(&view);
        if (!view.tik_cached) {
            break;
        }
        usleep(20000);
    }
    refused("KEY_ACCESS_DENIED");
}

/* the administrator's verb; recorded. */
static void a_flush_ends_the_entry(void **state)
{
    (void)state;
    geo_outage(true);
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_OPEN, HF_OK);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_OPEN, HF_OK);
    unwrap_ok();
    flush();
    refused("KEY_UNAVAILABLE");
    geo_outage(false);
    assert_int_equal(world_audit_count(&world, "FlushTik"), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_fresh_entry_asks_nobody),
        CASE(a_revocation_waits_for_the_entrys_end),
        CASE(no_failure_leads_to_the_availability_key),
        CASE(the_second_follows_and_the_late_one_is_wiped),
        CASE(a_fast_failure_releases_the_second),
        CASE(either_key_may_be_first),
        CASE(the_window_renews_the_entry),
        CASE(failures_are_told_before_the_end),
        CASE(a_refused_refresh_evicts_nothing),
        cmocka_unit_test_setup_teardown(a_geo_that_evicts_drops_it_at_once,
                                        start_evicting, stop),
        CASE(a_flush_ends_the_entry),
        CASE(a_token_that_lies_is_found_out),
    };
    return cmocka_run_group_tests_name("tik", tests, NULL, NULL);
}
