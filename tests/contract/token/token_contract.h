/* token_contract: what every adapter of the token port must do, run on the fake
 * and on the real one. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>

/* One adapter under test: two empty tokens. */
struct contract_subject {
    const char *name;
    bool forgets; /* its keys are gone when it is closed */
    /* opens token 0 or 1; queue_max as in the adapters' settings */
    HF_STATUS (*open)(size_t which, size_t queue_max, struct token *out);
};

/* token_contract_run: the number of tests that failed. */
int token_contract_run(const struct contract_subject *subject);
