/* Does recovery take a customer's request, two more people and a window, use
 * the availability key for the job alone, with a record of each use, and close
 * by itself (S7 to S9, R-8.5 to )? */
#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/core.h"

#include "tests/unit/service/geo_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS 3600000ll
#define AK_USED "Fallback to Availability Key"
#define SITES   70

static struct outcome made[SITES];
static struct caller second;

static int start(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    struct operation_view operation;
    (void)state;
    geo_world_start();
    second = world.operator_;
    snprintf(second.identity, sizeof second.identity,
             "spiffe://holdfast.test/operator-two");
    geo_fill(SITES, made);
    geo_register(&operation);
    geo_wait(&operation);
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "new1" : "new2";
        world_key(&world, WORLD_TENANT, i, key, TOKEN_FOR_CUSTOMER_KEY_TOKEN);
        world_grant(&world, key, &world.files, all);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

typedef HF_STATUS step_fn(struct service *service, const struct caller *caller,
                          const struct geo_recovery_request *request,
                          struct geo_view *out, struct problem *problem);

static enum hf_status take(step_fn *step, const struct caller *caller,
                           struct geo_view *out)
{
    const struct geo_recovery_request request = {
        .tenant = WORLD_TENANT,
        .geo = GEO,
        .ticket = "INC-42",
    };
    return step(world.service, caller, &request, out, &world.problem);
}

static void refused(step_fn *step, const struct caller *caller,
                    const char *reason)
{
    struct geo_view before;
    struct geo_view after;
    geo_look(&before);
    assert_true(take(step, caller, &after) != HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
    geo_look(&after);
    assert_memory_equal(&after.record, &before.record, sizeof after.record);
}

static void open_recovery(void)
{
    struct geo_view view;
    assert_ok(take(geos_request_recovery, &world.admin, &view));
    assert_int_equal(view.record.recovery, GEO_RECOVERY_REQUESTED);
    assert_ok(take(geos_enable_recovery, &world.operator_, &view));
    assert_int_equal(view.record.recovery, GEO_RECOVERY_ENABLED);
    assert_ok(take(geos_confirm_recovery, &second, &view));
    assert_int_equal(view.record.recovery, GEO_RECOVERY_OPEN);
}

static enum hf_status restore(struct operation_view *out)
{
    const struct geo_pair keys = {
        {"new1", "new2"},
        {1,      1     }
    };
    return geo_register_by(&world.admin, true, &keys, false, out);
}

/* Both customer keys are gone from their tokens for ever. */
static void lose_both_keys(void)
{
    const struct geo_flush flush = {.tenant = WORLD_TENANT, .geo = GEO};
    struct geo_view view;
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_ok(token_fake_delete_key(world.customer_fake[1],
                                    (const uint8_t *)"ck2", 3));
    assert_ok(
        geos_flush(world.service, &world.admin, &flush, &view, &world.problem));
}

static enum hf_status is_of_the_job(void *context,
                                    const struct audit_link *link)
{
    size_t *count = context;
    char text[4096] = "";
    assert_true(link->body_len < sizeof text);
    memcpy(text, link->body, link->body_len);
    *count += strstr(text, "\"purpose\":\"rewrap\"") != NULL &&
              strstr(text, "\"initiator\":\"SYSTEM\"") != NULL &&
              strstr(text, service_itself.identity) != NULL;
    return HF_OK;
}

static size_t count_of_the_job(void)
{
    size_t count = 0;
    struct audit_query query = {
        .tenant = WORLD_TENANT, .activity = AK_USED, .page = {.size = 1000}};
    assert_ok(audit_list(world.service, &world.auditor, &query, is_of_the_job,
                         &count, &world.problem));
    return count;
}

/* in this order, and by nobody twice. */
static void three_people_are_needed(void **state)
{
    struct operation_view operation;
    struct geo_view view;
    struct caller requester = world.operator_;
    (void)state;
    refused(geos_enable_recovery, &world.operator_, "STATE_CONFLICT");
    refused(geos_confirm_recovery, &second, "STATE_CONFLICT");
    refused(geos_request_recovery, &world.operator_, "ROLE_REQUIRED");
    refused(geos_enable_recovery, &world.admin, "ROLE_REQUIRED");
    assert_true(restore(&operation) != HF_OK);
    assert_string_equal(reason_word(world.problem.reason),
                        "RECOVERY_NOT_ENABLED");
    assert_ok(take(geos_request_recovery, &world.admin, &view));
    refused(geos_request_recovery, &world.admin, "STATE_CONFLICT");
    /* an operator with the requester's identity */
    memcpy(requester.identity, world.admin.identity, sizeof requester.identity);
    refused(geos_enable_recovery, &requester, "SECOND_PERSON_REQUIRED");
    refused(geos_confirm_recovery, &second, "STATE_CONFLICT");
    assert_ok(take(geos_enable_recovery, &world.operator_, &view));
    assert_true(restore(&operation) != HF_OK);
    refused(geos_confirm_recovery, &world.operator_, "SECOND_PERSON_REQUIRED");
    refused(geos_confirm_recovery, &requester, "SECOND_PERSON_REQUIRED");
    assert_ok(take(geos_confirm_recovery, &second, &view));
    assert_string_equal(view.record.requested_by, world.admin.identity);
    assert_string_equal(view.record.enabled_by, world.operator_.identity);
    assert_string_equal(view.record.confirmed_by, second.identity);
    assert_string_equal(view.record.ticket, "INC-42");
    assert_int_equal(view.record.until_ms, world.now_ms + 24 * HOUR_MS);
    assert_int_equal(world_audit_count(&world, "RequestRecovery"), 1);
    assert_int_equal(world_audit_count(&world, "EnableRecovery"), 1);
    assert_int_equal(world_audit_count(&world, "ConfirmRecovery"), 1);
    /* none of it opens anything by itself */
    lose_both_keys();
    struct outcome out;
    geo_unwrap(&world.files, "site-000", INITIATOR_USER, &out);
    geo_assert_refused(&out, "KEY_ACCESS_DENIED");
    assert_int_equal(geo_ak_uses(), 1); /* the proof at registration */
}

/* the window closes by itself. */
static void the_window_closes(void **state)
{
    struct operation_view operation;
    struct geo_view view;
    (void)state;
    open_recovery();
    geo_pass(24 * HOUR_MS - 1);
    geo_look(&view);
    assert_int_equal(view.record.recovery, GEO_RECOVERY_OPEN);
    geo_pass(1);
    geo_look(&view);
    assert_int_equal(view.record.recovery, GEO_RECOVERY_NONE);
    assert_string_equal(view.record.requested_by, "");
    assert_true(restore(&operation) != HF_OK);
    assert_string_equal(reason_word(world.problem.reason),
                        "RECOVERY_NOT_ENABLED");
    assert_ok(world_restart(&world));
    geo_look(&view);
    assert_int_equal(view.record.recovery, GEO_RECOVERY_NONE);
    open_recovery(); /* it can be had again */
}

/* what one person asked for is not there for others for ever. */
static void a_request_lapses(void **state)
{
    struct geo_view view;
    (void)state;
    for (int steps = 1; steps <= 2; steps++) {
        assert_ok(take(geos_request_recovery, &world.admin, &view));
        geo_pass(24 * HOUR_MS - 1);
        if (steps == 2) {
            assert_ok(take(geos_enable_recovery, &world.operator_, &view));
        }
        geo_pass(1);
        refused(steps == 1 ? geos_enable_recovery : geos_confirm_recovery,
                &second, "STATE_CONFLICT");
        geo_look(&view);
        assert_int_equal(view.record.recovery, GEO_RECOVERY_NONE);
    }
    open_recovery();
}

/* the window binds a second restore, too; the one that began in it goes
 * on, and if its keys are lost as well, three people may open another. */
static void a_restore_outlives_its_window(void **state)
{
    struct operation_view first;
    struct operation_view operation;
    struct geo_view view;
    (void)state;
    lose_both_keys();
    open_recovery();
    store_memory_hold(world.memory, RECORD_RESOURCE, 1);
    assert_ok(restore(&first));
    assert_true(store_memory_wait_held(world.memory, 10000));
    geo_pass(24 * HOUR_MS);
    geo_look(&view);
    assert_int_equal(view.record.state, GEO_RECOVERING);
    assert_true(restore(&operation) != HF_OK);
    assert_string_equal(reason_word(world.problem.reason),
                        "RECOVERY_NOT_ENABLED");
    open_recovery();
    assert_ok(restore(&operation));
    assert_ok(take(geos_request_recovery, &world.admin, &view) == HF_OK
                  ? HF_E_CONFLICT
                  : HF_OK); /* one is open */
    store_memory_release(world.memory);
    geo_wait(&operation);
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);
}

/* The availability key serves the job to its end, whatever stage another
 * recovery is in meanwhile. */
static void the_job_goes_on_after_the_window(void **state)
{
    struct operation_view operation;
    struct geo_view view;
    (void)state;
    lose_both_keys();
    open_recovery();
    store_memory_hold(world.memory, RECORD_RESOURCE, 1);
    assert_ok(restore(&operation));
    assert_true(store_memory_wait_held(world.memory, 10000));
    geo_pass(25 * HOUR_MS);
    assert_ok(take(geos_request_recovery, &world.admin, &view));
    store_memory_release(world.memory);
    geo_wait(&operation);
    geo_look(&view);
    assert_int_equal(view.record.recovery, GEO_RECOVERY_NONE);
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);
}

