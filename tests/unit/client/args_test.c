/* The command line, against a small table of its own. */
#include "hsm/base/check.h"

#include "client/cli/args.h"

#include "tests/support/unit.h"

#include <string.h>

static const struct option make_options[] = {
    {"colour", "NAME", "which",    true,  false},
    {"size",   "N",    "how many", false, true },
    {"dry",    NULL,   "only say", false, false},
};
static const struct command make = {
    .group = "box",
    .verb = "make",
    .summary = "Make a box.",
    .operands = "NAME [LID]",
    .options = make_options,
    .option_count = HF_COUNT(make_options),
    .example = "holdfast box make big --colour red",
};
static const struct command list = {
    .group = "box", .verb = "list", .summary = "List.", .example = "x"};
static const struct command ping = {
    .group = "ping", .summary = "Ping.", .operands = "HOST", .example = "x"};
static const struct command *const commands[] = {&make, &list, &ping};
static const struct command_set sets[] = {
    {commands, HF_COUNT(commands)}
};

#define WORDS_MAX 80

/* parse: one line, split at blanks. */
static enum hf_status parse(const char *line, struct args *args)
{
    static char text[2048];
    static char *words[WORDS_MAX];
    int count = 0;
    char *rest = NULL;
    assert_true(strlen(line) < sizeof text);
    memcpy(text, line, strlen(line) + 1);
    words[count++] = (char *)(uintptr_t) "holdfast";
    for (char *word = strtok_r(text, " ", &rest);
         word != NULL && count < WORDS_MAX; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    return args_parse(sets, 1, count, words, args);
}

static void test_everything_at_once(void **state)
{
    (void)state;
    struct args args;
    assert_ok(parse("--json box make --size=1 big --colour red --size 2 "
                    "--tenant t lid",
                    &args));
    assert_ptr_equal(args.command, &make);
    assert_int_equal(args.operand_count, 2);
    assert_string_equal(args.operands[0], "big");
    assert_string_equal(args.operands[1], "lid");
    assert_string_equal(args_text(&args, "colour"), "red");
    assert_int_equal(args_count(&args, "size"), 2);
    assert_string_equal(args_nth(&args, "size", 0), "1");
    assert_string_equal(args_nth(&args, "size", 1), "2");
    assert_null(args_nth(&args, "size", 2));
    assert_true(args_flag(&args, "json"));
    assert_false(args_flag(&args, "dry"));
    assert_string_equal(args_global(&args, "tenant"), "t");
    assert_null(args_global(&args, "target"));
}

static void test_a_command_without_a_verb(void **state)
{
    (void)state;
    struct args args;
    assert_ok(parse("ping list", &args));
    assert_ptr_equal(args.command, &ping);
    assert_string_equal(args.operands[0], "list");
}

static void test_dashes(void **state)
{
    (void)state;
    struct args args;
    assert_ok(parse("ping -- --help", &args));
    assert_string_equal(args.operands[0], "--help");
    assert_false(args.help);
    assert_ok(parse("ping -", &args));
    assert_string_equal(args.operands[0], "-");
    assert_ok(parse("box make x --colour --dry", &args));
    assert_string_equal(args_text(&args, "colour"), "--dry");
    assert_ok(parse("box make x --colour=", &args));
    assert_string_equal(args_text(&args, "colour"), "");
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *said;
    } cases[] = {
        {"",                                 "no command given"   },
        {"--json",                           "no command given"   },
        {"crate",                            "unknown command"    },
        {"box",                              "is missing: box"    },
        {"box burn",                         "unknown command"    },
        {"box make",                         "missing: NAME"      },
        {"box make x",                       "missing option: col"},
        {"box make x --colour",              "needs a value"      },
        {"box make x --colour r --colour s", "given twice"        },
        {"box make x --colour r --dry=1",    "takes no value"     },
        {"box make x --colour r -d",         "written in full"    },
        {"box make x y z --colour r",        "one word too many"  },
        {"box list --dry",                   "unknown option"     },
        {"box list --tenan t",               "unknown option"     },
        {"box list --tenants t",             "unknown option"     },
        {"box list --version=1",             "takes no value"     },
        {"box list extra",                   "one word too many"  },
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct args args;
        assert_status(parse(cases[i].line, &args), HF_E_INVALID);
        if (strstr(args.mistake, cases[i].said) == NULL) {
            fail_msg("\"%s\": said \"%s\"", cases[i].line, args.mistake);
        }
    }
}

static void test_help_needs_nothing_else(void **state)
{
    (void)state;
    static const char *const lines[] = {"--help", "-h", "box --help",
                                        "box make --help", "--help box make"};
    for (size_t i = 0; i < HF_COUNT(lines); i++) {
        struct args args;
        assert_ok(parse(lines[i], &args));
        assert_true(args.help);
    }
}

static void test_the_version_is_asked_for_like_help(void **state)
{
    (void)state;
    struct args args;
    assert_ok(parse("--version", &args));
    assert_true(args.version);
    assert_ok(parse("box make --version", &args));
    assert_true(args.version);
    assert_ok(parse("box list", &args));
    assert_false(args.version);
}

static void test_options_without_end(void **state)
{
    (void)state;
    char line[1024] = "box make x --colour r";
    for (size_t i = 0; i < GIVEN_MAX + 1; i++) {
        strncat(line, " --size=1", sizeof line - strlen(line) - 1);
    }
    struct args args;
    assert_status(parse(line, &args), HF_E_INVALID);
    assert_non_null(strstr(args.mistake, "too many options"));
}

static void test_a_long_word_is_cut_in_the_mistake(void **state)
{
    (void)state;
    char line[1000] = "--";
    memset(line + 2, 'x', sizeof line - 3);
    struct args args;
    assert_status(parse(line, &args), HF_E_INVALID);
    assert_true(strlen(args.mistake) < sizeof args.mistake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_at_once),
        cmocka_unit_test(test_a_command_without_a_verb),
        cmocka_unit_test(test_dashes),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_help_needs_nothing_else),
        cmocka_unit_test(test_the_version_is_asked_for_like_help),
        cmocka_unit_test(test_options_without_end),
        cmocka_unit_test(test_a_long_word_is_cut_in_the_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
