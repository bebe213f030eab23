/* Does a resource get another key without losing what the earlier ones opened,
 * and do those open nothing once they are retired (R-15.15, N28)? */
#include "hsm/base/check.h"

#include "server/service/deps.h"

#include "tests/unit/service/purge_world.h"

#include <stdio.h>
#include <string.h>

#define EARLY "early@contoso.example"
#define ID_1  "11111111-1111-4111-8111-111111111111"

static struct world world;
static struct purge_view purge;

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

static void call_as(const struct caller *who, enum verb verb,
                    const char *mailbox, const uint8_t *envelope,
                    struct outcome *out)
{
    const struct call_options options = {
        .caller = who,
        .verb = verb,
        .mailbox = mailbox,
        .wrapped = envelope,
        .wrapped_len = envelope == NULL ? 0 : ENVELOPE_KEY_BYTES,
        .confirm = true,
    };
    world_call(&world, &options, out);
}

static void renew(const char *mailbox, struct outcome *out)
{
    call_as(&world.workload, VERB_RENEW_KEY, mailbox, NULL, out);
    assert_ok(out->status);
    assert_true(out->has_key);
}

static void retire(const char *mailbox, uint32_t count)
{
    struct outcome out;
    call_as(&world.workload, VERB_RETIRE_EARLIER_KEYS, mailbox, NULL, &out);
    assert_ok(out.status);
    assert_int_equal(out.retired, count);
}

static const char *opens(const char *mailbox, const uint8_t *envelope,
                         struct outcome *out)
{
    call_as(&world.workload, VERB_UNWRAP_KEY, mailbox, envelope, out);
    return reason_word(out->status == HF_OK ? REASON_NONE
                                            : out->problem.reason);
}

static void assert_opens_to(const char *mailbox, const uint8_t *envelope,
                            const struct outcome *made)
{
    struct outcome got;
    assert_string_equal(opens(mailbox, envelope, &got), "NONE");
    assert_memory_equal(got.key, made->key, HF_KEY_BYTES);
}

static void assert_refused(const char *mailbox, const uint8_t *envelope,
                           const char *word)
{
    struct outcome got;
    for (int i = 0; i < 2; i++) { /* the row is in the cache the second time */
        assert_string_equal(opens(mailbox, envelope, &got), word);
        assert_false(got.has_key);
    }
}

/* A mailbox whose key the service-managed root wrapped first. */
static void early_mailbox(struct outcome *early, struct outcome *moved)
{
    struct mailbox_view view;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT, .id = EARLY, .dep = WORLD_DEP};
    purge_world_mailbox(&world, EARLY, "", early);
    assert_true(early->service_managed);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    assert_string_equal(opens(EARLY, NULL, moved), "NONE");
    assert_int_equal(moved->envelope_len, ENVELOPE_KEY_BYTES);
}

/* Both keys open until the workload has encrypted again, and says so. */
static void r_15_15_nothing_is_lost_on_the_way(void **state)
{
    struct outcome early;
    struct outcome moved;
    struct outcome fresh;
    struct outcome out;
    struct mailbox_view view;
    (void)state;
    early_mailbox(&early, &moved);
    renew(EARLY, &fresh);
    assert_memory_not_equal(fresh.key, early.key, HF_KEY_BYTES);
    assert_memory_equal(fresh.replaced, moved.envelope, ENVELOPE_KEY_BYTES);
    assert_false(fresh.service_managed);
    assert_opens_to(EARLY, NULL, &fresh);
    assert_opens_to(EARLY, fresh.envelope, &fresh);
    assert_opens_to(EARLY, fresh.replaced, &early);
    assert_opens_to(EARLY, early.envelope, &early);
    assert_ok(world_restart(&world));
    assert_opens_to(EARLY, early.envelope, &early);
    assert_opens_to(EARLY, NULL, &fresh);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, EARLY,
                            &view, &world.problem));
    assert_int_equal(view.record.earlier_count, 1);
    assert_memory_equal(view.record.earlier[0].envelope, fresh.replaced,
                        ENVELOPE_KEY_BYTES);
    /* looked at, and asked without confirmation */
    struct call_options options = {.caller = &world.workload,
                                   .verb = VERB_RETIRE_EARLIER_KEYS,
                                   .mailbox = EARLY,
                                   .validate_only = true};
    world_call(&world, &options, &out);
    assert_ok(out.status);
    assert_int_equal(out.retired, 1);
    options.validate_only = false;
    world_call(&world, &options, &out);
    assert_string_equal(reason_word(out.problem.reason), "FIELD_INVALID");
    assert_opens_to(EARLY, early.envelope, &early);
    assert_int_equal(world_audit_count(&world, "RetireEarlierKeys"), 0);
    assert_int_equal(world_audit_count(&world, "RenewKey"), 1);
}

