/* The purge: every phase, event and guard (T8 to T11, M8, R-3.16, R-9.16,
 * */
#include "hsm/base/check.h"

#include "server/domain/purge.h"

#include "tests/support/unit.h"

#define PHASES 11 /* with one behind the last */

/* The whole table again, as the drawing has it. */
static int next_of(int phase, int event)
{
    static const struct {
        int phase;
        int event;
        int next;
    } rows[] = {
        {1, PURGE_EV_RENEW,      1},
        {1, PURGE_EV_APPROVE,    2},
        {1, PURGE_EV_CANCEL,     9},
        {2, PURGE_EV_RENEW,      1},
        {2, PURGE_EV_EXECUTE,    3},
        {2, PURGE_EV_PAUSE,      2},
        {2, PURGE_EV_RESUME,     2},
        {3, PURGE_EV_PAUSE,      3},
        {3, PURGE_EV_RESUME,     3},
        {3, PURGE_EV_HOLD_OVER,  4},
        {4, PURGE_EV_TOMBSTONED, 5},
        {5, PURGE_EV_DESTROYED,  6},
        {6, PURGE_EV_LEFT,       5},
        {6, PURGE_EV_VERIFIED,   7},
        {7, PURGE_EV_FORGOTTEN,  8},
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (rows[i].phase == phase && rows[i].event == event) {
            return rows[i].next;
        }
    }
    return 0;
}

static enum reason refusal_of(const struct purge_facts *facts, int event)
{
    bool runs = event == PURGE_EV_EXECUTE || event == PURGE_EV_HOLD_OVER;
    if (next_of((int)facts->phase, event) == 0 || (runs && facts->paused) ||
        (event == PURGE_EV_RENEW && facts->phase == PURGE_APPROVED &&
         facts->paused) ||
        (event == PURGE_EV_CANCEL && facts->approvals > 0) ||
        (event == PURGE_EV_PAUSE && facts->paused) ||
        (event == PURGE_EV_RESUME && !facts->paused)) {
        return REASON_STATE_CONFLICT;
    }
    if (event == PURGE_EV_EXECUTE && facts->now_ms >= facts->expires_ms) {
        return REASON_APPROVAL_INVALID;
    }
    if (event == PURGE_EV_HOLD_OVER && facts->now_ms < facts->hold_until_ms) {
        return REASON_HOLD_RUNNING;
    }
    if ((runs || event == PURGE_EV_TOMBSTONED) && facts->has_strays) {
        return REASON_DEP_IN_USE;
    }
    return event == PURGE_EV_EXECUTE && facts->earlier_open
               ? REASON_EARLIER_WRAPS
               : REASON_NONE;
}

static void expect(const struct purge_facts *facts, int event)
{
    struct purge_next next = {.phase = (enum purge_phase)77, .paused = true};
    enum reason reason = REASON_INTERNAL;
    enum reason wanted = refusal_of(facts, event);
    enum hf_status status =
        purge_step_next(facts, (enum purge_event)event, &next, &reason);
    assert_string_equal(reason_word(reason), reason_word(wanted));
    if (wanted != REASON_NONE) {
        assert_status(status, HF_E_PRECONDITION);
        assert_int_equal(next.phase, 77);
        return;
    }
    assert_ok(status);
    int phase = next_of((int)facts->phase, event);
    if (event == PURGE_EV_APPROVE &&
        facts->approvals < facts->approvals_needed) {
        phase = PURGE_REQUESTED;
    }
    assert_int_equal(next.phase, phase);
    assert_int_equal(next.paused, event == PURGE_EV_PAUSE);
}

static void every_phase_and_event(void **state)
{
    (void)state;
    static const int64_t hold[] = {0, 999, 1000, 1001, INT64_MAX};
    for (int phase = -1; phase < PHASES; phase++) {
        for (int event = -1; event <= PURGE_EVENT_COUNT; event++) {
            for (unsigned bits = 0; bits < 8 * 9 * 5 * 3; bits++) {
                const struct purge_facts facts = {
                    .phase = (enum purge_phase)phase,
                    .paused = (bits & 1) != 0,
                    .earlier_open = (bits & 2) != 0,
                    .has_strays = (bits & 4) != 0,
                    .approvals = bits / 8 % 3,
                    .approvals_needed = bits / 24 % 3,
                    .now_ms = 1000,
                    .hold_until_ms = hold[bits / 72 % 5],
                    .expires_ms = 999 + bits / 360,
                };
                expect(&facts, event);
            }
        }
    }
}

