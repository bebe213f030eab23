/* is the pair (label, CKA_ID) unique per token, is it recorded and
 * shown, and does no object get a second name? */
#include "hsm/base/check.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>

static struct world world;
static struct customer_key_view view;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* In the first customer's token; beside whatever bears the id already. */
static void make_object(const char *id, const char *label)
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
    memcpy(request.u.generate.label, label, strlen(label) + 1);
    assert_ok(token_call(&world.customer[0], &request));
}

static void remove_object(const char *id)
{
    assert_ok(token_fake_delete_key(world.customer_fake[0], (const uint8_t *)id,
                                    strlen(id)));
}

static enum hf_status enter(const char *name, const char *uri, bool only_try)
{
    struct customer_key_register request = {
        .tenant = WORLD_TENANT,
        .token = "t1",
        .mutation.validate_only = only_try,
    };
    snprintf(request.name, sizeof request.name, "%s", name);
    snprintf(request.uri, sizeof request.uri, "%s", uri);
    return customer_keys_register(world.service, &world.admin, &request, &view,
                                  &world.problem);
}

static void assert_refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
}

static void assert_taken(const char *name, const char *uri)
{
    assert_refused(enter(name, uri, false), "ALREADY_REGISTERED");
    assert_non_null(strstr(world.problem.text, "version 1"));
    assert_non_null(strstr(world.problem.text, "ck1"));
    assert_refused(enter(name, uri, true), "ALREADY_REGISTERED");
    assert_refused(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                     "second", &view, &world.problem),
                   "NOT_FOUND");
}

static void shown(const char *name)
{
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT, name,
                                &view, &world.problem));
}

static void one_object_has_one_name(void **state)
{
    (void)state;
    size_t before = world_audit_count(&world, "RegisterCustomerKey");
    assert_taken("second", "pkcs11:id=%63%6b%31");
    assert_taken("second", "pkcs11:id=%63%6b%31;object=ck1");
    assert_taken("ck1", "pkcs11:id=%63%6b%31");
    assert_int_equal(world_audit_count(&world, "RegisterCustomerKey"), before);
    assert_ok(world_restart(&world));
    assert_taken("second", "pkcs11:id=%63%6b%31");
    /* the token has room for others: as a name, and as a version */
    make_object("x", "ck1");
    assert_ok(enter("second", "pkcs11:id=%78", false));
    make_object("y", "ck1");
    assert_ok(enter("ck1", "pkcs11:id=%79", false));
    assert_int_equal(view.current_version, 2);
}

/* What was destroyed and made again under label and id is no other object to
 * whoever reads the catalogue; under another label it is. */
static void a_pair_is_not_used_twice(void **state)
{
    (void)state;
    remove_object("ck1");
    make_object("ck1", "ck1");
    assert_taken("second", "pkcs11:id=%63%6b%31");
    assert_taken("ck1", "pkcs11:id=%63%6b%31");
    remove_object("ck1");
    make_object("ck1", "later");
    assert_ok(enter("ck1", "pkcs11:id=%63%6b%31", false));
    assert_string_equal(view.versions[0].label, "later");
    assert_string_equal(view.versions[1].label, "ck1");
}

/* Another token, another object; and the other tenant's tokens look missing
 * its keys are never compared with. */
static void other_tokens_do_not_count(void **state)
{
    struct customer_key_register request = {
        .tenant = "fabrikam",
        .name = "theirs",
        .token = "t1",
        .uri = "pkcs11:id=%63%6b%31",
    };
    struct caller theirs = world.admin;
    (void)state;
    world_tenant(&world, "fabrikam");
    snprintf(theirs.tenant, sizeof theirs.tenant, "%s", "fabrikam");
    assert_refused(customer_keys_register(world.service, &theirs, &request,
                                          &view, &world.problem),
                   "TOKEN_OF_TENANT");
    assert_null(strstr(world.problem.text, "ck1"));
    world_key(&world, WORLD_TENANT, 1, "ck1-there",
              TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    make_object("ck1-there", "ck1-there");
    assert_ok(enter("here", "pkcs11:id=%63%6b%31%2d%74%68%65%72%65", false));
}

static void a_deleted_key_keeps_its_object(void **state)
{
    struct customer_key_delete deletion = {
        .tenant = WORLD_TENANT, .name = "spare", .confirm = true};
    (void)state;
    make_object("z", "spare");
    assert_ok(enter("spare", "pkcs11:id=%7a", false));
    assert_ok(customer_keys_soft_delete(world.service, &world.admin, &deletion,
                                        &view, &world.problem));
    assert_refused(enter("second", "pkcs11:id=%7a", false),
                   "ALREADY_REGISTERED");
    assert_ok(customer_keys_recover(world.service, &world.admin, &deletion,
                                    &view, &world.problem));
}

/* With its creation time, enabled flag and dates. */
static void the_object_is_shown(void **state)
{
    char record[WORLD_AUDIT_BYTES];
    (void)state;
    make_object("x", "a label");
    assert_refused(enter("x", "pkcs11:id=%78;object=another", false),
                   "FIELD_INVALID");
    assert_ok(enter("x", "pkcs11:id=%78;object=a%20label", true));
    assert_string_equal(view.versions[0].label, "a label");
    assert_ok(enter("x", "pkcs11:id=%78;object=a%20label", false));
    world_audit_last(&world, "RegisterCustomerKey", record);
    assert_non_null(strstr(record, "a label"));
    for (int again = 0; again < 2; again++) {
        shown("x");
        assert_string_equal(view.versions[0].label, "a label");
        assert_non_null(strstr(view.uris[0], ";id=%78;object=a%20label;"));
        assert_true(view.versions[0].enabled);
        assert_int_not_equal(view.versions[0].created_ms, 0);
        assert_int_equal(view.versions[0].expires_ms, 0);
        assert_int_equal(view.versions[0].not_before_ms, 0);
        assert_ok(world_restart(&world));
    }
}

/* A label that is no text is recorded as none; one for which the URI has no
 * room is left out of that alone. */
static void labels_of_any_kind(void **state)
{
    char label[HF_LABEL_MAX_BYTES + 1];
    (void)state;
    make_object("x", "\xff\xfe");
    assert_ok(enter("odd", "pkcs11:id=%78", false));
    assert_string_equal(view.versions[0].label, "");
    assert_null(strstr(view.uris[0], "object="));
    memset(label, '=', HF_LABEL_MAX_BYTES);
    label[HF_LABEL_MAX_BYTES] = '\0';
    make_object("an id of just thirty-two bytes..", label);
    assert_ok(enter("wide",
                    "pkcs11:id=%61n%20id%20of%20just%20thirty-two%20bytes..",
                    false));
    assert_string_equal(view.versions[0].label, label);
    assert_int_not_equal(strlen(view.uris[0]), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(one_object_has_one_name),   TEST(a_pair_is_not_used_twice),
        TEST(other_tokens_do_not_count), TEST(a_deleted_key_keeps_its_object),
        TEST(the_object_is_shown),       TEST(labels_of_any_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
