#include "server/service/liars.h"

#include "hsm/sys/log.h"

#include "server/service/attempt.h"

_Static_assert(LIARS_MAX == HF_CUSTOMER_KEYS_PER_DEP + AK_TOKENS_MAX,
               "each may lie once");

bool liars_has(const struct liars *liars, const struct token *token)
{
    for (size_t i = 0; liars != NULL && i < liars->count; i++) {
        if (liars->tokens[i] == token) {
            return true;
        }
    }
    return false;
}

static void log_alert(struct service *service, const struct lease *lease,
                      const char *name)
{
    char dep[HF_ID_TEXT];
    uint64_t left_out = 0;
    const struct generation_record *record = &lease->generation->record;
    if (!blob_alerts_may_write(&service->lie_alerts,
                               service_monotonic_ms(service), &left_out)) {
        return;
    }
    id_format(&record->dep, dep);
    log_event(LOG_ERROR, "token.alert", LOG_TEXT("token", name),
              LOG_TEXT("dep", dep),
              LOG_NUMBER("generation", record->generation),
              LOG_TEXT("what", "it opened a wrapped key to a wrong one, and "
                               "called that a success; nobody got it, and "
                               "another token is asked"),
              LOG_NUMBER("lines_left_out", left_out));
}

static void tell(struct service *service, const struct lease *lease)
{
    struct ak_token_set set;
    for (size_t i = 0; i < service->settings.token_count; i++) {
        const struct configured_token *token = &service->settings.tokens[i];
        if (token->token == lease->token) {
            log_alert(service, lease, token->name);
            return;
        }
    }
    ak_tokens_of(service, lease->generation->dep->record.type, &set);
    for (size_t i = 0; i < set.count; i++) {
        if (set.at[i].token == lease->token) {
            log_alert(service, lease, set.at[i].name);
            return;
        }
    }
    log_alert(service, lease, "(not configured any more)");
}

bool liars_note(struct liars *liars, struct lease *lease)
{
    tell(lease->service, lease);
    if (lease->slot != ROOT_AK) {
        attempt_note(lease->service, lease->generation, lease->slot,
                     HF_E_BAD_BLOB);
    }
    if (liars_has(liars, lease->token) || liars->count == LIARS_MAX) {
        return false;
    }
    liars->tokens[liars->count++] = lease->token;
    return true;
}
