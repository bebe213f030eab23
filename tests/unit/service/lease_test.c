/* How long may an unwrapped DEP key be used, and by whom? (R-15.4, R-15.4a,
 * R-15.4b, R-6.8) And is a revocation in effect when it is answered, for calls
 * in flight too? */
#include "hsm/base/check.h"

#include "server/service/ak_audit.h"

#include "tests/unit/service/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define LEASE_MS 60000

static struct world world;
static struct outcome made;

static int start_with(int64_t ak_lease_ms, int64_t key_lease_ms)
{
    world_start(&world);
    world.settings.ak_lease_ms = ak_lease_ms;
    assert_ok(world_restart(&world));
    world_ready(&world, key_lease_ms, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(0, LEASE_MS);
}

static int start_ak_lease(void **state)
{
    (void)state;
    return start_with(HF_AK_LEASE_MAX_MS, LEASE_MS);
}

static int start_no_lease(void **state)
{
    (void)state;
    return start_with(0, 0);
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

static uint64_t root_ops(void)
{
    struct service_counters counters;
    service_counters_get(world.service, &counters);
    return counters.root_ops;
}

static void open_ok(const struct caller *caller, enum initiator initiator)
{
    struct outcome out;
    world_unwrap(&world, caller, initiator, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

static void fail_both(enum hf_status status)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP, status);
    }
}

/* Waits until the scheduler has done something, or not. */
static bool root_ops_reach(uint64_t wanted)
{
    for (int i = 0; i < 1000; i++) {
        if (root_ops() >= wanted) {
            return true;
        }
        usleep(20000);
    }
    return false;
}

/* How many leases are over: the token was told to forget their keys. */
static size_t ended(void)
{
    return token_fake_calls(world.customer_fake[0], TOKEN_OP_FORGET) +
           token_fake_calls(world.customer_fake[1], TOKEN_OP_FORGET);
}

static size_t opened(void)
{
    return token_fake_calls(world.customer_fake[0], TOKEN_OP_UNWRAP) +
           token_fake_calls(world.customer_fake[1], TOKEN_OP_UNWRAP);
}

/* As ended, once what the setup opened is over: one lease lives. */
static size_t ended_so_far(void)
{
    for (int i = 0; i < 1000 && ended() + 1 < opened(); i++) {
        usleep(20000);
    }
    assert_int_equal(ended() + 1, opened());
    return ended();
}

/* A renewed lease takes the place of the one before, which ends with it. */
static bool is_renewed(size_t ended_before)
{
    for (int i = 0; i < 1000 && ended() == ended_before; i++) {
        usleep(20000);
    }
    return ended() == ended_before + 1;
}

static void one_root_operation_serves_a_lease(void **state)
{
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    uint64_t before = root_ops();
    for (int i = 0; i < 50; i++) {
        open_ok(&world.workload, INITIATOR_USER);
    }
    assert_int_equal(root_ops(), before);
}

static void it_ends_when_its_time_is_over(void **state)
{
    struct outcome out;
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    fail_both(HF_E_DENIED);
    pass(LEASE_MS - 1);
    open_ok(&world.workload, INITIATOR_USER);
    pass(2);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
}

static void a_used_lease_is_renewed_off_the_callers_path(void **state)
{
    struct service_counters before;
    struct service_counters after;
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    uint64_t ops = root_ops();
    size_t before_it = ended_so_far();
    pass(LEASE_MS * 9 / 10);
    assert_true(root_ops_reach(ops + 1));
    assert_true(is_renewed(before_it));
    pass(LEASE_MS * 2 / 10); /* past the first one's end */
    service_counters_get(world.service, &before);
    open_ok(&world.workload, INITIATOR_USER);
    service_counters_get(world.service, &after);
    assert_int_equal(after.slow_calls, before.slow_calls);
}

static void an_unused_lease_is_not_renewed(void **state)
{
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    uint64_t ops = root_ops();
    size_t before_it = ended_so_far();
    pass(LEASE_MS * 9 / 10);
    assert_true(root_ops_reach(ops + 1)); /* the opening call was its use */
    assert_true(is_renewed(before_it));
    pass(LEASE_MS * 9 / 10);
    usleep(600000); /* three looks of the scheduler */
    assert_int_equal(root_ops(), ops + 1);
}

static void a_stale_object_is_no_failed_call(void **state)
{
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    for (size_t i = 0; i < 2; i++) {
        token_fake_drop_objects(world.customer_fake[i]);
    }
    open_ok(&world.workload, INITIATOR_USER);
    open_ok(&world.workload, INITIATOR_USER);
}

/* Table 6-A: a worker that crashes between the unwrap and the look at what came
 * of it is TRANSIENT, as at any other moment; both, and it is an outage. */
static void a_worker_that_ends_within_the_attempt_is_away(void **state)
{
    (void)state;
    uint64_t of_ak = token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP);
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_OPEN,
                        HF_E_PRECONDITION);
    open_ok(&world.workload, INITIATOR_USER);
    assert_int_equal(token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP), of_ak);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_OPEN,
                        HF_E_PRECONDITION);
    open_ok(&world.workload, INITIATOR_USER);
    assert_int_equal(token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP),
                     of_ak + 1);
}

