/* How long a DEP key may be used, when it is renewed, whom an AK lease serves;
 * and which key is asked first. */
#include "hsm/base/check.h"

#include "server/domain/attempt_order.h"
#include "server/domain/lease.h"
#include "server/domain/tik.h"

#include "tests/support/unit.h"

#define OPENED  1000000
#define EXPIRES 1060000
#define DUE     1045000

static struct lease_times lease_from(enum lease_source source)
{
    return (struct lease_times){
        .source = source,
        .opened_ms = OPENED,
        .expires_ms = EXPIRES,
        .last_used_ms = OPENED,
    };
}

static void test_life(void **state)
{
    (void)state;
    static const struct {
        int64_t asked_ms;
        int64_t key_ms;
        int64_t ak_ms;
    } lives[] = {
        {INT64_MIN, 0,      0    },
        {-1,        0,      0    },
        {0,         0,      0    },
        {1,         1,      1    },
        {9999,      9999,   9999 },
        {10000,     10000,  10000},
        {10001,     10001,  10000},
        {60000,     60000,  10000},
        {900000,    900000, 10000},
        {900001,    900000, 10000},
        {INT64_MAX, 900000, 10000},
    };
    for (size_t i = 0; i < HF_COUNT(lives); i++) {
        int64_t ms = lives[i].asked_ms;
        assert_int_equal(lease_life_ms(LEASE_BY_CUSTOMER_KEY, ms, 1),
                         lives[i].key_ms);
        assert_int_equal(lease_life_ms(LEASE_BY_SERVICE_ROOT, ms, 1),
                         lives[i].key_ms);
        assert_int_equal(lease_life_ms(LEASE_BY_AVAILABILITY_KEY, 1, ms),
                         lives[i].ak_ms);
        assert_int_equal(lease_life_ms((enum lease_source)0, ms, ms), 0);
        assert_int_equal(lease_life_ms((enum lease_source)6, ms, ms), 0);
        /* a cached TIK has a life of its own; what the recovery job was given
         * serves the call that asked */
        assert_int_equal(lease_life_ms(LEASE_AS_TIK, ms, ms), TIK_LIFE_MS);
        assert_int_equal(lease_life_ms(LEASE_FOR_RECOVERY, ms, ms), 0);
        assert_int_equal(key_lease_is_valid(ms), ms >= 0 && ms <= 900000);
    }
}

static void test_live(void **state)
{
    (void)state;
    struct lease_times lease = lease_from(LEASE_BY_CUSTOMER_KEY);
    assert_false(lease_is_live(&lease, OPENED - 1));
    assert_true(lease_is_live(&lease, OPENED));
    assert_true(lease_is_live(&lease, EXPIRES - 1));
    assert_false(lease_is_live(&lease, EXPIRES));
    assert_false(lease_is_live(&lease, INT64_MAX));
    lease.expires_ms = OPENED; /* a key_lease of 0 */
    assert_false(lease_is_live(&lease, OPENED));
}

/* ahead of expiry, at three quarters. */
static void test_renewal_is_due(void **state)
{
    (void)state;
    const enum lease_source sources[] = {LEASE_BY_CUSTOMER_KEY,
                                         LEASE_BY_SERVICE_ROOT};
    for (size_t i = 0; i < HF_COUNT(sources); i++) {
        struct lease_times lease = lease_from(sources[i]);
        assert_int_equal(lease_renew_due_ms(&lease), DUE);
        assert_false(lease_renew_due(&lease, OPENED));
        assert_false(lease_renew_due(&lease, DUE - 1));
        assert_true(lease_renew_due(&lease, DUE));
        assert_true(lease_renew_due(&lease, EXPIRES - 1));
        /* dead: the next call opens it anew, in its own time */
        assert_false(lease_renew_due(&lease, EXPIRES));
    }
}

static void test_unused_is_not_renewed(void **state)
{
    (void)state;
    struct lease_times lease = lease_from(LEASE_BY_CUSTOMER_KEY);
    lease.last_used_ms = OPENED - 1; /* of the lease before this one */
    assert_false(lease_renew_due(&lease, DUE));
    assert_false(lease_renew_due(&lease, EXPIRES - 1));
    lease.last_used_ms = EXPIRES - 2; /* late, but used */
    assert_true(lease_renew_due(&lease, EXPIRES - 1));
}

/* R-15.4a: each AK operation is a use of its own. */
static void test_ak_lease_is_not_renewed(void **state)
{
    (void)state;
    const int sources[] = {LEASE_BY_AVAILABILITY_KEY, LEASE_AS_TIK,
                           LEASE_FOR_RECOVERY, 0, 6};
    for (size_t i = 0; i < HF_COUNT(sources); i++) {
        struct lease_times lease = lease_from((enum lease_source)sources[i]);
        assert_int_equal(lease_renew_due_ms(&lease), INT64_MAX);
        assert_false(lease_renew_due(&lease, DUE));
        assert_false(lease_renew_due(&lease, EXPIRES - 1));
    }
}

