/* Is what narrows in effect when it is answered, whoever asks for it, and does
 * every lease by the availability key that it ends have its closing record
 * (R-15.4, R-15.4a)? */
#include "server/service/ak_audit.h"

#include "tests/unit/service/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MS   60000
#define REQUEST_ID "00000000-0000-4000-8000-0000000000aa"

static struct world world;

static void *call_once(void *argument)
{
    world_unwrap(&world, &world.workload, INITIATOR_USER, argument);
    return NULL;
}

/* Whenever the revoking thread looks at the clock, a call of somebody else
 * comes in: before the change, between its steps, and after it. Where a lock is
 * held it cannot get on, and is not waited for. */
#define INTRUDERS_MAX 32
static struct {
    atomic_bool on;
    pthread_t revoker;
    int64_t (*wall_ms)(void *self);
    pthread_t threads[INTRUDERS_MAX];
    struct outcome outs[INTRUDERS_MAX];
    bool joined[INTRUDERS_MAX];
    size_t count;
} intruders;

static int64_t wall_with_intruder(void *self)
{
    struct timespec until;
    if (atomic_load(&intruders.on) &&
        pthread_equal(pthread_self(), intruders.revoker)) {
        size_t i = intruders.count++;
        assert_true(i < INTRUDERS_MAX);
        pthread_create(&intruders.threads[i], NULL, call_once,
                       &intruders.outs[i]);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        intruders.joined[i] =
            pthread_timedjoin_np(intruders.threads[i], NULL, &until) == 0;
    }
    return intruders.wall_ms(self);
}

static int start(void **state)
{
    struct outcome made;
    (void)state;
    world_start(&world);
    memset(&intruders, 0, sizeof intruders);
    intruders.wall_ms = world.clock.wall_ms;
    world.clock.wall_ms = wall_with_intruder;
    world.settings.ak_lease_ms = HF_AK_LEASE_MAX_MS;
    assert_ok(world_restart(&world));
    world_ready(&world, LEASE_MS, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
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

/* --- repeats ------------------------------------------------------------ */

struct change {
    enum hf_status (*make)(void);
    pthread_t thread;
    enum hf_status status;
    atomic_bool answered;
};

static void *make_change(void *argument)
{
    struct change *change = argument;
    change->status = change->make();
    atomic_store(&change->answered, true);
    return NULL;
}

static enum hf_status revoke_with(const char *request_id)
{
    struct customer_key_grant request = {.tenant = WORLD_TENANT, .name = "ck1"};
    struct customer_key_view view;
    struct problem problem = {.reason = REASON_NONE};
    memcpy(request.identity, world.workload.identity, sizeof request.identity);
    snprintf(request.mutation.request_id, sizeof request.mutation.request_id,
             "%s", request_id);
    return customer_keys_revoke(world.service, &world.admin, &request, &view,
                                &problem);
}

static enum hf_status revoke_once(void)
{
    return revoke_with(REQUEST_ID);
}

/* The same wish, as a request of its own: there is nothing left to change. */
static enum hf_status revoke_anew(void)
{
    return revoke_with("");
}

/* From tomorrow on; today it is refused. */
static enum hf_status postpone_key(void)
{
    struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .set_not_before = true,
        .not_before_ms = world.now_ms + 86400000,
        .mutation = {.request_id = REQUEST_ID},
    };
    struct customer_key_view view;
    struct problem problem = {.reason = REASON_NONE};
    return customer_keys_update(world.service, &world.admin, &request, &view,
                                &problem);
}

static enum hf_status shorten_lease(void)
{
    struct dep_update request = {
        .tenant = WORLD_TENANT,
        .dep = WORLD_DEP,
        .set_key_lease = true,
        .mutation = {.request_id = REQUEST_ID},
    };
    struct dep_view view;
    struct problem problem = {.reason = REASON_NONE};
    return deps_update(world.service, &world.admin, &request, &view, &problem);
}

static size_t held(void)
{
    return token_fake_held(world.customer_fake[0], TOKEN_OP_OPEN) +
           token_fake_held(world.customer_fake[1], TOKEN_OP_OPEN);
}

/* A call that was let in before holds the answers of both back. */
static void check_repeat(enum hf_status (*first)(void),
                         enum hf_status (*repeat)(void))
{
    struct change changes[2] = {{.make = first}, {.make = repeat}};
    bool early[2];
    struct outcome out;
    pthread_t caller;
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    for (size_t i = 0; i < 2; i++) {
        token_fake_hold(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    pthread_create(&caller, NULL, call_once, &out);
    while (held() == 0) {
        usleep(1000);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_create(&changes[i].thread, NULL, make_change, &changes[i]);
        usleep(150000);
        early[i] = atomic_load(&changes[i].answered);
    }
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    pthread_join(caller, NULL);
    assert_ok(out.status); /* it began before */
    for (size_t i = 0; i < 2; i++) {
        pthread_join(changes[i].thread, NULL);
        assert_ok(changes[i].status);
        assert_false(early[i]);
    }
}

static void a_repeated_revocation_waits_as_the_first(void **state)
{
    (void)state;
    check_repeat(revoke_once, revoke_once);
}

static void a_second_revocation_waits_as_the_first(void **state)
{
    (void)state;
    check_repeat(revoke_once, revoke_anew);
}

static void a_repeated_change_of_a_key_waits_as_the_first(void **state)
{
    (void)state;
    check_repeat(postpone_key, postpone_key);
}

static void a_repeated_change_of_a_dep_waits_as_the_first(void **state)
{
    (void)state;
    check_repeat(shorten_lease, shorten_lease);
}

static uint64_t slow_calls(void)
{
    struct service_counters counters;
    service_counters_get(world.service, &counters);
    return counters.slow_calls;
}

/* What changes nothing ends no lease: to repeat is no way to keep tokens
 * busy. */
static void a_repeat_ends_no_lease(void **state)
{
    struct outcome out;
    (void)state;
    assert_ok(revoke_once());
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    uint64_t before = slow_calls();
    assert_ok(revoke_once());
    assert_ok(revoke_anew());
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    assert_int_equal(slow_calls(), before);
}

/* --- the availability key's lease --------------------------------------- */

static void every_ak_lease_that_is_ended_has_its_record(void **state)
{
    struct outcome out;
    (void)state;
    pass(LEASE_MS + 1);
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
    }
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    intruders.revoker = pthread_self();
    atomic_store(&intruders.on, true);
    world_revoke(&world, "ck1", &world.system); /* not of the one who calls */
    atomic_store(&intruders.on, false);
    for (size_t i = 0; i < intruders.count; i++) {
        if (!intruders.joined[i]) {
            pthread_join(intruders.threads[i], NULL);
        }
        assert_ok(intruders.outs[i].status);
    }
    assert_true(intruders.count > 2);
    size_t uses = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    assert_true(uses > 1); /* one came in after the lease was ended */
    pass(HF_AK_LEASE_MAX_MS + 1);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), uses + 1);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_LEASE_END), uses);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_repeated_revocation_waits_as_the_first),
        TEST(a_second_revocation_waits_as_the_first),
        TEST(a_repeated_change_of_a_key_waits_as_the_first),
        TEST(a_repeated_change_of_a_dep_waits_as_the_first),
        TEST(a_repeat_ends_no_lease),
        TEST(every_ak_lease_that_is_ended_has_its_record),
    };
    return cmocka_run_group_tests_name("service_revocation", tests, NULL, NULL);
}
