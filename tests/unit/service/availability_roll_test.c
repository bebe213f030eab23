/* Does an availability key roll with both customer keys down, and is there a
 * copy that opens at every moment, whatever fails and wherever it is cut (3.6,
 * )? And is there a new generation where no availability
 * key opens one?
 */
#include "hsm/base/check.h"

#include "server/service/availability_key.h"
#include "server/service/availability_roll.h"
#include "server/service/dep_refresh.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 1000
#define TRIES    30000

static struct world world;
static struct outcome made;

/* Two generations, the mailbox under the older one; no lease, so that the
 * availability key is asked each time. */
static int start(void **state)
{
    struct operation_view ordered;
    const struct dep_refresh refresh = {.tenant = WORLD_TENANT,
                                        .dep = WORLD_DEP};
    (void)state;
    world_start(&world);
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(deps_refresh(world.service, &world.admin, &refresh, &ordered,
                           &world.problem));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void customer_keys_are_down(bool down)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            down ? HF_E_UNREACHABLE : HF_OK);
    }
}

static void dep_now(struct dep_view *out)
{
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       out, &world.problem));
}

static enum hf_status order(const char *dep, struct operation_view *out)
{
    struct ak_roll request = {.tenant = WORLD_TENANT};
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    return deps_roll_ak(world.service, &world.operator_, &request, out,
                        &world.problem);
}

/* The stored key, and what is kept of before: both generations. By the
 * availability key alone, if the customer keys are down. */
static void everything_opens(void)
{
    const struct call_options kept = {
        .caller = &world.system,
        .verb = VERB_UNWRAP_KEY,
        .initiator = INITIATOR_SYSTEM,
        .wrapped = made.envelope,
        .wrapped_len = made.envelope_len,
    };
    struct outcome out;
    world_call(&world, &kept, &out);
    assert_ok(out.status);
    assert_int_equal(out.generation, 1);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
    world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

static void look(const struct operation_view *order, struct operation_view *out)
{
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    assert_ok(operations_get(world.service, &world.operator_, WORLD_TENANT, id,
                             out, &world.problem));
}

/* Opens things all the while. */
static void wait_for_end(const struct operation_view *order)
{
    struct operation_view now = {.tenant = ""};
    for (int i = 0; i < TRIES; i++) {
        __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
        look(order, &now);
        if (now.record.state != OPERATION_RUNNING) {
            break;
        }
        everything_opens();
        usleep(PAUSE_US);
    }
    if (now.record.state != OPERATION_SUCCEEDED) {
        fail_msg("%s: %s", operation_state_text(now.record.state),
                 now.record.error);
    }
    assert_int_equal(now.record.percent, 100);
}

static void is_rolled(uint32_t version, size_t objects)
{
    struct dep_view dep;
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ACTIVE);
    assert_int_equal(dep.record.ak_version, version);
    assert_int_equal(token_fake_keys(world.ak_fake), objects);
    customer_keys_are_down(true);
    everything_opens();
    assert_ok(world_restart(&world));
    everything_opens();
    customer_keys_are_down(false);
}

/* through the availability key itself. */
static void rolls_with_both_customer_keys_down(void **state)
{
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    customer_keys_are_down(true);
    assert_ok(order(WORLD_DEP, &ordered));
    assert_int_equal(ordered.record.kind, OPERATION_ROLL_AVAILABILITY_KEY);
    wait_for_end(&ordered);
    is_rolled(2, objects);
    assert_int_equal(world_audit_count(&world, "AvailabilityKeyRolled"), 1);
    assert_ok(order(WORLD_DEP, &ordered));
    wait_for_end(&ordered);
    is_rolled(3, objects);
}

static void goes_on_after_a_restart(void **state)
{
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    customer_keys_are_down(true);
    for (uint32_t i = 0; i < 5; i++) {
        assert_ok(order(WORLD_DEP, &ordered));
        usleep(i * 60000);
        assert_ok(world_restart(&world));
        everything_opens();
        wait_for_end(&ordered);
        is_rolled(i + 2, objects);
        customer_keys_are_down(true);
    }
}

/* Each call of the AK token fails once, or does its work and is not heard. */
static void a_failing_token_only_delays(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_GENERATE, TOKEN_OP_MINT,
                                        TOKEN_OP_UNWRAP, TOKEN_OP_OPEN,
                                        TOKEN_OP_DESTROY};
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    uint32_t version = 1;
    (void)state;
    for (size_t i = 0; i < 2 * HF_COUNT(ops); i++) {
        if (i % 2 == 0) {
            token_fake_fail_nth(world.ak_fake, ops[i / 2], 1, HF_E_UNREACHABLE);
        } else {
            token_fake_lose_nth(world.ak_fake, ops[i / 2], 1, HF_E_TIMEOUT);
        }
        assert_ok(order(WORLD_DEP, &ordered));
        wait_for_end(&ordered);
        token_fake_clear(world.ak_fake);
        is_rolled(++version, objects);
    }
}

