/* Does every token of availability keys have its own copy of every DEP key
 * before anything is acknowledged, does any one of them serve alone, and does
 * nothing end, or go on, before each was reached (R-15.5, R-15.2, R-15.6,
 * */
#include "hsm/base/check.h"

#include "server/service/ak_audit.h"
#include "server/service/availability_key.h"
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

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static const struct hf_id *built_in(void)
{
    return &catalogue_tenant(&world.service->catalogue, WORLD_TENANT)
                ->record.service_managed;
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

/* --- made in all ---------------------------------------------------------- */

static void every_token_has_its_own(void **state)
{
    (void)state;
    assert_int_equal(mirror_objects(&world.ak_token, &made.dep), 1);
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 1);
    assert_int_equal(mirror_copies(&world, &made.dep, 1), 2);
    assert_int_equal(mirror_copies(&world, built_in(), 1), 2);
    each_serves_alone();
    /* the one AK use that a mirror answered is one record, as any */
    assert_true(world_audit_count(&world, AK_AUDIT_ACTIVITY) >= 4);
}

static void a_missing_mirror_is_not_written_around(void **state)
{
    struct token_fake *fakes[] = {world.ak_fake, world.mirror_fake[M1]};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(fakes); i++) {
        mirror_away(fakes[i], true);
        assert_true(mirror_try_dep(&world, "dep2", &dep) != HF_OK);
        mirror_is_blamed(&world, i == 0 ? "ak" : "m1");
        mirror_away(fakes[i], false);
        assert_status(deps_get(world.service, &world.admin, WORLD_TENANT,
                               "dep2", &dep, &world.problem),
                      HF_E_NOT_FOUND);
    }
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
    assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 2);
}

/* Another token under the name is not the one that was enrolled. */
static void another_token_in_its_place_is_none(void **state)
{
    (void)state;
    assert_ok(token_fake_restore(world.mirror_fake[M1], "ffff0000ffff0000"));
    assert_true(mirror_try_dep(&world, "dep2", &dep) != HF_OK);
    assert_reason(&world, "SERVICE_UNAVAILABLE");
    assert_ok(token_fake_restore(world.mirror_fake[M1], "00000000000000d0"));
    token_fake_unmet(world.mirror_fake[M1], true);
    assert_true(mirror_try_dep(&world, "dep2", &dep) != HF_OK);
    mirror_is_blamed(&world, "m1");
    token_fake_unmet(world.mirror_fake[M1], false);
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
}

/* Also the first token's, wherever it stands: a certificate looks for it. */
static void every_copy_names_its_token(void **state)
{
    (void)state;
    world.settings.ak_token = &world.mirror[M1];
    world.settings.ak_token_name = "m1";
    world.mirrors[M1].name = "ak";
    world.mirrors[M1].token = &world.ak_token;
    assert_ok(world_restart(&world));
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
    assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 2);
    const struct generation_entry *generation = catalogue_generation(
        catalogue_dep_by_id(&world.service->catalogue, &dep.record.id), 1);
    assert_true(generation->record.mirrors[0].wrapped_len > 0);
    assert_false(id_is_nil(&generation->record.mirrors[0].token));
    assert_false(id_is_nil(&generation->record.copies[ROOT_AK].token));
    each_serves_alone();
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

/* Every call of either token fails once, and each answer is lost once: what is
 * acknowledged is whole, and what is not leaves nothing behind. */
static void a_create_is_whole_or_not_at_all(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_GENERATE, TOKEN_OP_MINT,
                                        TOKEN_OP_UNWRAP, TOKEN_OP_OPEN};
    struct token_fake *fakes[] = {world.ak_fake, world.mirror_fake[M1]};
    char name[32];
    unsigned number = 0;
    (void)state;
    for (size_t at = 0; at < 2 * HF_COUNT(ops) * HF_COUNT(fakes); at++) {
        struct token_fake *fake = fakes[at % 2];
        enum token_op op = ops[at / 2 % HF_COUNT(ops)];
        bool lost = at >= 2 * HF_COUNT(ops);
        enum hf_status status = HF_E_UNREACHABLE;
        for (size_t n = 1; status != HF_OK; n++) {
            assert_true(n < 10);
            size_t before = objects_of_all(&world.ak_token);
            size_t mirrored = objects_of_all(&world.mirror[M1]);
            (lost ? token_fake_lose_nth : token_fake_fail_nth)(fake, op, n,
                                                               HF_E_TIMEOUT);
            snprintf(name, sizeof name, "dep-%u", ++number);
            status = mirror_try_dep(&world, name, &dep);
            token_fake_clear(fake);
            bool ok = status == HF_OK;
            assert_int_equal(objects_of_all(&world.ak_token), before + ok);
            assert_int_equal(objects_of_all(&world.mirror[M1]), mirrored + ok);
            if (ok) {
                assert_int_equal(mirror_copies(&world, &dep.record.id, 1), 2);
            } else {
                assert_status(deps_get(world.service, &world.admin,
                                       WORLD_TENANT, name, &dep,
                                       &world.problem),
                              HF_E_NOT_FOUND);
            }
        }
    }
}

