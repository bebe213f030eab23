/* Table 6-C, and the life of a cached TIK. */
#include "hsm/base/check.h"

#include "server/domain/tik.h"

#include "tests/support/unit.h"

#include <string.h>

#define MINUTE 60000ll
#define HOUR   (60 * MINUTE)

/* --- table 6-C ---------------------------------------------------------- */

/* What two failures come to when there is no entry: rows and columns are the
 * results, as an attempt of USER's is seen. */
#define OUT  REASON_KEY_UNAVAILABLE
#define DEN  REASON_KEY_ACCESS_DENIED
#define BAD  REASON_BLOB_INVALID
#define OURS REASON_SERVICE_UNAVAILABLE
static const struct {
    enum attempt first;
    enum attempt second;
    enum reason user;
    enum reason system;
} no_entry[] = {
  /* clang-format off */
    {ATTEMPT_TRANSIENT, ATTEMPT_TRANSIENT, OUT,  OUT },
    {ATTEMPT_TRANSIENT, ATTEMPT_DENIED,    DEN,  DEN },
    {ATTEMPT_DENIED,    ATTEMPT_DENIED,    DEN,  DEN },
    {ATTEMPT_TRANSIENT, ATTEMPT_BAD_BLOB,  OUT,  OUT },
    {ATTEMPT_DENIED,    ATTEMPT_BAD_BLOB,  DEN,  DEN },
    {ATTEMPT_BAD_BLOB,  ATTEMPT_BAD_BLOB,  BAD,  BAD },
    {ATTEMPT_MISSING,   ATTEMPT_TRANSIENT, DEN,  OUT },
    {ATTEMPT_MISSING,   ATTEMPT_DENIED,    DEN,  DEN },
    {ATTEMPT_MISSING,   ATTEMPT_BAD_BLOB,  DEN,  OUT },
    {ATTEMPT_MISSING,   ATTEMPT_MISSING,   DEN,  OUT },
    {ATTEMPT_OURS,      ATTEMPT_TRANSIENT, OURS, OURS},
    {ATTEMPT_OURS,      ATTEMPT_DENIED,    OURS, OURS},
    {ATTEMPT_OURS,      ATTEMPT_BAD_BLOB,  OURS, OURS},
    {ATTEMPT_OURS,      ATTEMPT_MISSING,   OURS, OURS},
    {ATTEMPT_OURS,      ATTEMPT_OURS,      OURS, OURS},
  /* clang-format on */
};

static enum reason expected_reason(enum attempt a, enum attempt b,
                                   enum initiator initiator)
{
    for (size_t i = 0; i < HF_COUNT(no_entry); i++) {
        if ((no_entry[i].first == a && no_entry[i].second == b) ||
            (no_entry[i].first == b && no_entry[i].second == a)) {
            return initiator == INITIATOR_SYSTEM ? no_entry[i].system
                                                 : no_entry[i].user;
        }
    }
    fail_msg("%s + %s is not in the table", attempt_text(a), attempt_text(b));
    return REASON_NONE;
}

static bool counts_as_denied(enum attempt attempt, enum initiator initiator)
{
    return attempt == ATTEMPT_DENIED ||
           (attempt == ATTEMPT_MISSING && initiator == INITIATOR_USER);
}

static void check_answered(const struct tik_facts *facts)
{
    struct tik_verdict verdict = tik_decide(facts);
    enum attempt a = facts->results[0];
    enum attempt b = facts->results[1];
    bool ok = a == ATTEMPT_OK || b == ATTEMPT_OK;
    bool ours = a == ATTEMPT_OURS || b == ATTEMPT_OURS;
    bool entry = facts->cache != TIK_NONE;
    bool evict = !ok && entry && facts->evict_on_denied &&
                 counts_as_denied(a, facts->initiator) &&
                 counts_as_denied(b, facts->initiator);
    bool whole = facts->ak_state == AK_ACTIVE || facts->ak_state == AK_ROLLING;
    /* only ever the recovery job, and only after both failed */
    bool use_ak = !ok && !entry && facts->recovery_job && whole && !ours;
    assert_int_equal(verdict.create, ok);
    assert_int_equal(verdict.serve, ok || (entry && !evict));
    assert_int_equal(verdict.count_failure, !ok && entry);
    assert_int_equal(verdict.evict, evict);
    assert_int_equal(verdict.use_ak, use_ak);
    assert_int_equal(verdict.alert, !ok && (ours || a == ATTEMPT_BAD_BLOB ||
                                            b == ATTEMPT_BAD_BLOB));
    enum reason expected = REASON_NONE;
    if (evict) {
        expected = DEN;
    } else if (!ok && !entry && !use_ak) {
        expected = expected_reason(a, b, facts->initiator);
        if (facts->ak_state == AK_DESTROYED && !ours) {
            expected = REASON_KEY_DESTROYED;
        }
    }
    assert_string_equal(reason_word(verdict.reason), reason_word(expected));
}

