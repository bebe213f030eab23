/* output: what was answered, as a table for people or JSON for programs.
 *
 * Both are made from the same JSON, so they cannot say different things.
 */
#pragma once

#include "client/cli/args.h"

#include <jansson.h>

#include <stddef.h>

/* How a column shows its value. */
enum column_form {
    COLUMN_TEXT,
    COLUMN_LEAF,  /* a resource name: the last part */
    COLUMN_RIGHT, /* a number */
    COLUMN_WRAP,  /* long text */
};

struct column {
    const char *title;
    /* members, dot separated; an array on the way is joined with commas:
     * "health.state", "customerKeys.customerKey" */
    const char *path;
    const char *strip; /* prefix of enum names, left out for people */
    enum column_form form;
};

/* output_table: one line each; output_item: one object, one line a member;
 * output_json: one document and a line end. CLI_OTHER when writing fails. */
enum cli_exit output_table(FILE *to, const json_t *array,
                           const struct column *columns, size_t count);
enum cli_exit output_item(FILE *to, const json_t *object,
                          const struct column *columns, size_t count);
enum cli_exit output_json(FILE *to, const json_t *value);

/* output_preview: of what is not there yet: as output_item, without the members
 * that have nothing in them so far. */
enum cli_exit output_preview(FILE *to, const json_t *object,
                             const struct column *columns, size_t count);

/* output_value: the text of one column; freed with free. NULL without
 * memory. */
char *output_value(const json_t *object, const struct column *column);
