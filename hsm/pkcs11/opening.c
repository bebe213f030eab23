#include "hsm/pkcs11/opening.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/examine.h"
#include "hsm/pkcs11/login.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/selftest.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/slot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPEN_LIMIT_MS 30000

/* One start in a hundred fails while another process writes to the same token
 * (facts.md). Only what is transient is tried again, and never a PIN. */
#define OPEN_TRIES    4
#define OPEN_PAUSE_MS 50

struct opening {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    bool deserted; /* nobody waits: the thread frees everything */
    char *module_path;
    struct p11_token *token;
    struct pkcs11_refusal refusal;
    uint32_t limit_ms;
    struct token_findings findings;
    enum hf_status status;
};

void p11_token_free(struct p11_token *token)
{
    if (token == NULL) {
        return;
    }
    if (token->module != NULL) {
        p11_module_enter(token->module);
        p11_sessions_close_all(token);
        p11_module_leave(token->module);
        p11_module_part(token->module, &token->user);
    }
    p11_module_release(token->module);
    secret_free(token->pin);
    pthread_mutex_destroy(&token->lock);
    pthread_cond_destroy(&token->repaired);
    free(token->sync_path);
    free(token);
}

static void token_freep(struct p11_token **token)
{
    p11_token_free(*token);
}

static HF_STATUS copy_pin(const struct secret *pin, struct secret **out)
{
    if (pin == NULL) {
        return HF_OK; /* a token with a key pad, or none at all */
    }
    HF_TRY(secret_new(secret_len(pin), out));
    memcpy(secret_writable(*out), secret_bytes(pin), secret_len(pin));
    return HF_OK;
}

static void token_prepare(struct p11_token *token)
{
    pthread_mutex_init(&token->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&token->repaired, &monotonic);
    pthread_condattr_destroy(&monotonic);
    token->sessions_max = P11_SESSIONS_MAX;
    p11_generation_end(token, 0); /* the first one */
}

static HF_STATUS token_new(const struct pkcs11_settings *settings,
                           struct p11_token **out)
{
    struct p11_token *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return HF_E_NO_MEMORY;
    }
    token_prepare(made);
    HF_OWNED(token_freep) struct p11_token *token = made;
    const char *serial = settings->serial != NULL ? settings->serial : "";
    if (settings->label == NULL ||
        text_copy(token->label, sizeof token->label, settings->label) !=
            HF_OK ||
        text_copy(token->serial, sizeof token->serial, serial) != HF_OK) {
        return HF_E_NOT_FOUND; /* longer than any token's */
    }
    token->sync = settings->sync;
    token->lane_alive = settings->lane_alive;
    token->thread_lost = settings->thread_lost;
    token->pin_offered = settings->pin_offered;
    token->lane_self = settings->lane_self;
    token->clock = settings->clock != NULL ? settings->clock : clock_system();
    if (settings->max_sessions > 0 &&
        settings->max_sessions < token->sessions_max) {
        token->sessions_max = settings->max_sessions;
    }
    if (settings->sync == PKCS11_SYNC_SYNCFS) {
        token->sync_path =
            strdup(settings->sync_path != NULL ? settings->sync_path : "");
        if (token->sync_path == NULL) {
            return HF_E_NO_MEMORY;
        }
    }
    HF_TRY(copy_pin(settings->pin, &token->pin));
    *out = HF_GIVE(token);
    return HF_OK;
}

static void explain(struct pkcs11_refusal *refusal, const char *what,
                    const struct p11_work *work)
{
    if (refusal->text[0] != '\0') {
        return; /* somebody nearer to the cause has spoken */
    }
    refusal->rv = work->rv;
    if (work->rv == CKR_OK) {
        snprintf(refusal->text, sizeof refusal->text, "%s", what);
    } else {
        snprintf(refusal->text, sizeof refusal->text, "%s: %s from %s (0x%lx)",
                 what, rv_name(work->rv),
                 work->function != NULL ? work->function : "the module",
                 work->rv);
    }
}

