/* Does the chain hold what was refused, each one counted, and does a flood of
 * refusals not grow it? */
#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/denials.h"

#include "tests/unit/service/world.h"

#include <jansson.h>

#include <string.h>
#include <time.h>

#define SEEN_MAX 1024

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

/* --- what the chain holds ------------------------------------------------- */

struct seen {
    json_t *records[SEEN_MAX];
    size_t count;
    json_int_t refusals; /* the counts of all of them */
};

static enum hf_status see(void *context, const struct audit_link *link)
{
    struct seen *seen = context;
    json_t *record =
        json_loadb((const char *)link->body, link->body_len, 0, NULL);
    assert_non_null(record);
    assert_true(seen->count < SEEN_MAX);
    seen->records[seen->count++] = record;
    seen->refusals += json_integer_value(
        json_object_get(json_object_get(record, "details"), "count"));
    return HF_OK;
}

static void forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        json_decref(seen->records[i]);
    }
    *seen = (struct seen){.count = 0};
}

static void look(const struct caller *auditor, struct seen *seen)
{
    struct audit_query query = {.page = {.size = 1000}};
    snprintf(query.tenant, sizeof query.tenant, "%s", auditor->tenant);
    snprintf(query.activity, sizeof query.activity, "%s", DENIALS_ACTIVITY);
    forget(seen);
    assert_ok(
        audit_list(world.service, auditor, &query, see, seen, &world.problem));
}

/* A second passes; until the slow lane has written that many refusals. */
static void wait_for(const struct caller *auditor, json_int_t refusals,
                     struct seen *seen)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    __atomic_fetch_add(&world.now_ms, DENIALS_COALESCE_MS, __ATOMIC_SEQ_CST);
    look(auditor, seen);
    for (int i = 0; i < 500 && seen->refusals < refusals; i++) {
        nanosleep(&pause, NULL);
        look(auditor, seen);
    }
    assert_int_equal(seen->refusals, refusals);
}

static void assert_record(const json_t *record, const struct caller *actor,
                          const char *object, const char *method,
                          const char *reason, json_int_t count)
{
    const char *said_actor = NULL;
    const char *said_object = NULL;
    const char *said_method = NULL;
    const char *said_reason = NULL;
    json_int_t said_count = 0;
    assert_int_equal(json_unpack((json_t *)(uintptr_t)record,
                                 "{s:s, s:s, s:{s:s, s:s, s:I}}", "actor",
                                 &said_actor, "object", &said_object, "details",
                                 "method", &said_method, "reason", &said_reason,
                                 "count", &said_count),
                     0);
    assert_string_equal(said_actor, actor->identity);
    assert_string_equal(said_object, object);
    assert_string_equal(said_method, method);
    assert_string_equal(said_reason, reason);
    assert_int_equal(said_count, count);
}

/* --- refusals ------------------------------------------------------------- */

/* SYSTEM without its right: refused at the door, whatever the mailbox. */
static void refuse_system(const struct caller *caller, const char *mailbox)
{
    struct outcome outcome;
    const struct call_options options = {
        .caller = caller,
        .verb = VERB_UNWRAP_KEY,
        .initiator = INITIATOR_SYSTEM,
        .mailbox = mailbox,
    };
    world_call(&world, &options, &outcome);
    assert_int_equal(outcome.problem.reason, REASON_SYSTEM_NOT_ALLOWED);
}

static void keys(void **state)
{
    struct seen seen = {.count = 0};
    struct outcome outcome;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    for (int i = 0; i < 50; i++) {
        world_unwrap(&world, &world.stranger, INITIATOR_USER, &outcome);
        assert_int_equal(outcome.problem.reason, REASON_KEY_ACCESS_DENIED);
    }
    wait_for(&world.auditor, 50, &seen);
    assert_int_equal(seen.count, 1);
    assert_record(seen.records[0], &world.stranger,
                  "tenants/" WORLD_TENANT "/mailboxes/" WORLD_MAILBOX,
                  "UnwrapKey", "KEY_ACCESS_DENIED", 50);
    /* the next second is another record */
    world_unwrap(&world, &world.stranger, INITIATOR_USER, &outcome);
    wait_for(&world.auditor, 51, &seen);
    assert_int_equal(seen.count, 2);
    forget(&seen);
}

static void administration(void **state)
{
    struct seen seen = {.count = 0};
    struct dep_view dep;
    struct caller other;
    (void)state;
    assert_status(deps_get(world.service, &world.workload, WORLD_TENANT,
                           WORLD_DEP, &dep, &world.problem),
                  HF_E_DENIED);
    wait_for(&world.auditor, 1, &seen);
    assert_record(seen.records[0], &world.workload, "tenants/" WORLD_TENANT,
                  "GetDep", "ROLE_REQUIRED", 1);
    /* of the service's own people, the tenant they asked about is told */
    struct customer_key_view key;
    assert_status(customer_keys_get(world.service, &world.operator_,
                                    WORLD_TENANT, "ck1", &key, &world.problem),
                  HF_E_DENIED);
    wait_for(&world.auditor, 2, &seen);
    assert_record(seen.records[1], &world.operator_, "tenants/" WORLD_TENANT,
                  "GetCustomerKey", "ROLE_REQUIRED", 1);
    /* what is asked of another tenant is called missing, and told at home */
    world_tenant(&world, "fabrikam");
    other = world.admin;
    snprintf(other.tenant, sizeof other.tenant, "fabrikam");
    assert_status(deps_get(world.service, &other, WORLD_TENANT, WORLD_DEP, &dep,
                           &world.problem),
                  HF_E_NOT_FOUND);
    struct caller auditor = other;
    auditor.roles = ROLE_AUDITOR;
    wait_for(&auditor, 1, &seen);
    assert_record(seen.records[0], &other, "tenants/" WORLD_TENANT, "GetDep",
                  "NOT_FOUND", 1);
    forget(&seen);
}

