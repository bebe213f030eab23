#include "server/service/details.h"

#include "hsm/sys/clock.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

struct details {
    enum details_of what;
    json_t *about;
    json_t *before;
    json_t *after;
    bool spoilt;
};

HF_STATUS details_new(enum details_of what, struct details **out_details)
{
    HF_OWNED(details_freep)
    struct details *details = calloc(1, sizeof *details);
    if (details == NULL) {
        return HF_E_NO_MEMORY;
    }
    details->what = what;
    details->about = json_object();
    details->before = json_object();
    details->after = json_object();
    if (details->about == NULL || details->before == NULL ||
        details->after == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out_details = HF_GIVE(details);
    return HF_OK;
}

void details_free(struct details *details)
{
    if (details != NULL) {
        json_decref(details->about);
        json_decref(details->before);
        json_decref(details->after);
        free(details);
    }
}

/* Takes both values over; NULL is one that could not be made. */
static void note(struct details *details, const char *field, json_t *before,
                 json_t *after)
{
    if (before == NULL || after == NULL) {
        details->spoilt = true;
        json_decref(before);
        json_decref(after);
        return;
    }
    bool is_new = details->what == DETAILS_OF_NEW;
    if (!is_new && json_equal(before, after)) {
        json_decref(before);
        json_decref(after);
        return;
    }
    if (is_new) {
        json_decref(before);
    } else if (json_object_set_new(details->before, field, before) != 0) {
        details->spoilt = true;
    }
    if (json_object_set_new(details->after, field, after) != 0) {
        details->spoilt = true;
    }
}

void details_text(struct details *details, const char *field,
                  const char *before, const char *after)
{
    note(details, field, json_string(before), json_string(after));
}

void details_flag(struct details *details, const char *field, bool before,
                  bool after)
{
    note(details, field, json_boolean(before), json_boolean(after));
}

void details_number(struct details *details, const char *field, int64_t before,
                    int64_t after)
{
    note(details, field, json_integer(before), json_integer(after));
}

static json_t *time_value(int64_t ms)
{
    char text[CLOCK_UTC_TEXT];
    if (ms == 0) {
        return json_null();
    }
    clock_format_utc(ms, text);
    return json_string(text);
}

void details_time(struct details *details, const char *field, int64_t before_ms,
                  int64_t after_ms)
{
    note(details, field, time_value(before_ms), time_value(after_ms));
}

void details_about(struct details *details, const char *field,
                   const char *value)
{
    if (json_object_set_new(details->about, field, json_string(value)) != 0) {
        details->spoilt = true;
    }
}

HF_STATUS details_text_of(const struct details *details, char **out_text)
{
    if (details->spoilt) {
        return HF_E_NO_MEMORY;
    }
    json_t *whole = json_copy(details->about);
    bool told = whole != NULL &&
                (json_object_size(details->before) == 0 ||
                 json_object_set(whole, "before", details->before) == 0);
    told = told && json_object_set(whole, "after", details->after) == 0;
    char *text = told ? json_dumps(whole, JSON_COMPACT) : NULL;
    json_decref(whole);
    if (text == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out_text = text;
    return HF_OK;
}
