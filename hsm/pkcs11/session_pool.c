#include "hsm/pkcs11/session_pool.h"

#include "hsm/base/check.h"

/* Generations are unique in the process, so that an object of a token that was
 * closed and opened again never looks current. */
static uint64_t next_generation(void)
{
    static _Atomic uint64_t last;
    return atomic_fetch_add(&last, 1) + 1;
}

void p11_bound_sessions(struct p11_token *token)
{
    CHECK(token->sessions_max >= PKCS11_SESSIONS_MIN);
    size_t shared = token->sessions_max - P11_SESSIONS_FIXED;
    size_t seats = shared / P11_SESSIONS_PER_SEAT;
    token->root_seats = seats < P11_ROOT_SEATS ? seats : P11_ROOT_SEATS;
    size_t rest = shared - token->root_seats * P11_SESSIONS_ROOT;
    token->anchors_max = rest < P11_ANCHORS_MAX ? rest : P11_ANCHORS_MAX;
}

static bool reserve(struct p11_token *token)
{
    pthread_mutex_lock(&token->lock);
    bool free = token->sessions_open < token->sessions_max;
    if (free) {
        token->sessions_open += 1;
    }
    pthread_mutex_unlock(&token->lock);
    return free;
}

static void unreserve(struct p11_token *token)
{
    pthread_mutex_lock(&token->lock);
    CHECK(token->sessions_open > 0);
    token->sessions_open -= 1;
    pthread_mutex_unlock(&token->lock);
}

static HF_STATUS session_open(struct p11_work *work,
                              CK_SESSION_HANDLE *out_session)
{
    struct p11_token *token = work->token;
    if (!reserve(token)) {
        return HF_E_RESOURCES;
    }
    enum hf_status status =
        P11_CALL(work, C_OpenSession, atomic_load(&token->slot),
                 CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, out_session);
    if (status != HF_OK) {
        unreserve(token);
    }
    return status;
}

static void session_close(struct p11_token *token, CK_SESSION_HANDLE session)
{
    /* a session that is already gone is closed */
    CK_RV rv = token->calls->C_CloseSession(session);
    (void)rv;
    unreserve(token);
}

static HF_STATUS check_logged_in(struct p11_work *work)
{
    if (!atomic_load_explicit(&work->token->logged_out, memory_order_relaxed)) {
        return HF_OK;
    }
    return p11_result(work, "C_Initialize", CKR_USER_NOT_LOGGED_IN);
}

HF_STATUS p11_session_need(struct p11_work *work)
{
    if (work->session != CK_INVALID_HANDLE) {
        return HF_OK;
    }
    HF_TRY(check_logged_in(work));
    return p11_session_get(work);
}

HF_STATUS p11_session_get(struct p11_work *work)
{
    struct p11_token *token = work->token;
    if (work->session != CK_INVALID_HANDLE) {
        return HF_OK;
    }
    pthread_mutex_lock(&token->lock);
    if (token->idle_count > 0) {
        work->session = token->idle[--token->idle_count];
    }
    pthread_mutex_unlock(&token->lock);
    work->suspect = false;
    work->broken = false;
    work->epoch = atomic_load(&token->epoch);
    if (work->session != CK_INVALID_HANDLE) {
        return HF_OK;
    }
    return session_open(work, &work->session);
}

void p11_session_end(struct p11_work *work)
{
    struct p11_token *token = work->token;
    CK_SESSION_HANDLE session = work->session;
    work->session = CK_INVALID_HANDLE;
    if (session == CK_INVALID_HANDLE ||
        work->epoch != atomic_load(&token->epoch)) {
        return; /* there is none, or it went with its module */
    }
    if (!work->suspect) {
        pthread_mutex_lock(&token->lock);
        CHECK(token->idle_count < HF_COUNT(token->idle));
        token->idle[token->idle_count++] = session;
        pthread_mutex_unlock(&token->lock);
        return;
    }
    work->suspect = false;
    session_close(token, session);
}

