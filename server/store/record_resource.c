/* Resources, and what came of a request. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define RESOURCE_FORMAT 6
#define REQUEST_FORMAT  1

/* Up to format 4 the number was a byte. */
static void wrap_count_field(struct codec *codec,
                             struct resource_record *resource)
{
    uint32_t count = resource->wrap_count > RESOURCE_WRAPS_MAX
                         ? RESOURCE_WRAPS_MAX + 1
                         : (uint32_t)resource->wrap_count;
    if (codec->format >= 5) {
        code_u32(codec, &count);
        code_refuse_unless(codec, count <= RESOURCE_WRAPS_MAX);
    } else {
        count = (uint32_t)code_choice(codec, 0, 0, RESOURCE_WRAPS_MAX_OF_4);
    }
    resource->wrap_count = codec->refused ? 0 : count;
}

static void wraps_fields(struct codec *codec, struct resource_record *resource)
{
    wrap_count_field(codec, resource);
    if (codec->refused) {
        return;
    }
    for (size_t i = 0; i < resource->wrap_count; i++) {
        code_dep_ref(codec, &resource->wraps[i]);
    }
}

/* Up to format 5 there was one suite. */
static bool is_envelope(const struct codec *codec, size_t len)
{
    return len == ENVELOPE_PLAIN_KEY_BYTES ||
           (codec->format >= 6 && len == ENVELOPE_KEY_BYTES);
}

static void earlier_envelope(struct codec *codec, struct earlier_key *earlier)
{
    if (codec->format >= 6) {
        code_bytes(codec, earlier->envelope, &earlier->envelope_len,
                   sizeof earlier->envelope);
        code_refuse_unless(codec, is_envelope(codec, earlier->envelope_len));
    } else {
        code_raw(codec, earlier->envelope, ENVELOPE_PLAIN_KEY_BYTES);
        earlier->envelope_len = ENVELOPE_PLAIN_KEY_BYTES;
    }
}

static void earlier_fields(struct codec *codec,
                           struct resource_record *resource)
{
    int count = resource->earlier_count > RESOURCE_EARLIER_MAX
                    ? RESOURCE_EARLIER_MAX + 1
                    : (int)resource->earlier_count;
    resource->earlier_count =
        (size_t)code_choice(codec, count, 0, RESOURCE_EARLIER_MAX);
    if (codec->refused) {
        return;
    }
    for (size_t i = 0; i < resource->earlier_count; i++) {
        struct earlier_key *earlier = &resource->earlier[i];
        code_dep_ref(codec, &earlier->by);
        code_refuse_unless(codec, !id_is_nil(&earlier->by.dep));
        earlier_envelope(codec, earlier);
        code_time(codec, &earlier->replaced_ms);
        if (codec->format >= 4) {
            code_raw(codec, earlier->mark, sizeof earlier->mark);
        }
    }
}

static void retired_fields(struct codec *codec,
                           struct resource_record *resource)
{
    int count = resource->retired_count > RESOURCE_RETIRED_MAX
                    ? RESOURCE_RETIRED_MAX + 1
                    : (int)resource->retired_count;
    resource->retired_count =
        (size_t)code_choice(codec, count, 0, RESOURCE_RETIRED_MAX);
    if (codec->refused) {
        return;
    }
    for (size_t i = 0; i < resource->retired_count; i++) {
        struct retired_key *retired = &resource->retired[i];
        code_dep_ref(codec, &retired->under);
        code_refuse_unless(codec, !id_is_nil(&retired->under.dep));
        code_raw(codec, retired->mark, sizeof retired->mark);
    }
}

