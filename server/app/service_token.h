/* service_token: the service's own token when it is mirrored. */
#pragma once

#include "server/app/app.h"
#include "server/app/tokens.h"

/* What to do without it. */
#define APP_TOKEN_LOST                                                         \
    "; if it is lost for ever, the store is sealed anew under another one: "   \
    "holdfastd --reseal-check, and the README"

/* How one of them is opened: begun, and waited for. */
struct app_member_opening {
    HF_STATUS(*begin)
    (struct app_tokens *tokens, struct app_token_slot *slot, struct token *out);
    void (*wait)(const struct app_token_slot *slot, const struct token *token,
                 int64_t wait_ms);
};

/* app_service_token_open: the token and its mirrors as one. Those that are away
 * may come later. *why says why. */
HF_STATUS app_service_token_open(const struct config *config,
                                 const struct clock *clock,
                                 const struct app_member_opening *how,
                                 struct app_tokens *tokens,
                                 struct app_failure *why);

/* app_service_member: 0: the service's token; from 1 on its mirrors. */
const struct config_token *app_service_member(const struct config *config,
                                              size_t i);
const struct token *app_service_member_token(const struct config *config,
                                             const struct app_tokens *tokens,
                                             size_t i);

/* app_service_token_alone: one that is configured without mirrors must not wait
 * for any (hsm/token/mirrored.h). */
HF_STATUS app_service_token_alone(const struct config *config,
                                  const struct token *token,
                                  struct app_failure *why);