static void test_short_lives(void **state)
{
    (void)state;
    struct lease_times lease = lease_from(LEASE_BY_CUSTOMER_KEY);
    lease.expires_ms = OPENED;
    assert_int_equal(lease_renew_due_ms(&lease), INT64_MAX);
    assert_false(lease_renew_due(&lease, OPENED));
    lease.expires_ms = OPENED - 1;
    assert_int_equal(lease_renew_due_ms(&lease), INT64_MAX);
    /* too short to be ahead of: never due before it is over */
    lease.expires_ms = OPENED + 1;
    assert_int_equal(lease_renew_due_ms(&lease), OPENED + 1);
    assert_false(lease_renew_due(&lease, OPENED));
    lease.expires_ms = OPENED + 4;
    assert_int_equal(lease_renew_due_ms(&lease), OPENED + 3);
    assert_true(lease_renew_due(&lease, OPENED + 3));
}

/* Every class known now, both initiators. */
static void test_whom_a_lease_serves(void **state)
{
    (void)state;
    for (int i = 0; i < ATTEMPT_COUNT * ATTEMPT_COUNT * 2; i++) {
        struct fallback_facts facts = {
            .results = {(enum attempt)(i / 2 / ATTEMPT_COUNT),
                        (enum attempt)(i / 2 % ATTEMPT_COUNT)},
            .initiator = i % 2 == 0 ? INITIATOR_USER : INITIATOR_SYSTEM,
            .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
            .ak_state = AK_ACTIVE,
        };
        struct lease_times lease = lease_from(LEASE_BY_AVAILABILITY_KEY);
        bool denied = false;
        for (int slot = 0; slot < 2; slot++) {
            denied = denied || facts.results[slot] == ATTEMPT_DENIED ||
                     facts.results[slot] == ATTEMPT_MISSING;
        }
        bool serves = lease_serves(&lease, OPENED, &facts);
        assert_int_equal(serves, fallback_decide(&facts).use_ak);
        if (denied && facts.initiator == INITIATOR_USER) {
            assert_false(serves);
        }
        assert_false(lease_serves(&lease, EXPIRES, &facts));
        lease.source = LEASE_BY_CUSTOMER_KEY;
        assert_true(lease_serves(&lease, OPENED, &facts));
        assert_false(lease_serves(&lease, EXPIRES, &facts));
        lease.source = LEASE_BY_SERVICE_ROOT;
        assert_true(lease_serves(&lease, OPENED, &facts));
    }
}

static void test_whom_nobody_serves(void **state)
{
    (void)state;
    struct fallback_facts outage = {
        .results = {ATTEMPT_TRANSIENT, ATTEMPT_TRANSIENT},
        .initiator = INITIATOR_USER,
        .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
        .ak_state = AK_ACTIVE,
    };
    struct lease_times lease = lease_from(LEASE_BY_AVAILABILITY_KEY);
    assert_true(lease_serves(&lease, OPENED, &outage));
    assert_false(lease_serves(&lease, OPENED, NULL));
    outage.purge_requested = true;
    assert_false(lease_serves(&lease, OPENED, &outage));
    outage.purge_requested = false;
    outage.ak_state = AK_DESTROYED;
    assert_false(lease_serves(&lease, OPENED, &outage));
    outage.ak_state = AK_ACTIVE;
    lease.source = (enum lease_source)0;
    assert_false(lease_serves(&lease, OPENED, &outage));
    lease.source = LEASE_FOR_RECOVERY;
    assert_false(lease_serves(&lease, OPENED, &outage));
    lease.source = LEASE_AS_TIK;
    assert_true(lease_serves(&lease, OPENED, NULL));
    lease.source = LEASE_BY_CUSTOMER_KEY;
    assert_true(lease_serves(&lease, OPENED, NULL));
}

/* over all values of the random byte, exactly half each. */
static void test_first_choice(void **state)
{
    (void)state;
    size_t first[2] = {0, 0};
    for (int random = 0; random < 256; random++) {
        size_t slot = first_attempt_slot((uint8_t)random);
        assert_in_range(slot, 0, 1);
        first[slot]++;
    }
    assert_int_equal(first[0], 128);
    assert_int_equal(first[1], 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_renewal_is_due),
        cmocka_unit_test(test_unused_is_not_renewed),
        cmocka_unit_test(test_ak_lease_is_not_renewed),
        cmocka_unit_test(test_short_lives),
        cmocka_unit_test(test_whom_a_lease_serves),
        cmocka_unit_test(test_whom_nobody_serves),
        cmocka_unit_test(test_first_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
