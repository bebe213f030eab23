/* Do long-running operations end, keep what they did, come again after a
 * failure and a restart, and leave every key openable? */
#include "hsm/base/check.h"

#include "server/service/dep_rewrap.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOXES    150 /* more than one step deals with */
#define PAUSE_US 2000
#define TRIES    10000

static struct world world;
static struct outcome made[BOXES];

static void box_name(int i, char out[32])
{
    snprintf(out, 32, "box%03d@contoso.example", i);
}

static void assign(const char *id, const char *dep)
{
    struct mailbox_assign request = {.tenant = WORLD_TENANT};
    struct mailbox_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    assert_ok(mailboxes_assign(world.service, &world.admin, &request, &view,
                               &world.problem));
}

/* Mailboxes with keys under dep1, assigned to dep2 meanwhile. */
static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        box_name(i, name);
        world_mailbox(&world, name, WORLD_DEP);
        world_generate(&world, name, &made[i]);
        assign(name, "dep2");
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void order(struct operation_view *out)
{
    const struct dep_rewrap request = {.tenant = WORLD_TENANT,
                                       .dep = WORLD_DEP};
    assert_ok(deps_rewrap(world.service, &world.admin, &request, out,
                          &world.problem));
    assert_int_equal(out->record.state, OPERATION_RUNNING);
    /* the one of world_ready as well */
    assert_int_equal(out->record.total, BOXES + 1);
}

static void look(const struct operation_view *order, struct operation_view *out)
{
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id, out,
                             &world.problem));
    assert_true(out->record.percent >= order->record.percent);
    assert_int_equal(out->record.percent == 100,
                     out->record.state == OPERATION_SUCCEEDED);
}

static void wait_for(const struct operation_view *order,
                     enum operation_state state, struct operation_view *out)
{
    for (int i = 0; i < TRIES; i++) {
        struct operation_view before = *out;
        look(order, out);
        assert_true(out->record.percent >= before.record.percent || i == 0);
        if (out->record.state == state) {
            return;
        }
        usleep(PAUSE_US);
    }
    fail_msg("the operation is %s, %u %%: %s",
             operation_state_text(out->record.state), out->record.percent,
             out->record.error);
}

static size_t count_moved(void)
{
    size_t moved = 0;
    struct dep_view dep;
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "dep2", &dep,
                       &world.problem));
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        struct mailbox_view view;
        box_name(i, name);
        assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, name,
                                &view, &world.problem));
        moved += id_equal(&view.record.effective.dep, &dep.record.id);
    }
    return moved;
}

static void assert_all_open(void)
{
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        struct outcome opened;
        box_name(i, name);
        const struct call_options options = {
            .caller = &world.workload,
            .verb = VERB_UNWRAP_KEY,
            .mailbox = name,
        };
        world_call(&world, &options, &opened);
        assert_ok(opened.status);
        assert_memory_equal(opened.key, made[i].key, HF_KEY_BYTES);
    }
}

static void every_key_moves(void **state)
{
    struct operation_view ordered;
    struct operation_view now = {.tenant = ""};
    (void)state;
    assert_int_equal(count_moved(), 0);
    order(&ordered);
    wait_for(&ordered, OPERATION_SUCCEEDED, &now);
    assert_int_equal(count_moved(), BOXES);
    assert_int_equal(now.record.failed, 0);
    assert_string_equal(now.record.error, "");
    assert_true(now.record.ended_ms > 0);
    assert_int_equal(world_audit_count(&world, "OperationEnded"), 1);
    assert_int_equal(world_audit_count(&world, "RewrapDep"), 1);
    assert_int_equal(world_audit_count(&world, "RewrapKey"), BOXES);
    assert_all_open();
}

static void nothing_can_be_reached(bool down)
{
    static const enum token_op ops[] = {TOKEN_OP_UNWRAP, TOKEN_OP_OPEN,
                                        TOKEN_OP_SEAL};
    const enum hf_status status = down ? HF_E_UNREACHABLE : HF_OK;
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        token_fake_fail_all(world.customer_fake[0], ops[i], status);
        token_fake_fail_all(world.customer_fake[1], ops[i], status);
        token_fake_fail_all(world.ak_fake, ops[i], status);
    }
}

