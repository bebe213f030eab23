/* The life of a token of availability keys, and who may end it. */
#include "hsm/base/check.h"

#include "server/domain/ak_token.h"

#include "tests/support/unit.h"

static const struct {
    enum ak_token_state from;
    enum ak_token_event event;
    enum ak_token_state to;
} table[] = {
    {AK_TOKEN_ENROLLING, AK_TOKEN_EV_CARRIED, AK_TOKEN_ACTIVE },
    {AK_TOKEN_ENROLLING, AK_TOKEN_EV_RETIRE,  AK_TOKEN_RETIRED},
    {AK_TOKEN_ACTIVE,    AK_TOKEN_EV_RETIRE,  AK_TOKEN_RETIRED},
};

/* What no row has is refused; nothing leads back from RETIRED. */
static void test_every_state_and_event(void **state)
{
    (void)state;
    for (int from = 0; from <= AK_TOKEN_RETIRED + 1; from++) {
        for (int event = -1; event <= AK_TOKEN_EVENT_COUNT; event++) {
            enum ak_token_state expected = AK_TOKEN_ENROLLING;
            enum hf_status status = HF_E_PRECONDITION;
            enum reason reason = REASON_STATE_CONFLICT;
            for (size_t i = 0; i < HF_COUNT(table); i++) {
                if ((int)table[i].from == from &&
                    (int)table[i].event == event) {
                    expected = table[i].to;
                    status = HF_OK;
                    reason = REASON_NONE;
                }
            }
            enum ak_token_state next = AK_TOKEN_ENROLLING;
            enum reason got = REASON_INTERNAL;
            assert_status(ak_token_next((enum ak_token_state)from,
                                        (enum ak_token_event)event, &next,
                                        &got),
                          status);
            assert_int_equal(next, expected);
            assert_int_equal(got, reason);
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"?", "ENROLLING", "ACTIVE", "RETIRED",
                                        "?"};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        assert_string_equal(ak_token_state_text((enum ak_token_state)i),
                            texts[i]);
    }
}

/* under quorum: every combination of facts. */
static void test_a_retirement_takes_three_people(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 1u << 8; bits++) {
        const struct ak_retirement_facts facts = {
            .state = (enum ak_token_state)(1 + bits % 4),
            .other_active = (bits & 4) != 0,
            .asked = (bits & 8) != 0,
            .same_words = (bits & 16) != 0,
            .is_requester = (bits & 32) != 0,
            .gave_before = (bits & 64) != 0,
            .approvals = (bits & 128) != 0,
        };
        enum ak_retirement step = AK_RETIREMENT_ASK;
        enum ak_retirement expected = AK_RETIREMENT_ASK;
        enum reason reason = REASON_INTERNAL;
        enum reason why = REASON_NONE;
        bool again = facts.asked && facts.same_words;
        bool may_end = (facts.state == AK_TOKEN_ENROLLING ||
                        facts.state == AK_TOKEN_ACTIVE) &&
                       facts.other_active;
        if (!may_end) {
            why = REASON_STATE_CONFLICT;
        } else if (again && (facts.is_requester || facts.gave_before)) {
            why = REASON_SECOND_PERSON_REQUIRED;
        } else if (again) {
            expected = facts.approvals == 1 ? AK_RETIREMENT_DONE
                                            : AK_RETIREMENT_APPROVE;
        }
        enum hf_status status = ak_retirement_decide(&facts, &step, &reason);
        assert_status(status, why == REASON_NONE ? HF_OK : HF_E_PRECONDITION);
        assert_int_equal(reason, why);
        assert_int_equal(step, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_a_retirement_takes_three_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
