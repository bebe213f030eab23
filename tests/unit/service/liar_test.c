/* A token that opens a wrapped key to a wrong one, with CKR_OK: is that found
 * out by the key check, whatever asked, so that nobody ever gets a wrong key;
 * is the other customer key asked, and what comes of it when that one lies too,
 * is away or refuses (tables 6-A and 6-B: BAD_BLOB)? */
#include "hsm/base/check.h"

#include "server/service/core.h"
#include "server/service/keys.h"

#include "tests/unit/service/world.h"

#include <string.h>

#define LEASE_MS 60000

static struct world world;
static struct outcome made;

static int start_with(int64_t key_lease_ms, enum residency residency)
{
    world_start(&world);
    world_ready(&world, key_lease_ms, residency);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_int_equal(made.envelope_len, ENVELOPE_KEY_BYTES);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(LEASE_MS, RESIDENCY_TOKEN);
}

/* Every call opens the DEP key itself: all on the slow lane. */
static int start_no_lease(void **state)
{
    (void)state;
    return start_with(0, RESIDENCY_TOKEN);
}

static int start_in_memory(void **state)
{
    (void)state;
    return start_with(LEASE_MS, RESIDENCY_MEMORY);
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void open_ok(enum initiator initiator)
{
    struct outcome out;
    const struct caller *caller =
        initiator == INITIATOR_SYSTEM ? &world.system : &world.workload;
    world_unwrap(&world, caller, initiator, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

static void assert_refused(enum initiator initiator, const char *reason)
{
    struct outcome out;
    const struct caller *caller =
        initiator == INITIATOR_SYSTEM ? &world.system : &world.workload;
    world_unwrap(&world, caller, initiator, &out);
    assert_string_equal(reason_word(out.problem.reason), reason);
    assert_false(out.has_key);
}

static uint64_t asked(size_t token, enum token_op op)
{
    return token_fake_calls(world.customer_fake[token], op);
}

static uint64_t ak_uses(void)
{
    return token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP);
}

/* Which customer token the lease of now is in. */
static size_t holder(void)
{
    uint64_t before = asked(0, TOKEN_OP_OPEN);
    open_ok(INITIATOR_USER);
    return asked(0, TOKEN_OP_OPEN) > before ? 0 : 1;
}

static void both_lie(bool lie)
{
    token_fake_lie(world.customer_fake[0], lie);
    token_fake_lie(world.customer_fake[1], lie);
}

static struct generation_entry *generation(void)
{
    return catalogue_generation(
        catalogue_dep_by_id(&world.service->catalogue, &made.dep), 1);
}

/* The hot lane: the lease is over, the other key is asked once, and serves from
 * then on. */
static void the_hot_lane_finds_it_out(void **state)
{
    (void)state;
    size_t liar = holder();
    uint64_t lied_to = asked(liar, TOKEN_OP_OPEN);
    uint64_t of_liar = asked(liar, TOKEN_OP_UNWRAP);
    uint64_t of_other = asked(1 - liar, TOKEN_OP_UNWRAP);
    uint64_t of_ak = ak_uses();
    token_fake_lie(world.customer_fake[liar], true);
    open_ok(INITIATOR_USER);
    assert_int_equal(asked(liar, TOKEN_OP_OPEN), lied_to + 1);
    for (int i = 0; i < 10; i++) {
        open_ok(INITIATOR_USER);
    }
    assert_int_equal(asked(liar, TOKEN_OP_OPEN), lied_to + 1);
    assert_int_equal(asked(liar, TOKEN_OP_UNWRAP), of_liar);
    assert_int_equal(asked(1 - liar, TOKEN_OP_UNWRAP), of_other + 1);
    assert_int_equal(ak_uses(), of_ak);
    /* as a copy that does not open to its commitment: told, and no more */
    assert_true(generation()->bad_copy_ms[liar] > 0);
    assert_int_equal(generation()->bad_copy_ms[1 - liar], 0);
    assert_true(generation()->versions[liar]->health.last_failure_ms > 0);
}

/* The slow lane: whichever is asked first, and never the liar twice. */
static void the_slow_lane_finds_it_out(void **state)
{
    (void)state;
    for (size_t liar = 0; liar < 2; liar++) {
        uint64_t of_ak = ak_uses();
        token_fake_lie(world.customer_fake[liar], true);
        uint64_t of_liar = asked(liar, TOKEN_OP_UNWRAP);
        uint64_t of_other = asked(1 - liar, TOKEN_OP_UNWRAP);
        for (int i = 0; i < 40; i++) {
            open_ok(i % 2 == 0 ? INITIATOR_USER : INITIATOR_SYSTEM);
        }
        assert_true(asked(liar, TOKEN_OP_UNWRAP) > of_liar); /* but 2^-40 */
        assert_true(asked(liar, TOKEN_OP_UNWRAP) <= of_liar + 40);
        assert_int_equal(asked(1 - liar, TOKEN_OP_UNWRAP), of_other + 40);
        assert_int_equal(ak_uses(), of_ak);
        token_fake_lie(world.customer_fake[liar], false);
    }
}

/* Table 6-B: BAD_BLOB + BAD_BLOB, for everybody; each was asked once. */
static void both_lie_and_nobody_gets_a_key(void **state)
{
    (void)state;
    uint64_t of_ak = ak_uses();
    both_lie(true);
    for (int i = 0; i < 6; i++) {
        uint64_t opened = asked(0, TOKEN_OP_OPEN) + asked(1, TOKEN_OP_OPEN);
        assert_refused(i % 2 == 0 ? INITIATOR_USER : INITIATOR_SYSTEM,
                       "BLOB_INVALID");
        /* the commitment and the key, at each */
        assert_true(asked(0, TOKEN_OP_OPEN) + asked(1, TOKEN_OP_OPEN) <=
                    opened + 4);
    }
    assert_int_equal(ak_uses(), of_ak);
    both_lie(false);
    open_ok(INITIATOR_USER); /* nothing is held against them */
}

/* Table 6-B: BAD_BLOB + TRANSIENT, and then BAD_BLOB + DENIED. */
static void the_other_is_away(void **state)
{
    (void)state;
    size_t liar = holder();
    token_fake_lie(world.customer_fake[liar], true);
    token_fake_fail_all(world.customer_fake[1 - liar], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    assert_refused(INITIATOR_USER, "KEY_UNAVAILABLE");
    uint64_t of_ak = ak_uses();
    open_ok(INITIATOR_SYSTEM);
    assert_int_equal(ak_uses(), of_ak + 1);
}

static void the_other_refuses(void **state)
{
    (void)state;
    size_t liar = holder();
    token_fake_lie(world.customer_fake[liar], true);
    token_fake_fail_all(world.customer_fake[1 - liar], TOKEN_OP_UNWRAP,
                        HF_E_DENIED);
    assert_refused(INITIATOR_USER, "KEY_ACCESS_DENIED");
    uint64_t of_ak = ak_uses();
    open_ok(INITIATOR_SYSTEM);
    assert_int_equal(ak_uses(), of_ak + 1);
}

/* The token of availability keys is believed no more than a customer's. */
static void the_availability_keys_token_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
    }
    token_fake_lie(world.ak_fake, true);
    assert_refused(INITIATOR_USER, "KEY_UNAVAILABLE");
    assert_refused(INITIATOR_SYSTEM, "KEY_UNAVAILABLE");
    token_fake_lie(world.ak_fake, false);
    open_ok(INITIATOR_USER);
}

/* So is the root of a SERVICE_MANAGED DEP, hot and not. */
static void the_service_managed_root_lies(void **state)
{
    (void)state;
    static const char managed[] = "dave@contoso.example";
    struct outcome own;
    struct outcome out;
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = managed,
    };
    world_mailbox(&world, managed, "");
    world_generate(&world, managed, &own);
    token_fake_lie(world.ak_fake, true);
    for (int i = 0; i < 3; i++) {
        world_call(&world, &options, &out);
        assert_string_equal(reason_word(out.problem.reason), "KEY_UNAVAILABLE");
        assert_false(out.has_key);
    }
    token_fake_lie(world.ak_fake, false);
    world_call(&world, &options, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, own.key, HF_KEY_BYTES);
}

