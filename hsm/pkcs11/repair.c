#include "hsm/pkcs11/repair.h"

#include "hsm/pkcs11/login.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/slot.h"

#include <time.h>

/* Waits until nobody else repairs. False after the longest attempt: the one
 * who repairs hangs in the module, and so would we. */
static bool become_repairer(struct p11_token *token)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += HF_TOKEN_ROOT_DEADLINE_MS / 1000;
    pthread_mutex_lock(&token->lock);
    int waited = 0;
    while (token->repairing && waited == 0) {
        waited = pthread_cond_timedwait(&token->repaired, &token->lock, &until);
    }
    bool mine = !token->repairing;
    if (mine) {
        token->repairing = true;
    }
    pthread_mutex_unlock(&token->lock);
    return mine;
}

static void repair_over(struct p11_token *token)
{
    pthread_mutex_lock(&token->lock);
    token->repairing = false;
    pthread_cond_broadcast(&token->repaired);
    pthread_mutex_unlock(&token->lock);
}

/* In no slot. Hardware shows a token that is back by itself; other modules
 * must be made to look. The thread is inside the module and has to come out for
 * it. */
static HF_STATUS look_anew(struct p11_work *work)
{
    struct p11_module *module = work->token->module;
    size_t matches = 0;
    if (work->token->profile.hardware) {
        return HF_E_UNREACHABLE;
    }
    p11_session_end(work);
    p11_module_leave(module);
    enum hf_status status = p11_module_look_anew(module);
    p11_module_enter(module);
    HF_TRY(status);
    HF_TRY(p11_slot_find(work, &matches));
    p11_module_found(module);
    return HF_OK;
}

static HF_STATUS open_somewhere(struct p11_work *work)
{
    enum hf_status status = p11_session_get(work);
    if (status != HF_E_UNREACHABLE) {
        return status;
    }
    /* it may have come back in another slot */
    size_t matches = 0;
    enum hf_status found = p11_slot_find(work, &matches);
    if (found == HF_E_NOT_FOUND) {
        found = look_anew(work);
    }
    if (found != HF_OK) {
        return found == HF_E_NOT_FOUND ? HF_E_UNREACHABLE : found;
    }
    return p11_session_get(work);
}

/* An anchor that a thread is using tells that thread itself. */
static bool anchors_live(struct p11_token *token)
{
    CK_SESSION_HANDLE anchors[P11_ANCHORS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < P11_ANCHORS_MAX; i++) {
        if (!token->anchors[i].busy &&
            token->anchors[i].session != CK_INVALID_HANDLE) {
            anchors[count++] = token->anchors[i].session;
        }
    }
    pthread_mutex_unlock(&token->lock);
    bool live = true;
    for (size_t i = 0; i < count; i++) {
        CK_SESSION_INFO info = {0};
        live =
            live && token->calls->C_GetSessionInfo(anchors[i], &info) == CKR_OK;
    }
    return live;
}

static HF_STATUS repair_alone(struct p11_work *work)
{
    struct p11_token *token = work->token;
    uint64_t before = atomic_load(&token->generation);
    p11_sessions_close_idle(token); /* they may be as stale as ours */
    HF_TRY(open_somewhere(work));
    HF_TRY(p11_keeper_need(work));
    bool logged_in = false;
    HF_TRY(p11_is_logged_in(work, &logged_in));
    bool lost_login = !logged_in && token->profile.login_required;
    if (lost_login || !anchors_live(token)) {
        /* a log-out destroys private session objects, a lost anchor its own */
        p11_generation_end(token, before);
    }
    if (lost_login) {
        const char *why = NULL;
        HF_TRY(p11_login(work, &why));
    }
    atomic_store(&token->logged_out, false);
    return HF_OK;
}

HF_STATUS p11_repair(struct p11_work *work)
{
    work->suspect = true;
    p11_session_end(work);
    if (!become_repairer(work->token)) {
        return HF_E_UNREACHABLE;
    }
    enum hf_status status = repair_alone(work);
    repair_over(work->token);
    if (status == HF_OK) {
        p11_log(work, "token.session_repaired", HF_OK);
        work->rv = CKR_OK; /* what comes next has not failed yet */
    }
    return status;
}

HF_STATUS p11_run_repaired(struct p11_work *work, p11_step_fn *step,
                           void *argument)
{
    work->kind = RV_FINAL;
    enum hf_status status = step(work, argument);
    if (status == HF_OK || work->kind != RV_SESSION) {
        return status;
    }
    HF_TRY(p11_repair(work));
    work->kind = RV_FINAL;
    return step(work, argument);
}
