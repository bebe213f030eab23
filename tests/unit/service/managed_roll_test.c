/* Does the tenant's own root roll, with every stored key brought under the new
 * one before the old one is destroyed?
 */
#include "hsm/base/check.h"

#include "server/service/managed_roll.h"
#include "server/service/resources.h"

#include "tests/unit/service/purge_world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOXES    70 /* more than one step deals with */
#define PAUSE_US 1000
#define TRIES    30000

static struct world world;
static struct outcome made[BOXES];

static void box_name(int i, char out[32])
{
    snprintf(out, 32, "box%02d@contoso.example", i);
}

/* Mailboxes that no DEP was assigned to, and one that has one. */
static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        box_name(i, name);
        world_mailbox(&world, name, "");
        world_generate(&world, name, &made[i]);
        assert_true(made[i].service_managed);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static enum hf_status order(struct operation_view *out)
{
    const struct managed_roll request = {.tenant = WORLD_TENANT};
    return tenants_roll_managed(world.service, &world.operator_, &request, out,
                                &world.problem);
}

static void open_all(uint32_t generation)
{
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        struct outcome out;
        box_name(i, name);
        const struct call_options options = {
            .caller = &world.workload,
            .verb = VERB_UNWRAP_KEY,
            .mailbox = name,
        };
        world_call(&world, &options, &out);
        assert_ok(out.status);
        assert_memory_equal(out.key, made[i].key, HF_KEY_BYTES);
        assert_true(generation == 0 || out.generation == generation);
    }
}

static void open_kept(struct outcome *out)
{
    char name[32];
    box_name(0, name);
    const struct call_options kept = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = name,
        .wrapped = made[0].envelope,
        .wrapped_len = made[0].envelope_len,
    };
    world_call(&world, &kept, out);
}

static void wait_for_end(const struct operation_view *order)
{
    struct operation_view now = {.tenant = ""};
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    for (int i = 0; i < TRIES; i++) {
        __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
        assert_ok(operations_get(world.service, &world.operator_, WORLD_TENANT,
                                 id, &now, &world.problem));
        if (now.record.state != OPERATION_RUNNING) {
            break;
        }
        usleep(PAUSE_US);
    }
    if (now.record.state != OPERATION_SUCCEEDED) {
        fail_msg("%s: %s", operation_state_text(now.record.state),
                 now.record.error);
    }
}

static void every_key_goes_over(void **state)
{
    struct operation_view ordered;
    struct outcome out;
    (void)state;
    size_t objects = token_fake_keys(world.ak_fake);
    open_kept(&out);
    assert_ok(out.status);
    for (uint32_t generation = 2; generation <= 3; generation++) {
        assert_ok(order(&ordered));
        open_all(0);
        wait_for_end(&ordered);
        assert_int_equal(token_fake_keys(world.ak_fake), objects);
        open_all(generation);
        assert_ok(world_restart(&world));
        open_all(generation);
    }
    /* retired with its root: no lease and no token opens it any more */
    open_kept(&out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_DESTROYED");
    assert_int_equal(world_audit_count(&world, "ServiceManagedKeyRolled"), 2);
    /* the mailbox with a DEP was not concerned */
    assert_int_equal(
        world_audit_count(&world, "ServiceManagedGenerationRetired"), 3 - 1);
}

static void goes_on_after_a_restart(void **state)
{
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        assert_ok(order(&ordered));
        usleep(i * 150000);
        assert_ok(world_restart(&world));
        open_all(0);
        wait_for_end(&ordered);
        open_all(i + 2);
        assert_int_equal(token_fake_keys(world.ak_fake), objects);
    }
}

static void a_failing_token_only_delays(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_UNWRAP, TOKEN_OP_SEAL,
                                        TOKEN_OP_OPEN, TOKEN_OP_DESTROY};
    struct operation_view ordered;
    size_t objects = token_fake_keys(world.ak_fake);
    (void)state;
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        assert_ok(order(&ordered));
        token_fake_fail_nth(world.ak_fake, ops[i], 1, HF_E_UNREACHABLE);
        wait_for_end(&ordered);
        token_fake_clear(world.ak_fake);
        open_all((uint32_t)i + 2);
        assert_int_equal(token_fake_keys(world.ak_fake), objects);
    }
}

static struct outcome late;

static void *make_late(void *argument)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_GENERATE_KEY,
        .mailbox = argument,
    };
    world_call(&world, &options, &late);
    return NULL;
}

/* A call that was under way when the roll was ordered would record its key
 * under the old generation at the last moment: it is told to come again, and
 * nothing that was handed out is lost. */
