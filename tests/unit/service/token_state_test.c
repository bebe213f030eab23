/* How does a token stand, and who is told why? */
#include "hsm/base/check.h"

#include "server/service/tokens.h"

#include "tests/unit/service/world.h"

#include <string.h>

static struct world world;

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

static void assert_shown(const struct token_view *view,
                         const struct token_state *wanted, const char *why)
{
    assert_true(view->is_configured);
    assert_int_equal(view->state.condition, wanted->condition);
    assert_int_equal(view->state.worker, wanted->worker);
    assert_int_equal(view->state.restarts, wanted->restarts);
    assert_string_equal(view->state.why, why);
}

/* Why may name files of the service's. */
static void the_reason_is_for_its_own_people(void **state)
{
    const struct token_state set = {
        .condition = TOKEN_PIN_REFUSED,
        .worker = 4,
        .restarts = 3,
        .why = "the PIN file /etc/holdfast/pins/one",
    };
    const struct caller *callers[] = {&world.operator_, &world.admin,
                                      &world.auditor};
    const struct page_request page = {.size = 8, .token = ""};
    (void)state;
    token_fake_state(world.customer_fake[0], &set);
    for (size_t i = 0; i < HF_COUNT(callers); i++) {
        const char *why = i == 0 ? set.why : "";
        struct token_view one;
        struct token_view some[8];
        struct token_views found = {.views = some, .cap = HF_COUNT(some)};
        assert_ok(tokens_get(world.service, callers[i], WORLD_TENANT, "t1",
                             &one, &world.problem));
        assert_shown(&one, &set, why);
        assert_ok(tokens_list(world.service, callers[i], WORLD_TENANT, &page,
                              &found, &world.problem));
        assert_int_equal(found.count, 2);
        for (size_t j = 0; j < found.count; j++) {
            const struct token_state open = {.condition = TOKEN_OPEN};
            bool first = strcmp(some[j].name, "t1") == 0;
            assert_shown(&some[j], first ? &set : &open, first ? why : "");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_reason_is_for_its_own_people, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("token_state", tests, NULL, NULL);
}
