/* A token that comes late: what it answers before, that it is the other one
 * afterwards, and that closing it ends the attempts. */
#include "hsm/base/check.h"

#include "hsm/token/late.h"

#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <stdatomic.h>
#include <time.h>

/* Attempts fail with so many statuses first. */
struct opener {
    const enum hf_status *failures;
    size_t failure_count;
    atomic_size_t attempts;
    struct token_fake *fake;
};

static enum hf_status open_fake(void *context, struct token *out_token)
{
    struct opener *opener = context;
    const struct token_fake_settings settings = {.label = "late"};
    size_t attempt = atomic_fetch_add(&opener->attempts, 1);
    if (attempt < opener->failure_count) {
        return opener->failures[attempt];
    }
    return token_fake_new(&settings, out_token, &opener->fake);
}

static struct token late_of(struct opener *opener, int64_t pause_ms)
{
    const struct late_settings settings = {
        .open = open_fake,
        .context = opener,
        .pause_ms = pause_ms,
        .pause_max_ms = pause_ms,
    };
    struct token token = {0};
    assert_ok(late_token_new(&settings, &token));
    return token;
}

static enum hf_status health(const struct token *token)
{
    struct token_request request = {.op = TOKEN_OP_HEALTH};
    return token_call(token, &request);
}

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

static void there_at_once(void **state)
{
    struct opener opener = {.failure_count = 0};
    struct token_profile profile;
    (void)state;
    struct token token = late_of(&opener, 1000);
    assert_true(late_token_wait(&token, 10000));
    assert_ok(health(&token));
    token_profile_get(&token, &profile);
    assert_true(token_profile_is_known(&profile));
    assert_string_equal(profile.label, "late");
    token_close(&token);
    assert_null(token.port);
}

static void what_it_answers(void **state)
{
    static const struct {
        enum hf_status failure;
        enum hf_status answer;
        enum token_condition condition;
    } cases[] = {
        {HF_E_NOT_FOUND,   HF_E_UNREACHABLE, TOKEN_UNAVAILABLE},
        {HF_E_UNREACHABLE, HF_E_UNREACHABLE, TOKEN_UNAVAILABLE},
        {HF_E_TIMEOUT,     HF_E_UNREACHABLE, TOKEN_UNAVAILABLE},
        {HF_E_UNSUPPORTED, HF_E_UNREACHABLE, TOKEN_REFUSED    },
        {HF_E_DENIED,      HF_E_DENIED,      TOKEN_PIN_REFUSED},
        {HF_E_NO_MEMORY,   HF_E_NO_MEMORY,   TOKEN_UNAVAILABLE},
        {HF_E_RESOURCES,   HF_E_RESOURCES,   TOKEN_UNAVAILABLE},
        {HF_E_MISUSE,      HF_E_MISUSE,      TOKEN_UNAVAILABLE},
        {HF_E_LIMIT,       HF_E_RESOURCES,   TOKEN_UNAVAILABLE},
        {HF_E_IO,          HF_E_RESOURCES,   TOKEN_UNAVAILABLE},
        {HF_E_INTERNAL,    HF_E_RESOURCES,   TOKEN_UNAVAILABLE},
        {HF_E_CORRUPT,     HF_E_UNREACHABLE, TOKEN_UNAVAILABLE},
    };
    struct token_profile profile;
    struct token_counters counters;
    struct token_state standing;
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct opener opener = {.failures = &cases[i].failure,
                                .failure_count = 1};
        struct token token = late_of(&opener, 60000);
        assert_false(late_token_wait(&token, 10000));
        assert_status(health(&token), cases[i].answer);
        token_profile_get(&token, &profile);
        assert_false(token_profile_is_known(&profile));
        token_counters_get(&token, &counters);
        assert_int_equal(counters.root_ops, 0);
        token_state_get(&token, &standing);
        assert_int_equal(standing.condition, cases[i].condition);
        assert_string_not_equal(standing.why, "");
        token_close(&token); /* does not wait for the pause */
        assert_int_equal(opener.attempts, 1);
    }
}

static void comes_later(void **state)
{
    static const enum hf_status failures[] = {HF_E_NOT_FOUND, HF_E_DENIED,
                                              HF_E_UNREACHABLE};
    struct opener opener = {.failures = failures,
                            .failure_count = HF_COUNT(failures)};
    struct token_counters counters;
    (void)state;
    struct token token = late_of(&opener, 1);
    for (int i = 0; i < 5000 && health(&token) != HF_OK; i++) {
        pause_ms(1);
    }
    assert_ok(health(&token));
    assert_int_equal(opener.attempts, 4);
    token_counters_get(&token, &counters);
    assert_true(counters.root_ops > 0);
    struct token_state standing;
    token_state_get(&token, &standing);
    assert_int_equal(standing.condition, TOKEN_OPEN);
    assert_string_equal(standing.why, "");
    token_close(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_at_once),
        cmocka_unit_test(what_it_answers),
        cmocka_unit_test(comes_later),
    };
    return cmocka_run_group_tests_name("token_late", tests, NULL, NULL);
}
