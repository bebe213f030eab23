#include "server/app/service_token.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "hsm/token/mirrored.h"
#include "hsm/token/names.h"

#include <stdio.h>

/* How long they may keep the start waiting, all together. */
#define WAIT_MS 10000

struct event {
    enum log_level level;
    const char *name;
    const char *what;
};

static const struct event events[] = {
    [MIRROR_AWAY] = {LOG_ERROR, "service_token.mirror_away",
                     "the others serve without it; bring it back"      },
    [MIRROR_STALE] = {LOG_WARN,  "service_token.mirror_stale",
                     "it answers, and is brought up to date when one that "
                      "is in step is there"                            },
    [MIRROR_IN_STEP] = {LOG_INFO,  "service_token.mirror_in_step",
                     "it holds all that was acknowledged"              },
    [MIRROR_REFUSED] = {LOG_ERROR, "service_token.mirror_refused",
                     "its record MAC key is not that of the others, or it "
                        "went on without them: it is no mirror of them"},
};

const struct config_token *app_service_member(const struct config *config,
                                              size_t i)
{
    return i == 0 ? &config->service_token : &config->service_mirrors[i - 1];
}

const struct token *app_service_member_token(const struct config *config,
                                             const struct app_tokens *tokens,
                                             size_t i)
{
    return config->service_mirror_count == 0
               ? &tokens->service
               : mirrored_member(&tokens->service, i);
}

static void tell(void *context, size_t member,
                 const struct mirror_report *report)
{
    const struct event *event = &events[report->state];
    log_event(event->level, event->name,
              LOG_TEXT("label", app_service_member(context, member)->label),
              LOG_TEXT("serial", report->name.serial),
              LOG_TEXT("status", hf_status_name(report->status)),
              LOG_TEXT("what", event->what));
}

static HF_STATUS begin(const struct config *config, const struct clock *clock,
                       const struct app_member_opening *how,
                       struct app_tokens *tokens,
                       struct token members[MIRRORS_MAX])
{
    for (size_t i = 0; i <= config->service_mirror_count; i++) {
        struct app_token_slot *slot = &tokens->service_slots[i];
        *slot = (struct app_token_slot){config, clock,
                                        app_service_member(config, i)};
        HF_TRY(how->begin(tokens, slot, &members[i]));
    }
    return HF_OK;
}

HF_STATUS app_service_token_open(const struct config *config,
                                 const struct clock *clock,
                                 const struct app_member_opening *how,
                                 struct app_tokens *tokens,
                                 struct app_failure *why)
{
    struct token members[MIRRORS_MAX] = {{.port = NULL}};
    struct mirrored_problem problem = {.text = ""};
    size_t count = config->service_mirror_count + 1;
    enum hf_status status = begin(config, clock, how, tokens, members);
    int64_t until_ms = clock_monotonic_ms(clock_system()) + WAIT_MS;
    if (status != HF_OK) {
        for (size_t i = 0; i < count; i++) {
            token_close(&members[i]);
        }
        snprintf(why->text, sizeof why->text, "the service's tokens: %s",
                 hf_status_text(status));
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        how->wait(&tokens->service_slots[i], &members[i],
                  until_ms - clock_monotonic_ms(clock_system()));
    }
    const struct mirrored_settings settings = {
        .members = members,
        .count = count,
        .mac_key_id = TOKEN_NAME_RECORD_MAC,
        .sign_key_id = TOKEN_NAME_AUDIT_SIGN,
        .data_label = TOKEN_NAME_EPOCH,
        .told = tell,
        .told_context = (void *)(uintptr_t)config,
    };
    status = mirrored_new(&settings, &tokens->service, &problem);
    if (status != HF_OK) {
        bool none = status != HF_E_PRECONDITION && status != HF_E_CONFLICT;
        snprintf(why->text, sizeof why->text, "the service's tokens: %s%s",
                 problem.text[0] != '\0' ? problem.text
                                         : hf_status_text(status),
                 none ? APP_TOKEN_LOST : "");
    }
    return status;
}

HF_STATUS app_service_token_alone(const struct config *config,
                                  const struct token *token,
                                  struct app_failure *why)
{
    struct mirror_name missing = {.label = ""};
    enum hf_status status = mirror_view_check_alone(token, 0, &missing);
    if (status == HF_E_PRECONDITION) {
        snprintf(why->text, sizeof why->text,
                 "the token \"%s\" (%s:%zu) has a mirror, \"%s\" (serial %s), "
                 "that may know of a later state of the store: name it among "
                 "service_mirrors; if it is lost for ever, say so with "
                 "holdfast-hsm service forget-mirror",
                 config->service_token.label, config->path,
                 config->service_token.line, missing.label, missing.serial);
    } else if (status != HF_OK) {
        snprintf(why->text, sizeof why->text,
                 "the token \"%s\" does not show whether it has mirrors: %s",
                 config->service_token.label, hf_status_text(status));
    }
    return status;
}
