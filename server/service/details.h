/* details: what a change was, for its audit record: of what was
 * changed, every field that is another one now, before and after; of what was
 * made, the fields it was made with.
 *
 *   {"before":{"state":"DISABLED"},"after":{"state":"ENABLED"}}
 *
 * A field that cannot be noted spoils the whole (details_text_of): a record
 * that lacks a part of the change must not pass for one that has all of it.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct details;

enum details_of {
    DETAILS_OF_CHANGE,
    DETAILS_OF_NEW, /* what is given as before does not count */
};

HF_STATUS details_new(enum details_of what, struct details **out_details);
void details_free(struct details *details);
HF_DEFINE_FREEP(struct details, details)

/* Notes the field, of something changed only if the two differ. Times are
 * milliseconds since 1970, written as UTC; 0 is none. */
void details_text(struct details *details, const char *field,
                  const char *before, const char *after);
void details_flag(struct details *details, const char *field, bool before,
                  bool after);
void details_number(struct details *details, const char *field, int64_t before,
                    int64_t after);
void details_time(struct details *details, const char *field, int64_t before_ms,
                  int64_t after_ms);
/* details_about: a field that tells what the change is about and is not itself
 * changed. */
void details_about(struct details *details, const char *field,
                   const char *value);

/* details_text_of: the JSON object, to be freed; HF_E_NO_MEMORY when anything
 * could not be noted. */
HF_STATUS details_text_of(const struct details *details, char **out_text);
