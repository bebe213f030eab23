#include "hsm/pkcs11/pkcs11.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "hsm/pkcs11/data.h"
#include "hsm/pkcs11/executor.h"
#include "hsm/pkcs11/generate.h"
#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/mint.h"
#include "hsm/pkcs11/opening.h"
#include "hsm/pkcs11/report.h"
#include "hsm/pkcs11/seal.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/slot.h"
#include "hsm/pkcs11/wrap.h"

#include <stdlib.h>

#define QUEUE_DEFAULT 1024

/* LIST and DATA_LIST results are allocated by the operation. */
static HF_STATUS run_list(struct p11_work *work, struct p11_job *job)
{
    struct token_request *request = &job->request;
    if (request->op == TOKEN_OP_LIST) {
        struct token_key_report *reports = NULL;
        size_t cap = request->u.list.cap < JOB_LIST_MAX ? request->u.list.cap
                                                        : JOB_LIST_MAX;
        HF_TRY(p11_report_list(work, &request->u.list, cap, &reports));
        job->list = reports;
        return HF_OK;
    }
    struct token_data_list *list = &request->u.data_list;
    struct token_data *items = NULL;
    size_t cap = list->cap < JOB_LIST_MAX ? list->cap : JOB_LIST_MAX;
    HF_TRY(p11_data_list(work, list->label, cap, &items, &list->count));
    job->list = items;
    return HF_OK;
}

static HF_STATUS run_op(struct p11_work *work, struct p11_job *job)
{
    struct token_request *request = &job->request;
    switch (request->op) {
    case TOKEN_OP_SEAL:
        return p11_seal(work, &request->u.aead);
    case TOKEN_OP_OPEN:
        return p11_open(work, &request->u.aead);
    case TOKEN_OP_MAC:
        return p11_mac(work, &request->u.mac);
    case TOKEN_OP_FIND:
        return p11_report_find(work, &request->u.find);
    case TOKEN_OP_LIST:
    case TOKEN_OP_DATA_LIST:
        return run_list(work, job);
    case TOKEN_OP_GENERATE:
        return p11_generate(work, &request->u.generate, job->made);
    case TOKEN_OP_UNWRAP:
        return p11_unwrap(work, &request->u.unwrap);
    case TOKEN_OP_DECRYPT:
        return p11_decrypt(work, &request->u.unwrap);
    case TOKEN_OP_MINT:
        return p11_mint(work, request->u.mint);
    case TOKEN_OP_SIGN:
        return p11_sign(work, &request->u.sign);
    case TOKEN_OP_DESTROY:
        return p11_destroy(work, &request->u.destroy);
    case TOKEN_OP_FORGET:
        return p11_forget(work, &request->u.forget);
    case TOKEN_OP_DATA_CREATE:
        return p11_data_create(work, request->u.data, job->made);
    case TOKEN_OP_DATA_DESTROY:
        return p11_data_destroy(work, request->u.data);
    case TOKEN_OP_HEALTH:
        return p11_health(work);
    }
    return HF_E_INVALID;
}

/* a module that cannot open a file says anything but that. */
static enum hf_status ours_first(struct p11_token *token, enum hf_status status)
{
    bool doubtful = hf_status_class(status) == HF_CLASS_TRANSIENT ||
                    hf_status_class(status) == HF_CLASS_MISSING;
    return doubtful && !p11_descriptors_left(token) ? HF_E_RESOURCES : status;
}

/* The data lane's thread keeps its session from one operation to the next; root
 * operations give theirs back. */
struct seat_session {
    CK_SESSION_HANDLE session;
    uint64_t epoch;
};

static struct p11_work work_on(struct p11_token *token,
                               const struct seat_session *seat)
{
    struct p11_work work = p11_work_begin(token);
    if (seat != NULL && seat->epoch == atomic_load(&token->epoch)) {
        work.session = seat->session;
        work.epoch = seat->epoch;
    }
    return work;
}

/* Without memory for it the session is given back like any other. */
static void keep_session(struct p11_work *work, void **seat_state)
{
    if (*seat_state == NULL) {
        *seat_state = calloc(1, sizeof(struct seat_session));
    }
    struct seat_session *seat = *seat_state;
    if (work->suspect || seat == NULL) {
        p11_session_end(work);
    }
    if (seat != NULL) {
        seat->session = work->session;
        seat->epoch = work->epoch;
    }
}

static void run(void *self, struct p11_job *job, void **seat_state)
{
    struct p11_token *token = self;
    if (__builtin_expect(p11_module_down(token->module), 0)) {
        HF_IGNORE(p11_module_renew(token->module),
                  "the operation tells that the module is still down");
    }
    p11_module_enter(token->module);
    struct p11_work work = work_on(token, *seat_state);
    if (job->request.op == TOKEN_OP_UNWRAP ||
        job->request.op == TOKEN_OP_DECRYPT) {
        atomic_fetch_add(&token->unwraps, 1);
    }
    enum hf_status status = run_op(&work, job);
    if (__builtin_expect(status != HF_OK, 0)) {
        status = ours_first(token, status);
        p11_log(&work, "token.failed", status);
    }
    if (token_op_is_data(job->request.op)) {
        keep_session(&work, seat_state);
    } else {
        p11_session_end(&work);
    }
    p11_module_leave(token->module);
    job->request.status = status;
    job->request.rv = work.rv;
}

