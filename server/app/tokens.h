/* tokens: every token of the configuration, from the start of the daemon to its
 * end. Those of the service must be there; a customers' token that is away,
 * or refuses its PIN, is opened when it can be (hsm/token/late.h).
 */
#pragma once

#include "hsm/token/token.h"

#include "server/app/app.h"
#include "server/app/config.h"
#include "server/service/service.h"

/* One customers' token, as its opening sees it; any thread. */
struct app_token_slot {
    const struct config *config;
    const struct clock *clock;
    const struct config_token *from;
};

struct app_tokens {
    struct token service;
    struct token ak;
    struct token sharepoint_ak; /* empty: none is configured */
    struct token *customers;    /* count of each */
    struct app_token_slot *slots;
    struct configured_token *configured;
    size_t count;
};

/* app_tokens_open: on failure *why says why; what is open is closed by
 * app_tokens_close in any case. config and clock outlive the tokens. */
HF_STATUS app_tokens_open(const struct config *config,
                          const struct clock *clock, struct app_tokens *tokens,
                          struct app_failure *why);
void app_tokens_close(struct app_tokens *tokens);
