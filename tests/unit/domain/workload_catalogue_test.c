/* Is every workload the specification names there, as it says (R-5.1 to,
 * )? The whole table, told again. */
#include "hsm/base/check.h"

#include "server/domain/workload_catalogue.h"

#include "tests/support/unit.h"

#include <string.h>

struct expected {
    uint16_t number; /* stored for ever */
    const char *word;
    bool covered;
    bool renews; /* NEW_ONLY */
    bool explicit;
    bool exchange;
    enum dep_type covered_by;
};

static const struct expected expected[] = {
  /* : Exchange existing and new, Teams and exact data match new
  * alone */
    {16, "exchange-mailboxes",    true,  false, false, true,  0                      },
    {17, "exchange-signals",      true,  false, false, true,  0                      },
    {18, "skype-for-business",    true,  false, false, true,  0                      },
    {19, "teams-chat",            true,  true,  false, false, 0                      },
    {20, "teams-media",           true,  true,  false, false, 0                      },
    {21, "teams-recordings",      true,  true,  false, false, 0                      },
    {22, "teams-notifications",   true,  true,  false, false, 0                      },
    {23, "teams-suggestions",     true,  true,  false, false, 0                      },
    {24, "teams-status",          true,  true,  false, false, 0                      },
    {25, "exact-data-match",      true,  true,  false, false, 0                      },
    {26, "sensitivity-labels",    true,  true,  false, false, 0                      },
 /* */
    {27, "copilot-interactions",  true,  true,  false, false, 0                      },
    {28, "cloud-pcs",             true,  false, true,  false, 0                      },
    {29, "frontline-cloud-pcs",   true,  false, true,  false, 0                      },
 /* */
    {30, "sharepoint",            false, false, false, false, DEP_TYPE_SHAREPOINT_GEO},
    {31, "onedrive",              false, false, false, false, DEP_TYPE_SHAREPOINT_GEO},
    {32, "teams-files",           false, false, false, false, DEP_TYPE_SHAREPOINT_GEO},
    {33, "yammer",                false, false, false, false, 0                      },
    {34, "planner",               false, false, false, false, 0                      },
    {35, "teams-live-events",     false, false, false, false, 0                      },
    {36, "teams-live-events-qna", false, false, false, false, 0                      },
};

static void every_row_is_as_specified(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        const struct expected *want = &expected[i];
        const struct workload_row *row = workload_at(i);
        assert_non_null(row);
        assert_int_equal(row->number, want->number);
        assert_string_equal(row->word, want->word);
        assert_true(row->title[0] != '\0');
        assert_int_equal(row->coverage != WORKLOAD_NOT_COVERED, want->covered);
        assert_int_equal(row->coverage == WORKLOAD_BY_MAILBOX, i == 0);
        assert_int_equal(workload_renews(row), want->renews);
        assert_int_equal(row->existing == EXISTING_DATA_NONE, !want->covered);
        assert_int_equal(row->activation == ACTIVATION_EXPLICIT,
                         want->explicit);
        assert_int_equal(row->identity == ROLE_WORKLOAD_EXCHANGE,
                         want->exchange);
        assert_int_equal(row->covered_by, want->covered_by);
        assert_ptr_equal(workload_by_word(want->word), row);
    }
    assert_null(workload_at(HF_COUNT(expected)));
}

static void no_two_are_alike(void **state)
{
    (void)state;
    for (size_t a = 0; workload_at(a) != NULL; a++) {
        /* below are the hierarchies */
        assert_true(workload_at(a)->number >= 16);
        for (size_t b = 0; b < a; b++) {
            assert_int_not_equal(workload_at(a)->number,
                                 workload_at(b)->number);
            assert_string_not_equal(workload_at(a)->word, workload_at(b)->word);
        }
    }
}

static void others_are_unknown(void **state)
{
    static const char *const words[] = {"", "teams", "Teams-Chat",
                                        "teams-chat ", "teams-chatx"};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(words); i++) {
        assert_null(workload_by_word(words[i]));
    }
}

/* an explicit one comes under the DEP when it is switched on, the
 * others by themselves, those not covered never. */
static void a_switch_counts_for_the_explicit_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        const struct workload_row *row = workload_at(i);
        assert_int_equal(workload_is_under(row, false),
                         expected[i].covered && !expected[i].explicit);
        assert_int_equal(workload_is_under(row, true), expected[i].covered);
    }
}

/* up to 20,000 in one run; the others know no runs. */
static void a_run_has_a_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        const struct workload_row *row = workload_at(i);
        uint64_t max = expected[i].explicit ? 20000 : 0;
        assert_ok(workload_check_items(row, 0));
        assert_ok(workload_check_items(row, max));
        assert_status(workload_check_items(row, max + 1), HF_E_INVALID);
        assert_status(workload_check_items(row, UINT64_MAX), HF_E_INVALID);
    }
}

static void policies_have_names(void **state)
{
    (void)state;
    assert_string_equal(existing_data_text(EXISTING_DATA_NONE), "NONE");
    assert_string_equal(existing_data_text(EXISTING_DATA_NEW_ONLY), "NEW_ONLY");
    assert_string_equal(existing_data_text(EXISTING_DATA_EXISTING_AND_NEW),
                        "EXISTING_AND_NEW");
    assert_string_equal(existing_data_text((enum existing_data_policy)9), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_as_specified),
        cmocka_unit_test(no_two_are_alike),
        cmocka_unit_test(others_are_unknown),
        cmocka_unit_test(a_switch_counts_for_the_explicit_ones),
        cmocka_unit_test(a_run_has_a_limit),
        cmocka_unit_test(policies_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
