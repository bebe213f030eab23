#include "server/service/problem.h"

#include "hsm/base/own.h"

#include <stdarg.h>
#include <stdio.h>

static enum hf_status status_of(enum reason reason)
{
    switch (reason_code(reason)) {
    case ANSWER_OK:
        return HF_OK;
    case ANSWER_INVALID_ARGUMENT:
    case ANSWER_OUT_OF_RANGE:
        return HF_E_INVALID;
    case ANSWER_NOT_FOUND:
        return HF_E_NOT_FOUND;
    case ANSWER_ALREADY_EXISTS:
        return HF_E_EXISTS;
    case ANSWER_PERMISSION_DENIED:
    case ANSWER_UNAUTHENTICATED:
        return HF_E_DENIED;
    case ANSWER_FAILED_PRECONDITION:
        return HF_E_PRECONDITION;
    case ANSWER_ABORTED:
        return HF_E_CONFLICT;
    case ANSWER_RESOURCE_EXHAUSTED:
        return reason == REASON_OVERLOADED ? HF_E_OVERLOAD : HF_E_LIMIT;
    case ANSWER_UNAVAILABLE:
        return HF_E_UNREACHABLE;
    case ANSWER_DATA_LOSS:
        return HF_E_CORRUPT;
    case ANSWER_CANCELLED:
        return HF_E_CANCELLED;
    case ANSWER_DEADLINE_EXCEEDED:
        return HF_E_EXPIRED;
    case ANSWER_UNIMPLEMENTED:
        return HF_E_UNSUPPORTED;
    case ANSWER_UNKNOWN:
    case ANSWER_INTERNAL:
        return HF_E_INTERNAL;
    }
    return HF_E_INTERNAL;
}

__attribute__((format(printf, 2, 0))) static void
write_text(struct problem *problem, const char *format, va_list values)
{
    vsnprintf(problem->text, sizeof problem->text, format, values);
    problem->field[0] = '\0';
    problem->retry_ms = 0;
    problem->has_report = false;
}

HF_STATUS problem_set(struct problem *problem, enum reason reason,
                      const char *format, ...)
{
    va_list values;
    va_start(values, format);
    write_text(problem, format, values);
    va_end(values);
    problem->reason = reason;
    if (reason == REASON_OVERLOADED || reason == REASON_KEY_UNAVAILABLE ||
        reason == REASON_SERVICE_UNAVAILABLE || reason == REASON_CONFLICT) {
        problem->retry_ms = 200;
    }
    return status_of(reason);
}

HF_STATUS problem_field(struct problem *problem, const char *field,
                        const char *format, ...)
{
    va_list values;
    va_start(values, format);
    write_text(problem, format, values);
    va_end(values);
    snprintf(problem->field, sizeof problem->field, "%s", field);
    problem->reason = REASON_FIELD_INVALID;
    return HF_E_INVALID;
}

/* The last resort: a use case that knows more says more. */
static enum reason reason_for(enum hf_status status)
{
    if (status == HF_E_OVERLOAD) {
        return REASON_OVERLOADED;
    }
    if (status == HF_E_CANCELLED) {
        return REASON_CANCELLED;
    }
    if (status == HF_E_EXPIRED) {
        return REASON_DEADLINE_PASSED;
    }
    if (status == HF_E_CORRUPT) {
        return REASON_RECORD_INVALID;
    }
    if (status == HF_E_BAD_BLOB) {
        return REASON_BLOB_INVALID;
    }
    switch (hf_status_class(status)) {
    case HF_CLASS_OK:
        return REASON_NONE;
    case HF_CLASS_CONFLICT:
        return REASON_CONFLICT;
    case HF_CLASS_TRANSIENT:
    case HF_CLASS_OURS:
        return REASON_SERVICE_UNAVAILABLE;
    case HF_CLASS_CALLER:
    case HF_CLASS_DENIED:
    case HF_CLASS_MISSING:
    case HF_CLASS_BROKEN:
        return REASON_INTERNAL;
    }
    return REASON_INTERNAL;
}

HF_STATUS problem_of_status(struct problem *problem, enum hf_status status)
{
    if (status == HF_OK) {
        return HF_OK;
    }
    HF_IGNORE(
        problem_set(problem, reason_for(status), "%s", hf_status_text(status)),
        "the caller's own status is more exact");
    return status;
}
