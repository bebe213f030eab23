/* May this identity use this key for that, now: every use against deleted
 * enabled, grants and time; and
 * what two such verdicts let a caller do. */
#include "hsm/base/check.h"

#include "server/domain/customer_key.h"

#include "tests/support/unit.h"

#define NOW    1800000000000ll
#define LEEWAY 300000ll
#define ALL    (PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP)

static const struct {
    enum customer_key_use use;
    uint32_t needs;
} uses[] = {
    {KEY_USE_GET,    PERMISSION_GET   },
    {KEY_USE_WRAP,   PERMISSION_WRAP  },
    {KEY_USE_UNWRAP, PERMISSION_UNWRAP},
};

/* Where now lies, with the leeway of at both ends. */
static const struct {
    int64_t not_before_ms;
    int64_t expires_ms;
    bool in_time;
} times[] = {
    {0,                0,                         true },
    {NOW - 1,          0,                         true },
    {NOW,              0,                         true },
    {NOW + LEEWAY,     0,                         true },
    {NOW + LEEWAY + 1, 0,                         false},
    {INT64_MAX,        0,                         false},
    {INT64_MIN,        0,                         true },
    {0,                NOW + 1,                   true },
    {0,                NOW,                       true },
    {0,                NOW - LEEWAY,              true },
    {0,                NOW - LEEWAY - 1,          false},
    {0,                INT64_MIN,                 false},
    {0,                CUSTOMER_KEY_NO_EXPIRY_MS, true },
    {NOW - 10,         NOW + 10,                  true },
    {NOW + LEEWAY + 1, NOW + 2 * LEEWAY,          false},
};

static void expect(const struct customer_key_facts *facts, size_t use,
                   bool in_time)
{
    uint32_t needs = uses[use].needs;
    struct customer_key_verdict verdict =
        customer_key_decide(facts, uses[use].use);
    bool allowed =
        !facts->deleted && facts->enabled && (facts->granted & needs) != 0;
    if (uses[use].use == KEY_USE_WRAP && !in_time) {
        allowed = false;
    }
    assert_int_equal(verdict.allowed, allowed);
    assert_int_equal(verdict.warn, allowed && !in_time);
    assert_int_equal(verdict.never_held,
                     ((facts->granted | facts->ever_held) & needs) == 0);
}

static void test_every_use(void **state)
{
    (void)state;
    for (size_t use = 0; use < HF_COUNT(uses); use++) {
        for (size_t time = 0; time < HF_COUNT(times); time++) {
            for (uint32_t bits = 0; bits < 256; bits++) {
                const struct customer_key_facts facts = {
                    .enabled = (bits & 64) != 0,
                    .deleted = (bits & 128) != 0,
                    .not_before_ms = times[time].not_before_ms,
                    .expires_ms = times[time].expires_ms,
                    .now_ms = NOW,
                    .granted = bits & ALL,
                    .ever_held = (bits >> 3) & ALL,
                };
                expect(&facts, use, times[time].in_time);
            }
        }
    }
}

/* The rows of, once in plain words. */
static void test_expired_key_unwraps_and_does_not_wrap(void **state)
{
    (void)state;
    const struct customer_key_facts expired = {
        .enabled = true,
        .expires_ms = NOW - LEEWAY - 1,
        .now_ms = NOW,
        .granted = ALL,
        .ever_held = ALL,
    };
    struct customer_key_facts disabled = expired;
    disabled.enabled = false;
    disabled.expires_ms = 0;
    assert_true(customer_key_decide(&expired, KEY_USE_UNWRAP).allowed);
    assert_true(customer_key_decide(&expired, KEY_USE_UNWRAP).warn);
    assert_false(customer_key_decide(&expired, KEY_USE_WRAP).allowed);
    assert_false(customer_key_decide(&expired, KEY_USE_WRAP).warn);
    assert_true(customer_key_decide(&expired, KEY_USE_GET).allowed);
    assert_false(customer_key_decide(&disabled, KEY_USE_UNWRAP).allowed);
    assert_false(customer_key_decide(&disabled, KEY_USE_GET).allowed);
}

static void test_no_such_use(void **state)
{
    (void)state;
    const struct customer_key_facts facts = {
        .enabled = true,
        .now_ms = NOW,
        .granted = UINT32_MAX,
        .ever_held = UINT32_MAX,
    };
    struct customer_key_verdict verdict =
        customer_key_decide(&facts, (enum customer_key_use)3);
    assert_false(verdict.allowed);
    assert_true(verdict.never_held);
}

/* withdrawn is not the same as never held. */
static void test_gate(void **state)
{
    (void)state;
    const struct customer_key_verdict open = {.allowed = true};
    const struct customer_key_verdict late = {.allowed = true, .warn = true};
    const struct customer_key_verdict withdrawn = {.allowed = false};
    const struct customer_key_verdict never = {.never_held = true};
    const struct {
        struct customer_key_verdict a;
        struct customer_key_verdict b;
        enum caller_gate gate;
    } rows[] = {
        {open,      open,      GATE_OPEN     },
        {open,      late,      GATE_OPEN     },
        {open,      withdrawn, GATE_OPEN     },
        {open,      never,     GATE_OPEN     },
        {late,      late,      GATE_OPEN     },
        {late,      withdrawn, GATE_OPEN     },
        {late,      never,     GATE_OPEN     },
        {withdrawn, withdrawn, GATE_WITHDRAWN},
        {withdrawn, never,     GATE_WITHDRAWN},
        {never,     never,     GATE_STRANGER },
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        const struct customer_key_verdict one[2] = {rows[i].a, rows[i].b};
        const struct customer_key_verdict other[2] = {rows[i].b, rows[i].a};
        assert_int_equal(caller_gate_of(one), rows[i].gate);
        assert_int_equal(caller_gate_of(other), rows[i].gate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_use),
        cmocka_unit_test(test_expired_key_unwraps_and_does_not_wrap),
        cmocka_unit_test(test_no_such_use),
        cmocka_unit_test(test_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
