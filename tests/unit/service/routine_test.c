/* Is each use of a key in the spool before it is answered, nothing given out
 * that is not, and the spool's head in what the service signs (R-15.24, N41)?
 */
#include "hsm/base/check.h"

#include "server/domain/checkpoint.h"

#include "server/service/audit.h"
#include "server/service/checkpoints.h"
#include "server/service/core.h"
#include "server/service/routine.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    5000
#define KEPT     64

static struct world world;

/* A spool in memory. */
static struct {
    bool not_ready;
    enum hf_status append_fails;
    struct hf_id id;
    uint64_t count;
    struct {
        char method[32];
        char object[128];
        char actor[128];
        char request_id[HF_ID_TEXT];
        uint8_t initiator;
        struct hf_id dep;
        uint32_t generation;
    } kept[KEPT];
} fake;

static bool fake_ready(void *self)
{
    (void)self;
    return !fake.not_ready;
}

static enum hf_status fake_append(void *self, struct spool_record *record)
{
    (void)self;
    if (fake.append_fails != HF_OK) {
        return fake.append_fails;
    }
    assert_true(fake.count < KEPT);
    record->number = fake.count + 1;
    snprintf(fake.kept[fake.count].method, sizeof fake.kept[0].method, "%s",
             record->method);
    snprintf(fake.kept[fake.count].object, sizeof fake.kept[0].object, "%s",
             record->object);
    snprintf(fake.kept[fake.count].actor, sizeof fake.kept[0].actor, "%s",
             record->actor);
    snprintf(fake.kept[fake.count].request_id, sizeof fake.kept[0].request_id,
             "%s", record->request_id);
    fake.kept[fake.count].initiator = record->initiator;
    fake.kept[fake.count].dep = record->dep;
    fake.kept[fake.count].generation = record->generation;
    fake.count++;
    return HF_OK;
}

static uint64_t fake_records(void *self)
{
    (void)self;
    return fake.count;
}

static enum hf_status fake_head(void *self, struct spool_head *out)
{
    (void)self;
    *out = (struct spool_head){.spool = fake.id, .records = fake.count};
    memset(out->hash, (int)fake.count, sizeof out->hash);
    return HF_OK;
}

static void fake_close(void *self)
{
    (void)self;
}

static const struct spool_port port = {fake_ready, fake_append, fake_records,
                                       fake_head, fake_close};
static const struct spool spool = {&port, NULL};

static int start_with(enum residency residency)
{
    memset(&fake, 0, sizeof fake);
    fake.id.bytes[0] = 5;
    world_start(&world);
    world.settings.spool = &spool;
    assert_ok(world_restart(&world));
    world_ready(&world, 60000, residency);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(RESIDENCY_TOKEN);
}

static int start_in_memory(void **state)
{
    (void)state;
    return start_with(RESIDENCY_MEMORY);
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void assert_kept(size_t at, const char *method,
                        const struct caller *caller, enum initiator initiator,
                        const struct outcome *outcome)
{
    char object[128];
    snprintf(object, sizeof object, "tenants/%s/mailboxes/%s", WORLD_TENANT,
             WORLD_MAILBOX);
    assert_true(at < fake.count);
    assert_string_equal(fake.kept[at].method, method);
    assert_string_equal(fake.kept[at].object, object);
    assert_string_equal(fake.kept[at].actor, caller->identity);
    assert_int_equal(fake.kept[at].initiator, initiator);
    assert_true(id_equal(&fake.kept[at].dep, &outcome->dep));
    assert_int_equal(fake.kept[at].generation, outcome->generation);
}

/* Made on the slow lane, opened there, and opened by a live lease. */
static void each_use_is_recorded(void **state)
{
    struct outcome outcome;
    struct service_counters before;
    struct service_counters after;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    assert_ok(outcome.status);
    assert_int_equal(fake.count, 1);
    assert_kept(0, "GenerateKey", &world.workload, INITIATOR_USER, &outcome);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_ok(outcome.status);
    world_settle(&world);
    service_counters_get(world.service, &before);
    world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &outcome);
    service_counters_get(world.service, &after);
    assert_ok(outcome.status);
    assert_int_equal(after.hot_calls, before.hot_calls + 1);
    assert_int_equal(after.store_writes, before.store_writes);
    assert_int_equal(fake.count, 3);
    assert_kept(1, "UnwrapKey", &world.workload, INITIATOR_USER, &outcome);
    assert_kept(2, "UnwrapKey", &world.system, INITIATOR_SYSTEM, &outcome);
    /* a refusal is the other chain's */
    world_unwrap(&world, &world.stranger, INITIATOR_USER, &outcome);
    assert_true(outcome.status != HF_OK);
    assert_int_equal(fake.count, 3);
}

