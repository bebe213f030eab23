/* Does a mailbox that is not encrypted get to be, in its turn, by a move, and
 * only by one (M3, M4, M5, M9, R-5.12, R-5.13, R-5.16, R-15.20)? */
#include "hsm/base/check.h"

#include "server/service/mailbox_moves.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000LL
#define DAY_MS  (24 * HOUR_MS)

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

static void pass(int64_t ms)
{
    __atomic_fetch_add(&world.now_ms, ms, __ATOMIC_SEQ_CST);
}

static void assert_reason(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

static void enlist(const char *id, enum mailbox_kind kind,
                   enum mailbox_state expected)
{
    struct mailbox_register request = {
        .tenant = WORLD_TENANT,
        .kind = kind,
        .licensed = true,
        .unencrypted = true,
    };
    struct mailbox_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    assert_ok(mailboxes_register(world.service, &world.admin, &request, &view,
                                 &world.problem));
    assert_int_equal(view.state, expected);
}

static struct mailbox_view look(const char *id)
{
    struct mailbox_view view;
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, id,
                            &view, &world.problem));
    return view;
}

static void assign(const char *id, const char *dep, enum move_priority priority,
                   enum mailbox_state expected)
{
    struct mailbox_assign request = {.tenant = WORLD_TENANT,
                                     .priority = priority};
    struct mailbox_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    assert_ok(mailboxes_assign(world.service, &world.admin, &request, &view,
                               &world.problem));
    assert_int_equal(view.state, expected);
    assert_int_equal(look(id).state, expected);
}

static void queue(const char *id, enum move_priority priority)
{
    enlist(id, MAILBOX_USER, MAILBOX_NOT_ENCRYPTED);
    assign(id, WORLD_DEP, priority, MAILBOX_MOVE_QUEUED);
}

static enum hf_status claim_as(const struct caller *who, int64_t claim_ms,
                               const char *request_id, struct mailbox_view *out)
{
    struct move_claim request = {.tenant = WORLD_TENANT, .claim_ms = claim_ms};
    snprintf(request.mutation.request_id, sizeof request.mutation.request_id,
             "%s", request_id);
    return mailbox_moves_claim(world.service, who, &request, out,
                               &world.problem);
}

static struct mailbox_view claim(const char *expected)
{
    struct mailbox_view view;
    assert_ok(claim_as(&world.workload, 0, "", &view));
    assert_string_equal(view.record.id, expected);
    assert_int_equal(view.state, MAILBOX_MOVING);
    assert_int_equal(look(expected).state, MAILBOX_MOVING);
    return view;
}

static enum hf_status end(bool completes, const struct mailbox_view *of,
                          struct mailbox_view *out)
{
    struct move_end request = {.tenant = WORLD_TENANT,
                               .claim = of->record.claim};
    memcpy(request.id, of->record.id, sizeof request.id);
    return completes ? mailbox_moves_complete(world.service, &world.workload,
                                              &request, out, &world.problem)
                     : mailbox_moves_fail(world.service, &world.workload,
                                          &request, out, &world.problem);
}

static void generate(const char *id, struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.workload, .verb = VERB_GENERATE_KEY, .mailbox = id};
    world_call(&world, &options, out);
}

static void complete_only(const struct mailbox_view *of)
{
    struct mailbox_view view;
    assert_ok(end(true, of, &view));
    assert_int_equal(view.state, MAILBOX_ENCRYPTED);
}

static void complete(const struct mailbox_view *of)
{
    struct outcome key;
    generate(of->record.id, &key);
    assert_ok(key.status);
    complete_only(of);
}

