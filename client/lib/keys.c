/* keys: the data plane, typed. */
#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "client/lib/client.h"
#include "client/lib/error.h"
#include "client/lib/message.h"

#include "holdfast/v1/key_service.pb-c.h"

#include <string.h>

_Static_assert((int)HF_INITIATOR_SYSTEM ==
                   (int)HOLDFAST__V1__INITIATOR__INITIATOR_SYSTEM,
               "the numbers of the contract");
_Static_assert((int)HF_PURPOSE_REWRAP ==
                   (int)HOLDFAST__V1__SYSTEM_PURPOSE__SYSTEM_PURPOSE_REWRAP,
               "the numbers of the contract");

/* What the calls have in common while they run. */
struct key_call {
    struct hf_client *client;
    const struct hf_key_request *request;
    Holdfast__V1__AccessContext access;
    struct hf_key_answer answer; /* filled here, handed over at the end */
    struct hf_error *error;
};

/* What the replies have in common. */
struct key_reply {
    const ProtobufCBinaryData *key;     /* NULL: this call gives none */
    const ProtobufCBinaryData *wrapped; /* may be empty only after unwrap */
    bool wrapped_optional;
    const ProtobufCBinaryData *replaced; /* NULL: this call replaces none */
    const char *dep;
    uint32_t generation;
};

void hf_key_answer_clear(struct hf_key_answer *answer)
{
    if (answer != NULL) {
        hf_secret_free(answer->key);
        *answer = (struct hf_key_answer){0};
    }
}

static enum hf_code bad_answer(struct hf_error *error, const char *what)
{
    return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESPONSE", what);
}

static enum hf_code prepare(struct key_call *call)
{
    const struct hf_key_request *request = call->request;
    if (request->resource == NULL ||
        request->wrapped_len > HF_WRAPPED_MAX_BYTES) {
        return error_set(
            call->error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
            request->resource == NULL ? "no resource is named"
                                      : "the wrapped key is too long");
    }
    if (request->request_id == NULL) {
        if (hf_request_id(call->answer.request_id) != HF_CODE_OK) {
            return error_set(call->error, HF_CODE_INTERNAL, "CLIENT_RESOURCES",
                             "the random generator failed");
        }
    } else if (text_copy(call->answer.request_id,
                         sizeof call->answer.request_id,
                         request->request_id) != HF_OK) {
        return error_set(call->error, HF_CODE_INVALID_ARGUMENT,
                         "CLIENT_SETTINGS", "the request id is no UUID");
    }
    holdfast__v1__access_context__init(&call->access);
    call->access.initiator =
        (Holdfast__V1__Initiator)(request->initiator != 0 ? request->initiator
                                                          : HF_INITIATOR_USER);
    call->access.system_purpose = (Holdfast__V1__SystemPurpose)request->purpose;
    call->access.workload = HOLDFAST__V1__WORKLOAD__WORKLOAD_EXCHANGE;
    call->access.request_id = call->answer.request_id;
    return HF_CODE_OK;
}

static enum hf_code send(struct key_call *call, struct hf_unary unary,
                         ProtobufCMessage **out_reply)
{
    unary.deadline_ms = call->request->deadline_ms;
    return hf_call(call->client, &unary, out_reply, call->error);
}

static enum hf_code take_replaced(struct key_call *call,
                                  const struct key_reply *reply)
{
    const ProtobufCBinaryData *replaced = reply->replaced;
    if (replaced == NULL) {
        return HF_CODE_OK;
    }
    if (replaced->len == 0 || replaced->len > HF_WRAPPED_MAX_BYTES) {
        return bad_answer(call->error,
                          "the service answered with a replaced key of a "
                          "length that cannot be");
    }
    memcpy(call->answer.replaced_key, replaced->data, replaced->len);
    call->answer.replaced_len = replaced->len;
    return HF_CODE_OK;
}