/* A claim for as long as a move runs, a place from when it was queued. */
static void move_fields(struct codec *codec, struct resource_record *resource)
{
    resource->move = (enum mailbox_move)code_choice(codec, (int)resource->move,
                                                    MOVE_NONE, MOVE_MOVING);
    bool moves = resource->move == MOVE_MOVING;
    bool waits = resource->move == MOVE_QUEUED || moves;
    resource->priority = (enum move_priority)code_choice(
        codec, (int)resource->priority, waits ? MOVE_REGULAR : 0,
        waits ? MOVE_LOW : 0);
    code_time(codec, &resource->queued_ms);
    code_time(codec, &resource->waits_since_ms);
    code_id(codec, &resource->claim);
    code_time(codec, &resource->claim_ends_ms);
    code_bool(codec, &resource->overdue_alerted);
    code_refuse_unless(codec, resource->move == MOVE_NONE ||
                                  resource->type == RESOURCE_MAILBOX);
    code_refuse_unless(codec, moves == !id_is_nil(&resource->claim));
    code_refuse_unless(codec, moves == (resource->claim_ends_ms > 0));
}

static void resource_fields(struct codec *codec,
                            struct resource_record *resource)
{
    code_own_id(codec, &resource->tenant);
    resource->type = (enum resource_type)code_choice(
        codec, (int)resource->type, RESOURCE_MAILBOX, RESOURCE_SITE);
    code_text(codec, resource->id, sizeof resource->id);
    code_refuse_unless(codec, resource->id[0] != '\0');
    bool is_mailbox = resource->type == RESOURCE_MAILBOX;
    resource->kind = (enum mailbox_kind)code_choice(
        codec, (int)resource->kind, is_mailbox ? MAILBOX_USER : 0,
        is_mailbox ? MAILBOX_SHARED : 0);
    code_bool(codec, &resource->licensed);
    code_id(codec, &resource->assigned);
    code_dep_ref(codec, &resource->effective);
    code_bytes(codec, resource->envelope, &resource->envelope_len,
               sizeof resource->envelope);
    /* no key, or a whole envelope that somebody's DEP wrapped */
    bool has_key = is_envelope(codec, resource->envelope_len);
    code_refuse_unless(codec, has_key || resource->envelope_len == 0);
    code_refuse_unless(codec, has_key != id_is_nil(&resource->effective.dep));
    wraps_fields(codec, resource);
    code_time(codec, &resource->assigned_ms);
    code_time(codec, &resource->effective_ms);
    code_time(codec, &resource->created_ms);
    if (codec->format >= 2) {
        code_bool(codec, &resource->switched_on);
        earlier_fields(codec, resource);
    }
    if (codec->format >= 3) {
        move_fields(codec, resource);
    }
    if (codec->format >= 4) {
        retired_fields(codec, resource);
    }
}

/* The id is hashed into the key, so it must be a text first. */
static struct record_key key_of(const struct codec *codec,
                                const struct resource_record *resource)
{
    return codec->refused ? (struct record_key){0}
                          : key_of_resource(&resource->tenant, resource->type,
                                            resource->id);
}

HF_STATUS resource_encode(const struct resource_record *in, struct record *out)
{
    struct resource_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, RESOURCE_FORMAT);
    resource_fields(&codec, &fields);
    struct record_key key = key_of(&codec, &fields);
    return codec_written(&codec, RECORD_RESOURCE, &key, out);
}

HF_STATUS resource_decode(const struct record *in, struct resource_record *out)
{
    struct resource_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_RESOURCE, RESOURCE_FORMAT, in);
    resource_fields(&codec, &fields);
    struct record_key key = key_of(&codec, &fields);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void request_fields(struct codec *codec, struct request_record *request)
{
    code_own_id(codec, &request->tenant);
    code_raw(codec, request->request, sizeof request->request);
    code_raw(codec, request->digest, sizeof request->digest);
    code_id(codec, &request->object);
    code_time(codec, &request->created_ms);
}

HF_STATUS request_encode(const struct request_record *in, struct record *out)
{
    struct request_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, REQUEST_FORMAT);
    request_fields(&codec, &fields);
    struct record_key key = key_of_request(&fields.tenant, fields.request);
    return codec_written(&codec, RECORD_REQUEST, &key, out);
}

HF_STATUS request_decode(const struct record *in, struct request_record *out)
{
    struct request_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_REQUEST, REQUEST_FORMAT, in);
    request_fields(&codec, &fields);
    struct record_key key = key_of_request(&fields.tenant, fields.request);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
