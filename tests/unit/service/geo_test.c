/* Does a geo bring every site under its TIK when it is registered and when one
 * of its keys is rolled, refuse what 3.4 refuses, and lose no key (one DEP of
 * its own type for each geo; S1 to S6, S10, R-5.19 to,
 * */
#include "hsm/base/check.h"

#include "server/service/resources.h"

#include "tests/unit/service/geo_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SITES 70 /* more than one step deals with */

static struct outcome made[SITES];

static int start(void **state)
{
    (void)state;
    geo_world_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void assert_reason(const char *reason)
{
    assert_string_equal(reason_word(world.problem.reason), reason);
}

/* S1, S2, R-5.19, R-5.20, R-5.22, R-2.2, R-2.10 */
static void registering_brings_every_site_along(void **state)
{
    struct operation_view operation;
    struct geo_view geo;
    struct site_view site;
    (void)state;
    geo_fill(SITES, made);
    geo_look(&geo);
    assert_int_equal(geo.record.state, GEO_UNREGISTERED);
    assert_int_equal(geo.percent, 0);
    assert_int_equal(geo.site_count, SITES);
    /* a site's state is a question of Customer Key */
    assert_status(sites_get(world.service, &world.admin, WORLD_TENANT,
                            "site-000", &site, &world.problem),
                  HF_E_PRECONDITION);
    assert_reason("GEO_NOT_REGISTERED");
    size_t ak_keys = token_fake_keys(world.ak_fake);

    geo_register(&operation);
    assert_int_equal(operation.record.kind, OPERATION_REGISTER_GEO);
    assert_int_equal(operation.record.total, SITES);
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);

    geo_look(&geo);
    assert_int_equal(geo.dep.type, DEP_TYPE_SHAREPOINT_GEO);
    assert_string_equal(geo.keys[0].name, "ck1");
    assert_string_equal(geo.keys[1].name, "ck2");
    assert_true(geo.tik_cached);
    /* its availability key is a pair of its own, in a token of its own, used
     * once: to prove its copy */
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 1);
    assert_int_equal(token_fake_keys(world.ak_fake), ak_keys);
    assert_int_equal(geo_ak_uses(), 1);
    assert_int_equal(world_audit_count(&world, "RegisterGeo"), 1);
    assert_int_equal(world_audit_count(&world, "GeoSitesDone"), 1);
    assert_int_equal(world_audit_count(&world, "Fallback to Availability Key"),
                     0);
}

/* S1 again, S5, S6, S8, S10: refused, and nothing changed. */
static void what_the_table_refuses_changes_nothing(void **state)
{
    const struct geo_pair keys = {
        {"ck1", "ck2"},
        {1,     1    }
    };
    struct operation_view operation;
    struct operation_view other;
    struct geo_view before;
    struct geo_view after;
    (void)state;
    geo_fill(3, made);
    world_key_version(&world, 0, "ck1", 2);
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 2, &other), HF_E_PRECONDITION);
    assert_reason("GEO_NOT_REGISTERED");
    assert_status(geo_register_by(&world.admin, true, &keys, false, &other),
                  HF_E_PRECONDITION);
    assert_reason("GEO_NOT_REGISTERED");

    /* S6: it cannot go on while its sites cannot be read */
    token_fake_fail_all(world.ak_fake, TOKEN_OP_UNWRAP, HF_E_UNREACHABLE);
    token_fake_drop_objects(world.ak_fake);
    geo_register(&operation);
    geo_look(&before);
    assert_int_equal(before.record.state, GEO_REGISTERING);
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 2, &other), HF_E_PRECONDITION);
    assert_reason("STATE_CONFLICT");
    assert_status(geo_register_by(&world.admin, false, &keys, false, &other),
                  HF_E_EXISTS);
    assert_reason("ALREADY_REGISTERED");
    assert_status(geo_register_by(&world.admin, true, &keys, false, &other),
                  HF_E_PRECONDITION);
    assert_reason("RECOVERY_NOT_ENABLED");
    geo_look(&after);
    assert_memory_equal(&after.record, &before.record, sizeof after.record);
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 1);
    token_fake_clear(world.ak_fake);
    geo_wait(&operation);

    /* S5, R-7.8: one at a time */
    world_key_version(&world, 1, "ck2", 2);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    geo_stall(true);
    geo_look(&before);
    assert_int_equal(before.record.state, GEO_ROLLING);
    assert_int_not_equal(before.percent, 100);
    assert_status(geo_roll_to(ROOT_CK2, "ck2", 2, &other), HF_E_PRECONDITION);
    assert_reason("ROLL_IN_PROGRESS");
    geo_look(&after);
    assert_memory_equal(&after.record, &before.record, sizeof after.record);
    geo_stall(false);
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(3), 3);
    geo_assert_all_open(3, made);
}

