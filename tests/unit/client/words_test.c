/* Verbs as commands, fields as options, and what was typed in a sentence. */
#include "hsm/base/check.h"

#include "client/cli/words.h"

#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static const struct option options[] = {
    {"confirm",      NULL,   "", false, false},
    {"customer-key", "KEY",  "", true,  true },
    {"name",         "NAME", "", false, false},
    {"dep",          "DEP",  "", false, false},
    {"request-id",   "UUID", "", false, false},
    {"window-hours", "H",    "", false, false},
};
static const struct command command = {
    .group = "box",
    .verb = "make",
    .summary = "Make a box.",
    .operands = "BOX [LID]",
    .options = options,
    .option_count = HF_COUNT(options),
    .example = "holdfast box make big --customer-key red",
};

static void assert_text(char *got, const char *expected)
{
    assert_non_null(got);
    assert_string_equal(got, expected);
    free(got);
}

static void test_verbs_are_commands(void **state)
{
    (void)state;
    assert_text(words_of_text("RefreshDep first, or RewrapDep."),
                "\"holdfast dep refresh\" first, or \"holdfast dep rewrap\".");
    assert_text(words_of_text("(UnwrapKey)"), "(\"holdfast unwrap\")");
    /* part of another word, and words that are no verbs */
    assert_text(words_of_text("RefreshDeps XRefreshDep Wrap-Key"),
                "RefreshDeps XRefreshDep Wrap-Key");
    assert_text(words_of_text(""), "");
    assert_text(words_of_text("\xc3\xa9 RefreshDep"),
                "\xc3\xa9 \"holdfast dep refresh\"");
}

static void test_fields_are_options_and_operands(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        const char *words;
    } cases[] = {
        {"confirm",           "--confirm"     },
        {"customer_keys",     "--customer-key"},
        {"customer_keys.uri", "--customer-key"},
        {"access.request_id", "--request-id"  },
        {"window",            "--window-hours"},
        {"dep",               "--dep"         },
        {"parent",            "--tenant"      },
        {"name",              "BOX"           },
        {"box.name",          "BOX"           },
        {"box_id",            "BOX"           },
        {"resource",          "BOX"           },
        {"page_token",        "page_token"    },
        {"",                  ""              },
    };
    char words[FIELD_WORDS_BYTES];
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct option *option =
            words_of_field(&command, cases[i].field, words);
        assert_string_equal(words, cases[i].words);
        if (option != NULL) {
            assert_string_equal(words + 2, option->name);
        }
    }
    assert_null(words_of_field(NULL, "confirm", words));
    assert_string_equal(words, "confirm");
}

static void test_typed_words_only_in_commands(void **state)
{
    (void)state;
    struct args args = {
        .command = &command,
        .operands = {"big", "a b"},
        .operand_count = 2,
        .given = {{&options[3], "mail"}    },
        .given_count = 1,
    };
    assert_text(words_filled("a BOX: \"holdfast x BOX --dep DEP\"", &args),
                "a BOX: \"holdfast x big --dep mail\"");
    /* what would not stand there as one word stays its name */
    assert_text(words_filled("\"holdfast x LID\"", &args),
                "\"holdfast x LID\"");
    args.operands[0] = "--json";
    assert_text(words_filled("\"holdfast x BOX\"", &args),
                "\"holdfast x BOX\"");
    assert_text(words_filled("\"holdfast x BOX\"", NULL), "\"holdfast x BOX\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_are_commands),
        cmocka_unit_test(test_fields_are_options_and_operands),
        cmocka_unit_test(test_typed_words_only_in_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
