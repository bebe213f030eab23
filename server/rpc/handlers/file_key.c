/* FileKeyService: the data plane of sites and blobs. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/key_parts.h"
#include "server/rpc/method.h"

#include <holdfast/v1/file_key_service.pb-c.h>

#define PATH "/holdfast.v1.FileKeyService/"

static HF_STATUS decode_site(const char *text, struct key_call *call,
                             struct problem *problem)
{
    call->type = RESOURCE_SITE;
    const struct codec_name what = {
        .field = "resource",
        .collection = "sites",
        .out_tenant = call->tenant,
        .out_id = call->resource,
        .id_cap = sizeof call->resource,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS create_decode(const ProtobufCMessage *message,
                               struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__CreateSiteKeyRequest *request =
        (const Holdfast__V1__CreateSiteKeyRequest *)message;
    HF_TRY(decode_site(request->resource, call, problem));
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS unwrap_decode(const ProtobufCMessage *message,
                               struct key_call *call, struct problem *problem)
{
    const Holdfast__V1__UnwrapSiteKeyRequest *request =
        (const Holdfast__V1__UnwrapSiteKeyRequest *)message;
    HF_TRY(decode_site(request->resource, call, problem));
    key_decode_wrapped(request->wrapped_key, call);
    return key_decode_access(request->access, call, problem);
}

static HF_STATUS wrap_blob_decode(const ProtobufCMessage *message,
                                  struct key_call *call,
                                  struct problem *problem)
{
    const Holdfast__V1__WrapBlobKeyRequest *request =
        (const Holdfast__V1__WrapBlobKeyRequest *)message;
    HF_TRY(decode_site(request->resource, call, problem));
    HF_TRY(codec_mailbox_id("blob_id", request->blob_id, call->blob, problem));
    HF_TRY(key_decode_access(request->access, call, problem));
    return request->plaintext_key.len == 0
               ? HF_OK
               : key_decode_plaintext(request->plaintext_key, call, problem);
}

static HF_STATUS unwrap_blob_decode(const ProtobufCMessage *message,
                                    struct key_call *call,
                                    struct problem *problem)
{
    const Holdfast__V1__UnwrapBlobKeyRequest *request =
        (const Holdfast__V1__UnwrapBlobKeyRequest *)message;
    HF_TRY(decode_site(request->resource, call, problem));
    HF_TRY(codec_mailbox_id("blob_id", request->blob_id, call->blob, problem));
    key_decode_wrapped(request->wrapped_key, call);
    return key_decode_access(request->access, call, problem);
}

static uint8_t *create_encode(const struct key_call *call, size_t *out_len)
{
    char dep[DEP_NAME_BYTES];
    key_dep_name(call, dep);
    Holdfast__V1__CreateSiteKeyResponse reply =
        HOLDFAST__V1__CREATE_SITE_KEY_RESPONSE__INIT;
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
    Holdfast__V1__UnwrapSiteKeyResponse reply =
        HOLDFAST__V1__UNWRAP_SITE_KEY_RESPONSE__INIT;
    reply.plaintext_key = key_plaintext_of(call);
    reply.rewrapped_key = key_view_of(call->envelope, call->envelope_len);
    reply.dep = dep;
    reply.generation = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *wrap_blob_encode(const struct key_call *call, size_t *out_len)
{
    Holdfast__V1__WrapBlobKeyResponse reply =
        HOLDFAST__V1__WRAP_BLOB_KEY_RESPONSE__INIT;
    reply.wrapped_key = key_view_of(call->envelope, call->envelope_len);
    if (call->plaintext != NULL) {
        reply.plaintext_key = key_plaintext_of(call);
    }
    reply.site_key_version = call->generation;
    return reply_pack(&reply.base, out_len);
}

static uint8_t *unwrap_blob_encode(const struct key_call *call, size_t *out_len)
{
    Holdfast__V1__UnwrapBlobKeyResponse reply =
        HOLDFAST__V1__UNWRAP_BLOB_KEY_RESPONSE__INIT;
    reply.plaintext_key = key_plaintext_of(call);
    reply.site_key_version = call->generation;
    return reply_pack(&reply.base, out_len);
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "UnwrapBlobKey",
     .lane = LANE_DATA,
     .verb = VERB_UNWRAP_BLOB_KEY,
     .request = &holdfast__v1__unwrap_blob_key_request__descriptor,
     .decode = unwrap_blob_decode,
     .encode = unwrap_blob_encode,
     },
    {
     .path = PATH "WrapBlobKey",
     .lane = LANE_DATA,
     .verb = VERB_WRAP_BLOB_KEY,
     .request = &holdfast__v1__wrap_blob_key_request__descriptor,
     .decode = wrap_blob_decode,
     .encode = wrap_blob_encode,
     .secret_request = true,
     },
    {
     .path = PATH "UnwrapSiteKey",
     .lane = LANE_DATA,
     .verb = VERB_UNWRAP_SITE_KEY,
     .request = &holdfast__v1__unwrap_site_key_request__descriptor,
     .decode = unwrap_decode,
     .encode = unwrap_encode,
     },
    {
     .path = PATH "CreateSiteKey",
     .lane = LANE_DATA,
     .verb = VERB_CREATE_SITE_KEY,
     .request = &holdfast__v1__create_site_key_request__descriptor,
     .decode = create_decode,
     .encode = create_encode,
     },
};
const struct method_list file_key_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
