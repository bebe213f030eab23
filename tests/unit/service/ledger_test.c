/* Does the service see what was changed behind its back? (R-15.7, R-15.22;
 * hostile tests N21, N24, N30, N31, N33, N34) And is a change all or nothing
 * at every failure of the store and of the service's token? */
#include "server/service/core.h"
#include "server/service/ledger.h"
#include "server/store/record.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <stdlib.h>
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

/* --- what somebody does to the store ------------------------------------ */

struct found {
    struct record record;
    bool there;
};

static enum hf_status keep_first(void *context, const struct record *record)
{
    struct found *found = context;
    if (!found->there) {
        found->record = *record;
        found->there = true;
    }
    return HF_OK;
}

static void find_first(enum record_kind kind, struct found *found)
{
    struct store_txn *txn = NULL;
    const struct store_page all = {.max = SIZE_MAX};
    found->there = false;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_list(txn, kind, &all, keep_first, found));
    store_rollbackp(&txn);
    assert_true(found->there);
}

static const enum record_kind sealed[] = {
    RECORD_TENANT, RECORD_TOKEN, RECORD_CUSTOMER_KEY, RECORD_KEY_VERSION,
    RECORD_GRANT,  RECORD_DEP,   RECORD_GENERATION,
};
#define SEALED (sizeof sealed / sizeof sealed[0])

static void refuses_to_start(void)
{
    assert_status(world_restart(&world), HF_E_CORRUPT);
    assert_int_equal(world.problem.reason, REASON_RECORD_INVALID);
    assert_null(world.service);
}

static void an_edited_record_is_seen(void **state)
{
    struct found *found = malloc(sizeof *found);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (size_t i = 0; i < SEALED; i++) {
        find_first(sealed[i], found);
        struct record good = found->record;
        found->record.body[found->record.body_len / 2] ^= 1;
        store_memory_overwrite(world.memory, &found->record);
        refuses_to_start();
        store_memory_overwrite(world.memory, &good);
        assert_ok(world_restart(&world));
    }
    free(found);
}

static void a_record_taken_out_is_seen(void **state)
{
    struct found *found = malloc(sizeof *found);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (size_t i = 0; i < SEALED; i++) {
        find_first(sealed[i], found);
        assert_true(store_memory_erase(
            world.memory, sealed[i],
            (struct bytes){found->record.key, found->record.key_len}));
        refuses_to_start();
        store_memory_overwrite(world.memory, &found->record);
        assert_ok(world_restart(&world));
    }
    free(found);
}

/* Its own MAC is good: only the root tells. */
static void a_record_put_back_to_an_earlier_version_is_seen(void **state)
{
    struct found *found = malloc(sizeof *found);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    find_first(RECORD_GRANT, found);
    struct record granted = found->record;
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck1", &world.system);
    world_revoke(&world, "ck2", &world.workload);
    world_revoke(&world, "ck2", &world.system);
    assert_ok(world_restart(&world));
    store_memory_overwrite(world.memory, &granted);
    refuses_to_start();
    free(found);
}

static void a_mac_of_another_record_is_seen(void **state)
{
    struct found *a = malloc(sizeof *a);
    struct found *b = malloc(sizeof *b);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    find_first(RECORD_DEP, a);
    find_first(RECORD_GENERATION, b);
    memcpy(a->record.mac, b->record.mac, sizeof a->record.mac);
    store_memory_overwrite(world.memory, &a->record);
    refuses_to_start();
    free(a);
    free(b);
}

static void a_store_rolled_back_whole_is_seen(void **state)
{
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    struct store_memory *image = store_memory_save(world.memory);
    world_revoke(&world, "ck1", &world.workload);
    assert_ok(world_restart(&world));
    store_memory_restore(world.memory, image);
    refuses_to_start();
    store_memory_free(image);
}

static void an_empty_store_under_a_used_token_is_seen(void **state)
{
    (void)state;
    struct store_memory *image = store_memory_save(world.memory);
    world_tenant(&world, WORLD_TENANT);
    store_memory_restore(world.memory, image);
    refuses_to_start();
    store_memory_free(image);
}

/* A rewritten resource row is refused when it is used, and its keys stay
 * closed; the other mailbox is not touched. */