/* S3, S4, R-7.8, R-7.9, R-4.14: exact versions, one after the other; what was
 * replaced is not needed any more. */
static void rolling_exchanges_one_key_at_a_time(void **state)
{
    struct operation_view operation;
    struct geo_view geo;
    (void)state;
    geo_fill(SITES, made);
    geo_register(&operation);
    geo_wait(&operation);
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 1, &operation),
                  HF_E_PRECONDITION);
    assert_reason("NOTHING_TO_REFRESH");
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 2, &operation), HF_E_NOT_FOUND);
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    assert_int_equal(operation.record.kind, OPERATION_ROLL_GEO);
    geo_wait(&operation);
    world_key_version(&world, 1, "ck2", 2);
    assert_ok(geo_roll_to(ROOT_CK2, "ck2", 2, &operation));
    geo_wait(&operation);
    geo_look(&geo);
    assert_int_equal(geo.dep.generation, 3);
    assert_int_equal(geo.keys[0].version, 2);
    assert_int_equal(geo.keys[1].version, 2);
    assert_int_equal(geo_count_moved(SITES), SITES);
    /* a roll uses the availability key for nothing but the proof of its copies
     * and makes no other */
    assert_int_equal(geo_ak_uses(), 3);
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 1);

    /* the versions of before are gone from both tokens */
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_ok(token_fake_delete_key(world.customer_fake[1],
                                    (const uint8_t *)"ck2", 3));
    struct geo_flush flush = {.tenant = WORLD_TENANT, .geo = GEO};
    assert_ok(
        geos_flush(world.service, &world.admin, &flush, &geo, &world.problem));
    assert_false(geo.tik_cached);
    geo_assert_all_open(SITES, made);
}

/* I1: a geo may be rolled more than once a month for years: a site
 * remembers every TIK it was under. */
static void many_rolls_leave_room_for_the_next(void **state)
{
    struct operation_view operation;
    struct site_view site;
    (void)state;
    geo_fill(2, made);
    geo_register(&operation);
    geo_wait(&operation);
    world_key_version(&world, 0, "ck1", 2);
    for (uint32_t roll = 0; roll < 40; roll++) {
        assert_ok(
            geo_roll_to(ROOT_CK1, "ck1", roll % 2 == 0 ? 2 : 1, &operation));
        geo_wait(&operation);
    }
    assert_int_equal(geo_count_moved(2), 2);
    assert_ok(sites_get(world.service, &world.admin, WORLD_TENANT, "site-001",
                        &site, &world.problem));
    assert_int_equal(site.record.wrap_count, 42);
    assert_ok(world_restart(&world));
    geo_assert_all_open(2, made);
}

static void put(struct resource_view *view)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    assert_ok(change_new(&change));
    assert_ok(resource_put(view, change, NULL));
    assert_ok(ledger_commit(world.service->ledger, change));
}

/* As if a site had been under that many TIKs. */
static void fill_wraps(const char *id, size_t count)
{
    struct resource_view view;
    struct tenant_entry *tenant =
        catalogue_tenant(&world.service->catalogue, WORLD_TENANT);
    assert_ok(resource_load(world.service, tenant, RESOURCE_SITE, id, &view));
    while (view.record.wrap_count < count) {
        view.record.wraps[view.record.wrap_count++] = view.record.effective;
    }
    put(&view);
}

