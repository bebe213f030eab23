/* Does a DEP go over to new key versions, or to another pair, so that what is
 * touched moves, what is not still opens, and the operation ends with the last
 * of it (T5, T6, T7; )? Is the usage ledger true at every moment?
 */
#include "hsm/base/check.h"

#include "server/service/dep_refresh.h"
#include "server/service/dep_rewrap.h"
#include "server/service/key_dependants.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOXES    4
#define PAUSE_US 2000
#define TRIES    5000

static struct world world;
static struct outcome made[BOXES];
static const uint32_t all_permissions =
    PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;

static void box_name(int i, char out[32])
{
    snprintf(out, 32, "box%d@contoso.example", i);
}

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (int i = 0; i < BOXES; i++) {
        char name[32];
        box_name(i, name);
        world_mailbox(&world, name, WORLD_DEP);
        world_generate(&world, name, &made[i]);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void dep_now(struct dep_view *out)
{
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       out, &world.problem));
}

static enum hf_status refresh(struct operation_view *out)
{
    const struct dep_refresh request = {.tenant = WORLD_TENANT,
                                        .dep = WORLD_DEP};
    return deps_refresh(world.service, &world.admin, &request, out,
                        &world.problem);
}

static void refused(enum hf_status status, const char *reason,
                    uint32_t generation)
{
    struct dep_view dep;
    assert_true(status != HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
    dep_now(&dep);
    assert_int_equal(dep.record.generation, generation);
}

static void open_box(int i, struct outcome *out)
{
    char name[32];
    box_name(i, name);
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = name,
    };
    world_call(&world, &options, out);
    assert_ok(out->status);
    assert_memory_equal(out->key, made[i].key, HF_KEY_BYTES);
}

static uint32_t generation_of(int i)
{
    char name[32];
    struct mailbox_view view;
    box_name(i, name);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, name,
                            &view, &world.problem));
    return view.record.effective.generation;
}

static void assert_counts(uint64_t effective, uint64_t earlier)
{
    struct dep_view dep;
    dep_now(&dep);
    assert_int_equal(dep.effective_count, effective);
    assert_int_equal(dep.earlier_count, earlier);
}

static void look(const struct operation_view *order, struct operation_view *out)
{
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id, out,
                             &world.problem));
}

static void wait_for_end(const struct operation_view *order)
{
    struct operation_view now = {.tenant = ""};
    for (int i = 0; i < TRIES; i++) {
        __atomic_fetch_add(&world.now_ms, 100, __ATOMIC_SEQ_CST);
        look(order, &now);
        if (now.record.state != OPERATION_RUNNING) {
            break;
        }
        usleep(PAUSE_US);
    }
    assert_int_equal(now.record.state, OPERATION_SUCCEEDED);
    assert_int_equal(now.record.percent, 100);
}

static void let_it_watch(const struct operation_view *order)
{
    struct operation_view now;
    for (int i = 0; i < 5; i++) {
        __atomic_fetch_add(&world.now_ms, 2500, __ATOMIC_SEQ_CST);
        usleep(250000);
    }
    look(order, &now);
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    assert_true(now.record.percent < 100);
}

