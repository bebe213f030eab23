#include "hsm/tool/ceremony/plan.h"

#include "hsm/base/own.h"
#include "hsm/base/text.h"

#include "hsm/tool/key_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_REASON_BYTES (PLAN_WHY_BYTES - 32)

static void json_free(json_t **json)
{
    json_decref(*json);
}

/* The word that begins at *at, or empty at the end of the line. False for a
 * quote that is not closed. */
static bool next_word(struct bytes line, size_t *at, struct bytes *out)
{
    while (*at < line.len &&
           (line.data[*at] == ' ' || line.data[*at] == '\t')) {
        *at += 1;
    }
    bool quoted = *at < line.len && line.data[*at] == '"';
    *at += quoted ? 1 : 0;
    size_t begin = *at;
    while (*at < line.len && line.data[*at] != '"' &&
           (quoted || (line.data[*at] != ' ' && line.data[*at] != '\t'))) {
        *at += 1;
    }
    *out = (struct bytes){line.data + begin, *at - begin};
    bool closed = *at < line.len && line.data[*at] == '"';
    *at += closed ? 1 : 0;
    return quoted == closed;
}

static enum hf_status words_of(struct bytes line, json_t **out_words)
{
    HF_OWNED(json_free) json_t *words = json_array();
    size_t at = 0;
    struct bytes word = BYTES_NONE;
    if (!text_is_plain(line)) {
        return HF_E_INVALID;
    }
    do {
        if (!next_word(line, &at, &word)) {
            return HF_E_INVALID;
        }
        if (word.len > 0 &&
            json_array_append_new(
                words, json_stringn((const char *)word.data, word.len)) != 0) {
            return HF_E_NO_MEMORY;
        }
    } while (word.len > 0);
    if (at < line.len || json_array_size(words) > OPTIONS_STEP_WORDS_MAX - 2) {
        return HF_E_INVALID;
    }
    *out_words = HF_GIVE(words);
    return HF_OK;
}

static HF_STATUS give_id(json_t *words)
{
    uint8_t id[KEY_ID_BYTES];
    char text[2 * KEY_ID_BYTES + 1];
    HF_TRY(key_id_make(id));
    hex_encode(id, sizeof id, text, sizeof text);
    bool added = json_array_append_new(words, json_string("--id")) == 0 &&
                 json_array_append_new(words, json_string(text)) == 0;
    return added ? HF_OK : HF_E_NO_MEMORY;
}

static enum hf_status step_of(const json_t *words, struct plan_step *out)
{
    out->word_count = json_array_size(words);
    if (out->word_count > OPTIONS_STEP_WORDS_MAX) {
        return HF_E_INVALID;
    }
    for (size_t i = 0; i < out->word_count; i++) {
        /* argv is not const, but nobody writes to it */
        out->words[i] =
            (char *)(uintptr_t)json_string_value(json_array_get(words, i));
        if (out->words[i] == NULL) {
            return HF_E_INVALID;
        }
    }
    return options_step(out->word_count, out->words, &out->options);
}

/* One line of the plan; nothing for a remark. */
static enum hf_status line_take(struct bytes line, json_t *plan,
                                char why[PLAN_REASON_BYTES])
{
    HF_OWNED(json_free) json_t *words = NULL;
    struct plan_step step = {0};
    why[0] = '\0';
    if (line.len > 0 && line.data[0] == '#') {
        return HF_OK;
    }
    enum hf_status status = words_of(line, &words);
    if (status == HF_E_INVALID) {
        snprintf(why, PLAN_REASON_BYTES, "a word that cannot be read");
    }
    HF_TRY(status);
    if (json_array_size(words) == 0) {
        return HF_OK;
    }
    if (step_of(words, &step) != HF_OK) {
        snprintf(why, PLAN_REASON_BYTES, "%s", step.options.mistake);
        return HF_E_INVALID;
    }
    if (step.options.command->undo == STEP_MAKES_KEY &&
        !step.options.given[OPTION_ID]) {
        HF_TRY(give_id(words));
    }
    return json_array_append(plan, words) == 0 ? HF_OK : HF_E_NO_MEMORY;
}

static struct bytes line_at(struct bytes text, size_t at)
{
    const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
    size_t len = end == NULL ? text.len - at : (size_t)(end - text.data) - at;
    return (struct bytes){text.data + at, len};
}

HF_STATUS plan_read(struct bytes text, json_t **out_plan,
                    char why[PLAN_WHY_BYTES])
{
    HF_OWNED(json_free) json_t *plan = json_array();
    size_t number = 1;
    if (plan == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t at = 0; at < text.len; number++) {
        char reason[PLAN_REASON_BYTES];
        struct bytes line = line_at(text, at);
        enum hf_status status = line_take(line, plan, reason);
        if (status != HF_OK) {
            snprintf(why, PLAN_WHY_BYTES, "line %zu: %s", number, reason);
            return status;
        }
        at += line.len + 1;
    }
    if (json_array_size(plan) == 0 || json_array_size(plan) > PLAN_STEPS_MAX) {
        snprintf(why, PLAN_WHY_BYTES, "a plan has 1 to %d steps",
                 PLAN_STEPS_MAX);
        return HF_E_INVALID;
    }
    *out_plan = HF_GIVE(plan);
    return HF_OK;
}

HF_STATUS plan_step(const json_t *plan, size_t which, struct plan_step *out)
{
    *out = (struct plan_step){0};
    return step_of(json_array_get(plan, which), out) == HF_OK ? HF_OK
                                                              : HF_E_CORRUPT;
}

char *plan_text(const json_t *plan, size_t which)
{
    const json_t *words = json_array_get(plan, which);
    size_t len = 1;
    for (size_t i = 0; i < json_array_size(words); i++) {
        len += json_string_length(json_array_get(words, i)) + 3;
    }
    char *text = calloc(1, len);
    for (size_t i = 0; text != NULL && i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        size_t at = strlen(text);
        bool quoted = word != NULL && strpbrk(word, " \t") != NULL;
        snprintf(text + at, len - at, quoted ? "%s\"%s\"" : "%s%s",
                 i == 0 ? "" : " ", word == NULL ? "?" : word);
    }
    return text;
}
