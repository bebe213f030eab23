/* problem: why a use case was refused, for the edge to pass on.
 *
 * Filled whenever a service function returns anything but HF_OK. Texts name
 * what was wrong and what would be right; none tells a USER caller which
 * customer key failed.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/validation.h"

#include <stdint.h>

#define PROBLEM_TEXT_BYTES  320
#define PROBLEM_FIELD_BYTES 64

struct problem {
    enum reason reason;
    char text[PROBLEM_TEXT_BYTES];
    char field[PROBLEM_FIELD_BYTES];  /* of the request; "" none */
    int64_t retry_ms;                 /* a repeat may help after; 0: not */
    struct validation_report *report; /* VALIDATION_FAILED: the caller's buffer,
                                         set before the call; else unused */
    bool has_report;
};

/* problem_set: fills and returns the status that goes with the reason.
 * problem_field: as FIELD_INVALID for one field.
 * problem_of_status: the reason for a status that nobody explained; retry where
 *                    the class says so. */
__attribute__((format(printf, 3, 4))) HF_STATUS
problem_set(struct problem *problem, enum reason reason, const char *format,
            ...);
__attribute__((format(printf, 3, 4))) HF_STATUS
problem_field(struct problem *problem, const char *field, const char *format,
              ...);
HF_STATUS problem_of_status(struct problem *problem, enum hf_status status);