/* T5, T7; appendix B, 9. */
static void touched_keys_move_and_the_rest_stays_readable(void **state)
{
    struct operation_view ordered;
    struct dep_view before;
    struct dep_view dep;
    struct outcome out;
    (void)state;
    dep_now(&before);
    world_key_version(&world, 0, "ck1", 2);
    world_key_version(&world, 1, "ck2", 2);
    dep_now(&dep); /* nothing happens by itself */
    assert_int_equal(dep.record.generation, 1);
    assert_ok(refresh(&ordered));
    assert_int_equal(ordered.record.kind, OPERATION_REFRESH);
    dep_now(&dep);
    assert_int_equal(dep.record.generation, 2);
    assert_int_equal(dep.record.key_update, KEY_UPDATE_REFRESHING);
    assert_int_equal(dep.keys[0].version, 2);
    assert_int_equal(dep.keys[1].version, 2);
    assert_true(dep.last_key_update_ms > 0);
    /* */
    assert_int_equal(dep.record.ak_version, before.record.ak_version);
    assert_memory_equal(dep.record.ak_cka_id, before.record.ak_cka_id,
                        before.record.ak_cka_id_len);
    assert_counts(0, BOXES);
    open_box(0, &out); /* under generation 1, and on to generation 2 */
    open_box(0, &out);
    assert_int_equal(out.generation, 2);
    assert_int_equal(generation_of(0), 2);
    assert_int_equal(generation_of(1), 1);
    assert_counts(1, BOXES - 1);
    let_it_watch(&ordered);
    for (int i = 1; i < BOXES; i++) {
        assert_int_equal(generation_of(i), 1);
        open_box(i, &out);
        assert_counts((uint64_t)i + 1, BOXES - 1 - (uint64_t)i);
    }
    wait_for_end(&ordered);
    dep_now(&dep);
    assert_int_equal(dep.record.key_update, KEY_UPDATE_NONE);
    assert_int_equal(world_audit_count(&world, "RefreshDep"), 1);
    assert_int_equal(world_audit_count(&world, "KeyUpdateEnded"), 1);
    /* what a client kept of generation 1 opens still */
    char name[32];
    box_name(0, name);
    const struct call_options kept = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = name,
        .wrapped = made[0].envelope,
        .wrapped_len = made[0].envelope_len,
    };
    world_call(&world, &kept, &out);
    assert_ok(out.status);
    assert_int_equal(out.generation, 1);
    assert_memory_equal(out.key, made[0].key, HF_KEY_BYTES);
}

/* one of the two is enough.: none is not, and one at a time. */
static void what_may_be_refreshed(void **state)
{
    struct operation_view ordered;
    struct customer_key_view key;
    struct dep_view dep;
    (void)state;
    refused(refresh(&ordered), "NOTHING_TO_REFRESH", 1);
    world_key_version(&world, 0, "ck1", 2);
    struct customer_key_update disable = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .version = 2,
        .set_enabled = true,
    };
    assert_ok(customer_keys_update(world.service, &world.admin, &disable, &key,
                                   &world.problem));
    refused(refresh(&ordered), "NOTHING_TO_REFRESH", 1);
    disable.enabled = true;
    assert_ok(customer_keys_update(world.service, &world.admin, &disable, &key,
                                   &world.problem));
    struct dep_refresh only = {.tenant = WORLD_TENANT,
                               .dep = WORLD_DEP,
                               .mutation = {.validate_only = true}};
    assert_ok(deps_refresh(world.service, &world.admin, &only, &ordered,
                           &world.problem));
    assert_true(id_is_nil(&ordered.record.id));
    dep_now(&dep);
    assert_int_equal(dep.record.generation, 1);
    assert_ok(refresh(&ordered));
    dep_now(&dep);
    assert_int_equal(dep.keys[0].version, 2);
    assert_int_equal(dep.keys[1].version, 1);
    world_key_version(&world, 1, "ck2", 2);
    refused(refresh(&ordered), "STATE_CONFLICT", 2);
    assert_int_equal(world_audit_count(&world, "RefreshDep"), 1);
}

/* A request id that comes again begins nothing. */
static void a_repeat_begins_nothing(void **state)
{
    struct operation_view first;
    struct operation_view again;
    struct dep_view dep;
    struct dep_refresh request = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    snprintf(request.mutation.request_id, sizeof request.mutation.request_id,
             "11111111-1111-4111-8111-111111111111");
    assert_ok(deps_refresh(world.service, &world.admin, &request, &first,
                           &world.problem));
    assert_ok(deps_refresh(world.service, &world.admin, &request, &again,
                           &world.problem));
    assert_true(id_equal(&first.record.id, &again.record.id));
    dep_now(&dep);
    assert_int_equal(dep.record.generation, 2);
}

/* the administrator's order moves what is left; a restart between. */
static void a_rewrap_ends_the_update(void **state)
{
    const struct dep_rewrap rewrap = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    struct operation_view ordered;
    struct operation_view moving;
    struct outcome out;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(refresh(&ordered));
    assert_ok(world_restart(&world));
    assert_counts(0, BOXES);
    assert_ok(deps_rewrap(world.service, &world.admin, &rewrap, &moving,
                          &world.problem));
    wait_for_end(&moving);
    wait_for_end(&ordered);
    assert_counts(BOXES, 0);
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
    }
}

