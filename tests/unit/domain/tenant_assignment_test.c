/* The assignment of a multi-workload DEP to its tenant: every state, event and
 * guard (A1 to A5, R-5.5, R-9.8, R-9.9). */
#include "hsm/base/check.h"

#include "server/domain/tenant_assignment.h"

#include "tests/support/unit.h"

#define STATE_COUNT 4

/* Section 3.3 as it is written; what is not here is refused. */
static const struct {
    enum assignment_state from;
    enum assignment_event event;
    enum assignment_state to;
} table[] = {
    {ASSIGNMENT_NONE,        ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING}, /* A1 */
    {ASSIGNMENT_ASSIGNING,   ASSIGNMENT_EV_DONE,     ASSIGNMENT_ASSIGNED }, /* A2 */
    {ASSIGNMENT_ASSIGNED,    ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING}, /* A3 */
    {ASSIGNMENT_ASSIGNING,   ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING}, /* A3 */
    {ASSIGNMENT_ASSIGNED,    ASSIGNMENT_EV_OFFBOARD,
     ASSIGNMENT_OFFBOARDING                                              }, /* A4 */
    {ASSIGNMENT_OFFBOARDING, ASSIGNMENT_EV_DONE,     ASSIGNMENT_NONE     }, /* A5 */
};

static void expect(const struct assignment_facts *facts, int event)
{
    enum hf_status status = HF_E_PRECONDITION;
    enum reason reason = REASON_STATE_CONFLICT;
    enum assignment_state next = (enum assignment_state)99;
    bool assign = event == ASSIGNMENT_EV_ASSIGN;
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        if (table[i].from != facts->state || (int)table[i].event != event) {
            continue;
        }
        if (assign && facts->is_in_force) {
            break;
        }
        if (assign && facts->dep_state != DEP_ENABLED) {
            reason = REASON_DEP_NOT_ENABLED;
        } else if (event == ASSIGNMENT_EV_OFFBOARD && facts->key_denied) {
            reason = REASON_CUSTOMER_KEY_DENIED;
        } else {
            status = HF_OK;
            reason = REASON_NONE;
            next = table[i].to;
        }
    }
    if (assign && facts->dep_type != DEP_TYPE_MULTI_WORKLOAD) {
        status = HF_E_NOT_FOUND;
        reason = REASON_NOT_FOUND;
        next = (enum assignment_state)99;
    }
    enum assignment_state got = (enum assignment_state)99;
    enum reason got_reason = REASON_INTERNAL;
    assert_status(
        assignment_next(facts, (enum assignment_event)event, &got, &got_reason),
        status);
    assert_string_equal(reason_word(got_reason), reason_word(reason));
    assert_int_equal(got, next); /* untouched when refused */
}

static void every_state_and_event(void **state)
{
    (void)state;
    for (int from = 0; from <= STATE_COUNT + 1; from++) {
        for (int event = -1; event <= ASSIGNMENT_EVENT_COUNT; event++) {
            for (int type = 0; type <= 5; type++) {
                for (int dep = DEP_NONE; dep <= DEP_PURGED; dep++) {
                    for (int bits = 0; bits < 4; bits++) {
                        const struct assignment_facts facts = {
                            .state = (enum assignment_state)from,
                            .is_in_force = (bits & 1) != 0,
                            .dep_type = (enum dep_type)type,
                            .dep_state = (enum dep_state)dep,
                            .key_denied = (bits & 2) != 0,
                        };
                        expect(&facts, event);
                    }
                }
            }
        }
    }
}

static void what_each_state_means(void **state)
{
    static const struct {
        int state;
        bool applies;
        bool holds; /* : needed until all is rewrapped */
        const char *text;
    } rows[] = {
        {0,                      false, false, "?"          },
        {ASSIGNMENT_NONE,        false, false, "UNASSIGNED" },
        {ASSIGNMENT_ASSIGNING,   true,  true,  "ASSIGNING"  },
        {ASSIGNMENT_ASSIGNED,    true,  true,  "ASSIGNED"   },
        {ASSIGNMENT_OFFBOARDING, false, true,  "OFFBOARDING"},
        {STATE_COUNT + 1,        false, false, "?"          },
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        enum assignment_state it = (enum assignment_state)rows[i].state;
        assert_int_equal(assignment_applies(it), rows[i].applies);
        assert_int_equal(assignment_holds(it), rows[i].holds);
        assert_string_equal(assignment_state_text(it), rows[i].text);
    }
}

/* */
static void overdue_after_a_day(void **state)
{
    const int64_t day_ms = 86400000;
    const int64_t began_ms = 1800000000000;
    (void)state;
    for (int it = 0; it <= STATE_COUNT + 1; it++) {
        enum assignment_state in = (enum assignment_state)it;
        bool pending = it == ASSIGNMENT_ASSIGNING;
        assert_false(assignment_is_overdue(in, began_ms, began_ms));
        assert_false(
            assignment_is_overdue(in, began_ms, began_ms + day_ms - 1));
        assert_int_equal(assignment_is_overdue(in, began_ms, began_ms + day_ms),
                         pending);
        assert_int_equal(assignment_is_overdue(in, 0, INT64_MAX), pending);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_and_event),
        cmocka_unit_test(what_each_state_means),
        cmocka_unit_test(overdue_after_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
