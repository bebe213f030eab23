#include "hsm/token/late.h"

#include "hsm/base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct late {
    struct late_settings settings;
    struct token token; /* written before open is set, then only read */
    atomic_bool open;
    atomic_int failure; /* enum hf_status, of the last attempt; HF_OK: none */
    pthread_t thread;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    bool tried;
    bool closing;
};

static struct timespec after_ms(int64_t ms)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

/* Whether to try again: false when the token is being closed. */
static bool pause_for(struct late *late, int64_t pause_ms)
{
    const struct timespec until = after_ms(pause_ms);
    int waited = 0;
    pthread_mutex_lock(&late->lock);
    late->tried = true;
    pthread_cond_broadcast(&late->changed);
    while (!late->closing && waited == 0) {
        waited = pthread_cond_timedwait(&late->changed, &late->lock, &until);
    }
    bool go_on = !late->closing;
    pthread_mutex_unlock(&late->lock);
    return go_on;
}

static void *late_main(void *argument)
{
    struct late *late = argument;
    int64_t pause_ms = late->settings.pause_ms;
    enum hf_status status =
        late->settings.open(late->settings.context, &late->token);
    while (status != HF_OK) {
        atomic_store(&late->failure, (int)status);
        if (!pause_for(late, pause_ms)) {
            return NULL;
        }
        pause_ms = pause_ms > late->settings.pause_max_ms / 2
                       ? late->settings.pause_max_ms
                       : 2 * pause_ms;
        status = late->settings.open(late->settings.context, &late->token);
    }
    atomic_store(&late->open, true);
    pthread_mutex_lock(&late->lock);
    late->tried = true;
    pthread_cond_broadcast(&late->changed);
    pthread_mutex_unlock(&late->lock);
    return NULL;
}

static const struct token *opened(struct late *late)
{
    return atomic_load_explicit(&late->open, memory_order_acquire)
               ? &late->token
               : NULL;
}

/* --- the port ------------------------------------------------------------- */

static void late_submit(void *self, struct token_request *const *requests,
                        size_t count)
{
    struct late *late = self;
    const struct token *token = opened(late);
    if (token != NULL) {
        token->port->submit(token->self, requests, count);
        return;
    }
    enum hf_status answer =
        token_answer_while_shut((enum hf_status)atomic_load(&late->failure));
    for (size_t i = 0; i < count; i++) {
        requests[i]->status = answer;
        requests[i]->done(requests[i]);
    }
}

static void late_profile(void *self, struct token_profile *out)
{
    const struct token *token = opened(self);
    *out = (struct token_profile){.label = ""};
    if (token != NULL) {
        token_profile_get(token, out);
    }
}

static void late_counters(void *self, struct token_counters *out)
{
    const struct token *token = opened(self);
    *out = (struct token_counters){.data_ops = 0};
    if (token != NULL) {
        token_counters_get(token, out);
    }
}

static enum token_condition condition_of(enum hf_status failure)
{
    if (failure == HF_OK) {
        return TOKEN_OPENING;
    }
    if (failure == HF_E_UNSUPPORTED) {
        return TOKEN_REFUSED;
    }
    return hf_status_class(failure) == HF_CLASS_DENIED ? TOKEN_PIN_REFUSED
                                                       : TOKEN_UNAVAILABLE;
}

static void late_state(void *self, struct token_state *out)
{
    struct late *late = self;
    const struct token *token = opened(late);
    if (token != NULL) {
        token_state_get(token, out);
        return;
    }
    enum hf_status failure = (enum hf_status)atomic_load(&late->failure);
    *out = (struct token_state){.condition = condition_of(failure)};
    if (failure != HF_OK) {
        HF_IGNORE(text_copy(out->why, sizeof out->why, hf_status_text(failure)),
                  "every text of a status fits");
    }
}

static void late_free(struct late *late)
{
    pthread_mutex_destroy(&late->lock);
    pthread_cond_destroy(&late->changed);
    free(late);
}

static void late_close(void *self)
{
    struct late *late = self;
    pthread_mutex_lock(&late->lock);
    late->closing = true;
    pthread_cond_broadcast(&late->changed);
    pthread_mutex_unlock(&late->lock);
    pthread_join(late->thread, NULL);
    token_close(&late->token);
    late_free(late);
}

static const struct token_port port = {
    .submit = late_submit,
    .profile = late_profile,
    .counters = late_counters,
    .state = late_state,
    .close = late_close,
};

/* --- life ----------------------------------------------------------------- */

HF_STATUS late_token_new(const struct late_settings *settings,
                         struct token *out_token)
{
    CHECK(settings->pause_ms > 0 &&
          settings->pause_ms <= settings->pause_max_ms);
    struct late *late = calloc(1, sizeof *late);
    if (late == NULL) {
        return HF_E_NO_MEMORY;
    }
    late->settings = *settings;
    atomic_init(&late->open, false);
    atomic_init(&late->failure, (int)HF_OK);
    pthread_mutex_init(&late->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&late->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&late->thread, NULL, late_main, late) != 0) {
        late_free(late);
        return HF_E_RESOURCES;
    }
    *out_token = (struct token){.port = &port, .self = late};
    return HF_OK;
}

bool late_token_wait(const struct token *token, int64_t wait_ms)
{
    CHECK(token->port == &port);
    struct late *late = token->self;
    const struct timespec until = after_ms(wait_ms > 0 ? wait_ms : 0);
    int waited = 0;
    pthread_mutex_lock(&late->lock);
    while (!late->tried && waited == 0) {
        waited = pthread_cond_timedwait(&late->changed, &late->lock, &until);
    }
    pthread_mutex_unlock(&late->lock);
    return opened(late) != NULL;
}
