/* status_map: a problem as gRPC clients see it: canonical code, text, and a
 * google.rpc.Status with the reason for programs in grpc-status-details-bin.
 */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/problem.h"

/* What all details together may take: clients refuse trailing metadata of more
 * than 8 KiB. A validation report loses the texts of checks that passed, then
 * other texts, before it would be longer. */
#define STATUS_DETAILS_MAX_BYTES 5632

struct status_details {
    enum answer_code code;
    uint8_t bytes[STATUS_DETAILS_MAX_BYTES];
    size_t len;
};

/* status_details_of: for any reason but NONE (which counts as INTERNAL).
 * report_keys: resource names of the two keys a report is about; NULL when not
 * known. */
void status_details_of(const struct problem *problem,
                       char *const report_keys[2], struct status_details *out);
