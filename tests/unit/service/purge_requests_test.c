/* Is a purge asked for, signed, taken back, stopped and let go on as it should,
 * and does it take nothing with it that is to be elsewhere (9.3, R-15.15,
 * */
#include "hsm/base/check.h"

#include "server/service/dep_rewrap.h"
#include "server/service/managed_roll.h"

#include "tests/unit/service/purge_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct world world;
static struct purge_view purge;
static struct purge_view now;
static struct operation_view operation;

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

static void expect_unwrap(const char *mailbox, const uint8_t *wrapped,
                          size_t len, enum initiator initiator,
                          const char *word)
{
    struct outcome out;
    const struct call_options options = {
        .caller = &world.system,
        .verb = VERB_UNWRAP_KEY,
        .initiator = initiator,
        .mailbox = mailbox,
        .wrapped = wrapped,
        .wrapped_len = len,
    };
    world_call(&world, &options, &out);
    assert_string_equal(
        reason_word(out.status == HF_OK ? REASON_NONE : out.problem.reason),
        word);
    assert_int_equal(out.has_key, out.status == HF_OK);
}

/* what a request needs. */
static void requests_are_checked(void **state)
{
    struct purge_request request = {.tenant = WORLD_TENANT,
                                    .dep = WORLD_DEP,
                                    .reason = "r",
                                    .contact = "c"};
    (void)state;
    purge_world_revoke(&world);
    assert_status(purges_request(world.service, &world.admin, &request, &purge,
                                 &world.problem),
                  HF_E_INVALID);
    assert_string_equal(world.problem.field, "confirm");
    request.confirm = true;
    request.contact[0] = '\0';
    assert_status(purges_request(world.service, &world.admin, &request, &purge,
                                 &world.problem),
                  HF_E_INVALID);
    assert_string_equal(world.problem.field, "contact");
    snprintf(request.contact, sizeof request.contact, "two\nlines");
    assert_status(purges_request(world.service, &world.admin, &request, &purge,
                                 &world.problem),
                  HF_E_INVALID);
    purge_world_officers(&world, 0);
    assert_status(purge_try_request(&world, WORLD_DEP, false, &purge),
                  HF_E_PRECONDITION);
    assert_reason(&world, "APPROVERS_MISSING");
    purge_world_officers(&world, 1);
    purge_request(&world, WORLD_DEP, &purge);
    assert_status(purge_try_request(&world, WORLD_DEP, false, &now),
                  HF_E_PRECONDITION); /* one at a time */
    assert_reason(&world, "STATE_CONFLICT");
    assert_status(purge_try_request(&world, "nosuch", false, &now),
                  HF_E_NOT_FOUND);
}

static enum hf_status assign(const char *id, const char *dep)
{
    struct mailbox_assign request = {.tenant = WORLD_TENANT};
    struct mailbox_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    return mailboxes_assign(world.service, &world.admin, &request, &view,
                            &world.problem);
}

/* T9: while no approval is recorded; back to what it was, and in use again. */
static void cancelled_until_approved(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    struct purge_order order = {.tenant = WORLD_TENANT};
    struct dep_view dep;
    (void)state;
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    /* no assignment from now on */
    assert_ok(assign(WORLD_MAILBOX, "dep2"));
    assert_status(assign(WORLD_MAILBOX, WORLD_DEP), HF_E_PRECONDITION);
    assert_reason(&world, "DEP_NOT_ENABLED");
    id_format(&purge.record.id, order.id);
    assert_ok(purges_cancel(world.service, &world.admin, &order, &now,
                            &world.problem));
    assert_int_equal(now.record.phase, PURGE_CANCELLED);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.record.state, DEP_ENABLED);
    assert_ok(assign(WORLD_MAILBOX, WORLD_DEP));
    world_grant(&world, "ck1", &world.system, all);
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_USER, "NONE");
    world_revoke(&world, "ck1", &world.system);
    /* the next one, approved: no way back */
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    id_format(&purge.record.id, order.id);
    assert_status(purges_cancel(world.service, &world.admin, &order, &now,
                                &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
}

static void rename_dep(const char *from, const char *to)
{
    struct dep_update update = {.tenant = WORLD_TENANT, .set_name = true};
    struct dep_view dep;
    snprintf(update.dep, sizeof update.dep, "%s", from);
    snprintf(update.name, sizeof update.name, "%s", to);
    assert_ok(deps_update(world.service, &world.admin, &update, &dep,
                          &world.problem));
}

/* A mailbox whose key lay under the tenant's own root and lies under the DEP.
 */
static void early_mailbox(void)
{
    const struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                          .id = "early@contoso.example",
                                          .dep = WORLD_DEP};
    struct mailbox_view box;
    struct outcome made;
    purge_world_mailbox(&world, assign.id, "", &made);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &box,
                               &world.problem));
    expect_unwrap(assign.id, NULL, 0, INITIATOR_USER, "NONE");
}

