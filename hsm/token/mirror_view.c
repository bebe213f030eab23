#include "hsm/token/mirror_view.h"

#include "hsm/base/check.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1
/* One is the rule; more only after a token refused to take some away. */
#define VIEWS_MAX 32

void mirror_view_encode(const struct mirror_view *view, struct token_data *out)
{
    struct byte_writer writer = byte_writer_on(out->value, sizeof out->value);
    CHECK(view->count <= MIRRORS_MAX);
    memset(out->label, 0, sizeof out->label);
    memcpy(out->label, MIRROR_VIEW_LABEL, sizeof MIRROR_VIEW_LABEL);
    put_u8(&writer, FORMAT);
    put_u64(&writer, view->number);
    put_u8(&writer, (uint8_t)view->count);
    for (size_t i = 0; i < view->count; i++) {
        put_text(&writer, view->members[i].label);
        put_text(&writer, view->members[i].serial);
    }
    CHECK(!writer.overrun);
    out->value_len = writer.len;
}

HF_STATUS mirror_view_decode(const struct token_data *data,
                             struct mirror_view *out)
{
    struct mirror_view view = {.number = 0};
    struct byte_reader reader =
        byte_reader_on((struct bytes){data->value, data->value_len});
    uint8_t format = get_u8(&reader);
    view.number = get_u64(&reader);
    view.count = get_u8(&reader);
    if (format != FORMAT || view.number == 0 || view.count == 0 ||
        view.count > MIRRORS_MAX) {
        return HF_E_CORRUPT;
    }
    for (size_t i = 0; i < view.count; i++) {
        get_text(&reader, view.members[i].label, sizeof view.members[i].label);
        get_text(&reader, view.members[i].serial,
                 sizeof view.members[i].serial);
    }
    HF_TRY(byte_reader_done(&reader));
    *out = view;
    return HF_OK;
}

bool mirror_view_has(const struct mirror_view *view, const char *serial)
{
    bool found = false;
    for (size_t i = 0; i < view->count; i++) {
        found = found || strcmp(view->members[i].serial, serial) == 0;
    }
    return found;
}

bool mirror_view_equal(const struct mirror_view *a, const struct mirror_view *b)
{
    bool equal = a->number == b->number && a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        equal = mirror_view_has(b, a->members[i].serial);
    }
    return equal;
}

static HF_STATUS list(const struct token *token, int64_t attempt_ms,
                      struct token_data **out_items, size_t *out_count)
{
    struct token_request request = {
        .op = TOKEN_OP_DATA_LIST,
        .attempt_ms = attempt_ms,
        .u.data_list = {.label = MIRROR_VIEW_LABEL, .cap = VIEWS_MAX},
    };
    struct token_data *items = calloc(VIEWS_MAX, sizeof *items);
    if (items == NULL) {
        return HF_E_NO_MEMORY;
    }
    request.u.data_list.items = items;
    enum hf_status status = token_call(token, &request);
    if (status != HF_OK) {
        free(items);
        return status;
    }
    *out_items = items;
    *out_count = request.u.data_list.count;
    return HF_OK;
}

HF_STATUS mirror_view_read(const struct token *token, int64_t attempt_ms,
                           struct mirror_view *out)
{
    struct token_data *items = NULL;
    struct mirror_view newest = {.number = 0};
    size_t count = 0;
    HF_TRY(list(token, attempt_ms, &items, &count));
    enum hf_status status = HF_OK;
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct mirror_view view;
        status = mirror_view_decode(&items[i], &view);
        if (status == HF_OK && view.number > newest.number) {
            newest = view;
        }
    }
    free(items);
    if (status == HF_OK) {
        *out = newest;
    }
    return status;
}

static HF_STATUS data_call(const struct token *token, enum token_op op,
                           int64_t attempt_ms, struct token_data *data)
{
    struct token_request request = {
        .op = op, .attempt_ms = attempt_ms, .u.data = data};
    return token_call(token, &request);
}

HF_STATUS mirror_view_write(const struct token *token, int64_t attempt_ms,
                            const struct mirror_view *view)
{
    struct token_data value;
    struct token_data *items = NULL;
    size_t count = 0;
    mirror_view_encode(view, &value);
    HF_TRY(list(token, attempt_ms, &items, &count));
    enum hf_status status =
        data_call(token, TOKEN_OP_DATA_CREATE, attempt_ms, &value);
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct mirror_view other;
        if (mirror_view_decode(&items[i], &other) == HF_OK &&
            other.number < view->number) {
            HF_IGNORE(
                data_call(token, TOKEN_OP_DATA_DESTROY, attempt_ms, &items[i]),
                "a lower number does no harm");
        }
    }
    free(items);
    return status;
}

HF_STATUS mirror_view_check_alone(const struct token *token, int64_t attempt_ms,
                                  struct mirror_name *out_missing)
{
    struct mirror_view view;
    struct token_profile profile;
    HF_TRY(mirror_view_read(token, attempt_ms, &view));
    token_profile_get(token, &profile);
    for (size_t i = 0; i < view.count; i++) {
        if (strcmp(view.members[i].serial, profile.serial) != 0) {
            *out_missing = view.members[i];
            return HF_E_PRECONDITION;
        }
    }
    return HF_OK;
}