/* N41: it is asked before anything is opened, answers at once, and goes on. */
static void nothing_is_opened_while_uses_cannot_be_recorded(void **state)
{
    struct outcome outcome;
    struct service_counters before;
    struct service_counters after;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    world_settle(&world);
    service_counters_get(world.service, &before);
    fake.not_ready = true;
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_int_equal(outcome.problem.reason, REASON_SERVICE_UNAVAILABLE);
    assert_false(outcome.has_key);
    const struct call_options generate = {
        .caller = &world.workload,
        .verb = VERB_GENERATE_KEY,
        .initiator = INITIATOR_USER,
        .mailbox = WORLD_MAILBOX,
        .tenant = WORLD_TENANT,
    };
    world_call(&world, &generate, &outcome);
    assert_int_equal(outcome.problem.reason, REASON_SERVICE_UNAVAILABLE);
    service_counters_get(world.service, &after);
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.hot_calls, before.hot_calls);
    assert_int_equal(after.slow_calls, before.slow_calls);
    fake.not_ready = false;
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_ok(outcome.status);
}

/* Full between the question and the record: what was opened is not given. */
static void what_was_not_recorded_is_not_given(void **state)
{
    struct outcome outcome;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    for (int lane = 0; lane < 2; lane++) { /* slow, then by the live lease */
        fake.append_fails = HF_E_RESOURCES;
        world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
        assert_int_equal(outcome.problem.reason, REASON_SERVICE_UNAVAILABLE);
        assert_false(outcome.has_key);
        fake.append_fails = HF_OK;
        world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
        assert_ok(outcome.status);
    }
}

/* --- the head in what is signed ------------------------------------------ */

#define LIST_MAX 50
static struct checkpoint_view views[LIST_MAX];

static size_t list_all(void)
{
    const struct page_request page = {.size = LIST_MAX};
    struct checkpoint_list list = {.views = views, .cap = LIST_MAX};
    assert_ok(checkpoints_list(world.service, &world.auditor, WORLD_TENANT,
                               &page, &list, &world.problem));
    return list.count;
}

static void wait_until_signed(uint64_t records)
{
    for (int i = 0; i < TRIES; i++) {
        if (list_all() > 0 && views[0].record.spool_records == records) {
            return;
        }
        __atomic_add_fetch(&world.now_ms, 1000, __ATOMIC_SEQ_CST);
        usleep(PAUSE_US);
    }
    fail_msg("the spool's head is not signed");
}

static void the_head_is_signed_and_takes_no_more_room(void **state)
{
    struct outcome outcome;
    (void)state;
    world.settings.checkpoints = true;
    assert_ok(world_restart(&world));
    world_generate(&world, WORLD_MAILBOX, &outcome);
    wait_until_signed(1);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_ok(outcome.status);
    wait_until_signed(fake.count);
    assert_true(id_equal(&views[0].record.spool, &fake.id));
    assert_int_equal(views[0].record.spool_hash[0], fake.count);
    char line[64];
    snprintf(line, sizeof line, "spool_records=%u\n", (unsigned)fake.count);
    char text[CHECKPOINT_TEXT_BYTES + 1] = "";
    memcpy(text, views[0].text, views[0].text_len);
    assert_non_null(strstr(text, line));
    /* of one head of the other chain there is one checkpoint */
    size_t count = list_all();
    for (size_t i = 1; i < count; i++) {
        assert_true(views[i].record.audit_index <
                    views[i - 1].record.audit_index);
    }
}

/* Somebody put the spool back, or took it away: an alert and a record. */
static void records_that_are_gone_are_told_of(void **state)
{
    struct outcome outcome;
    (void)state;
    world.settings.checkpoints = true;
    assert_ok(world_restart(&world));
    world_generate(&world, WORLD_MAILBOX, &outcome);
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_ok(world_restart(&world)); /* signs what there is */
    uint64_t end = ledger_last_index(world.service->ledger);
    assert_ok(world_restart(&world));
    assert_int_equal(ledger_last_index(world.service->ledger), end);
    world.service->settings.checkpoints = false; /* no last word */
    fake.count--;
    assert_ok(world_restart(&world));
    assert_int_equal(ledger_last_index(world.service->ledger), end + 1);
    assert_ok(world_restart(&world)); /* told once: what is there is signed */
    assert_int_equal(ledger_last_index(world.service->ledger), end + 1);
    world.service->settings.checkpoints = false;
    fake.id.bytes[0]++;
    assert_ok(world_restart(&world));
    assert_int_equal(ledger_last_index(world.service->ledger), end + 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define IN_MEMORY(name)                                                        \
    cmocka_unit_test_setup_teardown(name, start_in_memory, stop)
    const struct CMUnitTest tests[] = {
        CASE(each_use_is_recorded),
        IN_MEMORY(each_use_is_recorded),
        CASE(nothing_is_opened_while_uses_cannot_be_recorded),
        CASE(what_was_not_recorded_is_not_given),
        IN_MEMORY(what_was_not_recorded_is_not_given),
        CASE(the_head_is_signed_and_takes_no_more_room),
        CASE(records_that_are_gone_are_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
