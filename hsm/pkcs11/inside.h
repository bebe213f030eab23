/* inside: what the files of this adapter share about one open token.
 *
 * struct p11_token lives from pkcs11_open until its last thread has ended.
 * struct p11_work is one attempt on one thread: its session, and what the
 * module said last. Every module call goes through P11_CALL, so that no code is
 * looked at in two ways.
 *
 * Locks: token->lock guards what says so below; it is never held during a
 * module call, with one exception named in repair.c.
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret.h"

#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/pkcs11/rv.h"
#include "hsm/token/ability.h"
#include "hsm/token/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define P11_SESSIONS_MAX  32
#define P11_ANCHORS_MAX   8
#define P11_KEYS_CACHED   64
#define P11_ROOT_SEATS    2
#define P11_MISSING_KNOWN 64

/* What sessions are for. A thread of the root lane works on one and tries an
 * unwrapped key out on another, while it makes that key on an anchor. Anchors
 * hold their sessions as long as an object lives on them, so their number is
 * bounded by what the others leave over (p11_bound_sessions). */
#define P11_SESSIONS_FIXED    2 /* the keeper, the data lane's */
#define P11_SESSIONS_ROOT     2 /* of one root thread, anchors apart */
#define P11_SESSIONS_PER_SEAT (P11_SESSIONS_ROOT + 1)
_Static_assert(PKCS11_SESSIONS_MIN ==
                   P11_SESSIONS_FIXED + P11_SESSIONS_PER_SEAT,
               "one root thread can do everything");

/* A session that owns leased objects and runs no data operation: objects die
 * with the session that made them. Under token->lock. */
struct p11_anchor {
    CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: the place is free */
    size_t objects;            /* made on it and not forgotten */
    bool busy;
    bool retired; /* failed once: keeps its objects, makes no more */
    bool doomed;  /* of an earlier generation: closed when no longer busy */
};

/* A root key that was found. Under token->lock. */
struct p11_cached_key {
    struct token_key key; /* with the fingerprint it really has */
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_HANDLE mac_copy; /* TOKEN_KEY_GENERIC: its session copy */
    uint64_t generation;
    uint64_t used;
};

/* Optional attributes that the token takes and keeps to. */
struct p11_honours {
    bool unwrap_template;
    bool destroyable;
    bool allowed_mechanisms;
    bool copyable;
    /* it makes keys of a session, which take every attribute. One that does not
     * (tpm2-pkcs11) answers a general error to CKA_VERIFY or CKA_ENCRYPT that
     * is not what its key has anyway: it is asked only for what is needed. */
    bool session_keys;
};

/* A root key that a renewed module did not see. Under token->lock. */
struct p11_missing_key {
    struct token_key key;
    int64_t until_ms;
};

struct p11_token {
    struct p11_module *module;
    CK_FUNCTION_LIST *calls;
    struct p11_module_user user;
    struct executor *executor;
    struct secret *pin;
    char *sync_path;
    const struct clock *clock;
    atomic_ulong slot;

    /* written while the token is opened, read-only afterwards */
    struct token_profile profile;
    CK_MECHANISM_TYPE kwp; /* the number under which it knows KWP */
    size_t sessions_max;
    size_t root_seats;
    size_t anchors_max;

    /* moves on when objects are lost: an older object is refused */
    _Atomic uint64_t generation;
    /* moves on when the module is renewed: every handle of an earlier epoch is
     * meaningless */
    _Atomic uint64_t epoch;
    atomic_uint_fast64_t unwraps;
    atomic_int_fast64_t objects;
    _Atomic uint64_t free_private_bytes; /* newer than the profile's */

    pthread_mutex_t lock;
    pthread_cond_t repaired;
    /* does nothing: the log-in ends with the last session; touched by who opens
     * or repairs */
    CK_SESSION_HANDLE keeper;
    size_t sessions_open;
    size_t idle_count;
    CK_SESSION_HANDLE idle[P11_SESSIONS_MAX];
    struct p11_anchor anchors[P11_ANCHORS_MAX];
    struct p11_cached_key keys[P11_KEYS_CACHED];
    uint64_t key_clock;
    struct p11_missing_key missing[P11_MISSING_KNOWN];
    size_t missing_next;
    int64_t log_second;
    uint32_t log_count;
    uint32_t log_dropped;

    void (*lane_alive)(void *self, const char *lane, bool alive);
    void (*thread_lost)(void *self, bool lost);
    void (*pin_offered)(void *self, bool under_way);
    void *lane_self;
    struct token_findings *findings; /* while it is examined, else NULL */
    enum pkcs11_sync sync;
    char label[33];
    char serial[17];
    struct p11_honours honours;
    bool repairing;             /* single flight, under the lock */
    bool pin_refused;           /* never tried again until reopened */
    atomic_bool logged_out;     /* renewed, and not logged in since */
    atomic_bool canary_seen;    /* a key labelled so was there once */
    atomic_bool keys_seen;      /* it held keys at some time */
    atomic_bool destroy_failed; /* an empty search is no proof any more */
};

struct p11_work {
    struct p11_token *token;
    CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: none yet */
    uint64_t epoch;            /* that the session belongs to */
    bool suspect;              /* a call failed: the session is closed,
                                  whatever state the module left it in */
    bool broken;               /* and it was the session's or device's fault */
    /* what the first of those codes meant that are never about the request: a
     * probe that met one has not shown that the token lacks anything */
    enum hf_status trouble;
    uint64_t generation; /* as of the attempt's begin */
    /* what the module said last, when it was not CKR_OK */
    CK_RV rv;
    enum rv_kind kind;
    const char *function;
};

/* p11_result: notes what a module call answered; its status after table 6-A. */
static inline enum hf_status p11_result(struct p11_work *work,
                                        const char *function, CK_RV rv)
{
    if (__builtin_expect(rv == CKR_OK, 1)) {
        return HF_OK;
    }
    struct rv_meaning meaning = rv_meaning(rv);
    work->rv = rv;
    work->kind = meaning.kind;
    work->function = function;
    work->suspect = true;
    work->broken = work->broken || meaning.broken;
    if (work->trouble == HF_OK && rv_is_trouble(&meaning)) {
        work->trouble = meaning.status;
    }
    return meaning.status;
}

#define P11_CALL(work, name, ...)                                              \
    p11_result((work), #name, (work)->token->calls->name(__VA_ARGS__))

/* p11_work_begin: an attempt with no session yet. */
struct p11_work p11_work_begin(struct p11_token *token);

/* p11_log: what a status cannot carry: the code, the function and the token;
 * at most a few lines a second for each token, the rest is counted. */
void p11_log(struct p11_work *work, const char *event, enum hf_status status);

/* p11_descriptors_left: false when this process can open nothing more. Some
 * modules then say "no such key", and go on to say so: their view counts as
 * stale from then on (p11_module_renew; ). */
bool p11_descriptors_left(struct p11_token *token);
