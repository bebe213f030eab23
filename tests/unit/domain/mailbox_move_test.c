/* The way of a mailbox to being encrypted: every state and event, the order of
 * the queue, claims and their ends, and when it has taken too long (M3, M4, M5,
 * M9, R-5.12, R-5.13, R-5.16). */
#include "hsm/base/check.h"

#include "server/domain/mailbox_move.h"

#include "tests/support/unit.h"

#define MOVE_COUNT 5
#define DAY_MS     86400000LL
#define NOW_MS     1800000000000LL

/* Section 3.5 as it is written, and what a move that does not end well comes
 * to; what is not here is refused. */
static const struct {
    enum mailbox_move from;
    enum mailbox_move_event event;
    enum mailbox_move to;
} table[] = {
  /* already encrypted: nothing to move (M1, M6, M7) */
    {MOVE_NONE,        MOVE_EV_ASSIGN,   MOVE_NONE       },
    {MOVE_NONE,        MOVE_EV_UNASSIGN, MOVE_NONE       },
    {MOVE_NONE,        MOVE_EV_KEY,      MOVE_NONE       },
 /* and is no less encrypted for where it is */
    {MOVE_NONE,        MOVE_EV_ARRIVE,   MOVE_NONE       },
    {MOVE_NONE,        MOVE_EV_LEAVE,    MOVE_NONE       },
 /* M3, and back */
    {MOVE_UNENCRYPTED, MOVE_EV_ASSIGN,   MOVE_QUEUED     },
    {MOVE_UNENCRYPTED, MOVE_EV_UNASSIGN, MOVE_UNENCRYPTED},
    {MOVE_QUEUED,      MOVE_EV_ASSIGN,   MOVE_QUEUED     },
    {MOVE_QUEUED,      MOVE_EV_UNASSIGN, MOVE_UNENCRYPTED},
 /* M4 */
    {MOVE_QUEUED,      MOVE_EV_CLAIM,    MOVE_MOVING     },
 /* running moves are not preempted */
    {MOVE_MOVING,      MOVE_EV_ASSIGN,   MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_UNASSIGN, MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_KEY,      MOVE_MOVING     },
 /* a long move goes on */
    {MOVE_MOVING,      MOVE_EV_RENEW,    MOVE_MOVING     },
 /* M5 */
    {MOVE_MOVING,      MOVE_EV_COMPLETE, MOVE_NONE       },
    {MOVE_MOVING,      MOVE_EV_RETURN,   MOVE_QUEUED     },
    {MOVE_MOVING,      MOVE_EV_DROP,     MOVE_UNENCRYPTED},
 /* M9 */
    {MOVE_ON_ARRIVAL,  MOVE_EV_ASSIGN,   MOVE_ON_ARRIVAL },
    {MOVE_ON_ARRIVAL,  MOVE_EV_UNASSIGN, MOVE_ON_ARRIVAL },
    {MOVE_ON_ARRIVAL,  MOVE_EV_KEY,      MOVE_NONE       },
    {MOVE_ON_ARRIVAL,  MOVE_EV_ARRIVE,   MOVE_UNENCRYPTED},
    {MOVE_UNENCRYPTED, MOVE_EV_LEAVE,    MOVE_ON_ARRIVAL },
    {MOVE_QUEUED,      MOVE_EV_LEAVE,    MOVE_ON_ARRIVAL },
};

static void every_state_and_event(void **state)
{
    (void)state;
    size_t allowed = 0;
    for (int from = -1; from <= MOVE_COUNT; from++) {
        for (int event = -1; event <= MOVE_EVENT_COUNT; event++) {
            int to = 99;
            for (size_t i = 0; i < HF_COUNT(table); i++) {
                if ((int)table[i].from == from &&
                    (int)table[i].event == event) {
                    to = (int)table[i].to;
                }
            }
            enum mailbox_move next = (enum mailbox_move)99;
            assert_status(mailbox_move_next((enum mailbox_move)from,
                                            (enum mailbox_move_event)event,
                                            &next),
                          to == 99 ? HF_E_PRECONDITION : HF_OK);
            assert_int_equal(next, to); /* untouched when refused */
            allowed += to == 99 ? 0 : 1;
        }
    }
    assert_int_equal(allowed, HF_COUNT(table));
}

