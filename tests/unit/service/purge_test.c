/* Does a purge end a DEP for ever, in order, only when it may, and nothing
 * else (3.2 T8 to T11, M8, 9.3, R-15.15, R-15.16)? */
#include "hsm/base/check.h"

#include "hsm/sys/signature.h"

#include "server/service/purge_verify.h"

#include "tests/unit/service/purge_world.h"

#include <pthread.h>
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

/* T8, T10, T11, M8: the whole way; at its end USER and SYSTEM
 * are told KEY_DESTROYED, and no object is left. */
static void all_the_way(void **state)
{
    struct outcome made;
    struct dep_view dep;
    (void)state;
    purge_world_mailbox(&world, "bob@contoso.example", WORLD_DEP, &made);
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(purge.record.resources, 2);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 0);
    for (int i = INITIATOR_USER; i <= INITIATOR_SYSTEM; i++) {
        expect_unwrap(WORLD_MAILBOX, NULL, 0, (enum initiator)i,
                      "KEY_DESTROYED");
        expect_unwrap("bob@contoso.example", made.envelope, made.envelope_len,
                      (enum initiator)i, "KEY_DESTROYED");
    }
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.record.state, DEP_PURGED);
    assert_int_equal(dep.record.ak_state, AK_DESTROYED);
    assert_int_equal(dep.health, HEALTH_DESTROYED);
    /* every move is one record, and each verb one (R-10.7, I4) */
    assert_int_equal(world_audit_count(&world, "RequestPurge"), 1);
    assert_int_equal(world_audit_count(&world, "ApprovePurge"), 1);
    assert_int_equal(world_audit_count(&world, "ExecutePurge"), 1);
    assert_int_equal(world_audit_count(&world, "PurgeStep"), 6);
    /* and after a restart it is as it was */
    assert_ok(world_restart(&world));
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_PURGED);
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_SYSTEM, "KEY_DESTROYED");
}

/* what the customer keys wrapped is gone from the live records: giving
 * the grants back opens nothing. */
static size_t copies_left(void)
{
    struct record_key key = key_of_numbered(&purge.record.dep, 1);
    struct store_txn *txn = NULL;
    static struct record record;
    static struct generation_record generation;
    size_t left = 0;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(
        store_get(txn, RECORD_GENERATION, record_key_view(&key), &record));
    store_rollbackp(&txn);
    assert_ok(generation_decode(&record, &generation));
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        left += generation.copies[slot].wrapped_len > 0;
    }
    return left;
}

static void grants_given_back_open_nothing(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(copies_left(), 0);
    world_grant(&world, "ck1", &world.system, all);
    world_grant(&world, "ck2", &world.system, all);
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_USER, "KEY_DESTROYED");
    assert_ok(world_restart(&world));
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_USER, "KEY_DESTROYED");
}

/* crypto.md: the certificate is the service's word, and says what is
 * residual. */
static void the_certificate_is_signed(void **state)
{
    static struct certificate_record certificate;
    char id[HF_ID_TEXT];
    (void)state;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    id_format(&purge.record.id, id);
    assert_status(purges_certificate(world.service, &world.admin, WORLD_TENANT,
                                     id, &certificate, &world.problem),
                  HF_E_NOT_FOUND);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ok(purges_certificate(world.service, &world.admin, WORLD_TENANT, id,
                                 &certificate, &world.problem));
    const struct bytes key = {certificate.public_key,
                              certificate.public_key_len};
    const struct bytes text = {certificate.text, certificate.text_len};
    const struct bytes signature = {certificate.signature,
                                    certificate.signature_len};
    assert_ok(signature_verify(key, text, signature));
    certificate.text[certificate.text_len / 2] ^= 1;
    assert_status(signature_verify(key, text, signature), HF_E_DENIED);
    certificate.text[certificate.text_len / 2] ^= 1;
    certificate.text[certificate.text_len] = '\0';
    const char *has[] = {"residual_wrap=none\n",
                         "token_serial=00000000000000b0",
                         "resources_tombstoned=1\n", "approver=spiffe://",
                         "verified=no object found"};
    for (size_t i = 0; i < HF_COUNT(has); i++) {
        assert_non_null(strstr((const char *)certificate.text, has[i]));
    }
}

