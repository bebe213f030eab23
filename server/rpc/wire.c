#include "server/rpc/wire.h"

#include "hsm/base/own.h"

#include "server/service/problem.h"

#include <stdarg.h>
#include <stdio.h>

#define PATH_BYTES PROBLEM_FIELD_BYTES

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5
};

struct frame {
    const ProtobufCMessageDescriptor *message;
    struct bytes rest;
    const char *name; /* of the field that holds it; NULL: the request */
};

struct walk {
    struct frame frames[WIRE_DEPTH_MAX];
    size_t depth; /* at least 1 while walking */
    struct problem *problem;
};

/* Tags and lengths are numbers of 32 bits: other libraries, protobuf-c too,
 * take no more than five bytes for them, however many of them are zero. */
#define NUMBER_BYTES 10
#define LENGTH_BYTES 5

static HF_STATUS take_varint(struct bytes *rest, unsigned max_bytes,
                             uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < max_bytes; i++) {
        if (rest->len == 0) {
            return HF_E_INVALID;
        }
        uint8_t byte = rest->data[0];
        rest->data++;
        rest->len--;
        if (i == 9 && byte > 1) {
            return HF_E_INVALID;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *out = value;
            return HF_OK;
        }
    }
    return HF_E_INVALID;
}

static HF_STATUS take_fixed(struct bytes *rest, size_t width, uint64_t *out)
{
    if (rest->len < width) {
        return HF_E_INVALID;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value |= (uint64_t)rest->data[i] << (8 * i);
    }
    rest->data += width;
    rest->len -= width;
    *out = value;
    return HF_OK;
}

HF_STATUS wire_next(struct bytes *rest, struct wire_field *out_field)
{
    uint64_t tag = 0;
    HF_TRY(take_varint(rest, LENGTH_BYTES, &tag));
    if (tag > UINT32_MAX || tag >> 3 == 0) {
        return HF_E_INVALID;
    }
    *out_field = (struct wire_field){
        .number = (uint32_t)(tag >> 3),
        .type = (uint32_t)(tag & 7),
    };
    switch (out_field->type) {
    case WIRE_VARINT:
        return take_varint(rest, NUMBER_BYTES, &out_field->value);
    case WIRE_FIXED64:
        return take_fixed(rest, 8, &out_field->value);
    case WIRE_FIXED32:
        return take_fixed(rest, 4, &out_field->value);
    case WIRE_BYTES: {
        uint64_t len = 0;
        HF_TRY(take_varint(rest, LENGTH_BYTES, &len));
        if (len > rest->len) {
            return HF_E_INVALID;
        }
        out_field->bytes = (struct bytes){rest->data, (size_t)len};
        rest->data += len;
        rest->len -= (size_t)len;
        return HF_OK;
    }
    default: /* groups, and numbers that mean nothing */
        return HF_E_INVALID;
    }
}

/* The length of the well-formed sequence at the start of text; 0: none. After
 * table 3-7 of the Unicode standard. */
static size_t utf8_step(const uint8_t *p, size_t left)
{
    uint8_t a = p[0];
    if (a < 0x80) {
        return 1;
    }
    size_t len = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;
    if (a < 0xc2 || a > 0xf4 || left < len) {
        return 0;
    }
    uint8_t low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80;
    uint8_t high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool wire_is_utf8(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t step = utf8_step(text.data + at, text.len - at);
        if (step == 0 || text.data[at] == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

/* The name of a field as the caller wrote it: "access.request_id". */
static void path_of(const struct walk *walk, const char *field,
                    char out[PATH_BYTES])
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 1; i < walk->depth && at < PATH_BYTES; i++) {
        int n =
            snprintf(out + at, PATH_BYTES - at, "%s.", walk->frames[i].name);
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < PATH_BYTES) {
        snprintf(out + at, PATH_BYTES - at, "%s", field);
    }
}

__attribute__((format(printf, 3, 4))) static HF_STATUS
refuse(const struct walk *walk, const char *field, const char *format, ...)
{
    char path[PATH_BYTES];
    path_of(walk, field, path);
    char text[PROBLEM_TEXT_BYTES];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    return problem_field(walk->problem, path, "%s", text);
}

static HF_STATUS malformed(const struct walk *walk)
{
    return problem_field(walk->problem, "", "the body is not a %s message",
                         walk->frames[0].message->name);
}

static HF_STATUS check_enum(const struct walk *walk,
                            const ProtobufCFieldDescriptor *field,
                            uint64_t value)
{
    const ProtobufCEnumDescriptor *known = field->descriptor;
    if (value > INT32_MAX ||
        protobuf_c_enum_descriptor_get_value(known, (int)value) == NULL) {
        return refuse(walk, field->name, "%llu is not a value of %s",
                      (unsigned long long)value, known->name);
    }
    return HF_OK;
}

static bool is_varint(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
           type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_SINT64 ||
           type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_UINT64 ||
           type == PROTOBUF_C_TYPE_BOOL || type == PROTOBUF_C_TYPE_ENUM;
}

/* Repeated numbers, one after the other without tags. */
static HF_STATUS check_packed(const struct walk *walk,
                              const ProtobufCFieldDescriptor *field,
                              struct bytes values)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || !is_varint(field->type)) {
        return malformed(walk);
    }
    while (values.len > 0) {
        uint64_t value = 0;
        if (take_varint(&values, NUMBER_BYTES, &value) != HF_OK) {
            return malformed(walk);
        }
        if (field->type == PROTOBUF_C_TYPE_ENUM) {
            HF_TRY(check_enum(walk, field, value));
        }
    }
    return HF_OK;
}

static HF_STATUS enter(struct walk *walk, const ProtobufCFieldDescriptor *field,
                       struct bytes body)
{
    if (walk->depth == WIRE_DEPTH_MAX) {
        return malformed(walk);
    }
    walk->frames[walk->depth] = (struct frame){
        .message = field->descriptor,
        .rest = body,
        .name = field->name,
    };
    walk->depth++;
    return HF_OK;
}

static HF_STATUS check_bytes(struct walk *walk,
                             const ProtobufCFieldDescriptor *field,
                             struct bytes value)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return wire_is_utf8(value) ? HF_OK
                                   : refuse(walk, field->name,
                                            "must be UTF-8 text without a NUL");
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return HF_OK;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return enter(walk, field, value);
    }
    return check_packed(walk, field, value);
}

static HF_STATUS check_field(struct walk *walk, const struct wire_field *found)
{
    const struct frame *frame = &walk->frames[walk->depth - 1];
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(frame->message, found->number);
    if (field == NULL) {
        return HF_OK;
    }
    if (found->type == WIRE_BYTES) {
        return check_bytes(walk, field, found->bytes);
    }
    /* the proto files use no fixed-width field */
    if (found->type != WIRE_VARINT || !is_varint(field->type)) {
        return malformed(walk);
    }
    return field->type == PROTOBUF_C_TYPE_ENUM
               ? check_enum(walk, field, found->value)
               : HF_OK;
}

HF_STATUS wire_check(const ProtobufCMessageDescriptor *message,
                     struct bytes body, struct problem *problem)
{
    struct walk walk;
    walk.frames[0] = (struct frame){.message = message, .rest = body};
    walk.depth = 1;
    walk.problem = problem;
    while (walk.depth > 0) {
        struct frame *frame = &walk.frames[walk.depth - 1];
        if (frame->rest.len == 0) {
            walk.depth--;
            continue;
        }
        struct wire_field found;
        if (wire_next(&frame->rest, &found) != HF_OK) {
            return malformed(&walk);
        }
        HF_TRY(check_field(&walk, &found));
    }
    return HF_OK;
}
