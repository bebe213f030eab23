/* KeyService: the data plane. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/key_parts.h"
#include "server/rpc/method.h"

#include <holdfast/v1/key_service.pb-c.h>
#include <string.h>

#define PATH "/holdfast.v1.KeyService/"

static HF_STATUS decode_resource(const char *text, struct key_call *call,
                                 struct problem *problem)
{
    static const char *const collections[] = {"mailboxes", "workloads"};
    static const enum resource_type types[] = {RESOURCE_MAILBOX,
                                               RESOURCE_WORKLOAD};
    size_t which = codec_names(text, collections[1]) ? 1 : 0;
    call->type = types[which];
    const struct codec_name what = {
        .field = "resource",
        .collection = collections[which],
        .out_tenant = call->tenant,
        .out_id = call->resource,
        .id_cap = sizeof call->resource,
    };
    return codec_parse_name(&what, text, problem);
}

HF_STATUS key_decode_access(const Holdfast__V1__AccessContext *access,
                            struct key_call *call, struct problem *problem)
{
    if (access == NULL) {
        return HF_OK; /* USER */
    }
    bool is_system =
        access->initiator == HOLDFAST__V1__INITIATOR__INITIATOR_SYSTEM;
    call->initiator = is_system ? INITIATOR_SYSTEM : INITIATOR_USER;
    call->purpose = (enum system_purpose)access->system_purpose;
    if (!is_system && call->purpose != SYSTEM_PURPOSE_NONE) {
        return problem_field(problem, "access.system_purpose",
                             "is for SYSTEM accesses; leave it unset or set "
                             "access.initiator to INITIATOR_SYSTEM");
    }
    return codec_request_id("access.request_id", access->request_id,
                            call->request_id, problem);
}

void key_decode_wrapped(ProtobufCBinaryData wrapped, struct key_call *call)
{
    _Static_assert(ENVELOPE_MAX_BYTES > ENVELOPE_KEY_BYTES, "cut is wrong");
    size_t len =
        wrapped.len < sizeof call->wrapped ? wrapped.len : sizeof call->wrapped;
    if (len > 0) {
        memcpy(call->wrapped, wrapped.data, len);
    }
    call->wrapped_len = len;
}

HF_STATUS key_decode_plaintext(ProtobufCBinaryData plaintext,
                               struct key_call *call, struct problem *problem)
{
    if (plaintext.len != HF_KEY_BYTES) {
        return problem_field(problem, "plaintext_key",
                             "is %zu bytes long; keys have %d", plaintext.len,
                             HF_KEY_BYTES);
    }
    enum hf_status status = secret_new(HF_KEY_BYTES, &call->plaintext);
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    memcpy(secret_writable(call->plaintext), plaintext.data, HF_KEY_BYTES);
    return HF_OK;
}

