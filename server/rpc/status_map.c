#include "server/rpc/status_map.h"

#include "server/rpc/codec.h"
#include "server/rpc/report.h"

#include <google/rpc/error_details.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <string.h>

#define TYPE_URL    "type.googleapis.com/"
#define DETAILS_MAX 4

struct details {
    Google__Protobuf__Any items[DETAILS_MAX];
    Google__Protobuf__Any *list[DETAILS_MAX];
    size_t count;
    struct rpc_arena arena;
};

static void add(struct details *to, const char *type_url,
                const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = rpc_arena_alloc(&to->arena, len > 0 ? len : 1);
    if (bytes == NULL) {
        return;
    }
    protobuf_c_message_pack(message, bytes);
    Google__Protobuf__Any *any = &to->items[to->count];
    *any = (Google__Protobuf__Any)GOOGLE__PROTOBUF__ANY__INIT;
    any->type_url = rpc_arena_text(&to->arena, "%s", type_url);
    any->value = (ProtobufCBinaryData){.len = len, .data = bytes};
    to->list[to->count] = any;
    to->count++;
}

static void add_reason(struct details *to, enum reason reason)
{
    char domain[] = "holdfast";
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = rpc_arena_text(&to->arena, "%s", reason_word(reason));
    info.domain = domain;
    add(to, TYPE_URL "google.rpc.ErrorInfo", &info.base);
}

static void add_retry(struct details *to, int64_t retry_ms)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = retry_ms / 1000;
    delay.nanos = (int32_t)(retry_ms % 1000) * 1000000;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    retry.retry_delay = &delay;
    add(to, TYPE_URL "google.rpc.RetryInfo", &retry.base);
}

static void add_field(struct details *to, const struct problem *problem)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    violation.field = rpc_arena_text(&to->arena, "%s", problem->field);
    violation.description = rpc_arena_text(&to->arena, "%s", problem->text);
    Google__Rpc__BadRequest__FieldViolation *list[1] = {&violation};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    bad.n_field_violations = 1;
    bad.field_violations = list;
    add(to, TYPE_URL "google.rpc.BadRequest", &bad.base);
}

/* How much of a report's texts is told, from all to nothing, until it fits. */
static void add_report(struct details *to, const struct problem *problem,
                       char *const keys[2])
{
    for (enum report_texts texts = REPORT_TEXTS_ALL; texts <= REPORT_NAMES_NONE;
         texts++) {
        ProtobufCMessage *report =
            report_encode(&to->arena, problem->report, keys, texts);
        if (report == NULL) {
            return;
        }
        if (protobuf_c_message_get_packed_size(report) <=
            STATUS_DETAILS_MAX_BYTES - 1024) {
            add(to, TYPE_URL "holdfast.v1.ValidationReport", report);
            return;
        }
    }
}

void status_details_of(const struct problem *problem,
                       char *const report_keys[2], struct status_details *out)
{
    enum reason reason =
        problem->reason != REASON_NONE ? problem->reason : REASON_INTERNAL;
    struct details details = {.count = 0};
    rpc_arena_init(&details.arena, (size_t)256 * 1024);
    add_reason(&details, reason);
    if (problem->retry_ms > 0) {
        add_retry(&details, problem->retry_ms);
    }
    if (reason == REASON_FIELD_INVALID) {
        add_field(&details, problem);
    }
    if (problem->has_report && problem->report != NULL) {
        add_report(&details, problem, report_keys);
    }
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)reason_code(reason);
    status.message = rpc_arena_text(&details.arena, "%s", problem->text);
    status.n_details = details.count;
    status.details = details.list;
    out->code = reason_code(reason);
    out->len = protobuf_c_message_get_packed_size(&status.base);
    if (out->len > sizeof out->bytes) { /* the texts above bound it */
        out->len = 0;
    } else {
        protobuf_c_message_pack(&status.base, out->bytes);
    }
    rpc_arena_reset(&details.arena, 0);
}
