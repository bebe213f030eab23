/* What is known of a mailbox may change (R-5.7, R-5.8, M9); what is not
 * encrypted wraps nothing; a long move keeps its mailbox, and a purged
 * one is given to no mover (M8). */
#include "hsm/base/check.h"

#include "server/service/mailbox_moves.h"

#include "tests/unit/service/purge_world.h"

#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000LL
#define BOX     "bob@contoso.example"

static struct world world;

static int start(void **state)
{
    (void)state;
    purge_world_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void enlist(const char *id, enum mailbox_kind kind)
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
}

static void assign(const char *id, const char *dep)
{
    struct mailbox_assign request = {.tenant = WORLD_TENANT};
    struct mailbox_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    assert_ok(mailboxes_assign(world.service, &world.admin, &request, &view,
                               &world.problem));
}

static struct mailbox_view look(const char *id)
{
    struct mailbox_view view;
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, id,
                            &view, &world.problem));
    return view;
}

static struct mailbox_update update_of(const char *id)
{
    struct mailbox_update update = {.tenant = WORLD_TENANT};
    snprintf(update.id, sizeof update.id, "%s", id);
    return update;
}

static enum hf_status try_update(const struct mailbox_update *update,
                                 struct mailbox_view *out)
{
    return mailboxes_update(world.service, &world.admin, update, out,
                            &world.problem);
}

static enum hf_status try_kind(const char *id, enum mailbox_kind kind,
                               struct mailbox_view *out)
{
    struct mailbox_update update = update_of(id);
    update.set_kind = true;
    update.kind = kind;
    return try_update(&update, out);
}

static struct mailbox_view set_kind(const char *id, enum mailbox_kind kind)
{
    struct mailbox_view view;
    assert_ok(try_kind(id, kind, &view));
    assert_int_equal(view.record.kind, kind);
    assert_int_equal(look(id).record.kind, kind);
    assert_int_equal(look(id).state, view.state);
    return view;
}

static enum hf_status try_claim(const struct mailbox_view *renewed,
                                int64_t claim_ms, struct mailbox_view *out)
{
    struct move_claim request = {.tenant = WORLD_TENANT, .claim_ms = claim_ms};
    if (renewed != NULL) {
        request.claim = renewed->record.claim;
        memcpy(request.id, renewed->record.id, sizeof request.id);
    }
    return mailbox_moves_claim(world.service, &world.workload, &request, out,
                               &world.problem);
}

static enum hf_status end(bool completes, const struct mailbox_view *of)
{
    struct move_end request = {.tenant = WORLD_TENANT,
                               .claim = of->record.claim};
    struct mailbox_view view;
    memcpy(request.id, of->record.id, sizeof request.id);
    return completes ? mailbox_moves_complete(world.service, &world.workload,
                                              &request, &view, &world.problem)
                     : mailbox_moves_fail(world.service, &world.workload,
                                          &request, &view, &world.problem);
}

static struct outcome wrap(const char *id)
{
    static const uint8_t key[HF_KEY_BYTES] = {7};
    struct outcome out;
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_WRAP_KEY,
        .mailbox = id,
        .plaintext = key,
    };
    world_call(&world, &options, &out);
    return out;
}

/* --- UpdateMailbox -------------------------------------------------------- */

static void kind_and_licence_change(void **state)
{
    struct mailbox_view view;
    char record[WORLD_AUDIT_BYTES];
    (void)state;
    enlist(BOX, MAILBOX_USER);
    struct mailbox_update update = update_of(BOX);
    update.set_kind = true;
    update.kind = MAILBOX_SHARED;
    update.set_licensed = true;
    update.mutation.validate_only = true;
    assert_ok(try_update(&update, &view));
    assert_int_equal(view.record.kind, MAILBOX_SHARED);
    assert_int_equal(look(BOX).record.kind, MAILBOX_USER); /* changed nothing */
    update.mutation.validate_only = false;
    assert_ok(try_update(&update, &view));
    assert_int_equal(look(BOX).record.kind, MAILBOX_SHARED);
    assert_false(look(BOX).record.licensed);
    world_audit_last(&world, "UpdateMailbox", record);
    assert_non_null(strstr(record, "\"before\":{\"kind\":\"USER\","
                                   "\"licensed\":true}"));
    /* what is asked for is so: no record of it */
    assert_ok(try_update(&update, &view));
    assert_int_equal(world_audit_count(&world, "UpdateMailbox"), 1);
    snprintf(update.mutation.etag, sizeof update.mutation.etag, "0");
    assert_status(try_update(&update, &view), HF_E_CONFLICT);
    assert_reason(&world, "ETAG_MISMATCH");
    update = update_of("nobody");
    assert_status(try_update(&update, &view), HF_E_NOT_FOUND);
}

