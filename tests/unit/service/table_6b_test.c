/* Is table 6-B whole, from the caller's side: every pair of results, both
 * orders, both initiators; one audit record when the availability key was used
 * and none otherwise; never more than one attempt per key (R-6.4 to,
 * appendix B, checks 4 and 5)? */
#include "server/service/ak_audit.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

static struct world world;
static uint8_t first_byte; /* what the random source says when asked for one */
static bool scripted;

static enum hf_status scripted_fill(void *self, void *out, size_t len)
{
    (void)self;
    if (scripted && len == 1) {
        *(uint8_t *)out = first_byte;
        return HF_OK;
    }
    return rng_fill(rng_system(), out, len);
}

static const struct rng scripted_rng = {.fill = scripted_fill};
static struct outcome made;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world.settings.rng = &scripted_rng;
    assert_ok(world_restart(&world));
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scripted = false;
    world_stop(&world);
    return 0;
}

/* One result of one key, by the status its token answers with. */
struct result {
    const char *name;
    enum hf_status status;
};

enum {
    DENIED,
    TRANSIENT,
    TIMED_OUT,
    BAD_BLOB,
    UNSURE,
    GONE,
    OVERLOAD,
    NO_MEMORY,
    MISUSED,
    RESULTS
};

static const struct result results[RESULTS] = {
    [DENIED] = {"denied",                 HF_E_DENIED     },
    [TRANSIENT] = {"transient",              HF_E_UNREACHABLE},
    [TIMED_OUT] = {"timed out",              HF_E_TIMEOUT    },
    [BAD_BLOB] = {"bad blob",               HF_E_BAD_BLOB   },
    [UNSURE] = {"missing, not confirmed", HF_E_UNCONFIRMED},
    [GONE] = {"missing, confirmed",     HF_E_NOT_FOUND  },
    [OVERLOAD] = {"our queue full",         HF_E_OVERLOAD   },
    [NO_MEMORY] = {"our memory",             HF_E_NO_MEMORY  },
    [MISUSED] = {"our misuse",             HF_E_MISUSE     },
};

/* The answers of the table, written out again from the specification. */
#define AK   REASON_NONE
#define KAD  REASON_KEY_ACCESS_DENIED
#define BLOB REASON_BLOB_INVALID
#define DOWN REASON_KEY_UNAVAILABLE
#define OURS REASON_COUNT /* any of ours, never the AK */

static enum reason expected(int a, int b, enum initiator initiator)
{
    /* classes: D denied, T transient, B bad blob, O ours */
    char class_of[RESULTS] = {'D', 'T', 'T', 'B', 'M', 'D', 'O', 'O', 'O'};
    char x = class_of[a];
    char y = class_of[b];
    bool user = initiator == INITIATOR_USER;
    if (x == 'M') {
        x = user ? 'D' : 'T';
    }
    if (y == 'M') {
        y = user ? 'D' : 'T';
    }
    if (x == 'O' || y == 'O') {
        return OURS;
    }
    if (x == 'T' && y == 'T') {
        return AK;
    }
    if (x == 'B' && y == 'B') {
        return BLOB;
    }
    if (!user) {
        return AK;
    }
    if (x == 'D' || y == 'D') {
        return KAD;
    }
    return DOWN; /* bad blob and transient */
}

static void heal(void)
{
    struct validation_report report;
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world.customer_fake[i]);
    }
    /* a good attempt at each key closes its breaker */
    assert_ok(deps_test(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                        &report, &world.problem));
    assert_true(report.passed);
}

static void check_outcome(const struct outcome *outcome, enum reason wanted)
{
    if (wanted == AK) {
        assert_ok(outcome->status);
        assert_true(outcome->has_key);
        assert_memory_equal(outcome->key, made.key, HF_KEY_BYTES);
        return;
    }
    assert_false(outcome->has_key);
    assert_status(outcome->status == HF_OK ? HF_OK : HF_E_INTERNAL,
                  HF_E_INTERNAL);
    if (wanted == OURS) {
        assert_true(outcome->problem.reason == REASON_SERVICE_UNAVAILABLE ||
                    outcome->problem.reason == REASON_KEY_UNAVAILABLE ||
                    outcome->problem.reason == REASON_OVERLOADED);
        assert_true(outcome->problem.retry_ms > 0);
        return;
    }
    assert_string_equal(reason_word(outcome->problem.reason),
                        reason_word(wanted));
}

