/* Does the chain tell what an administrative verb changed: every field, before
 * and after? */
#include "tests/unit/service/world.h"

#include <jansson.h>

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

/* The newest record of the activity has just these details: JSON with ' for ".
 */
static void assert_details(const char *activity, const char *expected)
{
    char text[WORLD_AUDIT_BYTES];
    char wanted[2048];
    world_audit_last(&world, activity, text);
    json_t *record = json_loads(text, 0, NULL);
    json_t *details = json_object_get(record, "details");
    snprintf(wanted, sizeof wanted, "%s", expected);
    for (char *at = strchr(wanted, '\''); at != NULL; at = strchr(at, '\'')) {
        *at = '"';
    }
    json_error_t where;
    json_t *right = json_loads(wanted, 0, &where);
    assert_non_null(right);
    if (!json_equal(details, right)) {
        print_error("%s: %s\n", activity, text);
    }
    assert_true(json_equal(details, right));
    json_decref(right);
    json_decref(record);
}

static struct dep_update update_of_dep(void)
{
    struct dep_update update = {.tenant = WORLD_TENANT};
    memcpy(update.dep, WORLD_DEP, sizeof WORLD_DEP);
    return update;
}

static void update_dep(const struct dep_update *update)
{
    struct dep_view view;
    assert_ok(deps_update(world.service, &world.admin, update, &view,
                          &world.problem));
}

static void dep(void **state)
{
    char expected[1024];
    struct customer_key_view key[HF_CUSTOMER_KEYS_PER_DEP];
    char id[HF_CUSTOMER_KEYS_PER_DEP][HF_ID_TEXT];
    (void)state;
    world_ready(&world, 60000, RESIDENCY_MEMORY);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                    i == 0 ? "ck1" : "ck2", &key[i],
                                    &world.problem));
        id_format(&key[i].id, id[i]);
    }
    snprintf(
        expected, sizeof expected,
        "{'after':{'type':'%s','name':'dep1','description':'','state':'%s',"
        "'residency':'MEMORY','keyLeaseMs':60000,'fallbackLimitMs':0,"
        "'customerKey1':'ck1','customerKey1Id':'%s',"
        "'customerKey1Version':1,'customerKey2':'ck2',"
        "'customerKey2Id':'%s','customerKey2Version':1,"
        "'workloadIdentity':'%s'}}",
        dep_type_text(DEP_TYPE_EXCHANGE_MAILBOX), dep_state_text(DEP_ENABLED),
        id[0], id[1], world.workload.identity);
    assert_details("CreateDep", expected);

    struct dep_update update = update_of_dep();
    update.set_name = true;
    snprintf(update.name, sizeof update.name, "renamed");
    update.set_description = true;
    snprintf(update.description, sizeof update.description, "a \"new\" one");
    update.set_residency = true;
    update.residency = RESIDENCY_TOKEN;
    update.set_key_lease = true;
    update.key_lease_ms = 0;
    update.set_fallback_limit = true;
    update.fallback_limit_ms = 90000;
    update_dep(&update);
    assert_details("UpdateDep",
                   "{'before':{'name':'dep1','description':'',"
                   "'residency':'MEMORY','keyLeaseMs':60000,"
                   "'fallbackLimitMs':0},"
                   "'after':{'name':'renamed',"
                   "'description':'a \\'new\\' one','residency':'TOKEN',"
                   "'keyLeaseMs':0,'fallbackLimitMs':90000}}");
}

static void dep_state(void **state)
{
    char expected[1024];
    struct dep_view view;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    struct mailbox_assign assign = {.tenant = WORLD_TENANT, .dep = ""};
    struct mailbox_view mailbox;
    memcpy(assign.id, WORLD_MAILBOX, sizeof WORLD_MAILBOX);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT,
                            WORLD_MAILBOX, &mailbox, &world.problem));
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &mailbox,
                               &world.problem));
    char id[HF_ID_TEXT];
    id_format(&view.record.id, id);
    snprintf(expected, sizeof expected,
             "{'before':{'dep':'%s'},"
             "'after':{'dep':'00000000-0000-0000-0000-000000000000'}}",
             id);
    assert_details("AssignMailbox", expected);
    struct dep_update update = update_of_dep();
    update.set_enabled = true;
    update.enabled = false;
    update_dep(&update);
    snprintf(expected, sizeof expected,
             "{'before':{'state':'%s'},'after':{'state':'%s'}}",
             dep_state_text(DEP_ENABLED), dep_state_text(DEP_DISABLED));
    assert_details("UpdateDep", expected);
}