/* S8, S9, R-8.5, R-10.4: both keys lost; a new pair, a new DEP, every site
 * readable again; recovery is over. */
static void a_lost_geo_is_restored(void **state)
{
    struct operation_view operation;
    struct geo_view before;
    struct geo_view view;
    struct outcome out;
    (void)state;
    geo_look(&before);
    lose_both_keys();
    geo_unwrap(&world.files, "site-000", INITIATOR_USER, &out);
    geo_assert_refused(&out, "KEY_ACCESS_DENIED");
    open_recovery();
    uint64_t uses = geo_ak_uses();
    assert_ok(restore(&operation));
    assert_int_equal(operation.record.kind, OPERATION_RESTORE_GEO);
    geo_wait(&operation);
    geo_look(&view);
    assert_false(id_equal(&view.record.dep, &before.record.dep));
    assert_int_equal(view.record.recovery, GEO_RECOVERY_NONE);
    assert_string_equal(view.record.requested_by, "");
    assert_int_equal(view.record.until_ms, 0);
    assert_string_equal(view.keys[0].name, "new1");
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);
    /* one record for each use: the proof of the new copy is none */
    uses = geo_ak_uses() - uses - 1;
    assert_true(uses >= 1);
    assert_int_equal(world_audit_count(&world, AK_USED), uses);
    /* and the geo lives on: with a pair of availability keys of its own */
    assert_int_equal(token_fake_keys(world.sharepoint_ak_fake), 2);
    world_key_version(&world, 0, "new1", 2);
    assert_ok(geo_roll_to(ROOT_CK1, "new1", 2, &operation));
    geo_wait(&operation);
    geo_assert_all_open(SITES, made);
}

