/* Is the backup of the catalogue whole, signed, and without a key in it
 * (R-4.18, R-4.19)? */
#include "hsm/base/check.h"

#include "hsm/sys/signature.h"

#include "server/service/catalogue_backup.h"

#include "tests/unit/service/world.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

static struct world world;
static struct catalogue_backup backup;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    backup.text = malloc(CATALOGUE_BACKUP_MAX_BYTES);
    assert_non_null(backup.text);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    free(backup.text);
    world_stop(&world);
    return 0;
}

static json_t *taken(void)
{
    assert_ok(catalogue_backup(world.service, &world.admin, WORLD_TENANT,
                               &backup, &world.problem));
    json_t *document =
        json_loadb((const char *)backup.text, backup.text_len, 0, NULL);
    assert_non_null(document);
    return document;
}

static const json_t *first(const json_t *of, const char *array)
{
    return json_array_get(json_object_get(of, array), 0);
}

static void it_tells_what_there_is(void **state)
{
    struct customer_key_view key;
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &key, &world.problem));
    json_t *document = taken();
    assert_string_equal(json_string_value(json_object_get(document, "tenant")),
                        WORLD_TENANT);
    assert_int_equal(json_array_size(json_object_get(document, "tokens")), 2);
    assert_int_equal(json_array_size(json_object_get(document, "customerKeys")),
                     2);
    assert_int_equal(json_array_size(json_object_get(document, "deps")), 1);
    const json_t *ck1 = first(document, "customerKeys");
    const json_t *versions = json_object_get(ck1, "versions");
    assert_int_equal(json_array_size(versions), 2);
    hex_encode(key.versions[1].fingerprint, HF_SHA256_BYTES, fingerprint,
               sizeof fingerprint);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(versions, 0), "fingerprint")),
                        fingerprint);
    const json_t *dep = first(document, "deps");
    assert_string_equal(json_string_value(json_object_get(dep, "name")),
                        WORLD_DEP);
    assert_int_equal(json_array_size(json_object_get(first(dep, "generations"),
                                                     "customerKeys")),
                     2);
    json_decref(document);
}

/* By the public key alone, on any machine. */
static void its_signature_verifies(void **state)
{
    (void)state;
    json_decref(taken());
    const struct bytes public_key = {backup.public_key, backup.public_key_len};
    const struct bytes signature = {backup.signature, backup.signature_len};
    assert_ok(signature_verify(
        public_key, (struct bytes){backup.text, backup.text_len}, signature));
    for (size_t at = 0; at < backup.text_len; at += backup.text_len / 7) {
        backup.text[at] ^= 1;
        assert_status(
            signature_verify(public_key,
                             (struct bytes){backup.text, backup.text_len},
                             signature),
            HF_E_DENIED);
        backup.text[at] ^= 1;
    }
}

/* No member that could hold a wrapped copy; nor its bytes. */
static void no_key_is_in_it(void **state)
{
    struct outcome made;
    char envelope[2 * ENVELOPE_KEY_BYTES + 1];
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &made);
    assert_ok(made.status);
    json_decref(taken());
    backup.text[backup.text_len - 1] = '\0';
    hex_encode(made.envelope, made.envelope_len, envelope, sizeof envelope);
    assert_null(strstr((const char *)backup.text, envelope));
    assert_null(strstr((const char *)backup.text, "wrapped"));
    assert_null(strstr((const char *)backup.text, "copies"));
    assert_null(strstr((const char *)backup.text, WORLD_MAILBOX));
}

static void who_may_have_it(void **state)
{
    struct caller vault = world.admin;
    (void)state;
    vault.roles = ROLE_VAULT_ADMIN; /* back up, not delete */
    assert_ok(catalogue_backup(world.service, &vault, WORLD_TENANT, &backup,
                               &world.problem));
    assert_int_not_equal(catalogue_backup(world.service, &world.workload,
                                          WORLD_TENANT, &backup,
                                          &world.problem),
                         HF_OK);
    assert_int_not_equal(catalogue_backup(world.service, &world.admin, "other",
                                          &backup, &world.problem),
                         HF_OK);
    assert_string_equal(reason_word(world.problem.reason), "NOT_FOUND");
}

/* --- without memory ------------------------------------------------------- */

static _Thread_local size_t countdown; /* 0: there is memory */

static void *scarce(size_t len)
{
    if (countdown > 0 && --countdown == 0) {
        return NULL;
    }
    return malloc(len);
}

/* Whatever allocation fails: all of it is signed, or nothing is. */
static void no_part_is_signed(void **state)
{
    static uint8_t whole[CATALOGUE_BACKUP_MAX_BYTES];
    size_t refused = 0;
    bool met = true;
    (void)state;
    json_decref(taken());
    size_t len = backup.text_len;
    memcpy(whole, backup.text, len);
    json_set_alloc_funcs(scarce, free);
    for (size_t n = 1; met; n++) {
        countdown = n;
        enum hf_status status = catalogue_backup(
            world.service, &world.admin, WORLD_TENANT, &backup, &world.problem);
        met = countdown == 0;
        countdown = 0;
        refused += status != HF_OK;
        if (status == HF_OK) {
            assert_int_equal(backup.text_len, len);
            assert_memory_equal(backup.text, whole, len);
        }
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(refused > 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(it_tells_what_there_is), TEST(its_signature_verifies),
        TEST(no_key_is_in_it),        TEST(who_may_have_it),
        TEST(no_part_is_signed),
    };
#undef TEST
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
