/* The whole table of statuses, repeated by hand: a code that moves to another
 * class changes what callers do, and must not move by accident. */
#include "hsm/base/check.h"
#include "hsm/base/status.h"

#include "tests/support/unit.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

static const struct {
    enum hf_status status;
    enum hf_class class;
    const char *name;
} expected[] = {
    {HF_OK,             HF_CLASS_OK,        "HF_OK"            },
    {HF_E_INVALID,      HF_CLASS_CALLER,    "HF_E_INVALID"     },
    {HF_E_PRECONDITION, HF_CLASS_CALLER,    "HF_E_PRECONDITION"},
    {HF_E_LIMIT,        HF_CLASS_CALLER,    "HF_E_LIMIT"       },
    {HF_E_UNSUPPORTED,  HF_CLASS_CALLER,    "HF_E_UNSUPPORTED" },
    {HF_E_DENIED,       HF_CLASS_DENIED,    "HF_E_DENIED"      },
    {HF_E_NOT_FOUND,    HF_CLASS_MISSING,   "HF_E_NOT_FOUND"   },
    {HF_E_UNCONFIRMED,  HF_CLASS_MISSING,   "HF_E_UNCONFIRMED" },
    {HF_E_EXISTS,       HF_CLASS_CONFLICT,  "HF_E_EXISTS"      },
    {HF_E_CONFLICT,     HF_CLASS_CONFLICT,  "HF_E_CONFLICT"    },
    {HF_E_UNREACHABLE,  HF_CLASS_TRANSIENT, "HF_E_UNREACHABLE" },
    {HF_E_TIMEOUT,      HF_CLASS_TRANSIENT, "HF_E_TIMEOUT"     },
    {HF_E_CANCELLED,    HF_CLASS_OURS,      "HF_E_CANCELLED"   },
    {HF_E_EXPIRED,      HF_CLASS_OURS,      "HF_E_EXPIRED"     },
    {HF_E_OVERLOAD,     HF_CLASS_OURS,      "HF_E_OVERLOAD"    },
    {HF_E_NO_MEMORY,    HF_CLASS_OURS,      "HF_E_NO_MEMORY"   },
    {HF_E_RESOURCES,    HF_CLASS_OURS,      "HF_E_RESOURCES"   },
    {HF_E_MISUSE,       HF_CLASS_OURS,      "HF_E_MISUSE"      },
    {HF_E_BAD_BLOB,     HF_CLASS_BROKEN,    "HF_E_BAD_BLOB"    },
    {HF_E_CORRUPT,      HF_CLASS_BROKEN,    "HF_E_CORRUPT"     },
    {HF_E_IO,           HF_CLASS_BROKEN,    "HF_E_IO"          },
    {HF_E_INTERNAL,     HF_CLASS_BROKEN,    "HF_E_INTERNAL"    },
};

static void test_table_is_complete(void **state)
{
    (void)state;
    assert_int_equal(HF_COUNT(expected), HF_STATUS_COUNT);
    assert_int_equal(HF_OK, 0);
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        assert_int_equal(expected[i].status, i);
        assert_int_equal(hf_status_class(expected[i].status),
                         expected[i].class);
        assert_string_equal(hf_status_name(expected[i].status),
                            expected[i].name);
    }
}

static void test_texts_are_phrases_and_differ(void **state)
{
    (void)state;
    for (int i = 0; i < HF_STATUS_COUNT; i++) {
        const char *text = hf_status_text((enum hf_status)i);
        size_t len = strlen(text);
        assert_true(len > 1);
        assert_true(islower((unsigned char)text[0]));
        assert_int_not_equal(text[len - 1], '.');
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(text, hf_status_text((enum hf_status)k));
        }
    }
}

static void test_out_of_range_counts_as_internal(void **state)
{
    static const int strange[] = {HF_STATUS_COUNT, -1, INT_MAX, INT_MIN, 4096};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(strange); i++) {
        enum hf_status status = (enum hf_status)strange[i];
        assert_int_equal(hf_status_class(status), HF_CLASS_BROKEN);
        assert_string_equal(hf_status_name(status), "HF_E_INTERNAL");
        assert_string_equal(hf_status_text(status),
                            hf_status_text(HF_E_INTERNAL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_complete),
        cmocka_unit_test(test_texts_are_phrases_and_differ),
        cmocka_unit_test(test_out_of_range_counts_as_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
