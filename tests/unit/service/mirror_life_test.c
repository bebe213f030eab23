/* Does nothing end before every token of availability keys was reached, does a
 * mirror join with all that is there, and is a dead one waited for no longer
 * once three people say so? */
#include "hsm/base/check.h"

#include "server/service/ak_audit.h"
#include "server/service/availability_roll.h"
#include "server/service/dep_refresh.h"
#include "server/service/managed_roll.h"
#include "server/service/scrub.h"

#include "tests/unit/service/mirror_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    10000

static struct world world;
static struct outcome made;
static struct dep_view dep;

/* m1 is enrolled before anything is made. */
static int start(void **state)
{
    (void)state;
    mirror_world_start(&world);
    mirror_enroll(&world, "m1");
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    purge_world_officers(&world, 2);
    return 0;
}

/* All of that is made before there is any mirror. */
static int start_alone(void **state)
{
    (void)state;
    mirror_world_start(&world);
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    purge_world_officers(&world, 2);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* By an availability key alone: SYSTEM and USER, in an outage of both. */
static void opens_without_customers(void)
{
    struct outcome out;
    mirror_customers_away(&world, true);
    for (int who = INITIATOR_USER; who <= INITIATOR_SYSTEM; who++) {
        world_unwrap(&world, &world.system, (enum initiator)who, &out);
        assert_ok(out.status);
        assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
    }
    mirror_customers_away(&world, false);
}

static void each_serves_alone(void)
{
    mirror_away(world.mirror_fake[M1], true);
    opens_without_customers();
    mirror_away(world.mirror_fake[M1], false);
    mirror_away(world.ak_fake, true);
    opens_without_customers();
    assert_ok(world_restart(&world)); /* nothing is remembered of it */
    opens_without_customers();
    mirror_away(world.ak_fake, false);
}

static size_t objects_of_all(const struct token *token)
{
    static struct token_key_report reports[64];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 64, .label_prefix = "hf-ak:"},
    };
    assert_ok(token_call(token, &list));
    return list.u.list.count;
}

/* It was asked again and again, in vain. */
static void is_asked_in_vain(struct token_fake *fake, enum token_op op)
{
    uint64_t before = token_fake_calls(fake, op);
    for (int i = 0; i < TRIES && token_fake_calls(fake, op) < before + 3; i++) {
        world_move_clock(&world, 1000);
        usleep(PAUSE_US);
    }
    assert_true(token_fake_calls(fake, op) >= before + 3);
}

static void wait_for(const struct operation_view *order)
{
    struct operation_view now = {.tenant = ""};
    char id[HF_ID_TEXT];
    id_format(&order->record.id, id);
    for (int i = 0; i < TRIES; i++) {
        world_move_clock(&world, 500);
        assert_ok(operations_get(world.service, &world.operator_, WORLD_TENANT,
                                 id, &now, &world.problem));
        if (now.record.state != OPERATION_RUNNING) {
            break;
        }
        usleep(PAUSE_US);
    }
    if (now.record.state != OPERATION_SUCCEEDED) {
        fail_msg("%s: %s", operation_state_text(now.record.state),
                 now.record.error);
    }
}

static void roll(struct operation_view *out)
{
    struct ak_roll request = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    assert_ok(deps_roll_ak(world.service, &world.operator_, &request, out,
                           &world.problem));
}

/* --- purges --------------------------------------------------------------- */

static struct purge_view purge;
static struct purge_view now;

static void begin_purge(void)
{
    struct operation_view operation;
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    purge_approve(&world, &purge, false);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
}

static void certificate(char *out, size_t cap)
{
    static struct certificate_record record;
    char id[HF_ID_TEXT];
    id_format(&purge.record.id, id);
    assert_ok(purges_certificate(world.service, &world.admin, WORLD_TENANT, id,
                                 &record, &world.problem));
    assert_true(record.text_len < cap);
    memcpy(out, record.text, record.text_len);
    out[record.text_len] = '\0';
}

static void stays_in(enum purge_phase phase)
{
    is_asked_in_vain(world.mirror_fake[M1], TOKEN_OP_LIST);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, phase);
}

/* a mirror that is away still holds a key: nothing is destroyed for the
 * record until it, too, was reached. */