/* M3, M4, M5: only its move encrypts it; then it opens. */
static void a_mailbox_is_encrypted_by_its_move(void **state)
{
    struct outcome key;
    struct outcome opened;
    struct mailbox_view view;
    (void)state;
    enlist("bob", MAILBOX_USER, MAILBOX_NOT_ENCRYPTED);
    assert_reason(claim_as(&world.workload, 0, "", &view), "NOT_FOUND");
    generate("bob", &key);
    assert_int_not_equal(key.status, HF_OK);
    assert_string_equal(reason_word(key.problem.reason), "STATE_CONFLICT");
    assert_false(key.has_key);
    assign("bob", WORLD_DEP, (enum move_priority)0, MAILBOX_MOVE_QUEUED);
    generate("bob", &key);
    assert_string_equal(reason_word(key.problem.reason), "STATE_CONFLICT");
    assert_int_equal(look("bob").record.envelope_len, 0);
    struct mailbox_view moving = claim("bob");
    assert_reason(end(true, &moving, &view), "STATE_CONFLICT"); /* no key */
    assert_int_equal(look("bob").state, MAILBOX_MOVING);
    generate("bob", &key);
    assert_ok(key.status);
    assert_false(key.service_managed);
    assert_ok(world_restart(&world));
    assert_ok(end(true, &moving, &view));
    assert_int_equal(view.state, MAILBOX_ENCRYPTED);
    assert_false(view.effective_is_service_managed);
    assert_true(id_is_nil(&view.record.claim));
    assert_int_equal(view.record.waits_since_ms, 0);
    const struct call_options open = {
        .caller = &world.workload, .verb = VERB_UNWRAP_KEY, .mailbox = "bob"};
    world_call(&world, &open, &opened);
    assert_ok(opened.status);
    assert_memory_equal(opened.key, key.key, HF_KEY_BYTES);
    assert_reason(end(true, &moving, &view), "STATE_CONFLICT"); /* once */
    assert_reason(claim_as(&world.workload, 0, "", &view), "NOT_FOUND");
    assert_int_equal(world_audit_count(&world, "ClaimMove"), 1);
    assert_int_equal(world_audit_count(&world, "CompleteMove"), 1);
}

/* priority, then age; and who runs is not preempted. */
static void the_queue_is_served_by_priority_then_age(void **state)
{
    (void)state;
    queue("low-old", MOVE_LOW);
    pass(1000);
    queue("z-first", (enum move_priority)0);
    pass(1000);
    queue("a-second", MOVE_REGULAR);
    pass(1000);
    queue("low-new", MOVE_LOW);
    assert_ok(world_restart(&world));
    struct mailbox_view first = claim("z-first");
    /* raised: behind whoever is older there */
    assign("low-new", WORLD_DEP, MOVE_REGULAR, MAILBOX_MOVE_QUEUED);
    /* still running, whatever it is assigned to */
    assign("z-first", "", (enum move_priority)0, MAILBOX_MOVING);
    assign("z-first", WORLD_DEP, MOVE_LOW, MAILBOX_MOVING);
    claim("a-second");
    claim("low-new");
    claim("low-old");
    complete(&first);
}

/* Two movers never get the same one, and a repeat gets its own again. */
static void a_claim_is_one_claim(void **state)
{
    static const char id[] = "11111111-2222-4333-8444-555555555555";
    struct mailbox_view one;
    struct mailbox_view again;
    struct mailbox_view other;
    (void)state;
    queue("one", MOVE_REGULAR);
    pass(1);
    queue("two", MOVE_REGULAR);
    assert_ok(claim_as(&world.workload, 0, id, &one));
    assert_string_equal(one.record.id, "one");
    assert_ok(claim_as(&world.workload, 0, id, &again));
    assert_string_equal(again.record.id, "one");
    assert_true(id_equal(&again.record.claim, &one.record.claim));
    other = claim("two");
    assert_false(id_equal(&other.record.claim, &one.record.claim));
    /* the one's claim is not the other's */
    other.record.claim = one.record.claim;
    assert_reason(end(true, &other, &again), "STATE_CONFLICT");
    assert_reason(end(false, &other, &again), "STATE_CONFLICT");
    assert_int_equal(look("two").state, MAILBOX_MOVING);
    complete(&one);
    assert_reason(claim_as(&world.workload, 0, id, &again), "STATE_CONFLICT");
    assert_reason(claim_as(&world.admin, 0, "", &again), "ROLE_REQUIRED");
    assert_reason(claim_as(&world.m365, 0, "", &again), "ROLE_REQUIRED");
    assert_reason(claim_as(&world.workload, MOVE_CLAIM_MIN_MS - 1, "", &again),
                  "FIELD_INVALID");
    assert_reason(claim_as(&world.workload, MOVE_CLAIM_MAX_MS + 1, "", &again),
                  "FIELD_INVALID");
}

