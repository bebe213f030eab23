/* What cannot undo a purge, or bring one about: N20, N24 to N28, N60 on fakes
 * (I2; appendix B, 11). */
#include "hsm/base/check.h"

#include "server/service/availability_roll.h"

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

static const char *unwrap(const char *mailbox, const struct outcome *blob,
                          enum initiator initiator)
{
    static struct outcome out;
    const struct call_options options = {
        .caller = &world.system,
        .verb = VERB_UNWRAP_KEY,
        .initiator = initiator,
        .mailbox = mailbox,
        .wrapped = blob == NULL ? NULL : blob->envelope,
        .wrapped_len = blob == NULL ? 0 : blob->envelope_len,
    };
    world_call(&world, &options, &out);
    assert_int_equal(out.has_key, out.status == HF_OK);
    return reason_word(out.status == HF_OK ? REASON_NONE : out.problem.reason);
}

static void assert_gone(const char *mailbox, const struct outcome *blob)
{
    assert_string_equal(unwrap(mailbox, blob, INITIATOR_USER), "KEY_DESTROYED");
    assert_string_equal(unwrap(mailbox, blob, INITIATOR_SYSTEM),
                        "KEY_DESTROYED");
}

/* --- N60 ---------------------------------------------------------------- */

static void expect_approval(const struct signing *how, const char *word)
{
    enum hf_status status = purge_try_approve(&world, &now, how);
    assert_string_equal(
        reason_word(status == HF_OK ? REASON_NONE : world.problem.reason),
        word);
}

/* Replayed, expired, for another version, self-approved, by an officer who is
 * not registered, or was too late; by another's key; and nothing changed. */
static void n60_approvals(void **state)
{
    const struct signing good = {.approver = 0, .caller = 0};
    const struct signing others_key = {.approver = 1, .caller = 0};
    const struct signing old = {.approver = 0, .caller = 0, .version = 1};
    struct purge_order order = {.tenant = WORLD_TENANT};
    struct purge_view first;
    (void)state;
    purge_world_officers(&world, 1);
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_get(&world, &purge, &now);
    first = now;
    expect_approval(&others_key, "APPROVAL_INVALID");
    expect_approval(&(struct signing){.approver = 1, .caller = 1},
                    "APPROVER_REFUSED"); /* not registered */
    purge_world_officers(&world, 2);
    expect_approval(&(struct signing){.approver = 1, .caller = 1},
                    "APPROVER_REFUSED"); /* named for what was asked already */
    /* another version: what was signed before the document was renewed */
    id_format(&purge.record.id, order.id);
    assert_ok(purges_renew(world.service, &world.admin, &order, &now,
                           &world.problem));
    assert_int_equal(now.record.version, 2);
    expect_approval(&old, "APPROVAL_INVALID");
    now = first; /* signed the old text, says it is the new one */
    now.record.version = 2;
    expect_approval(&good, "APPROVAL_INVALID");
    /* too late */
    purge_get(&world, &purge, &now);
    world_move_clock(&world, now.record.expires_ms - world.now_ms);
    expect_approval(&good, "APPROVAL_INVALID");
    assert_ok(purges_renew(world.service, &world.admin, &order, &now,
                           &world.problem));
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.approvals, 0);
    assert_int_equal(now.record.phase, PURGE_REQUESTED);
    /* a signature of another purge, replayed */
    first = now;
    assert_ok(purges_cancel(world.service, &world.admin, &order, &now,
                            &world.problem));
    world_move_clock(&world, 1000);
    purge_request(&world, WORLD_DEP, &purge);
    first.record.id = purge.record.id;
    first.record.version = purge.record.version;
    now = first;
    expect_approval(&good, "APPROVAL_INVALID");
    purge_get(&world, &purge, &now);
    expect_approval(&good, "NONE");
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_APPROVED);
    expect_approval(&good, "STATE_CONFLICT"); /* once */
}

/* none of requester, approver and executor is another of them, even
 * with every role. */
static void n60_three_people(void **state)
{
    const struct signing good = {.approver = 0, .caller = 0};
    struct caller both = world.approver[0];
    (void)state;
    purge_world_revoke(&world);
    both.roles = ROLE_PURGE_APPROVER | ROLE_TENANT_ADMIN;
    world.admin = both;
    purge_request(&world, WORLD_DEP, &purge);
    purge_get(&world, &purge, &now);
    expect_approval(&good, "APPROVER_REFUSED"); /* self-approved */
    expect_approval(&(struct signing){.approver = 1, .caller = 1}, "NONE");
    struct caller executor = world.operator_;
    memcpy(executor.identity, world.approver[1].identity,
           sizeof executor.identity);
    assert_status(purge_try_execute(&world, &purge, &executor, &operation),
                  HF_E_DENIED);
    assert_reason(&world, "APPROVER_REFUSED");
    memcpy(executor.identity, both.identity, sizeof executor.identity);
    assert_status(purge_try_execute(&world, &purge, &executor, &operation),
                  HF_E_DENIED);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
}

/* --- N20, N28 ----------------------------------------------------------- */

