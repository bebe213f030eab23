#include "server/app/tokens.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"
#include "hsm/sys/secret_file.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/ability.h"
#include "hsm/token/late.h"
#include "hsm/worker/worker.h"

#include "server/app/ak_mirrors.h"
#include "server/app/program.h"
#include "server/app/service_token.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A customers' token that is away, or refuses its PIN, is tried again after so
 * long; the pauses double. */
#define TOKEN_PAUSE_MS     1000
#define TOKEN_PAUSE_MAX_MS 60000
/* How long all of them together may keep the start waiting: a token that
 * answers is open when the first call comes in. */
#define TOKENS_WAIT_MS 10000

/* Without the service's own tokens there is no start: their first opening is
 * waited for, and pkcs11_open gives up after 30 s. */
#define OWN_WAIT_MS 40000
#define LOOK_MS     200
/* What comes while a lost worker is being replaced waits for so long: a token
 * of a customer's has another beside it, the service's own have none. */
#define LOST_WAIT_MS     1000
#define OWN_LOST_WAIT_MS 3000
#define TOKEND_NAME      "holdfast-tokend"

static void refuse(const struct app_token_slot *slot, const char *text,
                   struct app_failure *why)
{
    snprintf(why->text, sizeof why->text,
             "the token \"%s\" (%s:%zu) is refused: %s; look at it with "
             "holdfast-hsm token test%s",
             slot->from->label, slot->config->path, slot->from->line, text,
             slot->from == &slot->config->service_token ? APP_TOKEN_LOST : "");
}

/* --- in the daemon ------------------------------------------------------- */

/* Why a token cannot be opened, in words for the operator. */
static HF_STATUS open_token(const struct app_token_slot *slot,
                            struct token *out, struct app_failure *why)
{
    const struct config *config = slot->config;
    const struct config_token *from = slot->from;
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    enum hf_status status = secret_from_file(from->pin_file, &pin);
    if (status != HF_OK) {
        snprintf(why->text, sizeof why->text,
                 "the PIN file %s of the token \"%s\": %s; it must be "
                 "owner-only and hold one line",
                 from->pin_file, from->label, hf_status_text(status));
        return HF_E_MISUSE;
    }
    const struct pkcs11_settings settings = {
        .module_path = from->module,
        .label = from->label,
        .serial = from->serial,
        .pin = pin,
        .sync = from->sync,
        .sync_path = from->sync_path[0] != '\0' ? from->sync_path : NULL,
        .max_sessions = config->limits.token_sessions,
        .queue_max = config->limits.token_queue,
        .clock = slot->clock,
    };
    struct pkcs11_refusal refusal = {.text = ""};
    status = pkcs11_open(&settings, out, &refusal);
    if (status != HF_OK) {
        refuse(slot,
               refusal.text[0] != '\0' ? refusal.text : hf_status_text(status),
               why);
        return status;
    }
    log_event(LOG_INFO, "token.open", LOG_TEXT("label", from->label),
              LOG_TEXT("name", from->name));
    return HF_OK;
}

/* A customers' token is its customers' affair (table 6-A): without it, their
 * calls go the way of an outage or of a refusal, and everybody else's go on. */
static enum hf_status open_customers(void *context, struct token *out)
{
    const struct app_token_slot *slot = context;
    struct app_failure why = {.text = ""};
    enum hf_status status = open_token(slot, out, &why);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "token.unavailable",
                  LOG_TEXT("name", slot->from->name),
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_TEXT("why", why.text),
                  LOG_TEXT("what", "it is tried again; until then, what "
                                   "needs it is refused or served without it"));
    }
    return status;
}

/* One of the service's mirrored tokens: the others serve without it. */
static enum hf_status open_mirror(void *context, struct token *out)
{
    const struct app_token_slot *slot = context;
    struct app_failure why = {.text = ""};
    enum hf_status status = open_token(slot, out, &why);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "service_token.unavailable",
                  LOG_TEXT("label", slot->from->label),
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_TEXT("why", why.text));
    }
    return status;
}

