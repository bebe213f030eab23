/* frame_same: is what came out what went in? */
#pragma once

#include "hsm/token/token.h"

#include "tests/unit/worker/frame_cases.h"

#include <stddef.h>
#include <stdint.h>

/* same_question: what is asked; the results of b need not be there.
 * same_answer:   the results; b's objects are those of this worker. */
void same_question(const struct token_request *a,
                   const struct token_request *b);
void same_answer(const struct token_request *a, const struct token_request *b,
                 uint32_t worker);

/* for_each_wrong_length: calls try for each wrong value of each length in the
 * packet; returns how many lengths there were. */
size_t for_each_wrong_length(const struct frame_case *made, uint8_t *bytes,
                             size_t len, void (*try)(size_t len));