static void an_edited_row_is_refused(void **state)
{
    struct found *found = malloc(sizeof *found);
    struct outcome made;
    struct outcome opened;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(world_restart(&world));
    find_first(RECORD_RESOURCE, found);
    found->record.body[found->record.body_len - 1] ^= 1;
    store_memory_overwrite(world.memory, &found->record);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_status(opened.status, HF_E_CORRUPT);
    assert_string_equal(reason_word(opened.problem.reason), "RECORD_INVALID");
    assert_false(opened.has_key);
    free(found);
}

/* --- all or nothing ----------------------------------------------------- */

/* The token took the change but not the epoch: not acknowledged, yet not lost;
 * the same request again is answered from the record. */
static void an_epoch_that_failed_is_caught_up(void **state)
{
    struct tenant_create request = {.name = "fabrikam"};
    struct tenant_view view;
    (void)state;
    snprintf(request.mutation.request_id, sizeof request.mutation.request_id,
             "00000000-0000-4000-8000-000000000001");
    token_fake_fail_all(world.service_fake, TOKEN_OP_DATA_CREATE,
                        HF_E_UNREACHABLE);
    assert_status(tenants_create(world.service, &world.operator_, &request,
                                 &view, &world.problem),
                  HF_E_UNREACHABLE);
    assert_status(tenants_create(world.service, &world.operator_, &request,
                                 &view, &world.problem),
                  HF_E_UNREACHABLE);
    token_fake_clear(world.service_fake);
    assert_ok(tenants_create(world.service, &world.operator_, &request, &view,
                             &world.problem));
    assert_string_equal(view.name, "fabrikam");
    assert_ok(world_restart(&world));
}

/* The store went down after its commit, before the token had the epoch: at the
 * next start the store is ahead by one and the token is brought up. */
static void a_store_ahead_of_the_token_is_accepted(void **state)
{
    struct tenant_create request = {.name = "fabrikam"};
    struct tenant_view view;
    (void)state;
    token_fake_fail_all(world.service_fake, TOKEN_OP_DATA_CREATE,
                        HF_E_UNREACHABLE);
    assert_status(tenants_create(world.service, &world.operator_, &request,
                                 &view, &world.problem),
                  HF_E_UNREACHABLE);
    token_fake_clear(world.service_fake);
    assert_ok(world_restart(&world));
    assert_ok(tenants_get(world.service, &world.operator_, "fabrikam", &view,
                          &world.problem));
    assert_ok(world_restart(&world));
}

static size_t count_kind(enum record_kind kind)
{
    struct store_txn *txn = NULL;
    uint64_t count = 0;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_count(txn, kind, BYTES_NONE, &count));
    store_rollbackp(&txn);
    return (size_t)count;
}

/* CreateDep with every call of the store failing once: a DEP and its generation
 * are there together or not at all, and no availability key is left over. */
static void creating_a_dep_is_all_or_nothing(void **state)
{
    struct dep_create request = {
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .tenant = WORLD_TENANT,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 60000,
    };
    struct dep_view view;
    bool failed = true;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    for (uint64_t n = 1; failed; n++) {
        /* the last few are made: what fails then is their counting */
        snprintf(request.name, sizeof request.name, "dep-%llu",
                 (unsigned long long)n);
        size_t deps = count_kind(RECORD_DEP);
        size_t generations = count_kind(RECORD_GENERATION);
        size_t keys = token_fake_keys(world.ak_fake);
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, n, HF_E_OVERLOAD);
        enum hf_status status = deps_create(world.service, &world.admin,
                                            &request, &view, &world.problem);
        failed = store_memory_failed(world.memory);
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, 0, HF_OK);
        size_t made = status == HF_OK ? 1 : 0;
        assert_int_equal(count_kind(RECORD_DEP), deps + made);
        assert_int_equal(count_kind(RECORD_GENERATION), generations + made);
        assert_int_equal(token_fake_keys(world.ak_fake), keys + made);
        assert_true(failed || status == HF_OK);
        assert_true(n < 1000);
    }
    assert_ok(world_restart(&world));
}

/* The same with the AK token: each of its calls failing once. */
static void a_failing_ak_token_leaves_nothing_behind(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_GENERATE, TOKEN_OP_MINT,
                                        TOKEN_OP_UNWRAP, TOKEN_OP_OPEN};
    struct dep_create request = {
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .tenant = WORLD_TENANT,
        .name = "second",
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 60000,
    };
    struct dep_view view;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    size_t deps = count_kind(RECORD_DEP);
    size_t keys = token_fake_keys(world.ak_fake);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        token_fake_fail_nth(world.ak_fake, ops[i], 1, HF_E_UNREACHABLE);
        assert_status(deps_create(world.service, &world.admin, &request, &view,
                                  &world.problem),
                      HF_E_UNREACHABLE);
        token_fake_clear(world.ak_fake);
        assert_int_equal(count_kind(RECORD_DEP), deps);
        assert_int_equal(token_fake_keys(world.ak_fake), keys);
    }
}

