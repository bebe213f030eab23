/* Soft delete of a customer key: invisible, refusing, its name kept, recovered
 * as it was, gone by itself after its retention (R-4.25, R-4.10, R-7.13,
 * */
#include "hsm/base/check.h"

#include "tests/unit/service/world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS   86400000ll
#define PAUSE_US 2000
#define TRIES    5000

static struct world world;
static const uint32_t all_permissions =
    PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;

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

typedef HF_STATUS life_fn(struct service *service, const struct caller *caller,
                          const struct customer_key_delete *request,
                          struct customer_key_view *out,
                          struct problem *problem);

static enum hf_status run(life_fn *verb, const char *name,
                          struct customer_key_view *out)
{
    struct customer_key_delete request = {.tenant = WORLD_TENANT,
                                          .confirm = true};
    snprintf(request.name, sizeof request.name, "%s", name);
    return verb(world.service, &world.admin, &request, out, &world.problem);
}

static void deleted(const char *name)
{
    struct customer_key_view view;
    assert_ok(run(customer_keys_soft_delete, name, &view));
    assert_int_equal(view.state, KEY_SOFT_DELETED);
}

static void recovered(const char *name)
{
    struct customer_key_view view;
    assert_ok(run(customer_keys_recover, name, &view));
    assert_int_equal(view.state, KEY_ACTIVE);
    assert_int_equal(view.purge_ms, 0);
    assert_int_equal(view.deleted_ms, 0);
}

static void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

static enum hf_status get(const char *name, struct customer_key_view *out)
{
    return customer_keys_get(world.service, &world.admin, WORLD_TENANT, name,
                             out, &world.problem);
}

/* How many are listed, deleted or not; the one named is among them. */
static size_t listed(bool of_deleted, const char *name, bool *out_named)
{
    static struct customer_key_view views[8];
    struct customer_key_list list = {.views = views, .cap = HF_COUNT(views)};
    const struct page_request page = {.size = 8};
    assert_ok(of_deleted ? customer_keys_list_deleted(
                               world.service, &world.admin, WORLD_TENANT, &page,
                               &list, &world.problem)
                         : customer_keys_list(world.service, &world.admin,
                                              WORLD_TENANT, &page, &list,
                                              &world.problem));
    *out_named = false;
    for (size_t i = 0; i < list.count; i++) {
        *out_named = *out_named || strcmp(views[i].name, name) == 0;
    }
    return list.count;
}

static enum hf_status register_again(const char *name)
{
    struct customer_key_register request = {
        .tenant = WORLD_TENANT, .token = "t1", .uri = "pkcs11:id=%63%6b%31"};
    struct customer_key_view view;
    snprintf(request.name, sizeof request.name, "%s", name);
    return customer_keys_register(world.service, &world.admin, &request, &view,
                                  &world.problem);
}

static void a_deleted_key_is_invisible(void **state)
{
    struct customer_key_view view;
    struct validation_report report;
    struct customer_key_update update = {
        .tenant = WORLD_TENANT, .name = "ck1", .set_enabled = true};
    struct customer_key_grant grant = {
        .tenant = WORLD_TENANT, .name = "ck1", .permissions = all_permissions};
    struct customer_key_validate validate = {
        .tenant = WORLD_TENANT, .keys = {"ck1", "ck2"}
    };
    struct dep_create dep = {
        .tenant = WORLD_TENANT,
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .name = "another",
        .keys = {"ck1", "ck2"},
        .workload_identity = "spiffe://holdfast.test/contoso/exchange",
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = -1,
    };
    struct dep_view dep_view;
    bool named = false;
    (void)state;
    memcpy(grant.identity, world.workload.identity, sizeof grant.identity);
    deleted("ck1");
    assert_refused(get("ck1", &view), "NOT_FOUND");
    assert_refused(customer_keys_update(world.service, &world.admin, &update,
                                        &view, &world.problem),
                   "NOT_FOUND");
    assert_refused(customer_keys_grant(world.service, &world.admin, &grant,
                                       &view, &world.problem),
                   "NOT_FOUND");
    assert_refused(customer_keys_revoke(world.service, &world.admin, &grant,
                                        &view, &world.problem),
                   "NOT_FOUND");
    assert_refused(customer_keys_validate(world.service, &world.admin,
                                          &validate, &report, &world.problem),
                   "NOT_FOUND");
    assert_refused(deps_create(world.service, &world.admin, &dep, &dep_view,
                               &world.problem),
                   "NOT_FOUND");
    assert_int_equal(listed(false, "ck1", &named), 1);
    assert_false(named);
    assert_int_equal(listed(true, "ck1", &named), 1);
    assert_true(named);
}

