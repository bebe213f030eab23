/* Do the availability pairs of geos have mirrors too: written before a geo is
 * registered, carried over to a new one, and good for a recovery when the first
 * token is gone? */
#include "server/service/core.h"

#include "tests/unit/service/geo_world.h"
#include "tests/unit/service/mirror_world.h"

#include <stdio.h>
#include <string.h>

#define SITES 5

static struct outcome made[SITES];

static int start(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    (void)state;
    geo_world_start();
    mirror_transport(&world.sharepoint_ak_token);
    mirror_transport(&world.mirror[G1]);
    world.settings.ak_mirrors = world.mirrors;
    world.settings.ak_mirror_count = WORLD_MIRRORS;
    assert_ok(world_restart(&world));
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "new1" : "new2";
        world_key(&world, WORLD_TENANT, i, key, TOKEN_FOR_CUSTOMER_KEY_TOKEN);
        world_grant(&world, key, &world.files, all);
    }
    return 0;
}

static int start_shared(void **state)
{
    start(state);
    world.settings.sharepoint_ak_shared = true;
    return world_restart(&world) == HF_OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static struct hf_id dep_of_geo(void)
{
    struct geo_view view;
    geo_look(&view);
    return view.record.dep;
}

typedef HF_STATUS step_fn(struct service *service, const struct caller *caller,
                          const struct geo_recovery_request *request,
                          struct geo_view *out, struct problem *problem);

static void take(step_fn *step, const struct caller *caller)
{
    const struct geo_recovery_request request = {
        .tenant = WORLD_TENANT,
        .geo = GEO,
        .ticket = "INC-42",
    };
    struct geo_view view;
    assert_ok(step(world.service, caller, &request, &view, &world.problem));
}

/* Both customer keys are gone for ever, and so is the first token. */
static void recovers_by_the_mirror(void)
{
    const struct geo_flush flush = {.tenant = WORLD_TENANT, .geo = GEO};
    const struct geo_pair keys = {
        {"new1", "new2"},
        {1,      1     }
    };
    struct caller second = world.operator_;
    struct geo_view view;
    struct operation_view operation;
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_ok(token_fake_delete_key(world.customer_fake[1],
                                    (const uint8_t *)"ck2", 3));
    mirror_away(world.sharepoint_ak_fake, true);
    for (unsigned who = 1; who <= 3; who++) {
        assert_ok(mirror_try_retire(&world, "sharepoint-ak", who, "burnt"));
    }
    assert_ok(
        geos_flush(world.service, &world.admin, &flush, &view, &world.problem));
    snprintf(second.identity, sizeof second.identity,
             "spiffe://holdfast.test/operator-two");
    take(geos_request_recovery, &world.admin);
    take(geos_enable_recovery, &world.operator_);
    take(geos_confirm_recovery, &second);
    assert_ok(geo_register_by(&world.admin, true, &keys, false, &operation));
    geo_wait(&operation);
    geo_assert_all_open(SITES, made);
    const struct hf_id dep = dep_of_geo();
    assert_int_equal(mirror_copies(&world, &dep, 1), 1);
}

static void a_geo_is_in_both(void **state)
{
    struct operation_view operation;
    (void)state;
    mirror_enroll(&world, "g1");
    geo_fill(SITES, made);
    mirror_away(world.mirror_fake[G1], true);
    const struct geo_pair keys = {
        {"ck1", "ck2"},
        {1,     1    }
    };
    assert_true(geo_register_by(&world.admin, false, &keys, false,
                                &operation) != HF_OK);
    mirror_is_blamed(&world, "g1");
    mirror_away(world.mirror_fake[G1], false);
    geo_register(&operation);
    geo_wait(&operation);
    struct hf_id dep = dep_of_geo();
    assert_int_equal(mirror_copies(&world, &dep, 1), 2);
    mirror_away(world.mirror_fake[G1], true);
    assert_true(geo_roll_to(ROOT_CK1, "new1", 1, &operation) != HF_OK);
    mirror_is_blamed(&world, "g1");
    mirror_away(world.mirror_fake[G1], false);
    assert_ok(geo_roll_to(ROOT_CK1, "new1", 1, &operation));
    geo_wait(&operation);
    assert_int_equal(mirror_copies(&world, &dep, 2), 2);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 1, &operation));
    geo_wait(&operation);
    recovers_by_the_mirror();
}

static void an_enrolment_carries_geos(void **state)
{
    struct operation_view operation;
    (void)state;
    geo_fill(SITES, made);
    geo_register(&operation);
    geo_wait(&operation);
    mirror_enroll(&world, "g1");
    struct hf_id dep = dep_of_geo();
    assert_int_equal(mirror_copies(&world, &dep, 1), 2);
    recovers_by_the_mirror();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_geo_is_in_both, start, stop),
        cmocka_unit_test_setup_teardown(an_enrolment_carries_geos, start, stop),
        cmocka_unit_test_setup_teardown(an_enrolment_carries_geos, start_shared,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
