#include "client/lib/error.h"

#include "hsm/base/check.h"

#include "client/lib/message.h"
#include "client/lib/text.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "holdfast/v1/common.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define DOMAIN "holdfast"

static const char *const code_names[] = {
    [HF_CODE_OK] = "OK",
    [HF_CODE_CANCELLED] = "CANCELLED",
    [HF_CODE_UNKNOWN] = "UNKNOWN",
    [HF_CODE_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [HF_CODE_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [HF_CODE_NOT_FOUND] = "NOT_FOUND",
    [HF_CODE_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [HF_CODE_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [HF_CODE_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [HF_CODE_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [HF_CODE_ABORTED] = "ABORTED",
    [HF_CODE_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [HF_CODE_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [HF_CODE_INTERNAL] = "INTERNAL",
    [HF_CODE_UNAVAILABLE] = "UNAVAILABLE",
    [HF_CODE_DATA_LOSS] = "DATA_LOSS",
    [HF_CODE_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *hf_code_text(enum hf_code code)
{
    if (code < HF_CODE_OK || (size_t)code >= HF_COUNT(code_names)) {
        return "UNKNOWN";
    }
    return code_names[code];
}

void hf_error_free(struct hf_error *error)
{
    if (error == NULL) {
        return;
    }
    free(error->reason);
    free(error->message);
    for (size_t i = 0; i < error->metadata_count; i++) {
        free(error->metadata[i].key);
        free(error->metadata[i].value);
    }
    free(error->metadata);
    for (size_t i = 0; i < error->violation_count; i++) {
        free(error->violations[i].field);
        free(error->violations[i].description);
    }
    free(error->violations);
    for (size_t i = 0; i < error->check_count; i++) {
        free(error->checks[i].code);
        free(error->checks[i].customer_key);
        free(error->checks[i].text);
    }
    free(error->checks);
    *error = (struct hf_error){0};
}

static char *clean(const char *text)
{
    return text_clean_copy(text, ERROR_TEXT_MAX_BYTES);
}

static void replace_text(char **place, const char *text)
{
    char *copy = clean(text);
    if (copy != NULL) {
        free(*place);
        *place = copy;
    }
}

enum hf_code error_set(struct hf_error *error, enum hf_code code,
                       const char *reason, const char *message)
{
    if (error != NULL) {
        hf_error_free(error);
        error->code = code;
        error->reason = clean(reason);
        error->message = clean(message);
        error->retry_delay_ms = -1;
    }
    return code;
}

/* --- details, one kind each. A second one of a kind is ignored. ---------- */

static void take_info(struct hf_error *error, const ProtobufCMessage *message)
{
    const Google__Rpc__ErrorInfo *info =
        (const Google__Rpc__ErrorInfo *)message;
    if (strcmp(info->domain, DOMAIN) != 0 || error->metadata != NULL) {
        return; /* somebody else's words */
    }
    replace_text(&error->reason, info->reason);
    size_t count = info->n_metadata < ERROR_METADATA_MAX ? info->n_metadata
                                                         : ERROR_METADATA_MAX;
    error->metadata = calloc(count + 1, sizeof *error->metadata);
    for (size_t i = 0; error->metadata != NULL && i < count; i++) {
        struct hf_pair *pair = &error->metadata[i];
        pair->key = clean(info->metadata[i]->key);
        pair->value = clean(info->metadata[i]->value);
        error->metadata_count = i + 1;
    }
}

static void take_retry(struct hf_error *error, const ProtobufCMessage *message)
{
    const Google__Rpc__RetryInfo *retry =
        (const Google__Rpc__RetryInfo *)message;
    const Google__Protobuf__Duration *delay = retry->retry_delay;
    if (error->retry_delay_ms >= 0) {
        return;
    }
    error->retry_delay_ms = 0;
    if (delay != NULL && delay->seconds >= 0 && delay->nanos >= 0) {
        /* a day is as good as never, and cannot overflow */
        int64_t seconds = delay->seconds < 86400 ? delay->seconds : 86400;
        error->retry_delay_ms = seconds * 1000 + delay->nanos / 1000000;
    }
}

static void take_fields(struct hf_error *error, const ProtobufCMessage *message)
{
    const Google__Rpc__BadRequest *bad =
        (const Google__Rpc__BadRequest *)message;
    if (error->violations != NULL) {
        return;
    }
    size_t count = bad->n_field_violations < ERROR_VIOLATIONS_MAX
                       ? bad->n_field_violations
                       : ERROR_VIOLATIONS_MAX;
    error->violations = calloc(count + 1, sizeof *error->violations);
    for (size_t i = 0; error->violations != NULL && i < count; i++) {
        struct hf_violation *violation = &error->violations[i];
        violation->field = clean(bad->field_violations[i]->field);
        violation->description = clean(bad->field_violations[i]->description);
        error->violation_count = i + 1;
    }
}

static void take_report(struct hf_error *error, const ProtobufCMessage *message)
{
    const Holdfast__V1__ValidationReport *report =
        (const Holdfast__V1__ValidationReport *)message;
    if (error->checks != NULL) {
        return;
    }
    size_t count = report->n_results < ERROR_CHECKS_MAX ? report->n_results
                                                        : ERROR_CHECKS_MAX;
    error->checks = calloc(count + 1, sizeof *error->checks);
    for (size_t i = 0; error->checks != NULL && i < count; i++) {
        const Holdfast__V1__CheckResult *result = report->results[i];
        struct hf_check *check = &error->checks[i];
        check->code = clean(result->code);
        check->customer_key = clean(result->customer_key);
        check->text = clean(result->text);
        check->status = (int)result->status;
        check->evidence = (int)result->evidence;
        error->check_count = i + 1;
    }
}

/* --- the trailer --------------------------------------------------------- */

struct detail_kind {
    const char *type;
    const ProtobufCMessageDescriptor *descriptor;
    void (*take)(struct hf_error *error, const ProtobufCMessage *message);
};

static const struct detail_kind detail_kinds[] = {
    {"google.rpc.ErrorInfo",         &google__rpc__error_info__descriptor,  take_info  },
    {"google.rpc.RetryInfo",         &google__rpc__retry_info__descriptor,  take_retry },
    {"google.rpc.BadRequest",        &google__rpc__bad_request__descriptor,
     take_fields                                                                       },
    {"holdfast.v1.ValidationReport",
     &holdfast__v1__validation_report__descriptor,                          take_report},
};

static void take_detail(struct hf_error *error,
                        const Google__Protobuf__Any *any)
{
    const char *slash = strrchr(any->type_url, '/');
    const char *type = slash != NULL ? slash + 1 : any->type_url;
    for (size_t i = 0; i < HF_COUNT(detail_kinds); i++) {
        const struct detail_kind *kind = &detail_kinds[i];
        if (strcmp(type, kind->type) != 0) {
            continue;
        }
        ProtobufCMessage *message = NULL;
        if (message_unpack(kind->descriptor, any->value.data, any->value.len,
                           &message) == HF_OK) {
            kind->take(error, message);
            hf_message_free(message);
        }
        return;
    }
}

void error_from_status(struct hf_error *error, int grpc_status,
                       const char *message, const uint8_t *details,
                       size_t details_len)
{
    bool known =
        grpc_status > HF_CODE_OK && grpc_status <= HF_CODE_UNAUTHENTICATED;
    enum hf_code code = known ? (enum hf_code)grpc_status : HF_CODE_UNKNOWN;
    (void)error_set(error, code, "", message);
    if (details_len == 0 || details_len > ERROR_DETAILS_MAX_BYTES) {
        return;
    }
    ProtobufCMessage *unpacked = NULL;
    if (message_unpack(&google__rpc__status__descriptor, details, details_len,
                       &unpacked) != HF_OK) {
        return;
    }
    const Google__Rpc__Status *status = (const Google__Rpc__Status *)unpacked;
    if (error->message != NULL && error->message[0] == '\0') {
        replace_text(&error->message, status->message);
    }
    for (size_t i = 0; i < status->n_details && i < ERROR_DETAILS_MAX; i++) {
        take_detail(error, status->details[i]);
    }
    hf_message_free(unpacked);
}