/* What it is shown with, and when it will be gone. */
static void a_deleted_key_shows_when_it_goes(void **state)
{
    struct customer_key_view view;
    (void)state;
    assert_ok(get("ck1", &view));
    assert_int_equal(view.state, KEY_ACTIVE);
    assert_string_equal(key_recovery_level_text(view.recovery), "Recoverable");
    assert_int_equal(view.retention_days, 90);
    assert_ok(run(customer_keys_soft_delete, "ck1", &view));
    assert_int_equal(view.deleted_ms, world.now_ms);
    assert_int_equal(view.purge_ms, world.now_ms + 90 * DAY_MS);
    assert_int_equal(world_audit_count(&world, "SoftDeleteCustomerKey"), 1);
}

static void its_name_is_kept_for_it(void **state)
{
    (void)state;
    deleted("ck1");
    assert_refused(register_again("ck1"), "NAME_TAKEN");
    assert_refused(register_again("CK1"), "NAME_TAKEN");
    assert_ok(world_restart(&world));
    assert_refused(register_again("ck1"), "NAME_TAKEN");
}

/* Every state with every event there is a verb for (R-3.13: nothing changes).
 */
static void refusals_change_nothing(void **state)
{
    struct customer_key_view before;
    struct customer_key_view after;
    (void)state;
    assert_ok(get("ck1", &before));
    assert_refused(run(customer_keys_recover, "ck1", &after), "STATE_CONFLICT");
    assert_refused(run(customer_keys_recover, "none", &after), "NOT_FOUND");
    assert_refused(run(customer_keys_soft_delete, "none", &after), "NOT_FOUND");
    assert_ok(get("ck1", &after));
    assert_string_equal(before.etag, after.etag);
    deleted("ck1");
    assert_refused(run(customer_keys_soft_delete, "ck1", &after),
                   "STATE_CONFLICT");
    recovered("ck1");
    assert_int_equal(world_audit_count(&world, "SoftDeleteCustomerKey"), 1);
    assert_int_equal(world_audit_count(&world, "RecoverCustomerKey"), 1);
}

static void it_must_be_meant(void **state)
{
    struct customer_key_delete request = {.tenant = WORLD_TENANT,
                                          .name = "ck1"};
    struct customer_key_view view;
    struct caller vault = world.admin;
    struct caller contributor = world.admin;
    (void)state;
    vault.roles = ROLE_VAULT_ADMIN;
    contributor.roles = ROLE_VAULT_CONTRIBUTOR;
    assert_refused(customer_keys_soft_delete(world.service, &world.admin,
                                             &request, &view, &world.problem),
                   "FIELD_INVALID");
    request.mutation.validate_only = true;
    assert_ok(customer_keys_soft_delete(world.service, &world.admin, &request,
                                        &view, &world.problem));
    assert_int_equal(view.state, KEY_ACTIVE);
    request.mutation.validate_only = false;
    request.confirm = true;
    snprintf(request.mutation.etag, sizeof request.mutation.etag, "999");
    assert_refused(customer_keys_soft_delete(world.service, &world.admin,
                                             &request, &view, &world.problem),
                   "ETAG_MISMATCH");
    request.mutation.etag[0] = '\0';
    /* who registers keys does not delete them */
    assert_refused(customer_keys_soft_delete(world.service, &vault, &request,
                                             &view, &world.problem),
                   "ROLE_REQUIRED");
    assert_ok(get("ck1", &view));
    assert_ok(customer_keys_soft_delete(world.service, &contributor, &request,
                                        &view, &world.problem));
}

