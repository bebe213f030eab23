/* frame_cases: an answered request of every op, smallest and largest, for the
 * tests and the fuzz targets of the frames. */
#pragma once

#include "hsm/token/token.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_CASE_LISTED    3
#define FRAME_CASE_LENGTHS   12
#define FRAME_CASE_SECRET    48
#define FRAME_CASE_FREE      UINT64_C(0x1122334455667788)
#define FRAME_CASE_COUNT     (2 * (TOKEN_OP_HEALTH + 1))
#define FRAME_CASE_DROP_DEAD INT64_C(0x0102030405060708)

struct frame_case {
    struct token_request request; /* and its results, as a token gives them */
    /* lengths that stand in its frames, each of them once */
    uint32_t lengths[FRAME_CASE_LENGTHS];
    size_t length_count;

    uint8_t aad[HF_CONTEXT_MAX_BYTES];
    uint8_t in[TOKEN_MAC_MAX_BYTES];
    uint8_t out[HF_SEALED_MAX_BYTES];
    struct token_key_report reports[FRAME_CASE_LISTED];
    struct token_mint mint;
    uint8_t spki[HF_SPKI_MAX_BYTES];
    struct token_data items[FRAME_CASE_LISTED];
};

/* frame_case_make: number `index` of FRAME_CASE_COUNT; freed with
 * frame_case_clear. The secure heap is there. */
void frame_case_make(size_t index, struct frame_case *out);
void frame_case_clear(struct frame_case *made);

/* frame_case_blank: the same request as its caller has it before the answer,
 * results into the outputs of `into`, which keeps what it points to. */
struct token_request frame_case_blank(const struct frame_case *made,
                                      struct frame_case *into);
