/* Are mailbox and multi-workload DEPs apart: names, the limit (R-3.2,
 * ), who administers them, what mailboxes are assigned to? */
#include "hsm/base/check.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

static struct world world;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static enum hf_status create(const struct caller *who, const char *name,
                             enum dep_type type)
{
    struct dep_create request = {
        .tenant = WORLD_TENANT,
        .type = type,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = -1,
    };
    struct dep_view view;
    snprintf(request.name, sizeof request.name, "%s", name);
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    return deps_create(world.service, who, &request, &view, &world.problem);
}

static void get(const char *dep, enum dep_type type, enum hf_status expected,
                struct dep_view *out)
{
    struct dep_get request = {.tenant = WORLD_TENANT, .type = type};
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    assert_status(deps_get_typed(world.service, &world.admin, &request, out,
                                 &world.problem),
                  expected);
}

static void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

static void names_are_unique_per_type(void **state)
{
    struct dep_view box;
    struct dep_view all;
    struct dep_view found;
    char uid[HF_ID_TEXT];
    (void)state;
    assert_ok(create(&world.admin, "Dep1", DEP_TYPE_MULTI_WORKLOAD));
    assert_refused(create(&world.admin, "dEP1", DEP_TYPE_MULTI_WORKLOAD),
                   "NAME_TAKEN");
    assert_refused(create(&world.admin, "DEP1", DEP_TYPE_EXCHANGE_MAILBOX),
                   "NAME_TAKEN");
    get("dep1", DEP_TYPE_EXCHANGE_MAILBOX, HF_OK, &box);
    get("dep1", DEP_TYPE_MULTI_WORKLOAD, HF_OK, &all);
    assert_int_equal(box.record.type, DEP_TYPE_EXCHANGE_MAILBOX);
    assert_int_equal(all.record.type, DEP_TYPE_MULTI_WORKLOAD);
    /* without a type the mailbox DEP's; a UUID is always enough */
    get("dep1", (enum dep_type)0, HF_OK, &found);
    assert_true(id_equal(&found.record.id, &box.record.id));
    id_format(&all.record.id, uid);
    get(uid, (enum dep_type)0, HF_OK, &found);
    assert_true(id_equal(&found.record.id, &all.record.id));
    get(uid, DEP_TYPE_EXCHANGE_MAILBOX, HF_E_NOT_FOUND, &found);
    get("dep1", DEP_TYPE_SHAREPOINT_GEO, HF_E_NOT_FOUND, &found);
}

/* The index in the store says so too, not the catalogue alone. */
static void names_stay_unique_after_a_restart_and_a_rename(void **state)
{
    struct dep_view found;
    struct dep_update rename = {
        .tenant = WORLD_TENANT, .set_name = true, .name = "dep1"};
    (void)state;
    assert_ok(create(&world.admin, "all", DEP_TYPE_MULTI_WORKLOAD));
    snprintf(rename.dep, sizeof rename.dep, "all");
    assert_ok(deps_update(world.service, &world.admin, &rename, &found,
                          &world.problem));
    assert_ok(world_restart(&world));
    get("dep1", DEP_TYPE_MULTI_WORKLOAD, HF_OK, &found);
    get("all", (enum dep_type)0, HF_E_NOT_FOUND, &found);
    assert_ok(create(&world.admin, "all", DEP_TYPE_MULTI_WORKLOAD));
    assert_refused(deps_update(world.service, &world.admin, &rename, &found,
                               &world.problem),
                   "NAME_TAKEN");
}

static size_t count(enum dep_type type)
{
    struct dep_view views[60];
    struct dep_list list = {.views = views, .cap = HF_COUNT(views)};
    const struct dep_list_request request = {.tenant = WORLD_TENANT,
                                             .type = type};
    assert_ok(deps_list(world.service, &world.admin, &request, &list,
                        &world.problem));
    for (size_t i = 0; i < list.count; i++) {
        assert_true((int)type == 0 || views[i].record.type == type);
    }
    return list.count;
}

