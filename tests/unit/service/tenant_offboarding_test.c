/* Does a tenant leave its multi-workload DEP with every key (A4, A5, R-9.4 to
 * ), with older data still readable, and recover when that DEP's
 * keys are lost? */
#include "hsm/base/check.h"

#include "server/service/managed_roll.h"

#include "tests/unit/service/tenant_assignment_world.h"

#include <unistd.h>

/* A4, A5: everything opens, under the service-managed root. */
static void offboarding_leaves_nothing_behind(void **state)
{
    struct outcome box;
    struct outcome chat;
    struct outcome now;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    assign(ALL);
    generate(CHAT, &chat);
    offboard();
    /* */
    assert_string_equal(assignment().record.ticket, "T-1");
    assert_string_equal(assignment().record.contact, "ann@contoso.example");
    assert_string_equal(assignment().record.ground, "leaving");
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box) && now.service_managed);
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &chat) && now.service_managed);
    /* without the customer's keys */
    world_revoke(&world, "ck1", &world.m365);
    world_revoke(&world, "ck2", &world.m365);
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &chat));
    assert_int_equal(world_audit_count(&world, "OffboardTenant"), 1);
    assert_int_equal(world_audit_count(&world, "TenantOffboarded"), 1);
    world_grant(&world, "ck1", &world.m365, every_permission);
    world_grant(&world, "ck2", &world.m365, every_permission);
    /* and once more: the key of before is kept as well */
    assign(ALL);
    open_workload(CHAT, &chat, &now);
    assert_true(same_key(&now, &chat));
    open_workload(CHAT, NULL, &now);
    assert_false(same_key(&now, &chat));
}

static void roll_own_root(void)
{
    const struct managed_roll request = {.tenant = WORLD_TENANT};
    struct operation_view now;
    char id[HF_ID_TEXT];
    assert_ok(tenants_roll_managed(world.service, &world.operator_, &request,
                                   &now, &world.problem));
    id_format(&now.record.id, id);
    for (int i = 0; i < TRIES && now.record.state == OPERATION_RUNNING; i++) {
        __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
        usleep(PAUSE_US);
        assert_ok(operations_get(world.service, &world.operator_, WORLD_TENANT,
                                 id, &now, &world.problem));
    }
    assert_int_equal(now.record.state, OPERATION_SUCCEEDED);
}

/* data of before the assignment is opened with the copies that
 * lie beside it. A roll of the tenant's own root leaves the version that they
 * are under, over restarts and further rolls too; the others go. */
static void a_roll_keeps_what_an_earlier_key_needs(void **state)
{
    struct outcome old;
    struct outcome fresh;
    struct outcome now;
    (void)state;
    generate(CHAT, &old);
    assert_true(old.service_managed);
    assign(ALL);
    open_workload(CHAT, NULL, &fresh);
    assert_false(same_key(&fresh, &old));
    size_t objects = token_fake_keys(world.ak_fake);
    for (int i = 0; i < 3; i++) {
        roll_own_root();
        assert_int_equal(token_fake_keys(world.ak_fake), objects + 1);
        open_workload(CHAT, &old, &now);
        assert_true(same_key(&now, &old));
        open_workload(CHAT, NULL, &now);
        assert_true(same_key(&now, &fresh));
        assert_ok(world_restart(&world));
    }
    offboard(); /* the newer key comes under the newest version */
    roll_own_root();
    open_workload(CHAT, &old, &now);
    assert_true(same_key(&now, &old));
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &fresh) && now.service_managed);
    assert_int_equal(token_fake_keys(world.ak_fake), objects + 1);
}

/* what is left is counted; and A5 waits for the last key, though the
 * walk of the operation has passed. */
