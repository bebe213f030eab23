/* Log lines: each is one write of one JSON object, whatever text a peer made
 * us log. Standard error is a packet pipe, so that two writes would be seen as
 * two; a JSON library that nobody here wrote is the judge. */
#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "tests/support/unit.h"

#include <jansson.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 4096

struct capture {
    int real_stderr;
    int from;
};

static int begin(void **state)
{
    static struct capture capture;
    int ends[2];
    if (pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC) != 0) {
        return -1;
    }
    capture.real_stderr = dup(STDERR_FILENO);
    capture.from = ends[0];
    *state = &capture;
    int moved = dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return moved == STDERR_FILENO ? 0 : -1;
}

static int end(void **state)
{
    struct capture *capture = *state;
    int moved = dup2(capture->real_stderr, STDERR_FILENO);
    close(capture->real_stderr);
    close(capture->from);
    log_level_set(LOG_INFO);
    return moved == STDERR_FILENO ? 0 : -1;
}

/* The next packet without its line feed; false when there is none. */
static bool next_line(struct capture *capture, char line[LINE_BYTES + 1])
{
    ssize_t len = read(capture->from, line, LINE_BYTES + 1);
    if (len <= 0) {
        return false;
    }
    assert_true(len <= LINE_BYTES);
    assert_int_equal(line[len - 1], '\n');
    line[len - 1] = '\0';
    assert_null(strchr(line, '\n'));
    return true;
}

/* The only line written, parsed. */
static json_t *only_line(struct capture *capture)
{
    char line[LINE_BYTES + 1];
    char more[LINE_BYTES + 1];
    json_error_t error;
    assert_true(next_line(capture, line));
    assert_false(next_line(capture, more));
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        fail_msg("%s: %s", error.text, line);
    }
    return json;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    assert_non_null(text);
    return text;
}

static void test_line_as_documented(void **state)
{
    char line[LINE_BYTES + 1];
    log_event(LOG_WARN, "token.session_lost", LOG_TEXT("token", "main"),
              LOG_NUMBER("rv", 179), LOG_NUMBER("least", INT64_MIN));
    assert_true(next_line(*state, line));
    assert_memory_equal(line, "{\"time\":\"2", 10);
    assert_string_equal(strchr(line, 'Z'),
                        "Z\",\"level\":\"warn\",\"event\":"
                        "\"token.session_lost\",\"token\":\"main\",\"rv\":179,"
                        "\"least\":-9223372036854775808}");
    log_write(LOG_ERROR, "bare", NULL, 0);
    json_t *json = only_line(*state);
    assert_int_equal(json_object_size(json), 3);
    json_decref(json);
}

static void test_levels(void **state)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN,
                                            LOG_ERROR};
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[LINE_BYTES + 1];
    log_event(LOG_DEBUG, "quiet", LOG_NUMBER("n", 1));
    assert_false(next_line(*state, line)); /* LOG_INFO at start */
    for (size_t lowest = 0; lowest < HF_COUNT(levels); lowest++) {
        log_level_set(levels[lowest]);
        for (size_t i = 0; i < HF_COUNT(levels); i++) {
            log_event(levels[i], "e", LOG_NUMBER("n", i));
            if (i >= lowest) {
                json_t *json = only_line(*state);
                assert_string_equal(text_of(json, "level"), names[i]);
                json_decref(json);
            } else {
                assert_false(next_line(*state, line));
            }
        }
    }
}

static void test_every_ascii_character_comes_back(void **state)
{
    char text[128];
    for (size_t i = 0; i < 127; i++) {
        text[i] = (char)(i + 1);
    }
    text[127] = '\0';
    log_event(LOG_INFO, text, LOG_TEXT(text, text));
    json_t *json = only_line(*state);
    assert_string_equal(text_of(json, "event"), text);
    assert_string_equal(text_of(json, text), text);
    json_decref(json);
}

