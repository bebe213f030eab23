#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/worker/fields.h"
#include "hsm/worker/frame.h"

#include <string.h>

/* --- put ------------------------------------------------------------------ */

static void put_head(struct byte_writer *writer,
                     const struct frame_reply_head *head)
{
    put_u64(writer, head->number);
    put_u8(writer, (uint8_t)head->op);
    put_u8(writer, (uint8_t)head->status);
    put_flag(writer, head->more);
    put_u64(writer, head->rv);
}

static void put_minted(struct byte_writer *writer,
                       const struct token_mint *mint)
{
    for (size_t i = 0; i < mint->copy_count; i++) {
        put_lp(writer, mint->copies[i].wrapped, mint->copies[i].wrapped_len);
    }
    put_lp(writer, mint->check_sealed, mint->check_sealed_len);
}

/* Everything but lists. */
static void put_result(struct byte_writer *writer,
                       const struct token_request *request, uint64_t free_bytes)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        put_lp(writer, request->u.aead.out, request->u.aead.out_len);
        break;
    case TOKEN_OP_MAC:
        put_raw(writer, request->u.mac.out, sizeof request->u.mac.out);
        break;
    case TOKEN_OP_FIND:
        put_report(writer, request->u.find.report);
        break;
    case TOKEN_OP_GENERATE:
        put_report(writer, request->u.generate.report);
        break;
    case TOKEN_OP_UNWRAP:
        put_object(writer, &request->u.unwrap.object);
        break;
    case TOKEN_OP_DECRYPT:
        put_lp(writer, secret_bytes(request->u.unwrap.secret),
               secret_len(request->u.unwrap.secret));
        break;
    case TOKEN_OP_MINT:
        put_minted(writer, request->u.mint);
        break;
    case TOKEN_OP_SIGN:
        put_raw(writer, request->u.sign.signature,
                sizeof request->u.sign.signature);
        break;
    case TOKEN_OP_HEALTH:
        put_u64(writer, free_bytes);
        break;
    case TOKEN_OP_LIST:
    case TOKEN_OP_DATA_LIST:
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        break;
    }
}

/* An object whose generation does not fit has no name on the other side; there
 * is no such adapter. */
static enum hf_status status_of(const struct token_request *request)
{
    bool nameless = request->status == HF_OK &&
                    request->op == TOKEN_OP_UNWRAP &&
                    request->u.unwrap.object.generation > UINT32_MAX;
    return nameless ? HF_E_INTERNAL : request->status;
}

static bool is_list(enum token_op op)
{
    return op == TOKEN_OP_LIST || op == TOKEN_OP_DATA_LIST;
}

static size_t count_of(const struct token_request *request)
{
    return request->op == TOKEN_OP_LIST ? request->u.list.count
                                        : request->u.data_list.count;
}

static void put_item(struct byte_writer *writer,
                     const struct token_request *request, size_t index)
{
    if (request->op == TOKEN_OP_LIST) {
        put_report(writer, &request->u.list.reports[index]);
    } else {
        put_data_object(writer, &request->u.data_list.items[index]);
    }
}

/* Undoes what did not fit. */
static HF_STATUS settle(struct byte_writer *writer, size_t before)
{
    if (!writer->overrun) {
        return HF_OK;
    }
    writer->len = before;
    writer->overrun = false;
    return HF_E_LIMIT;
}

static void patch_u32(struct byte_writer *writer, size_t at, uint32_t value)
{
    struct byte_writer field = byte_writer_on(writer->data + at, 4);
    put_u32(&field, value);
}

/* Bytes before the `more` of a head, and of its whole. */
#define MORE_AT    10
#define HEAD_BYTES 19

/* As many items as there is room for; none but when there are none at all. */
static HF_STATUS put_list_part(struct frame_writer *writer,
                               const struct frame_reply_head *head,
                               const struct token_request *request,
                               size_t *listed)
{
    struct byte_writer *bytes = &writer->bytes;
    size_t start = bytes->len;
    size_t count = count_of(request);
    uint32_t items = 0;
    put_head(bytes, head);
    put_u32(bytes, 0);
    HF_TRY(settle(bytes, start));
    enum hf_status status = HF_OK;
    while (*listed < count && status == HF_OK) {
        size_t before = bytes->len;
        put_item(bytes, request, *listed);
        status = settle(bytes, before);
        if (status == HF_OK) {
            items += 1;
            *listed += 1;
        }
    }
    if (items == 0 && status != HF_OK) {
        bytes->len = start;
        return status;
    }
    bytes->data[start + MORE_AT] = status == HF_OK ? 0 : 1;
    patch_u32(bytes, start + HEAD_BYTES, items);
    writer->count += 1;
    return status;
}

