/* S1 to S10: every state, event and stage of a recovery, listed or refused. */
#include "hsm/base/check.h"

#include "server/domain/geo.h"

#include "tests/support/unit.h"

#define STATES  5
#define STAGES  4
#define REFUSED (-1)

/* One line per state and stage of recovery; what each event comes to: the next
 * state, or the reason why not. */
struct outcome {
    int next; /* REFUSED: see reason */
    int recovery;
    enum reason reason;
};

/* clang-format off */
#define NO(word)          { REFUSED, 0, REASON_##word }
#define TO(state, stage)  { GEO_##state, GEO_RECOVERY_##stage, REASON_NONE }
#define UNREG   NO(GEO_NOT_REGISTERED)
#define TAKEN   NO(ALREADY_REGISTERED)
#define ROLL    NO(ROLL_IN_PROGRESS)       /* S5 */
#define STATE   NO(STATE_CONFLICT)         /* S6 */
#define CLOSED  NO(RECOVERY_NOT_ENABLED)
#define NEVER   NO(ROLLBACK_UNSUPPORTED)   /* S10 */

static const struct outcome table[STATES][STAGES][GEO_EVENT_COUNT] = {
    /*                                  register                 sites done                    roll                        request                          enable                         confirm                     restore                    unregister */
    [GEO_UNREGISTERED] = {
        [GEO_RECOVERY_NONE] =      { TO(REGISTERING, NONE), UNREG,                      UNREG,                      UNREG,                           UNREG,                         UNREG,                      UNREG,                     UNREG },
        [GEO_RECOVERY_REQUESTED] = { TO(REGISTERING, NONE), UNREG,                      UNREG,                      UNREG,                           UNREG,                         UNREG,                      UNREG,                     UNREG },
        [GEO_RECOVERY_ENABLED] =   { TO(REGISTERING, NONE), UNREG,                      UNREG,                      UNREG,                           UNREG,                         UNREG,                      UNREG,                     UNREG },
        [GEO_RECOVERY_OPEN] =      { TO(REGISTERING, NONE), UNREG,                      UNREG,                      UNREG,                           UNREG,                         UNREG,                      UNREG,                     UNREG },
    },
    [GEO_REGISTERING] = {
        [GEO_RECOVERY_NONE] =      { TAKEN,                 TO(REGISTERED, NONE),       STATE,                      TO(REGISTERING, REQUESTED),      STATE,                         STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_REQUESTED] = { TAKEN,                 TO(REGISTERED, REQUESTED),  STATE,                      STATE,                           TO(REGISTERING, ENABLED),      STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_ENABLED] =   { TAKEN,                 TO(REGISTERED, ENABLED),    STATE,                      STATE,                           STATE,                         TO(REGISTERING, OPEN),      CLOSED,                    NEVER },
        [GEO_RECOVERY_OPEN] =      { TAKEN,                 TO(REGISTERED, OPEN),       STATE,                      STATE,                           STATE,                         STATE,                      TO(RECOVERING, OPEN),      NEVER },
    },
    [GEO_REGISTERED] = {
        [GEO_RECOVERY_NONE] =      { TAKEN,                 STATE,                      TO(ROLLING, NONE),          TO(REGISTERED, REQUESTED),       STATE,                         STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_REQUESTED] = { TAKEN,                 STATE,                      TO(ROLLING, REQUESTED),     STATE,                           TO(REGISTERED, ENABLED),       STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_ENABLED] =   { TAKEN,                 STATE,                      TO(ROLLING, ENABLED),       STATE,                           STATE,                         TO(REGISTERED, OPEN),       CLOSED,                    NEVER },
        [GEO_RECOVERY_OPEN] =      { TAKEN,                 STATE,                      TO(ROLLING, OPEN),          STATE,                           STATE,                         STATE,                      TO(RECOVERING, OPEN),      NEVER },
    },
    [GEO_ROLLING] = {
        [GEO_RECOVERY_NONE] =      { TAKEN,                 TO(REGISTERED, NONE),       ROLL,                       TO(ROLLING, REQUESTED),          STATE,                         STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_REQUESTED] = { TAKEN,                 TO(REGISTERED, REQUESTED),  ROLL,                       STATE,                           TO(ROLLING, ENABLED),          STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_ENABLED] =   { TAKEN,                 TO(REGISTERED, ENABLED),    ROLL,                       STATE,                           STATE,                         TO(ROLLING, OPEN),          CLOSED,                    NEVER },
        [GEO_RECOVERY_OPEN] =      { TAKEN,                 TO(REGISTERED, OPEN),       ROLL,                       STATE,                           STATE,                         STATE,                      TO(RECOVERING, OPEN),      NEVER },
    },
    [GEO_RECOVERING] = {
        [GEO_RECOVERY_NONE] =      { TAKEN,                 TO(REGISTERED, NONE),       STATE,                      TO(RECOVERING, REQUESTED),       STATE,                         STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_REQUESTED] = { TAKEN,                 TO(REGISTERED, NONE),       STATE,                      STATE,                           TO(RECOVERING, ENABLED),       STATE,                      CLOSED,                    NEVER },
        [GEO_RECOVERY_ENABLED] =   { TAKEN,                 TO(REGISTERED, NONE),       STATE,                      STATE,                           STATE,                         TO(RECOVERING, OPEN),       CLOSED,                    NEVER },
        [GEO_RECOVERY_OPEN] =      { TAKEN,                 TO(REGISTERED, NONE),       STATE,                      STATE,                           STATE,                         STATE,                      TO(RECOVERING, OPEN),      NEVER },
    },
};
/* clang-format on */