static void hot_again_after_the_move(void **state)
{
    struct operation_view ordered;
    struct service_counters before;
    struct service_counters after;
    struct outcome out;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(refresh(&ordered));
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
    }
    wait_for_end(&ordered);
    /* the clock stands still: a lease that was due is renewed once, and then
     * nothing is */
    for (int window = 0; window < 3; window++) {
        service_counters_get(world.service, &before);
        for (int i = 0; i < 100; i++) {
            open_box(0, &out);
        }
        service_counters_get(world.service, &after);
        if (after.root_ops == before.root_ops) {
            break;
        }
    }
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.store_writes, before.store_writes);
    assert_int_equal(after.hot_calls - before.hot_calls, 100);
}

static enum hf_status replace(const char *a, const char *b,
                              struct operation_view *out)
{
    struct dep_replace request = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    snprintf(request.keys[0], sizeof request.keys[0], "%s", a);
    snprintf(request.keys[1], sizeof request.keys[1], "%s", b);
    return deps_replace(world.service, &world.admin, &request, out,
                        &world.problem);
}

/* T6: while it has users; the new pair is validated first, with whoever may
 * unwrap now; both new keys at once, or one of them. */
static void another_pair(void **state)
{
    struct operation_view ordered;
    struct dep_view dep;
    struct outcome out;
    (void)state;
    world_key(&world, WORLD_TENANT, 0, "new1", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    world_key(&world, WORLD_TENANT, 1, "new2", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    refused(replace("ck1", "ck2", &ordered), "FIELD_INVALID", 1);
    refused(replace("new1", "absent", &ordered), "NOT_FOUND", 1);
    refused(replace("new1", "ck1", &ordered), "VALIDATION_FAILED", 1);
    refused(replace("new1", "new2", &ordered), "VALIDATION_FAILED", 1);
    assert_true(world.problem.has_report);
    world_grant(&world, "new1", &world.workload, all_permissions);
    world_grant(&world, "new2", &world.workload, all_permissions);
    world_grant(&world, "new1", &world.system, all_permissions);
    world_grant(&world, "new2", &world.system, all_permissions);
    assert_ok(replace("new1", "new2", &ordered));
    assert_int_equal(ordered.record.kind, OPERATION_REPLACE);
    dep_now(&dep);
    assert_int_equal(dep.record.key_update, KEY_UPDATE_REPLACING);
    assert_string_equal(dep.keys[0].name, "new1");
    assert_string_equal(dep.keys[1].name, "new2");
    refused(replace("ck1", "new2", &ordered), "STATE_CONFLICT", 2);
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
        assert_int_equal(generation_of(i), 2);
    }
    /* the old pair is not asked any more */
    token_fake_fail_key(world.customer_fake[0], (const uint8_t *)"ck1", 3,
                        HF_E_UNREACHABLE);
    token_fake_fail_key(world.customer_fake[1], (const uint8_t *)"ck2", 3,
                        HF_E_UNREACHABLE);
    __atomic_fetch_add(&world.now_ms, 61000, __ATOMIC_SEQ_CST);
    open_box(0, &out);
    assert_int_equal(out.generation, 2);
}

/* A new generation is there with its DEP's record and its operation, or none of
 * them is, whatever call of the store fails; and everything opens (I1). */
static void refreshing_is_all_or_nothing(void **state)
{
    bool failed = true;
    uint32_t generation = 1;
    struct dep_view dep;
    struct outcome out;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    for (uint64_t n = 1; failed; n++) {
        struct operation_view ordered;
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, n, HF_E_OVERLOAD);
        enum hf_status status = refresh(&ordered);
        failed = store_memory_failed(world.memory);
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, 0, HF_OK);
        dep_now(&dep);
        assert_true(n < 1000);
        if (dep.record.generation == generation) {
            assert_true(status != HF_OK);
            assert_int_equal(dep.record.key_update, KEY_UPDATE_NONE);
            assert_int_equal(world_audit_count(&world, "RefreshDep"),
                             generation - 1);
            continue;
        }
        /* recorded: all of it; once more from the start */
        generation = dep.record.generation;
        assert_int_equal(generation, 2);
        assert_int_equal(dep.record.key_update, KEY_UPDATE_REFRESHING);
        assert_int_equal(world_audit_count(&world, "RefreshDep"), 1);
        break;
    }
    assert_int_equal(generation, 2);
    assert_ok(world_restart(&world));
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
    }
    assert_counts(BOXES, 0);
}