/* T8, R-9.11, R-15.16: a key that works, or one that cannot be asked. */
static void evidence_is_fresh(void **state)
{
    struct dep_view dep;
    (void)state;
    assert_status(purge_try_request(&world, WORLD_DEP, false, &purge),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEYS_STILL_USABLE");
    assert_status(purge_try_request(&world, WORLD_DEP, true, &purge),
                  HF_E_PRECONDITION); /* force overrules no key that works */
    assert_reason(&world, "KEYS_STILL_USABLE");
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck1", &world.system);
    assert_status(purge_try_request(&world, WORLD_DEP, false, &purge),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEYS_STILL_USABLE");
    /* its token does not answer: no evidence */
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    assert_status(purge_try_request(&world, WORLD_DEP, false, &purge),
                  HF_E_UNREACHABLE);
    assert_reason(&world, "KEY_UNAVAILABLE");
    /* it refuses, by its own account */
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_DENIED);
    assert_ok(purge_try_request(&world, WORLD_DEP, false, &purge));
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.record.state, DEP_PURGE_REQUESTED);
}

/* force, for a vault that is gone, needs two approvers. */
static void force_needs_a_quorum(void **state)
{
    const struct signing first = {.approver = 0, .caller = 0};
    const struct signing second = {.approver = 1, .caller = 1};
    (void)state;
    purge_world_officers(&world, 1);
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    assert_status(purge_try_request(&world, WORLD_DEP, true, &purge),
                  HF_E_PRECONDITION);
    assert_reason(&world, "APPROVERS_MISSING");
    purge_world_officers(&world, 2);
    assert_ok(purge_try_request(&world, WORLD_DEP, true, &purge));
    assert_ok(purge_try_approve(&world, &purge, &first));
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_REQUESTED);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    assert_ok(purge_try_approve(&world, &purge, &second));
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_APPROVED);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
}

/* force says that a vault is gone. One that answers, if only
 * that a copy is bad, is not; and what we could not ask says nothing. */
static void force_is_for_a_vault_that_is_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_BAD_BLOB);
    }
    assert_status(purge_try_request(&world, WORLD_DEP, true, &purge),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEYS_STILL_USABLE");
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                            HF_E_OVERLOAD);
    }
    assert_status(purge_try_request(&world, WORLD_DEP, true, &purge),
                  HF_E_UNREACHABLE);
    assert_reason(&world, "KEY_UNAVAILABLE");
}

#define DAY_MS (24LL * 3600 * 1000)

static void renew(const struct purge_view *of)
{
    struct purge_order order = {.tenant = WORLD_TENANT};
    id_format(&of->record.id, order.id);
    assert_ok(purges_renew(world.service, &world.admin, &order, &now,
                           &world.problem));
}

/* N60: what was approved counts until the document's end, and
 * the hold lies behind the execution: there is always time to pause it. */
static void an_approval_has_an_end(void **state)
{
    (void)state;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    world_move_clock(&world, 14 * DAY_MS);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_DENIED);
    assert_reason(&world, "APPROVAL_INVALID");
    renew(&purge);
    purge_approve(&world, &purge, false);
    world_move_clock(&world, 13 * DAY_MS);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.hold_until_ms,
                     now.record.executed_ms + WORLD_HOLD_MS);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 1);
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
}

/* a key that works again by the time it is executed is a change
 * of mind; one that is silent by then is none. */
static void keys_that_work_again(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    (void)state;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    world_grant(&world, "ck2", &world.system, all);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    assert_reason(&world, "KEYS_STILL_USABLE");
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_OVERLOAD);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_UNREACHABLE);
    assert_reason(&world, "KEY_UNAVAILABLE");
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
}

/* --- what changes while the keys are asked -------------------------------- */

static void *request_beside(void *out_status)
{
    *(enum hf_status *)out_status =
        purge_try_request(&world, WORLD_DEP, false, &purge);
    return NULL;
}

static void *execute_beside(void *out_status)
{
    *(enum hf_status *)out_status =
        purge_try_execute(&world, &purge, &world.operator_, &operation);
    return NULL;
}