static void a_late_key_is_not_lost(void **state)
{
    static char name[] = "late@contoso.example";
    struct operation_view ordered;
    struct outcome out;
    pthread_t thread;
    (void)state;
    world_mailbox(&world, name, "");
    token_fake_hold(world.ak_fake, TOKEN_OP_SEAL);
    assert_int_equal(pthread_create(&thread, NULL, make_late, name), 0);
    assert_true(token_fake_wait_held(world.ak_fake, TOKEN_OP_SEAL, 1, 10000));
    assert_ok(order(&ordered));
    usleep(1000000); /* nothing else is stored: it comes to its end */
    token_fake_release(world.ak_fake, TOKEN_OP_SEAL);
    pthread_join(thread, NULL);
    wait_for_end(&ordered);
    if (late.status != HF_OK) {
        assert_string_equal(reason_word(late.problem.reason), "CONFLICT");
        world_generate(&world, name, &late);
    }
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = name,
    };
    for (int i = 0; i < 2; i++) {
        world_call(&world, &options, &out);
        assert_ok(out.status);
        assert_memory_equal(out.key, late.key, HF_KEY_BYTES);
        assert_ok(world_restart(&world));
    }
}

static int start_empty(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    return 0;
}

static void one_at_a_time(void **state)
{
    struct operation_view ordered;
    struct operation_view other;
    const struct managed_roll request = {.tenant = WORLD_TENANT};
    (void)state;
    assert_status(tenants_roll_managed(world.service, &world.admin, &request,
                                       &ordered, &world.problem),
                  HF_E_DENIED);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_DESTROY, HF_E_UNREACHABLE);
    assert_ok(order(&ordered));
    assert_status(order(&other), HF_E_PRECONDITION);
    assert_string_equal(reason_word(world.problem.reason), "STATE_CONFLICT");
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
}

static struct hf_id built_in_dep(void)
{
    pthread_rwlock_rdlock(&world.service->catalogue.lock);
    const struct hf_id id =
        catalogue_tenant(&world.service->catalogue, WORLD_TENANT)
            ->record.service_managed;
    pthread_rwlock_unlock(&world.service->catalogue.lock);
    return id;
}

static void call_for(const char *box, enum verb verb, struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = verb,
        .mailbox = box,
        .confirm = true,
    };
    world_call(&world, &options, out);
    assert_ok(out->status);
}

static void open_wrap(const char *box, const struct outcome *wrap,
                      struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = box,
        .wrapped = wrap->envelope,
        .wrapped_len = wrap->envelope_len,
    };
    world_call(&world, &options, out);
}

static void roll_and_wait(void)
{
    struct operation_view ordered;
    assert_ok(order(&ordered));
    wait_for_end(&ordered);
}

/* a key that its workload brought is stored nowhere: only its
 * wrap is, with the client. The root that opens it stays, until the workload
 * said that it needs it no more. */
static void a_brought_key_keeps_its_root(void **state)
{
    static const char name[] = "brings@contoso.example";
    uint8_t brought[HF_KEY_BYTES];
    struct outcome wrap[2];
    struct outcome out;
    const struct hf_id root = built_in_dep();
    (void)state;
    memset(brought, 0x5a, sizeof brought);
    world_mailbox(&world, name, "");
    call_for(name, VERB_GENERATE_KEY, &out);
    const struct call_options bring = {
        .caller = &world.workload,
        .verb = VERB_WRAP_KEY,
        .mailbox = name,
        .plaintext = brought,
    };
    for (size_t i = 0; i < 2; i++) { /* one line for both */
        world_call(&world, &bring, &wrap[i]);
        assert_ok(wrap[i].status);
        assert_true(wrap[i].service_managed);
    }
    for (uint32_t roll = 0; roll < 3; roll++) {
        roll_and_wait();
        /* what was wrapped in between would be lost the same way */
        assert_int_equal(purge_ak_objects(&world, &root), 2);
        for (size_t i = 0; i < 2; i++) {
            open_wrap(name, &wrap[i], &out);
            assert_ok(out.status);
            assert_memory_equal(out.key, brought, sizeof brought);
        }
        assert_ok(world_restart(&world));
    }
    /* encrypted again under a new key: the brought one may go */
    call_for(name, VERB_RENEW_KEY, &out);
    call_for(name, VERB_RETIRE_EARLIER_KEYS, &out);
    roll_and_wait();
    assert_int_equal(purge_ak_objects(&world, &root), 1);
    open_wrap(name, &wrap[0], &out);
    assert_true(out.status != HF_OK);
    call_for(name, VERB_UNWRAP_KEY, &out);
}

/* room for another generation is made of those whose root is
 * destroyed, and of no other: not while the roll that destroys it is under way.
 */