static void a_full_mirror_makes_no_dep(void **state)
{
    (void)state;
    token_fake_capacity(world.mirror_fake[M1], 4, 100);
    assert_true(mirror_try_dep(&world, "dep2", &dep) != HF_OK);
    assert_reason(&world, "AK_TOKEN_FULL");
    assert_non_null(strstr(world.problem.text, "m1"));
    token_fake_capacity(world.mirror_fake[M1], 15, 100);
    struct ak_token_view view;
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.capacity.level, CAPACITY_LOW);
    assert_int_equal(view.facts.objects, 2);
    mirror_view(&world, "ak", &view);
    assert_int_equal(view.capacity.level, CAPACITY_UNKNOWN);
    assert_ok(mirror_try_dep(&world, "dep2", &dep));
}

static void lose_keys(const struct token *token, struct token_fake *fake)
{
    struct token_key_report reports[8];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 8, .id_prefix_len = HF_ID_BYTES},
    };
    memcpy(list.u.list.id_prefix, made.dep.bytes, HF_ID_BYTES);
    assert_ok(token_call(token, &list));
    for (size_t i = 0; i < list.u.list.count; i++) {
        assert_ok(token_fake_delete_key(fake, reports[i].key.id,
                                        reports[i].key.id_len));
    }
}

/* A bad copy of a mirror is found, not just that some token serves. */
static void a_scrub_looks_at_every_copy(void **state)
{
    struct scrub_result before;
    struct scrub_result after;
    (void)state;
    scrub_run(world.service, &before);
    assert_int_equal(before.unseen + before.bad, 0);
    lose_keys(&world.mirror[M1], world.mirror_fake[M1]);
    scrub_run(world.service, &after);
    assert_int_equal(after.unseen + after.bad, 1);
    opens_without_customers();
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

/* Three people within a week, about a token that is what it was. */
static void a_retirement_is_not_agreed_to_for_ever(void **state)
{
    struct ak_token_view view;
    (void)state;
    assert_ok(mirror_try_retire(&world, "m1", 1, "burnt"));
    assert_ok(mirror_try_retire(&world, "m1", 2, "burnt"));
    world_move_clock(&world, AK_RETIREMENT_WINDOW_MS + 60000);
    assert_ok(mirror_try_retire(&world, "m1", 3, "burnt")); /* asks anew */
    assert_ok(mirror_try_retire(&world, "m1", 1, "burnt"));
    mirror_view(&world, "m1", &view);
    assert_int_equal(view.state, AK_TOKEN_ACTIVE);
    assert_int_equal(view.approvals, 1);
    mirror_transport(&world.mirror[M2]);
    token_fake_fail_all(world.mirror_fake[M2], TOKEN_OP_MINT, HF_E_UNREACHABLE);
    assert_ok(mirror_try_enroll(&world, "m2", &view));
    assert_ok(mirror_try_retire(&world, "m2", 1, "lost"));
    assert_ok(mirror_try_retire(&world, "m2", 2, "lost"));
    token_fake_clear(world.mirror_fake[M2]);
    assert_true(mirror_wait_active(&world, "m2"));
    mirror_view(&world, "m2", &view);
    assert_string_equal(view.requested_by, "");
    assert_int_equal(view.approvals, 0);
}

/* --- generations and rolls ------------------------------------------------ */

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

static void dep_now(void)
{
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
}

/* in every token; it waits for one that is away. */
static void a_roll_happens_in_every_token(void **state)
{
    struct operation_view ordered;
    (void)state;
    mirror_away(world.mirror_fake[M1], true);
    roll(&ordered);
    is_asked_in_vain(world.mirror_fake[M1], TOKEN_OP_GENERATE);
    dep_now();
    assert_int_equal(dep.record.ak_version, 1);
    mirror_away(world.mirror_fake[M1], false);
    wait_for(&ordered);
    dep_now();
    assert_int_equal(dep.record.ak_version, 2);
    assert_int_equal(dep.record.ak_state, AK_ACTIVE);
    assert_int_equal(mirror_objects(&world.ak_token, &made.dep), 1);
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 1);
    each_serves_alone();
}

