/* A customer key that is disabled or soft-deleted while a DEP is made over it:
 * is the DEP refused, and nothing left of it? */
#include "hsm/base/check.h"

#include "tests/unit/service/geo_world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 20000

static int start(void **state)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    (void)state;
    geo_world_start();
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "ck1" : "ck2";
        world_grant(&world, key, &world.workload, all);
        world_grant(&world, key, &world.m365, all);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* --- what takes the key away ---------------------------------------------- */

static void set_enabled(bool enabled)
{
    const struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .name = "ck2",
        .set_enabled = true,
        .enabled = enabled,
    };
    struct customer_key_view view;
    assert_ok(customer_keys_update(world.service, &world.admin, &request, &view,
                                   &world.problem));
}

static void disable(void)
{
    set_enabled(false);
}

static void enable(void)
{
    set_enabled(true);
}

static const struct customer_key_delete first_key = {
    .tenant = WORLD_TENANT, .name = "ck1", .confirm = true};

static void delete (void)
{
    struct customer_key_view view;
    assert_ok(customer_keys_soft_delete(world.service, &world.admin, &first_key,
                                        &view, &world.problem));
}

static void recover(void)
{
    struct customer_key_view view;
    assert_ok(customer_keys_recover(world.service, &world.admin, &first_key,
                                    &view, &world.problem));
}

/* --- what makes a DEP ----------------------------------------------------- */

struct making {
    enum hf_status status;
    struct problem problem;
    struct validation_report report;
};

static HF_STATUS create(enum dep_type type, const struct caller *workload,
                        struct problem *problem)
{
    struct dep_create request = {
        .tenant = WORLD_TENANT,
        .type = type,
        .name = "raced",
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = -1,
    };
    struct dep_view view;
    memcpy(request.workload_identity, workload->identity,
           sizeof request.workload_identity);
    return deps_create(world.service, &world.admin, &request, &view, problem);
}

static void *create_for_mailboxes(void *argument)
{
    struct making *making = argument;
    making->status =
        create(DEP_TYPE_EXCHANGE_MAILBOX, &world.workload, &making->problem);
    return NULL;
}

static void *create_for_workloads(void *argument)
{
    struct making *making = argument;
    making->status =
        create(DEP_TYPE_MULTI_WORKLOAD, &world.m365, &making->problem);
    return NULL;
}

static void *register_geo(void *argument)
{
    struct making *making = argument;
    struct geo_register request = {
        .tenant = WORLD_TENANT,
        .geo = GEO,
        .keys = {{"ck1", 1}, {"ck2", 1}},
        .residency = RESIDENCY_TOKEN,
    };
    struct operation_view view;
    memcpy(request.workload_identity, world.files.identity,
           sizeof request.workload_identity);
    making->status = geos_register(world.service, &world.admin, &request, &view,
                                   &making->problem);
    return NULL;
}

/* Everything is validated and the keys are being made when the key goes. */
static void lose(void *(*make)(void *), struct token_fake *ak,
                 void (*take_away)(void), void (*give_back)(void))
{
    static struct making making;
    pthread_t maker;
    size_t objects = token_fake_keys(ak);
    making = (struct making){.status = HF_OK};
    making.problem.report = &making.report;
    token_fake_hold(ak, TOKEN_OP_MINT);
    pthread_create(&maker, NULL, make, &making);
    assert_true(token_fake_wait_held(ak, TOKEN_OP_MINT, 1, WAIT_MS));
    take_away();
    token_fake_release(ak, TOKEN_OP_MINT);
    pthread_join(maker, NULL);
    assert_int_equal(making.status, HF_E_CONFLICT);
    assert_string_equal(reason_word(making.problem.reason), "CONFLICT");
    assert_int_equal(token_fake_keys(ak), objects);
    assert_int_equal(world_audit_count(&world, "CreateDep"), 0);
    assert_int_equal(world_audit_count(&world, "RegisterGeo"), 0);
    give_back();
}

static void a_key_that_goes_meanwhile_refuses_the_dep(void **state)
{
    static const struct {
        void *(*make)(void *);
        bool of_files;
    } makers[] = {
        {create_for_mailboxes, false},
        {create_for_workloads, false},
        {register_geo,         true },
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(makers); i++) {
        struct token_fake *ak =
            makers[i].of_files ? world.sharepoint_ak_fake : world.ak_fake;
        lose(makers[i].make, ak, disable, enable);
        lose(makers[i].make, ak, delete, recover);
    }
    for (size_t i = 0; i < HF_COUNT(makers); i++) {
        static struct making making;
        making = (struct making){.status = HF_OK};
        making.problem.report = &making.report;
        makers[i].make(&making);
        assert_ok(making.status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_key_that_goes_meanwhile_refuses_the_dep, start, stop),
    };
    return cmocka_run_group_tests_name("create_race", tests, NULL, NULL);
}