/* is about the availability key. Our own trouble with the token that
 * holds a lease is no reason to refuse what the other customer key opens. */
static void trouble_of_ours_at_one_token_is_no_failed_call(void **state)
{
    (void)state;
    static const enum hf_status troubles[] = {HF_E_NO_MEMORY, HF_E_RESOURCES,
                                              HF_E_MISUSE};
    for (size_t i = 0; i < HF_COUNT(troubles); i++) {
        for (size_t sick = 0; sick < 2; sick++) {
            open_ok(&world.workload, INITIATOR_USER);
            token_fake_fail_all(world.customer_fake[sick], TOKEN_OP_OPEN,
                                troubles[i]);
            for (size_t again = 0; again < 4; again++) {
                open_ok(&world.workload, INITIATOR_USER);
            }
            token_fake_clear(world.customer_fake[sick]);
        }
    }
    /* at both, it is refused, and nothing else opens it */
    struct outcome out;
    uint64_t of_ak = token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP);
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_OPEN,
                            HF_E_NO_MEMORY);
    }
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_status(out.status, HF_E_UNREACHABLE);
    assert_int_equal(out.problem.reason, REASON_SERVICE_UNAVAILABLE);
    assert_int_equal(token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP), of_ak);
    /* a queue that is full does not get longer by asking elsewhere */
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world.customer_fake[i]);
    }
    open_ok(&world.workload, INITIATOR_USER);
    uint64_t ops = root_ops();
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_OPEN,
                            HF_E_OVERLOAD);
    }
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_status(out.status, HF_E_OVERLOAD);
    assert_int_equal(root_ops(), ops);
}

/* --- revocation --------------------------------------------------------- */

struct revoking {
    atomic_bool answered;
};

static void *revoke_all(void *argument)
{
    struct revoking *revoking = argument;
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck2", &world.workload);
    atomic_store(&revoking->answered, true);
    return NULL;
}

static void *call_once(void *argument)
{
    world_unwrap(&world, &world.workload, INITIATOR_USER, argument);
    return NULL;
}

