#include "hsm/tool/output.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/text.h"

#include <libsmartcols/libsmartcols.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES 1024
#define HEX_MAX_BYTES  64

static void table_free(struct libscols_table **table)
{
    scols_unref_table(*table);
}

json_t *output_text(const char *text)
{
    char safe[TEXT_MAX_BYTES];
    size_t len = strnlen(text, sizeof safe - 1);
    struct bytes view = {(const uint8_t *)text, len};
    bool plain = text_is_plain(view);
    for (size_t i = 0; i < len; i++) {
        bool ascii = text[i] >= ' ' && text[i] <= '~';
        safe[i] = plain || ascii ? text[i] : '?';
    }
    return json_stringn(safe, len);
}

json_t *output_hex(struct bytes value)
{
    char text[2 * HEX_MAX_BYTES + 1];
    CHECK(value.len <= HEX_MAX_BYTES);
    hex_encode(value.data, value.len, text, sizeof text);
    return json_string(text);
}

static HF_STATUS print_json(struct tool *tool, const json_t *answer)
{
    if (json_dumpf(answer, stdout, JSON_INDENT(2)) != 0 ||
        fputc('\n', stdout) == EOF || fflush(stdout) != 0) {
        return tool_fail(tool, HF_E_IO, "the answer cannot be written");
    }
    return HF_OK;
}

/* The text of one value for people, in a buffer of the caller's. */
static const char *value_text(const json_t *value, char *buffer, size_t cap)
{
    buffer[0] = '\0';
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_TRUE:
        return "yes";
    case JSON_FALSE:
        return "no";
    case JSON_NULL:
        return "-";
    case JSON_INTEGER:
        snprintf(buffer, cap, "%" JSON_INTEGER_FORMAT,
                 json_integer_value(value));
        return buffer;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++) {
            size_t len = strlen(buffer);
            const char *item = json_string_value(json_array_get(value, i));
            snprintf(buffer + len, cap - len, "%s%s", i == 0 ? "" : ", ",
                     item == NULL ? "?" : item);
        }
        return buffer;
    case JSON_OBJECT:
    case JSON_REAL:
        break;
    }
    return "?";
}