static void what_is_left_is_counted_and_waited_for(void **state)
{
    struct operation_view operation;
    struct outcome box;
    struct outcome chat;
    struct outcome now;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    assign(ALL);
    generate(CHAT, &chat);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_SEAL, HF_E_UNREACHABLE);
    assert_ok(try_offboard(&operation));
    wait_for_trouble(&operation);
    assert_int_equal(assignment().record.state, ASSIGNMENT_OFFBOARDING);
    assert_int_equal(assignment().remaining, 2);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_SEAL, HF_OK);
    open_box(FREE_BOX, &now); /* on access */
    assert_int_equal(assignment().remaining, 1);
    for (int i = 0; i < 100 && assignment().record.state != ASSIGNMENT_NONE;
         i++) {
        let_pass(10000);
    }
    wait_for(ASSIGNMENT_NONE);
    assert_int_equal(assignment().remaining, 0);
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &chat) && now.service_managed);
}

/* */
static void an_assigned_dep_is_not_disabled(void **state)
{
    struct dep_update disable = {
        .tenant = WORLD_TENANT, .dep = ALL, .set_enabled = true};
    struct dep_view dep;
    struct operation_view operation;
    (void)state;
    assign(ALL);
    for (int i = 0; i < 2; i++) {
        assert_refused(deps_update(world.service, &world.admin, &disable, &dep,
                                   &world.problem),
                       "DEP_IN_USE");
        assert_ok(world_restart(&world));
    }
    tokens_are_down(true); /* needed until all is rewrapped */
    tokens_are_down(false);
    assert_ok(try_offboard(&operation));
    if (assignment().record.state == ASSIGNMENT_OFFBOARDING) {
        assert_refused(deps_update(world.service, &world.admin, &disable, &dep,
                                   &world.problem),
                       "DEP_IN_USE");
    }
    wait_for(ASSIGNMENT_NONE);
    assert_ok(deps_update(world.service, &world.admin, &disable, &dep,
                          &world.problem));
    assert_refused(try_assign(ALL, &operation), "DEP_NOT_ENABLED");
}

/* either key denied, by grants, by the token; an outage is no denial. */
static void a_denied_key_forbids_offboarding(void **state)
{
    struct operation_view operation;
    (void)state;
    assign(ALL);
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "ck1" : "ck2";
        world_revoke(&world, key, &world.m365);
        world_revoke(&world, key, &world.workload);
        world_revoke(&world, key, &world.system);
        assert_refused(try_offboard(&operation), "CUSTOMER_KEY_DENIED");
        assert_int_equal(assignment().record.state, ASSIGNMENT_ASSIGNED);
        grant(key);
        /* asked now: what was known of it was good */
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_DENIED);
        assert_refused(try_offboard(&operation), "CUSTOMER_KEY_DENIED");
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP, HF_OK);
    }
    offboard();
}

/* both keys lost; a new DEP over new ones. */
static void lost_keys_are_recovered_by_another_dep(void **state)
{
    struct outcome box;
    struct outcome chat;
    struct outcome now;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    assign(ALL);
    generate(CHAT, &chat);
    world_enroll(&world, WORLD_TENANT, 2);
    world_key(&world, WORLD_TENANT, 2, "ck3", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    world_key(&world, WORLD_TENANT, 1, "ck4", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    grant("ck3");
    grant("ck4");
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "ck1" : "ck2";
        world_revoke(&world, key, &world.m365);
        world_revoke(&world, key, &world.workload);
        world_revoke(&world, key, &world.system);
    }
    call_workload(VERB_UNWRAP_KEY, &world.m365, CHAT, NULL, &now);
    assert_string_equal(reason_word(now.problem.reason), "KEY_ACCESS_DENIED");
    new_dep("rescue", "ck3", "ck4");
    assign("rescue");
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box) && is_under(&now, "rescue"));
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &chat) && is_under(&now, "rescue"));
    assert_true(world_audit_count(&world, "Fallback to Availability Key") >= 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(offboarding_leaves_nothing_behind),
        CASE(a_roll_keeps_what_an_earlier_key_needs),
        CASE(what_is_left_is_counted_and_waited_for),
        CASE(an_assigned_dep_is_not_disabled),
        CASE(a_denied_key_forbids_offboarding),
        CASE(lost_keys_are_recovered_by_another_dep),
    };
    return cmocka_run_group_tests_name("tenant_offboarding", tests, NULL, NULL);
}