/* M9: only a mail user comes with content that is encrypted as it arrives. */
static void where_each_kind_begins(void **state)
{
    (void)state;
    for (int kind = 0; kind <= MAILBOX_SHARED + 1; kind++) {
        assert_int_equal(mailbox_move_new((enum mailbox_kind)kind, true),
                         MOVE_NONE);
        assert_int_equal(mailbox_move_new((enum mailbox_kind)kind, false),
                         kind == MAILBOX_MAIL_USER ? MOVE_ON_ARRIVAL
                                                   : MOVE_UNENCRYPTED);
    }
}

static void only_the_holder_of_a_live_claim(void **state)
{
    (void)state;
    for (int move = 0; move < MOVE_COUNT; move++) {
        for (int event = 0; event < MOVE_EVENT_COUNT; event++) {
            for (int bits = 0; bits < 8; bits++) {
                const struct move_claim_facts facts = {
                    .move = (enum mailbox_move)move,
                    .is_holder = (bits & 1) != 0,
                    .has_key = (bits & 2) != 0,
                    .claim_ends_ms = NOW_MS,
                    .now_ms = (bits & 4) != 0 ? NOW_MS : NOW_MS - 1,
                };
                bool over = (bits & 4) != 0;
                bool may = move == MOVE_MOVING && facts.is_holder && !over &&
                           (facts.has_key || event != MOVE_EV_COMPLETE);
                enum reason reason = REASON_INTERNAL;
                assert_status(move_claim_check(&facts,
                                               (enum mailbox_move_event)event,
                                               &reason),
                              may ? HF_OK : HF_E_PRECONDITION);
                assert_string_equal(
                    reason_word(reason),
                    reason_word(may ? REASON_NONE : REASON_STATE_CONFLICT));
                assert_int_equal(move_claim_is_over(&facts),
                                 move == MOVE_MOVING && over);
            }
        }
    }
}

/* */
static void overdue_after_a_week(void **state)
{
    const struct {
        int64_t waits_ms;
        bool alerted;
        bool overdue;
        bool alert;
        bool due_later;
    } rows[] = {
        {0,              false, false, false, true },
        {7 * DAY_MS - 1, false, false, false, true },
        {7 * DAY_MS,     false, true,  true,  false},
        {8 * DAY_MS,     false, true,  true,  false},
        {8 * DAY_MS,     true,  true,  false, false}, /* once */
        {0,              true,  false, false, false}, /* the limit was raised */
    };
    (void)state;
    assert_int_equal(MOVE_OVERDUE_DEFAULT_MS, 7 * DAY_MS);
    for (int move = 0; move <= MOVE_COUNT; move++) {
        bool waits = move == MOVE_QUEUED || move == MOVE_MOVING;
        for (size_t i = 0; i < HF_COUNT(rows); i++) {
            const struct move_overdue_facts facts = {
                .move = (enum mailbox_move)move,
                .waits_since_ms = NOW_MS - rows[i].waits_ms,
                .limit_ms = MOVE_OVERDUE_DEFAULT_MS,
                .alerted = rows[i].alerted,
                .now_ms = NOW_MS,
            };
            struct move_overdue_plan plan = move_overdue(&facts);
            assert_int_equal(plan.overdue, waits && rows[i].overdue);
            assert_int_equal(plan.alert, waits && rows[i].alert);
            assert_true(plan.next_due_ms ==
                        (waits && rows[i].due_later
                             ? facts.waits_since_ms + 7 * DAY_MS
                             : INT64_MAX));
        }
    }
}

static void texts(void **state)
{
    static const char *const moves[] = {"NONE",   "UNENCRYPTED", "ON_ARRIVAL",
                                        "QUEUED", "MOVING",      "?"};
    static const char *const priorities[] = {"?", "REGULAR", "LOW", "?"};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(moves); i++) {
        assert_string_equal(mailbox_move_text((enum mailbox_move)i), moves[i]);
    }
    for (size_t i = 0; i < HF_COUNT(priorities); i++) {
        assert_string_equal(move_priority_text((enum move_priority)i),
                            priorities[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_and_event),
        cmocka_unit_test(where_each_kind_begins),
        cmocka_unit_test(only_the_holder_of_a_live_claim),
        cmocka_unit_test(overdue_after_a_week),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
