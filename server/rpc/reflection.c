#include "server/rpc/reflection.h"

#include "server/rpc/codec.h"
#include "server/rpc/descriptors.h"
#include "server/rpc/server.h"

#include <grpc/reflection/v1/reflection.pb-c.h>

#include <stdlib.h>
#include <string.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest reflect_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflect_response;

#define ASKED_FILE                                                             \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME
#define ASKED_SYMBOL                                                           \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL
#define ASKED_EXTENSION                                                        \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION
#define ASKED_NUMBERS                                                          \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE
#define ASKED_SERVICES                                                         \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES
#define SAY_FILES                                                              \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE
#define SAY_NUMBERS                                                            \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE
#define SAY_SERVICES                                                           \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE
#define SAY_ERROR                                                              \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE

struct reflection {
    struct rpc_call *call;
    struct reflection *next;
    struct reflection *prev;
    bool writing;
    bool ending; /* its status follows what is being written */
    bool linked;
};

/* --- answers; all memory is the arena's, NULL parts make it refused --------
 */

static void say_error(struct rpc_arena *arena, reflect_response *out,
                      enum answer_code code, const char *text)
{
    Grpc__Reflection__V1__ErrorResponse *error =
        codec_new(arena, Grpc__Reflection__V1__ErrorResponse,
                  grpc__reflection__v1__error_response);
    if (error != NULL) {
        error->error_code = (int32_t)code;
        error->error_message = rpc_arena_text(arena, "%s", text);
        out->message_response_case = SAY_ERROR;
        out->error_response = error;
    }
}

static void say_file(const struct descriptor_set *set, struct rpc_arena *arena,
                     reflect_response *out, int file)
{
    if (file < 0) {
        say_error(arena, out, ANSWER_NOT_FOUND, "no such file or symbol");
        return;
    }
    int files[DESCRIPTOR_FILES_MAX];
    size_t count = descriptors_closure(set, file, files);
    Grpc__Reflection__V1__FileDescriptorResponse *found =
        codec_new(arena, Grpc__Reflection__V1__FileDescriptorResponse,
                  grpc__reflection__v1__file_descriptor_response);
    ProtobufCBinaryData *list = rpc_arena_alloc(arena, count * sizeof *list);
    if (found == NULL || list == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = codec_put_bytes(arena, descriptors_file(set, files[i]));
    }
    found->n_file_descriptor_proto = count;
    found->file_descriptor_proto = list;
    out->message_response_case = SAY_FILES;
    out->file_descriptor_response = found;
}

/* There is no extension anywhere in our files. */
static void say_numbers(const struct descriptor_set *set,
                        struct rpc_arena *arena, reflect_response *out,
                        const char *type)
{
    if (descriptors_file_of(set, bytes_of_text(type)) < 0) {
        say_error(arena, out, ANSWER_NOT_FOUND, "no such type");
        return;
    }
    Grpc__Reflection__V1__ExtensionNumberResponse *numbers =
        codec_new(arena, Grpc__Reflection__V1__ExtensionNumberResponse,
                  grpc__reflection__v1__extension_number_response);
    if (numbers != NULL) {
        numbers->base_type_name = rpc_arena_text(arena, "%s", type);
        out->message_response_case = SAY_NUMBERS;
        out->all_extension_numbers_response = numbers;
    }
}

static void say_services(const struct descriptor_set *set,
                         struct rpc_arena *arena, reflect_response *out)
{
    size_t count = descriptors_service_count(set);
    Grpc__Reflection__V1__ListServiceResponse *services =
        codec_new(arena, Grpc__Reflection__V1__ListServiceResponse,
                  grpc__reflection__v1__list_service_response);
    Grpc__Reflection__V1__ServiceResponse **list =
        rpc_arena_alloc(arena, (count + 1) * sizeof *list);
    if (services == NULL || list == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = codec_new(arena, Grpc__Reflection__V1__ServiceResponse,
                            grpc__reflection__v1__service_response);
        if (list[i] == NULL) {
            return;
        }
        list[i]->name =
            rpc_arena_text(arena, "%s", descriptors_service(set, i));
    }
    services->n_service = count;
    services->service = list;
    out->message_response_case = SAY_SERVICES;
    out->list_services_response = services;
}