/* A roll that one of the sites could not follow is refused, not begun. */
static void a_full_site_is_not_rolled(void **state)
{
    struct operation_view operation;
    struct geo_view geo;
    (void)state;
    geo_fill(3, made);
    geo_register(&operation);
    geo_wait(&operation);
    world_key_version(&world, 0, "ck1", 2);
    fill_wraps("site-001", RESOURCE_WRAPS_MAX - 16);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(3), 3);
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 1, &operation),
                  HF_E_PRECONDITION);
    assert_reason("GENERATION_LIMIT");
    geo_look(&geo);
    assert_int_equal(geo.record.state, GEO_REGISTERED);
    assert_int_equal(geo.dep.generation, 2);
    geo_assert_all_open(3, made);
}

/* 100 only when complete. A key that was sealed under the TIK of before
 * and is stored when the walk has passed is not left behind. */
static void a_late_key_is_brought_along(void **state)
{
    static struct resource_view view;
    static struct resource_record sealed;
    struct operation_view operation;
    struct tenant_entry *tenant =
        catalogue_tenant(&world.service->catalogue, WORLD_TENANT);
    (void)state;
    geo_fill(3, made);
    geo_register(&operation);
    geo_wait(&operation);
    assert_ok(
        resource_load(world.service, tenant, RESOURCE_SITE, "site-001", &view));
    sealed = view.record;
    memset(view.record.envelope, 0, sizeof view.record.envelope);
    view.record.envelope_len = 0;
    view.record.effective = (struct dep_ref){.generation = 0};
    put(&view);
    world_key_version(&world, 0, "ck1", 2);
    store_memory_hold(world.memory, RECORD_RESOURCE, 2); /* 1: the order's */
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    assert_true(store_memory_wait_held(world.memory, 10000));
    assert_ok(
        resource_load(world.service, tenant, RESOURCE_SITE, "site-001", &view));
    view.record = sealed;
    put(&view);
    store_memory_release(world.memory);
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(3), 3);
    geo_assert_all_open(3, made);
}

/* an operation survives a restart, and an outage only delays it. */
static void a_restart_in_the_middle_goes_on(void **state)
{
    struct operation_view operation;
    (void)state;
    geo_fill(SITES, made);
    geo_register(&operation);
    geo_stall(true);
    usleep(300000);
    assert_ok(world_restart(&world));
    geo_stall(false);
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);
    assert_ok(world_restart(&world));
    geo_assert_all_open(SITES, made);
}

/* the whole validation, on the versions that are named. */
static void keys_that_do_not_pass_are_refused(void **state)
{
    const struct geo_pair same = {
        {"ck1", "ck1"},
        {1,     1    }
    };
    const struct geo_pair absent = {
        {"ck1", "ck2"},
        {1,     7    }
    };
    struct operation_view operation;
    struct geo_view geo;
    (void)state;
    geo_add_site("site");
    assert_status(
        geo_register_by(&world.admin, false, &same, false, &operation),
        HF_E_PRECONDITION);
    assert_reason("VALIDATION_FAILED");
    assert_true(world.problem.has_report);
    assert_status(
        geo_register_by(&world.admin, false, &absent, false, &operation),
        HF_E_NOT_FOUND);
    assert_status(
        geo_register_by(&world.files, false, &same, false, &operation),
        HF_E_DENIED);
    assert_reason("ROLE_REQUIRED");
    geo_look(&geo);
    assert_int_equal(geo.record.state, GEO_UNREGISTERED);
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 0);
}

/* by configuration one availability key for all. */
static void one_availability_key_for_the_deployment(void **state)
{
    const struct geo_pair keys = {
        {"ck1", "ck2"},
        {1,     1    }
    };
    struct geo_register other = {
        .tenant = WORLD_TENANT, .geo = "APAC", .residency = RESIDENCY_TOKEN};
    struct operation_view operation;
    struct geo_view first;
    struct geo_view second;
    (void)state;
    world.settings.sharepoint_ak_shared = true;
    assert_ok(world_restart(&world));
    geo_fill(2, made);
    assert_ok(geo_register_by(&world.admin, false, &keys, false, &operation));
    geo_wait(&operation);
    memcpy(other.workload_identity, world.files.identity,
           sizeof other.workload_identity);
    for (size_t i = 0; i < 2; i++) {
        snprintf(other.keys[i].name, sizeof other.keys[i].name, "%s",
                 keys.names[i]);
        other.keys[i].version = 1;
    }
    assert_ok(geos_register(world.service, &world.admin, &other, &operation,
                            &world.problem));
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 1);
    geo_look(&first);
    assert_ok(geos_get(world.service, &world.admin, WORLD_TENANT, "APAC",
                       &second, &world.problem));
    assert_int_equal(first.dep.ak_cka_id_len, second.dep.ak_cka_id_len);
    assert_memory_equal(first.dep.ak_cka_id, second.dep.ak_cka_id,
                        first.dep.ak_cka_id_len);
    /* but a TIK of its own for each */
    assert_false(id_equal(&first.record.dep, &second.record.dep));
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    geo_wait(&operation);
    geo_assert_all_open(2, made);
}