/* The first key is granted again while the second is asked. */
static enum hf_status raced(void *(*beside)(void *))
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    enum hf_status status = HF_OK;
    struct world other = world; /* with a problem of its own */
    pthread_t thread;
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_DENIED);
    token_fake_hold(world.customer_fake[1], TOKEN_OP_UNWRAP);
    assert_int_equal(pthread_create(&thread, NULL, beside, &status), 0);
    assert_true(token_fake_wait_held(world.customer_fake[1], TOKEN_OP_UNWRAP, 1,
                                     20000));
    world_grant(&other, "ck1", &world.system, all);
    token_fake_release(world.customer_fake[1], TOKEN_OP_UNWRAP);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return status;
}

static void revoke_first(void)
{
    world_revoke(&world, "ck1", &world.workload);
    world_revoke(&world, "ck1", &world.system);
}

/* T8: the evidence is of the state that is recorded: no DEP is asked to end
 * whose keys work. */
static void a_grant_beside_the_request(void **state)
{
    (void)state;
    revoke_first();
    assert_status(raced(request_beside), HF_E_CONFLICT);
    assert_reason(&world, "CONFLICT");
    struct dep_view dep;
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.record.state, DEP_ENABLED);
}

static void a_grant_beside_the_execution(void **state)
{
    (void)state;
    revoke_first();
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_DENIED);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    assert_status(raced(execute_beside), HF_E_CONFLICT);
    assert_reason(&world, "CONFLICT");
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_APPROVED);
}

/* from the request on USER never gets the AK, SYSTEM does,
 * until the hold is over. */
static void system_goes_on_until_the_end(void **state)
{
    (void)state;
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP, HF_E_DENIED);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP, HF_E_DENIED);
    purge_request(&world, WORLD_DEP, &purge);
    /* an outage now would have opened it to USER before */
    token_fake_fail_all(world.customer_fake[0], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    token_fake_fail_all(world.customer_fake[1], TOKEN_OP_UNWRAP,
                        HF_E_UNREACHABLE);
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_SYSTEM, "NONE");
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_USER, "KEY_UNAVAILABLE");
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    usleep(700000); /* more than one round of the scheduler */
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_SYSTEM, "NONE");
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    assert_int_equal(purge_ak_objects(&world, &purge.record.dep), 1);
    /* a minute before the hold is over, still */
    world_move_clock(&world, WORLD_HOLD_MS - 120000);
    usleep(700000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    world_move_clock(&world, 120000);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    expect_unwrap(WORLD_MAILBOX, NULL, 0, INITIATOR_SYSTEM, "KEY_DESTROYED");
}

/* A certificate calls a token verified by this alone. */
static void evidence_names_whole_serials(void **state)
{
    static const char text[] = "no such object, no copy opens; serial/process: "
                               "00001234/123, 45 67/89";
    (void)state;
    assert_true(purge_evidence_names(text, "00001234"));
    assert_true(purge_evidence_names(text, "45 67"));
    assert_false(purge_evidence_names(text, "123"));
    assert_false(purge_evidence_names(text, "1234"));
    assert_false(purge_evidence_names(text, "0000123"));
    assert_false(purge_evidence_names(text, "67"));
    assert_false(purge_evidence_names(text, "89"));
    assert_false(purge_evidence_names(text, "serial"));
    assert_false(purge_evidence_names(text, ""));
    assert_false(purge_evidence_names("", "123"));
    assert_false(purge_evidence_names("123/4", "123"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_names_whole_serials),
        cmocka_unit_test_setup_teardown(all_the_way, start, stop),
        cmocka_unit_test_setup_teardown(grants_given_back_open_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_certificate_is_signed, start, stop),
        cmocka_unit_test_setup_teardown(evidence_is_fresh, start, stop),
        cmocka_unit_test_setup_teardown(force_needs_a_quorum, start, stop),
        cmocka_unit_test_setup_teardown(force_is_for_a_vault_that_is_gone,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_approval_has_an_end, start, stop),
        cmocka_unit_test_setup_teardown(keys_that_work_again, start, stop),
        cmocka_unit_test_setup_teardown(a_grant_beside_the_request, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_grant_beside_the_execution, start,
                                        stop),
        cmocka_unit_test_setup_teardown(system_goes_on_until_the_end, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