/* any number of them, and counts mailbox DEPs alone. */
static void fifty_and_more(void **state)
{
    (void)state;
    for (int i = 0; i < HF_ACTIVE_MAILBOX_DEPS_MAX + 1; i++) {
        char name[16];
        snprintf(name, sizeof name, "all-%d", i);
        assert_ok(create(&world.admin, name, DEP_TYPE_MULTI_WORKLOAD));
    }
    assert_ok(create(&world.admin, "box", DEP_TYPE_EXCHANGE_MAILBOX));
    assert_int_equal(count(DEP_TYPE_MULTI_WORKLOAD),
                     HF_ACTIVE_MAILBOX_DEPS_MAX + 1);
    assert_int_equal(count(DEP_TYPE_EXCHANGE_MAILBOX), 2);
    assert_int_equal(count((enum dep_type)0), HF_ACTIVE_MAILBOX_DEPS_MAX + 3);
}

static void each_administrator_has_one_type(void **state)
{
    struct caller exchange = world.admin;
    struct dep_view view;
    struct validation_report report;
    struct dep_update disable = {.tenant = WORLD_TENANT, .set_enabled = true};
    (void)state;
    exchange.roles = ROLE_EXCHANGE_ADMIN;
    assert_refused(create(&exchange, "all", DEP_TYPE_MULTI_WORKLOAD),
                   "ROLE_REQUIRED");
    assert_refused(create(&world.compliance, "box", DEP_TYPE_EXCHANGE_MAILBOX),
                   "ROLE_REQUIRED");
    assert_ok(create(&world.compliance, "all", DEP_TYPE_MULTI_WORKLOAD));
    assert_ok(create(&exchange, "box", DEP_TYPE_EXCHANGE_MAILBOX));
    snprintf(disable.dep, sizeof disable.dep, "all");
    assert_refused(
        deps_update(world.service, &exchange, &disable, &view, &world.problem),
        "ROLE_REQUIRED");
    assert_refused(deps_test(world.service, &exchange, WORLD_TENANT, "all",
                             &report, &world.problem),
                   "ROLE_REQUIRED");
    assert_ok(deps_update(world.service, &world.compliance, &disable, &view,
                          &world.problem));
    assert_int_equal(view.record.state, DEP_DISABLED);
    /* */
    assert_ok(deps_test(world.service, &world.compliance, WORLD_TENANT, "all",
                        &report, &world.problem));
    assert_true(report.passed);
    snprintf(disable.dep, sizeof disable.dep, "box");
    assert_refused(deps_update(world.service, &world.compliance, &disable,
                               &view, &world.problem),
                   "ROLE_REQUIRED");
}

/* a mailbox is assigned to a mailbox DEP only, by name and by UUID. */
static void mailboxes_know_no_other_type(void **state)
{
    struct dep_view all;
    struct mailbox_view box;
    struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                    .id = WORLD_MAILBOX};
    (void)state;
    assert_ok(create(&world.admin, "all", DEP_TYPE_MULTI_WORKLOAD));
    get("all", DEP_TYPE_MULTI_WORKLOAD, HF_OK, &all);
    snprintf(assign.dep, sizeof assign.dep, "all");
    assert_refused(mailboxes_assign(world.service, &world.admin, &assign, &box,
                                    &world.problem),
                   "NOT_FOUND");
    id_format(&all.record.id, assign.dep);
    assert_refused(mailboxes_assign(world.service, &world.admin, &assign, &box,
                                    &world.problem),
                   "NOT_FOUND");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_unique_per_type, start, stop),
        cmocka_unit_test_setup_teardown(
            names_stay_unique_after_a_restart_and_a_rename, start, stop),
        cmocka_unit_test_setup_teardown(fifty_and_more, start, stop),
        cmocka_unit_test_setup_teardown(each_administrator_has_one_type, start,
                                        stop),
        cmocka_unit_test_setup_teardown(mailboxes_know_no_other_type, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("dep_types", tests, NULL, NULL);
}