HF_STATUS p11_keeper_need(struct p11_work *work)
{
    struct p11_token *token = work->token;
    CK_SESSION_INFO info = {0};
    if (token->keeper != CK_INVALID_HANDLE &&
        token->calls->C_GetSessionInfo(token->keeper, &info) == CKR_OK) {
        return HF_OK;
    }
    if (token->keeper != CK_INVALID_HANDLE) {
        session_close(token, token->keeper);
        token->keeper = CK_INVALID_HANDLE;
    }
    return session_open(work, &token->keeper);
}

void p11_sessions_close_idle(struct p11_token *token)
{
    CK_SESSION_HANDLE stale[P11_SESSIONS_MAX];
    pthread_mutex_lock(&token->lock);
    size_t count = token->idle_count;
    for (size_t i = 0; i < count; i++) {
        stale[i] = token->idle[i];
    }
    token->idle_count = 0;
    pthread_mutex_unlock(&token->lock);
    for (size_t i = 0; i < count; i++) {
        session_close(token, stale[i]);
    }
}

void p11_session_renew(struct p11_work *work)
{
    work->suspect = true;
    p11_session_end(work);
    p11_sessions_close_idle(work->token);
}

enum anchor_choice { ANCHOR_READY, ANCHOR_TO_OPEN, ANCHOR_NONE };

/* Under token->lock. */
static enum anchor_choice choose_anchor(struct p11_token *token,
                                        size_t *out_index)
{
    size_t free = token->anchors_max;
    for (size_t i = 0; i < token->anchors_max; i++) {
        const struct p11_anchor *anchor = &token->anchors[i];
        bool taken = anchor->busy || anchor->retired || anchor->doomed;
        if (!taken && anchor->session != CK_INVALID_HANDLE) {
            *out_index = i;
            return ANCHOR_READY;
        }
        if (!taken && free == token->anchors_max) {
            free = i;
        }
    }
    *out_index = free;
    return free < token->anchors_max ? ANCHOR_TO_OPEN : ANCHOR_NONE;
}

static HF_STATUS anchor_try(struct p11_work *work, size_t *out_index)
{
    struct p11_token *token = work->token;
    pthread_mutex_lock(&token->lock);
    enum anchor_choice choice = choose_anchor(token, out_index);
    work->generation = atomic_load(&token->generation);
    work->epoch = atomic_load(&token->epoch);
    if (choice != ANCHOR_NONE) {
        token->anchors[*out_index].busy = true;
        work->session = token->anchors[*out_index].session;
    }
    pthread_mutex_unlock(&token->lock);
    if (choice == ANCHOR_NONE) {
        return HF_E_RESOURCES;
    }
    work->suspect = false;
    if (choice == ANCHOR_READY) {
        return HF_OK;
    }
    enum hf_status status = session_open(work, &work->session);
    pthread_mutex_lock(&token->lock);
    struct p11_anchor *anchor = &token->anchors[*out_index];
    if (status == HF_OK) {
        anchor->session = work->session;
    } else {
        *anchor = (struct p11_anchor){0};
    }
    pthread_mutex_unlock(&token->lock);
    return status;
}

static bool any_retired(struct p11_token *token)
{
    bool any = false;
    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < P11_ANCHORS_MAX; i++) {
        any = any || token->anchors[i].retired;
    }
    pthread_mutex_unlock(&token->lock);
    return any;
}

HF_STATUS p11_anchor_take(struct p11_work *work, size_t *out_index)
{
    CHECK(work->session == CK_INVALID_HANDLE);
    HF_TRY(check_logged_in(work));
    enum hf_status status = anchor_try(work, out_index);
    if (status == HF_E_RESOURCES) {
        p11_sessions_close_idle(work->token);
        if (any_retired(work->token)) {
            /* anchors that failed once hold the places: going on is worth more
             * than their objects */
            p11_generation_end(work->token, work->generation);
        }
        status = anchor_try(work, out_index);
    }
    return status;
}

/* Under token->lock: empties the place of an anchor that is of no more use;
 * its session, to be closed without the lock, or CK_INVALID_HANDLE. */
