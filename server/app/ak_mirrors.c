#include "server/app/ak_mirrors.h"

#include "hsm/token/ability.h"

#include <stdio.h>

/* How long all of them together may keep the start waiting. */
#define WAIT_MS 10000

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

bool app_ak_may_be_away(const struct config *config,
                        const struct config_token *from)
{
    return (from == &config->ak_token &&
            config_ak_has_mirrors(config, false)) ||
           (from == &config->sharepoint_ak_token &&
            config_ak_has_mirrors(config, true));
}

/* The service's own token of availability keys that has mirrors, and these. */
static HF_STATUS begin_mirrors(const struct config *config,
                               const struct clock *clock,
                               const struct app_member_opening *how,
                               struct app_tokens *tokens)
{
    struct token *const own[2] = {&tokens->ak, &tokens->sharepoint_ak};
    for (size_t kind = 0; kind < 2; kind++) {
        if (config_ak_has_mirrors(config, kind == 1)) {
            tokens->ak_slots[kind] = (struct app_token_slot){
                config, clock, config_ak_token(config, kind == 1, "")};
            HF_TRY(how->begin(tokens, &tokens->ak_slots[kind], own[kind]));
        }
    }
    for (size_t i = 0; i < config->ak_mirror_count; i++) {
        const struct config_token *from = &config->ak_mirrors[i];
        tokens->mirror_slots[i] = (struct app_token_slot){config, clock, from};
        tokens->configured_mirrors[i] = (struct configured_ak_token){
            .name = from->name,
            .sharepoint = from->sharepoint,
            .token = &tokens->mirrors[i],
            .capacity_objects = from->capacity_objects,
        };
        HF_TRY(
            how->begin(tokens, &tokens->mirror_slots[i], &tokens->mirrors[i]));
        tokens->mirror_count++;
    }
    return HF_OK;
}

/* One that is not there yet is looked at by what needs it. */
static HF_STATUS check(const struct app_token_slot *slot,
                       const struct token *token, struct app_failure *why)
{
    struct token_profile profile;
    char lacks[256];
    token_profile_get(token, &profile);
    if (!token_profile_is_known(&profile)) {
        return HF_OK;
    }
    token_profile_lacks(&profile, TOKEN_ROLE_AVAILABILITY, lacks, sizeof lacks);
    if (lacks[0] == '\0') {
        return HF_OK;
    }
    snprintf(why->text, sizeof why->text,
             "the token \"%s\" (%s:%zu) cannot hold %s; it lacks: %s",
             slot->from->label, slot->config->path, slot->from->line,
             token_role_words(TOKEN_ROLE_AVAILABILITY), lacks);
    return HF_E_UNSUPPORTED;
}

static HF_STATUS wait_and_check(const struct app_member_opening *how,
                                const struct app_token_slot *slot,
                                const struct token *token, int64_t until_ms,
                                struct app_failure *why)
{
    how->wait(slot, token, until_ms - now_ms());
    return check(slot, token, why);
}

HF_STATUS app_ak_mirrors_open(const struct config *config,
                              const struct clock *clock,
                              const struct app_member_opening *how,
                              struct app_tokens *tokens,
                              struct app_failure *why)
{
    int64_t until_ms = now_ms() + WAIT_MS;
    const struct token *const own[2] = {&tokens->ak, &tokens->sharepoint_ak};
    enum hf_status status = begin_mirrors(config, clock, how, tokens);
    if (status != HF_OK) {
        snprintf(why->text, sizeof why->text,
                 "the mirrors of the tokens of availability keys: %s",
                 hf_status_text(status));
        return status;
    }
    for (size_t kind = 0; kind < 2; kind++) {
        if (tokens->ak_slots[kind].from != NULL) {
            HF_TRY(wait_and_check(how, &tokens->ak_slots[kind], own[kind],
                                  until_ms, why));
        }
    }
    for (size_t i = 0; i < tokens->mirror_count; i++) {
        HF_TRY(wait_and_check(how, &tokens->mirror_slots[i],
                              &tokens->mirrors[i], until_ms, why));
    }
    return HF_OK;
}