/* an envelope of before, under the service-managed root: refused until
 * the approvers accept the list by name; then it opens for nobody, and the
 * certificate names what is residual. */
static void n28_earlier_wraps(void **state)
{
    struct outcome early;
    struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                    .id = "early@contoso.example",
                                    .dep = WORLD_DEP};
    struct mailbox_view view;
    struct purge_order order = {.tenant = WORLD_TENANT};
    (void)state;
    purge_world_mailbox(&world, "early@contoso.example", "", &early);
    assert_true(early.service_managed);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    assert_string_equal(unwrap("early@contoso.example", NULL, INITIATOR_USER),
                        "NONE"); /* moves */
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    assert_int_equal(purge.record.earlier_count, 1);
    assert_int_equal(purge.record.earlier[0].resources, 1);
    purge_approve(&world, &purge, false);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    assert_reason(&world, "EARLIER_WRAPS");
    /* the kept envelope opens by the service-managed root until the end */
    assert_string_equal(unwrap("early@contoso.example", &early, INITIATOR_USER),
                        "NONE");
    /* a new document, accepted: what was approved is void, and still no way
     * back (T9) */
    id_format(&purge.record.id, order.id);
    assert_ok(purges_renew(world.service, &world.admin, &order, &now,
                           &world.problem));
    assert_int_equal(now.record.phase, PURGE_REQUESTED);
    assert_int_equal(now.record.approvals, 0);
    assert_status(purges_cancel(world.service, &world.admin, &order, &now,
                                &world.problem),
                  HF_E_PRECONDITION);
    purge_approve(&world, &purge, true);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
}

static void n28_accepted_by_name(void **state)
{
    static struct certificate_record certificate;
    struct outcome early;
    struct mailbox_assign assign = {.tenant = WORLD_TENANT,
                                    .id = "early@contoso.example",
                                    .dep = WORLD_DEP};
    struct mailbox_view view;
    char id[HF_ID_TEXT];
    (void)state;
    purge_world_mailbox(&world, "early@contoso.example", "", &early);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    assert_string_equal(unwrap("early@contoso.example", NULL, INITIATOR_USER),
                        "NONE");
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, true, &purge);
    assert_int_equal(purge.record.resources, 2);
    assert_gone("early@contoso.example", NULL);
    assert_gone("early@contoso.example", &early);
    id_format(&purge.record.id, id);
    assert_ok(purges_certificate(world.service, &world.admin, WORLD_TENANT, id,
                                 &certificate, &world.problem));
    certificate.text[certificate.text_len] = '\0';
    assert_non_null(strstr((const char *)certificate.text,
                           "residual_wrap=service-managed "));
    /* and after a restart */
    assert_ok(world_restart(&world));
    assert_gone("early@contoso.example", &early);
    /* a new one of its name would be its heir: no */
    struct mailbox_register again = {.tenant = WORLD_TENANT,
                                     .id = "early@contoso.example",
                                     .kind = MAILBOX_USER};
    assert_status(mailboxes_register(world.service, &world.admin, &again, &view,
                                     &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
    assign.dep[0] = '\0';
    assert_status(mailboxes_assign(world.service, &world.admin, &assign, &view,
                                   &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
}

/* --- N24, N25 ----------------------------------------------------------- */

static struct record_key tombstone_key(void)
{
    return key_of_resource(&purge.record.tenant, RESOURCE_MAILBOX,
                           WORLD_MAILBOX);
}

/* A tombstone's row is taken out: nothing opens while the service runs, and it
 * does not start again. */
static void n24_a_tombstone_is_deleted(void **state)
{
    struct record_key key = tombstone_key();
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    key = tombstone_key();
    assert_true(store_memory_erase(world.memory, RECORD_TOMBSTONE,
                                   record_key_view(&key)));
    assert_gone(WORLD_MAILBOX, NULL);
    assert_status(world_restart(&world), HF_E_CORRUPT);
    assert_non_null(strstr(world.problem.text, "sealed 1 tombstones"));
}

/* The availability key is made again under its old id: it opens nothing, and
 * is destroyed at the next start, and reported (N23). */
static void n25_made_again(void **state)
{
    struct token_key_report report;
    struct token_request again = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_KEY,
                       .report = &report},
    };
    struct dep_view dep;
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    again.u.generate.id_len = dep.record.ak_cka_id_len;
    memcpy(again.u.generate.id, dep.record.ak_cka_id, dep.record.ak_cka_id_len);
    snprintf(again.u.generate.label, sizeof again.u.generate.label,
             "something else");
    assert_ok(token_call(&world.ak_token, &again));
    assert_gone(WORLD_MAILBOX, NULL);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 1);
    /* within a day */
    world_move_clock(&world, 25LL * 3600 * 1000);
    for (int i = 0;
         i < 3000 && world_audit_count(&world, "DestroyedKeyCameBack") == 0;
         i++) {
        usleep(10000);
    }
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
    assert_int_equal(world_audit_count(&world, "DestroyedKeyCameBack"), 1);
}

/* An object that bears the DEP's label over another DEP's CKA_ID is no reason
 * to destroy the other's: the purge waits for a person. */