static const struct config_domain *find_domain(const struct config *config,
                                               const char *name)
{
    for (size_t i = 0; i < config->domain_count; i++) {
        if (strcmp(config->domains[i].name, name) == 0) {
            return &config->domains[i];
        }
    }
    return NULL;
}

/* --- in processes of their own ------------------------------------------- */

/* alone: no other token can help. */
static HF_STATUS begin_worker(const struct app_tokens *tokens,
                              const struct app_token_slot *slot, bool alone,
                              struct token *out)
{
    static const enum worker_pin pins[] = {
        [CONFIG_PIN_FILE] = WORKER_PIN_FILE,
        [CONFIG_PIN_ACTIVATION] = WORKER_PIN_ACTIVATION,
        [CONFIG_PIN_PAD] = WORKER_PIN_PAD,
    };
    const struct config *config = slot->config;
    const struct config_token *from = slot->from;
    const struct worker_settings settings = {
        .socket = from->worker_socket,
        .program = tokens->program,
        .module = from->module,
        .label = from->label,
        .serial = from->serial,
        .pin = pins[from->pin],
        .pin_file = from->pin_file,
        .activation = from->activation,
        .sync_path = from->sync == PKCS11_SYNC_SYNCFS ? from->sync_path : NULL,
        .max_sessions = config->limits.token_sessions,
        .queue_max = config->limits.token_queue,
        .memory_mb = from->worker_memory_mb,
        .name = from->name[0] != '\0' ? from->name : from->label,
        .wait_ms = alone ? OWN_LOST_WAIT_MS : LOST_WAIT_MS,
        .repeat = alone,
        .clock = slot->clock,
        .log_level = config->log_level,
    };
    return worker_open(&settings, out);
}

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

/* A person may be on his way, for as long as nobody ends the daemon. */
static bool is_awaited(const struct token_state *state)
{
    sigset_t pending;
    return state->condition == TOKEN_AWAITING_ACTIVATION &&
           sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 0 &&
           sigismember(&pending, SIGINT) == 0;
}

/* What the service cannot be without. */
static HF_STATUS wait_for_own(const struct app_token_slot *slot,
                              const struct token *token,
                              struct app_failure *why)
{
    struct token_state state = {.why = ""};
    enum hf_status status = HF_E_TIMEOUT;
    int64_t until_ms = now_ms() + OWN_WAIT_MS;
    bool more = true;
    while (more) {
        status = worker_token_wait(token, LOOK_MS, &state);
        more = status == HF_E_TIMEOUT &&
               (is_awaited(&state) || now_ms() < until_ms);
    }
    if (status != HF_OK) {
        const char *text =
            state.why[0] != '\0' ? state.why : hf_status_text(status);
        refuse(slot, text, why);
    }
    return status;
}

/* --- all of them --------------------------------------------------------- */

static HF_STATUS begin_own(const struct app_tokens *tokens,
                           const struct app_token_slot *slot, struct token *out,
                           struct app_failure *why)
{
    if (slot->from->in_process) {
        return open_token(slot, out, why);
    }
    enum hf_status status = begin_worker(tokens, slot, true, out);
    if (status != HF_OK) {
        refuse(slot, hf_status_text(status), why);
    }
    return status;
}

/* What the service keeps in a token of its own, the token must be able to do:
 * said at the start, not by the first call that needs it. */
static HF_STATUS check_own(const struct app_token_slot *slot,
                           enum token_role role, const struct token *token,
                           struct app_failure *why)
{
    struct token_profile profile;
    char lacks[256];
    token_profile_get(token, &profile);
    token_profile_lacks(&profile, role, lacks, sizeof lacks);
    if (lacks[0] == '\0') {
        return HF_OK;
    }
    snprintf(why->text, sizeof why->text,
             "the token \"%s\" (%s:%zu) cannot hold %s; it lacks: %s",
             slot->from->label, slot->config->path, slot->from->line,
             token_role_words(role), lacks);
    return HF_E_UNSUPPORTED;
}