HF_STATUS frame_reply_put(struct frame_writer *writer, uint64_t number,
                          const struct token_request *request,
                          uint64_t free_bytes, size_t *listed)
{
    struct byte_writer *bytes = &writer->bytes;
    const struct frame_reply_head head = {
        .number = number,
        .op = request->op,
        .status = status_of(request),
        .rv = request->rv,
    };
    if (writer->count == TOKEN_BATCH_MAX) {
        return HF_E_LIMIT;
    }
    if (head.status == HF_OK && is_list(request->op)) {
        return put_list_part(writer, &head, request, listed);
    }
    size_t before = bytes->len;
    put_head(bytes, &head);
    if (head.status == HF_OK) {
        put_result(bytes, request, free_bytes);
    }
    HF_TRY(settle(bytes, before));
    writer->count += 1;
    return HF_OK;
}

/* --- get ------------------------------------------------------------------ */

HF_STATUS frame_reply_head_get(struct frame_reader *reader,
                               struct frame_reply_head *out)
{
    struct byte_reader *bytes = &reader->bytes;
    CHECK(reader->left > 0);
    HF_TRY(frame_peek_op(reader, &out->op));
    out->number = get_u64(bytes);
    get_u8(bytes); /* the op */
    uint8_t status = get_u8(bytes);
    out->more = get_flag(bytes);
    out->rv = get_u64(bytes);
    reader->left -= 1;
    if (bytes->bad || status >= HF_STATUS_COUNT ||
        (out->more && (status != HF_OK || !is_list(out->op)))) {
        return HF_E_CORRUPT;
    }
    out->status = (enum hf_status)status;
    return HF_OK;
}

/* The length is known beforehand: a tag more, or a tag less. */
static void get_text_out(struct byte_reader *reader, struct token_aead *aead,
                         bool sealed)
{
    size_t len = sealed ? aead->in.len + HF_GCM_TAG_BYTES
                        : aead->in.len - HF_GCM_TAG_BYTES;
    CHECK(len <= aead->out_cap); /* token_submit has looked */
    aead->out_len = get_copy(reader, aead->out, aead->out_cap).len;
    if (aead->out_len != len) {
        reader->bad = true;
    }
}

static HF_STATUS get_secret(struct byte_reader *reader,
                            struct secret **out_secret)
{
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    struct bytes key = get_lp(reader);
    if (reader->bad || key.len == 0 || key.len > HF_SECRET_MAX_BYTES) {
        return HF_E_CORRUPT;
    }
    HF_TRY(secret_new(key.len, &secret));
    memcpy(secret_writable(secret), key.data, key.len);
    *out_secret = HF_GIVE(secret);
    return HF_OK;
}

static void get_minted(struct byte_reader *reader, struct token_mint *mint)
{
    for (size_t i = 0; i < mint->copy_count; i++) {
        struct token_mint_copy *copy = &mint->copies[i];
        copy->wrapped_len =
            get_copy(reader, copy->wrapped, sizeof copy->wrapped).len;
    }
    mint->check_sealed_len =
        get_copy(reader, mint->check_sealed, sizeof mint->check_sealed).len;
    if (mint->check_sealed_len != mint->check_text.len + HF_GCM_TAG_BYTES) {
        reader->bad = true;
    }
}

/* One part of a list: at least one item, unless there are none at all; into
 * nobody's array when it is not given. */
static void get_reports(struct byte_reader *reader, bool more,
                        struct token_list *list, size_t *listed)
{
    uint32_t items = get_u32(reader);
    if (items > list->cap - *listed || (items == 0 && (more || *listed > 0))) {
        reader->bad = true;
    }
    for (uint32_t i = 0; i < items && !reader->bad; i++) {
        struct token_key_report nobodys;
        get_report(reader,
                   list->reports != NULL ? &list->reports[*listed] : &nobodys);
        *listed += 1;
    }
    list->count = *listed;
}

static void get_data_items(struct byte_reader *reader, bool more,
                           struct token_data_list *list, size_t *listed)
{
    uint32_t items = get_u32(reader);
    if (items > list->cap - *listed || (items == 0 && (more || *listed > 0))) {
        reader->bad = true;
    }
    for (uint32_t i = 0; i < items && !reader->bad; i++) {
        struct token_data nobodys;
        get_data_object(reader,
                        list->items != NULL ? &list->items[*listed] : &nobodys);
        *listed += 1;
    }
    list->count = *listed;
}

/* Where a result goes, and what comes with it. */
struct landing {
    uint32_t worker;
    bool more;
    struct token_request *request;
    size_t *listed;
    uint64_t *free_bytes;
};