/* the only way to PURGED leads through every step, in order. */
static void no_step_is_skipped(void **state)
{
    (void)state;
    for (int to = PURGE_HOLDING; to <= PURGE_PURGED; to++) {
        for (int from = 1; from < PHASES; from++) {
            for (int event = 0; event < PURGE_EVENT_COUNT; event++) {
                if (next_of(from, event) == to && from != to) {
                    assert_true(from == to - 1 || (from == PURGE_VERIFYING &&
                                                   to == PURGE_DESTROYING));
                }
            }
        }
    }
}

static void words(void **state)
{
    (void)state;
    static const struct {
        int phase;
        const char *text;
        bool open;
        bool running;
        bool ending;
        bool closed;
    } rows[] = {
        {-1,                "?",           false, false, false, false},
        {0,                 "?",           false, false, false, false},
        {PURGE_REQUESTED,   "REQUESTED",   true,  false, false, false},
        {PURGE_APPROVED,    "APPROVED",    true,  false, false, false},
        {PURGE_HOLDING,     "HOLDING",     true,  true,  false, false},
        {PURGE_TOMBSTONING, "TOMBSTONING", true,  true,  true,  false},
        {PURGE_DESTROYING,  "DESTROYING",  true,  true,  true,  true },
        {PURGE_VERIFYING,   "VERIFYING",   true,  true,  true,  true },
        {PURGE_FORGETTING,  "FORGETTING",  true,  true,  true,  true },
        {PURGE_PURGED,      "PURGED",      false, false, true,  true },
        {PURGE_CANCELLED,   "CANCELLED",   false, false, false, false},
        {10,                "?",           false, false, false, false},
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        enum purge_phase phase = (enum purge_phase)rows[i].phase;
        assert_string_equal(purge_phase_text(phase), rows[i].text);
        assert_int_equal(purge_is_open(phase), rows[i].open);
        assert_int_equal(purge_is_running(phase), rows[i].running);
        assert_int_equal(purge_is_ending(phase), rows[i].ending);
        assert_int_equal(purge_is_closed(phase), rows[i].closed);
    }
}

/* both denied by attempts made now; what could not be asked is
 * no evidence, unless it is forced; a key that works is never overruled, and
 * our own trouble never counts. */
static void evidence(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 3 * 3 * 3 * 3 * 2; bits++) {
        const struct purge_evidence it = {
            .usable = bits % 3,
            .denied = bits / 3 % 3,
            .uncertain = bits / 9 % 3,
            .unasked = bits / 27 % 3,
            .force = bits / 81 == 1,
        };
        enum reason wanted = REASON_NONE;
        if (it.usable > 0) {
            wanted = REASON_KEYS_STILL_USABLE;
        } else if (it.unasked > 0 || (it.uncertain > 0 && !it.force) ||
                   it.denied + it.uncertain == 0) {
            wanted = REASON_KEY_UNAVAILABLE;
        }
        assert_int_equal(purge_evidence_decide(&it), wanted);
    }
    assert_int_equal(purge_approvals_needed(false, false), 1);
    assert_int_equal(purge_approvals_needed(true, false), 2);
    /* a quorum */
    assert_int_equal(purge_approvals_needed(false, true), 2);
    assert_int_equal(purge_approvals_needed(true, true), 2);
}

/* not shorter behind the execution than behind the approval. */
static void the_hold(void **state)
{
    (void)state;
    assert_int_equal(purge_hold_until(1072, 1000, 72), 1072);
    assert_int_equal(purge_hold_until(1072, 1001, 72), 1073);
    assert_int_equal(purge_hold_until(1072, 999, 72), 1072);
    assert_int_equal(purge_hold_until(1072, 900000, 72), 900072);
}

/* M8: the DEP's own mailboxes go with it; one that is to be elsewhere must not
 * lose its key. */
static void parts(void **state)
{
    (void)state;
    static const enum purge_part wanted[] = {PURGE_NO_PART, PURGE_STRAY,
                                             PURGE_MARKED, PURGE_MARKED};
    for (unsigned bits = 0; bits < 4; bits++) {
        const struct purge_resource it = {.assigned = (bits & 2) != 0,
                                          .effective = (bits & 1) != 0};
        assert_int_equal(purge_part_of(&it), wanted[bits]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_phase_and_event),
        cmocka_unit_test(no_step_is_skipped),
        cmocka_unit_test(words),
        cmocka_unit_test(evidence),
        cmocka_unit_test(the_hold),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