/* One of those that mirror each other: the others serve without it. */
static HF_STATUS begin_member(struct app_tokens *tokens,
                              struct app_token_slot *slot, struct token *out)
{
    const struct late_settings settings = {
        .open = open_mirror,
        .context = slot,
        .pause_ms = TOKEN_PAUSE_MS,
        .pause_max_ms = TOKENS_WAIT_MS,
    };
    return slot->from->in_process ? late_token_new(&settings, out)
                                  : begin_worker(tokens, slot, false, out);
}

static void wait_for_member(const struct app_token_slot *slot,
                            const struct token *token, int64_t wait_ms)
{
    struct token_state state = {.why = ""};
    int64_t until_ms = now_ms() + wait_ms;
    bool more = !slot->from->in_process;
    if (slot->from->in_process) {
        late_token_wait(token, wait_ms);
    }
    while (more) { /* whether the others will do is decided next */
        more = worker_token_wait(token, LOOK_MS, &state) == HF_E_TIMEOUT &&
               (is_awaited(&state) || now_ms() < until_ms);
    }
}

static HF_STATUS open_mirrored(const struct config *config,
                               const struct clock *clock,
                               struct app_tokens *tokens,
                               struct app_failure *why)
{
    static const struct app_member_opening how = {begin_member,
                                                  wait_for_member};
    return app_service_token_open(config, clock, &how, tokens, why);
}

/* Those of the service: begun all at once, and then waited for. */
static HF_STATUS open_own(const struct config *config,
                          const struct clock *clock, struct app_tokens *tokens,
                          struct app_failure *why)
{
    const struct {
        struct app_token_slot slot;
        struct token *token;
        enum token_role role;
    } own[] = {
        {{config, clock, &config->service_token},
         &tokens->service,
         TOKEN_ROLE_SERVICE     },
        {{config, clock, &config->ak_token},
         &tokens->ak,
         TOKEN_ROLE_AVAILABILITY},
        {{config, clock, &config->sharepoint_ak_token},
         &tokens->sharepoint_ak,
         TOKEN_ROLE_AVAILABILITY},
    };
    size_t count = config->has_sharepoint_ak ? 3 : 2;
    bool mirrored = config->service_mirror_count > 0;
    for (size_t i = mirrored ? 1 : 0; i < count; i++) {
        if (!app_ak_may_be_away(config, own[i].slot.from)) {
            HF_TRY(begin_own(tokens, &own[i].slot, own[i].token, why));
        }
    }
    if (mirrored) {
        HF_TRY(open_mirrored(config, clock, tokens, why));
    }
    for (size_t i = 0; i < count; i++) {
        bool waits = !own[i].slot.from->in_process && (i > 0 || !mirrored);
        if (app_ak_may_be_away(config, own[i].slot.from)) {
            continue;
        }
        if (waits) {
            HF_TRY(wait_for_own(&own[i].slot, own[i].token, why));
        }
        HF_TRY(check_own(&own[i].slot, own[i].role, own[i].token, why));
    }
    return mirrored ? HF_OK
                    : app_service_token_alone(config, &tokens->service, why);
}

static HF_STATUS open_ak_mirrors(const struct config *config,
                                 const struct clock *clock,
                                 struct app_tokens *tokens,
                                 struct app_failure *why)
{
    static const struct app_member_opening how = {begin_member,
                                                  wait_for_member};
    return app_ak_mirrors_open(config, clock, &how, tokens, why);
}