/* Table 6-C, last row: while it is RECOVERING, reads follow the rows above; the
 * availability key is for the job. */
static void reads_wait_for_the_job(void **state)
{
    struct operation_view operation;
    struct geo_view view;
    struct outcome out;
    (void)state;
    lose_both_keys();
    open_recovery();
    /* the job comes to the availability key and finds it down */
    token_fake_fail_all(world.sharepoint_ak_fake, TOKEN_OP_OPEN,
                        HF_E_UNREACHABLE);
    const uint64_t before = geo_ak_uses();
    assert_true(restore(&operation) != HF_OK); /* its copy cannot be proved */
    token_fake_clear(world.sharepoint_ak_fake);
    assert_ok(restore(&operation));
    struct caller system = world.files;
    system.roles |= ROLE_SYSTEM_WORKLOAD;
    geo_look(&view);
    if (view.record.state == GEO_RECOVERING) {
        geo_unwrap(&system, "site-069", INITIATOR_SYSTEM, &out);
        if (out.status != HF_OK) {
            geo_assert_refused(&out, "KEY_ACCESS_DENIED");
        }
    }
    geo_wait(&operation);
    assert_true(geo_ak_uses() > before);
    /* every use was the job's: on the service's own account, to rewrap */
    assert_int_equal(count_of_the_job(), world_audit_count(&world, AK_USED));
    geo_assert_all_open(SITES, made);
}

