/* Does the daily look at the stored copies find each one that does not open,
 * and nothing else (crypto.md)? And is it a scrub in the audit chain, no
 * fallback?
 */
#include "hsm/base/check.h"

#include "server/service/ak_audit.h"
#include "server/service/scrub.h"

#include "tests/unit/service/world.h"

#include <unistd.h>

static struct world world;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* Two generations: the DEP's three copies, and the built-in DEP's one. */
static void run(uint64_t copies, uint64_t bad, uint64_t unseen)
{
    struct scrub_result result;
    scrub_run(world.service, &result);
    assert_int_equal(result.generations, 2);
    assert_int_equal(result.copies, copies);
    assert_int_equal(result.bad, bad);
    assert_int_equal(result.unseen, unseen);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
}

static void every_copy_is_looked_at(void **state)
{
    struct token *const tokens[] = {&world.customer[0], &world.customer[1],
                                    &world.ak_token};
    struct token_fake *const fakes[] = {world.customer_fake[0],
                                        world.customer_fake[1], world.ak_fake};
    struct token_counters after;
    (void)state;
    run(4, 0, 0);
    assert_int_equal(world_audit_count(&world, "Scrub"), 2);
    for (size_t i = 0; i < HF_COUNT(tokens); i++) {
        token_fake_fail_nth(fakes[i], TOKEN_OP_UNWRAP, 1, HF_E_BAD_BLOB);
        run(3, 1, 0);
        token_fake_fail_nth(fakes[i], TOKEN_OP_UNWRAP, 1, HF_E_UNREACHABLE);
        run(3, 0, 1);
        /* nothing is left but, for a moment, what a probe of an open breaker
         * works with */
        for (int wait = 0; wait < 2000; wait++) {
            token_counters_get(tokens[i], &after);
            if (after.objects == 0) {
                break;
            }
            usleep(1000);
        }
        assert_int_equal(after.objects, 0);
    }
    assert_int_equal(world_audit_count(&world, "Scrub"), 14);
}

/* A customer who withdrew a key is not asked behind their back. */
static void a_withdrawn_key_is_not_asked(void **state)
{
    struct token_counters before;
    struct token_counters after;
    (void)state;
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck1", &world.system);
    token_counters_get(&world.customer[0], &before);
    run(3, 0, 1);
    token_counters_get(&world.customer[0], &after);
    assert_int_equal(after.unwraps, before.unwraps);
}

static void comes_once_a_day(void **state)
{
    (void)state;
    world.settings.scrub_ms = 86400000;
    assert_ok(world_restart(&world));
    usleep(600000);
    assert_int_equal(world_audit_count(&world, "Scrub"), 0);
    for (size_t day = 1; day <= 2; day++) {
        __atomic_fetch_add(&world.now_ms, 86400000, __ATOMIC_SEQ_CST);
        for (int i = 0;
             i < 2000 && world_audit_count(&world, "Scrub") < 2 * day; i++) {
            usleep(1000);
        }
        usleep(500000);
        assert_int_equal(world_audit_count(&world, "Scrub"), 2 * day);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_copy_is_looked_at, start, stop),
        cmocka_unit_test_setup_teardown(a_withdrawn_key_is_not_asked, start,
                                        stop),
        cmocka_unit_test_setup_teardown(comes_once_a_day, start, stop),
    };
    return cmocka_run_group_tests_name("scrub", tests, NULL, NULL);
}