static enum hf_code take(struct key_call *call, const struct key_reply *reply)
{
    struct hf_key_answer *answer = &call->answer;
    bool may_be_empty = reply->wrapped_optional && reply->wrapped->len == 0;
    if (reply->wrapped->len > HF_WRAPPED_MAX_BYTES ||
        (reply->wrapped->len == 0 && !may_be_empty)) {
        return bad_answer(call->error,
                          "the service answered with a wrapped key of a "
                          "length that cannot be");
    }
    if (text_copy(answer->dep, sizeof answer->dep, reply->dep) != HF_OK) {
        return bad_answer(call->error,
                          "the service answered with a DEP name too long");
    }
    if (reply->wrapped->len > 0) {
        memcpy(answer->wrapped_key, reply->wrapped->data, reply->wrapped->len);
    }
    answer->wrapped_len = reply->wrapped->len;
    answer->generation = reply->generation;
    enum hf_code code = take_replaced(call, reply);
    if (code != HF_CODE_OK || reply->key == NULL) {
        return code;
    }
    if (reply->key->len != HF_RESOURCE_KEY_BYTES) {
        return bad_answer(call->error,
                          "the service answered with a key that is not 32 "
                          "bytes long");
    }
    code = hf_secret_new(reply->key->data, reply->key->len, &answer->key);
    if (code != HF_CODE_OK) {
        return error_set(call->error, code, "CLIENT_RESOURCES",
                         "no locked memory left");
    }
    return HF_CODE_OK;
}

/* finish: takes the reply (freed and wiped here) and hands the answer over. */
static enum hf_code finish(struct key_call *call, const struct key_reply *reply,
                           ProtobufCMessage *message,
                           struct hf_key_answer *out_answer)
{
    enum hf_code code = take(call, reply);
    hf_message_free(message);
    if (code != HF_CODE_OK) {
        hf_key_answer_clear(&call->answer);
        return code;
    }
    *out_answer = call->answer;
    return HF_CODE_OK;
}

static struct key_call key_call_of(struct hf_client *client,
                                   const struct hf_key_request *request,
                                   struct hf_error *error)
{
    return (struct key_call){
        .client = client, .request = request, .error = error};
}

/* The generated structs want writable pointers and write nothing. */
static char *resource_of(const struct key_call *call)
{
    return (char *)(uintptr_t)call->request->resource;
}

static ProtobufCBinaryData wrapped_of(const struct key_call *call)
{
    return (ProtobufCBinaryData){
        .len = call->request->wrapped_len,
        .data = (uint8_t *)(uintptr_t)call->request->wrapped_key};
}

enum hf_code hf_generate_key(struct hf_client *client,
                             const struct hf_key_request *request,
                             struct hf_key_answer *out_answer,
                             struct hf_error *error)
{
    struct key_call call = key_call_of(client, request, error);
    enum hf_code code = prepare(&call);
    if (code != HF_CODE_OK) {
        return code;
    }
    Holdfast__V1__GenerateKeyRequest message =
        HOLDFAST__V1__GENERATE_KEY_REQUEST__INIT;
    message.resource = resource_of(&call);
    message.access = &call.access;
    ProtobufCMessage *got = NULL;
    code =
        send(&call,
             (struct hf_unary){
                 .method = "holdfast.v1.KeyService/GenerateKey",
                 .request = &message.base,
                 .response = &holdfast__v1__generate_key_response__descriptor},
             &got);
    if (code != HF_CODE_OK) {
        return code;
    }
    const Holdfast__V1__GenerateKeyResponse *reply =
        (const Holdfast__V1__GenerateKeyResponse *)got;
    const struct key_reply common = {.key = &reply->plaintext_key,
                                     .wrapped = &reply->wrapped_key,
                                     .dep = reply->dep,
                                     .generation = reply->generation};
    return finish(&call, &common, got, out_answer);
}

enum hf_code hf_unwrap_key(struct hf_client *client,
                           const struct hf_key_request *request,
                           struct hf_key_answer *out_answer,
                           struct hf_error *error)
{
    struct key_call call = key_call_of(client, request, error);
    enum hf_code code = prepare(&call);
    if (code != HF_CODE_OK) {
        return code;
    }
    Holdfast__V1__UnwrapKeyRequest message =
        HOLDFAST__V1__UNWRAP_KEY_REQUEST__INIT;
    message.resource = resource_of(&call);
    message.wrapped_key = wrapped_of(&call);
    message.access = &call.access;
    ProtobufCMessage *got = NULL;
    code = send(&call,
                (struct hf_unary){
                    .method = "holdfast.v1.KeyService/UnwrapKey",
                    .request = &message.base,
                    .response = &holdfast__v1__unwrap_key_response__descriptor},
                &got);
    if (code != HF_CODE_OK) {
        return code;
    }
    const Holdfast__V1__UnwrapKeyResponse *reply =
        (const Holdfast__V1__UnwrapKeyResponse *)got;
    const struct key_reply common = {.key = &reply->plaintext_key,
                                     .wrapped = &reply->rewrapped_key,
                                     .wrapped_optional = true,
                                     .dep = reply->dep,
                                     .generation = reply->generation};
    return finish(&call, &common, got, out_answer);
}