/* Each call of the store fails once. */
static void a_failing_store_only_delays(void **state)
{
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    for (uint64_t n = 1; n <= 57; n += 8) {
        assert_ok(order(WORLD_DEP, &ordered));
        store_memory_fail_at(world.memory,
                             STORE_MEMORY_PUT | STORE_MEMORY_COMMIT |
                                 STORE_MEMORY_AUDIT_APPEND,
                             n, HF_E_OVERLOAD);
        struct operation_view now = ordered;
        for (int i = 0; i < TRIES && now.record.state == OPERATION_RUNNING;
             i++) {
            __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
            usleep(PAUSE_US);
            look(&ordered, &now);
        }
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, 0, HF_OK);
        assert_int_equal(now.record.state, OPERATION_SUCCEEDED);
    }
    is_rolled(9, objects);
}

/* What is stored under another key than the commitment says is wrapped under
 * nothing; the version it is under stays. */
static void what_does_not_fit_its_commitment_stays(void **state)
{
    struct operation_view ordered;
    struct operation_view now;
    struct dep_view dep;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    token_fake_fail_all(world.ak_fake, TOKEN_OP_MINT, HF_E_BAD_BLOB);
    assert_ok(order(WORLD_DEP, &ordered));
    look(&ordered, &now);
    for (int i = 0; i < TRIES && now.record.error[0] == '\0'; i++) {
        usleep(PAUSE_US);
        look(&ordered, &now);
    }
    for (int i = 0; i < 50; i++) { /* nor does it come with time */
        __atomic_fetch_add(&world.now_ms, 6000, __ATOMIC_SEQ_CST);
        usleep(20 * PAUSE_US);
    }
    look(&ordered, &now);
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    assert_true(now.record.error[0] != '\0');
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ROLLING);
    assert_int_equal(dep.record.ak_version, 1);
    assert_int_equal(token_fake_keys(world.ak_fake), objects + 1);
    customer_keys_are_down(true);
    everything_opens();
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
    is_rolled(2, objects);
}

/* Behind everybody's back: the availability key of this version is gone, or
 * another one bears its id. */
static void lose_key(uint32_t version, bool another)
{
    struct dep_view dep;
    struct token_key_report report;
    struct token_request again = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_KEY,
                       .label = "another",
                       .report = &report},
    };
    struct token_key key;
    dep_now(&dep);
    ak_key_of(&dep.record, version, &key);
    assert_ok(token_fake_delete_key(world.ak_fake, key.id, key.id_len));
    memcpy(again.u.generate.id, key.id, key.id_len);
    again.u.generate.id_len = key.id_len;
    if (another) {
        assert_ok(token_call(&world.ak_token, &again));
    }
}

static void wait_for_update(void)
{
    struct dep_view dep;
    struct outcome out;
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out); /* M2 */
    assert_ok(out.status);
    for (int i = 0; i < TRIES; i++) {
        __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
        usleep(PAUSE_US);
        dep_now(&dep);
        if (dep.record.key_update == KEY_UPDATE_NONE) {
            break;
        }
    }
    assert_int_equal(dep.record.key_update, KEY_UPDATE_NONE);
}

/* no availability key opens the DEP key: a new generation, and the roll
 * comes to its end. The key of before opens by the customer keys alone. */
static void lose_and_roll(bool another)
{
    struct operation_view ordered;
    struct operation_view now;
    struct dep_view dep;
    struct outcome out;
    size_t objects = token_fake_keys(world.ak_fake);
    wait_for_update(); /* of the refresh */
    lose_key(1, another);
    customer_keys_are_down(true); /* none could be proved to open it */
    assert_ok(order(WORLD_DEP, &ordered));
    look(&ordered, &now);
    for (int i = 0; i < TRIES && now.record.error[0] == '\0'; i++) {
        usleep(PAUSE_US);
        look(&ordered, &now);
    }
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    dep_now(&dep);
    assert_int_equal(dep.record.generation, 2);
    customer_keys_are_down(false);
    wait_for_end(&ordered);
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ACTIVE);
    assert_int_equal(dep.record.ak_version, 2);
    assert_int_equal(dep.record.generation, 3);
    assert_int_equal(token_fake_keys(world.ak_fake), objects);
    assert_int_equal(world_audit_count(&world, "AvailabilityKeyCopyLost"), 1);
    wait_for_update();
    for (int i = 0; i < 2; i++) { /* by the availability key, as it should */
        customer_keys_are_down(true);
        world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &out);
        assert_ok(out.status);
        assert_int_equal(out.generation, 3);
        assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
        customer_keys_are_down(false);
        assert_ok(world_restart(&world));
    }
    /* those of before stay lost, and hinder no further roll */
    assert_ok(order(WORLD_DEP, &ordered));
    wait_for_end(&ordered);
    dep_now(&dep);
    assert_int_equal(dep.record.ak_version, 3);
    assert_int_equal(dep.record.generation, 3);
    assert_int_equal(token_fake_keys(world.ak_fake), objects);
    assert_int_equal(world_audit_count(&world, "AvailabilityKeyCopyLost"), 1);
}

