#include "hsm/base/text.h"

/* One form of a UTF-8 character: by its first byte, how many bytes follow and
 * what the second may be; Unicode 15, table 3-7. */
struct form {
    uint8_t first_low;
    uint8_t first_high;
    uint8_t more;
    uint8_t second_low;
    uint8_t second_high;
};

static const struct form forms[] = {
    {0x20, 0x7E, 0, 0,    0   },
    {0xC2, 0xC2, 1, 0xA0, 0xBF}, /* U+0080 to U+009F are controls */
    {0xC3, 0xDF, 1, 0x80, 0xBF},
    {0xE0, 0xE0, 2, 0xA0, 0xBF},
    {0xE1, 0xEC, 2, 0x80, 0xBF},
    {0xED, 0xED, 2, 0x80, 0x9F},
    {0xEE, 0xEF, 2, 0x80, 0xBF},
    {0xF0, 0xF0, 3, 0x90, 0xBF},
    {0xF1, 0xF3, 3, 0x80, 0xBF},
    {0xF4, 0xF4, 3, 0x80, 0x8F},
};

static const struct form *form_of(uint8_t first)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (first >= forms[i].first_low && first <= forms[i].first_high) {
            return &forms[i];
        }
    }
    return NULL;
}

/* The length of the character at the start of text; 0 for none. */
static size_t character_len(struct bytes text)
{
    const struct form *form = form_of(text.data[0]);
    if (form == NULL || text.len <= form->more) {
        return 0;
    }
    for (size_t i = 1; i <= form->more; i++) {
        uint8_t low = i == 1 ? form->second_low : 0x80;
        uint8_t high = i == 1 ? form->second_high : 0xBF;
        if (text.data[i] < low || text.data[i] > high) {
            return 0;
        }
    }
    return form->more + (size_t)1;
}

bool text_is_plain(struct bytes text)
{
    while (text.len > 0) {
        size_t len = character_len(text);
        if (len == 0) {
            return false;
        }
        text.data += len;
        text.len -= len;
    }
    return true;
}
