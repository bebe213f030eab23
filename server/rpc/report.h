/* report: a validation report on the wire. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/problem.h"

/* Whose texts are told. */
enum report_texts {
    REPORT_TEXTS_ALL,
    REPORT_TEXTS_NOT_PASSED,
    REPORT_TEXTS_FAILED,
    REPORT_TEXTS_NONE,
    REPORT_NAMES_NONE, /* and the keys are "1" and "2" */
};

/* report_encode: a holdfast.v1.ValidationReport in the arena; NULL when that is
 * full. keys: the two resource names, NULL when not known (then "1" and "2"
 * stand for them). */
ProtobufCMessage *report_encode(struct rpc_arena *arena,
                                const struct validation_report *report,
                                char *const keys[2], enum report_texts texts);