/* table 6-C: every combination has its answer. */
static void test_every_row_of_table_6c(void **state)
{
    (void)state;
    for (int bits = 0;
         bits < TIK_CACHE_COUNT * ATTEMPT_COUNT * ATTEMPT_COUNT * 2 * 3 * 2 * 2;
         bits++) {
        int rest = bits;
        struct tik_facts facts = {.asked = true};
        facts.cache = (enum tik_cache)(rest % TIK_CACHE_COUNT);
        rest /= TIK_CACHE_COUNT;
        facts.results[0] = (enum attempt)(rest % ATTEMPT_COUNT);
        rest /= ATTEMPT_COUNT;
        facts.results[1] = (enum attempt)(rest % ATTEMPT_COUNT);
        rest /= ATTEMPT_COUNT;
        facts.initiator = rest % 2 == 0 ? INITIATOR_USER : INITIATOR_SYSTEM;
        rest /= 2;
        facts.ak_state = (enum ak_state)(AK_ACTIVE + rest % 3);
        rest /= 3;
        facts.recovery_job = rest % 2 == 1;
        rest /= 2;
        facts.evict_on_denied = rest == 1;
        check_answered(&facts);
    }
}

/* The rows of the specification, word for word. */
static void test_table_6c_as_written(void **state)
{
    static const struct {
        enum tik_cache cache;
        bool asked;
        enum attempt first;
        enum attempt second;
        bool serve;
        bool create;
        bool count_failure;
        enum reason reason;
    } rows[] = {
  /* clang-format off */
        {TIK_FRESH,     false, ATTEMPT_OURS,      ATTEMPT_OURS,      true,  false, false, REASON_NONE},
        {TIK_IN_WINDOW, true,  ATTEMPT_OK,        ATTEMPT_TRANSIENT, true,  true,  false, REASON_NONE},
        {TIK_IN_WINDOW, true,  ATTEMPT_DENIED,    ATTEMPT_OK,        true,  true,  false, REASON_NONE},
        {TIK_IN_WINDOW, true,  ATTEMPT_TRANSIENT, ATTEMPT_TRANSIENT, true,  false, true,  REASON_NONE},
        {TIK_IN_WINDOW, true,  ATTEMPT_DENIED,    ATTEMPT_DENIED,    true,  false, true,  REASON_NONE},
        {TIK_NONE,      true,  ATTEMPT_OK,        ATTEMPT_DENIED,    true,  true,  false, REASON_NONE},
        {TIK_NONE,      true,  ATTEMPT_TRANSIENT, ATTEMPT_TRANSIENT, false, false, false, REASON_KEY_UNAVAILABLE},
        {TIK_NONE,      true,  ATTEMPT_TRANSIENT, ATTEMPT_DENIED,    false, false, false, REASON_KEY_ACCESS_DENIED},
        {TIK_NONE,      true,  ATTEMPT_DENIED,    ATTEMPT_DENIED,    false, false, false, REASON_KEY_ACCESS_DENIED},
        {TIK_IN_WINDOW, false, ATTEMPT_OURS,      ATTEMPT_OURS,      true,  false, false, REASON_NONE},
        {TIK_NONE,      false, ATTEMPT_OURS,      ATTEMPT_OURS,      false, false, false, REASON_KEY_UNAVAILABLE},
  /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        const struct tik_facts facts = {
            .cache = rows[i].cache,
            .asked = rows[i].asked,
            .results = {rows[i].first, rows[i].second},
            .initiator = INITIATOR_USER,
            .ak_state = AK_ACTIVE,
        };
        struct tik_verdict verdict = tik_decide(&facts);
        assert_int_equal(verdict.serve, rows[i].serve);
        assert_int_equal(verdict.create, rows[i].create);
        assert_int_equal(verdict.count_failure, rows[i].count_failure);
        assert_false(verdict.use_ak);
        assert_false(verdict.evict);
        assert_string_equal(reason_word(verdict.reason),
                            reason_word(rows[i].reason));
    }
}

/* --- the life of an entry ----------------------------------------------- */

/* */
static void test_what_an_entry_is(void **state)
{
    struct tik_entry none = {0};
    struct tik_entry entry;
    (void)state;
    assert_int_equal(tik_cache_of(&none, 0), TIK_NONE);
    assert_int_equal(tik_cache_of(&none, HOUR), TIK_NONE);
    tik_open(&entry, HOUR, TIK_LIFE_MS);
    assert_int_equal(TIK_LIFE_MS, 24 * HOUR);
    assert_int_equal(tik_cache_of(&entry, HOUR - 1), TIK_NONE);
    assert_int_equal(tik_cache_of(&entry, HOUR), TIK_FRESH);
    assert_int_equal(tik_cache_of(&entry, 23 * HOUR - 1), TIK_FRESH);
    assert_int_equal(tik_cache_of(&entry, 23 * HOUR), TIK_IN_WINDOW);
    assert_int_equal(tik_cache_of(&entry, 25 * HOUR - 1), TIK_IN_WINDOW);
    assert_int_equal(tik_cache_of(&entry, 25 * HOUR), TIK_NONE);
}

