/* Has every workload the key, the owner and the switch that the catalogue gives
 * it, and is it waited for as it reports (R-1.11, R-5.2, R-12.4, R-12.5,
 * N12)? */
#include "hsm/base/check.h"

#include "server/service/resources.h"
#include "server/service/tenant_assignments.h"
#include "server/service/workloads.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    5000
#define ALL      "everything"
#define CHAT     "teams-chat"
#define MEDIA    "teams-media"
#define SIGNALS  "exchange-signals"
#define PCS      "cloud-pcs"

static struct world world;

static int start(void **state)
{
    const uint32_t permissions =
        PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    const struct world_dep_options options = {
        .name = ALL,
        .type = DEP_TYPE_MULTI_WORKLOAD,
        .keys = {"ck1", "ck2"},
        .workload = &world.m365,
        .key_lease_ms = 60000,
    };
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_grant(&world, "ck1", &world.m365, permissions);
    world_grant(&world, "ck2", &world.m365, permissions);
    world_dep_of(&world, &options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void assert_reason(enum hf_status status, const struct problem *problem,
                          const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(problem->reason), reason);
}

static enum hf_status enlist(const struct caller *who, const char *word)
{
    struct workload_register request = {.tenant = WORLD_TENANT};
    struct workload_view view;
    snprintf(request.word, sizeof request.word, "%s", word);
    return workloads_register(world.service, who, &request, &view,
                              &world.problem);
}

static void ask(enum verb verb, const struct caller *who, const char *word,
                const struct outcome *blob, struct outcome *out)
{
    const struct call_options options = {
        .caller = who,
        .verb = verb,
        .type = RESOURCE_WORKLOAD,
        .mailbox = word,
        .wrapped = blob == NULL ? NULL : blob->envelope,
        .wrapped_len = blob == NULL ? 0 : blob->envelope_len,
    };
    world_call(&world, &options, out);
}

static enum hf_status flip(const char *word, bool on, uint64_t items,
                           struct workload_view *out)
{
    struct workload_switch request = {
        .tenant = WORLD_TENANT, .on = on, .items = items};
    snprintf(request.word, sizeof request.word, "%s", word);
    return workloads_switch(world.service, &world.compliance, &request, out,
                            &world.problem);
}

static enum hf_status tell(const struct caller *who, const char *word,
                           uint64_t done, uint64_t total)
{
    struct workload_report request = {
        .tenant = WORLD_TENANT, .done = done, .total = total};
    struct workload_view view;
    snprintf(request.word, sizeof request.word, "%s", word);
    return workloads_report(world.service, who, &request, &view,
                            &world.problem);
}

static enum assignment_state state_now(void)
{
    struct tenant_assignment_view view;
    assert_ok(tenant_assignments_get(world.service, &world.compliance,
                                     WORLD_TENANT, &view, &world.problem));
    return view.record.state;
}

static void assign(void)
{
    struct operation_view operation;
    const struct tenant_assign request = {.tenant = WORLD_TENANT, .dep = ALL};
    assert_ok(tenant_assignments_assign(world.service, &world.compliance,
                                        &request, &operation, &world.problem));
}

static void wait_for(enum assignment_state state)
{
    for (int i = 0; i < TRIES && state_now() != state; i++) {
        usleep(PAUSE_US);
    }
    assert_int_equal(state_now(), state);
}

/* refused by name, at registration and on the data plane. */
static void what_is_not_covered_says_who_covers_it(void **state)
{
    (void)state;
    for (size_t i = 0; workload_at(i) != NULL; i++) {
        const struct workload_row *row = workload_at(i);
        struct outcome outcome;
        struct caller who = world.m365;
        who.roles = (uint32_t)row->identity == ROLE_WORKLOAD_SHAREPOINT
                        ? ROLE_SYSTEM_WORKLOAD
                        : (uint32_t)row->identity;
        enum hf_status status = enlist(&world.admin, row->word);
        ask(VERB_UNWRAP_KEY, &who, row->word, NULL, &outcome);
        if (row->coverage == WORKLOAD_NOT_COVERED) {
            assert_reason(status, &world.problem, "WORKLOAD_NOT_COVERED");
            assert_reason(outcome.status, &outcome.problem,
                          "WORKLOAD_NOT_COVERED");
            assert_int_equal(strstr(outcome.problem.text, "SHAREPOINT_GEO") !=
                                 NULL,
                             row->covered_by == DEP_TYPE_SHAREPOINT_GEO);
        } else if (row->coverage == WORKLOAD_BY_MAILBOX) {
            assert_reason(status, &world.problem, "FIELD_INVALID");
            assert_reason(outcome.status, &outcome.problem, "FIELD_INVALID");
        } else {
            assert_ok(status);
            assert_reason(outcome.status, &outcome.problem, "STATE_CONFLICT");
        }
    }
    struct outcome outcome;
    ask(VERB_UNWRAP_KEY, &world.m365, "no-such", NULL, &outcome);
    assert_reason(outcome.status, &outcome.problem, "NOT_FOUND");
    assert_reason(enlist(&world.admin, "no-such"), &world.problem, "NOT_FOUND");
    assert_reason(enlist(&world.admin, CHAT), &world.problem,
                  "ALREADY_REGISTERED");
}

/* */
static void a_workload_has_only_its_own(void **state)
{
    struct outcome outcome;
    (void)state;
    assert_reason(enlist(&world.workload, CHAT), &world.problem,
                  "ROLE_REQUIRED");
    assert_ok(enlist(&world.m365, CHAT));
    assert_reason(enlist(&world.m365, SIGNALS), &world.problem,
                  "ROLE_REQUIRED");
    assert_ok(enlist(&world.workload, SIGNALS));
    ask(VERB_GENERATE_KEY, &world.workload, CHAT, NULL, &outcome);
    assert_reason(outcome.status, &outcome.problem, "ROLE_REQUIRED");
    ask(VERB_GENERATE_KEY, &world.m365, SIGNALS, NULL, &outcome);
    assert_reason(outcome.status, &outcome.problem, "ROLE_REQUIRED");
    const struct call_options box = {
        .caller = &world.m365,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = WORLD_MAILBOX,
    };
    world_call(&world, &box, &outcome);
    assert_reason(outcome.status, &outcome.problem, "ROLE_REQUIRED");
    ask(VERB_GENERATE_KEY, &world.m365, CHAT, NULL, &outcome);
    assert_ok(outcome.status);
}

/* N12: the wrap is bound to the workload; warm and cold. */
static void a_blob_of_another_workload_does_not_open(void **state)
{
    struct outcome chat;
    struct outcome media;
    struct outcome now;
    (void)state;
    assert_ok(enlist(&world.m365, CHAT));
    assert_ok(enlist(&world.m365, MEDIA));
    ask(VERB_GENERATE_KEY, &world.m365, CHAT, NULL, &chat);
    ask(VERB_GENERATE_KEY, &world.m365, MEDIA, NULL, &media);
    assert_ok(chat.status);
    assert_ok(media.status);
    for (int i = 0; i < 2; i++) {
        ask(VERB_UNWRAP_KEY, &world.m365, CHAT, &media, &now);
        assert_reason(now.status, &now.problem, "BLOB_INVALID");
        assert_false(now.has_key);
        ask(VERB_UNWRAP_KEY, &world.m365, CHAT, &chat, &now);
        assert_ok(now.status);
        assert_memory_equal(now.key, chat.key, HF_KEY_BYTES);
    }
}

/* after the assignment, by a switch, in runs, and back. */
static void an_explicit_workload_waits_for_its_switch(void **state)
{
    struct outcome pcs;
    struct outcome now;
    struct workload_view view;
    (void)state;
    assert_ok(enlist(&world.m365, PCS));
    assert_ok(enlist(&world.m365, CHAT));
    ask(VERB_GENERATE_KEY, &world.m365, PCS, NULL, &pcs);
    assert_true(pcs.service_managed);
    assert_reason(flip(PCS, true, 0, &view), &world.problem, "STATE_CONFLICT");
    assign();
    wait_for(ASSIGNMENT_ASSIGNED);
    ask(VERB_UNWRAP_KEY, &world.m365, PCS, NULL, &now);
    assert_true(now.service_managed);
    assert_reason(flip(CHAT, true, 0, &view), &world.problem, "STATE_CONFLICT");
    assert_reason(flip(PCS, true, 20001, &view), &world.problem,
                  "FIELD_INVALID");
    assert_reason(flip(PCS, false, 1, &view), &world.problem, "FIELD_INVALID");
    assert_ok(flip(PCS, true, 20000, &view));
    assert_int_equal(view.progress.total, 20000);
    assert_int_equal(view.state, MAILBOX_ENCRYPTED);
    assert_ok(flip(PCS, true, 500, &view)); /* one more run */
    assert_int_equal(view.progress.total, 20500);
    ask(VERB_UNWRAP_KEY, &world.m365, PCS, NULL, &now);
    assert_ok(now.status);
    assert_false(now.service_managed);
    assert_memory_equal(now.key, pcs.key, HF_KEY_BYTES);
    assert_ok(world_restart(&world));
    ask(VERB_UNWRAP_KEY, &world.m365, PCS, NULL, &now);
    assert_false(now.service_managed);
    assert_ok(flip(PCS, false, 0, &view));
    assert_int_equal(view.state, MAILBOX_SERVICE_MANAGED);
    ask(VERB_UNWRAP_KEY, &world.m365, PCS, NULL, &now);
    assert_true(now.service_managed);
    assert_memory_equal(now.key, pcs.key, HF_KEY_BYTES);
}

/* A2, R-5.5: what a workload reported to be left is waited for. */
static void reports_hold_the_assignment_open(void **state)
{
    struct outcome chat;
    struct workload_view view;
    (void)state;
    assert_ok(enlist(&world.workload, SIGNALS));
    assert_ok(enlist(&world.m365, CHAT));
    ask(VERB_GENERATE_KEY, &world.m365, CHAT, NULL, &chat);
    assert_reason(tell(&world.workload, SIGNALS, 0, 10), &world.problem,
                  "STATE_CONFLICT");
    token_fake_fail_all(world.ak_fake, TOKEN_OP_OPEN, HF_E_UNREACHABLE);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_UNWRAP, HF_E_UNREACHABLE);
    assign(); /* held up until the first report is there */
    assert_ok(tell(&world.workload, SIGNALS, 3, 10));
    token_fake_fail_all(world.ak_fake, TOKEN_OP_OPEN, HF_OK);
    token_fake_fail_all(world.ak_fake, TOKEN_OP_UNWRAP, HF_OK);
    assert_reason(tell(&world.workload, SIGNALS, 2, 10), &world.problem,
                  "FIELD_INVALID");
    assert_reason(tell(&world.workload, SIGNALS, 11, 10), &world.problem,
                  "FIELD_INVALID");
    assert_reason(tell(&world.m365, SIGNALS, 5, 10), &world.problem,
                  "ROLE_REQUIRED");
    for (int i = 0; i < 5; i++) {
        __atomic_fetch_add(&world.now_ms, 10000, __ATOMIC_SEQ_CST);
        usleep(100 * PAUSE_US);
    }
    assert_int_equal(state_now(), ASSIGNMENT_ASSIGNING);
    /* all keys were looked at: only the reports are, meanwhile */
    store_memory_hold(world.memory, RECORD_RESOURCE, 1);
    for (int i = 0; i < 5; i++) {
        __atomic_fetch_add(&world.now_ms, 10000, __ATOMIC_SEQ_CST);
        usleep(100 * PAUSE_US);
    }
    bool walked = store_memory_wait_held(world.memory, 0);
    store_memory_release(world.memory);
    assert_false(walked);
    assert_ok(workloads_get(world.service, &world.workload, WORLD_TENANT,
                            SIGNALS, &view, &world.problem));
    assert_int_equal(view.progress.done, 3);
    assert_ok(tell(&world.workload, SIGNALS, 10, 10));
    for (int i = 0; i < 50 && state_now() != ASSIGNMENT_ASSIGNED; i++) {
        __atomic_fetch_add(&world.now_ms, 10000, __ATOMIC_SEQ_CST);
        usleep(100 * PAUSE_US);
    }
    assert_int_equal(state_now(), ASSIGNMENT_ASSIGNED);
}