static void expect_signed(const struct purge_document *text)
{
    purge_get(&world, &purge, &now);
    assert_int_equal(now.document.len, 0);
    assert_int_equal(now.accepting.len, text->len);
    assert_memory_equal(now.accepting.text, text->text, text->len);
}

/* what was signed is shown with its signature to the
 * end, and the next approver signs the same, whatever is renamed meanwhile; the
 * list that was accepted stays apart from what is residual in the end. */
static void what_was_signed_is_kept(void **state)
{
    const struct signing first = {.approver = 0, .caller = 0, .accept = true};
    const struct signing second = {.approver = 1, .caller = 1, .accept = true};
    const struct managed_roll roll = {.tenant = WORLD_TENANT};
    static struct certificate_record certificate;
    static struct purge_document text;
    char id[HF_ID_TEXT];
    (void)state;
    early_mailbox();
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_UNREACHABLE);
    }
    assert_ok(purge_try_request(&world, WORLD_DEP, true, &purge));
    assert_int_equal(purge.record.earlier_count, 1);
    text = purge.accepting;
    assert_ok(purge_try_approve(&world, &purge, &first));
    rename_dep(WORLD_DEP, "other");
    purge_get(&world, &purge, &now);
    assert_memory_equal(now.accepting.text, text.text, text.len);
    assert_ok(purge_try_approve(&world, &now, &second));
    expect_signed(&text);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    /* what was accepted goes by itself, in the hold */
    assert_ok(tenants_roll_managed(world.service, &world.operator_, &roll,
                                   &operation, &world.problem));
    for (int i = 0;
         i < 3000 && world_audit_count(&world, "ServiceManagedKeyRolled") == 0;
         i++) {
        world_move_clock(&world, 200);
        usleep(5000);
    }
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ok(world_restart(&world));
    expect_signed(&text);
    assert_int_equal(now.record.earlier_count, 1);
    assert_int_equal(now.approvals[0].text_len, text.len);
    id_format(&purge.record.id, id);
    assert_ok(purges_certificate(world.service, &world.admin, WORLD_TENANT, id,
                                 &certificate, &world.problem));
    certificate.text[certificate.text_len] = '\0';
    assert_non_null(
        strstr((const char *)certificate.text, "residual_wrap=none\n"));
}

/* a registered approver or a tenant administrator pauses; only
 * an approver resumes; a paused one waits for ever. */
static void a_pause_holds(void **state)
{
    struct purge_order order = {.tenant = WORLD_TENANT};
    struct caller unregistered;
    (void)state;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    id_format(&purge.record.id, order.id);
    assert_status(
        purges_pause(world.service, &world.admin, &order, &now, &world.problem),
        HF_E_PRECONDITION); /* there is no hold yet */
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    assert_status(purges_pause(world.service, &world.operator_, &order, &now,
                               &world.problem),
                  HF_E_DENIED);
    unregistered = world.approver[0];
    snprintf(unregistered.identity, sizeof unregistered.identity,
             "spiffe://holdfast.test/nobody");
    assert_status(purges_pause(world.service, &unregistered, &order, &now,
                               &world.problem),
                  HF_E_DENIED);
    assert_reason(&world, "APPROVER_REFUSED");
    assert_ok(purges_pause(world.service, &world.admin, &order, &now,
                           &world.problem));
    assert_true(now.record.paused);
    world_move_clock(&world, 2 * WORLD_HOLD_MS);
    usleep(700000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 1);
    assert_status(purges_resume(world.service, &world.admin, &order, &now,
                                &world.problem),
                  HF_E_DENIED);
    assert_ok(purges_resume(world.service, &world.approver[1], &order, &now,
                            &world.problem));
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
}

/* whoever was named after the request stops it, but does not
 * let it go on; nor does the approver who asked for it himself. */