static void a_lost_key_costs_a_generation(void **state)
{
    (void)state;
    lose_and_roll(false);
}

static void a_key_in_its_place_costs_a_generation(void **state)
{
    (void)state;
    lose_and_roll(true);
}

/* An outage of the AK token, however it looks, costs none, and no copy: nor
 * does one answer that the copy is bad, when it opens as it always did. */
static void an_outage_costs_no_generation(void **state)
{
    static const struct {
        enum hf_status mint;
        enum hf_status unwrap;
    } faults[] = {
        {HF_E_UNREACHABLE, HF_E_UNREACHABLE},
        {HF_E_TIMEOUT,     HF_E_TIMEOUT    },
        {HF_E_UNCONFIRMED, HF_E_UNCONFIRMED},
        {HF_E_MISUSE,      HF_E_MISUSE     },
        {HF_E_DENIED,      HF_E_DENIED     },
        {HF_E_BAD_BLOB,    HF_OK           },
        {HF_E_BAD_BLOB,    HF_E_UNREACHABLE},
        {HF_E_NOT_FOUND,   HF_OK           },
    };
    struct operation_view ordered;
    struct dep_view dep;
    (void)state;
    wait_for_update();
    size_t objects = token_fake_keys(world.ak_fake);
    for (uint32_t i = 0; i < 2 * HF_COUNT(faults); i++) {
        /* at the older generation's copy, and at the newest one's */
        uint64_t nth = 1 + i % 2;
        token_fake_fail_nth(world.ak_fake, TOKEN_OP_MINT, nth,
                            faults[i / 2].mint);
        if (faults[i / 2].unwrap != HF_OK) {
            token_fake_fail_nth(world.ak_fake, TOKEN_OP_UNWRAP, nth,
                                faults[i / 2].unwrap);
        }
        assert_ok(order(WORLD_DEP, &ordered));
        wait_for_end(&ordered);
        token_fake_clear(world.ak_fake);
        is_rolled(i + 2, objects);
        dep_now(&dep);
        assert_int_equal(dep.record.generation, 2);
    }
    assert_int_equal(world_audit_count(&world, "AvailabilityKeyCopyLost"), 0);
}

static void refused(enum hf_status status, const char *reason)
{
    assert_true(status != HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

/* One DEP that cannot come over keeps no other from it, and is come back to. */
static void one_that_fails_holds_up_no_other(void **state)
{
    struct operation_view ordered;
    struct operation_view now;
    struct dep_view dep = {.tenant = ""};
    (void)state;
    wait_for_update();
    world_dep(&world, "dep2", 0, RESIDENCY_TOKEN);
    lose_key(1, false);
    customer_keys_are_down(true); /* nor can a generation be made */
    assert_ok(order("", &ordered));
    for (int i = 0; i < TRIES && dep.record.ak_version != 2; i++) {
        assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "dep2",
                           &dep, &world.problem));
        usleep(PAUSE_US);
    }
    assert_int_equal(dep.record.ak_version, 2);
    assert_ok(world_restart(&world));
    for (int i = 0; i < 10; i++) { /* some more walks */
        __atomic_fetch_add(&world.now_ms, 6000, __ATOMIC_SEQ_CST);
        usleep(20 * PAUSE_US);
    }
    look(&ordered, &now);
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    assert_int_equal(now.record.done, 1);
    assert_true(now.record.error[0] != '\0');
    customer_keys_are_down(false);
    wait_for_end(&ordered);
    look(&ordered, &now);
    assert_int_equal(now.record.done, 2);
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ACTIVE);
    assert_int_equal(dep.record.ak_version, 2);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "dep2", &dep,
                       &world.problem));
    assert_int_equal(dep.record.ak_version, 2); /* once */
}

/* A roll that does not end keeps no refresh waiting: its generation is under
 * the version that the roll goes to. */
