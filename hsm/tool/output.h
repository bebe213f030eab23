/* output: one answer, as JSON for programs or as a table for people. A command
 * builds its answer once, as JSON; what people see is made from it, so that the
 * two cannot disagree.
 *
 * Text that came from a token is made harmless here: what is not plain text
 * (hsm/base/text.h) could rewrite a terminal or break a JSON reader.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

#include <jansson.h>

#include <stddef.h>

/* output_text, output_hex: JSON strings; NULL without memory, which jansson's
 * json_object_set_new answers with -1. */
json_t *output_text(const char *text);
json_t *output_hex(struct bytes value);

/* What of a list people see; programs see all. */
struct output_column {
    const char *key;
    const char *heading;
};

/* output_object: prints an object, nested ones flattened for people.
 * output_list:   prints an object whose member `list` is an array of objects.
 * Both take over the answer. note: one line for people, NULL for none.
 * Returns   HF_OK; HF_E_NO_MEMORY for a NULL answer (told); HF_E_IO (told). */
HF_STATUS output_object(struct tool *tool, json_t *answer, const char *note);
HF_STATUS output_list(struct tool *tool, json_t *answer, const char *list,
                      const struct output_column *columns, size_t count);

/* output_problem: tool->problem on standard error. output_mistake: the same
 * for a command line that cannot be understood, with a hint at --help. */
void output_problem(const struct tool *tool, enum hf_status status);
void output_mistake(const struct tool *tool);