/* a copy that does not open is found before anything is recorded. */
static void a_failing_token_leaves_nothing(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_MINT, TOKEN_OP_UNWRAP,
                                        TOKEN_OP_OPEN};
    struct operation_view ordered;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    size_t keys = token_fake_keys(world.ak_fake);
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        token_fake_fail_nth(world.ak_fake, ops[i], 1, HF_E_UNREACHABLE);
        refused(refresh(&ordered), "KEY_UNAVAILABLE", 1);
        token_fake_clear(world.ak_fake);
        assert_int_equal(token_fake_keys(world.ak_fake), keys);
    }
    assert_ok(refresh(&ordered));
}

/* --- the usage ledger --------------------------------------------------- */

#define INDEX_MAX 64

struct rows {
    struct record_key keys[INDEX_MAX];
    size_t count;
};

static enum hf_status collect(void *context, const struct record *record)
{
    struct rows *rows = context;
    struct record_key *key = &rows->keys[rows->count++];
    assert_true(rows->count <= INDEX_MAX);
    memcpy(key->bytes, record->key, record->key_len);
    key->len = record->key_len;
    return HF_OK;
}

static void erase_all(enum record_kind kind, struct rows *rows)
{
    struct store_txn *txn = NULL;
    const struct store_page all = {.max = SIZE_MAX};
    rows->count = 0;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_list(txn, kind, &all, collect, rows));
    store_rollbackp(&txn);
    for (size_t i = 0; i < rows->count; i++) {
        assert_true(store_memory_erase(world.memory, kind,
                                       record_key_view(&rows->keys[i])));
    }
}

/* A store that a version without the index wrote: it is built at the start,
 * also when the first such start was cut short. */
static void an_older_store_gets_its_index(void **state)
{
    struct rows *rows = malloc(sizeof *rows);
    struct outcome out;
    struct dep_view view;
    (void)state;
    erase_all(RECORD_WRAPPED, rows);
    assert_int_equal(rows->count, BOXES);
    erase_all(RECORD_ENCRYPTED, rows);
    assert_int_equal(rows->count, BOXES);
    erase_all(RECORD_INDEX, rows);
    assert_int_equal(rows->count, 3);
    assert_ok(world_restart(&world));
    assert_counts(BOXES, 0);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_int_equal(view.encrypted_count, BOXES);
    /* one more is assigned, and has no key */
    assert_int_equal(view.encrypted_percent, 100 * BOXES / (BOXES + 1));
    erase_all(RECORD_INDEX, rows);
    assert_ok(world_restart(&world));
    assert_counts(BOXES, 0);
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
    }
    free(rows);
}

/* Every key that comes, moves or leaves is where the ledger says. */
static void the_ledger_follows_every_move(void **state)
{
    char name[32];
    struct mailbox_view view;
    struct outcome out;
    (void)state;
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    assert_counts(BOXES, 0);
    for (int i = 0; i < BOXES; i++) {
        struct mailbox_assign assign = {.tenant = WORLD_TENANT};
        box_name(i, name);
        memcpy(assign.id, name, sizeof name);
        snprintf(assign.dep, sizeof assign.dep, "%s", i % 2 == 0 ? "dep2" : "");
        assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                                   &world.problem));
        assert_counts(BOXES - (uint64_t)i, 0); /* assigned, not yet moved */
        open_box(i, &out);
        assert_counts(BOXES - 1 - (uint64_t)i, 0);
    }
    struct dep_view other;
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, "dep2",
                       &other, &world.problem));
    assert_int_equal(other.effective_count, BOXES / 2);
    assert_ok(world_restart(&world));
    assert_counts(0, 0);
}

