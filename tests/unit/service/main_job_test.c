/* Does a mailbox key go round: made, opened hot and cold, revoked, restored,
 * moved, and after a restart? */
#include "server/service/ak_audit.h"
#include "server/service/ak_capacity.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

static struct world world;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void assert_same_key(const struct outcome *a, const struct outcome *b)
{
    assert_ok(b->status);
    assert_true(b->has_key);
    assert_memory_equal(a->key, b->key, HF_KEY_BYTES);
}

static void opens_again(enum residency residency)
{
    struct outcome made;
    struct outcome opened;
    struct service_counters before;
    struct service_counters after;
    world_ready(&world, 60000, residency);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_int_equal(made.envelope_len, ENVELOPE_KEY_BYTES);
    assert_false(made.service_managed);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_same_key(&made, &opened);
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 100; i++) {
        world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
        assert_same_key(&made, &opened);
    }
    service_counters_get(world.service, &after);
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.store_writes, before.store_writes);
    assert_int_equal(after.hot_calls - before.hot_calls, 100);
}

static void opens_hot_in_the_token(void **state)
{
    (void)state;
    opens_again(RESIDENCY_TOKEN);
}

static void opens_hot_in_memory(void **state)
{
    (void)state;
    opens_again(RESIDENCY_MEMORY);
}

static void revocation_follows_the_table(void **state)
{
    struct outcome made;
    struct outcome opened;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    for (int i = 0; i < 2; i++) {
        world_revoke(&world, i == 0 ? "ck1" : "ck2", &world.workload);
        world_revoke(&world, i == 0 ? "ck1" : "ck2", &world.system);
        if (i == 0) {
            world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
            assert_same_key(&made, &opened);
        }
    }
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_status(opened.status, HF_E_DENIED);
    assert_int_equal(opened.problem.reason, REASON_KEY_ACCESS_DENIED);
    assert_false(opened.has_key);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
    world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &opened);
    assert_same_key(&made, &opened);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
    world_grant(&world, "ck2", &world.workload, PERMISSION_UNWRAP);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_same_key(&made, &opened);
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 1);
}

static void moves_on_access(void **state)
{
    struct outcome made;
    struct outcome opened;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT,
        .id = WORLD_MAILBOX,
        .dep = "",
    };
    struct mailbox_view view;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    assert_int_equal(view.state, MAILBOX_REWRAP_PENDING);
    assert_memory_equal(&view.record.effective.dep, &made.dep, sizeof made.dep);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_same_key(&made, &opened);
    assert_int_equal(opened.envelope_len, ENVELOPE_KEY_BYTES);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT,
                            WORLD_MAILBOX, &view, &world.problem));
    assert_int_equal(view.state, MAILBOX_SERVICE_MANAGED);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_same_key(&made, &opened);
    assert_true(opened.service_managed);
    /* the client's copy from before the move still opens */
    const struct call_options old_copy = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .wrapped = made.envelope,
        .wrapped_len = made.envelope_len,
    };
    world_call(&world, &old_copy, &opened);
    assert_same_key(&made, &opened);
}

static void survives_a_restart(void **state)
{
    struct outcome made;
    struct outcome opened;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(world_restart(&world));
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_same_key(&made, &opened);
}

static void strangers_are_refused_warm_and_cold(void **state)
{
    struct outcome made;
    struct outcome opened;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    for (int warm = 0; warm < 2; warm++) {
        for (int initiator = INITIATOR_USER; initiator <= INITIATOR_SYSTEM;
             initiator++) {
            world_unwrap(&world, &world.stranger, (enum initiator)initiator,
                         &opened);
            assert_int_equal(opened.problem.reason, REASON_KEY_ACCESS_DENIED);
            assert_false(opened.has_key);
        }
        world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
        assert_same_key(&made, &opened);
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
}

static HF_STATUS create_another(const char *name)
{
    struct dep_create request = {
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .tenant = WORLD_TENANT,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 60000,
    };
    struct dep_view view;
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    snprintf(request.name, sizeof request.name, "%s", name);
    return deps_create(world.service, &world.admin, &request, &view,
                       &world.problem);
}

static void check_full(void)
{
    size_t keys = token_fake_keys(world.ak_fake);
    assert_status(create_another("one-more"), HF_E_LIMIT);
    assert_string_equal(reason_word(world.problem.reason), "AK_TOKEN_FULL");
    assert_int_equal(world.problem.retry_ms, 0);
    assert_non_null(strstr(world.problem.text, "% full"));
    assert_int_equal(token_fake_keys(world.ak_fake), keys);
}

/* by the number that is configured, and by what the token tells. The
 * tenant's own root and the first DEP's key are there. */
static void a_full_token_takes_no_dep(void **state)
{
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world.settings.ak_capacity_objects = 2;
    assert_ok(world_restart(&world));
    check_full();
    world.settings.ak_capacity_objects = 3;
    assert_ok(world_restart(&world));
    assert_ok(create_another("third"));
    check_full();
    world.settings.ak_capacity_objects = 0;
    assert_ok(world_restart(&world));
    assert_ok(create_another("fourth"));
    token_fake_capacity(world.ak_fake, 5, 100);
    check_full();
    token_fake_capacity(world.ak_fake, 6, 100);
    assert_ok(create_another("fifth"));
    struct ak_token_views shown;
    assert_ok(ak_capacity_get(world.service, &world.operator_, &shown,
                              &world.problem));
    /* that of geos is another one: empty, and without a gauge */
    assert_int_equal(shown.count, 2);
    assert_false(shown.views[0].sharepoint);
    assert_true(shown.views[0].reachable);
    assert_int_equal(shown.views[0].facts.objects, 5);
    assert_int_equal(shown.views[0].capacity.level, CAPACITY_LOW);
    assert_int_equal(shown.views[0].capacity.percent, 94);
    assert_true(shown.views[1].sharepoint);
    assert_int_equal(shown.views[1].facts.objects, 0);
    assert_int_equal(shown.views[1].capacity.level, CAPACITY_UNKNOWN);
    assert_status(
        ak_capacity_get(world.service, &world.admin, &shown, &world.problem),
        HF_E_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_hot_in_the_token, start, stop),
        cmocka_unit_test_setup_teardown(opens_hot_in_memory, start, stop),
        cmocka_unit_test_setup_teardown(revocation_follows_the_table, start,
                                        stop),
        cmocka_unit_test_setup_teardown(moves_on_access, start, stop),
        cmocka_unit_test_setup_teardown(a_full_token_takes_no_dep, start, stop),
        cmocka_unit_test_setup_teardown(survives_a_restart, start, stop),
        cmocka_unit_test_setup_teardown(strangers_are_refused_warm_and_cold,
                                        start, stop),
    };
    return cmocka_run_group_tests_name("service_main_job", tests, NULL, NULL);
}