static void a_purge_waits_for_every_token(void **state)
{
    static char text[CERTIFICATE_MAX_BYTES + 1];
    (void)state;
    mirror_away(world.mirror_fake[M1], true);
    begin_purge();
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    stays_in(PURGE_DESTROYING);
    assert_int_equal(mirror_objects(&world.ak_token, &made.dep), 0);
    assert_int_equal(world.verifications, 0);
    mirror_away(world.mirror_fake[M1], false);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 0);
    assert_int_equal(world.verifications, 2); /* a process for each */
    certificate(text, sizeof text);
    assert_non_null(strstr(text, "00000000000000b0"));
    assert_non_null(strstr(text, "00000000000000d0"));
    const char *first = strstr(text, "token_state=verified");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "token_state=verified"));
    assert_null(strstr(text, "retired"));
    assert_int_equal(mirror_copies(&world, &made.dep, 1), 0);
}

/* N26 with mirrors: cut at every call of either token; it ends, and nothing of
 * the DEP is left anywhere. */
static void a_purge_that_is_cut_goes_on(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_LIST, TOKEN_OP_DESTROY};
    struct token_fake *fakes[] = {world.ak_fake, world.mirror_fake[M1]};
    (void)state;
    begin_purge();
    for (size_t at = 0; at < HF_COUNT(ops) * HF_COUNT(fakes); at++) {
        token_fake_lose_nth(fakes[at % 2], ops[at / 2], 1, HF_E_TIMEOUT);
    }
    for (int i = 0; i < 8; i++) {
        assert_ok(world_restart(&world));
        world_move_clock(&world, 6000);
        usleep(20 * PAUSE_US);
    }
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_int_equal(mirror_objects(&world.ak_token, &made.dep), 0);
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 0);
}

/* with every DEP of the tenant, and its own root, in both. */
static void a_deleted_tenant_waits_for_every_token(void **state)
{
    static char text[CERTIFICATE_MAX_BYTES + 1];
    const struct purge_request request = {
        .tenant = WORLD_TENANT,
        .reason = "we leave",
        .contact = "ciso@contoso.example",
        .confirm = true,
    };
    struct operation_view operation;
    (void)state;
    assert_ok(purges_delete_tenant(world.service, &world.admin, &request,
                                   &purge, &world.problem));
    for (size_t who = 0; who < 2; who++) {
        const struct signing how = {.approver = who, .caller = who};
        purge_get(&world, &purge, &now);
        assert_ok(purge_try_approve(&world, &now, &how));
    }
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    mirror_away(world.mirror_fake[M1], true);
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    stays_in(PURGE_DESTROYING);
    mirror_away(world.mirror_fake[M1], false);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_int_equal(objects_of_all(&world.ak_token), 0);
    assert_int_equal(objects_of_all(&world.mirror[M1]), 0);
    assert_int_equal(world.verifications, 4); /* two DEPs in two tokens */
    certificate(text, sizeof text);
    const char *first = strstr(text, "token_state=verified");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "token_state=verified"));
}

/* --- enrolment ------------------------------------------------------------ */

static void an_enrolment_carries_what_is_there(void **state)
{
    struct ak_token_view view;
    char name[32];
    (void)state;
    for (unsigned i = 2; i <= 12; i++) {
        snprintf(name, sizeof name, "dep%u", i);
        assert_ok(mirror_try_dep(&world, name, &dep));
    }
    mirror_view(&world, "ak", &view);
    assert_false(view.mirrored);
    mirror_away(world.mirror_fake[M1], true);
    assert_true(mirror_try_enroll(&world, "m1", &view) != HF_OK);
    mirror_away(world.mirror_fake[M1], false);
    token_fake_hold(world.mirror_fake[M1], TOKEN_OP_MINT);
    assert_ok(mirror_try_enroll(&world, "m1", &view));
    assert_int_equal(view.state, AK_TOKEN_ENROLLING);
    assert_int_equal(view.copies_wanted, 13); /* the tenant's own too */
    assert_int_equal(view.copies, 0);
    token_fake_release(world.mirror_fake[M1], TOKEN_OP_MINT);
    assert_true(mirror_wait_active(&world, "m1"));
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.copies, 13);
    assert_int_equal(world_audit_count(&world, "AvailabilityKeyCopyCarried"),
                     13);
    each_serves_alone();
    /* once only */
    assert_true(mirror_try_enroll(&world, "m1", &view) != HF_OK);
    assert_reason(&world, "STATE_CONFLICT");
    assert_true(mirror_try_enroll(&world, "ak", &view) != HF_OK);
    assert_reason(&world, "STATE_CONFLICT");
    assert_true(mirror_try_enroll(&world, "nobody", &view) != HF_OK);
    assert_reason(&world, "NOT_FOUND");
}

/* Cut at every call of either token, and started anew: it goes on where it
 * was, and what it made twice is there once. */
