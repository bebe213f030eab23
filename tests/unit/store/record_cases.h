/* record_cases: every record type with two samples, the smallest and the
 * largest that can be stored, behind one shape. For unit tests and the fuzzer.
 */
#pragma once

#include "server/store/record.h"

#include <stddef.h>

#define RECORD_STRUCT_MAX_BYTES 10240

struct record_case {
    const char *name;
    enum record_kind kind;
    size_t size; /* of the struct */
    enum hf_status (*encode)(const void *in, struct record *out);
    enum hf_status (*decode)(const struct record *in, void *out);
    void (*fill)(void *out, bool largest);
    bool key_is_free; /* the key says more than the body */
    uint8_t newest;   /* the format that is written */
};

extern const struct record_case record_cases[];
extern const size_t record_case_count;

/* record_case_sample: zeroed first, so that padding compares equal. */
void record_case_sample(const struct record_case *of, bool largest, void *out);