static void what_is_destroyed_makes_room(void **state)
{
    static struct resource_record record;
    const struct hf_id root = built_in_dep();
    struct operation_view ordered;
    (void)state;
    struct dep_entry *dep =
        catalogue_dep_by_id(&world.service->catalogue, &root);
    record = (struct resource_record){
        .type = RESOURCE_MAILBOX,
        .effective = {.dep = root, .generation = 2},
        .wrap_count = RESOURCE_WRAPS_MAX,
    };
    for (size_t i = 0; i < RESOURCE_WRAPS_MAX; i++) {
        record.wraps[i] = (struct dep_ref){.dep = root, .generation = 1};
    }
    record.wraps[7].generation = 2;
    token_fake_fail_all(world.ak_fake, TOKEN_OP_DESTROY, HF_E_UNREACHABLE);
    assert_ok(order(&ordered));
    for (int i = 0;
         i < 10000 &&
         world_audit_count(&world, "ServiceManagedGenerationRetired") == 0;
         i++) {
        usleep(1000);
    }
    assert_status(resource_note_wrap(world.service, &record,
                                     catalogue_generation(dep, 1)),
                  HF_OK); /* it is among them */
    struct generation_entry other = {
        .record = {.dep = root, .generation = 3}
    };
    assert_status(resource_note_wrap(world.service, &record, &other),
                  HF_E_LIMIT);
    assert_int_equal(record.wrap_count, RESOURCE_WRAPS_MAX);
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
    assert_ok(resource_note_wrap(world.service, &record, &other));
    assert_int_equal(record.wrap_count, 2);
    assert_int_equal(record.wraps[0].generation, 2);
    assert_int_equal(record.wraps[1].generation, 3);
}

/* A key that can be moved no further says so, and opens where it is. */
static void a_full_key_says_so(void **state)
{
    static const char name[] = "full@contoso.example";
    static struct resource_view view;
    struct outcome out;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT, .id = "full@contoso.example", .dep = WORLD_DEP};
    struct mailbox_view box;
    (void)state;
    HF_OWNED(change_freep) struct change *change = NULL;
    struct tenant_entry *tenant =
        catalogue_tenant(&world.service->catalogue, WORLD_TENANT);
    world_mailbox(&world, name, "");
    call_for(name, VERB_GENERATE_KEY, &out);
    assert_ok(
        resource_load(world.service, tenant, RESOURCE_MAILBOX, name, &view));
    while (view.record.wrap_count < RESOURCE_WRAPS_MAX) {
        view.record.wraps[view.record.wrap_count++] = view.record.effective;
    }
    assert_ok(change_new(&change));
    assert_ok(resource_put(&view, change, NULL));
    assert_ok(ledger_commit(world.service->ledger, change));
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &box,
                               &world.problem));
    const struct call_options move = {
        .caller = &world.workload,
        .verb = VERB_REWRAP_KEY,
        .mailbox = name,
    };
    world_call(&world, &move, &out);
    assert_string_equal(reason_word(out.problem.reason), "GENERATION_LIMIT");
    call_for(name, VERB_UNWRAP_KEY, &out);
    assert_true(out.has_key);
}

/* What a store of before this index has under a root, nobody knows. */
static void a_root_of_before_is_kept(void **state)
{
    const uint8_t key[] = {INDEX_HELD};
    const struct hf_id root = built_in_dep();
    (void)state;
    assert_true(store_memory_erase(world.memory, RECORD_INDEX, BYTES_OF(key)));
    __atomic_fetch_add(&world.now_ms, 1000, __ATOMIC_SEQ_CST);
    assert_ok(world_restart(&world));
    for (int i = 0; i < 2; i++) {
        roll_and_wait();
        assert_int_equal(purge_ak_objects(&world, &root), 2);
        assert_ok(world_restart(&world));
    }
}

static int start_leaving(void **state)
{
    (void)state;
    purge_world_start(&world);
    return 0;
}

/* What is purged opens under no root again, so it needs none: a key
 * that lay under the tenant's own root when its DEP was purged neither keeps
 * that root nor holds up the roll. */
static void purged_keys_need_no_root(void **state)
{
    static const char name[] = "asleep@contoso.example";
    struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                    .id = "asleep@contoso.example",
                                    .dep = WORLD_DEP};
    struct mailbox_view box;
    struct operation_view ordered;
    struct purge_view purge;
    struct outcome made_here;
    const struct hf_id root = built_in_dep();
    (void)state;
    purge_world_mailbox(&world, name, "", &made_here);
    assert_true(made_here.service_managed);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &box,
                               &world.problem));
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, true, &purge);
    assert_int_equal(purge.record.resources, 2);
    for (int i = 0; i < 2; i++) {
        assert_ok(order(&ordered));
        wait_for_end(&ordered);
        assert_int_equal(purge_ak_objects(&world, &root), 1);
        assert_ok(world_restart(&world));
    }
    assert_int_equal(world_audit_count(&world, "ServiceManagedKeyRolled"), 2);
    assert_int_equal(
        world_audit_count(&world, "ServiceManagedGenerationRetired"), 2);
    const struct call_options open = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = name,
    };
    world_call(&world, &open, &made_here);
    assert_string_equal(reason_word(made_here.problem.reason), "KEY_DESTROYED");
}