static void an_enrolment_that_is_cut_goes_on(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_GENERATE, TOKEN_OP_MINT,
                                        TOKEN_OP_UNWRAP, TOKEN_OP_OPEN};
    struct token_fake *fakes[] = {world.ak_fake, world.mirror_fake[M1]};
    struct ak_token_view view;
    (void)state;
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
    for (size_t n = 1; n <= 3; n++) {
        for (size_t at = 0; at < HF_COUNT(ops) * HF_COUNT(fakes); at++) {
            token_fake_lose_nth(fakes[at % 2], ops[at / 2], n, HF_E_TIMEOUT);
        }
        if (n == 1) {
            assert_ok(mirror_try_enroll(&world, "m1", &view));
        }
        world_move_clock(&world, 3000);
        usleep(20 * PAUSE_US);
        assert_ok(world_restart(&world));
    }
    token_fake_clear(world.ak_fake);
    token_fake_clear(world.mirror_fake[M1]);
    assert_true(mirror_wait_active(&world, "m1"));
    assert_int_equal(objects_of_all(&world.mirror[M1]), 3);
    assert_int_equal(mirror_copies(&world, &made.dep, 1), 2);
    each_serves_alone();
}

/* ACTIVE says that it may serve alone: not before it holds every key. */
static void an_enrolment_is_not_over_too_early(void **state)
{
    struct ak_token_view view;
    (void)state;
    token_fake_fail_all(world.mirror_fake[M1], TOKEN_OP_MINT, HF_E_UNREACHABLE);
    assert_ok(mirror_try_enroll(&world, "m1", &view));
    is_asked_in_vain(world.mirror_fake[M1], TOKEN_OP_MINT);
    assert_ok(world_restart(&world));
    is_asked_in_vain(world.mirror_fake[M1], TOKEN_OP_MINT);
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.state, AK_TOKEN_ENROLLING);
    assert_int_equal(view.copies, 0);
    assert_int_equal(view.met, HF_E_UNREACHABLE);
    token_fake_clear(world.mirror_fake[M1]);
    assert_true(mirror_wait_active(&world, "m1"));
    each_serves_alone();
}

/* What is made while it goes on is written to both already. */
static void what_is_made_meanwhile_is_in_both(void **state)
{
    struct ak_token_view view;
    (void)state;
    /* carrying fails, making does not come to that */
    token_fake_fail_nth(world.ak_fake, TOKEN_OP_MINT, 1, HF_E_UNREACHABLE);
    token_fake_fail_nth(world.ak_fake, TOKEN_OP_MINT, 2, HF_E_UNREACHABLE);
    assert_ok(mirror_try_enroll(&world, "m1", &view));
    for (int i = 0; i < TRIES && mirror_try_dep(&world, "dep2", &dep) != HF_OK;
         i++) {
        usleep(PAUSE_US);
    }
    assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 2);
    assert_true(mirror_wait_active(&world, "m1"));
}

/* A new generation of a DEP that the enrolment has not come to: the mirror has
 * no availability key of it before. */
static void a_refresh_overtakes_an_enrolment(void **state)
{
    const struct dep_refresh refresh = {.tenant = WORLD_TENANT,
                                        .dep = WORLD_DEP};
    struct operation_view ordered;
    struct ak_token_view view;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    uint64_t before =
        token_fake_calls(world.mirror_fake[M1], TOKEN_OP_GENERATE);
    /* of both DEPs; it tries again when the clock was moved */
    token_fake_fail_nth(world.mirror_fake[M1], TOKEN_OP_GENERATE, 1,
                        HF_E_UNREACHABLE);
    token_fake_fail_nth(world.mirror_fake[M1], TOKEN_OP_GENERATE, 2,
                        HF_E_UNREACHABLE);
    assert_ok(mirror_try_enroll(&world, "m1", &view));
    for (int i = 0;
         i < TRIES && token_fake_calls(world.mirror_fake[M1],
                                       TOKEN_OP_GENERATE) < before + 2;
         i++) {
        usleep(PAUSE_US);
    }
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 0);
    assert_ok(deps_refresh(world.service, &world.admin, &refresh, &ordered,
                           &world.problem));
    assert_int_equal(mirror_copies(&world, &made.dep, 2), 2);
    assert_true(mirror_wait_active(&world, "m1"));
    each_serves_alone();
}

/* --- retirement ----------------------------------------------------------- */