/* What is missing, wrong or busy is no denial. */
static void other_answers(void **state)
{
    struct seen seen = {.count = 0};
    struct outcome outcome;
    struct dep_view dep;
    (void)state;
    const struct call_options missing = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = "nobody@contoso.example",
    };
    world_call(&world, &missing, &outcome);
    assert_status(outcome.status, HF_E_NOT_FOUND);
    assert_status(deps_get(world.service, &world.admin, WORLD_TENANT, "none",
                           &dep, &world.problem),
                  HF_E_NOT_FOUND);
    refuse_system(&world.workload, WORLD_MAILBOX);
    wait_for(&world.auditor, 1, &seen);
    assert_int_equal(seen.count, 1);
    forget(&seen);
}

/* --- floods --------------------------------------------------------------- */

static void flood_of_one(void **state)
{
    struct seen seen = {.count = 0};
    struct service_counters before;
    struct service_counters after;
    (void)state;
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 3000; i++) {
        char mailbox[32];
        snprintf(mailbox, sizeof mailbox, "box%d", i % 1000);
        refuse_system(&world.workload, mailbox);
    }
    /* none of them was written by who refused it */
    service_counters_get(world.service, &after);
    assert_int_equal(after.store_writes, before.store_writes);
    wait_for(&world.auditor, 3000, &seen);
    assert_int_equal(seen.count, DENIALS_OF_ONE + 1);
    for (size_t i = 0; i < seen.count; i++) {
        bool several = json_is_true(json_object_get(
            json_object_get(seen.records[i], "details"), "several"));
        assert_int_equal(several, i == DENIALS_OF_ONE);
    }
    service_counters_get(world.service, &after);
    /* one may be the chronicle's, of the keys' first use */
    assert_in_range(after.store_writes - before.store_writes, 1, 3);
    forget(&seen);
}

/* One identity's flood takes nothing from another's record. */
static void flood_beside_another(void **state)
{
    struct seen seen = {.count = 0};
    (void)state;
    for (int i = 0; i < 2000; i++) {
        char mailbox[32];
        snprintf(mailbox, sizeof mailbox, "box%d", i);
        refuse_system(&world.workload, mailbox);
    }
    struct caller other = world.workload;
    snprintf(other.identity, sizeof other.identity,
             "spiffe://holdfast.test/quiet");
    refuse_system(&other, WORLD_MAILBOX);
    wait_for(&world.auditor, 2001, &seen);
    assert_int_equal(seen.count, DENIALS_OF_ONE + 2);
    assert_record(seen.records[DENIALS_OF_ONE + 1], &other,
                  "tenants/" WORLD_TENANT "/mailboxes/" WORLD_MAILBOX,
                  "UnwrapKey", "SYSTEM_NOT_ALLOWED", 1);
    forget(&seen);
}

static void flood_of_many(void **state)
{
    struct seen seen = {.count = 0};
    struct seen rest = {.count = 0};
    (void)state;
    for (int i = 0; i < DENIALS_MAX + 100; i++) {
        struct caller caller = world.workload;
        snprintf(caller.identity, sizeof caller.identity,
                 "spiffe://holdfast.test/one/%d", i);
        refuse_system(&caller, WORLD_MAILBOX);
    }
    wait_for(&world.auditor, DENIALS_MAX, &seen);
    assert_int_equal(seen.count, DENIALS_MAX);
    wait_for(&world.operator_, 100, &rest);
    assert_int_equal(rest.count, 1);
    forget(&seen);
    forget(&rest);
}

static void written_at_the_end(void **state)
{
    struct seen seen = {.count = 0};
    (void)state;
    refuse_system(&world.workload, WORLD_MAILBOX);
    assert_ok(world_restart(&world));
    look(&world.auditor, &seen);
    assert_int_equal(seen.refusals, 1);
    forget(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys, start, stop),
        cmocka_unit_test_setup_teardown(administration, start, stop),
        cmocka_unit_test_setup_teardown(other_answers, start, stop),
        cmocka_unit_test_setup_teardown(flood_of_one, start, stop),
        cmocka_unit_test_setup_teardown(flood_beside_another, start, stop),
        cmocka_unit_test_setup_teardown(flood_of_many, start, stop),
        cmocka_unit_test_setup_teardown(written_at_the_end, start, stop),
    };
    return cmocka_run_group_tests_name("service_denials", tests, NULL, NULL);
}