static uint64_t count_dependants(const char *key, uint32_t version)
{
    struct key_dependants_request request = {
        .tenant = WORLD_TENANT, .version = version, .page = {.size = 3}};
    struct key_dependant items[3];
    struct key_dependant_list list = {.items = items, .cap = 3};
    uint64_t seen = 0;
    snprintf(request.name, sizeof request.name, "%s", key);
    do {
        assert_ok(customer_keys_dependants(world.service, &world.admin,
                                           &request, &list, &world.problem));
        for (size_t i = 0; i < list.count; i++) {
            assert_non_null(
                strstr(items[i].resource, "tenants/contoso/mailboxes/box"));
        }
        seen += list.count;
        snprintf(request.page.token, sizeof request.page.token, "%s",
                 list.next);
        assert_true(list.next[0] == '\0' || list.count == 3);
    } while (list.next[0] != '\0');
    assert_int_equal(seen, list.total);
    return seen;
}

static enum hf_status disable(const char *key, uint32_t version)
{
    struct customer_key_view view;
    struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .version = version,
        .set_enabled = true,
    };
    snprintf(request.name, sizeof request.name, "%s", key);
    return customer_keys_update(world.service, &world.admin, &request, &view,
                                &world.problem);
}

static void is_in_use(const char *key, uint32_t version)
{
    assert_status(disable(key, version), HF_E_PRECONDITION);
    assert_string_equal(reason_word(world.problem.reason), "KEY_IN_USE");
    assert_non_null(
        strstr(world.problem.text, "tenants/contoso/mailboxes/box"));
}

/* as long as a stored key needs it, and no longer. */
static void a_version_in_use_is_not_disabled(void **state)
{
    struct operation_view ordered;
    struct outcome out;
    (void)state;
    assert_int_equal(count_dependants("ck1", 1), BOXES);
    assert_int_equal(count_dependants("ck2", 0), BOXES);
    is_in_use("ck1", 1);
    is_in_use("ck2", 0);
    world_revoke(&world, "ck1", &world.workload); /* always possible */
    world_grant(&world, "ck1", &world.workload, all_permissions);
    world_key_version(&world, 0, "ck1", 2);
    assert_int_equal(count_dependants("ck1", 0), 0);
    assert_ok(refresh(&ordered));
    for (int i = 0; i < BOXES; i++) {
        is_in_use("ck1", 1);
        open_box(i, &out);
        assert_int_equal(count_dependants("ck1", 1), BOXES - 1 - i);
        assert_int_equal(count_dependants("ck1", 2), i + 1);
        assert_int_equal(count_dependants("ck2", 1), BOXES);
        is_in_use("ck1", 2);
    }
    assert_ok(world_restart(&world));
    assert_ok(disable("ck1", 1));
    is_in_use("ck1", 2);
    is_in_use("ck2", 1);
    for (int i = 0; i < BOXES; i++) {
        open_box(i, &out);
    }
}

static void a_page_of_another_list_is_refused(void **state)
{
    static const char *const tokens[] = {
        "x", "00", "0000000000000000000000000000000000000000000000000000"};
    struct key_dependants_request request = {.tenant = WORLD_TENANT,
                                             .name = "ck1"};
    struct key_dependant item;
    struct key_dependant_list list = {.items = &item, .cap = 1};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(tokens); i++) {
        snprintf(request.page.token, sizeof request.page.token, "%s",
                 tokens[i]);
        assert_status(customer_keys_dependants(world.service, &world.admin,
                                               &request, &list, &world.problem),
                      HF_E_INVALID);
        assert_string_equal(world.problem.field, "page_token");
    }
    request.page.token[0] = '\0';
    request.version = 2;
    assert_status(customer_keys_dependants(world.service, &world.admin,
                                           &request, &list, &world.problem),
                  HF_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            touched_keys_move_and_the_rest_stays_readable, start, stop),
        cmocka_unit_test_setup_teardown(what_may_be_refreshed, start, stop),
        cmocka_unit_test_setup_teardown(a_repeat_begins_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_rewrap_ends_the_update, start, stop),
        cmocka_unit_test_setup_teardown(hot_again_after_the_move, start, stop),
        cmocka_unit_test_setup_teardown(another_pair, start, stop),
        cmocka_unit_test_setup_teardown(refreshing_is_all_or_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_failing_token_leaves_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(an_older_store_gets_its_index, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_version_in_use_is_not_disabled, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_page_of_another_list_is_refused,
                                        start, stop),
        cmocka_unit_test_setup_teardown(the_ledger_follows_every_move, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("refresh", tests, NULL, NULL);
}