/* A mover that is gone: its mailbox is queued again in its old place, and what
 * it says later counts for nothing. */
static void a_claim_ends_by_time(void **state)
{
    struct mailbox_view gone;
    struct mailbox_view view;
    (void)state;
    queue("old", MOVE_REGULAR);
    pass(1000);
    queue("new", MOVE_REGULAR);
    assert_ok(claim_as(&world.workload, HOUR_MS, "", &gone));
    assert_string_equal(gone.record.id, "old");
    pass(HOUR_MS - 1);
    assert_int_equal(look("old").state, MAILBOX_MOVING);
    pass(1);
    assert_int_equal(look("old").state, MAILBOX_MOVE_QUEUED);
    assert_reason(end(true, &gone, &view), "STATE_CONFLICT");
    assert_reason(end(false, &gone, &view), "STATE_CONFLICT");
    struct mailbox_view next = claim("old");
    assert_int_equal(world_audit_count(&world, "MoveTimedOut"), 1);
    assert_reason(end(true, &gone, &view), "STATE_CONFLICT");
    complete(&next);
    next = claim("new");
    /* assigned to none meanwhile: nothing to move any more */
    assign("new", "", (enum move_priority)0, MAILBOX_MOVING);
    pass(DAY_MS);
    assert_int_equal(look("new").state, MAILBOX_NOT_ENCRYPTED);
    assert_reason(claim_as(&world.workload, 0, "", &view), "NOT_FOUND");
    assert_int_equal(look("new").state, MAILBOX_NOT_ENCRYPTED);
}

/* One that cannot be moved stops nobody behind it. */
static void what_fails_goes_behind(void **state)
{
    struct mailbox_view view;
    (void)state;
    queue("bad", MOVE_REGULAR);
    int64_t since_ms = look("bad").record.waits_since_ms;
    pass(1000);
    queue("good", MOVE_REGULAR);
    pass(1000);
    struct mailbox_view bad = claim("bad");
    assert_ok(end(false, &bad, &view));
    assert_int_equal(view.state, MAILBOX_MOVE_QUEUED);
    assert_true(view.record.waits_since_ms == since_ms);
    assert_reason(end(false, &bad, &view), "STATE_CONFLICT");
    claim("good");
    bad = claim("bad");
    assign("bad", "", (enum move_priority)0, MAILBOX_MOVING);
    assert_ok(end(false, &bad, &view));
    assert_int_equal(view.state, MAILBOX_NOT_ENCRYPTED);
    assert_int_equal(world_audit_count(&world, "FailMove"), 2);
}

/* M9, R-5.17: assigned before he migrates; encrypted as he arrives; no move. */
static void a_mail_user_is_encrypted_as_he_arrives(void **state)
{
    struct outcome key;
    struct mailbox_view view;
    (void)state;
    enlist("hybrid", MAILBOX_MAIL_USER, MAILBOX_ON_ARRIVAL);
    assign("hybrid", WORLD_DEP, (enum move_priority)0, MAILBOX_ON_ARRIVAL);
    assert_reason(claim_as(&world.workload, 0, "", &view), "NOT_FOUND");
    generate("hybrid", &key);
    assert_ok(key.status);
    assert_false(key.service_managed);
    assert_int_equal(look("hybrid").state, MAILBOX_ENCRYPTED);
}