static struct tik_actions plan(const struct tik_entry *entry, int64_t now_ms)
{
    struct tik_actions actions;
    tik_plan(entry, now_ms, true, &actions);
    return actions;
}

static void check_quiet(const struct tik_entry *entry, int64_t now_ms,
                        int64_t next_due_ms)
{
    struct tik_actions actions = plan(entry, now_ms);
    assert_false(actions.refresh);
    assert_false(actions.alert);
    assert_false(actions.alert_last);
    assert_int_equal(actions.next_due_ms, next_due_ms);
}

/* two hours ahead, then every five minutes with jitter. */
static void test_when_it_is_tried(void **state)
{
    struct tik_entry entry;
    struct tik_entry other;
    struct tik_actions actions;
    (void)state;
    tik_open(&entry, 0, TIK_LIFE_MS);
    check_quiet(&entry, 0, 22 * HOUR);
    check_quiet(&entry, 22 * HOUR - 1, 22 * HOUR);
    actions = plan(&entry, 22 * HOUR);
    assert_true(actions.refresh);
    assert_false(actions.alert || actions.alert_last);
    assert_int_equal(actions.next_due_ms, 22 * HOUR);

    other = entry;
    tik_fail(&entry, 22 * HOUR, 0);
    tik_fail(&other, 22 * HOUR, UINT8_MAX);
    check_quiet(&entry, 22 * HOUR, 22 * HOUR + 5 * MINUTE);
    check_quiet(&other, 22 * HOUR, 22 * HOUR + 5 * MINUTE + 30000);
    assert_true(plan(&entry, 22 * HOUR + 5 * MINUTE).refresh);
    assert_false(plan(&other, 22 * HOUR + 5 * MINUTE).refresh);

    /* a success begins anew, and forgets what failed */
    tik_open(&entry, 22 * HOUR + 5 * MINUTE, TIK_LIFE_MS);
    check_quiet(&entry, 22 * HOUR + 5 * MINUTE, 44 * HOUR + 5 * MINUTE);

    /* what nobody needs, and what is over, is left alone */
    tik_plan(&other, 23 * HOUR, false, &actions);
    assert_false(actions.refresh || actions.alert || actions.alert_last);
    assert_int_equal(actions.next_due_ms, INT64_MAX);
    check_quiet(&other, 24 * HOUR, INT64_MAX);
}

/* after 3 failures, or 30 minutes of them; once. */
static void test_when_somebody_is_told(void **state)
{
    struct tik_entry entry;
    struct tik_entry slow;
    struct tik_actions actions;
    (void)state;
    tik_open(&entry, 0, TIK_LIFE_MS);
    tik_fail(&entry, 22 * HOUR, 0);
    slow = entry;
    assert_false(plan(&entry, 22 * HOUR + 1).alert);
    tik_fail(&entry, 22 * HOUR + 5 * MINUTE, 0);
    assert_false(plan(&entry, 22 * HOUR + 5 * MINUTE).alert);
    tik_fail(&entry, 22 * HOUR + 10 * MINUTE, 0);
    actions = plan(&entry, 22 * HOUR + 10 * MINUTE);
    assert_true(actions.alert);
    assert_false(actions.alert_last);
    tik_told(&entry, &actions);
    assert_false(plan(&entry, 22 * HOUR + 10 * MINUTE).alert);

    /* one failure that lasts */
    slow.next_try_ms = INT64_MAX;
    check_quiet(&slow, 22 * HOUR + 30 * MINUTE - 1, 22 * HOUR + 30 * MINUTE);
    assert_true(plan(&slow, 22 * HOUR + 30 * MINUTE).alert);

    /* and again half an hour before the end */
    entry.next_try_ms = INT64_MAX;
    check_quiet(&entry, 23 * HOUR + 30 * MINUTE - 1, 23 * HOUR + 30 * MINUTE);
    actions = plan(&entry, 23 * HOUR + 30 * MINUTE);
    assert_true(actions.alert_last);
    assert_false(actions.alert);
    tik_told(&entry, &actions);
    check_quiet(&entry, 23 * HOUR + 59 * MINUTE, INT64_MAX);
    for (int i = 0; i < 2; i++) { /* told stays told */
        actions = (struct tik_actions){.alert = i == 0, .alert_last = i == 0};
        tik_told(&entry, &actions);
    }
    check_quiet(&entry, 23 * HOUR + 59 * MINUTE, INT64_MAX);

    /* an entry that fails by nothing tells nobody */
    tik_open(&entry, 0, TIK_LIFE_MS);
    assert_false(plan(&entry, 23 * HOUR + 45 * MINUTE).alert_last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_of_table_6c),
        cmocka_unit_test(test_table_6c_as_written),
        cmocka_unit_test(test_what_an_entry_is),
        cmocka_unit_test(test_when_it_is_tried),
        cmocka_unit_test(test_when_somebody_is_told),
    };
    return cmocka_run_group_tests_name("tik", tests, NULL, NULL);
}
