/* ak_mirrors: the tokens of availability keys where there are mirrors of them
 * of these the daemon needs none at its start. */
#pragma once

#include "server/app/service_token.h"
#include "server/app/tokens.h"

/* app_ak_may_be_away: it is the service's own of a kind that has mirrors. */
bool app_ak_may_be_away(const struct config *config,
                        const struct config_token *from);
/* app_ak_mirrors_open: these and their mirrors; on failure *why says why. One
 * that is away for longer than some seconds is opened when it can be. */
HF_STATUS app_ak_mirrors_open(const struct config *config,
                              const struct clock *clock,
                              const struct app_member_opening *how,
                              struct app_tokens *tokens,
                              struct app_failure *why);