/* What opens a key on the way to something else. */
static void no_verb_goes_on_with_a_wrong_key(void **state)
{
    (void)state;
    struct outcome out;
    struct outcome renewed;
    struct call_options rewrap = {
        .caller = &world.workload,
        .verb = VERB_REWRAP_KEY,
        .wrapped = made.envelope,
        .wrapped_len = made.envelope_len,
    };
    const struct call_options renew = {
        .caller = &world.workload,
        .verb = VERB_RENEW_KEY,
    };
    both_lie(true);
    world_call(&world, &rewrap, &out);
    assert_string_equal(reason_word(out.problem.reason), "BLOB_INVALID");
    assert_int_equal(out.envelope_len, 0);
    world_call(&world, &renew, &out);
    assert_string_equal(reason_word(out.problem.reason), "BLOB_INVALID");
    assert_false(out.has_key);
    token_fake_lie(world.customer_fake[0], false);
    for (int i = 0; i < 8; i++) {
        open_ok(INITIATOR_USER);
    }
    world_call(&world, &renew, &renewed);
    assert_ok(renewed.status);
    rewrap.wrapped = renewed.replaced;
    rewrap.wrapped_len = renewed.replaced_len;
    rewrap.verb = VERB_UNWRAP_KEY;
    world_call(&world, &rewrap, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

/* With the DEP key in memory no token opens anything that could be a lie. */
static void in_memory_nobody_is_asked(void **state)
{
    (void)state;
    uint64_t opened = asked(0, TOKEN_OP_OPEN) + asked(1, TOKEN_OP_OPEN);
    both_lie(true);
    for (int i = 0; i < 4; i++) {
        open_ok(INITIATOR_USER);
    }
    assert_int_equal(asked(0, TOKEN_OP_OPEN) + asked(1, TOKEN_OP_OPEN), opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_hot_lane_finds_it_out, start, stop),
        cmocka_unit_test_setup_teardown(the_slow_lane_finds_it_out,
                                        start_no_lease, stop),
        cmocka_unit_test_setup_teardown(both_lie_and_nobody_gets_a_key, start,
                                        stop),
        cmocka_unit_test_setup_teardown(both_lie_and_nobody_gets_a_key,
                                        start_no_lease, stop),
        cmocka_unit_test_setup_teardown(the_other_is_away, start, stop),
        cmocka_unit_test_setup_teardown(the_other_refuses, start, stop),
        cmocka_unit_test_setup_teardown(the_availability_keys_token_lies,
                                        start_no_lease, stop),
        cmocka_unit_test_setup_teardown(the_service_managed_root_lies, start,
                                        stop),
        cmocka_unit_test_setup_teardown(no_verb_goes_on_with_a_wrong_key, start,
                                        stop),
        cmocka_unit_test_setup_teardown(in_memory_nobody_is_asked,
                                        start_in_memory, stop),
    };
    return cmocka_run_group_tests_name("service_liar", tests, NULL, NULL);
}