/* From then on no envelope of the old key opens, wherever it was wrapped. */
static void n28_a_retired_key_opens_no_more(void **state)
{
    struct outcome early;
    struct outcome moved;
    struct outcome fresh;
    struct outcome out;
    (void)state;
    early_mailbox(&early, &moved);
    renew(EARLY, &fresh);
    retire(EARLY, 1);
    for (int i = 0; i < 2; i++) {
        assert_refused(EARLY, early.envelope, "BLOB_INVALID");
        assert_refused(EARLY, moved.envelope, "KEY_RETIRED");
        assert_opens_to(EARLY, NULL, &fresh);
        assert_opens_to(EARLY, fresh.envelope, &fresh);
        assert_ok(world_restart(&world));
    }
    call_as(&world.workload, VERB_REWRAP_KEY, EARLY, moved.envelope, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_RETIRED");
    /* nor is it brought back in by its bytes; another key is */
    struct call_options wrap = {.caller = &world.workload,
                                .verb = VERB_WRAP_KEY,
                                .mailbox = EARLY,
                                .plaintext = early.key};
    world_call(&world, &wrap, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_RETIRED");
    uint8_t own[HF_KEY_BYTES] = {7};
    wrap.plaintext = own;
    world_call(&world, &wrap, &out);
    assert_ok(out.status);
    struct outcome opened;
    assert_string_equal(opens(EARLY, out.envelope, &opened), "NONE");
    assert_memory_equal(opened.key, own, HF_KEY_BYTES);
    /* and of another mailbox under the same DEP nothing changed */
    assert_string_equal(opens(WORLD_MAILBOX, NULL, &opened), "NONE");
    assert_int_equal(world_audit_count(&world, "RetireEarlierKeys"), 1);
    retire(EARLY, 0);
    assert_int_equal(world_audit_count(&world, "RetireEarlierKeys"), 1);
}

/* What wrapped the earlier key alone is no earlier wrap of a purge. */
static void r_15_15_the_purge_is_not_held_up(void **state)
{
    struct outcome early;
    struct outcome moved;
    struct outcome fresh;
    (void)state;
    early_mailbox(&early, &moved);
    renew(EARLY, &fresh);
    purge_world_revoke(&world);
    purge_request(&world, WORLD_DEP, &purge);
    assert_int_equal(purge.record.earlier_count, 1); /* renewed, not retired */
    struct purge_order order = {.tenant = WORLD_TENANT};
    id_format(&purge.record.id, order.id);
    assert_ok(purges_cancel(world.service, &world.admin, &order, &purge,
                            &world.problem));
    world_grant(&world, "ck1", &world.workload,
                PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP);
    retire(EARLY, 1);
    world_revoke(&world, "ck1", &world.workload);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(purge.record.earlier_count, 0);
    assert_refused(EARLY, NULL, "KEY_DESTROYED");
    assert_refused(EARLY, early.envelope, "KEY_DESTROYED");
}

/* The ledger of use knows which generations an earlier key needs, and that a
 * retired one needs none. */
static void r_7_13_a_retired_key_needs_no_generation(void **state)
{
    struct outcome early;
    struct outcome moved;
    struct outcome fresh;
    struct mailbox_view view;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT, .id = EARLY, .dep = ""};
    static struct dep_view dep;
    (void)state;
    early_mailbox(&early, &moved);
    renew(EARLY, &fresh);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    assert_opens_to(EARLY, NULL, &fresh); /* moves back */
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.effective_count, 2); /* its earlier key, and alice */
    retire(EARLY, 1);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.effective_count, 1);
    assert_refused(EARLY, fresh.replaced, "BLOB_INVALID");
    assert_opens_to(EARLY, NULL, &fresh);
}

