/* tokens: every token of the configuration, from the start of the daemon to its
 * end. Those of the service must be there, unless they have mirrors; a
 * customers' token that is away, or refuses its PIN, is opened when it can be,
 * and so is one of availability keys that has mirrors or is one.
 *
 * isolation: process  a process of its own has the token (hsm/worker/worker.h)
 * isolation: none     the module runs in the daemon (hsm/pkcs11/pkcs11.h),
 *                     opened late where it is a customers' (hsm/token/late.h)
 */
#pragma once

#include "hsm/token/token.h"

#include "server/app/app.h"
#include "server/app/config.h"
#include "server/service/service.h"

/* One token, as its opening sees it; any thread. */
struct app_token_slot {
    const struct config *config;
    const struct clock *clock;
    const struct config_token *from;
};

struct app_tokens {
    char program[CONFIG_PATH_BYTES]; /* holdfast-tokend */
    struct token service;
    struct app_token_slot service_slots[MIRRORS_MAX];
    struct token ak;
    struct token sharepoint_ak; /* empty: none is configured */
    /* those that may be away, because they have mirrors, or are some */
    struct app_token_slot ak_slots[2];
    struct app_token_slot mirror_slots[CONFIG_AK_MIRRORS_MAX];
    struct token mirrors[CONFIG_AK_MIRRORS_MAX];
    struct configured_ak_token configured_mirrors[CONFIG_AK_MIRRORS_MAX];
    size_t mirror_count;
    struct token *customers; /* count of each */
    struct app_token_slot *slots;
    struct configured_token *configured;
    size_t count;
};

/* app_tokens_open: on failure *why says why; what is open is closed by
 * app_tokens_close in any case. config and clock outlive the tokens, which stay
 * where they are. */
HF_STATUS app_tokens_open(const struct config *config,
                          const struct clock *clock, struct app_tokens *tokens,
                          struct app_failure *why);
/* app_tokens_look: PIN files may have changed. */
void app_tokens_look(const struct config *config,
                     const struct app_tokens *tokens);
void app_tokens_close(struct app_tokens *tokens);