static HF_STATUS find_token(struct p11_work *work,
                            struct pkcs11_refusal *refusal)
{
    size_t matches = 0;
    enum hf_status status = p11_slot_find(work, &matches);
    if (status == HF_E_NOT_FOUND) {
        explain(refusal,
                matches == 0
                    ? "the module has no token with this label and serial"
                    : "several tokens have this label: name the serial too",
                work);
    }
    return status;
}

static HF_STATUS bound_sessions(struct p11_work *work,
                                struct pkcs11_refusal *refusal)
{
    struct p11_token *token = work->token;
    size_t limit = 0;
    HF_TRY(p11_token_info(work, &token->profile, &limit));
    if (limit > 0 && limit < token->sessions_max) {
        token->sessions_max = limit;
    }
    if (token->sessions_max < PKCS11_SESSIONS_MIN) {
        explain(refusal, "five sessions are needed and fewer are allowed",
                work);
        return HF_E_RESOURCES;
    }
    atomic_store(&token->free_private_bytes, token->profile.free_private_bytes);
    p11_bound_sessions(token);
    return HF_OK;
}

static HF_STATUS log_in(struct p11_work *work, struct pkcs11_refusal *refusal)
{
    const char *why = NULL;
    HF_TRY(p11_session_need(work));
    HF_TRY(p11_keeper_need(work));
    enum hf_status status = p11_login(work, &why);
    if (status != HF_OK && why != NULL) {
        explain(refusal, why, work);
    }
    return status;
}

static HF_STATUS open_once(struct p11_work *work,
                           struct pkcs11_refusal *refusal)
{
    HF_TRY(find_token(work, refusal));
    HF_TRY(bound_sessions(work, refusal));
    HF_TRY(log_in(work, refusal));
    struct p11_work test = p11_work_begin(work->token);
    enum hf_status status = p11_selftest(&test, refusal, work->token->findings);
    if (status == HF_OK) {
        status = p11_canary_look(work);
    }
    if (status == HF_OK && work->token->findings != NULL) {
        p11_examine(work, work->token->findings);
    }
    if (status != HF_OK && work->rv == CKR_OK) {
        work->rv = test.rv;
        work->function = test.function;
    }
    return status;
}

static HF_STATUS open_patiently(struct p11_token *token,
                                struct pkcs11_refusal *refusal)
{
    const struct timespec pause = {.tv_nsec = OPEN_PAUSE_MS * 1000000L};
    enum hf_status status = HF_E_INTERNAL;
    for (int i = 0; i < OPEN_TRIES; i++) {
        struct p11_work work = p11_work_begin(token);
        *refusal = (struct pkcs11_refusal){0};
        token->profile = (struct token_profile){0};
        status = open_once(&work, refusal);
        if (status != HF_OK) {
            explain(refusal, "the token cannot be used", &work);
            work.suspect = true;
        }
        p11_session_end(&work);
        /* whatever C_Login said, the PIN is not offered twice */
        bool pin_tried = work.function != NULL && work.rv != CKR_OK &&
                         strcmp(work.function, "C_Login") == 0;
        if (hf_status_class(status) != HF_CLASS_TRANSIENT || pin_tried) {
            return status;
        }
        nanosleep(&pause, NULL);
    }
    return status;
}

/* It may have come since the module was initialised for others. */
static HF_STATUS open_after_looking(struct p11_token *token,
                                    struct pkcs11_refusal *refusal)
{
    p11_module_leave(token->module);
    bool looked = p11_module_look_anew(token->module) == HF_OK;
    p11_module_enter(token->module);
    if (!looked) {
        return HF_E_NOT_FOUND;
    }
    enum hf_status status = open_patiently(token, refusal);
    if (status == HF_OK) {
        p11_module_found(token->module);
    }
    return status;
}

static void reset(void *self)
{
    p11_sessions_drop(self);
}