/* The same request again is the same key, as long as that is the stored one. */
static void r_15_15_a_repeat_makes_no_second_key(void **state)
{
    struct outcome first;
    struct outcome again;
    const struct call_options options = {
        .caller = &world.workload, .verb = VERB_RENEW_KEY, .request_id = ID_1};
    (void)state;
    world_call(&world, &options, &first);
    assert_ok(first.status);
    world_call(&world, &options, &again);
    assert_ok(again.status);
    assert_memory_equal(again.key, first.key, HF_KEY_BYTES);
    assert_memory_equal(again.envelope, first.envelope, ENVELOPE_KEY_BYTES);
    assert_memory_equal(again.replaced, first.replaced, ENVELOPE_KEY_BYTES);
    assert_int_equal(world_audit_count(&world, "RenewKey"), 1);
    renew(WORLD_MAILBOX, &again);
    world_call(&world, &options, &again);
    assert_string_equal(reason_word(again.problem.reason), "STATE_CONFLICT");
    assert_false(again.has_key);
}

/* Who cannot open the stored key renews and retires nothing; nor is there
 * anything to renew without one. */
static void r_15_15_only_by_who_opens_the_key(void **state)
{
    const enum verb verbs[] = {VERB_RENEW_KEY, VERB_RETIRE_EARLIER_KEYS};
    struct outcome made;
    struct outcome out;
    (void)state;
    renew(WORLD_MAILBOX, &made);
    world_mailbox(&world, EARLY, WORLD_DEP);
    for (size_t i = 0; i < HF_COUNT(verbs); i++) {
        call_as(&world.workload, verbs[i], EARLY, NULL, &out);
        assert_string_equal(reason_word(out.problem.reason), "STATE_CONFLICT");
        call_as(&world.stranger, verbs[i], WORLD_MAILBOX, NULL, &out);
        assert_string_equal(reason_word(out.problem.reason),
                            "KEY_ACCESS_DENIED");
        call_as(&world.admin, verbs[i], WORLD_MAILBOX, NULL, &out);
        assert_string_equal(reason_word(out.problem.reason), "ROLE_REQUIRED");
    }
    assert_opens_to(WORLD_MAILBOX, NULL, &made);
    assert_int_equal(world_audit_count(&world, "RenewKey"), 1);
}

/* Nothing is forgotten to make room: the eighth earlier key is the last, and so
 * is the eighth that was retired under one generation. */
static void r_15_15_no_key_is_forgotten_for_another(void **state)
{
    struct outcome first;
    struct outcome last;
    struct outcome out;
    (void)state;
    renew(WORLD_MAILBOX, &first);
    for (int i = 1; i < RESOURCE_EARLIER_MAX; i++) {
        renew(WORLD_MAILBOX, &last);
    }
    call_as(&world.workload, VERB_RENEW_KEY, WORLD_MAILBOX, NULL, &out);
    assert_string_equal(reason_word(out.problem.reason), "STATE_CONFLICT");
    assert_string_equal(opens(WORLD_MAILBOX, first.replaced, &out), "NONE");
    retire(WORLD_MAILBOX, RESOURCE_EARLIER_MAX);
    assert_refused(WORLD_MAILBOX, first.replaced, "KEY_RETIRED");
    assert_refused(WORLD_MAILBOX, last.replaced, "KEY_RETIRED");
    renew(WORLD_MAILBOX, &last);
    call_as(&world.workload, VERB_RETIRE_EARLIER_KEYS, WORLD_MAILBOX, NULL,
            &out);
    assert_string_equal(reason_word(out.problem.reason), "STATE_CONFLICT");
    assert_string_equal(opens(WORLD_MAILBOX, last.replaced, &out), "NONE");
    assert_refused(WORLD_MAILBOX, first.replaced, "KEY_RETIRED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(r_15_15_nothing_is_lost_on_the_way,
                                        start, stop),
        cmocka_unit_test_setup_teardown(n28_a_retired_key_opens_no_more, start,
                                        stop),
        cmocka_unit_test_setup_teardown(r_15_15_the_purge_is_not_held_up, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            r_7_13_a_retired_key_needs_no_generation, start, stop),
        cmocka_unit_test_setup_teardown(r_15_15_a_repeat_makes_no_second_key,
                                        start, stop),
        cmocka_unit_test_setup_teardown(r_15_15_only_by_who_opens_the_key,
                                        start, stop),
        cmocka_unit_test_setup_teardown(r_15_15_no_key_is_forgotten_for_another,
                                        start, stop),
    };
    return cmocka_run_group_tests_name("renewal", tests, NULL, NULL);
}
