/* ops: one operation of the token port each, with a look at its answer. */
#pragma once

#include "tests/fault/matrix/world.h"

struct actor {
    struct world world;
    struct token token[2];
    /* one key unwrapped for good, and one that comes and goes */
    struct token_object lease[2];
    struct token_object fresh[2];
    struct token_object fresh_ak;
    /* the last that the token said it made: fresh, and from a source */
    struct token_mint minted[2];
    unsigned made; /* keys and data objects are numbered */
    unsigned destroyed;
};

struct op_answer {
    enum hf_status status;
    unsigned long rv;
    const char *verdict; /* "right", "wrong", or "-": nothing to look at */
    char detail[128];    /* of what, for the journal; "" when of nothing */
};

typedef void op_fn(struct actor *actor, size_t which, int64_t attempt_ms,
                   struct op_answer *answer);

/* op_find: NULL when there is no such operation. */
op_fn *op_find(const char *name);