/* no way around the licence by changing the mailbox afterwards. */
static void what_is_assigned_stays_licensed(void **state)
{
    struct mailbox_view view;
    struct mailbox_update update = update_of(WORLD_MAILBOX);
    (void)state;
    update.set_licensed = true;
    assert_status(try_update(&update, &view), HF_E_PRECONDITION);
    assert_reason(&world, "LICENCE_REQUIRED");
    assert_true(look(WORLD_MAILBOX).record.licensed);
    /* a shared one lives on its tenant's */
    update.set_kind = true;
    update.kind = MAILBOX_SHARED;
    assert_ok(try_update(&update, &view));
    assert_false(look(WORLD_MAILBOX).record.licensed);
    assert_status(try_kind(WORLD_MAILBOX, MAILBOX_USER, &view),
                  HF_E_PRECONDITION);
    assert_reason(&world, "LICENCE_REQUIRED");
    assert_int_equal(look(WORLD_MAILBOX).record.kind, MAILBOX_SHARED);
    /* what is assigned to none needs none */
    assign(WORLD_MAILBOX, "");
    set_kind(WORLD_MAILBOX, MAILBOX_USER);
}

/* M9: a mail user's key is made as he migrates; who has migrated without one is
 * not encrypted, and M3 holds for him. */
static void a_mail_user_who_migrated_without_a_key_is_moved(void **state)
{
    struct mailbox_view view;
    (void)state;
    enlist(BOX, MAILBOX_MAIL_USER);
    assert_int_equal(set_kind(BOX, MAILBOX_USER).state, MAILBOX_NOT_ENCRYPTED);
    assert_int_equal(set_kind(BOX, MAILBOX_MAIL_USER).state,
                     MAILBOX_ON_ARRIVAL);
    assign(BOX, WORLD_DEP);
    assert_int_equal(look(BOX).state, MAILBOX_ON_ARRIVAL);
    view = set_kind(BOX, MAILBOX_USER);
    assert_int_equal(view.state, MAILBOX_MOVE_QUEUED);
    assert_int_equal(view.record.priority, MOVE_REGULAR);
    assert_int_equal(set_kind(BOX, MAILBOX_SHARED).state, MAILBOX_MOVE_QUEUED);
    /* away again: nothing to move */
    view = set_kind(BOX, MAILBOX_MAIL_USER);
    assert_int_equal(view.state, MAILBOX_ON_ARRIVAL);
    assert_true(view.record.queued_ms == 0);
    assert_status(try_claim(NULL, 0, &view), HF_E_NOT_FOUND);
    /* a running move is not disturbed */
    set_kind(BOX, MAILBOX_USER);
    assert_ok(try_claim(NULL, 0, &view));
    assert_status(try_kind(BOX, MAILBOX_MAIL_USER, &view), HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
    assert_int_equal(look(BOX).state, MAILBOX_MOVING);
    assert_ok(try_kind(BOX, MAILBOX_GROUP, &view)); /* which is no migration */
    /* one that is encrypted is so whatever it is called */
    assert_int_equal(set_kind(WORLD_MAILBOX, MAILBOX_MAIL_USER).state,
                     MAILBOX_ENCRYPTED);
}

/* --- M3, M9: WrapKey ------------------------------------------------------ */

static void what_is_not_encrypted_wraps_nothing(void **state)
{
    struct mailbox_view claimed;
    struct outcome out;
    (void)state;
    enlist(BOX, MAILBOX_USER);
    out = wrap(BOX);
    assert_status(out.status, HF_E_PRECONDITION);
    assert_string_equal(reason_word(out.problem.reason), "STATE_CONFLICT");
    assign(BOX, WORLD_DEP);
    assert_status(wrap(BOX).status, HF_E_PRECONDITION);
    /* its move, and a mail user on the way, may */
    assert_ok(try_claim(NULL, 0, &claimed));
    assert_ok(wrap(BOX).status);
    enlist("carol@contoso.example", MAILBOX_MAIL_USER);
    assign("carol@contoso.example", WORLD_DEP);
    assert_ok(wrap("carol@contoso.example").status);
    assert_ok(wrap(WORLD_MAILBOX).status);
}

/* --- claims --------------------------------------------------------------- */

static void a_long_move_keeps_its_mailbox(void **state)
{
    struct mailbox_view claimed;
    struct mailbox_view renewed;
    (void)state;
    enlist(BOX, MAILBOX_USER);
    assign(BOX, WORLD_DEP);
    assert_ok(try_claim(NULL, HOUR_MS, &claimed));
    for (int i = 0; i < 5; i++) {
        world_move_clock(&world, HOUR_MS - 1);
        assert_ok(try_claim(&claimed, HOUR_MS, &renewed));
        assert_true(id_equal(&renewed.record.claim, &claimed.record.claim));
        assert_int_equal(renewed.state, MAILBOX_MOVING);
    }
    assert_true(renewed.record.claim_ends_ms >
                claimed.record.claim_ends_ms + 4 * HOUR_MS);
    struct mailbox_view none;
    assert_status(try_claim(NULL, 0, &none), HF_E_NOT_FOUND);
    /* one that is over is not renewed, and neither is another's */
    struct mailbox_view other = claimed;
    other.record.claim.bytes[0] ^= 1;
    assert_status(try_claim(&other, HOUR_MS, &none), HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
    world_move_clock(&world, HOUR_MS);
    assert_status(try_claim(&claimed, HOUR_MS, &none), HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
    assert_int_equal(look(BOX).state, MAILBOX_MOVE_QUEUED);
}

/* --- R-5.16 --------------------------------------------------------------- */

/* What GetDep counts is what reading every mailbox of the DEP comes to. */
static void expect_counted(const char *dep, uint32_t expected)
{
    static struct mailbox_view views[8];
    struct mailbox_list list = {.views = views, .cap = 8};
    struct mailbox_list_request request = {.tenant = WORLD_TENANT};
    struct dep_view view;
    uint32_t read = 0;
    snprintf(request.filter.assigned_dep, sizeof request.filter.assigned_dep,
             "%s", dep);
    assert_ok(mailboxes_list(world.service, &world.admin, &request, &list,
                             &world.problem));
    for (size_t i = 0; i < list.count; i++) {
        const struct resource_record *record = &views[i].record;
        read += record->move == MOVE_NONE && record->envelope_len > 0 &&
                        id_equal(&record->effective.dep, &record->assigned)
                    ? 1
                    : 0;
    }
    assert_int_equal(read, expected);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, dep, &view,
                       &world.problem));
    assert_true(view.mailboxes_counted);
    assert_int_equal(view.encrypted_count, expected);
    assert_int_equal(view.encrypted_percent,
                     list.count == 0 ? 100 : 100 * expected / list.count);
}

static void what_is_counted_is_what_is_there(void **state)
{
    struct mailbox_view claimed;
    struct outcome out;
    (void)state;
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    expect_counted(WORLD_DEP, 1);
    expect_counted("dep2", 0);
    enlist(BOX, MAILBOX_USER);
    assign(BOX, WORLD_DEP);
    assert_ok(try_claim(NULL, 0, &claimed));
    world_generate(&world, BOX, &out);
    expect_counted(WORLD_DEP, 1); /* its content is not, until the end */
    assert_ok(end(true, &claimed));
    expect_counted(WORLD_DEP, 2);
    assign(WORLD_MAILBOX, "dep2");
    expect_counted(WORLD_DEP, 1);
    expect_counted("dep2", 0); /* before the next access */
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    expect_counted("dep2", 1);
    assert_ok(world_restart(&world));
    expect_counted("dep2", 1);
    assign(WORLD_MAILBOX, WORLD_DEP);
    expect_counted("dep2", 0);
    expect_counted(WORLD_DEP, 1);
    assign(WORLD_MAILBOX, "dep2"); /* and back, before it was moved */
    expect_counted("dep2", 1);
    assign(WORLD_MAILBOX, "");
    assign(BOX, "");
    expect_counted("dep2", 0);
    expect_counted(WORLD_DEP, 0);
}

/* --- M8 ------------------------------------------------------------------- */

/* Queued with a key, then purged: no mover gets it, and who has it cannot end
 * the move; the others in the queue are served. */
static void a_purged_mailbox_is_moved_by_nobody(void **state)
{
    struct mailbox_view claimed;
    struct mailbox_view view;
    struct purge_view purge;
    struct outcome made;
    (void)state;
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    enlist("dave@contoso.example", MAILBOX_USER);
    assign("dave@contoso.example", WORLD_DEP);
    assert_ok(try_claim(NULL, 0, &claimed));
    world_generate(&world, "dave@contoso.example", &made);
    enlist(BOX, MAILBOX_USER);
    assign(BOX, WORLD_DEP);
    assert_ok(try_claim(NULL, 0, &view));
    world_generate(&world, BOX, &made);
    assert_ok(end(false, &view)); /* it has a key, and is queued again */
    enlist("erin@contoso.example", MAILBOX_USER);
    assign("erin@contoso.example", "dep2");
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(look(BOX).state, MAILBOX_PURGE_MARKED);
    assert_status(end(true, &claimed), HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
    assert_status(try_claim(&claimed, 0, &view), HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
    /* overdue by now, and nothing to be done about it */
    assert_false(look(BOX).overdue);
    world_move_clock(&world, 8 * 24 * HOUR_MS);
    mailbox_moves_alert(world.service);
    assert_false(look(BOX).overdue);
    assert_ok(try_claim(NULL, 0, &view));
    assert_string_equal(view.record.id, "erin@contoso.example");
    assert_status(try_claim(NULL, 0, &view), HF_E_NOT_FOUND);
    assert_true(world_audit_count(&world, "MoveDropped") >= 1);
    assert_int_equal(look(BOX).state, MAILBOX_PURGE_MARKED);
    struct mailbox_update update = update_of(BOX);
    update.set_licensed = true;
    assert_status(try_update(&update, &view), HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(kind_and_licence_change),
        CASE(what_is_assigned_stays_licensed),
        CASE(a_mail_user_who_migrated_without_a_key_is_moved),
        CASE(what_is_not_encrypted_wraps_nothing),
        CASE(a_long_move_keeps_its_mailbox),
        CASE(what_is_counted_is_what_is_there),
        CASE(a_purged_mailbox_is_moved_by_nobody),
    };
    return cmocka_run_group_tests_name("mailbox_update", tests, NULL, NULL);
}
