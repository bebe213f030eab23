#include "server/domain/validation_text.h"

#define DAY_MS      86400000ll
#define YEAR_10K_MS 253402300800000ll

void text_begin(struct text_out *out, char *text, size_t cap)
{
    *out = (struct text_out){.text = text, .cap = cap};
    text[0] = '\0';
}

void text_put(struct text_out *out, const char *words)
{
    for (size_t i = 0; words[i] != '\0' && out->len + 1 < out->cap; i++) {
        out->text[out->len++] = words[i];
    }
    out->text[out->len] = '\0';
}

static void put_digits(struct text_out *out, uint32_t number, size_t width)
{
    char digits[16] = {0};
    size_t at = sizeof digits - 1;
    size_t done = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
        done++;
    } while (number > 0 || done < width);
    text_put(out, digits + at);
}

void text_put_number(struct text_out *out, uint32_t number)
{
    put_digits(out, number, 1);
}

void text_put_date(struct text_out *out, int64_t unix_ms)
{
    if (unix_ms < 0 || unix_ms >= YEAR_10K_MS) {
        text_put(out, "an impossible date");
        return;
    }
    /* Years from March on end with the leap day, which makes the lengths of
     * the months regular; 719468 days lie between 0000-03-01 and 1970-01-01. */
    uint32_t days = (uint32_t)(unix_ms / DAY_MS) + 719468u;
    uint32_t era = days / 146097; /* of 400 years */
    uint32_t day_of_era = days % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 +
                            day_of_era / 36524 - day_of_era / 146096) /
                           365;
    uint32_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month_from_march = (5 * day_of_year + 2) / 153;
    uint32_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    uint32_t month = month_from_march + 3;
    uint32_t year = era * 400 + year_of_era;
    if (month > 12) {
        month -= 12;
        year++;
    }
    put_digits(out, year, 4);
    text_put(out, "-");
    put_digits(out, month, 2);
    text_put(out, "-");
    put_digits(out, day, 2);
}