static bool add_row(struct libscols_table *table, const char *indent,
                    const char *key, const json_t *value)
{
    char left[96];
    char buffer[TEXT_MAX_BYTES];
    snprintf(left, sizeof left, "%s%s", indent, key);
    for (char *at = left; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    const char *right =
        json_is_object(value) ? "" : value_text(value, buffer, sizeof buffer);
    struct libscols_line *line = scols_table_new_line(table, NULL);
    return line != NULL && scols_line_set_data(line, 0, left) == 0 &&
           scols_line_set_data(line, 1, right) == 0;
}

/* Text of several lines (a PEM) and what is nested twice are for programs. */
static bool is_for_people(const json_t *value, bool inside)
{
    const char *text = json_string_value(value);
    return (text == NULL || strchr(text, '\n') == NULL) &&
           !(inside && json_is_object(value));
}

static bool add_inner(struct libscols_table *table, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    bool good = true;
    json_object_foreach(object, key, value)
    {
        good = good && (!is_for_people(value, true) ||
                        add_row(table, "  ", key, value));
    }
    return good;
}

static bool add_members(struct libscols_table *table, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    bool good = true;
    json_object_foreach(object, key, value)
    {
        good =
            good &&
            (!is_for_people(value, false) || add_row(table, "", key, value)) &&
            (!json_is_object(value) || add_inner(table, value));
    }
    return good;
}

static bool add_lines(struct libscols_table *table, const json_t *items,
                      const struct output_column *columns, size_t count)
{
    bool good = true;
    for (size_t i = 0; good && i < json_array_size(items); i++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        for (size_t c = 0; good && c < count; c++) {
            char buffer[TEXT_MAX_BYTES];
            const json_t *value =
                json_object_get(json_array_get(items, i), columns[c].key);
            CHECK(value != NULL);
            good = line != NULL &&
                   scols_line_set_data(
                       line, c, value_text(value, buffer, sizeof buffer)) == 0;
        }
    }
    return good;
}

static HF_STATUS print_table(struct tool *tool, struct libscols_table *table,
                             bool complete)
{
    if (!complete) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    if (scols_print_table(table) != 0 || fflush(stdout) != 0) {
        return tool_fail(tool, HF_E_IO, "the answer cannot be written");
    }
    return HF_OK;
}

static HF_STATUS print_object(struct tool *tool, json_t *answer,
                              const char *note)
{
    if (answer == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    if (tool_has(tool, OPTION_JSON)) {
        return print_json(tool, answer);
    }
    HF_OWNED(table_free) struct libscols_table *table = scols_new_table();
    bool complete = table != NULL &&
                    scols_table_enable_noheadings(table, 1) == 0 &&
                    scols_table_new_column(table, "", 0, 0) != NULL &&
                    scols_table_new_column(table, "", 0, 0) != NULL &&
                    add_members(table, answer);
    HF_TRY(print_table(tool, table, complete));
    if (note != NULL && (printf("\n%s\n", note) < 0 || fflush(stdout) != 0)) {
        return tool_fail(tool, HF_E_IO, "the answer cannot be written");
    }
    return HF_OK;
}

/* A step of a ceremony answers into the transcript. */
static bool is_kept(struct tool *tool, json_t *answer)
{
    if (tool->answer == NULL || answer == NULL) {
        return false;
    }
    *tool->answer = answer;
    return true;
}

HF_STATUS output_object(struct tool *tool, json_t *answer, const char *note)
{
    if (is_kept(tool, answer)) {
        return HF_OK;
    }
    enum hf_status status = print_object(tool, answer, note);
    json_decref(answer);
    return status;
}

static HF_STATUS print_list(struct tool *tool, json_t *answer, const char *list,
                            const struct output_column *columns, size_t count)
{
    if (answer == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    if (tool_has(tool, OPTION_JSON)) {
        return print_json(tool, answer);
    }
    HF_OWNED(table_free) struct libscols_table *table = scols_new_table();
    bool complete = table != NULL;
    for (size_t c = 0; complete && c < count; c++) {
        complete =
            scols_table_new_column(table, columns[c].heading, 0, 0) != NULL;
    }
    complete = complete &&
               add_lines(table, json_object_get(answer, list), columns, count);
    return print_table(tool, table, complete);
}

HF_STATUS output_list(struct tool *tool, json_t *answer, const char *list,
                      const struct output_column *columns, size_t count)
{
    if (is_kept(tool, answer)) {
        return HF_OK;
    }
    enum hf_status status = print_list(tool, answer, list, columns, count);
    json_decref(answer);
    return status;
}

void output_problem(const struct tool *tool, enum hf_status status)
{
    if (tool_has(tool, OPTION_JSON)) {
        json_t *problem = json_pack("{s:{s:s, s:i, s:o}}", "error", "status",
                                    hf_status_name(status), "exit_code",
                                    (int)tool_exit_of(status), "message",
                                    output_text(tool->problem));
        if (problem != NULL &&
            json_dumpf(problem, stderr, JSON_INDENT(2)) == 0) {
            fputc('\n', stderr);
        }
        json_decref(problem);
        return;
    }
    json_t *text = output_text(tool->problem);
    fprintf(stderr, "holdfast-hsm: %s\n",
            text == NULL ? "out of memory" : json_string_value(text));
    json_decref(text);
}

void output_mistake(const struct tool *tool)
{
    const struct command *command = tool->options.command;
    struct tool told = *tool;
    snprintf(told.problem, sizeof told.problem, "%s; see holdfast-hsm --help",
             tool->options.mistake);
    if (command != NULL) {
        snprintf(told.problem, sizeof told.problem,
                 "%s; see holdfast-hsm %s %s --help", tool->options.mistake,
                 command->group, command->verb);
    }
    output_problem(&told, HF_E_INVALID);
}