/* A call that was let in before holds the answer of the revocation back. */
static void a_revocation_waits_for_calls_in_flight(void **state)
{
    struct revoking revoking = {false};
    struct outcome out;
    pthread_t caller;
    pthread_t revoker;
    (void)state;
    open_ok(&world.workload, INITIATOR_USER);
    for (size_t i = 0; i < 2; i++) {
        token_fake_hold(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    pthread_create(&caller, NULL, call_once, &out);
    while (token_fake_held(world.customer_fake[0], TOKEN_OP_OPEN) +
               token_fake_held(world.customer_fake[1], TOKEN_OP_OPEN) ==
           0) {
        usleep(1000);
    }
    pthread_create(&revoker, NULL, revoke_all, &revoking);
    usleep(200000);
    assert_false(atomic_load(&revoking.answered));
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    pthread_join(caller, NULL);
    pthread_join(revoker, NULL);
    assert_ok(out.status); /* it began before */
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
}

static void hold_unwraps(void)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_hold(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
}

static void release_unwraps(void)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
}

static void await_held_unwrap(void)
{
    while (token_fake_held(world.customer_fake[0], TOKEN_OP_UNWRAP) +
               token_fake_held(world.customer_fake[1], TOKEN_OP_UNWRAP) ==
           0) {
        usleep(1000);
    }
}

/* The time the token took is inside the life: the key left it at some moment
 * from when it was asked on. */
static void its_time_begins_before_the_token_is_asked(void **state)
{
    struct outcome out;
    pthread_t caller;
    (void)state;
    pass(LEASE_MS + 1);
    hold_unwraps();
    pthread_create(&caller, NULL, call_once, &out);
    await_held_unwrap();
    pass(LEASE_MS / 2);
    release_unwraps();
    pthread_join(caller, NULL);
    assert_ok(out.status);
    fail_both(HF_E_DENIED);
    pass(LEASE_MS / 2 + 1);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
}

/* What was opened with facts of before the revocation is not used after it: the
 * call answers after the facts of now. */
static void an_opening_that_a_revocation_overtakes_is_dropped(void **state)
{
    struct outcome out;
    pthread_t caller;
    (void)state;
    hold_unwraps();
    pass(LEASE_MS + 1);
    pthread_create(&caller, NULL, call_once, &out);
    await_held_unwrap();
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck2", &world.workload);
    release_unwraps();
    pthread_join(caller, NULL);
    assert_false(out.has_key);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
}

/* Nobody has to repeat a call because somebody's grants were changed while it
 * was under way. */
static void an_opening_that_a_change_overtakes_goes_round(void **state)
{
    struct outcome out;
    pthread_t caller;
    (void)state;
    pass(LEASE_MS + 1);
    uint64_t before = root_ops();
    hold_unwraps();
    pthread_create(&caller, NULL, call_once, &out);
    await_held_unwrap();
    world_grant(&world, "ck1", &world.stranger, PERMISSION_UNWRAP);
    world_revoke(&world, "ck2", &world.workload);
    release_unwraps();
    pthread_join(caller, NULL);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
    assert_int_equal(root_ops(), before + 2);
}

struct changing {
    atomic_bool over;
};

static void *change_grants(void *argument)
{
    struct changing *changing = argument;
    while (!atomic_load(&changing->over)) {
        world_grant(&world, "ck1", &world.stranger, PERMISSION_UNWRAP);
        world_revoke(&world, "ck1", &world.stranger);
    }
    return NULL;
}

/* Changes without end: a call is told to come again after its second round, and
 * neither waits for ever nor gets a key by facts of before. */
static void changes_without_end_keep_nobody(void **state)
{
    struct changing changing = {false};
    pthread_t changer;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        token_fake_delay(world.customer_fake[i], TOKEN_OP_UNWRAP, 40);
    }
    pthread_create(&changer, NULL, change_grants, &changing);
    for (int i = 0; i < 5; i++) {
        struct outcome out;
        pass(LEASE_MS + 1);
        uint64_t before = root_ops();
        world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
        assert_true(root_ops() - before <= 2);
        if (out.status != HF_OK) {
            assert_string_equal(reason_word(out.problem.reason),
                                "KEY_UNAVAILABLE");
        }
    }
    atomic_store(&changing.over, true);
    pthread_join(changer, NULL);
}

/* One who waited for another's attempt shares what it came to, but not against
 * what was revoked meanwhile: TRANSIENT + TRANSIENT of before would give a user
 * the availability key, DENIED + TRANSIENT of now does not. */
