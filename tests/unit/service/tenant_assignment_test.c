/* Does a tenant's multi-workload DEP come over its keys, and one after another,
 * as section 3.3 (A1 to A3) has it, with precedence, older data (R-5.3,
 * ), progress and alert, and without the hot lane noticing? */
#include "hsm/base/check.h"

#include "server/service/dep_refresh.h"
#include "server/service/workloads.h"
#include "server/service/wrapped.h"

#include "tests/unit/service/tenant_assignment_world.h"

#include <stdio.h>
#include <unistd.h>

/* A1, A2: by itself.: existing and new for Exchange. */
static void assignment_brings_keys_under_the_dep(void **state)
{
    struct outcome box;
    struct outcome signals;
    struct outcome now;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    generate(SIGNALS, &signals);
    assert_true(box.service_managed && signals.service_managed);
    assert_int_equal(assignment().record.state, ASSIGNMENT_NONE);
    assign(ALL);
    struct tenant_assignment_view view = assignment();
    assert_int_equal(view.record.number, 1);
    assert_int_equal(view.percent, 100);
    assert_int_equal(view.remaining, 0);
    assert_true(view.record.effective_ms >= view.record.assigned_ms);
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box) && is_under(&now, ALL));
    open_workload(SIGNALS, NULL, &now);
    assert_true(same_key(&now, &signals) && is_under(&now, ALL));
    /* what was wrapped before still opens */
    open_workload(SIGNALS, &signals, &now);
    assert_true(same_key(&now, &signals) && now.service_managed);
    assert_int_equal(world_audit_count(&world, "AssignTenant"), 1);
    assert_int_equal(world_audit_count(&world, "TenantAssigned"), 1);
}

/* New keys go there from the reply on. */
static void new_keys_are_under_it_at_once(void **state)
{
    struct operation_view operation;
    struct outcome chat;
    struct outcome now;
    (void)state;
    assert_ok(try_assign(ALL, &operation));
    generate(CHAT, &chat);
    assert_true(is_under(&chat, ALL));
    wait_for(ASSIGNMENT_ASSIGNED);
    open_workload(CHAT, NULL, &now);
    assert_true(same_key(&now, &chat));
}

/* Who needs this generation, by the index. */
static uint64_t count_under(const struct dep_ref *ref)
{
    struct wrapped_counts counts;
    assert_ok(
        wrapped_count(world.service, &ref->dep, ref->generation, &counts));
    return counts.here;
}

/* new data gets a new key; a read of older data stays on the
 * service-managed one, also after a restart. */
static void older_data_of_new_only_stays_where_it_is(void **state)
{
    struct outcome old;
    struct outcome new;
    struct outcome now;
    struct workload_view view;
    (void)state;
    generate(CHAT, &old);
    assign(ALL);
    open_workload(CHAT, NULL, &new);
    assert_false(same_key(&new, &old));
    assert_true(is_under(&new, ALL));
    for (int i = 0; i < 2; i++) {
        open_workload(CHAT, &old, &now);
        assert_true(same_key(&now, &old) && now.service_managed);
        open_workload(CHAT, NULL, &now);
        assert_true(same_key(&now, &new));
        assert_ok(workloads_get(world.service, &world.m365, WORLD_TENANT, CHAT,
                                &view, &world.problem));
        assert_int_equal(view.record.earlier_count, 1);
        assert_memory_equal(view.record.earlier[0].envelope, old.envelope,
                            old.envelope_len);
        assert_int_equal(count_under(&view.record.earlier[0].by), 1);
        assert_ok(world_restart(&world));
    }
    assert_int_equal(world_audit_count(&world, "NewWorkloadKey"), 1);
}

