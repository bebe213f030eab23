#include "client/cli/json.h"

#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "client/cli/values.h"
#include "client/lib/text.h"

#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX        8
#define FIELD_NAME_BYTES 96
#define TEXT_MAX_BYTES   (1u << 20)
#define MILLISECONDS     1000
#define NANOS_OF_A_MS    1000000

/* A message half done; an own stack, because nothing here recurses. */
struct frame {
    const ProtobufCMessage *message;
    json_t *object; /* borrowed: it already hangs in its parent */
    unsigned field;
    size_t item;
    json_t *array; /* borrowed; of the repeated field at hand */
};

json_t *json_text(const char *text)
{
    char *copy = text_clean_copy(text, TEXT_MAX_BYTES);
    json_t *value = copy != NULL ? json_string(copy) : NULL;
    free(copy);
    return value;
}

static json_t *json_bytes(const ProtobufCBinaryData *data)
{
    char *text = base64_encode(data->data, data->len);
    json_t *value = text != NULL ? json_string(text) : NULL;
    free(text);
    return value;
}

static json_t *json_big(const char *format_free_text)
{
    return json_string(format_free_text);
}

static json_t *json_enum(const ProtobufCEnumDescriptor *descriptor, int value)
{
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value(descriptor, value);
    return known != NULL ? json_string(known->name) : json_integer(value);
}

static json_t *json_number(const ProtobufCFieldDescriptor *field,
                           const void *member)
{
    char text[32];
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)member);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)member);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        (void)snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)member);
        return json_big(text);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        (void)snprintf(text, sizeof text, "%" PRIu64,
                       *(const uint64_t *)member);
        return json_big(text);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)member);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)member);
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return NULL;
}

/* json_known: the two well-known types that are one text in JSON. */
static json_t *json_known(const ProtobufCMessage *message)
{
    if (message->descriptor == &google__protobuf__timestamp__descriptor) {
        const Google__Protobuf__Timestamp *time =
            (const Google__Protobuf__Timestamp *)message;
        char text[CLOCK_UTC_TEXT];
        if (time->seconds < 0 || time->seconds > INT32_MAX * 100LL) {
            return json_null();
        }
        clock_format_utc(
            time->seconds * MILLISECONDS + time->nanos / NANOS_OF_A_MS, text);
        return json_string(text);
    }
    const Google__Protobuf__Duration *span =
        (const Google__Protobuf__Duration *)message;
    char text[48];
    if (span->nanos == 0) {
        (void)snprintf(text, sizeof text, "%" PRId64 "s", span->seconds);
    } else {
        (void)snprintf(text, sizeof text, "%" PRId64 ".%09" PRId32 "s",
                       span->seconds, span->nanos);
    }
    return json_string(text);
}

static bool is_known(const ProtobufCFieldDescriptor *field)
{
    return field->descriptor == &google__protobuf__timestamp__descriptor ||
           field->descriptor == &google__protobuf__duration__descriptor;
}

/* json_leaf: a value that holds no further message of ours. */
static json_t *json_leaf(const ProtobufCFieldDescriptor *field,
                         const void *member)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return json_text(*(char *const *)member);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return json_bytes(member);
    }
    if (field->type == PROTOBUF_C_TYPE_BOOL) {
        return json_boolean(*(const protobuf_c_boolean *)member);
    }
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        return json_enum(field->descriptor, *(const int *)member);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *message =
            *(const ProtobufCMessage *const *)member;
        return message == NULL ? json_null() : json_known(message);
    }
    return json_number(field, member);
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return sizeof(int32_t);
}

static void camel_name(const char *name, char out[FIELD_NAME_BYTES])
{
    size_t len = 0;
    bool raise = false;
    for (; *name != '\0' && len + 1 < FIELD_NAME_BYTES; name++) {
        if (*name == '_') {
            raise = true;
            continue;
        }
        out[len++] = raise ? (char)toupper((unsigned char)*name) : *name;
        raise = false;
    }
    out[len] = '\0';
}

/* place: hangs value (whose reference it takes) into the frame. */
static bool place(struct frame *frame, const ProtobufCFieldDescriptor *field,
                  json_t *value)
{
    if (value == NULL) {
        return false;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return json_array_append_new(frame->array, value) == 0;
    }
    char name[FIELD_NAME_BYTES];
    camel_name(field->name, name);
    return json_object_set_new(frame->object, name, value) == 0;
}

/* next_value: the address of the next value of the frame, or NULL when the
 * field at hand has no more; then the frame stands on the next field. */
static const void *next_value(struct frame *frame,
                              const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)frame->message;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        bool first = frame->item++ == 0;
        return first ? base + field->offset : NULL;
    }
    size_t count = 0;
    memcpy(&count, base + field->quantifier_offset, sizeof count);
    if (frame->item == 0) {
        char name[FIELD_NAME_BYTES];
        camel_name(field->name, name);
        frame->array = json_array();
        CHECK(json_object_set_new(frame->object, name, frame->array) == 0);
    }
    if (frame->item == count) {
        return NULL;
    }
    const uint8_t *items = NULL;
    memcpy(&items, base + field->offset, sizeof items);
    return items + frame->item++ * element_size(field);
}

/* step: one value. Gives a frame to go down into, if that value is a message.
 * False without memory. */
static bool step(struct frame *frame, struct frame *out_down)
{
    const ProtobufCFieldDescriptor *field =
        &frame->message->descriptor->fields[frame->field];
    const void *member = next_value(frame, field);
    if (member == NULL) {
        frame->field++;
        frame->item = 0;
        return true;
    }
    const ProtobufCMessage *child = NULL;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && !is_known(field)) {
        child = *(const ProtobufCMessage *const *)member;
    }
    if (child == NULL) {
        return place(frame, field, json_leaf(field, member));
    }
    json_t *object = json_object();
    *out_down = (struct frame){.message = child, .object = object};
    return place(frame, field, object);
}

json_t *message_json(const ProtobufCMessage *message)
{
    HF_OWNED(json_freep) json_t *root = json_object();
    struct frame frames[DEPTH_MAX] = {
        {.message = message, .object = root}
    };
    size_t depth = root != NULL ? 1 : 0;
    while (depth > 0) {
        struct frame *frame = &frames[depth - 1];
        if (frame->field == frame->message->descriptor->n_fields) {
            depth--;
            continue;
        }
        struct frame down = {0};
        if (!step(frame, &down) ||
            (down.message != NULL && depth == DEPTH_MAX)) {
            return NULL;
        }
        if (down.message != NULL) {
            frames[depth++] = down;
        }
    }
    return HF_GIVE(root);
}

bool json_lines(FILE *to, const json_t *array)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(array, index, item)
    {
        if (json_dumpf(item, to, JSON_COMPACT) != 0 || fputc('\n', to) == EOF) {
            return false;
        }
    }
    return fflush(to) == 0;
}