/* A token that is late before the commit changed nothing, and nothing may act
 * as if it had: neither what is in memory nor what a restart finds. */
static void a_late_token_before_the_commit_changes_nothing(void **state)
{
    struct customer_key_grant request = {.tenant = WORLD_TENANT, .name = "ck1"};
    struct customer_key_view view;
    struct outcome made;
    struct outcome opened;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    memcpy(request.identity, world.workload.identity, sizeof request.identity);
    token_fake_fail_nth(world.service_fake, TOKEN_OP_MAC, 1, HF_E_TIMEOUT);
    assert_status(customer_keys_revoke(world.service, &world.admin, &request,
                                       &view, &world.problem),
                  HF_E_UNREACHABLE);
    assert_null(strstr(world.problem.text, "recorded"));
    token_fake_clear(world.service_fake);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    assert_int_equal(view.grant_count, 2);
    assert_ok(world_restart(&world));
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    assert_int_equal(view.grant_count, 2);
    /* and it can still be changed: its stamp was not lost */
    world_revoke(&world, "ck1", &world.workload);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &opened);
    assert_ok(opened.status);
}

/* What a request says goes into the chain as a value, never as structure. */
static void a_grant_cannot_write_the_audit_record(void **state)
{
    static const char *bad[] = {"spiffe://x\",\"forged\":\"y", "spiffe://a\\b",
                                "spiffe://", "spiffe://a b", "https://a/b"};
    struct customer_key_grant request = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .permissions = PERMISSION_GET,
    };
    struct customer_key_view view;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(request.identity, sizeof request.identity, "%s", bad[i]);
        assert_status(customer_keys_grant(world.service, &world.admin, &request,
                                          &view, &world.problem),
                      HF_E_INVALID);
        assert_string_equal(world.problem.field, "identity");
    }
}

/* An etag of before any change of the key, its versions or its grants is
 * refused. */
static void a_stale_etag_of_a_key_is_refused(void **state)
{
    struct customer_key_view view;
    struct customer_key_update update = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .set_enabled = true,
        .enabled = false,
    };
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    memcpy(update.mutation.etag, view.etag, sizeof update.mutation.etag);
    world_revoke(&world, "ck1", &world.system);
    assert_status(customer_keys_update(world.service, &world.admin, &update,
                                       &view, &world.problem),
                  HF_E_CONFLICT);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    memcpy(update.mutation.etag, view.etag, sizeof update.mutation.etag);
    assert_ok(customer_keys_update(world.service, &world.admin, &update, &view,
                                   &world.problem));
    assert_status(customer_keys_update(world.service, &world.admin, &update,
                                       &view, &world.problem),
                  HF_E_CONFLICT);
}

static enum hf_status count_record(void *context, const struct record *record)
{
    (void)record;
    *(size_t *)context += 1;
    return HF_OK;
}

/* Three subkeys, and each sealed record once: a start of many records is as
 * slow as the token's MACs. */
static void a_start_asks_for_each_mac_once(void **state)
{
    struct store_txn *txn = NULL;
    const struct store_page all = {.max = SIZE_MAX};
    size_t records = 0;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    for (size_t i = 0; i < SEALED; i++) {
        assert_ok(store_list(txn, sealed[i], &all, count_record, &records));
    }
    store_rollbackp(&txn);
    uint64_t before = token_fake_calls(world.service_fake, TOKEN_OP_MAC);
    assert_ok(world_restart(&world));
    assert_int_equal(token_fake_calls(world.service_fake, TOKEN_OP_MAC),
                     before + 3 + records);
}

/* --- the index of assignments ------------------------------------------- */

static void find_mailbox(const char *id, struct record *out)
{
    struct store_txn *txn = NULL;
    struct found *found = malloc(sizeof *found);
    struct tenant_record tenant;
    find_first(RECORD_TENANT, found);
    assert_ok(tenant_decode(&found->record, &tenant));
    free(found);
    struct record_key key = key_of_resource(&tenant.id, RESOURCE_MAILBOX, id);
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_get(txn, RECORD_RESOURCE, record_key_view(&key), out));
    store_rollbackp(&txn);
}