/* N32: the availability key's public half is pinned: a roll does not wrap the
 * new TIK under another that took its place. */
static void another_availability_key_is_not_wrapped_for(void **state)
{
    struct operation_view operation;
    struct geo_view geo;
    struct token_key_report report;
    struct token_request generate = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_PAIR,
                       .bits = 2048,
                       .label = "in its place",
                       .report = &report},
    };
    (void)state;
    geo_fill(1, made);
    geo_register(&operation);
    geo_wait(&operation);
    geo_look(&geo);
    assert_ok(token_fake_delete_key(world.sharepoint_ak_fake, geo.dep.ak_cka_id,
                                    geo.dep.ak_cka_id_len));
    memcpy(generate.u.generate.id, geo.dep.ak_cka_id, geo.dep.ak_cka_id_len);
    generate.u.generate.id_len = geo.dep.ak_cka_id_len;
    assert_ok(token_call(&world.sharepoint_ak_token, &generate));
    world_key_version(&world, 0, "ck1", 2);
    assert_status(geo_roll_to(ROOT_CK1, "ck1", 2, &operation),
                  HF_E_UNREACHABLE);
    geo_look(&geo);
    assert_int_equal(geo.record.state, GEO_REGISTERED);
    assert_int_equal(geo.dep.generation, 1);
}

/* The mailboxes of the tenant are no sites, and the other way round. */
static void sites_and_geos_are_listed(void **state)
{
    struct site_view sites[4];
    struct site_list found = {.views = sites, .cap = 4};
    struct site_list_request request = {.tenant = WORLD_TENANT, .geo = GEO};
    struct geo_view geos[4];
    struct geo_list geo_list = {.views = geos, .cap = 4};
    const struct page_request page = {.size = 4};
    (void)state;
    geo_fill(3, made);
    world_mailbox(&world, WORLD_MAILBOX, "");
    request.page.size = 2;
    assert_ok(sites_list(world.service, &world.admin, &request, &found,
                         &world.problem));
    assert_int_equal(found.count, 2);
    snprintf(request.page.token, sizeof request.page.token, "%s", found.next);
    assert_ok(sites_list(world.service, &world.admin, &request, &found,
                         &world.problem));
    assert_int_equal(found.count, 1);
    assert_string_equal(found.next, "");
    assert_ok(geos_list(world.service, &world.admin, WORLD_TENANT, &page,
                        &geo_list, &world.problem));
    assert_int_equal(geo_list.count, 1);
    assert_string_equal(geos[0].record.name, GEO);
    struct mailbox_view boxes[4];
    struct mailbox_list mailboxes = {.views = boxes, .cap = 4};
    const struct mailbox_list_request all = {.tenant = WORLD_TENANT,
                                             .page = {.size = 4}};
    assert_ok(mailboxes_list(world.service, &world.admin, &all, &mailboxes,
                             &world.problem));
    assert_int_equal(mailboxes.count, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(registering_brings_every_site_along),
        CASE(what_the_table_refuses_changes_nothing),
        CASE(rolling_exchanges_one_key_at_a_time),
        CASE(many_rolls_leave_room_for_the_next),
        CASE(a_full_site_is_not_rolled),
        CASE(a_late_key_is_brought_along),
        CASE(a_restart_in_the_middle_goes_on),
        CASE(keys_that_do_not_pass_are_refused),
        CASE(one_availability_key_for_the_deployment),
        CASE(another_availability_key_is_not_wrapped_for),
        CASE(sites_and_geos_are_listed),
    };
    return cmocka_run_group_tests_name("geo", tests, NULL, NULL);
}