/* A restore overtakes a roll that cannot end: its operation gives up. */
static void a_restore_overtakes_a_roll(void **state)
{
    struct operation_view roll;
    struct operation_view now = {.tenant = ""};
    struct operation_view operation;
    struct geo_view view;
    char id[HF_ID_TEXT];
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    open_recovery();
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &roll));
    geo_stall(true);
    geo_look(&view);
    assert_int_equal(view.record.state, GEO_ROLLING);
    geo_stall(false); /* the new keys' round trips seal as well */
    assert_ok(restore(&operation));
    geo_wait(&operation);
    geo_assert_all_open(SITES, made);
    id_format(&roll.record.id, id);
    for (int i = 0; i < 1000 && now.record.ended_ms == 0; i++) {
        geo_pass(10000);
        assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                                 &now, &world.problem));
        usleep(5000);
    }
    assert_true(now.record.ended_ms != 0);
}

/* S9: a roll that has looked at its last site ends after a restore began: that
 * one's sites are still where they were, and it is its to end. */
static void a_roll_does_not_end_a_restore(void **state)
{
    struct operation_view roll;
    struct operation_view restored;
    struct operation_view now = {.tenant = ""};
    char id[HF_ID_TEXT];
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    open_recovery();
    store_memory_hold(world.memory, RECORD_RESOURCE, 2); /* 1: the order's */
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &roll));
    id_format(&roll.record.id, id);
    assert_true(store_memory_wait_held(world.memory, 10000));
    assert_ok(restore(&restored));
    store_memory_release(world.memory);
    for (int i = 0; i < 10000 && now.record.ended_ms == 0; i++) {
        assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                                 &now, &world.problem));
        geo_pass(100);
        usleep(1000);
    }
    assert_int_equal(now.record.state, OPERATION_FAILED);
    geo_wait(&restored);
    assert_int_equal(geo_count_moved(SITES), SITES);
    geo_assert_all_open(SITES, made);
}

/* with the availability key gone as well there is nothing to be done. */
static void without_any_root_nothing_opens(void **state)
{
    struct operation_view operation;
    struct operation_view now;
    struct geo_view view;
    struct outcome out;
    char id[HF_ID_TEXT];
    (void)state;
    geo_look(&view);
    lose_both_keys();
    assert_ok(token_fake_delete_key(
        world.sharepoint_ak_fake, view.dep.ak_cka_id, view.dep.ak_cka_id_len));
    open_recovery();
    assert_ok(restore(&operation));
    id_format(&operation.record.id, id);
    for (int i = 0; i < 20; i++) {
        geo_pass(10000);
        usleep(50000);
    }
    assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                             &now, &world.problem));
    assert_int_equal(now.record.state, OPERATION_RUNNING);
    assert_int_not_equal(now.record.percent, 100);
    geo_look(&view);
    assert_int_equal(view.record.state, GEO_RECOVERING);
    geo_unwrap(&world.files, "site-000", INITIATOR_USER, &out);
    assert_true(out.status != HF_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(three_people_are_needed),
        CASE(the_window_closes),
        CASE(a_lost_geo_is_restored),
        CASE(reads_wait_for_the_job),
        CASE(a_restore_overtakes_a_roll),
        CASE(a_roll_does_not_end_a_restore),
        CASE(a_request_lapses),
        CASE(a_restore_outlives_its_window),
        CASE(the_job_goes_on_after_the_window),
        CASE(without_any_root_nothing_opens),
    };
    return cmocka_run_group_tests_name("geo_recovery", tests, NULL, NULL);
}