/* Until the operation comes to it, whoever asks gets the key it has. */
static void a_key_is_not_renewed_under_its_reader(void **state)
{
    struct operation_view operation;
    struct outcome old;
    struct outcome now;
    (void)state;
    generate(CHAT, &old);
    tokens_are_down(true);
    assert_ok(try_assign(ALL, &operation));
    wait_for_trouble(&operation);
    tokens_are_down(false);
    for (int i = 0; i < 3; i++) {
        open_workload(CHAT, NULL, &now);
        assert_true(same_key(&now, &old));
        call_workload(VERB_REWRAP_KEY, &world.m365, CHAT, NULL, &now);
        assert_ok(now.status);
        assert_true(now.service_managed);
        assert_memory_equal(now.envelope, old.envelope, old.envelope_len);
    }
    assert_int_equal(assignment().record.state, ASSIGNMENT_ASSIGNING);
    assert_int_equal(world_audit_count(&world, "NewWorkloadKey"), 0);
}

/* never over a mailbox DEP; and M7: back under it. */
static void a_mailbox_dep_comes_first(void **state)
{
    struct outcome own;
    struct outcome now;
    struct hf_id dep1 = id_of(WORLD_DEP, DEP_TYPE_EXCHANGE_MAILBOX);
    struct mailbox_assign none = {.tenant = WORLD_TENANT, .id = WORLD_MAILBOX};
    struct mailbox_view view;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &own);
    assert_true(id_equal(&own.dep, &dep1));
    assign(ALL);
    open_box(WORLD_MAILBOX, &now);
    assert_true(same_key(&now, &own) && id_equal(&now.dep, &dep1));
    assert_ok(mailboxes_assign(world.service, &world.admin, &none, &view,
                               &world.problem));
    open_box(WORLD_MAILBOX, &now); /* the access that moves it */
    open_box(WORLD_MAILBOX, &now);
    assert_true(same_key(&now, &own) && is_under(&now, ALL));
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT,
                            WORLD_MAILBOX, &view, &world.problem));
    assert_int_equal(view.state, MAILBOX_ENCRYPTED);
}

/* A mailbox that waits to move to its own DEP is not moved to the tenant's. */
static void a_waiting_mailbox_goes_where_it_waits_for(void **state)
{
    struct outcome box;
    struct outcome now;
    struct mailbox_assign own = {
        .tenant = WORLD_TENANT, .id = FREE_BOX, .dep = WORLD_DEP};
    struct mailbox_view view;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    assert_ok(mailboxes_assign(world.service, &world.admin, &own, &view,
                               &world.problem));
    assign(ALL);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, FREE_BOX,
                            &view, &world.problem));
    assert_int_equal(view.state, MAILBOX_REWRAP_PENDING);
    assert_true(view.effective_is_service_managed); /* no access */
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box));
}

/* A3: the earlier one is unassigned at once, and needed until all is moved. */
static void another_dep_takes_over(void **state)
{
    struct outcome chat;
    struct outcome signals;
    struct outcome now;
    struct dep_update disable = {
        .tenant = WORLD_TENANT, .dep = ALL, .set_enabled = true};
    struct dep_view dep;
    (void)state;
    assign(ALL);
    generate(CHAT, &chat);
    generate(SIGNALS, &signals);
    new_dep("other", "ck1", "ck2");
    assign("other");
    assert_int_equal(assignment().record.number, 2);
    open_workload(CHAT, NULL, &now);
    /* moved, not renewed: it was under a DEP of the tenant's already */
    assert_true(same_key(&now, &chat) && is_under(&now, "other"));
    open_workload(SIGNALS, NULL, &now);
    assert_true(same_key(&now, &signals) && is_under(&now, "other"));
    assert_ok(deps_update(world.service, &world.admin, &disable, &dep,
                          &world.problem));
    assert_int_equal(dep.record.state, DEP_DISABLED);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "other", &dep,
                       &world.problem));
    assert_int_equal(dep.assigned_count, 1);
}