static void shared_results_bow_to_a_revocation(void **state)
{
    static struct outcome outs[2];
    pthread_t callers[2];
    (void)state;
    pass(LEASE_MS + 1);
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
        token_fake_hold(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_create(&callers[i], NULL, call_once, &outs[i]);
    }
    while (token_fake_held(world.customer_fake[0], TOKEN_OP_UNWRAP) +
               token_fake_held(world.customer_fake[1], TOKEN_OP_UNWRAP) ==
           0) {
        usleep(1000);
    }
    usleep(100000); /* the other one is parked */
    world_revoke(&world, "ck1", &world.workload);
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(callers[i], NULL);
        assert_false(outs[i].has_key);
        assert_true(outs[i].status != HF_OK);
    }
}

static void set_enabled(const char *name, bool enabled)
{
    struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .set_enabled = true,
        .enabled = enabled,
    };
    struct customer_key_view view;
    memcpy(request.name, name, strlen(name));
    assert_ok(customer_keys_update(world.service, &world.admin, &request, &view,
                                   &world.problem));
    assert_int_equal(view.versions[0].enabled, enabled);
}

/* The stored key goes elsewhere, so that nothing needs the keys; the
 * copy of before still opens, under a lease of the DEP it was made by. */
static void open_kept(struct outcome *out)
{
    const struct call_options kept = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .wrapped = made.envelope,
        .wrapped_len = made.envelope_len,
    };
    world_call(&world, &kept, out);
}

static void disabling_a_key_ends_its_leases(void **state)
{
    struct mailbox_assign away = {.tenant = WORLD_TENANT, .id = WORLD_MAILBOX};
    struct mailbox_view view;
    struct outcome out;
    (void)state;
    assert_ok(mailboxes_assign(world.service, &world.admin, &away, &view,
                               &world.problem));
    open_ok(&world.workload, INITIATOR_USER);
    open_kept(&out);
    assert_ok(out.status);
    uint64_t before = root_ops();
    open_kept(&out);
    assert_ok(out.status);
    assert_int_equal(root_ops(), before); /* by the lease */
    set_enabled("ck1", false);
    open_kept(&out);
    assert_ok(out.status);
    assert_int_equal(root_ops(), before + 1); /* which was ended */
    set_enabled("ck2", false);
    open_kept(&out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
    set_enabled("ck1", true);
    open_kept(&out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

/* --- many at once ------------------------------------------------------- */

#define CALLERS 12

static void many_cold_calls_share_one_opening(void **state)
{
    pthread_t callers[CALLERS];
    static struct outcome outs[CALLERS];
    (void)state;
    pass(LEASE_MS + 1);
    uint64_t before = root_ops();
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_create(&callers[i], NULL, call_once, &outs[i]);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], NULL);
        assert_ok(outs[i].status);
        assert_memory_equal(outs[i].key, made.key, HF_KEY_BYTES);
    }
    assert_int_equal(root_ops(), before + 1);
}

/* --- the availability key's lease --------------------------------------- */

static void an_ak_lease_serves_ten_seconds_with_one_record(void **state)
{
    (void)state;
    pass(LEASE_MS + 1);
    fail_both(HF_E_UNREACHABLE);
    for (int i = 0; i < 5; i++) {
        open_ok(&world.workload, INITIATOR_USER);
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
    assert_int_equal(token_fake_calls(world.ak_fake, TOKEN_OP_UNWRAP) > 0, 1);
    pass(HF_AK_LEASE_MAX_MS + 1);
    open_ok(&world.workload, INITIATOR_USER);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 2);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_LEASE_END), 1);
}