static HF_STATUS open_module(struct opening *opening)
{
    struct p11_token *token = opening->token;
    CK_RV rv = CKR_OK;
    enum hf_status status =
        p11_module_open(opening->module_path, &token->module, &rv);
    if (status != HF_OK) {
        struct p11_work work = {.rv = rv, .function = "C_Initialize"};
        explain(&opening->refusal, "the module cannot be loaded", &work);
        return status;
    }
    token->calls = p11_module_calls(token->module);
    token->user = (struct p11_module_user){.reset = reset, .self = token};
    p11_module_join(token->module, &token->user);
    p11_module_enter(token->module);
    status = open_patiently(token, &opening->refusal);
    if (status == HF_E_NOT_FOUND) {
        status = open_after_looking(token, &opening->refusal);
    }
    p11_module_leave(token->module);
    opening->refusal.pin_refused = token->pin_refused;
    return status;
}

static void opening_free(struct opening *opening)
{
    p11_token_free(opening->token);
    pthread_mutex_destroy(&opening->lock);
    pthread_cond_destroy(&opening->over);
    free(opening->module_path);
    free(opening);
}

static void *opening_main(void *argument)
{
    struct opening *opening = argument;
    enum hf_status status = open_module(opening);
    pthread_mutex_lock(&opening->lock);
    opening->status = status;
    opening->done = true;
    bool deserted = opening->deserted;
    pthread_cond_signal(&opening->over);
    pthread_mutex_unlock(&opening->lock);
    if (deserted) {
        opening_free(opening);
    }
    return NULL;
}

static HF_STATUS start_thread(struct opening *opening, pthread_t *out)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(out, NULL, opening_main, opening);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? HF_OK : HF_E_RESOURCES;
}

/* False: it did not answer in time, and the thread frees it one day. */
static bool opening_wait(struct opening *opening)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += opening->limit_ms / 1000;
    pthread_mutex_lock(&opening->lock);
    int waited = 0;
    while (!opening->done && waited == 0) {
        waited = pthread_cond_timedwait(&opening->over, &opening->lock, &until);
    }
    bool done = opening->done;
    opening->deserted = !done;
    pthread_mutex_unlock(&opening->lock);
    return done;
}

static HF_STATUS opening_new(const struct pkcs11_settings *settings,
                             struct opening **out)
{
    struct opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_init(&opening->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&opening->over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    opening->limit_ms =
        settings->open_limit_ms > 0 ? settings->open_limit_ms : OPEN_LIMIT_MS;
    opening->module_path =
        strdup(settings->module_path != NULL ? settings->module_path : "");
    enum hf_status status = opening->module_path == NULL
                                ? HF_E_NO_MEMORY
                                : token_new(settings, &opening->token);
    if (status != HF_OK) {
        opening_free(opening);
        return status;
    }
    *out = opening;
    return HF_OK;
}

HF_STATUS p11_opening_run(const struct pkcs11_settings *settings,
                          struct token_findings *out_findings,
                          struct p11_token **out_token,
                          struct pkcs11_refusal *out_refusal)
{
    struct opening *opening = NULL;
    pthread_t thread;
    HF_TRY(opening_new(settings, &opening));
    uint32_t limit_ms = opening->limit_ms;
    if (out_findings != NULL) {
        opening->token->findings = &opening->findings;
    }
    enum hf_status status = start_thread(opening, &thread);
    if (status != HF_OK) {
        opening_free(opening);
        return status;
    }
    if (!opening_wait(opening)) {
        pthread_detach(thread);
        snprintf(out_refusal->text, sizeof out_refusal->text,
                 "the module did not answer within %u s", limit_ms / 1000);
        return HF_E_UNREACHABLE;
    }
    pthread_join(thread, NULL);
    status = opening->status;
    *out_refusal = opening->refusal;
    if (out_findings != NULL) {
        *out_findings = opening->findings;
        opening->token->findings = NULL;
    }
    if (status == HF_OK) {
        *out_token = HF_GIVE(opening->token);
    }
    opening_free(opening);
    return status;
}
