#include "server/rpc/method.h"

#include "hsm/base/check.h"

#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>

#include <stdlib.h>

#define HEALTH_PATH  "/grpc.health.v1.Health/"
#define REFLECT_V1   "/grpc.reflection.v1.ServerReflection/"
#define REFLECT_V1A  "/grpc.reflection.v1alpha.ServerReflection/"
#define REFLECT_NAME "ServerReflectionInfo"

static const struct rpc_method own_methods[] = {
    {
     .path = HEALTH_PATH "Check",
     .lane = LANE_HEALTH,
     .verb = VERB_COUNT,
     .request = &grpc__health__v1__health_check_request__descriptor,
     },
    {
     .path = HEALTH_PATH "Watch",
     .lane = LANE_WATCH,
     .verb = VERB_COUNT,
     .request = &grpc__health__v1__health_check_request__descriptor,
     },
    {
     .path = REFLECT_V1 REFLECT_NAME,
     .lane = LANE_REFLECTION,
     .verb = VERB_COUNT,
     .request = &grpc__reflection__v1__server_reflection_request__descriptor,
     },
    {
     .path = REFLECT_V1A REFLECT_NAME,
     .lane = LANE_REFLECTION,
     .verb = VERB_COUNT,
     /* the same on the wire */
        .request = &grpc__reflection__v1__server_reflection_request__descriptor,
     },
};
static const struct method_list own_list = {
    .methods = own_methods,
    .count = HF_COUNT(own_methods),
};

static const struct method_list *const lists[] = {
    &key_methods,
    &tenant_methods,
    &token_methods,
    &customer_key_methods,
    &dep_methods,
    &assignment_methods,
    &tenant_assignment_methods,
    &workload_methods,
    &notice_methods,
    &onboarding_methods,
    &operation_methods,
    &audit_methods,
    &approval_methods,
    &purge_methods,
    &geo_methods,
    &file_key_methods,
    &own_list,
};

const struct rpc_method *rpc_method_at(size_t index)
{
    for (size_t i = 0; i < HF_COUNT(lists); i++) {
        if (index < lists[i]->count) {
            return &lists[i]->methods[index];
        }
        index -= lists[i]->count;
    }
    return NULL;
}

uint8_t *reply_buffer(size_t len)
{
    return malloc(len > 0 ? len : 1);
}

uint8_t *reply_pack(const ProtobufCMessage *reply, size_t *out_len)
{
    size_t len = protobuf_c_message_get_packed_size(reply);
    uint8_t *bytes = reply_buffer(len);
    if (bytes != NULL) {
        protobuf_c_message_pack(reply, bytes);
        *out_len = len;
    }
    return bytes;
}