/* A live AK lease is no way in for a user while a key refuses. */
static void an_ak_lease_of_system_serves_no_user(void **state)
{
    struct outcome out;
    (void)state;
    pass(LEASE_MS + 1);
    fail_both(HF_E_DENIED);
    open_ok(&world.system, INITIATOR_SYSTEM);
    for (int i = 0; i < 3; i++) {
        world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
        assert_string_equal(reason_word(out.problem.reason),
                            "KEY_ACCESS_DENIED");
        world_unwrap(&world, &world.system, INITIATOR_USER, &out);
        assert_string_equal(reason_word(out.problem.reason),
                            "KEY_ACCESS_DENIED");
        open_ok(&world.system, INITIATOR_SYSTEM);
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
}

static void a_revocation_ends_the_ak_lease_with_its_record(void **state)
{
    struct outcome out;
    (void)state;
    pass(LEASE_MS + 1);
    fail_both(HF_E_UNREACHABLE);
    open_ok(&world.workload, INITIATOR_USER);
    world_revoke(&world, "ck1", &world.workload);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_LEASE_END), 1);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_ACCESS_DENIED");
}

/* R-15.4b: callers in a known outage wait for probes, not for tokens. */
static void a_known_outage_asks_no_token(void **state)
{
    (void)state;
    fail_both(HF_E_UNREACHABLE);
    for (int i = 0; i < 4; i++) {
        pass(LEASE_MS + 1);
        open_ok(&world.workload, INITIATOR_USER);
    }
    uint64_t asked[2];
    for (size_t i = 0; i < 2; i++) {
        asked[i] = token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
    open_ok(&world.workload, INITIATOR_USER);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP),
            asked[i]);
        token_fake_clear(world.customer_fake[i]);
    }
    /* the first good probe ends it */
    size_t records = world_audit_count(&world, AK_AUDIT_ACTIVITY);
    bool ended = false;
    for (int i = 0; i < 100 && !ended; i++) {
        pass(1000);
        usleep(50000);
        open_ok(&world.workload, INITIATOR_USER);
        size_t now = world_audit_count(&world, AK_AUDIT_ACTIVITY);
        ended = now == records;
        records = now;
    }
    assert_true(ended);
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start, stop)
#define AK_LEASE(test)                                                         \
    cmocka_unit_test_setup_teardown(test, start_ak_lease, stop)
#define NO_LEASE(test)                                                         \
    cmocka_unit_test_setup_teardown(test, start_no_lease, stop)
    const struct CMUnitTest tests[] = {
        PLAIN(one_root_operation_serves_a_lease),
        PLAIN(it_ends_when_its_time_is_over),
        PLAIN(its_time_begins_before_the_token_is_asked),
        PLAIN(a_used_lease_is_renewed_off_the_callers_path),
        PLAIN(an_unused_lease_is_not_renewed),
        PLAIN(a_stale_object_is_no_failed_call),
        PLAIN(a_worker_that_ends_within_the_attempt_is_away),
        PLAIN(trouble_of_ours_at_one_token_is_no_failed_call),
        PLAIN(a_revocation_waits_for_calls_in_flight),
        PLAIN(an_opening_that_a_revocation_overtakes_is_dropped),
        PLAIN(an_opening_that_a_change_overtakes_goes_round),
        PLAIN(changes_without_end_keep_nobody),
        NO_LEASE(an_opening_that_a_revocation_overtakes_is_dropped),
        NO_LEASE(an_opening_that_a_change_overtakes_goes_round),
        NO_LEASE(changes_without_end_keep_nobody),
        PLAIN(shared_results_bow_to_a_revocation),
        PLAIN(disabling_a_key_ends_its_leases),
        PLAIN(many_cold_calls_share_one_opening),
        PLAIN(a_known_outage_asks_no_token),
        AK_LEASE(an_ak_lease_serves_ten_seconds_with_one_record),
        AK_LEASE(an_ak_lease_of_system_serves_no_user),
        AK_LEASE(a_revocation_ends_the_ak_lease_with_its_record),
    };
    return cmocka_run_group_tests_name("service_lease", tests, NULL, NULL);
}