/* All pages of two; how many mailboxes they show, each of the DEP. */
static HF_STATUS list_of_dep(size_t *out_count)
{
    static struct mailbox_view views[2];
    struct mailbox_list list = {.views = views, .cap = 2};
    struct mailbox_list_request request = {.tenant = WORLD_TENANT,
                                           .filter.assigned_dep = WORLD_DEP};
    char last[sizeof views[0].record.id] = "";
    *out_count = 0;
    do {
        HF_TRY(mailboxes_list(world.service, &world.admin, &request, &list,
                              &world.problem));
        for (size_t i = 0; i < list.count; i++) {
            assert_false(id_is_nil(&views[i].record.assigned));
            assert_string_not_equal(views[i].record.id, last);
            memcpy(last, views[i].record.id, sizeof last);
        }
        *out_count += list.count;
        memcpy(request.page.token, list.next, sizeof list.next);
    } while (list.next[0] != '\0');
    return HF_OK;
}

/* A list by DEP reads the mailboxes of the DEP: the others are not looked at,
 * and might as well be damaged. */
static void a_list_by_dep_reads_what_it_shows(void **state)
{
    char id[32];
    size_t count = 0;
    struct record *record = malloc(sizeof *record);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    for (int i = 0; i < 12; i++) {
        snprintf(id, sizeof id, "box-%d", i);
        world_mailbox(&world, id, i % 3 == 0 ? WORLD_DEP : "");
        if (i % 3 != 0) {
            find_mailbox(id, record);
            record->body[record->body_len / 2] ^= 1;
            store_memory_overwrite(world.memory, record);
        }
    }
    assert_ok(list_of_dep(&count));
    assert_int_equal(count, 5);
    free(record);
}

/* The index is believed no more than any other row. */
static void an_index_that_leads_astray_is_refused(void **state)
{
    size_t count = 0;
    struct found *found = malloc(sizeof *found);
    struct record *mailbox = malloc(sizeof *mailbox);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    find_first(RECORD_ASSIGNED, found);
    find_mailbox(WORLD_MAILBOX, mailbox);
    struct record edited = found->record;
    edited.mac[0] ^= 1;
    store_memory_overwrite(world.memory, &edited);
    assert_status(list_of_dep(&count), HF_E_CORRUPT);
    store_memory_overwrite(world.memory, &found->record);
    assert_ok(list_of_dep(&count));
    assert_true(
        store_memory_erase(world.memory, RECORD_RESOURCE,
                           (struct bytes){mailbox->key, mailbox->key_len}));
    assert_status(list_of_dep(&count), HF_E_CORRUPT);
    free(mailbox);
    free(found);
}

/* Taken off the DEP and its index row put back: the mailbox's record decides.
 */
static void an_index_row_put_back_is_refused(void **state)
{
    size_t count = 0;
    struct mailbox_view view;
    struct mailbox_assign none = {.tenant = WORLD_TENANT, .id = WORLD_MAILBOX};
    struct found *found = malloc(sizeof *found);
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    find_first(RECORD_ASSIGNED, found);
    assert_ok(mailboxes_assign(world.service, &world.admin, &none, &view,
                               &world.problem));
    assert_ok(list_of_dep(&count));
    assert_int_equal(count, 0);
    store_memory_overwrite(world.memory, &found->record);
    assert_status(list_of_dep(&count), HF_E_CORRUPT);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_edited_record_is_seen, start, stop),
        cmocka_unit_test_setup_teardown(a_record_taken_out_is_seen, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            a_record_put_back_to_an_earlier_version_is_seen, start, stop),
        cmocka_unit_test_setup_teardown(a_mac_of_another_record_is_seen, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_store_rolled_back_whole_is_seen,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            an_empty_store_under_a_used_token_is_seen, start, stop),
        cmocka_unit_test_setup_teardown(an_edited_row_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(an_epoch_that_failed_is_caught_up,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_store_ahead_of_the_token_is_accepted,
                                        start, stop),
        cmocka_unit_test_setup_teardown(creating_a_dep_is_all_or_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            a_failing_ak_token_leaves_nothing_behind, start, stop),
        cmocka_unit_test_setup_teardown(
            a_late_token_before_the_commit_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_grant_cannot_write_the_audit_record,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_start_asks_for_each_mac_once, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_list_by_dep_reads_what_it_shows,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_index_that_leads_astray_is_refused,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_index_row_put_back_is_refused, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_stale_etag_of_a_key_is_refused, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("service_ledger", tests, NULL, NULL);
}
