/* error: what is known about a failed call, gathered into struct hf_error.
 *
 * The service sends google.rpc.Status in the trailer grpc-status-details-bin.
 * Those bytes come from outside: they are bounded, cleaned, and a detail that
 * cannot be read is left out rather than spoiling the rest.
 */
#pragma once

#include "client/lib/holdfast.h"

#include <stddef.h>
#include <stdint.h>

#define ERROR_TEXT_MAX_BYTES    1024
#define ERROR_DETAILS_MAX_BYTES (64u << 10)
#define ERROR_DETAILS_MAX       16
#define ERROR_METADATA_MAX      32
#define ERROR_VIOLATIONS_MAX    64
#define ERROR_CHECKS_MAX        128

/* error_set: replaces what was there. error may be NULL. Returns code, so that
 * a caller can report and return in one line. */
enum hf_code error_set(struct hf_error *error, enum hf_code code,
                       const char *reason, const char *message);

/* error_from_status: replaces what was there by an answer of the service:
 * grpc-status, grpc-message, and the trailer (details_len 0: none). The code
 * is always that of grpc-status, whatever the details claim; one out of range
 * becomes UNKNOWN. Without memory, fewer details. error must not be NULL. */
void error_from_status(struct hf_error *error, int grpc_status,
                       const char *message, const uint8_t *details,
                       size_t details_len);
