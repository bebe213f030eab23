#include "client/lib/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* character_len: length of the valid, printable UTF-8 character at text, or 0.
 * The NUL at the end is no tail byte, so this never reads past it. */
static size_t character_len(const unsigned char *text)
{
    if (text[0] >= 0x20 && text[0] < 0x7f) {
        return 1;
    }
    if (text[0] >= 0xc2 && text[0] <= 0xdf && is_tail(text[1])) {
        /* U+0080 to U+009F are control characters, too */
        return text[0] == 0xc2 && text[1] < 0xa0 ? 0 : 2;
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

void text_clean(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at != '\0') {
        size_t len = character_len(at);
        if (len == 0) {
            *at = '?';
            len = 1;
        }
        at += len;
    }
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