static void a_refresh_need_not_wait(void **state)
{
    struct operation_view ordered;
    struct operation_view refreshed;
    struct dep_view dep = {.tenant = ""};
    struct outcome out;
    const struct dep_refresh refresh = {.tenant = WORLD_TENANT,
                                        .dep = WORLD_DEP};
    (void)state;
    wait_for_update();
    world_key_version(&world, 0, "ck1", 3);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_DESTROY, HF_E_UNREACHABLE);
    assert_ok(order(WORLD_DEP, &ordered));
    for (int i = 0;
         i < TRIES && token_fake_calls(world.ak_fake, TOKEN_OP_DESTROY) == 0;
         i++) {
        usleep(PAUSE_US);
    }
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ROLLING);
    assert_ok(deps_refresh(world.service, &world.admin, &refresh, &refreshed,
                           &world.problem));
    dep_now(&dep);
    assert_int_equal(dep.record.ak_state, AK_ROLLING);
    assert_int_equal(dep.record.generation, 3);
    assert_ok(world_restart(&world));
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
    wait_for_update();
    dep_now(&dep);
    assert_int_equal(dep.record.ak_version, 2);
    for (int i = 0; i < 2; i++) {
        customer_keys_are_down(true);
        world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &out);
        assert_ok(out.status);
        assert_int_equal(out.generation, 3);
        assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
        customer_keys_are_down(false);
        assert_ok(world_restart(&world));
    }
}

/* One at a time; customers have no verb. */
static void one_at_a_time(void **state)
{
    struct operation_view ordered;
    struct operation_view other;
    const struct ak_roll request = {.tenant = WORLD_TENANT};
    (void)state;
    refused(deps_roll_ak(world.service, &world.admin, &request, &ordered,
                         &world.problem),
            "ROLE_REQUIRED");
    refused(order("absent", &ordered), "NOT_FOUND");
    world_dep(&world, "dep2", 0, RESIDENCY_TOKEN);
    world_key_version(&world, 0, "ck1", 3);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_DESTROY, HF_E_UNREACHABLE);
    assert_ok(order("dep2", &ordered));
    struct dep_view dep = {.tenant = ""};
    for (int i = 0; i < TRIES && dep.record.ak_state != AK_ROLLING; i++) {
        assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "dep2",
                           &dep, &world.problem));
        usleep(PAUSE_US);
    }
    refused(order("", &other), "STATE_CONFLICT");
    refused(order(WORLD_DEP, &other), "STATE_CONFLICT");
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
}

static void every_dep_of_the_tenant(void **state)
{
    struct operation_view ordered;
    struct dep_view dep;
    (void)state;
    world_dep(&world, "dep2", 0, RESIDENCY_TOKEN);
    world_dep(&world, "dep3", 0, RESIDENCY_TOKEN);
    size_t objects = token_fake_keys(world.ak_fake);
    assert_ok(order("", &ordered));
    assert_int_equal(ordered.record.total, 3);
    wait_for_end(&ordered);
    is_rolled(2, objects);
    for (int i = 2; i <= 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "dep%d", i);
        assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, name,
                           &dep, &world.problem));
        assert_int_equal(dep.record.ak_version, 2);
    }
}

/* by the service's own schedule. */
static void rolls_by_time(void **state)
{
    const int64_t day_ms = 86400000;
    struct dep_view dep;
    (void)state;
    world.settings.ak_roll_ms = 90 * day_ms;
    assert_ok(world_restart(&world));
    for (uint32_t version = 1; version <= 3; version++) {
        for (int i = 0; i < 20; i++) {
            __atomic_fetch_add(&world.now_ms, day_ms, __ATOMIC_SEQ_CST);
            usleep(30000);
        }
        dep_now(&dep); /* not yet */
        assert_int_equal(dep.record.ak_version, version);
        __atomic_fetch_add(&world.now_ms, 70 * day_ms, __ATOMIC_SEQ_CST);
        for (int i = 0; i < TRIES && dep.record.ak_version == version; i++) {
            usleep(PAUSE_US);
            dep_now(&dep);
        }
        assert_int_equal(dep.record.ak_version, version + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rolls_with_both_customer_keys_down,
                                        start, stop),
        cmocka_unit_test_setup_teardown(goes_on_after_a_restart, start, stop),
        cmocka_unit_test_setup_teardown(a_failing_token_only_delays, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_failing_store_only_delays, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_does_not_fit_its_commitment_stays,
                                        start, stop),
        cmocka_unit_test_setup_teardown(one_that_fails_holds_up_no_other, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_refresh_need_not_wait, start, stop),
        cmocka_unit_test_setup_teardown(one_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(every_dep_of_the_tenant, start, stop),
        cmocka_unit_test_setup_teardown(rolls_by_time, start, stop),
        cmocka_unit_test_setup_teardown(a_lost_key_costs_a_generation, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_key_in_its_place_costs_a_generation,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_outage_costs_no_generation, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("availability_roll", tests, NULL, NULL);
}