static void a_retirement_takes_three(void **state)
{
    static char text[CERTIFICATE_MAX_BYTES + 1];
    struct ak_token_view view;
    (void)state;
    mirror_away(world.mirror_fake[M1], true);
    begin_purge();
    assert_true(purge_wait(&world, &purge, PURGE_DESTROYING));
    assert_ok(mirror_try_retire(&world, "m1", 1, "shredded by ACME, 4711"));
    assert_true(mirror_try_retire(&world, "m1", 1, "shredded by ACME, 4711") !=
                HF_OK);
    assert_reason(&world, "SECOND_PERSON_REQUIRED");
    assert_ok(mirror_try_retire(&world, "m1", 2, "shredded by ACME, 4711"));
    assert_true(mirror_try_retire(&world, "m1", 2, "shredded by ACME, 4711") !=
                HF_OK);
    stays_in(PURGE_DESTROYING);
    assert_ok(mirror_try_retire(&world, "m1", 3, "shredded by ACME, 4711"));
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.state, AK_TOKEN_RETIRED);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    certificate(text, sizeof text);
    assert_non_null(strstr(text, "00000000000000d0"));
    assert_non_null(strstr(text, "token_state=retired"));
    assert_non_null(strstr(text, "token_disposal=shredded by ACME, 4711"));
    assert_non_null(strstr(text, "token_state=verified"));
    /* the last one that holds everything cannot go; and it never comes back */
    assert_true(mirror_try_retire(&world, "ak", 1, "lost") != HF_OK);
    assert_reason(&world, "STATE_CONFLICT");
    mirror_away(world.mirror_fake[M1], false);
    assert_true(mirror_try_enroll(&world, "m1", &view) != HF_OK);
    assert_reason(&world, "STATE_CONFLICT");
}

/* Other words are another request. */
static void a_retirement_is_of_one_text(void **state)
{
    struct ak_token_view view;
    (void)state;
    assert_ok(mirror_try_retire(&world, "m1", 1, "lost in transit"));
    assert_ok(mirror_try_retire(&world, "m1", 2, "lost in transit"));
    assert_ok(mirror_try_retire(&world, "m1", 3, "sold"));
    assert_ok(mirror_try_retire(&world, "m1", 1, "sold"));
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.state, AK_TOKEN_ACTIVE);
    assert_int_equal(view.approvals, 1);
    assert_true(mirror_try_retire(&world, "m1", 4, "") != HF_OK);
    assert_reason(&world, "FIELD_INVALID");
}

/* The one that everything was born in is gone for good: the mirror goes on
 * alone, and a third takes its place. */
static void a_mirror_takes_over(void **state)
{
    struct operation_view ordered;
    (void)state;
    mirror_away(world.ak_fake, true);
    for (unsigned who = 1; who <= 3; who++) {
        assert_ok(mirror_try_retire(&world, "ak", who, "burnt"));
    }
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
    assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 1);
    opens_without_customers();
    struct ak_token_view view;
    assert_true(mirror_try_enroll(&world, "m2", &view) != HF_OK);
    assert_reason(&world, "STATE_CONFLICT"); /* no way to carry to it */
    mirror_transport(&world.mirror[M2]);
    mirror_enroll(&world, "m2");
    assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 2);
    assert_int_equal(mirror_copies(&world, &made.dep, 1), 2);
    roll(&ordered);
    wait_for(&ordered);
    mirror_away(world.mirror_fake[M1], true);
    opens_without_customers();
    assert_ok(world_restart(&world));
    opens_without_customers();
    mirror_away(world.mirror_fake[M1], false);
    mirror_away(world.mirror_fake[M2], true);
    opens_without_customers();
    mirror_away(world.mirror_fake[M2], false);
    begin_purge();
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_purge_waits_for_every_token, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_purge_that_is_cut_goes_on, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_deleted_tenant_waits_for_every_token,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_enrolment_carries_what_is_there,
                                        start_alone, stop),
        cmocka_unit_test_setup_teardown(an_enrolment_that_is_cut_goes_on,
                                        start_alone, stop),
        cmocka_unit_test_setup_teardown(an_enrolment_is_not_over_too_early,
                                        start_alone, stop),
        cmocka_unit_test_setup_teardown(what_is_made_meanwhile_is_in_both,
                                        start_alone, stop),
        cmocka_unit_test_setup_teardown(a_refresh_overtakes_an_enrolment,
                                        start_alone, stop),
        cmocka_unit_test_setup_teardown(a_retirement_takes_three, start, stop),
        cmocka_unit_test_setup_teardown(a_retirement_is_of_one_text, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_mirror_takes_over, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
