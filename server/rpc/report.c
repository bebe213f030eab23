#include "server/rpc/report.h"

#include "server/rpc/codec.h"

static bool text_is_told(enum check_status status, enum report_texts texts)
{
    switch (texts) {
    case REPORT_TEXTS_ALL:
        return true;
    case REPORT_TEXTS_NOT_PASSED:
        return status != CHECK_PASS;
    case REPORT_TEXTS_FAILED:
        return status == CHECK_FAIL;
    case REPORT_TEXTS_NONE:
    case REPORT_NAMES_NONE:
        return false;
    }
    return false;
}

static char *key_text(struct rpc_arena *arena, int key, char *const keys[2])
{
    if (key < 0 || key > 1) {
        return rpc_arena_text(arena, "%s", "");
    }
    return keys != NULL ? keys[key] : rpc_arena_text(arena, "%d", key + 1);
}

ProtobufCMessage *report_encode(struct rpc_arena *arena,
                                const struct validation_report *report,
                                char *const keys[2], enum report_texts texts)
{
    Holdfast__V1__ValidationReport *out = codec_new(
        arena, Holdfast__V1__ValidationReport, holdfast__v1__validation_report);
    Holdfast__V1__CheckResult **list =
        rpc_arena_alloc(arena, (report->count + 1) * sizeof *list);
    if (out == NULL || list == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct check_result *from = &report->results[i];
        Holdfast__V1__CheckResult *to = codec_new(
            arena, Holdfast__V1__CheckResult, holdfast__v1__check_result);
        if (to == NULL) {
            return NULL;
        }
        to->code = rpc_arena_text(arena, "%s", check_code_text(from->code));
        to->customer_key = key_text(arena, from->key,
                                    texts == REPORT_NAMES_NONE ? NULL : keys);
        to->status = (Holdfast__V1__CheckResult__Status)from->status;
        to->evidence = (Holdfast__V1__CheckResult__Evidence)from->evidence;
        if (text_is_told(from->status, texts)) {
            to->time = codec_put_timestamp(arena, from->time_ms);
            to->text = rpc_arena_text(arena, "%s", from->text);
        }
        list[i] = to;
    }
    out->results = list;
    out->n_results = report->count;
    out->passed = report->passed;
    return arena->refused ? NULL : &out->base;
}
