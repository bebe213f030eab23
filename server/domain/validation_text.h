/* validation_text: short texts without an allocation or a format string. What
 * does not fit is cut off; there is always room for the NUL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct text_out {
    char *text;
    size_t cap; /* at least 1 */
    size_t len;
};

void text_begin(struct text_out *out, char *text, size_t cap);
void text_put(struct text_out *out, const char *words);
void text_put_number(struct text_out *out, uint32_t number);
/* text_put_date: the UTC day of Unix milliseconds, "2030-01-31"; before 1970 or
 * after 9999: "an impossible date". */
void text_put_date(struct text_out *out, int64_t unix_ms);