static void try_pair(int a, int b, enum initiator initiator, uint8_t first)
{
    struct outcome outcome;
    heal();
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP,
                        results[a].status);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                        results[b].status);
    size_t audited = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    uint64_t asked[2];
    for (size_t i = 0; i < 2; i++) {
        asked[i] = token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
    uint64_t ak_asked = token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP);
    scripted = true;
    first_byte = first;
    world_unwrap(&world,
                 initiator == INITIATOR_USER ? &world.workload : &world.system,
                 initiator, &outcome);
    scripted = false;
    enum reason wanted = expected(a, b, initiator);
    check_outcome(&outcome, wanted);
    size_t uses = wanted == AK ? 1 : 0;
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY) - audited,
                     uses);
    assert_int_equal(
        token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP) - ak_asked, uses);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP) -
                asked[i],
            1);
    }
}

static void every_pair_of_results(void **state)
{
    (void)state;
    for (int a = 0; a < RESULTS; a++) {
        for (int b = 0; b < RESULTS; b++) {
            for (int first = 0; first < 2; first++) {
                try_pair(a, b, INITIATOR_USER, (uint8_t)first);
                try_pair(a, b, INITIATOR_SYSTEM, (uint8_t)first);
            }
        }
    }
}

static void one_key_is_enough(void **state)
{
    struct outcome outcome;
    size_t audited = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        for (int a = 0; a < RESULTS; a++) {
            for (int first = 0; first < 2; first++) {
                heal();
                token_fake_fail_all(world.customer_fake[bad], TOKEN_OP_UNWRAP,
                                    results[a].status);
                scripted = true;
                first_byte = (uint8_t)first;
                world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
                scripted = false;
                assert_ok(outcome.status);
                assert_memory_equal(outcome.key, made.key, HF_KEY_BYTES);
            }
        }
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), audited);
}

static void the_other_key_is_second(void **state)
{
    struct outcome outcome;
    (void)state;
    for (int first = 0; first < 2; first++) {
        heal();
        uint64_t before[2];
        for (size_t i = 0; i < 2; i++) {
            before[i] =
                token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP);
        }
        scripted = true;
        first_byte = (uint8_t)first;
        world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
        scripted = false;
        assert_ok(outcome.status);
        uint64_t asked[2];
        for (size_t i = 0; i < 2; i++) {
            asked[i] =
                token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP) -
                before[i];
        }
        assert_int_equal(asked[0] + asked[1], 1);
        /* the bytes 0 and 1 choose different keys */
        static uint64_t first_of_zero;
        if (first == 0) {
            first_of_zero = asked[0];
        } else {
            assert_int_not_equal(asked[0], first_of_zero);
        }
    }
}

static void first_choice_is_even(void **state)
{
    struct outcome outcome;
    const int calls = 10000;
    (void)state;
    heal();
    uint64_t before = token_fake_calls(world.customer_fake[0], TOKEN_OP_UNWRAP);
    for (int i = 0; i < calls; i++) {
        world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
        assert_ok(outcome.status);
    }
    uint64_t asked =
        token_fake_calls(world.customer_fake[0], TOKEN_OP_UNWRAP) - before;
    assert_in_range(asked, calls * 47 / 100, calls * 53 / 100);
}

/* no record, no AK. */
static void no_record_no_availability_key(void **state)
{
    struct outcome outcome;
    (void)state;
    heal();
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
    }
    store_memory_fail_at(world.memory, STORE_MEMORY_COMMIT, 1, HF_E_OVERLOAD);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_true(store_memory_failed(world.memory));
    assert_status(outcome.status, HF_E_UNREACHABLE);
    assert_false(outcome.has_key);
    heal();
}

static void a_failing_availability_key_is_unavailable(void **state)
{
    struct outcome outcome;
    (void)state;
    heal();
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
    }
    token_fake_fail_all(world.ak_fake, TOKEN_OP_UNWRAP, HF_E_UNREACHABLE);
    for (int initiator = INITIATOR_USER; initiator <= INITIATOR_SYSTEM;
         initiator++) {
        world_unwrap(&world, &world.system, (enum initiator)initiator,
                     &outcome);
        assert_string_equal(reason_word(outcome.problem.reason),
                            "KEY_UNAVAILABLE");
        assert_false(outcome.has_key);
    }
    token_fake_clear(world.ak_fake);
    heal();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_results),
        cmocka_unit_test(one_key_is_enough),
        cmocka_unit_test(the_other_key_is_second),
        cmocka_unit_test(no_record_no_availability_key),
        cmocka_unit_test(a_failing_availability_key_is_unavailable),
        cmocka_unit_test(first_choice_is_even),
    };
    return cmocka_run_group_tests_name("service_table_6b", tests, start, stop);
}