/* What one token lost comes to it again from another. */
static void a_roll_mends_a_lost_copy(void **state)
{
    struct operation_view ordered;
    (void)state;
    lose_keys(&world.ak_token, world.ak_fake);
    roll(&ordered);
    wait_for(&ordered);
    dep_now();
    assert_int_equal(dep.record.generation, 1);
    each_serves_alone();
}

/* A key that a token does not show may be there again: it is not destroyed. The
 * copy that a retired token left behind says nothing of that. */
static void a_lost_key_is_not_destroyed(void **state)
{
    struct operation_view ordered;
    (void)state;
    mirror_away(world.ak_fake, true);
    for (unsigned who = 1; who <= 3; who++) {
        assert_ok(mirror_try_retire(&world, "ak", who, "burnt"));
    }
    roll(&ordered);
    wait_for(&ordered);
    lose_keys(&world.mirror[M1], world.mirror_fake[M1]);
    uint64_t before = token_fake_calls(world.mirror_fake[M1], TOKEN_OP_DESTROY);
    roll(&ordered);
    wait_for(&ordered);
    assert_int_equal(token_fake_calls(world.mirror_fake[M1], TOKEN_OP_DESTROY),
                     before);
    dep_now();
    assert_int_equal(dep.record.ak_version, 3);
    assert_int_equal(dep.record.ak_state, AK_ACTIVE);
    mirror_away(world.ak_fake, false);
}

/* The carrying made the key of a version that a roll had destroyed meanwhile.
 */
static void a_carrying_that_was_overtaken_leaves_nothing(void **state)
{
    struct operation_view ordered;
    struct ak_token_set set;
    (void)state;
    const struct dep_entry *entry =
        catalogue_dep_by_id(&world.service->catalogue, &made.dep);
    ak_tokens_of(world.service, entry->record.type, &set);
    ak_carry_undo(world.service, entry, 1, &set.at[1]);
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 1);
    roll(&ordered);
    wait_for(&ordered);
    dep_now();
    assert_ok(ak_generate_in(&world.mirror[M1], &dep.record, 1));
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 2);
    ak_carry_undo(world.service, entry, 2, &set.at[1]);
    ak_carry_undo(world.service, entry, 1, &set.at[1]);
    assert_int_equal(mirror_objects(&world.mirror[M1], &made.dep), 1);
    each_serves_alone();
}

static void a_new_generation_is_in_every_token(void **state)
{
    const struct dep_refresh refresh = {.tenant = WORLD_TENANT,
                                        .dep = WORLD_DEP};
    const struct managed_roll request = {.tenant = WORLD_TENANT};
    struct operation_view ordered;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    mirror_away(world.mirror_fake[M1], true);
    assert_true(deps_refresh(world.service, &world.admin, &refresh, &ordered,
                             &world.problem) != HF_OK);
    mirror_is_blamed(&world, "m1");
    assert_true(tenants_roll_managed(world.service, &world.operator_, &request,
                                     &ordered, &world.problem) != HF_OK);
    mirror_is_blamed(&world, "m1");
    mirror_away(world.mirror_fake[M1], false);
    assert_ok(deps_refresh(world.service, &world.admin, &refresh, &ordered,
                           &world.problem));
    assert_int_equal(mirror_copies(&world, &made.dep, 2), 2);
    assert_ok(tenants_roll_managed(world.service, &world.operator_, &request,
                                   &ordered, &world.problem));
    wait_for(&ordered);
    assert_int_equal(mirror_copies(&world, built_in(), 2), 2);
    /* the root before is in no token any more */
    assert_int_equal(mirror_objects(&world.ak_token, built_in()), 1);
    assert_int_equal(mirror_objects(&world.mirror[M1], built_in()), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_token_has_its_own, start, stop),
        cmocka_unit_test_setup_teardown(a_missing_mirror_is_not_written_around,
                                        start, stop),
        cmocka_unit_test_setup_teardown(another_token_in_its_place_is_none,
                                        start, stop),
        cmocka_unit_test_setup_teardown(every_copy_names_its_token, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_create_is_whole_or_not_at_all, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_full_mirror_makes_no_dep, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_scrub_looks_at_every_copy, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_retirement_is_not_agreed_to_for_ever,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_roll_happens_in_every_token, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_roll_mends_a_lost_copy, start, stop),
        cmocka_unit_test_setup_teardown(a_lost_key_is_not_destroyed, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            a_carrying_that_was_overtaken_leaves_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_new_generation_is_in_every_token,
                                        start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
