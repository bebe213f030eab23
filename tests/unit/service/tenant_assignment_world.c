#include "tests/unit/service/tenant_assignment_world.h"

#include "hsm/base/check.h"

#include "server/service/workloads.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const uint32_t every_permission =
    PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;

struct world world;

void new_dep(const char *name, const char *first, const char *second)
{
    const struct world_dep_options options = {
        .name = name,
        .type = DEP_TYPE_MULTI_WORKLOAD,
        .keys = {first, second},
        .workload = &world.m365,
        .key_lease_ms = 60000,
    };
    world_dep_of(&world, &options);
}

void grant(const char *key)
{
    world_grant(&world, key, &world.m365, every_permission);
    world_grant(&world, key, &world.workload, every_permission);
}

const struct caller *owner_of(const char *word)
{
    return strcmp(word, CHAT) == 0 || strcmp(word, PCS) == 0 ? &world.m365
                                                             : &world.workload;
}

void enlist(const char *word)
{
    struct workload_register request = {.tenant = WORLD_TENANT};
    struct workload_view view;
    snprintf(request.word, sizeof request.word, "%s", word);
    assert_ok(workloads_register(world.service, owner_of(word), &request, &view,
                                 &world.problem));
    assert_true(view.registered);
    assert_int_equal(view.state, MAILBOX_KEYLESS);
}

int start(void **state)
{
    struct mailbox_register box = {
        .tenant = WORLD_TENANT,
        .id = FREE_BOX,
        .kind = MAILBOX_USER,
        .licensed = true,
    };
    struct mailbox_view view;
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    grant("ck1");
    grant("ck2");
    new_dep(ALL, "ck1", "ck2");
    assert_ok(mailboxes_register(world.service, &world.admin, &box, &view,
                                 &world.problem));
    enlist(CHAT);
    enlist(SIGNALS);
    enlist(PCS);
    return 0;
}

int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* --- calls ---------------------------------------------------------------- */

void call_workload(enum verb verb, const struct caller *caller,
                   const char *word, const struct outcome *blob,
                   struct outcome *out)
{
    const struct call_options options = {
        .caller = caller,
        .verb = verb,
        .type = RESOURCE_WORKLOAD,
        .mailbox = word,
        .wrapped = blob == NULL ? NULL : blob->envelope,
        .wrapped_len = blob == NULL ? 0 : blob->envelope_len,
    };
    world_call(&world, &options, out);
}

void generate(const char *word, struct outcome *out)
{
    call_workload(VERB_GENERATE_KEY, owner_of(word), word, NULL, out);
    assert_ok(out->status);
}

/* Opens the stored key of a workload, or one that was kept. */
void open_workload(const char *word, const struct outcome *kept,
                   struct outcome *out)
{
    call_workload(VERB_UNWRAP_KEY, owner_of(word), word, kept, out);
    assert_ok(out->status);
}

void open_box(const char *box, struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = box,
    };
    world_call(&world, &options, out);
    assert_ok(out->status);
}

bool same_key(const struct outcome *a, const struct outcome *b)
{
    return memcmp(a->key, b->key, HF_KEY_BYTES) == 0;
}

struct hf_id id_of(const char *dep, enum dep_type type)
{
    struct dep_get request = {.tenant = WORLD_TENANT, .type = type};
    struct dep_view view;
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    assert_ok(deps_get_typed(world.service, &world.admin, &request, &view,
                             &world.problem));
    return view.record.id;
}

bool is_under(const struct outcome *opened, const char *dep)
{
    struct hf_id id = id_of(dep, DEP_TYPE_MULTI_WORKLOAD);
    return id_equal(&opened->dep, &id);
}

/* --- assignments ---------------------------------------------------------- */

enum hf_status try_assign(const char *dep, struct operation_view *out)
{
    struct tenant_assign request = {.tenant = WORLD_TENANT};
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    return tenant_assignments_assign(world.service, &world.compliance, &request,
                                     out, &world.problem);
}

enum hf_status try_offboard(struct operation_view *out)
{
    struct tenant_offboard request = {
        .tenant = WORLD_TENANT,
        .ticket = "T-1",
        .contact = "ann@contoso.example",
        .ground = "leaving",
    };
    return tenant_assignments_offboard(world.service, &world.operator_,
                                       &request, out, &world.problem);
}

void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

struct tenant_assignment_view assignment(void)
{
    struct tenant_assignment_view view;
    assert_ok(tenant_assignments_get(world.service, &world.compliance,
                                     WORLD_TENANT, &view, &world.problem));
    return view;
}

void wait_for(enum assignment_state state)
{
    for (int i = 0; i < TRIES && assignment().record.state != state; i++) {
        usleep(PAUSE_US);
    }
    assert_string_equal(assignment_state_text(assignment().record.state),
                        assignment_state_text(state));
}

void assign(const char *dep)
{
    struct operation_view operation;
    assert_ok(try_assign(dep, &operation));
    assert_int_equal(operation.record.kind, OPERATION_ASSIGN_TENANT);
    wait_for(ASSIGNMENT_ASSIGNED);
}

void offboard(void)
{
    struct operation_view operation;
    assert_ok(try_offboard(&operation));
    assert_int_equal(operation.record.kind, OPERATION_OFFBOARD_TENANT);
    wait_for(ASSIGNMENT_NONE);
}

void tokens_are_down(bool down)
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

void let_pass(int64_t ms)
{
    __atomic_fetch_add(&world.now_ms, ms, __ATOMIC_SEQ_CST);
    usleep(100 * PAUSE_US);
}

/* The operation's first walk is over and something of it failed: the next one
 * comes only when the clock goes on. */
void wait_for_trouble(const struct operation_view *order)
{
    struct operation_view now = {.tenant = ""};
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    for (int i = 0; i < TRIES && now.record.error[0] == '\0'; i++) {
        assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                                 &now, &world.problem));
        usleep(PAUSE_US);
    }
    assert_int_not_equal(now.record.error[0], '\0');
}