static HF_STATUS begin_customers(const struct config *config,
                                 const struct clock *clock,
                                 struct app_tokens *tokens, size_t i)
{
    const struct config_token *from = &config->tokens[i];
    const struct config_domain *domain =
        find_domain(config, from->custody_domain);
    CHECK(domain != NULL); /* config_load has looked */
    tokens->slots[i] = (struct app_token_slot){config, clock, from};
    tokens->configured[i] = (struct configured_token){
        .name = from->name,
        .token = &tokens->customers[i],
        .custody_domain = from->custody_domain,
        .custodian_key_pem = domain->pem,
    };
    if (!from->in_process) {
        return begin_worker(tokens, &tokens->slots[i], false,
                            &tokens->customers[i]);
    }
    const struct late_settings settings = {
        .open = open_customers,
        .context = &tokens->slots[i],
        .pause_ms = TOKEN_PAUSE_MS,
        .pause_max_ms = TOKEN_PAUSE_MAX_MS,
    };
    return late_token_new(&settings, &tokens->customers[i]);
}

static void wait_for_customers(const struct config *config,
                               const struct app_tokens *tokens)
{
    int64_t until_ms = now_ms() + TOKENS_WAIT_MS;
    struct token_state state;
    for (size_t i = 0; i < tokens->count; i++) {
        if (config->tokens[i].in_process) {
            late_token_wait(&tokens->customers[i], until_ms - now_ms());
        } else {
            HF_IGNORE(worker_token_wait(&tokens->customers[i],
                                        until_ms - now_ms(), &state),
                      "its trouble is its customers' affair (table 6-A)");
        }
    }
}

HF_STATUS app_tokens_open(const struct config *config,
                          const struct clock *clock, struct app_tokens *tokens,
                          struct app_failure *why)
{
    if (!program_find(config->tokend_program, TOKEND_NAME, tokens->program)) {
        log_event(LOG_WARN, "worker.no_program",
                  LOG_TEXT("program", tokens->program));
    }
    HF_TRY(open_own(config, clock, tokens, why));
    HF_TRY(open_ak_mirrors(config, clock, tokens, why));
    size_t count = config->token_count;
    tokens->customers = calloc(count + 1, sizeof *tokens->customers);
    tokens->slots = calloc(count + 1, sizeof *tokens->slots);
    tokens->configured = calloc(count + 1, sizeof *tokens->configured);
    if (tokens->customers == NULL || tokens->slots == NULL ||
        tokens->configured == NULL) {
        snprintf(why->text, sizeof why->text, "out of memory");
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        enum hf_status status = begin_customers(config, clock, tokens, i);
        if (status != HF_OK) {
            snprintf(why->text, sizeof why->text, "the token \"%s\": %s",
                     config->tokens[i].label, hf_status_text(status));
            return status;
        }
        tokens->count++;
    }
    wait_for_customers(config, tokens);
    return HF_OK;
}

static void look(const struct config_token *from, const struct token *token)
{
    if (!from->in_process && token->port != NULL) {
        worker_token_look(token);
    }
}

void app_tokens_look(const struct config *config,
                     const struct app_tokens *tokens)
{
    for (size_t i = 0; i <= config->service_mirror_count; i++) {
        look(app_service_member(config, i),
             app_service_member_token(config, tokens, i));
    }
    look(&config->ak_token, &tokens->ak);
    look(&config->sharepoint_ak_token, &tokens->sharepoint_ak);
    for (size_t i = 0; i < tokens->mirror_count; i++) {
        look(&config->ak_mirrors[i], &tokens->mirrors[i]);
    }
    for (size_t i = 0; i < tokens->count; i++) {
        look(&config->tokens[i], &tokens->customers[i]);
    }
}

void app_tokens_close(struct app_tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++) {
        token_close(&tokens->customers[i]);
    }
    for (size_t i = 0; i < CONFIG_AK_MIRRORS_MAX; i++) {
        token_close(&tokens->mirrors[i]);
    }
    token_close(&tokens->sharepoint_ak);
    token_close(&tokens->ak);
    token_close(&tokens->service);
    free(tokens->customers);
    free(tokens->slots);
    free(tokens->configured);
}
