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

#define LEASE_MS 60000

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
        TEST(every_ak_lease_that_is_ended_has_its_record),
    };
    return cmocka_run_group_tests_name("service_revocation", tests, NULL, NULL);
}