static CK_SESSION_HANDLE clear_if_useless(struct p11_anchor *anchor)
{
    bool useless = anchor->doomed || (anchor->retired && anchor->objects == 0);
    if (anchor->busy || !useless) {
        return CK_INVALID_HANDLE;
    }
    CK_SESSION_HANDLE session = anchor->session;
    *anchor = (struct p11_anchor){.session = CK_INVALID_HANDLE};
    return session;
}

bool p11_anchor_give(struct p11_work *work, size_t index, bool made,
                     bool retire)
{
    struct p11_token *token = work->token;
    work->session = CK_INVALID_HANDLE;
    work->suspect = false;
    work->broken = false;
    pthread_mutex_lock(&token->lock);
    struct p11_anchor *anchor = &token->anchors[index];
    bool doomed = anchor->doomed;
    anchor->busy = false;
    anchor->retired = anchor->retired || retire;
    anchor->objects += made ? 1 : 0;
    CK_SESSION_HANDLE useless = clear_if_useless(anchor);
    pthread_mutex_unlock(&token->lock);
    if (useless != CK_INVALID_HANDLE) {
        session_close(token, useless);
    }
    return !doomed;
}

void p11_anchor_less(struct p11_token *token, size_t index, uint64_t generation)
{
    CK_SESSION_HANDLE useless = CK_INVALID_HANDLE;
    pthread_mutex_lock(&token->lock);
    struct p11_anchor *anchor = &token->anchors[index];
    if (atomic_load(&token->generation) == generation && anchor->objects > 0) {
        anchor->objects -= 1;
        useless = clear_if_useless(anchor);
    }
    pthread_mutex_unlock(&token->lock);
    if (useless != CK_INVALID_HANDLE) {
        session_close(token, useless);
    }
}

void p11_generation_end(struct p11_token *token, uint64_t seen)
{
    CK_SESSION_HANDLE dead[P11_ANCHORS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&token->lock);
    if (atomic_load(&token->generation) != seen) {
        pthread_mutex_unlock(&token->lock);
        return;
    }
    atomic_store(&token->generation, next_generation());
    atomic_store(&token->objects, 0);
    for (size_t i = 0; i < P11_ANCHORS_MAX; i++) {
        struct p11_anchor *anchor = &token->anchors[i];
        if (anchor->busy) {
            anchor->doomed = true; /* closed by the thread that is in it */
        } else if (anchor->session != CK_INVALID_HANDLE) {
            dead[count++] = anchor->session;
            *anchor = (struct p11_anchor){0};
        }
    }
    for (size_t i = 0; i < P11_KEYS_CACHED; i++) {
        token->keys[i] = (struct p11_cached_key){0};
    }
    pthread_mutex_unlock(&token->lock);
    for (size_t i = 0; i < count; i++) {
        session_close(token, dead[i]);
    }
}

void p11_sessions_drop(struct p11_token *token)
{
    pthread_mutex_lock(&token->lock);
    atomic_fetch_add(&token->epoch, 1);
    atomic_store(&token->generation, next_generation());
    atomic_store(&token->objects, 0);
    atomic_store(&token->logged_out, true);
    token->sessions_open = 0;
    token->idle_count = 0;
    token->keeper = CK_INVALID_HANDLE;
    for (size_t i = 0; i < P11_ANCHORS_MAX; i++) {
        token->anchors[i] = (struct p11_anchor){.session = CK_INVALID_HANDLE};
    }
    for (size_t i = 0; i < P11_KEYS_CACHED; i++) {
        token->keys[i] = (struct p11_cached_key){.handle = CK_INVALID_HANDLE};
    }
    pthread_mutex_unlock(&token->lock);
}

void p11_sessions_close_all(struct p11_token *token)
{
    p11_generation_end(token, atomic_load(&token->generation));
    p11_sessions_close_idle(token);
    if (token->keeper != CK_INVALID_HANDLE) {
        session_close(token, token->keeper);
        token->keeper = CK_INVALID_HANDLE;
    }
}
