/* Profiles: what is read, and how mistakes are reported: with file and line. */
#include "hsm/base/check.h"

#include "client/cli/settings.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/holdfast-settings-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/p.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static enum hf_status load(const char *text, struct settings *settings)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    *settings = (struct settings){0};
    return settings_add_profile(settings, path);
}

static void test_a_good_profile(void **state)
{
    (void)state;
    char expected[128];
    struct settings settings;
    int64_t timeout_ms = 0;
    assert_ok(load("{\"target\": \"h:1\", \"cert\": \"c.pem\",\n"
                   "\"key\": \"/abs/k.pem\", \"ca\": \"../ca.pem\",\n"
                   "\"tenant\": \"t\", \"server_name\": \"s\", "
                   "\"timeout\": 7}",
                   &settings));
    assert_string_equal(settings.values[SETTING_TARGET], "h:1");
    (void)snprintf(expected, sizeof expected, "%s/c.pem", folder);
    assert_string_equal(settings.values[SETTING_CERT], expected);
    assert_string_equal(settings.values[SETTING_KEY], "/abs/k.pem");
    (void)snprintf(expected, sizeof expected, "%s/../ca.pem", folder);
    assert_string_equal(settings.values[SETTING_CA], expected);
    assert_string_equal(settings.values[SETTING_TENANT], "t");
    assert_string_equal(settings.values[SETTING_SERVER_NAME], "s");
    assert_ok(settings_timeout_ms(&settings, &timeout_ms));
    assert_int_equal(timeout_ms, 7000);
    settings_clear(&settings);
}

static void test_what_was_said_before_stays(void **state)
{
    (void)state;
    struct settings settings;
    assert_ok(load("{\"target\": \"first:1\"}", &settings));
    char *kept = settings.values[SETTING_TARGET];
    assert_ok(settings_add_profile(&settings, path));
    assert_ptr_equal(settings.values[SETTING_TARGET], kept);
    settings_clear(&settings);
}

static void test_mistakes_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *said;
    } cases[] = {
        {"",                                       1, ""               },
        {"[]",                                     1, "a JSON object"  },
        {"{\n\"target\": \"h:1\",\n}",             3, ""               },
        {"{\n\"target\": 1}",                      2, "\"target\" must"},
        {"{\n\n\"cert\": \"\"}",                   3, "\"cert\" must"  },
        {"{\n\"target\": \"h:1\",\n\n\"caa\": 1}", 4, "\"caa\" is not" },
        {"{\n\"ca\": null}",                       2, "\"ca\" must"    },
        {"{\n\"ca\": \"a\",\n\"ca\": \"b\"}",      3, "duplicate"      },
        {"{\n\"timeout\": 1.5}",                   2, "\"timeout\""    },
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct settings settings;
        char where[128];
        assert_status(load(cases[i].text, &settings), HF_E_INVALID);
        (void)snprintf(where, sizeof where, "%s:%d: ", path, cases[i].line);
        if (strncmp(settings.mistake, where, strlen(where)) != 0 ||
            strstr(settings.mistake, cases[i].said) == NULL) {
            fail_msg("case %zu: said \"%s\"", i, settings.mistake);
        }
        settings_clear(&settings);
    }
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    struct settings settings = {0};
    assert_status(settings_add_profile(&settings, "/nowhere/p.json"),
                  HF_E_NOT_FOUND);
    assert_non_null(strstr(settings.mistake, "/nowhere/p.json"));
    char *large = calloc(1, (70u << 10) + 1);
    assert_non_null(large);
    memset(large, ' ', 70u << 10);
    assert_status(load(large, &settings), HF_E_LIMIT);
    free(large);
}

static void test_a_name_that_is_not_there_shows_those_that_are(void **state)
{
    (void)state;
    char other[64];
    struct settings settings;
    assert_ok(load("{\"target\": \"h:1\"}", &settings));
    settings_clear(&settings);
    (void)snprintf(other, sizeof other, "%s/nobody.json", folder);
    settings = (struct settings){0};
    assert_status(settings_add_profile(&settings, other), HF_E_NOT_FOUND);
    assert_non_null(strstr(settings.mistake, "; there are: p"));
}

static void test_timeouts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0", "-1", "86401", "1.5", "x", "", "9999999999999999999"};
    int64_t timeout_ms = 1;
    struct settings settings = {0};
    assert_ok(settings_timeout_ms(&settings, &timeout_ms));
    assert_int_equal(timeout_ms, 0);
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        settings.values[SETTING_TIMEOUT] = (char *)(uintptr_t)bad[i];
        assert_status(settings_timeout_ms(&settings, &timeout_ms),
                      HF_E_INVALID);
    }
    settings.values[SETTING_TIMEOUT] = (char *)(uintptr_t) "86400";
    assert_ok(settings_timeout_ms(&settings, &timeout_ms));
    assert_int_equal(timeout_ms, 86400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_profile),
        cmocka_unit_test(test_what_was_said_before_stays),
        cmocka_unit_test(test_mistakes_with_their_line),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_a_name_that_is_not_there_shows_those_that_are),
        cmocka_unit_test(test_timeouts),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
