#include "hsm/base/check.h"

#include "hsm/worker/fields.h"
#include "hsm/worker/frame.h"

#include <string.h>

/* A request says how long its attempt may take; longer than a day nobody waits.
 */
#define ATTEMPT_MAX_MS (24 * 3600 * 1000)

/* --- is it one that can be understood? ------------------------------------ */

static bool mint_is_known(const struct token_mint *mint)
{
    bool known = field_suite_is_known(mint->source.suite) &&
                 (mint->source.suite == TOKEN_SUITE_NONE ||
                  field_key_is_sound(&mint->source.key));
    for (size_t i = 0; i < mint->copy_count; i++) {
        const struct token_mint_copy *copy = &mint->copies[i];
        known = known && field_suite_is_known(copy->suite) &&
                (copy->suite != TOKEN_SUITE_AES_KWP ||
                 field_key_is_sound(&copy->key));
    }
    return known;
}

/* What token_submit does not look at because no adapter in this process can
 * stumble over it; on the way to another one it must not look like an attack.
 */
static bool is_known(const struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_HEALTH:
    case TOKEN_OP_LIST:
        return true;
    case TOKEN_OP_MAC:
        return field_key_is_sound(&request->u.mac.key);
    case TOKEN_OP_FIND:
        return field_key_is_sound(&request->u.find.key);
    case TOKEN_OP_GENERATE:
        return field_purpose_is_known(request->u.generate.purpose);
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        return field_key_is_sound(&request->u.unwrap.key) &&
               field_suite_is_known(request->u.unwrap.suite);
    case TOKEN_OP_MINT:
        return mint_is_known(request->u.mint);
    case TOKEN_OP_SIGN:
        return field_key_is_sound(&request->u.sign.key);
    case TOKEN_OP_DESTROY:
        return field_key_is_sound(&request->u.destroy.key);
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        return field_text_is_sound(request->u.data->label,
                                   sizeof request->u.data->label);
    case TOKEN_OP_DATA_LIST:
        return field_text_is_sound(request->u.data_list.label,
                                   sizeof request->u.data_list.label);
    }
    return false;
}

/* --- put ------------------------------------------------------------------ */

static void put_bytes(struct byte_writer *writer, struct bytes field)
{
    put_lp(writer, field.data, field.len);
}

static void put_aead(struct byte_writer *writer, const struct token_aead *aead)
{
    put_object(writer, &aead->key);
    put_raw(writer, aead->iv, sizeof aead->iv);
    put_bytes(writer, aead->aad);
    put_bytes(writer, aead->in);
}

static void put_list(struct byte_writer *writer, const struct token_list *list)
{
    put_text(writer, list->label_prefix);
    put_lp(writer, list->id_prefix, list->id_prefix_len);
    put_u32(writer, list->cap > UINT32_MAX ? UINT32_MAX : (uint32_t)list->cap);
}

static void put_generate(struct byte_writer *writer,
                         const struct token_generate *generate)
{
    put_u8(writer, (uint8_t)generate->purpose);
    put_u32(writer, generate->bits);
    put_text(writer, generate->label);
    put_lp(writer, generate->id, generate->id_len);
}

/* A key where the suite is one that names it. */
static void put_suite(struct byte_writer *writer, enum token_suite suite,
                      const struct token_key *key)
{
    put_u8(writer, (uint8_t)suite);
    if (key != NULL) {
        put_key(writer, key);
    }
}

static void put_mint(struct byte_writer *writer, const struct token_mint *mint)
{
    const struct token_mint_source *source = &mint->source;
    bool given = source->suite != TOKEN_SUITE_NONE;
    put_suite(writer, source->suite, given ? &source->key : NULL);
    if (given) {
        put_bytes(writer, source->wrapped);
        put_lp(writer, mint->check_sealed, mint->check_sealed_len);
    }
    put_u8(writer, (uint8_t)mint->copy_count);
    for (size_t i = 0; i < mint->copy_count; i++) {
        const struct token_mint_copy *copy = &mint->copies[i];
        bool by_aes = copy->suite == TOKEN_SUITE_AES_KWP;
        put_suite(writer, copy->suite, by_aes ? &copy->key : NULL);
        if (!by_aes) {
            put_bytes(writer, copy->spki);
        }
    }
    put_raw(writer, mint->check_iv, sizeof mint->check_iv);
    put_bytes(writer, mint->check_aad);
    put_bytes(writer, mint->check_text);
}

