/* Does what happens by itself come into the audit chain: health that changes,
 * and key versions that are used? */
#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/chronicle.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    5000
#define SECOND   1000
#define DAY      ((int64_t)86400 * SECOND)

static struct world world;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 0, RESIDENCY_TOKEN);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void pass(int64_t ms)
{
    __atomic_add_fetch(&world.now_ms, ms, __ATOMIC_SEQ_CST);
}

/* Time goes on until there are so many. */
static void wait_for(const char *activity, size_t count)
{
    for (int i = 0; i < TRIES; i++) {
        if (world_audit_count(&world, activity) >= count) {
            break;
        }
        pass(SECOND);
        usleep(PAUSE_US);
    }
    assert_int_equal(world_audit_count(&world, activity), count);
}

/* Some looks more, and nothing is added. */
static void nothing_more(const char *activity, size_t count)
{
    for (int i = 0; i < 5; i++) {
        pass(SECOND);
        usleep(250000); /* longer than a tick of the scheduler */
    }
    assert_int_equal(world_audit_count(&world, activity), count);
}

struct last {
    char text[512];
    char object[128];
};

static enum hf_status keep(void *context, const struct audit_link *link)
{
    struct last *last = context;
    assert_true(link->body_len < sizeof last->text);
    memcpy(last->text, link->body, link->body_len);
    last->text[link->body_len] = '\0';
    return HF_OK;
}

static void last_says(const char *activity, const char *words)
{
    struct last last = {.text = ""};
    struct audit_query query = {.tenant = WORLD_TENANT, .page = {.size = 1000}};
    snprintf(query.activity, sizeof query.activity, "%s", activity);
    assert_ok(audit_list(world.service, &world.auditor, &query, keep, &last,
                         &world.problem));
    if (strstr(last.text, words) == NULL) {
        fail_msg("%s is not in %s", words, last.text);
    }
}

static void use(void)
{
    struct outcome outcome;
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
}

static void down(size_t token, enum hf_status status)
{
    token_fake_fail_all(world.customer_fake[token], TOKEN_OP_UNWRAP, status);
}

static void test_health(void **state)
{
    (void)state;
    struct outcome outcome;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    nothing_more(CHRONICLE_DEP_HEALTH, 0);
    assert_int_equal(world_audit_count(&world, CHRONICLE_KEY_HEALTH), 0);
    down(0, HF_E_UNREACHABLE);
    for (int i = 0; i < 20; i++) { /* either key comes first */
        use();
    }
    wait_for(CHRONICLE_DEP_HEALTH, 1);
    last_says(CHRONICLE_DEP_HEALTH, "\"from\":\"HEALTHY\",\"to\":\"DEGRADED\"");
    wait_for(CHRONICLE_KEY_HEALTH, 1);
    last_says(CHRONICLE_KEY_HEALTH, "\"from\":\"OK\",\"to\":\"TRANSIENT\"");
    last_says(CHRONICLE_KEY_HEALTH,
              "tenants/contoso/customerKeys/ck1/versions/1\"");
    for (int i = 0; i < 20; i++) { /* the same once more is no news */
        use();
    }
    nothing_more(CHRONICLE_DEP_HEALTH, 1);
    down(1, HF_E_UNREACHABLE);
    use();
    wait_for(CHRONICLE_DEP_HEALTH, 2);
    last_says(CHRONICLE_DEP_HEALTH,
              "\"from\":\"DEGRADED\",\"to\":\"FALLBACK\"");
}

static struct key_version_use use_of(const char *key)
{
    struct customer_key_view view;
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT, key,
                                &view, &world.problem));
    return view.uses[0];
}

static void test_use(void **state)
{
    (void)state;
    struct outcome outcome;
    struct key_version_use first = {0};
    world_generate(&world, WORLD_MAILBOX, &outcome);
    for (int i = 0; i < 20; i++) {
        use();
    }
    wait_for(CHRONICLE_KEY_USED, 2);
    last_says(CHRONICLE_KEY_USED, "/versions/1\"");
    last_says(CHRONICLE_KEY_USED, "\"firstUseMs\":");
    first = use_of("ck1");
    assert_true(first.first_ms > 0 && first.last_ms >= first.first_ms);
    nothing_more(CHRONICLE_KEY_USED, 2);
    pass(DAY);
    for (int i = 0; i < 20; i++) {
        use();
    }
    assert_int_equal(use_of("ck1").first_ms, first.first_ms);
    assert_true(use_of("ck1").last_ms >= first.last_ms + DAY);
    wait_for(CHRONICLE_KEY_USED, 4);
}

/* What the store does not take at first is written later. */
static void test_a_store_that_fails(void **state)
{
    (void)state;
    struct outcome outcome;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    /* before there is anything to write: a loaded machine may write at once */
    store_memory_fail_at(world.memory, STORE_MEMORY_COMMIT, 1, HF_E_OVERLOAD);
    for (int i = 0; i < 20; i++) {
        use();
    }
    for (int i = 0; i < TRIES && !store_memory_failed(world.memory); i++) {
        pass(SECOND);
        usleep(PAUSE_US);
    }
    assert_true(store_memory_failed(world.memory));
    wait_for(CHRONICLE_KEY_USED, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health, start, stop),
        cmocka_unit_test_setup_teardown(test_use, start, stop),
        cmocka_unit_test_setup_teardown(test_a_store_that_fails, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