/* The answer was HF_E_TIMEOUT long ago. */
static void discard(void *self, struct p11_job *job, void **seat_state)
{
    struct p11_token *token = self;
    const struct token_request *request = &job->request;
    p11_module_enter(token->module);
    struct p11_work work = work_on(token, *seat_state);
    free(*seat_state);
    *seat_state = NULL;
    work.suspect = true; /* a session that hung is not one to rely on */
    p11_session_end(&work);
    if (request->status == HF_OK && request->op == TOKEN_OP_UNWRAP) {
        enum hf_status status = p11_forget(&work, &request->u.unwrap.object);
        if (status != HF_OK) {
            p11_log(&work, "token.orphan_object", status);
        }
    }
    if (request->status == HF_OK && (request->op == TOKEN_OP_GENERATE ||
                                     request->op == TOKEN_OP_DATA_CREATE)) {
        p11_undo(&work, job->made);
    }
    p11_session_end(&work);
    p11_module_leave(token->module);
}

static void leave(void *self, void **seat_state)
{
    struct p11_token *token = self;
    p11_module_enter(token->module);
    struct p11_work work = work_on(token, *seat_state);
    p11_session_end(&work);
    p11_module_leave(token->module);
    free(*seat_state);
    *seat_state = NULL;
}

static void lane_alive(void *self, enum p11_lane lane, bool alive)
{
    const struct p11_token *token = self;
    const char *name = lane == LANE_DATA ? "data" : "root";
    if (token->lane_alive != NULL) {
        token->lane_alive(token->lane_self, name, alive);
    }
    if (alive) {
        log_event(LOG_WARN, "token.lane_back", LOG_TEXT("token", token->label),
                  LOG_TEXT("lane", name));
        return;
    }
    log_event(LOG_ERROR, "token.lane_lost", LOG_TEXT("token", token->label),
              LOG_TEXT("lane", name),
              LOG_TEXT("what",
                       "every thread of this lane is in a call of the module "
                       "that does not return; it answers nothing until one "
                       "does, or the service is started anew"));
}

static void thread_lost(void *self, bool lost)
{
    const struct p11_token *token = self;
    if (token->thread_lost != NULL) {
        token->thread_lost(token->lane_self, lost);
    }
}

static void gone(void *self)
{
    p11_token_free(self);
}

static void port_submit(void *self, struct token_request *const *requests,
                        size_t count)
{
    struct p11_token *token = self;
    executor_submit(token->executor, requests, count);
}

static void port_profile(void *self, struct token_profile *out)
{
    struct p11_token *token = self;
    *out = token->profile;
    out->free_private_bytes = atomic_load(&token->free_private_bytes);
}

static void port_counters(void *self, struct token_counters *out)
{
    struct p11_token *token = self;
    struct executor_counts counts;
    executor_counts(token->executor, &counts);
    int64_t objects = atomic_load(&token->objects);
    *out = (struct token_counters){
        .data_ops = counts.started[LANE_DATA],
        .root_ops = counts.started[LANE_ROOT],
        .unwraps = atomic_load(&token->unwraps),
        .refused = counts.refused,
        .objects = objects > 0 ? (uint64_t)objects : 0,
    };
}

static void port_state(void *self, struct token_state *out)
{
    struct p11_token *token = self;
    pthread_mutex_lock(&token->lock);
    bool refused = token->pin_refused;
    pthread_mutex_unlock(&token->lock);
    *out = (struct token_state){.condition =
                                    refused ? TOKEN_PIN_REFUSED : TOKEN_OPEN};
}

static void port_close(void *self)
{
    struct p11_token *token = self;
    executor_stop(token->executor); /* frees the token, then or later */
}

static const struct token_port port = {
    .submit = port_submit,
    .profile = port_profile,
    .counters = port_counters,
    .state = port_state,
    .close = port_close,
};

HF_STATUS pkcs11_open(const struct pkcs11_settings *settings,
                      struct token *out_token,
                      struct pkcs11_refusal *out_refusal)
{
    *out_refusal = (struct pkcs11_refusal){0};
    struct p11_token *token = NULL;
    HF_TRY(p11_opening_run(settings, NULL, &token, out_refusal));
    const struct executor_settings executor = {
        .queue_max =
            settings->queue_max > 0 ? settings->queue_max : QUEUE_DEFAULT,
        .root_seats = token->root_seats,
        .clock = token->clock,
    };
    const struct executor_owner owner = {.run = run,
                                         .discard = discard,
                                         .leave = leave,
                                         .lane_alive = lane_alive,
                                         .thread_lost = thread_lost,
                                         .gone = gone,
                                         .self = token};
    enum hf_status status = executor_start(&executor, &owner, &token->executor);
    if (status != HF_OK) {
        p11_token_free(token);
        return status;
    }
    *out_token = (struct token){.port = &port, .self = token};
    return HF_OK;
}

HF_STATUS pkcs11_examine(const struct pkcs11_settings *settings,
                         struct token_profile *out_profile,
                         struct token_findings *out_findings,
                         struct pkcs11_refusal *out_refusal)
{
    *out_refusal = (struct pkcs11_refusal){0};
    *out_findings = (struct token_findings){.broken = ""};
    struct p11_token *token = NULL;
    HF_TRY(p11_opening_run(settings, out_findings, &token, out_refusal));
    *out_profile = token->profile;
    p11_token_free(token);
    return HF_OK;
}