static void customer_key(void **state)
{
    char expected[1024];
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    struct customer_key_view view;
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck2", &view, &world.problem));
    hex_encode(view.versions[0].fingerprint, HF_SHA256_BYTES, fingerprint,
               sizeof fingerprint);
    snprintf(expected, sizeof expected,
             "{'after':{'token':'t2','custodyDomain':'west',"
             "'fingerprint':'%s','label':'ck2','version':1,'bits':%u,"
             "'enabled':true,'notBefore':null,'expires':null}}",
             fingerprint, view.versions[0].bits);
    assert_details("RegisterCustomerKey", expected);

    struct customer_key_update update = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .set_enabled = true,
        .enabled = false,
        .set_not_before = true,
        .not_before_ms = 1700000000000,
        .set_expires = true,
        .expires_ms = 1900000000000,
    };
    assert_ok(customer_keys_update(world.service, &world.admin, &update, &view,
                                   &world.problem));
    assert_details("UpdateCustomerKey",
                   "{'before':{'enabled':true,'notBefore':null,"
                   "'expires':null},"
                   "'after':{'enabled':false,"
                   "'notBefore':'2023-11-14T22:13:20.000Z',"
                   "'expires':'2030-03-17T17:46:40.000Z'}}");
    update.set_enabled = false;
    update.set_not_before = false;
    update.expires_ms = 1900000001000;
    assert_ok(customer_keys_update(world.service, &world.admin, &update, &view,
                                   &world.problem));
    assert_details("UpdateCustomerKey",
                   "{'before':{'expires':'2030-03-17T17:46:40.000Z'},"
                   "'after':{'expires':'2030-03-17T17:46:41.000Z'}}");
}

static void grants(void **state)
{
    char expected[1024];
    (void)state;
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_grant(&world, "ck1", &world.stranger, PERMISSION_GET);
    snprintf(expected, sizeof expected,
             "{'identity':'%s','before':{'get':false},'after':{'get':true}}",
             world.stranger.identity);
    assert_details("GrantCustomerKey", expected);
    world_revoke(&world, "ck1", &world.workload);
    snprintf(expected, sizeof expected,
             "{'identity':'%s',"
             "'before':{'get':true,'wrap':true,'unwrap':true},"
             "'after':{'get':false,'wrap':false,'unwrap':false}}",
             world.workload.identity);
    assert_details("RevokeCustomerKey", expected);
}

static void tenant(void **state)
{
    struct tenant_update update = {
        .name = WORLD_TENANT,
        .set_licensed = true,
        .licensed = false,
    };
    struct tenant_view view;
    (void)state;
    world_tenant(&world, WORLD_TENANT);
    world_enroll(&world, WORLD_TENANT, 0);
    assert_details("EnrollToken",
                   "{'after':{'label':'t1','serial':'00000000000000c0',"
                   "'custodyDomain':'east','retentionDays':90,"
                   "'testOnly':false,'hardware':false}}");
    assert_ok(tenants_update(world.service, &world.operator_, &update, &view,
                             &world.problem));
    assert_details("UpdateTenant", "{'before':{'licensed':true},"
                                   "'after':{'licensed':false}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dep, start, stop),
        cmocka_unit_test_setup_teardown(dep_state, start, stop),
        cmocka_unit_test_setup_teardown(customer_key, start, stop),
        cmocka_unit_test_setup_teardown(grants, start, stop),
        cmocka_unit_test_setup_teardown(tenant, start, stop),
    };
    return cmocka_run_group_tests_name("service_audit", tests, NULL, NULL);
}