/* A3 from ASSIGNING: the first operation steps back. */
static void the_last_assignment_wins(void **state)
{
    struct operation_view first;
    struct operation_view second;
    struct outcome box;
    struct outcome now;
    char id[HF_ID_TEXT];
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    new_dep("other", "ck1", "ck2");
    tokens_are_down(true);
    assert_ok(try_assign(ALL, &first));
    assert_ok(try_assign("other", &second));
    assert_int_equal(assignment().record.state, ASSIGNMENT_ASSIGNING);
    tokens_are_down(false);
    for (int i = 0; i < 100 && assignment().record.state != ASSIGNMENT_ASSIGNED;
         i++) {
        let_pass(10000); /* breakers, and the pause before the next walk */
    }
    wait_for(ASSIGNMENT_ASSIGNED);
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box) && is_under(&now, "other"));
    id_format(&first.record.id, id);
    for (int i = 0; i < TRIES && first.record.state == OPERATION_RUNNING; i++) {
        assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                                 &first, &world.problem));
        usleep(PAUSE_US);
    }
    assert_int_equal(first.record.state, OPERATION_FAILED);
}

/* after a refresh the tenant's keys come along by themselves. */
static void a_refresh_moves_what_is_under_it(void **state)
{
    const struct dep_replace replace = {
        .tenant = WORLD_TENANT, .dep = ALL, .keys = {"ck3", "ck2"}
    };
    struct operation_view operation;
    struct outcome chat;
    struct dep_view dep;
    struct workload_view view = {.row = NULL};
    (void)state;
    assign(ALL);
    generate(CHAT, &chat);
    world_enroll(&world, WORLD_TENANT, 2);
    world_key(&world, WORLD_TENANT, 2, "ck3", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    grant("ck3");
    assert_ok(deps_replace(world.service, &world.compliance, &replace,
                           &operation, &world.problem));
    for (int i = 0; i < 100 && view.record.effective.generation != 2; i++) {
        let_pass(1000);
        assert_ok(workloads_get(world.service, &world.m365, WORLD_TENANT, CHAT,
                                &view, &world.problem));
    }
    assert_int_equal(view.record.effective.generation, 2);
    for (int i = 0; i < 100; i++) {
        let_pass(1000);
        assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, ALL, &dep,
                           &world.problem));
        if (dep.record.key_update == KEY_UPDATE_NONE) {
            break;
        }
    }
    assert_int_equal(dep.record.key_update, KEY_UPDATE_NONE);
    open_workload(CHAT, NULL, &chat);
}

/* 24 hours, then an alert, once, also over a restart. */
static void a_day_without_effect_is_an_alert(void **state)
{
    struct operation_view operation;
    struct outcome box;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    tokens_are_down(true);
    assert_ok(try_assign(ALL, &operation));
    let_pass(23LL * HOUR_MS);
    assert_false(assignment().overdue);
    assert_int_equal(world_audit_count(&world, "AssignmentOverdue"), 0);
    let_pass(HOUR_MS);
    for (int i = 0;
         i < 100 && world_audit_count(&world, "AssignmentOverdue") == 0; i++) {
        let_pass(5000);
    }
    assert_true(assignment().overdue);
    assert_true(assignment().remaining > 0);
    assert_ok(world_restart(&world));
    for (int i = 0; i < 10; i++) {
        let_pass(20000);
    }
    assert_int_equal(world_audit_count(&world, "AssignmentOverdue"), 1);
    tokens_are_down(false);
    for (int i = 0; i < 100 && assignment().record.state != ASSIGNMENT_ASSIGNED;
         i++) {
        let_pass(10000);
    }
    assert_int_equal(assignment().record.state, ASSIGNMENT_ASSIGNED);
    assert_false(assignment().overdue);
}

/* A restart in the middle goes on where it was. */
static void a_restart_goes_on(void **state)
{
    struct operation_view operation;
    struct outcome box;
    struct outcome now;
    (void)state;
    world_generate(&world, FREE_BOX, &box);
    tokens_are_down(true);
    assert_ok(try_assign(ALL, &operation));
    assert_ok(world_restart(&world));
    assert_int_equal(assignment().record.state, ASSIGNMENT_ASSIGNING);
    tokens_are_down(false);
    for (int i = 0; i < 100 && assignment().record.state != ASSIGNMENT_ASSIGNED;
         i++) {
        let_pass(10000);
    }
    wait_for(ASSIGNMENT_ASSIGNED);
    open_box(FREE_BOX, &now);
    assert_true(same_key(&now, &box) && is_under(&now, ALL));
}

