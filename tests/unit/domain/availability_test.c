/* The life of an availability key: every state and event (3.6). */
#include "hsm/base/check.h"

#include "server/domain/availability.h"

#include "tests/support/unit.h"

static const struct {
    enum ak_state from;
    enum ak_event event;
    enum ak_state to;
} table[] = {
    {AK_NONE,    AK_EV_CREATE,  AK_ACTIVE   },
    {AK_ACTIVE,  AK_EV_ROLL,    AK_ROLLING  },
    {AK_ROLLING, AK_EV_ROLLED,  AK_ACTIVE   },
    {AK_ACTIVE,  AK_EV_DESTROY, AK_DESTROYED},
    {AK_ROLLING, AK_EV_DESTROY, AK_DESTROYED},
};

/* What no row has is refused and changes nothing; nothing leads back from
 * DESTROYED. */
static void test_every_state_and_event(void **state)
{
    (void)state;
    for (int from = -1; from <= AK_DESTROYED + 1; from++) {
        for (int event = -1; event <= AK_EVENT_COUNT; event++) {
            enum ak_state expected = AK_DESTROYED;
            enum hf_status status = HF_E_PRECONDITION;
            enum reason reason = from == AK_DESTROYED ? REASON_KEY_DESTROYED
                                                      : REASON_STATE_CONFLICT;
            for (size_t i = 0; i < HF_COUNT(table); i++) {
                if ((int)table[i].from == from &&
                    (int)table[i].event == event) {
                    expected = table[i].to;
                    status = HF_OK;
                    reason = REASON_NONE;
                }
            }
            enum ak_state next = AK_DESTROYED;
            enum reason got = REASON_INTERNAL;
            assert_status(
                ak_next((enum ak_state)from, (enum ak_event)event, &next, &got),
                status);
            assert_int_equal(next, expected);
            assert_string_equal(reason_word(got), reason_word(reason));
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"NONE", "ACTIVE", "ROLLING",
                                        "DESTROYED", "?"};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        assert_string_equal(ak_state_text((enum ak_state)i), texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