/* what a wrap is bound to is the row's number, beside the id. */
static void wraps_are_bound_to_the_row(void **state)
{
    (void)state;
    for (size_t i = 0; workload_at(i) != NULL; i++) {
        assert_int_equal(
            resource_workload(RESOURCE_WORKLOAD, workload_at(i)->word),
            workload_at(i)->number);
        /* a mailbox of that name is a mailbox */
        assert_int_equal(
            resource_workload(RESOURCE_MAILBOX, workload_at(i)->word),
            WORKLOAD_EXCHANGE);
    }
    assert_int_equal(resource_workload(RESOURCE_WORKLOAD, "no-such"), 0);
}

static void the_whole_catalogue_is_listed(void **state)
{
    struct workload_view views[8];
    struct workload_list list = {.views = views, .cap = HF_COUNT(views)};
    struct page_request page = {.size = HF_COUNT(views)};
    size_t seen = 0;
    (void)state;
    do {
        assert_ok(workloads_list(world.service, &world.auditor, WORLD_TENANT,
                                 &page, &list, &world.problem));
        for (size_t i = 0; i < list.count; i++) {
            assert_ptr_equal(views[i].row, workload_at(seen++));
            assert_false(views[i].registered);
        }
        memcpy(page.token, list.next, sizeof page.token);
    } while (list.next[0] != '\0');
    assert_null(workload_at(seen));
    snprintf(page.token, sizeof page.token, "no-such");
    assert_reason(workloads_list(world.service, &world.auditor, WORLD_TENANT,
                                 &page, &list, &world.problem),
                  &world.problem, "FIELD_INVALID");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_not_covered_says_who_covers_it),
        CASE(a_workload_has_only_its_own),
        CASE(a_blob_of_another_workload_does_not_open),
        CASE(an_explicit_workload_waits_for_its_switch),
        CASE(reports_hold_the_assignment_open),
        CASE(wraps_are_bound_to_the_row),
        CASE(the_whole_catalogue_is_listed),
    };
    return cmocka_run_group_tests_name("workloads", tests, NULL, NULL);
}