static void put_body(struct byte_writer *writer,
                     const struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        put_aead(writer, &request->u.aead);
        break;
    case TOKEN_OP_MAC:
        put_key(writer, &request->u.mac.key);
        put_bytes(writer, request->u.mac.in);
        break;
    case TOKEN_OP_FIND:
        put_key(writer, &request->u.find.key);
        put_flag(writer, request->u.find.tentative);
        break;
    case TOKEN_OP_LIST:
        put_list(writer, &request->u.list);
        break;
    case TOKEN_OP_GENERATE:
        put_generate(writer, &request->u.generate);
        break;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        put_suite(writer, request->u.unwrap.suite, &request->u.unwrap.key);
        put_bytes(writer, request->u.unwrap.wrapped);
        break;
    case TOKEN_OP_MINT:
        put_mint(writer, request->u.mint);
        break;
    case TOKEN_OP_SIGN:
        put_key(writer, &request->u.sign.key);
        put_raw(writer, request->u.sign.digest, sizeof request->u.sign.digest);
        break;
    case TOKEN_OP_DESTROY:
        put_key(writer, &request->u.destroy.key);
        break;
    case TOKEN_OP_FORGET:
        put_object(writer, &request->u.forget);
        break;
    case TOKEN_OP_DATA_LIST:
        put_text(writer, request->u.data_list.label);
        put_u32(writer, request->u.data_list.cap > UINT32_MAX
                            ? UINT32_MAX
                            : (uint32_t)request->u.data_list.cap);
        break;
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        put_data_object(writer, request->u.data);
        break;
    case TOKEN_OP_HEALTH:
        break;
    }
}

static uint32_t attempt_of(const struct token_request *request)
{
    if (request->attempt_ms <= 0) {
        return 0;
    }
    return request->attempt_ms > ATTEMPT_MAX_MS ? ATTEMPT_MAX_MS
                                                : (uint32_t)request->attempt_ms;
}

HF_STATUS frame_request_put(struct frame_writer *writer, uint64_t number,
                            const struct token_request *request)
{
    struct byte_writer *bytes = &writer->bytes;
    size_t before = bytes->len;
    if (!is_known(request)) {
        return HF_E_INVALID;
    }
    if (writer->count == TOKEN_BATCH_MAX) {
        return HF_E_LIMIT;
    }
    put_u64(bytes, number);
    put_u8(bytes, (uint8_t)request->op);
    put_u64(bytes, (uint64_t)request->drop_dead_ms);
    put_u32(bytes, attempt_of(request));
    put_body(bytes, request);
    if (bytes->overrun) {
        bytes->len = before;
        bytes->overrun = false;
        return HF_E_LIMIT;
    }
    writer->count += 1;
    return HF_OK;
}

/* --- get ------------------------------------------------------------------ */

static enum token_suite get_suite(struct byte_reader *reader)
{
    uint8_t suite = get_u8(reader);
    if (!field_suite_is_known(suite)) {
        reader->bad = true;
        return TOKEN_SUITE_NONE;
    }
    return (enum token_suite)suite;
}

static void get_aead(struct byte_reader *reader, struct token_aead *aead,
                     struct frame_room *room)
{
    get_object(reader, 0, &aead->key);
    get_raw(reader, aead->iv, sizeof aead->iv);
    aead->aad = get_copy(reader, room->u.data.aad, sizeof room->u.data.aad);
    aead->in = get_copy(reader, room->u.data.in, HF_SEALED_MAX_BYTES);
    aead->out = room->u.data.out;
    aead->out_cap = sizeof room->u.data.out;
}

static void get_list(struct byte_reader *reader, struct token_list *list)
{
    get_text(reader, list->label_prefix, sizeof list->label_prefix);
    list->id_prefix_len =
        get_copy(reader, list->id_prefix, sizeof list->id_prefix).len;
    list->cap = get_u32(reader);
}

static void get_generate(struct byte_reader *reader,
                         struct token_generate *generate,
                         struct frame_room *room)
{
    uint8_t purpose = get_u8(reader);
    if (!field_purpose_is_known(purpose)) {
        reader->bad = true;
        return;
    }
    generate->purpose = (enum token_purpose)purpose;
    generate->bits = get_u32(reader);
    get_text(reader, generate->label, sizeof generate->label);
    generate->id_len = get_copy(reader, generate->id, sizeof generate->id).len;
    generate->report = &room->u.root.report;
}