static HF_STATUS get_result(struct byte_reader *reader,
                            const struct landing *to)
{
    struct token_request *request = to->request;
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        get_text_out(reader, &request->u.aead, request->op == TOKEN_OP_SEAL);
        break;
    case TOKEN_OP_MAC:
        get_raw(reader, request->u.mac.out, sizeof request->u.mac.out);
        break;
    case TOKEN_OP_FIND:
        get_report(reader, request->u.find.report);
        break;
    case TOKEN_OP_GENERATE:
        get_report(reader, request->u.generate.report);
        break;
    case TOKEN_OP_UNWRAP:
        get_object(reader, to->worker, &request->u.unwrap.object);
        break;
    case TOKEN_OP_DECRYPT:
        return get_secret(reader, &request->u.unwrap.secret);
    case TOKEN_OP_MINT:
        get_minted(reader, request->u.mint);
        break;
    case TOKEN_OP_SIGN:
        get_raw(reader, request->u.sign.signature,
                sizeof request->u.sign.signature);
        break;
    case TOKEN_OP_LIST:
        get_reports(reader, to->more, &request->u.list, to->listed);
        break;
    case TOKEN_OP_DATA_LIST:
        get_data_items(reader, to->more, &request->u.data_list, to->listed);
        break;
    case TOKEN_OP_HEALTH:
        *to->free_bytes = get_u64(reader);
        break;
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        break;
    }
    return HF_OK;
}

HF_STATUS frame_reply_get(struct frame_reader *reader,
                          const struct frame_reply_head *head, uint32_t worker,
                          struct token_request *request, size_t *listed,
                          uint64_t *free_bytes)
{
    const struct landing to = {.worker = worker,
                               .more = head->more,
                               .request = request,
                               .listed = listed,
                               .free_bytes = free_bytes};
    /* the rest of a list that has begun is not a refusal */
    if (head->op != request->op || (*listed > 0 && head->status != HF_OK)) {
        return HF_E_CORRUPT;
    }
    enum hf_status status = head->status;
    if (status == HF_OK) {
        /* only our own memory can fail here, not the answer */
        status = get_result(&reader->bytes, &to);
    }
    if (reader->bytes.bad || status == HF_E_CORRUPT) {
        return HF_E_CORRUPT;
    }
    request->status = status;
    request->rv = head->rv;
    return HF_OK;
}

/* --- for nobody ----------------------------------------------------------- */

struct frame_late frame_late_of(const struct token_request *request,
                                size_t listed)
{
    struct frame_late late = {.op = request->op};
    if (request->op == TOKEN_OP_SEAL || request->op == TOKEN_OP_OPEN) {
        late.in_len = request->u.aead.in.len;
    } else if (request->op == TOKEN_OP_MINT) {
        late.in_len = request->u.mint->check_text.len;
        late.copies = request->u.mint->copy_count;
    } else if (is_list(request->op)) {
        late.cap = (request->op == TOKEN_OP_LIST ? request->u.list.cap
                                                 : request->u.data_list.cap);
        late.listed = listed;
    }
    return late;
}

/* A request of the same form, whose results go nowhere. */
static struct token_request nobodys_request(const struct frame_late *late,
                                            struct frame_room *room)
{
    struct token_request request = {.op = late->op};
    if (late->op == TOKEN_OP_SEAL || late->op == TOKEN_OP_OPEN) {
        request.u.aead.in.len = late->in_len;
        request.u.aead.out = room->u.data.out;
        request.u.aead.out_cap = sizeof room->u.data.out;
    } else if (late->op == TOKEN_OP_FIND) {
        request.u.find.report = &room->u.root.report;
    } else if (late->op == TOKEN_OP_GENERATE) {
        request.u.generate.report = &room->u.root.report;
    } else if (late->op == TOKEN_OP_MINT) {
        room->u.root.mint = (struct token_mint){.copy_count = late->copies,
                                                .check_text.len = late->in_len};
        request.u.mint = &room->u.root.mint;
    } else if (late->op == TOKEN_OP_LIST) {
        request.u.list.cap = late->cap;
    } else if (late->op == TOKEN_OP_DATA_LIST) {
        request.u.data_list.cap = late->cap;
    }
    return request;
}

HF_STATUS frame_reply_drop(struct frame_reader *reader,
                           const struct frame_reply_head *head, uint32_t worker,
                           struct frame_late *late,
                           struct token_object *out_object)
{
    struct frame_room room;
    struct token_request request = nobodys_request(late, &room);
    uint64_t free_bytes = 0;
    *out_object = (struct token_object){.handle = 0};
    enum hf_status status = frame_reply_get(reader, head, worker, &request,
                                            &late->listed, &free_bytes);
    if (status == HF_OK && request.status == HF_OK) {
        if (request.op == TOKEN_OP_UNWRAP) {
            *out_object = request.u.unwrap.object;
        } else if (request.op == TOKEN_OP_DECRYPT) {
            secret_free(request.u.unwrap.secret);
        }
    }
    wipe(room.u.data.out, sizeof room.u.data.out); /* a key was opened */
    return status;
}