enum hf_code hf_wrap_key(struct hf_client *client,
                         const struct hf_key_request *request,
                         struct hf_key_answer *out_answer,
                         struct hf_error *error)
{
    struct key_call call = key_call_of(client, request, error);
    enum hf_code code = prepare(&call);
    if (code != HF_CODE_OK) {
        return code;
    }
    if (request->key == NULL ||
        hf_secret_len(request->key) != HF_RESOURCE_KEY_BYTES) {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "a key to wrap must be 32 bytes long");
    }
    Holdfast__V1__WrapKeyRequest message = HOLDFAST__V1__WRAP_KEY_REQUEST__INIT;
    message.resource = resource_of(&call);
    message.plaintext_key = (ProtobufCBinaryData){
        .len = HF_RESOURCE_KEY_BYTES,
        .data = (uint8_t *)(uintptr_t)hf_secret_bytes(request->key)};
    message.access = &call.access;
    ProtobufCMessage *got = NULL;
    code = send(&call,
                (struct hf_unary){
                    .method = "holdfast.v1.KeyService/WrapKey",
                    .request = &message.base,
                    .response = &holdfast__v1__wrap_key_response__descriptor},
                &got);
    if (code != HF_CODE_OK) {
        return code;
    }
    const Holdfast__V1__WrapKeyResponse *reply =
        (const Holdfast__V1__WrapKeyResponse *)got;
    const struct key_reply common = {.wrapped = &reply->wrapped_key,
                                     .dep = reply->dep,
                                     .generation = reply->generation};
    return finish(&call, &common, got, out_answer);
}

enum hf_code hf_rewrap_key(struct hf_client *client,
                           const struct hf_key_request *request,
                           struct hf_key_answer *out_answer,
                           struct hf_error *error)
{
    struct key_call call = key_call_of(client, request, error);
    enum hf_code code = prepare(&call);
    if (code != HF_CODE_OK) {
        return code;
    }
    Holdfast__V1__RewrapKeyRequest message =
        HOLDFAST__V1__REWRAP_KEY_REQUEST__INIT;
    message.resource = resource_of(&call);
    message.wrapped_key = wrapped_of(&call);
    message.access = &call.access;
    ProtobufCMessage *got = NULL;
    code = send(&call,
                (struct hf_unary){
                    .method = "holdfast.v1.KeyService/RewrapKey",
                    .request = &message.base,
                    .response = &holdfast__v1__rewrap_key_response__descriptor},
                &got);
    if (code != HF_CODE_OK) {
        return code;
    }
    const Holdfast__V1__RewrapKeyResponse *reply =
        (const Holdfast__V1__RewrapKeyResponse *)got;
    const struct key_reply common = {.wrapped = &reply->wrapped_key,
                                     .dep = reply->dep,
                                     .generation = reply->generation};
    return finish(&call, &common, got, out_answer);
}

enum hf_code hf_renew_key(struct hf_client *client,
                          const struct hf_key_request *request,
                          struct hf_key_answer *out_answer,
                          struct hf_error *error)
{
    struct key_call call = key_call_of(client, request, error);
    enum hf_code code = prepare(&call);
    if (code != HF_CODE_OK) {
        return code;
    }
    Holdfast__V1__RenewKeyRequest message =
        HOLDFAST__V1__RENEW_KEY_REQUEST__INIT;
    message.resource = resource_of(&call);
    message.access = &call.access;
    ProtobufCMessage *got = NULL;
    code = send(&call,
                (struct hf_unary){
                    .method = "holdfast.v1.KeyService/RenewKey",
                    .request = &message.base,
                    .response = &holdfast__v1__renew_key_response__descriptor},
                &got);
    if (code != HF_CODE_OK) {
        return code;
    }
    const Holdfast__V1__RenewKeyResponse *reply =
        (const Holdfast__V1__RenewKeyResponse *)got;
    const struct key_reply common = {.key = &reply->plaintext_key,
                                     .wrapped = &reply->wrapped_key,
                                     .replaced = &reply->replaced_wrapped_key,
                                     .dep = reply->dep,
                                     .generation = reply->generation};
    return finish(&call, &common, got, out_answer);
}