static void get_mint_copy(struct byte_reader *reader,
                          struct token_mint_copy *copy, uint8_t *spki)
{
    copy->suite = get_suite(reader);
    if (copy->suite == TOKEN_SUITE_AES_KWP) {
        get_key(reader, &copy->key);
    } else {
        copy->spki = get_copy(reader, spki, HF_SPKI_MAX_BYTES);
    }
}

static void get_mint(struct byte_reader *reader, struct frame_room *room)
{
    struct token_mint *mint = &room->u.root.mint;
    *mint = (struct token_mint){.copy_count = 0};
    mint->source.suite = get_suite(reader);
    if (mint->source.suite != TOKEN_SUITE_NONE) {
        get_key(reader, &mint->source.key);
        mint->source.wrapped =
            get_copy(reader, room->u.root.wrapped, sizeof room->u.root.wrapped);
        mint->check_sealed_len =
            get_copy(reader, mint->check_sealed, sizeof mint->check_sealed).len;
    }
    mint->copy_count = get_u8(reader);
    if (mint->copy_count > TOKEN_MINT_COPIES_MAX) {
        reader->bad = true;
        mint->copy_count = 0;
    }
    for (size_t i = 0; i < mint->copy_count; i++) {
        get_mint_copy(reader, &mint->copies[i], room->u.root.spki[i]);
    }
    get_raw(reader, mint->check_iv, sizeof mint->check_iv);
    mint->check_aad =
        get_copy(reader, room->u.root.aad, sizeof room->u.root.aad);
    mint->check_text =
        get_copy(reader, room->u.root.text, sizeof room->u.root.text);
}

static void get_body(struct byte_reader *reader, struct token_request *request,
                     struct frame_room *room)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        get_aead(reader, &request->u.aead, room);
        break;
    case TOKEN_OP_MAC:
        get_key(reader, &request->u.mac.key);
        request->u.mac.in =
            get_copy(reader, room->u.data.in, sizeof room->u.data.in);
        break;
    case TOKEN_OP_FIND:
        get_key(reader, &request->u.find.key);
        request->u.find.tentative = get_flag(reader);
        request->u.find.report = &room->u.root.report;
        break;
    case TOKEN_OP_LIST:
        get_list(reader, &request->u.list);
        break;
    case TOKEN_OP_GENERATE:
        get_generate(reader, &request->u.generate, room);
        break;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        request->u.unwrap.suite = get_suite(reader);
        get_key(reader, &request->u.unwrap.key);
        request->u.unwrap.wrapped =
            get_copy(reader, room->u.root.wrapped, sizeof room->u.root.wrapped);
        break;
    case TOKEN_OP_MINT:
        get_mint(reader, room);
        request->u.mint = &room->u.root.mint;
        break;
    case TOKEN_OP_SIGN:
        get_key(reader, &request->u.sign.key);
        get_raw(reader, request->u.sign.digest, sizeof request->u.sign.digest);
        break;
    case TOKEN_OP_DESTROY:
        get_key(reader, &request->u.destroy.key);
        break;
    case TOKEN_OP_FORGET:
        get_object(reader, 0, &request->u.forget);
        break;
    case TOKEN_OP_DATA_LIST:
        get_text(reader, request->u.data_list.label,
                 sizeof request->u.data_list.label);
        request->u.data_list.cap = get_u32(reader);
        break;
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        get_data_object(reader, &room->u.root.data);
        request->u.data = &room->u.root.data;
        break;
    case TOKEN_OP_HEALTH:
        break;
    }
}

HF_STATUS frame_request_get(struct frame_reader *reader, uint64_t *number,
                            struct token_request *request,
                            struct frame_room *room)
{
    struct byte_reader *bytes = &reader->bytes;
    CHECK(reader->left > 0);
    *request = (struct token_request){.op = TOKEN_OP_HEALTH};
    HF_TRY(frame_peek_op(reader, &request->op));
    *number = get_u64(bytes);
    get_u8(bytes); /* the op */
    request->drop_dead_ms = (int64_t)get_u64(bytes);
    request->attempt_ms = get_at_most(bytes, ATTEMPT_MAX_MS);
    get_body(bytes, request, room);
    reader->left -= 1;
    return bytes->bad ? HF_E_CORRUPT : HF_OK;
}