/* */
static void a_needed_key_is_not_deleted(void **state)
{
    struct outcome made;
    struct customer_key_view view;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(made.status);
    assert_refused(run(customer_keys_soft_delete, "ck1", &view), "KEY_IN_USE");
    assert_non_null(strstr(world.problem.text, WORLD_MAILBOX));
    /* also a version that is not the current one */
    world_key_version(&world, 0, "ck1", 2);
    assert_refused(run(customer_keys_soft_delete, "ck1", &view), "KEY_IN_USE");
    assert_ok(get("ck1", &view));
    assert_int_equal(view.state, KEY_ACTIVE);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &made);
    assert_ok(made.status);
}

/* A copy that only the client has, so that nothing stored is in the way. */
static void wrap(struct outcome *out)
{
    static const uint8_t key[HF_KEY_BYTES] = {7, 7, 7};
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_WRAP_KEY,
        .mailbox = WORLD_MAILBOX,
        .plaintext = key,
    };
    world_call(&world, &options, out);
    assert_ok(out->status);
}

static enum hf_status unwrap_copy(const struct outcome *copy,
                                  const struct caller *caller,
                                  enum initiator initiator)
{
    struct outcome out;
    const struct call_options options = {
        .caller = caller,
        .verb = VERB_UNWRAP_KEY,
        .initiator = initiator,
        .mailbox = WORLD_MAILBOX,
        .wrapped = copy->envelope,
        .wrapped_len = copy->envelope_len,
    };
    world_call(&world, &options, &out);
    world.problem = out.problem;
    return out.status;
}

static uint64_t leases(void)
{
    struct service_counters counters;
    service_counters_get(world.service, &counters);
    return counters.leases;
}

/* The one of a call that was in flight is put away just after it was waited
 * for. */
static bool leases_end_soon(void)
{
    for (int i = 0; i < TRIES && leases() != 0; i++) {
        usleep(PAUSE_US);
    }
    return leases() == 0;
}

/* the lease is warm, and ends before the reply. Table 6-B: DENIED and
 * DENIED; SYSTEM goes on through the availability key. */
static void deleting_both_denies_at_once(void **state)
{
    struct outcome copy;
    (void)state;
    wrap(&copy);
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
    assert_int_equal(leases(), 1);
    deleted("ck1");
    assert_true(leases_end_soon()); /* ended, not only passed over */
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
    deleted("ck2");
    assert_refused(unwrap_copy(&copy, &world.workload, INITIATOR_USER),
                   "KEY_ACCESS_DENIED");
    assert_ok(unwrap_copy(&copy, &world.system, INITIATOR_SYSTEM));
    assert_ok(world_restart(&world));
    assert_refused(unwrap_copy(&copy, &world.workload, INITIATOR_USER),
                   "KEY_ACCESS_DENIED");
    /* the first remedy, with no further step */
    recovered("ck2");
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
    recovered("ck1");
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
}

/* --- calls in flight ----------------------------------------------------- */

struct deletion {
    pthread_t thread;
    enum hf_status status;
    atomic_bool answered;
};

static void *delete_key(void *argument)
{
    struct deletion *deletion = argument;
    struct customer_key_delete request = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .confirm = true,
        .mutation = {.request_id = "5b6b6d1e-0f5a-4c7e-9a55-0c3f5a1d2e77"},
    };
    struct customer_key_view view;
    struct problem problem = {.reason = REASON_NONE};
    deletion->status = customer_keys_soft_delete(world.service, &world.admin,
                                                 &request, &view, &problem);
    atomic_store(&deletion->answered, true);
    return NULL;
}

struct access {
    pthread_t thread;
    const struct outcome *copy;
    enum hf_status status;
};

static void *open_copy(void *argument)
{
    struct access *access = argument;
    access->status = unwrap_copy(access->copy, &world.workload, INITIATOR_USER);
    return NULL;
}

static size_t held(void)
{
    return token_fake_held(world.customer_fake[0], TOKEN_OP_OPEN) +
           token_fake_held(world.customer_fake[1], TOKEN_OP_OPEN);
}

/* the reply says that nobody uses the key any more, so it waits for
 * whoever was let in before; and so does its repeat. */