static void a_late_approver_resumes_nothing(void **state)
{
    const struct purge_request request = {.tenant = WORLD_TENANT,
                                          .dep = WORLD_DEP,
                                          .reason = "r",
                                          .contact = "c",
                                          .confirm = true};
    const struct signing second = {.approver = 1, .caller = 1};
    const struct caller *late = &world.approver[1];
    struct purge_order order = {.tenant = WORLD_TENANT};
    struct caller asked = world.approver[0];
    (void)state;
    asked.roles |= world.admin.roles;
    purge_world_revoke(&world);
    assert_ok(purges_request(world.service, &asked, &request, &purge,
                             &world.problem));
    id_format(&purge.record.id, order.id);
    assert_ok(purge_try_approve(&world, &purge, &second));
    purge_world_officers(&world, 1);
    purge_world_officers(&world, 2); /* the second is a new one now */
    assert_ok(purges_pause(world.service, late, &order, &now, &world.problem));
    assert_status(
        purges_resume(world.service, late, &order, &now, &world.problem),
        HF_E_DENIED);
    assert_reason(&world, "APPROVER_REFUSED");
    assert_status(
        purges_resume(world.service, &asked, &order, &now, &world.problem),
        HF_E_DENIED);
    assert_reason(&world, "APPROVER_REFUSED");
    purge_get(&world, &purge, &now);
    assert_true(now.record.paused);
}

/* A mailbox that is to be elsewhere keeps its key: the purge is refused, and
 * later waits, until it is there. Losing it would be losing data for ever. */
static void nothing_else_is_lost(void **state)
{
    struct outcome made;
    struct outcome opened;
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    (void)state;
    purge_world_mailbox(&world, "carol@contoso.example", WORLD_DEP, &made);
    world_enroll(&world, WORLD_TENANT, 2);
    world_key(&world, WORLD_TENANT, 2, "ck3", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    world_key(&world, WORLD_TENANT, 1, "ck4", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    for (int i = 3; i <= 4; i++) {
        char key[8];
        snprintf(key, sizeof key, "ck%d", i);
        world_grant(&world, key, &world.workload, all);
        world_grant(&world, key, &world.system, all);
    }
    struct dep_create create = {
        .tenant = WORLD_TENANT,
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .name = "dep2",
        .keys = {"ck3", "ck4"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 60000,
    };
    struct dep_view dep;
    memcpy(create.workload_identity, world.workload.identity,
           sizeof create.workload_identity);
    assert_ok(deps_create(world.service, &world.admin, &create, &dep,
                          &world.problem));
    assert_ok(assign("carol@contoso.example", "dep2"));
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    assert_int_equal(purge.record.resources, 1);
    purge_approve(&world, &purge, false);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    assert_reason(&world, "DEP_IN_USE");
    assert_non_null(strstr(world.problem.text, "carol@contoso.example"));
    /* back, executed, and away again in the hold: it waits */
    const struct dep_rewrap rewrap = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    struct operation_view moved;
    assert_ok(deps_rewrap(world.service, &world.admin, &rewrap, &moved,
                          &world.problem));
    for (int i = 0; i < 1000; i++) {
        if (purge_try_execute(&world, &purge, &world.operator_, &operation) ==
            HF_OK) {
            break;
        }
        world_move_clock(&world, 50); /* what could not be moved comes again */
        usleep(5000);
    }
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = "carol@contoso.example",
    };
    world_call(&world, &options, &opened);
    assert_ok(opened.status);
    assert_memory_equal(opened.key, made.key, HF_KEY_BYTES);
}

/* The same during the hold: taken out of the purge, it must be moved first. */
static void a_stray_stops_the_hold(void **state)
{
    struct outcome made;
    (void)state;
    purge_world_mailbox(&world, "dave@contoso.example", WORLD_DEP, &made);
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    assert_ok(assign("dave@contoso.example", ""));
    world_move_clock(&world, WORLD_HOLD_MS);
    usleep(700000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 1);
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_SYSTEM, "NONE");
    /* an access by the system moves it to the service-managed root */
    expect_unwrap("dave@contoso.example", NULL, 0, INITIATOR_SYSTEM, "NONE");
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    struct outcome opened;
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = "dave@contoso.example",
    };
    world_call(&world, &options, &opened);
    assert_ok(opened.status);
    assert_memory_equal(opened.key, made.key, HF_KEY_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_checked, start, stop),
        cmocka_unit_test_setup_teardown(cancelled_until_approved, start, stop),
        cmocka_unit_test_setup_teardown(what_was_signed_is_kept, start, stop),
        cmocka_unit_test_setup_teardown(a_pause_holds, start, stop),
        cmocka_unit_test_setup_teardown(a_late_approver_resumes_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(nothing_else_is_lost, start, stop),
        cmocka_unit_test_setup_teardown(a_stray_stops_the_hold, start, stop),
    };
    return cmocka_run_group_tests_name("purge requests", tests, NULL, NULL);
}
