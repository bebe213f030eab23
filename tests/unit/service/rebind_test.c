/* Are the customer keys of a restored token bound again by id and fingerprint,
 * and by nothing less? */
#include "hsm/base/check.h"

#include "tests/unit/service/world.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define OTHER_SERIAL "00000000000000ee"

static struct world world;
static struct outcome made;
static struct token_view view;
static uint32_t bound;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(made.status);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static enum hf_status run(const struct world_statement *statement)
{
    return tokens_rebind(world.service, &world.operator_, &statement->request,
                         &view, &bound, &world.problem);
}

static enum hf_status rebind(void)
{
    struct world_statement statement;
    world_statement(&world, WORLD_TENANT, 0, &statement);
    return run(&statement);
}

static void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

/* Does the token's key open: is it healthy in a test of the DEP? */
static bool first_key_works(void)
{
    struct validation_report report;
    assert_ok(deps_test(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                        &report, &world.problem));
    return report.passed;
}

static void a_restored_token_is_bound_again(void **state)
{
    (void)state;
    assert_true(first_key_works());
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_false(first_key_works()); /* another token than the enrolled one */
    assert_ok(rebind());
    assert_int_equal(bound, 1);
    assert_non_null(strstr(view.uri, OTHER_SERIAL));
    assert_true(first_key_works());
    assert_ok(world_restart(&world));
    assert_true(first_key_works());
    world_unwrap(&world, &world.workload, INITIATOR_USER, &made);
    assert_ok(made.status);
    assert_int_equal(world_audit_count(&world, "RebindKeys"), 1);
}

/* The old serial is free, and the new one is taken. */
static void a_serial_is_of_one_tenant(void **state)
{
    struct world_statement statement;
    (void)state;
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_ok(rebind());
    assert_ok(token_fake_restore(world.customer_fake[1], OTHER_SERIAL));
    world_statement(&world, WORLD_TENANT, 1, &statement);
    assert_refused(run(&statement), "ALREADY_REGISTERED");
    assert_ok(token_fake_restore(world.customer_fake[1], "00000000000000c0"));
    world_statement(&world, WORLD_TENANT, 1, &statement);
    assert_ok(run(&statement));
}

static void make_key(const char *id)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_CUSTOMER_KEY_TOKEN,
                       .bits = 2048,
                       .report = &report},
    };
    memcpy(request.u.generate.id, id, strlen(id));
    request.u.generate.id_len = strlen(id);
    memcpy(request.u.generate.label, id, strlen(id) + 1);
    assert_ok(token_call(&world.customer[0], &request));
}

/* the same id is not the same key. */
static void another_key_under_the_id_is_refused(void **state)
{
    (void)state;
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_refused(rebind(), "KEY_MISMATCH");
    assert_non_null(strstr(world.problem.text, "is not in the token"));
    make_key("ck1");
    assert_refused(rebind(), "KEY_MISMATCH");
    assert_non_null(strstr(world.problem.text, "another key pair"));
    /* nothing was changed: the enrolled token is still another one */
    assert_int_equal(world_audit_count(&world, "RebindKeys"), 0);
    assert_ok(token_fake_restore(world.customer_fake[0], "00000000000000c0"));
    assert_ok(tokens_get(world.service, &world.admin, WORLD_TENANT, "t1", &view,
                         &world.problem));
    assert_null(strstr(view.uri, OTHER_SERIAL));
}

/* By label as well. */
static void another_label_is_refused(void **state)
{
    struct token_key_report report = {.label = ""};
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = {.type = TOKEN_KEY_RSA, .id = "ck1", .id_len = 3},
                   .report = &report},
    };
    (void)state;
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_ok(token_call(&world.customer[0], &request));
    memcpy(report.label, "ck9", sizeof "ck9");
    assert_ok(token_fake_edit_key(world.customer_fake[0],
                                  (const uint8_t *)"ck1", 3, &report));
    assert_refused(rebind(), "KEY_MISMATCH");
    assert_non_null(strstr(world.problem.text, "another label"));
    memcpy(report.label, "ck1", sizeof "ck1");
    assert_ok(token_fake_edit_key(world.customer_fake[0],
                                  (const uint8_t *)"ck1", 3, &report));
    assert_ok(rebind());
}

/* Every version, not the current one alone; a deleted key's too. */
static void every_version_must_be_there(void **state)
{
    struct customer_key_delete deletion = {
        .tenant = WORLD_TENANT, .name = "spare", .confirm = true};
    struct customer_key_view key;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    world_key(&world, WORLD_TENANT, 0, "spare", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    assert_ok(customer_keys_soft_delete(world.service, &world.admin, &deletion,
                                        &key, &world.problem));
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_ok(rebind());
    assert_int_equal(bound, 3);
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_refused(rebind(), "KEY_MISMATCH");
}

static void the_custodian_must_say_so(void **state)
{
    struct world_statement statement;
    (void)state;
    world_statement(&world, WORLD_TENANT, 0, &statement);
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    assert_refused(run(&statement), "FIELD_INVALID"); /* of the old one */
    world_statement(&world, WORLD_TENANT, 0, &statement);
    statement.signature[9] ^= 1;
    assert_refused(run(&statement), "FIELD_INVALID");
    world_statement(&world, WORLD_TENANT, 0, &statement);
    assert_refused(tokens_rebind(world.service, &world.admin,
                                 &statement.request, &view, &bound,
                                 &world.problem),
                   "ROLE_REQUIRED");
    statement.request.mutation.validate_only = true;
    assert_ok(run(&statement));
    assert_false(first_key_works());
    memcpy(statement.request.name, "none", 5);
    assert_refused(run(&statement), "NOT_FOUND");
}

struct beside {
    struct world world; /* with a problem of its own */
    struct token_view view;
    uint32_t bound;
    enum hf_status status;
};

static void *rebind_beside(void *argument)
{
    struct beside *beside = argument;
    struct world_statement statement;
    world_statement(&beside->world, WORLD_TENANT, 0, &statement);
    beside->status =
        tokens_rebind(world.service, &world.operator_, &statement.request,
                      &beside->view, &beside->bound, &beside->world.problem);
    return NULL;
}

/* Of two that looked at the same record one is told to look again. */
static void one_of_two_at_once(void **state)
{
    static struct beside both[2];
    pthread_t threads[2];
    (void)state;
    assert_ok(token_fake_restore(world.customer_fake[0], OTHER_SERIAL));
    token_fake_hold(world.customer_fake[0], TOKEN_OP_FIND);
    for (size_t i = 0; i < 2; i++) {
        both[i].world = world;
        assert_int_equal(
            pthread_create(&threads[i], NULL, rebind_beside, &both[i]), 0);
    }
    assert_true(
        token_fake_wait_held(world.customer_fake[0], TOKEN_OP_FIND, 2, 20000));
    token_fake_release(world.customer_fake[0], TOKEN_OP_FIND);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    size_t lost = both[0].status == HF_OK ? 1 : 0;
    assert_ok(both[1 - lost].status);
    assert_status(both[lost].status, HF_E_CONFLICT);
    assert_string_equal(reason_word(both[lost].world.problem.reason),
                        "CONFLICT");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_restored_token_is_bound_again),
        TEST(a_serial_is_of_one_tenant),
        TEST(another_key_under_the_id_is_refused),
        TEST(another_label_is_refused),
        TEST(every_version_must_be_there),
        TEST(the_custodian_must_say_so),
        TEST(one_of_two_at_once),
    };
#undef TEST
    return cmocka_run_group_tests_name("rebind", tests, NULL, NULL);
}
