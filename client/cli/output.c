#include "client/cli/output.h"

#include "hsm/base/own.h"

#include <libsmartcols/libsmartcols.h>

#include <stdlib.h>
#include <string.h>

#define VALUE_MAX_BYTES 4096
#define PATH_PART_BYTES 64

struct text {
    char bytes[VALUE_MAX_BYTES];
    size_t len;
};

static void add(struct text *text, const char *more)
{
    size_t len = strlen(more);
    size_t room = sizeof text->bytes - 1 - text->len;
    len = len < room ? len : room;
    memcpy(text->bytes + text->len, more, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

static const char *without(const char *text, const char *prefix)
{
    size_t len = prefix != NULL ? strlen(prefix) : 0;
    return len > 0 && strncmp(text, prefix, len) == 0 ? text + len : text;
}

static void add_scalar(struct text *text, const json_t *value,
                       const struct column *column)
{
    char number[32];
    if (json_is_string(value)) {
        const char *from = without(json_string_value(value), column->strip);
        const char *slash = strrchr(from, '/');
        bool leaf = column->form == COLUMN_LEAF && slash != NULL;
        add(text, leaf ? slash + 1 : from);
    } else if (json_is_boolean(value)) {
        add(text, json_is_true(value) ? "yes" : "no");
    } else if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
                       json_integer_value(value));
        add(text, number);
    }
}

/* part_of: the next member of a path; false at its end. */
static bool part_of(const char **path, char part[PATH_PART_BYTES])
{
    size_t len = strcspn(*path, ".");
    if (len == 0 || len >= PATH_PART_BYTES) {
        return false;
    }
    memcpy(part, *path, len);
    part[len] = '\0';
    *path += len;
    *path += **path == '.' ? 1 : 0;
    return true;
}

/* walk: down the path until its end or an array; path stands behind it. */
static const json_t *walk(const json_t *from, const char **path)
{
    char part[PATH_PART_BYTES];
    while (json_is_object(from) && part_of(path, part)) {
        from = json_object_get(from, part);
    }
    return from;
}

char *output_value(const json_t *object, const struct column *column)
{
    struct text text = {0};
    const char *path = column->path;
    const json_t *value = walk(object, &path);
    size_t index = 0;
    const json_t *item = NULL;
    if (!json_is_array(value)) {
        add_scalar(&text, value, column);
        return strdup(text.bytes);
    }
    json_array_foreach(value, index, item)
    {
        const char *rest = path;
        add(&text, index > 0 ? ", " : "");
        add_scalar(&text, walk(item, &rest), column);
    }
    return strdup(text.bytes);
}

/* --- tables --------------------------------------------------------------- */

static void table_freep(struct libscols_table **table)
{
    scols_unref_table(*table);
}

static int flags_of(const struct column *column)
{
    if (column->form == COLUMN_RIGHT) {
        return SCOLS_FL_RIGHT;
    }
    return column->form == COLUMN_WRAP ? SCOLS_FL_WRAP : 0;
}

static bool add_line(struct libscols_table *table, const json_t *object,
                     const struct column *columns, size_t count)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    for (size_t i = 0; i < count; i++) {
        char *value = line != NULL ? output_value(object, &columns[i]) : NULL;
        if (value == NULL || scols_line_refer_data(line, i, value) != 0) {
            free(value);
            return false;
        }
    }
    return true;
}

static enum cli_exit flushed(FILE *to)
{
    return fflush(to) == 0 && ferror(to) == 0 ? CLI_OK : CLI_OTHER;
}

enum cli_exit output_table(FILE *to, const json_t *array,
                           const struct column *columns, size_t count)
{
    if (json_array_size(array) == 0) {
        (void)fprintf(to, "(none)\n");
        return flushed(to);
    }
    HF_OWNED(table_freep) struct libscols_table *table = scols_new_table();
    if (table == NULL || scols_table_set_stream(table, to) != 0) {
        return CLI_OTHER;
    }
    for (size_t i = 0; i < count; i++) {
        if (scols_table_new_column(table, columns[i].title, 0,
                                   flags_of(&columns[i])) == NULL) {
            return CLI_OTHER;
        }
    }
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(array, index, item)
    {
        if (!add_line(table, item, columns, count)) {
            return CLI_OTHER;
        }
    }
    return scols_print_table(table) == 0 ? flushed(to) : CLI_OTHER;
}

/* is_nothing: every part of a value is one that a thing gets once it exists. */
static bool is_nothing(const char *value)
{
    static const char *const words[] = {
        "",     "0",           "none",
        "NONE", "UNSPECIFIED", "00000000-0000-0000-0000-000000000000"};
    for (;;) {
        size_t len = strcspn(value, ",");
        bool found = false;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            found = found || (strlen(words[i]) == len &&
                              strncmp(words[i], value, len) == 0);
        }
        if (!found || value[len] == '\0') {
            return found;
        }
        value += len + strspn(value + len, ", ");
    }
}

static enum cli_exit print_item(FILE *to, const json_t *object,
                                const struct column *columns, size_t count,
                                bool all)
{
    size_t width = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(columns[i].title);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < count; i++) {
        char *value = output_value(object, &columns[i]);
        if (value == NULL) {
            return CLI_OTHER;
        }
        /* the first says what it is about, be it 0 */
        if (all || (i == 0 ? value[0] != '\0' : !is_nothing(value))) {
            (void)fprintf(to, "%-*s  %s\n", (int)width, columns[i].title,
                          value[0] != '\0' ? value : "-");
        }
        free(value);
    }
    return flushed(to);
}

enum cli_exit output_item(FILE *to, const json_t *object,
                          const struct column *columns, size_t count)
{
    return print_item(to, object, columns, count, true);
}

enum cli_exit output_preview(FILE *to, const json_t *object,
                             const struct column *columns, size_t count)
{
    return print_item(to, object, columns, count, false);
}

enum cli_exit output_json(FILE *to, const json_t *value)
{
    if (value == NULL || json_dumpf(value, to, JSON_INDENT(2)) != 0 ||
        fputc('\n', to) == EOF) {
        return CLI_OTHER;
    }
    return flushed(to);
}
