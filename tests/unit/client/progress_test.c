/* What does the line of a long-running operation say, on a terminal and
 * elsewhere? */
#include "client/cli/progress.h"

#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct progress_facts *facts, size_t bar,
                  const char *expected)
{
    const struct progress from = {.first_done = 100, .first_ms = 1000};
    char text[PROGRESS_TEXT_BYTES];
    progress_text(&from, facts, bar, text);
    assert_string_equal(text, expected);
}

static void test_text(void **state)
{
    (void)state;
    struct progress_facts facts = {.kind = "rewrap", .now_ms = 1000};
    check(&facts, 0, "rewrap  0 %");
    facts.total = 10000;
    facts.done = 100;
    check(&facts, 0, "rewrap  0 %  100 of 10000");
    /* half a second is too short for a rate */
    facts.done = 3100;
    facts.percent = 31;
    facts.now_ms = 1499;
    check(&facts, 0, "rewrap  31 %  3100 of 10000");
    facts.now_ms = 11000; /* 3000 in 10 s, 6900 left */
    check(&facts, 0, "rewrap  31 %  3100 of 10000  300/s  24 s left");
    facts.waiting = 3;
    check(&facts, 10,
          "rewrap  [###.......]  31 %  3100 of 10000  300/s  24 s left  3 "
          "waiting");
    facts.waiting = 0;
    facts.done = 101; /* one in 10 s */
    check(&facts, 0, "rewrap  31 %  101 of 10000  0.1/s  27 h 29 min left");
    facts.done = 1100;
    check(&facts, 0, "rewrap  31 %  1100 of 10000  100/s  1 min 30 s left");
    facts.done = 10000;
    facts.percent = 100;
    check(&facts, 4, "rewrap  [####]  100 %  10000 of 10000  990/s");
}

static void test_long_words_are_cut(void **state)
{
    (void)state;
    char kind[400];
    char text[PROGRESS_TEXT_BYTES];
    const struct progress from = {.first_done = 0};
    const struct progress_facts facts = {.kind = kind, .total = 1};
    memset(kind, 'k', sizeof kind);
    kind[sizeof kind - 1] = '\0';
    progress_text(&from, &facts, 10, text);
    assert_int_equal(strlen(text), PROGRESS_TEXT_BYTES - 1);
}

static void show_all(bool terminal, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    struct progress progress = {.to = to, .terminal = terminal};
    struct progress_facts facts = {.kind = "roll", .total = 4};
    static const uint64_t done[] = {0, 1, 1, 4};
    for (size_t i = 0; i < 4; i++) {
        facts.done = done[i];
        facts.percent = (uint32_t)done[i] * 25;
        facts.waiting = i == 1 ? 1 : 0;
        progress_show(&progress, &facts);
    }
    progress_end(&progress);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void test_lines(void **state)
{
    (void)state;
    show_all(false, "roll  0 %  0 of 4\n"
                    "roll  25 %  1 of 4  1 waiting\n"
                    "roll  100 %  4 of 4\n");
    show_all(true, "\rroll  [........................]  0 %  0 of 4"
                   "\rroll  [######..................]  25 %  1 of 4  1 waiting"
                   "\rroll  [######..................]  25 %  1 of 4           "
                   "\rroll  [########################]  100 %  4 of 4"
                   "\r                                               \r");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_long_words_are_cut),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