static void cancel(const struct purge_view *purge)
{
    struct purge_order request = {.tenant = WORLD_TENANT};
    struct purge_view view;
    id_format(&purge->record.id, request.id);
    assert_ok(purges_cancel(world.service, &world.admin, &request, &view,
                            &world.problem));
}

/* A mailbox whose key lay under the tenant's own root and lies under the DEP,
 * which nobody may use any more. */
static void leave_with_an_early_mailbox(void)
{
    struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                    .id = "early@contoso.example",
                                    .dep = WORLD_DEP};
    struct mailbox_view box;
    struct outcome out;
    const struct call_options open = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = assign.id,
    };
    purge_world_mailbox(&world, assign.id, "", &out);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &box,
                               &world.problem));
    world_call(&world, &open, &out);
    assert_ok(out.status);
    purge_world_revoke(&world);
}

/* How many earlier wraps a purge would leave. */
static size_t earlier_wraps(void)
{
    static struct purge_view purge;
    purge_request(&world, WORLD_DEP, &purge);
    cancel(&purge);
    return purge.record.earlier_count;
}

/* a generation that is retired with its root destroyed is no earlier
 * wrap any more; one whose root is not seen to be gone is. */
static void a_destroyed_root_opens_nothing(void **state)
{
    static struct purge_view purge;
    const struct hf_id root = built_in_dep();
    struct operation_view ordered;
    (void)state;
    leave_with_an_early_mailbox();
    /* it is retired, and its root cannot be destroyed yet */
    token_fake_fail_all(world.ak_fake, TOKEN_OP_DESTROY, HF_E_UNREACHABLE);
    assert_ok(order(&ordered));
    for (int i = 0;
         i < TRIES &&
         world_audit_count(&world, "ServiceManagedGenerationRetired") == 0;
         i++) {
        __atomic_fetch_add(&world.now_ms, 200, __ATOMIC_SEQ_CST);
        usleep(PAUSE_US);
    }
    assert_int_equal(purge_ak_objects(&world, &root), 2);
    assert_int_equal(earlier_wraps(), 1);
    token_fake_clear(world.ak_fake);
    wait_for_end(&ordered);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_LIST, HF_E_UNREACHABLE);
    assert_int_equal(earlier_wraps(), 1);
    token_fake_clear(world.ak_fake);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(purge.record.earlier_count, 0);
}

/* a token that does not show the root in use is not the one. */
static void another_token_proves_nothing(void **state)
{
    const struct hf_id root = built_in_dep();
    struct token_key_report report;
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = &report, .cap = 1, .id_prefix_len = HF_ID_BYTES},
    };
    struct operation_view ordered;
    (void)state;
    leave_with_an_early_mailbox();
    assert_ok(order(&ordered));
    wait_for_end(&ordered);
    assert_int_equal(earlier_wraps(), 0);
    memcpy(list.u.list.id_prefix, root.bytes, HF_ID_BYTES);
    assert_ok(token_call(&world.ak_token, &list));
    assert_ok(
        token_fake_delete_key(world.ak_fake, report.key.id, report.key.id_len));
    assert_int_equal(earlier_wraps(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(purged_keys_need_no_root, start_leaving,
                                        stop),
        cmocka_unit_test_setup_teardown(a_destroyed_root_opens_nothing,
                                        start_leaving, stop),
        cmocka_unit_test_setup_teardown(another_token_proves_nothing,
                                        start_leaving, stop),
        cmocka_unit_test_setup_teardown(every_key_goes_over, start, stop),
        cmocka_unit_test_setup_teardown(goes_on_after_a_restart, start, stop),
        cmocka_unit_test_setup_teardown(a_failing_token_only_delays, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_late_key_is_not_lost, start_empty,
                                        stop),
        cmocka_unit_test_setup_teardown(one_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(a_brought_key_keeps_its_root,
                                        start_empty, stop),
        cmocka_unit_test_setup_teardown(what_is_destroyed_makes_room,
                                        start_empty, stop),
        cmocka_unit_test_setup_teardown(a_full_key_says_so, start_empty, stop),
        cmocka_unit_test_setup_teardown(a_root_of_before_is_kept, start_empty,
                                        stop),
    };
    return cmocka_run_group_tests_name("managed_roll", tests, NULL, NULL);
}
