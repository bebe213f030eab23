/* Does any one of the three wrapped copies of a DEP key recover it, when the
 * store has lost the other two, by the path that may use it (appendix B, check
 * 3)? */
#include "hsm/base/check.h"

#include "server/service/ak_audit.h"
#include "server/service/core.h"

#include "tests/unit/service/world.h"

#include <stdlib.h>
#include <string.h>

static struct world world;
static struct outcome made;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 0, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static struct generation_entry *generation(void)
{
    struct generation_entry *entry = catalogue_generation(
        catalogue_dep_by_id(&world.service->catalogue, &made.dep), 1);
    assert_non_null(entry);
    return entry;
}

/* The store holds this from now on, and the service has read it there. */
static void store_generation(const struct generation_record *wanted)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    struct record *record = calloc(1, sizeof *record);
    assert_non_null(record);
    assert_ok(change_new(&change));
    assert_ok(generation_encode(wanted, record));
    assert_ok(change_put(change, record, &generation()->stamp, NULL));
    assert_ok(change_audit(change, &wanted->tenant, "{}"));
    assert_ok(ledger_commit(world.service->ledger, change));
    free(record);
    assert_ok(world_restart(&world));
}

/* A record without its blob cannot be: nothing of it is left but its place. */
static void lose(struct wrapped_copy *copy)
{
    memset(copy->wrapped, 0, sizeof copy->wrapped);
}

static void copies_are_three_and_differ(void **state)
{
    const struct generation_record *record = &generation()->record;
    (void)state;
    for (size_t i = 0; i < HF_COUNT(record->copies); i++) {
        const struct wrapped_copy *copy = &record->copies[i];
        assert_true(copy->wrapped_len > HF_KEY_BYTES);
        for (size_t j = 0; j < i; j++) {
            assert_false(
                bytes_equal((struct bytes){copy->wrapped, copy->wrapped_len},
                            (struct bytes){record->copies[j].wrapped,
                                           record->copies[j].wrapped_len}));
        }
    }
    assert_int_equal(HF_COUNT(record->copies), 3);
}

static void customer_tokens_away(bool away)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world.customer_fake[i]);
        if (away) {
            token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP,
                                HF_E_UNREACHABLE);
        }
    }
}

static void any_one_copy_is_enough(void **state)
{
    const struct generation_record whole = generation()->record;
    (void)state;
    for (size_t kept = 0; kept < HF_COUNT(whole.copies); kept++) {
        struct generation_record left = whole;
        for (size_t i = 0; i < HF_COUNT(left.copies); i++) {
            if (i != kept) {
                lose(&left.copies[i]);
            }
        }
        store_generation(&left);
        customer_tokens_away(kept == ROOT_AK); /* or nobody may use it */
        for (int initiator = INITIATOR_USER; initiator <= INITIATOR_SYSTEM;
             initiator++) {
            struct outcome out;
            size_t before = world_audit_count(&world, AK_AUDIT_ACTIVITY);
            world_unwrap(&world, &world.system, (enum initiator)initiator,
                         &out);
            assert_ok(out.status);
            assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
            assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY),
                             before + (kept == ROOT_AK ? 1 : 0));
        }
        customer_tokens_away(false);
    }
}

static void no_copy_is_not_enough(void **state)
{
    struct generation_record left = generation()->record;
    (void)state;
    for (size_t i = 0; i < HF_COUNT(left.copies); i++) {
        lose(&left.copies[i]);
    }
    store_generation(&left);
    for (int away = 0; away < 2; away++) {
        struct outcome out;
        customer_tokens_away(away != 0);
        world_unwrap(&world, &world.system, INITIATOR_SYSTEM, &out);
        assert_true(out.status != HF_OK);
        assert_false(out.has_key);
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(copies_are_three_and_differ),
        TEST(any_one_copy_is_enough),
        TEST(no_copy_is_not_enough),
    };
    return cmocka_run_group_tests_name("service_copies", tests, NULL, NULL);
}