static HF_STATUS generate_decode(const ProtobufCMessage *message,
                                 struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__GenerateKeyRequest *request =
        (const Holdfast__V1__GenerateKeyRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS wrap_decode(const ProtobufCMessage *message,
                             struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__WrapKeyRequest *request =
        (const Holdfast__V1__WrapKeyRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    HF_TRY(key_decode_access(request->access, call, problem));
    return key_decode_plaintext(request->plaintext_key, call, problem);
}

static HF_STATUS unwrap_decode(const ProtobufCMessage *message,
                               struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__UnwrapKeyRequest *request =
        (const Holdfast__V1__UnwrapKeyRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    key_decode_wrapped(request->wrapped_key, call);
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS rewrap_decode(const ProtobufCMessage *message,
                               struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__RewrapKeyRequest *request =
        (const Holdfast__V1__RewrapKeyRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    key_decode_wrapped(request->wrapped_key, call);
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS renew_decode(const ProtobufCMessage *message,
                              struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__RenewKeyRequest *request =
        (const Holdfast__V1__RenewKeyRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS retire_decode(const ProtobufCMessage *message,
                               struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__RetireEarlierKeysRequest *request =
        (const Holdfast__V1__RetireEarlierKeysRequest *)message;
    HF_TRY(decode_resource(request->resource, call, problem));
    call->confirm = request->confirm;
    call->validate_only = request->validate_only;
    return key_decode_access(request->access, call, problem);
}

void key_dep_name(const struct key_call *call, char out[DEP_NAME_BYTES])
{
    out[0] = '\0';
    if (call->dep_is_service_managed || id_is_nil(&call->dep)) {
        return;
    }
    size_t tenant_len = strlen(call->tenant);
    CHECK(tenant_len <= HF_NAME_MAX_BYTES);
    memcpy(out, "tenants/", 8);
    memcpy(out + 8, call->tenant, tenant_len);
    memcpy(out + 8 + tenant_len, "/deps/", 6);
    id_format(&call->dep, out + 8 + tenant_len + 6);
}

ProtobufCBinaryData key_view_of(const uint8_t *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len,
                                 .data = (uint8_t *)(uintptr_t)data};
}

ProtobufCBinaryData key_plaintext_of(const struct key_call *call)
{
    return key_view_of(secret_bytes(call->plaintext),
                       secret_len(call->plaintext));
}

static uint8_t *generate_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__GenerateKeyResponse reply =
        HOLDFAST__V1__GENERATE_KEY_RESPONSE__INIT;
    reply.plaintext_key = key_plaintext_of(call);
    reply.wrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *unwrap_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__UnwrapKeyResponse reply =
        HOLDFAST__V1__UNWRAP_KEY_RESPONSE__INIT;
    reply.plaintext_key = key_plaintext_of(call);
    reply.rewrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *wrap_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__WrapKeyResponse reply = HOLDFAST__V1__WRAP_KEY_RESPONSE__INIT;
    reply.wrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *rewrap_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__RewrapKeyResponse reply =
        HOLDFAST__V1__REWRAP_KEY_RESPONSE__INIT;
    reply.wrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *renew_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__RenewKeyResponse reply =
        HOLDFAST__V1__RENEW_KEY_RESPONSE__INIT;
    reply.plaintext_key = key_plaintext_of(call);
    reply.wrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.replaced_wrapped_key =
        key_view_of(call->replaced, call->replaced_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *retire_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__RetireEarlierKeysResponse reply =
        HOLDFAST__V1__RETIRE_EARLIER_KEYS_RESPONSE__INIT;
    reply.retired_count = call->retired;
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "UnwrapKey",
     .lane = LANE_DATA,
     .verb = VERB_UNWRAP_KEY,
     .request = &holdfast__v1__unwrap_key_request__descriptor,
     .decode = unwrap_decode,
     .encode = unwrap_encode,
     },
    {
     .path = PATH "GenerateKey",
     .lane = LANE_DATA,
     .verb = VERB_GENERATE_KEY,
     .request = &holdfast__v1__generate_key_request__descriptor,
     .decode = generate_decode,
     .encode = generate_encode,
     },
    {
     .path = PATH "WrapKey",
     .lane = LANE_DATA,
     .verb = VERB_WRAP_KEY,
     .request = &holdfast__v1__wrap_key_request__descriptor,
     .decode = wrap_decode,
     .encode = wrap_encode,
     .secret_request = true,
     },
    {
     .path = PATH "RewrapKey",
     .lane = LANE_DATA,
     .verb = VERB_REWRAP_KEY,
     .request = &holdfast__v1__rewrap_key_request__descriptor,
     .decode = rewrap_decode,
     .encode = rewrap_encode,
     },
    {
     .path = PATH "RenewKey",
     .lane = LANE_DATA,
     .verb = VERB_RENEW_KEY,
     .request = &holdfast__v1__renew_key_request__descriptor,
     .decode = renew_decode,
     .encode = renew_encode,
     },
    {
     .path = PATH "RetireEarlierKeys",
     .lane = LANE_DATA,
     .verb = VERB_RETIRE_EARLIER_KEYS,
     .request = &holdfast__v1__retire_earlier_keys_request__descriptor,
     .decode = retire_decode,
     .encode = retire_encode,
     },
};
const struct method_list key_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