static reflect_response *answer(const struct rpc *rpc, struct rpc_arena *arena,
                                reflect_request *asked)
{
    const struct descriptor_set *set = rpc->descriptors;
    reflect_response *out =
        codec_new(arena, Grpc__Reflection__V1__ServerReflectionResponse,
                  grpc__reflection__v1__server_reflection_response);
    if (out == NULL) {
        return NULL;
    }
    out->valid_host = asked->host;
    out->original_request = asked;
    if (asked->message_request_case == ASKED_FILE) {
        struct bytes name = bytes_of_text(asked->file_by_filename);
        say_file(set, arena, out, descriptors_file_named(set, name));
    } else if (asked->message_request_case == ASKED_SYMBOL) {
        struct bytes name = bytes_of_text(asked->file_containing_symbol);
        say_file(set, arena, out, descriptors_file_of(set, name));
    } else if (asked->message_request_case == ASKED_EXTENSION) {
        say_error(arena, out, ANSWER_NOT_FOUND, "there are no extensions");
    } else if (asked->message_request_case == ASKED_NUMBERS) {
        say_numbers(set, arena, out, asked->all_extension_numbers_of_type);
    } else if (asked->message_request_case == ASKED_SERVICES) {
        say_services(set, arena, out);
    } else {
        say_error(arena, out, ANSWER_INVALID_ARGUMENT,
                  "the request asks for nothing");
    }
    return arena->refused ? NULL : out;
}

/* --- the stream ---------------------------------------------------------- */

static void unlink_stream(struct reflection *stream)
{
    struct rpc *rpc = stream->call->slot->rpc;
    if (!stream->linked) {
        return;
    }
    *(stream->prev != NULL ? &stream->prev->next : &rpc->reflections) =
        stream->next;
    if (stream->next != NULL) {
        stream->next->prev = stream->prev;
    }
    stream->linked = false;
}

static void end(struct reflection *stream, const struct problem *problem)
{
    unlink_stream(stream);
    call_stream_end(stream->call, problem);
}

/* Ends it with what call->problem says, behind what is being written. */
static void end_refused(struct reflection *stream)
{
    stream->ending = true;
    if (!stream->writing) {
        end(stream, &stream->call->problem);
    }
}

void reflection_begin(struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    struct reflection *stream = calloc(1, sizeof *stream);
    call->u.reflection = stream;
    if (stream == NULL) {
        HF_IGNORE(problem_of_status(&call->problem, HF_E_NO_MEMORY),
                  "it is the answer");
        call_reply_problem(call, &call->problem);
        return;
    }
    stream->call = call;
    stream->linked = true;
    stream->next = rpc->reflections;
    if (stream->next != NULL) {
        stream->next->prev = stream;
    }
    rpc->reflections = stream;
    call_arm_close(call);
    call_stream_read(call);
}

/* The request that was read, answered. */
static HF_STATUS serve(struct rpc_call *call, uint8_t **out_bytes,
                       size_t *out_len)
{
    ProtobufCMessage *request = NULL;
    HF_TRY(lane_unpack(call, &request));
    call->arena.cap_bytes = RPC_REPLY_CAP_BYTES;
    reflect_response *reply =
        answer(call->slot->rpc, &call->arena, (reflect_request *)request);
    if (reply == NULL) {
        return problem_of_status(&call->problem, HF_E_NO_MEMORY);
    }
    *out_bytes = reply_pack(&reply->base, out_len);
    if (*out_bytes == NULL) {
        return problem_of_status(&call->problem, HF_E_NO_MEMORY);
    }
    return HF_OK;
}

void reflection_read(struct rpc_call *call, bool ok)
{
    struct reflection *stream = call->u.reflection;
    if (call->ended) {
        return;
    }
    if (!ok || call->payload == NULL) {
        /* no more requests; a client that is gone does not read the status */
        end(stream, NULL);
        return;
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum hf_status status = serve(call, &bytes, &len);
    rpc_arena_reset(&call->arena, RPC_REQUEST_CAP_BYTES);
    if (status != HF_OK) {
        end(stream, &call->problem);
        return;
    }
    stream->writing = true;
    call_stream_write(call, bytes, len);
}

void reflection_written(struct rpc_call *call, bool ok)
{
    struct reflection *stream = call->u.reflection;
    stream->writing = false;
    if (call->ended || !ok) {
        return; /* reflection_closed follows or was there */
    }
    if (stream->ending) {
        end_refused(stream);
        return;
    }
    call_stream_read(call);
}

void reflection_closed(struct rpc_call *call)
{
    if (call->u.reflection != NULL) {
        unlink_stream(call->u.reflection);
        call_stream_drop(call);
    }
}

void reflection_end_all(struct rpc *rpc)
{
    struct reflection *stream = rpc->reflections;
    while (stream != NULL) {
        struct reflection *next = stream->next;
        HF_IGNORE(problem_set(&stream->call->problem,
                              REASON_SERVICE_UNAVAILABLE,
                              "the server shuts down"),
                  "it is the answer");
        end_refused(stream);
        stream = next;
    }
}

void reflection_recheck(struct rpc *rpc)
{
    struct reflection *stream = rpc->reflections;
    while (stream != NULL) {
        struct reflection *next = stream->next;
        if (lane_identify(stream->call) != HF_OK) {
            end_refused(stream);
        }
        stream = next;
    }
}