/* What leaves the queue is not in it, and what comes again is the youngest. */
static void leaving_the_queue(void **state)
{
    struct mailbox_view view;
    (void)state;
    queue("back", MOVE_REGULAR);
    pass(1000);
    queue("stays", MOVE_REGULAR);
    pass(1000);
    assign("back", "", (enum move_priority)0, MAILBOX_NOT_ENCRYPTED);
    assign("back", WORLD_DEP, (enum move_priority)0, MAILBOX_MOVE_QUEUED);
    claim("stays");
    claim("back");
    assert_reason(claim_as(&world.workload, 0, "", &view), "NOT_FOUND");
}

/* after a week, once for each, and again for a new wait. */
static void a_week_is_too_long(void **state)
{
    struct mailbox_view view;
    (void)state;
    queue("slow", MOVE_REGULAR);
    pass(DAY_MS);
    queue("later", MOVE_REGULAR);
    pass(6 * DAY_MS - 1);
    assert_int_equal(mailbox_moves_alert(world.service), 0);
    assert_false(look("slow").overdue);
    pass(1);
    assert_true(look("slow").overdue);
    assert_false(look("later").overdue);
    assert_int_equal(mailbox_moves_alert(world.service), 1);
    assert_int_equal(mailbox_moves_alert(world.service), 0);
    assert_ok(world_restart(&world));
    assert_int_equal(mailbox_moves_alert(world.service), 0);
    assert_int_equal(world_audit_count(&world, "EncryptionOverdue"), 1);
    struct mailbox_view slow = claim("slow");
    assert_true(slow.overdue); /* moving, but not moved */
    complete(&slow);
    assert_false(look("slow").overdue);
    pass(DAY_MS);
    struct mailbox_view later = claim("later");
    assert_int_equal(mailbox_moves_alert(world.service), 1); /* while it runs */
    assert_ok(end(false, &later, &view));
    assert_true(view.overdue); /* a failure is no new beginning */
    assert_int_equal(mailbox_moves_alert(world.service), 0);
    assign("later", "", (enum move_priority)0, MAILBOX_NOT_ENCRYPTED);
    assert_false(look("later").overdue);
    assign("later", WORLD_DEP, (enum move_priority)0, MAILBOX_MOVE_QUEUED);
    pass(7 * DAY_MS);
    assert_int_equal(mailbox_moves_alert(world.service), 1);
}

static void count(uint32_t encrypted, uint32_t percent)
{
    struct dep_view view;
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_int_equal(view.encrypted_count, encrypted);
    assert_int_equal(view.encrypted_percent, percent);
}

/* how far a DEP is with its mailboxes. */
static void how_many_are_encrypted(void **state)
{
    struct outcome key;
    (void)state;
    count(0, 0); /* one that has no key yet */
    generate(WORLD_MAILBOX, &key);
    count(1, 100);
    queue("one", MOVE_REGULAR);
    pass(1);
    queue("two", MOVE_REGULAR);
    count(1, 33);
    struct mailbox_view one = claim("one");
    generate("one", &key); /* but its content is not encrypted yet */
    count(1, 33);
    complete_only(&one);
    count(2, 66);
    /* under it, but no longer its own */
    assign("one", "", (enum move_priority)0, MAILBOX_REWRAP_PENDING);
    count(1, 50);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_mailbox_is_encrypted_by_its_move),
        CASE(the_queue_is_served_by_priority_then_age),
        CASE(a_claim_is_one_claim),
        CASE(a_claim_ends_by_time),
        CASE(what_fails_goes_behind),
        CASE(a_mail_user_is_encrypted_as_he_arrives),
        CASE(leaving_the_queue),
        CASE(a_week_is_too_long),
        CASE(how_many_are_encrypted),
    };
    return cmocka_run_group_tests_name("mailbox_moves", tests, NULL, NULL);
}
