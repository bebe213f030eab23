#include "client/lib/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* character_len: length of the valid UTF-8 character at text, or 0. The NUL at
 * the end is no tail byte, so this never reads past it. */
static size_t character_len(const unsigned char *text)
{
    if (text[0] < 0x80) {
        return 1;
    }
    if (text[0] >= 0xc2 && text[0] <= 0xdf && is_tail(text[1])) {
        return 2;
    }
    if (text[0] >= 0xe0 && text[0] <= 0xef && is_tail(text[1]) &&
        is_tail(text[2])) {
        bool overlong = text[0] == 0xe0 && text[1] < 0xa0;
        bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (text[0] >= 0xf0 && text[0] <= 0xf4 && is_tail(text[1]) &&
        is_tail(text[2]) && is_tail(text[3])) {
        bool overlong = text[0] == 0xf0 && text[1] < 0x90;
        bool too_big = text[0] == 0xf4 && text[1] >= 0x90;
        return overlong || too_big ? 0 : 4;
    }
    return 0;
}

static bool is_control(const unsigned char *text)
{
    bool c0 = text[0] < 0x20 || text[0] == 0x7f;
    bool c1 = text[0] == 0xc2 && text[1] < 0xa0; /* U+0080 to U+009F */
    return c0 || c1;
}

void text_clean(char *text)
{
    const unsigned char *from = (const unsigned char *)text;
    char *to = text; /* never ahead of from */
    while (*from != '\0') {
        size_t len = character_len(from);
        if (len == 0 || is_control(from)) {
            *to++ = '?';
            from += len == 0 ? 1 : len;
            continue;
        }
        memmove(to, from, len);
        to += len;
        from += len;
    }
    *to = '\0';
}

char *text_clean_copy(const char *text, size_t max_bytes)
{
    const char *from = text != NULL ? text : "";
    size_t len = strnlen(from, max_bytes + 1);
    if (len > max_bytes) {
        len = max_bytes;
        while (len > 0 && is_tail((unsigned char)from[len])) {
            len--;
        }
    }
    char *copy = strndup(from, len);
    if (copy != NULL) {
        text_clean(copy);
    }
    return copy;
}
