#include "hsm/worker/fields.h"

#include "hsm/base/check.h"
#include "hsm/base/mechanisms.h"

#include <string.h>

bool field_text_is_sound(const char *text, size_t cap)
{
    return memchr(text, 0, cap) != NULL;
}

static bool type_is_known(unsigned type)
{
    switch ((enum token_key_type)type) {
    case TOKEN_KEY_RSA:
    case TOKEN_KEY_EC:
    case TOKEN_KEY_AES:
    case TOKEN_KEY_GENERIC:
        return true;
    }
    return false;
}

bool field_key_is_sound(const struct token_key *key)
{
    return type_is_known(key->type) && key->id_len <= sizeof key->id;
}

bool field_suite_is_known(unsigned suite)
{
    switch ((enum token_suite)suite) {
    case TOKEN_SUITE_NONE:
    case TOKEN_SUITE_OAEP_SHA256:
    case TOKEN_SUITE_OAEP_SHA1:
    case TOKEN_SUITE_AES_KWP:
        return true;
    }
    return false;
}

bool field_purpose_is_known(unsigned purpose)
{
    switch ((enum token_purpose)purpose) {
    case TOKEN_FOR_CUSTOMER_KEY_TOKEN:
    case TOKEN_FOR_CUSTOMER_KEY_MEMORY:
    case TOKEN_FOR_AVAILABILITY_KEY:
    case TOKEN_FOR_RECORD_MAC:
    case TOKEN_FOR_AUDIT_SIGNING:
    case TOKEN_FOR_CANARY:
    case TOKEN_FOR_AVAILABILITY_PAIR:
    case TOKEN_FOR_TRANSPORT_PAIR:
        return true;
    }
    return false;
}

void put_flag(struct byte_writer *writer, bool flag)
{
    put_u8(writer, flag ? 1 : 0);
}

bool get_flag(struct byte_reader *reader)
{
    uint8_t flag = get_u8(reader);
    if (flag > 1) {
        reader->bad = true;
    }
    return flag == 1;
}

uint32_t get_at_most(struct byte_reader *reader, uint32_t max)
{
    uint32_t value = get_u32(reader);
    if (value > max) {
        reader->bad = true;
        return 0;
    }
    return value;
}

struct bytes get_copy(struct byte_reader *reader, uint8_t *into, size_t cap)
{
    struct bytes from = get_lp(reader);
    if (from.len > cap) {
        reader->bad = true;
        return (struct bytes){into, 0};
    }
    if (from.len > 0) {
        memcpy(into, from.data, from.len);
    }
    return (struct bytes){into, from.len};
}

void put_key(struct byte_writer *writer, const struct token_key *key)
{
    put_u8(writer, (uint8_t)key->type);
    put_lp(writer, key->id, key->id_len);
    put_raw(writer, key->fingerprint, sizeof key->fingerprint);
}

void get_key(struct byte_reader *reader, struct token_key *key)
{
    key->type = (enum token_key_type)get_u8(reader);
    key->id_len = get_copy(reader, key->id, sizeof key->id).len;
    get_raw(reader, key->fingerprint, sizeof key->fingerprint);
    if (!field_key_is_sound(key)) {
        reader->bad = true;
    }
}

void put_object(struct byte_writer *writer, const struct token_object *object)
{
    put_u64(writer, object->handle);
    put_u32(writer, (uint32_t)object->generation);
}

void get_object(struct byte_reader *reader, uint32_t worker,
                struct token_object *object)
{
    object->handle = get_u64(reader);
    object->generation = (uint64_t)worker << 32 | get_u32(reader);
}

/* The flags of a report, in the order of their bits. */
#define REPORT_FLAGS(X)                                                        \
    X(0, sensitive)                                                            \
    X(1, extractable)                                                          \
    X(2, always_sensitive)                                                     \
    X(3, never_extractable)                                                    \
    X(4, local)                                                                \
    X(5, can_unwrap)                                                           \
    X(6, can_decrypt)                                                          \
    X(7, can_wrap)                                                             \
    X(8, can_encrypt)                                                          \
    X(9, can_sign)                                                             \
    X(10, modifiable)                                                          \
    X(11, destroyable)                                                         \
    X(12, unwrap_template)
#define REPORT_FLAG_COUNT 13

void put_report(struct byte_writer *writer,
                const struct token_key_report *report)
{
    uint32_t flags = 0;
#define X(bit, field) flags |= report->field ? UINT32_C(1) << (bit) : 0;
    REPORT_FLAGS(X)
#undef X
    put_key(writer, &report->key);
    put_text(writer, report->label);
    put_u32(writer, report->bits);
    put_lp(writer, report->spki, report->spki_len);
    put_u32(writer, flags);
    put_u32(writer, report->mechanisms);
}

void get_report(struct byte_reader *reader, struct token_key_report *report)
{
    *report = (struct token_key_report){.bits = 0};
    get_key(reader, &report->key);
    get_text(reader, report->label, sizeof report->label);
    report->bits = get_u32(reader);
    report->spki_len = get_copy(reader, report->spki, sizeof report->spki).len;
    uint32_t flags = get_at_most(reader, (1u << REPORT_FLAG_COUNT) - 1);
#define X(bit, field) report->field = (flags >> (bit)&1) != 0;
    REPORT_FLAGS(X)
#undef X
    report->mechanisms = get_at_most(reader, TOKEN_MECHANISMS_ALL);
}

void put_data_object(struct byte_writer *writer, const struct token_data *data)
{
    put_text(writer, data->label);
    put_lp(writer, data->value, data->value_len);
}

void get_data_object(struct byte_reader *reader, struct token_data *data)
{
    *data = (struct token_data){.value_len = 0};
    get_text(reader, data->label, sizeof data->label);
    data->value_len = get_copy(reader, data->value, sizeof data->value).len;
}