/* What cannot be moved now is moved later; nothing is given up. */
static void an_outage_only_delays(void **state)
{
    struct operation_view ordered;
    struct operation_view now = {.tenant = ""};
    (void)state;
    nothing_can_be_reached(true);
    order(&ordered);
    for (int i = 0; i < TRIES && now.record.error[0] == '\0'; i++) {
        look(&ordered, &now);
        usleep(PAUSE_US);
    }
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    assert_non_null(strstr(now.record.error, "tenants/contoso/mailboxes/box"));
    nothing_can_be_reached(false);
    for (int i = 0; i < 100 && now.record.state == OPERATION_RUNNING; i++) {
        /* the breakers' probes and the pause before the next walk */
        __atomic_fetch_add(&world.now_ms, 10000, __ATOMIC_SEQ_CST);
        usleep(100 * PAUSE_US);
        look(&ordered, &now);
    }
    assert_int_equal(now.record.state, OPERATION_SUCCEEDED);
    assert_int_equal(count_moved(), BOXES);
    assert_all_open();
}

static void a_restart_goes_on(void **state)
{
    struct operation_view ordered;
    struct operation_view now = {.tenant = ""};
    (void)state;
    order(&ordered);
    assert_ok(world_restart(&world));
    wait_for(&ordered, OPERATION_SUCCEEDED, &now);
    assert_int_equal(count_moved(), BOXES);
    assert_all_open();
}

static void cancel(const struct operation_view *of, enum hf_status expected,
                   enum reason reason)
{
    struct operation_cancel request = {.tenant = WORLD_TENANT};
    struct operation_view view;
    id_format(&of->record.id, request.id);
    assert_status(operations_cancel(world.service, &world.admin, &request,
                                    &view, &world.problem),
                  expected);
    if (expected == HF_OK) {
        assert_int_equal(view.record.state, OPERATION_CANCELLED);
    } else {
        assert_string_equal(reason_word(world.problem.reason),
                            reason_word(reason));
    }
}

static void a_cancelled_one_stops(void **state)
{
    struct operation_view ordered;
    struct operation_view now = {.tenant = ""};
    (void)state;
    nothing_can_be_reached(true); /* so that it cannot be done before */
    order(&ordered);
    cancel(&ordered, HF_OK, REASON_NONE);
    look(&ordered, &now);
    assert_int_equal(now.record.state, OPERATION_CANCELLED);
    cancel(&ordered, HF_E_PRECONDITION, REASON_STATE_CONFLICT);
    nothing_can_be_reached(false);
    for (int i = 0; i < 10; i++) {
        __atomic_fetch_add(&world.now_ms, 10000, __ATOMIC_SEQ_CST);
        usleep(100 * PAUSE_US);
    }
    assert_int_equal(count_moved(), 0);
    look(&ordered, &now);
    assert_int_equal(now.record.state, OPERATION_CANCELLED);
    assert_int_equal(world_audit_count(&world, "OperationEnded"), 1);
    assert_all_open();
}

static void one_at_a_time(void **state)
{
    struct operation_view ordered;
    struct operation_view view;
    struct dep_rewrap request = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    (void)state;
    nothing_can_be_reached(true);
    order(&ordered);
    assert_status(deps_rewrap(world.service, &world.admin, &request, &view,
                              &world.problem),
                  HF_E_PRECONDITION);
    assert_string_equal(reason_word(world.problem.reason), "STATE_CONFLICT");
    snprintf(request.dep, sizeof request.dep, "dep2");
    request.mutation.validate_only = true;
    assert_ok(deps_rewrap(world.service, &world.admin, &request, &view,
                          &world.problem));
    assert_true(id_is_nil(&view.record.id));
    struct operation_view found[3];
    struct operation_list list = {.views = found, .cap = 3};
    const struct page_request page = {.size = 3};
    assert_ok(operations_list(world.service, &world.admin, WORLD_TENANT, &page,
                              &list, &world.problem));
    assert_int_equal(list.count, 1);
    cancel(&ordered, HF_OK, REASON_NONE);
    nothing_can_be_reached(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_key_moves, start, stop),
        cmocka_unit_test_setup_teardown(an_outage_only_delays, start, stop),
        cmocka_unit_test_setup_teardown(a_restart_goes_on, start, stop),
        cmocka_unit_test_setup_teardown(a_cancelled_one_stops, start, stop),
        cmocka_unit_test_setup_teardown(one_at_a_time, start, stop),
    };
    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