static void a_label_takes_nobody_elses_key(void **state)
{
    struct token_key_report report;
    struct token_request trap = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_KEY,
                       .report = &report},
    };
    char id[HF_ID_TEXT];
    (void)state;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    id_format(&purge.record.dep, id);
    snprintf(trap.u.generate.label, sizeof trap.u.generate.label, "hf-ak:%s:7",
             id);
    memset(trap.u.generate.id, 0x5a, 20);
    trap.u.generate.id_len = 20;
    assert_ok(token_call(&world.ak_token, &trap));
    size_t before = token_fake_keys(world.ak_fake);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    usleep(700000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_DESTROYING);
    assert_true(token_fake_keys(world.ak_fake) >= before - 1);
    assert_ok(token_fake_delete_key(world.ak_fake, trap.u.generate.id, 20));
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
}

/* what the destroying process believes is not enough. */
static void a_fresh_process_has_the_last_word(void **state)
{
    (void)state;
    purge_world_revoke(&world);
    world.verifier_fails = HF_E_UNREACHABLE;
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_VERIFYING));
    usleep(500000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_VERIFYING);
    world.verifier_finds = 1; /* it sees one all the same */
    world.verifier_fails = HF_OK;
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    world.verifier_finds = 0;
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_true(world.verifications >= 3);
}

/* --- N26, N27 ----------------------------------------------------------- */

static void run_through(void)
{
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
}

/* Restarted in every phase: it resumes there, never earlier. */
static void n26_restarted_in_every_phase(void **state)
{
    (void)state;
    run_through();
    for (int phase = PURGE_HOLDING; phase < PURGE_PURGED; phase++) {
        for (int i = 0; i < 2000; i++) {
            purge_get(&world, &purge, &now);
            if ((int)now.record.phase >= phase) {
                break;
            }
            world_move_clock(&world, 50);
            usleep(2000);
        }
        int before = (int)now.record.phase;
        assert_true(before >= phase);
        assert_ok(world_restart(&world));
        purge_get(&world, &purge, &now);
        assert_true((int)now.record.phase >= before);
    }
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_gone(WORLD_MAILBOX, NULL);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
}

/* Each call at the store that fails, and each at the token that fails or whose
 * answer is lost, only delays. */
static void n26_failures_only_delay(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_LIST, TOKEN_OP_DESTROY,
                                        TOKEN_OP_UNWRAP};
    (void)state;
    run_through();
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        token_fake_fail_nth(world.ak_fake, ops[i], 1, HF_E_UNREACHABLE);
    }
    token_fake_fail_nth(world.service_fake, TOKEN_OP_SIGN, 1, HF_E_UNREACHABLE);
    token_fake_fail_nth(world.service_fake, TOKEN_OP_DATA_CREATE, 1,
                        HF_E_UNREACHABLE);
    store_memory_fail_at(world.memory, STORE_MEMORY_COMMIT, 2, HF_E_IO);
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    token_fake_lose_nth(world.ak_fake, TOKEN_OP_DESTROY, 1, HF_E_TIMEOUT);
    store_memory_fail_at(world.memory, STORE_MEMORY_PUT, 3, HF_E_IO);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_gone(WORLD_MAILBOX, NULL);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
    assert_ok(world_restart(&world));
    assert_gone(WORLD_MAILBOX, NULL);
}

/* A roll of the availability key that a purge overtakes: both versions go. */
static void n27_a_roll_is_overtaken(void **state)
{
    const struct ak_roll roll = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    struct operation_view rolling;
    (void)state;
    token_fake_fail_all(world.ak_fake, TOKEN_OP_MINT, HF_E_UNREACHABLE);
    assert_ok(deps_roll_ak(world.service, &world.operator_, &roll, &rolling,
                           &world.problem));
    for (int i = 0;
         i < 400 && purge_ak_objects(&world, &(struct hf_id){{0}}) == 0 &&
         token_fake_calls(world.ak_fake, TOKEN_OP_MINT) < 4;
         i++) {
        world_move_clock(&world, 50);
        usleep(5000);
    }
    run_through();
    token_fake_clear(world.ak_fake);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
    assert_gone(WORLD_MAILBOX, NULL);
    usleep(500000);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(n60_approvals, start, stop),
        cmocka_unit_test_setup_teardown(n60_three_people, start, stop),
        cmocka_unit_test_setup_teardown(n28_earlier_wraps, start, stop),
        cmocka_unit_test_setup_teardown(n28_accepted_by_name, start, stop),
        cmocka_unit_test_setup_teardown(n24_a_tombstone_is_deleted, start,
                                        stop),
        cmocka_unit_test_setup_teardown(n25_made_again, start, stop),
        cmocka_unit_test_setup_teardown(a_label_takes_nobody_elses_key, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_fresh_process_has_the_last_word,
                                        start, stop),
        cmocka_unit_test_setup_teardown(n26_restarted_in_every_phase, start,
                                        stop),
        cmocka_unit_test_setup_teardown(n26_failures_only_delay, start, stop),
        cmocka_unit_test_setup_teardown(n27_a_roll_is_overtaken, start, stop),
    };
    return cmocka_run_group_tests_name("purge_hostile", tests, NULL, NULL);
}
