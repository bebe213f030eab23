/* Any body to any method: the first byte chooses the method, the rest is what a
 * client sent. Through the checks, protobuf-c, the handler, the service double
 * and back into bytes, as the rpc layer does it. */
#include "hsm/base/check.h"

#include "server/rpc/descriptors.h"
#include "server/rpc/method.h"
#include "server/rpc/status_map.h"
#include "server/rpc/wire.h"

#include "tests/unit/rpc/service_double.h"

#include <stdlib.h>
#include <string.h>

#define CAP ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct caller caller = {
    .identity = "spiffe://t/fuzz",
    .tenant = "acme",
    .roles = ROLE_TENANT_ADMIN,
};

static struct service *the_service(void)
{
    static struct service *service;
    if (service == NULL) {
        CHECK(secret_heap_start((size_t)1 << 20) == HF_OK);
        double_hurry();
        service = double_start();
    }
    return service;
}

/* Every refusal becomes a status that fits. */
static void refuse(const struct problem *problem)
{
    struct status_details details;
    CHECK(problem->reason != REASON_NONE);
    status_details_of(problem, NULL, &details);
    CHECK(details.len > 0);
}

static void data_plane(const struct rpc_method *method,
                       const ProtobufCMessage *request)
{
    static struct key_call call;
    struct problem problem = {.reason = REASON_NONE};
    memset(&call, 0, sizeof call);
    call.verb = method->verb;
    call.caller = &caller;
    if (method->decode(request, &call, &problem) != HF_OK) {
        refuse(&problem);
    } else {
        CHECK(strlen(call.tenant) > 0 && strlen(call.resource) > 0);
        CHECK(call.wrapped_len <= sizeof call.wrapped);
        secret_free(call.plaintext);
        call.plaintext = NULL;
        call.generation = 1;
        CHECK(secret_new(HF_KEY_BYTES, &call.plaintext) == HF_OK);
        size_t len = 0;
        uint8_t *reply = method->encode(&call, &len);
        CHECK(reply != NULL && len > 0);
        free(reply);
    }
    secret_free(call.plaintext);
}

static bool never(void *self)
{
    (void)self;
    return false;
}

static void administration(const struct rpc_method *method,
                           const ProtobufCMessage *request,
                           struct rpc_arena *arena)
{
    static struct validation_report report;
    struct problem problem = {.reason = REASON_NONE, .report = &report};
    arena->cap_bytes = (size_t)64 * 1024 * 1024;
    struct admin_work work = {
        .service = the_service(),
        .caller = &caller,
        .request = request,
        .arena = arena,
        .problem = &problem,
        .cancellation = {never, NULL},
    };
    if (method->admin(&work) != HF_OK) {
        refuse(&problem);
        return;
    }
    CHECK(work.reply != NULL);
    size_t len = 0;
    uint8_t *reply = reply_pack(work.reply, &len);
    CHECK(reply != NULL);
    free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rpc_arena arena;
    struct problem problem = {.reason = REASON_NONE};
    the_service();
    const struct rpc_method *method = size > 0 ? rpc_method_at(data[0]) : NULL;
    if (method == NULL) {
        return -1; /* of no interest */
    }
    const struct bytes body = {data + 1, size - 1};
    if (wire_check(method->request, body, &problem) != HF_OK) {
        refuse(&problem);
        return 0;
    }
    rpc_arena_init(&arena, CAP);
    ProtobufCMessage *request = protobuf_c_message_unpack(
        method->request, &arena.allocator, body.len, body.data);
    CHECK(request != NULL || arena.refused);
    if (request != NULL && method->lane == LANE_DATA) {
        data_plane(method, request);
    } else if (request != NULL && method->lane == LANE_ADMIN) {
        administration(method, request, &arena);
    }
    rpc_arena_reset(&arena, CAP);
    return 0;
}