/* Every event in every state that the table does not have. */
static void what_is_not_in_the_table_is_refused(void **state)
{
    struct operation_view operation;
    (void)state;
    assert_refused(try_offboard(&operation), "STATE_CONFLICT");
    assert_refused(try_assign(WORLD_DEP, &operation), "NOT_FOUND");
    assert_refused(try_assign("no-such", &operation), "NOT_FOUND");
    assign(ALL);
    assert_refused(try_assign(ALL, &operation), "STATE_CONFLICT");
    assert_int_equal(assignment().record.number, 1);
    struct tenant_assign preview = {
        .tenant = WORLD_TENANT,
        .dep = ALL,
        .mutation = {.validate_only = true},
    };
    new_dep("other", "ck1", "ck2");
    snprintf(preview.dep, sizeof preview.dep, "other");
    assert_ok(tenant_assignments_assign(world.service, &world.admin, &preview,
                                        &operation, &world.problem));
    assert_true(id_is_nil(&operation.record.id));
    assert_int_equal(assignment().record.number, 1);
    struct tenant_offboard bare = {.tenant = WORLD_TENANT, .ticket = "T-1"};
    assert_refused(tenant_assignments_offboard(world.service, &world.operator_,
                                               &bare, &operation,
                                               &world.problem),
                   "FIELD_INVALID");
    snprintf(bare.contact, sizeof bare.contact, "c");
    snprintf(bare.ground, sizeof bare.ground, "g");
    assert_refused(tenant_assignments_offboard(world.service, &world.admin,
                                               &bare, &operation,
                                               &world.problem),
                   "ROLE_REQUIRED");
}

/* The hot lane stays hot under a multi-workload DEP: no store write, no root
 * operation. */
static void the_hot_lane_writes_and_asks_nothing(void **state)
{
    struct outcome chat;
    struct outcome box;
    struct outcome pcs;
    struct outcome now;
    struct service_counters before;
    struct service_counters after;
    (void)state;
    generate(PCS, &pcs); /* not switched on: stays where it is */
    generate(CHAT, &chat);
    world_generate(&world, FREE_BOX, &box);
    assign(ALL);
    open_workload(CHAT, NULL, &chat);
    open_box(FREE_BOX, &box);
    open_workload(PCS, NULL, &pcs);
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 100; i++) {
        open_workload(CHAT, NULL, &now);
        assert_true(same_key(&now, &chat));
        open_box(FREE_BOX, &now);
        assert_true(same_key(&now, &box));
        open_workload(PCS, NULL, &now);
        assert_true(same_key(&now, &pcs) && now.service_managed);
    }
    service_counters_get(world.service, &after);
    assert_int_equal(after.store_writes, before.store_writes);
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.slow_calls, before.slow_calls);
    assert_int_equal(after.hot_calls, before.hot_calls + 300);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(assignment_brings_keys_under_the_dep),
        CASE(new_keys_are_under_it_at_once),
        CASE(older_data_of_new_only_stays_where_it_is),
        CASE(a_key_is_not_renewed_under_its_reader),
        CASE(a_mailbox_dep_comes_first),
        CASE(a_waiting_mailbox_goes_where_it_waits_for),
        CASE(another_dep_takes_over),
        CASE(the_last_assignment_wins),
        CASE(a_refresh_moves_what_is_under_it),
        CASE(a_day_without_effect_is_an_alert),
        CASE(a_restart_goes_on),
        CASE(what_is_not_in_the_table_is_refused),
        CASE(the_hot_lane_writes_and_asks_nothing),
    };
    return cmocka_run_group_tests_name("tenant_assignment", tests, NULL, NULL);
}