/* What a purge request and somebody who took part already change. */
static enum reason expected_reason(const struct outcome *row,
                                   const struct geo_facts *facts, int event)
{
    bool person =
        event == GEO_EV_ENABLE_RECOVERY || event == GEO_EV_CONFIRM_RECOVERY;
    bool recovery =
        person || event == GEO_EV_REQUEST_RECOVERY || event == GEO_EV_RESTORE;
    if (row->next == REFUSED) {
        return row->reason;
    }
    if (recovery && facts->purge_requested) {
        return REASON_STATE_CONFLICT;
    }
    return person && facts->took_part ? REASON_SECOND_PERSON_REQUIRED
                                      : REASON_NONE;
}

static void check_one(const struct geo_facts *facts, int event)
{
    const struct outcome *row = &table[facts->state][facts->recovery][event];
    struct geo_step step = {.next = 77, .recovery = 77};
    enum reason reason = REASON_COUNT;
    enum hf_status status =
        geo_next(facts, (enum geo_event)event, &step, &reason);
    enum reason expected = expected_reason(row, facts, event);
    assert_string_equal(reason_word(reason), reason_word(expected));
    if (expected == REASON_NONE) {
        assert_int_equal(status, HF_OK);
        assert_int_equal(step.next, row->next);
        assert_int_equal(step.recovery, row->recovery);
        return;
    }
    assert_int_equal(status, expected == REASON_ALREADY_REGISTERED
                                 ? HF_E_EXISTS
                                 : HF_E_PRECONDITION);
    assert_int_equal(step.next, 77); /* nothing changed */
    assert_int_equal(step.recovery, 77);
}

/* S1 to S10, R-7.8, R-8.6, R-8.7, R-9.7. */
static void test_every_state_and_event(void **state)
{
    (void)state;
    for (int from = 0; from < STATES; from++) {
        for (int stage = 0; stage < STAGES; stage++) {
            for (int event = 0; event < GEO_EVENT_COUNT; event++) {
                for (int bits = 0; bits < 4; bits++) {
                    const struct geo_facts facts = {
                        .state = (enum geo_state)from,
                        .recovery = (enum geo_recovery)stage,
                        .purge_requested = (bits & 1) != 0,
                        .took_part = (bits & 2) != 0,
                    };
                    check_one(&facts, event);
                }
            }
        }
    }
}

/* the window ends an open recovery; a request that nobody opens lapses.
 */
static void test_the_window_ends(void **state)
{
    static const int64_t ends[STAGES] = {0, GEO_RECOVERY_WINDOW_MS + 7,
                                         GEO_RECOVERY_WINDOW_MS + 7, 100};
    (void)state;
    for (int stage = 0; stage < STAGES; stage++) {
        for (int64_t off = -1; off <= 1; off++) {
            assert_int_equal(geo_recovery_now((enum geo_recovery)stage, 7, 100,
                                              ends[stage] + off),
                             off < 0 ? (enum geo_recovery)stage
                                     : GEO_RECOVERY_NONE);
        }
    }
    assert_int_equal(GEO_RECOVERY_WINDOW_MS, 86400000);
}

static void test_words(void **state)
{
    static const char *const states[] = {"UNREGISTERED", "REGISTERING",
                                         "REGISTERED", "ROLLING", "RECOVERING"};
    static const char *const stages[] = {"NONE", "REQUESTED", "ENABLED",
                                         "OPEN"};
    (void)state;
    for (int i = 0; i < STATES; i++) {
        assert_string_equal(geo_state_text((enum geo_state)i), states[i]);
    }
    for (int i = 0; i < STAGES; i++) {
        assert_string_equal(geo_recovery_text((enum geo_recovery)i), stages[i]);
    }
    assert_string_equal(geo_state_text((enum geo_state)STATES), "?");
    assert_string_equal(geo_recovery_text((enum geo_recovery)STAGES), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_the_window_ends),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("geo", tests, NULL, NULL);
}