static void deleting_waits_for_the_calls_in_flight(void **state)
{
    struct deletion deletions[2] = {{.status = HF_E_INTERNAL}};
    bool early[2];
    struct outcome copy;
    (void)state;
    wrap(&copy);
    struct access access = {.copy = &copy};
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
    for (size_t i = 0; i < 2; i++) {
        token_fake_hold(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    assert_int_equal(pthread_create(&access.thread, NULL, open_copy, &access),
                     0);
    for (int i = 0; i < TRIES && held() == 0; i++) {
        usleep(PAUSE_US);
    }
    assert_int_equal(held(), 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&deletions[i].thread, NULL, delete_key,
                                        &deletions[i]),
                         0);
        usleep(150000);
        early[i] = atomic_load(&deletions[i].answered);
    }
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_OPEN);
    }
    pthread_join(access.thread, NULL);
    assert_ok(access.status); /* it began before */
    for (size_t i = 0; i < 2; i++) {
        pthread_join(deletions[i].thread, NULL);
        assert_ok(deletions[i].status);
        assert_false(early[i]);
    }
}

static void the_dep_says_why(void **state)
{
    struct validation_report report;
    struct dep_view dep;
    bool found = false;
    (void)state;
    deleted("ck1");
    assert_ok(deps_test(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                        &report, &world.problem));
    assert_false(report.passed);
    for (size_t i = 0; i < report.count; i++) {
        found = found || (report.results[i].code == CHECK_KEY_ENABLED &&
                          strstr(report.results[i].text, "soft-deleted"));
    }
    assert_true(found);
    deleted("ck2");
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.health, HEALTH_UNHEALTHY);
}

static void move_clock(int64_t by_ms)
{
    __atomic_add_fetch(&world.now_ms, by_ms, __ATOMIC_SEQ_CST);
}

static bool is_gone_soon(const char *name)
{
    bool named = true;
    for (int i = 0; i < TRIES && named; i++) {
        usleep(PAUSE_US);
        listed(true, name, &named);
    }
    return !named;
}

/* By the service's clock, to the millisecond; across a restart too. */
static void it_goes_by_itself_after_ninety_days(void **state)
{
    struct customer_key_view view;
    struct outcome copy;
    bool named = false;
    (void)state;
    wrap(&copy);
    deleted("ck1");
    deleted("ck2");
    move_clock(90 * DAY_MS - 1);
    assert_ok(world_restart(&world));
    usleep(600000); /* three rounds of the scheduler */
    assert_int_equal(listed(true, "ck1", &named), 2);
    recovered("ck2");
    move_clock(1);
    assert_true(is_gone_soon("ck1"));
    assert_int_equal(world_audit_count(&world, "CustomerKeyRetentionOver"), 1);
    assert_refused(run(customer_keys_recover, "ck1", &view), "NOT_FOUND");
    assert_refused(run(customer_keys_soft_delete, "ck1", &view), "NOT_FOUND");
    assert_ok(get("ck2", &view));
    /* the other key still opens; without it nothing does, for a user */
    assert_ok(unwrap_copy(&copy, &world.workload, INITIATOR_USER));
    deleted("ck2");
    assert_refused(unwrap_copy(&copy, &world.workload, INITIATOR_USER),
                   "KEY_ACCESS_DENIED");
}

/* The name is free again, for another record: nothing of the old comes back. */
static void a_gone_name_can_be_used_again(void **state)
{
    struct customer_key_view before;
    struct customer_key_view after;
    (void)state;
    assert_ok(get("ck1", &before));
    deleted("ck1");
    move_clock(90 * DAY_MS);
    assert_true(is_gone_soon("ck1"));
    assert_ok(world_restart(&world));
    assert_ok(register_again("ck1"));
    assert_ok(get("ck1", &after));
    assert_false(id_equal(&before.id, &after.id));
    assert_int_equal(after.grant_count, 0);
    assert_ok(world_restart(&world));
    assert_ok(get("ck1", &after));
    deleted("ck1");
    recovered("ck1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_deleted_key_is_invisible),
        TEST(a_deleted_key_shows_when_it_goes),
        TEST(its_name_is_kept_for_it),
        TEST(refusals_change_nothing),
        TEST(it_must_be_meant),
        TEST(a_needed_key_is_not_deleted),
        TEST(deleting_both_denies_at_once),
        TEST(deleting_waits_for_the_calls_in_flight),
        TEST(the_dep_says_why),
        TEST(it_goes_by_itself_after_ninety_days),
        TEST(a_gone_name_can_be_used_again),
    };
#undef TEST
    return cmocka_run_group_tests_name("key_life", tests, NULL, NULL);
}
