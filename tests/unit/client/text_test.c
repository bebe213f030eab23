/* Words from elsewhere, made harmless. */
#include "client/lib/text.h"

#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *from;
    const char *to;
} cases[] = {
    {"",                                       ""                 },
    {"plain text ~",                           "plain text ~"     },
    {"tab\tline\nbell\a\x7f",                  "tab?line?bell??"  },
    {"\x1b[31mred",                            "?[31mred"         },
    {"\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x91",
     "\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x91"                     },
    {"c1 \xc2\x9b end",                        "c1 ? end"         },
    {"nbsp \xc2\xa0 end",                      "nbsp \xc2\xa0 end"},
    {"lone \x80\xbf",                          "lone ??"          },
    {"cut \xe2\x82",                           "cut ??"           },
    {"overlong \xc0\xaf",                      "overlong ??"      },
    {"overlong \xe0\x80\xaf",                  "overlong ???"     },
    {"overlong \xf0\x80\x80\xaf",              "overlong ????"    },
    {"surrogate \xed\xa0\x80",                 "surrogate ???"    },
    {"beyond \xf4\x90\x80\x80",                "beyond ????"      },
    {"beyond \xf5\x80\x80\x80\xff",            "beyond ?????"     },
};

static void test_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = strdup(cases[i].from);
        assert_non_null(text);
        text_clean(text);
        assert_string_equal(text, cases[i].to);
        text_clean(text);
        assert_string_equal(text, cases[i].to);
        free(text);
    }
}

static void test_cut_at_a_whole_character(void **state)
{
    (void)state;
    static const struct {
        size_t max;
        const char *expected;
    } cuts[] = {
        {0,  ""             },
        {1,  "a"            },
        {2,  "a"            },
        {3,  "a"            },
        {4,  "a\xe2\x82\xac"},
        {5,  "a\xe2\x82\xac"
            "b"  },
        {99, "a\xe2\x82\xac"
             "b"},
    };
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        char *copy = text_clean_copy("a\xe2\x82\xac"
                                     "b",
                                     cuts[i].max);
        assert_string_equal(copy, cuts[i].expected);
        free(copy);
    }
    char *copy = text_clean_copy(NULL, 10);
    assert_string_equal(copy, "");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_cut_at_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