/* A peer's text cannot begin a second line or a field of its own. */
static void test_forged_fields_stay_text(void **state)
{
    static const char forged[] = "a\",\"level\":\"error\"}\n{\"event\":\"x";
    log_event(LOG_INFO, "e", LOG_TEXT("name", forged));
    json_t *json = only_line(*state);
    assert_string_equal(text_of(json, "name"), forged);
    assert_string_equal(text_of(json, "level"), "info");
    json_decref(json);
}

#define NONE "\xef\xbf\xbd" /* U+FFFD */

static void test_text_that_is_no_utf8_is_replaced(void **state)
{
    static const struct {
        const char *given;
        const char *written;
    } expected[] = {
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91",
         "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91"                                },
        {"\xf4\x8f\xbf\xbf\xee\x80\x80",         "\xf4\x8f\xbf\xbf\xee\x80\x80"},
        {"a\xff"
         "b\x80",                       "a" NONE "b" NONE             },
        {"\xc3",                                 NONE                          }, /* cut short by the end */
        {"\xe2\x82z",                            NONE NONE "z"                 }, /* cut short by another */
        {"\xc0\xaf",                             NONE NONE                     }, /* longer than needed   */
        {"\xe0\x80\xaf",                         NONE NONE NONE                },
        {"\xf0\x80\x80\xaf",                     NONE NONE NONE NONE           },
        {"\xed\xa0\x80",                         NONE NONE NONE                }, /* a surrogate          */
        {"\xf4\x90\x80\x80",                     NONE NONE NONE NONE           },
        {"\xf8\x88\x80\x80\x80",                 NONE NONE NONE NONE NONE      },
    };
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        log_event(LOG_INFO, "e", LOG_TEXT("text", expected[i].given));
        json_t *json = only_line(*state);
        assert_string_equal(text_of(json, "text"), expected[i].written);
        json_decref(json);
    }
}

static void test_long_text_is_cut_between_characters(void **state)
{
    for (size_t before = 505; before < 516; before++) {
        char text[600];
        memset(text, 'x', before);
        memcpy(text + before, "\xf0\x9f\x94\x91", 5);
        log_event(LOG_INFO, "e", LOG_TEXT("text", text),
                  LOG_TEXT("after", "here"));
        json_t *json = only_line(*state);
        const char *written = text_of(json, "text");
        assert_memory_equal(written, text, strlen(written));
        /* the first character that begins at or after 512 is left out */
        size_t wanted = before < 512 ? before + 4 : 512;
        assert_int_equal(strlen(written), wanted);
        assert_string_equal(text_of(json, "after"), "here");
        assert_int_equal(json_is_true(json_object_get(json, "cut")),
                         before > 512 || (before == 512));
        json_decref(json);
    }
}

/* Worst case: each byte becomes six, and the fields do not fit the line. */
static void test_long_line_leaves_out_whole_fields(void **state)
{
    char controls[512];
    char key[8] = "";
    struct log_field fields[40] = {{0}};
    char keys[HF_COUNT(fields)][8];
    memset(controls, '\x01', sizeof controls - 1);
    controls[sizeof controls - 1] = '\0';
    for (size_t count = 0; count <= HF_COUNT(fields); count++) {
        for (size_t i = 0; i < count; i++) {
            snprintf(keys[i], sizeof keys[i], "k%02zu", i);
            fields[i] = (struct log_field){.key = keys[i],
                                           .text = controls + (i * 97) % 500};
        }
        log_write(LOG_INFO, "e", fields, count);
        json_t *json = only_line(*state);
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
            snprintf(key, sizeof key, "k%02zu", i);
            if (json_object_get(json, key) != NULL) {
                assert_string_equal(text_of(json, key), fields[i].text);
                kept++;
            }
        }
        bool cut = json_is_true(json_object_get(json, "cut"));
        assert_int_equal(cut, kept < count);
        assert_true(count < 40 || cut);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line_as_documented, begin, end),
        cmocka_unit_test_setup_teardown(test_levels, begin, end),
        cmocka_unit_test_setup_teardown(test_every_ascii_character_comes_back,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_forged_fields_stay_text, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_text_that_is_no_utf8_is_replaced,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            test_long_text_is_cut_between_characters, begin, end),
        cmocka_unit_test_setup_teardown(test_long_line_leaves_out_whole_fields,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
