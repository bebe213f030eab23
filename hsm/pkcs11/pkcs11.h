/* pkcs11: the token port on raw Cryptoki (PKCS#11 v2.40).
 *
 * Any module path; a token by label and serial (never a slot number); one
 * login per token, single-flight; a bounded pool of sessions; what was found is
 * cached by CKA_ID and public-key fingerprint. Each module is loaded and
 * initialised once per process, whatever number of its tokens is opened.
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret.h"

#include "hsm/token/ability.h"
#include "hsm/token/token.h"

/* How a mutation of the token becomes durable before it is answered
 * (R-15.11). */
enum pkcs11_sync {
    PKCS11_SYNC_NONE,   /* hardware: durable when the module returns */
    PKCS11_SYNC_SYNCFS, /* SoftHSM: syncfs(2) on the token directory  */
};

/* With fewer sessions a token cannot unwrap; with fewer than eight it does one
 * root operation at a time. */
#define PKCS11_SESSIONS_MIN 5

struct pkcs11_settings {
    const char *module_path;
    const char *label;        /* CKA label of the token */
    const char *serial;       /* NULL or "": any; two matches are refused */
    const struct secret *pin; /* borrowed until pkcs11_open returns */
    enum pkcs11_sync sync;
    const char *sync_path;     /* a directory on the token's file system */
    uint32_t max_sessions;     /* 0: what the token allows, at most 32; else
                                  PKCS11_SESSIONS_MIN or more */
    uint32_t queue_max;        /* per lane; 0: 1024 */
    const struct clock *clock; /* for drop_dead_ms; NULL: clock_system() */
    /* how long all of the opening may take; 0: 30 s. A PIN that is entered at
     * the token itself takes as long as a person does. */
    uint32_t open_limit_ms;
    /* told when every thread of a lane is lost in the module, and when one is
     * back (executor.h): only a new process helps. NULL: nobody is; any
     * thread. */
    void (*lane_alive)(void *self, const char *lane, bool alive);
    /* one call more, or one less, is long past its deadline in the module;
     * NULL: nobody is told; any thread */
    void (*thread_lost)(void *self, bool lost);
    /* the PIN is about to be given to the token, or the token has answered:
     * whoever outlives this process knows whether it may have counted a try;
     * NULL: nobody is told; any thread */
    void (*pin_offered)(void *self, bool under_way);
    void *lane_self;
};

/* Why a token was refused, in words for its operator. Never a secret. */
struct pkcs11_refusal {
    char text[256];
    unsigned long rv;
    bool pin_refused; /* C_Login was asked, and refused this PIN */
};

/* pkcs11_open: loads, finds, logs in, probes the profile and passes the
 * start-up self-test: known answers (GCM with AAD, KWP, OAEP, HMAC, ECDSA as
 * the profile has them), proof that a non-extractable key can be neither read
 * nor wrapped out, that an unwrapped key really is non-extractable, that tags
 * are checked. A token that fails is refused with the reason; one that lacks
 * something serves what it can (token_profile_lacks).
 *
 * Gives     *out_token, closed with token_close; *out_refusal on failure.
 * Returns   HF_OK; HF_E_NOT_FOUND no such token in the module; HF_E_DENIED the
 *           PIN is wrong, locked, on its last try, or expired (never tried
 *           twice); HF_E_UNREACHABLE the module cannot be loaded or does not
 *           answer; HF_E_UNSUPPORTED the self-test failed or a mechanism that
 *           is needed is missing; HF_E_RESOURCES; HF_E_NO_MEMORY.
 * Blocks    as long as the module does, at most open_limit_ms.
 */
HF_STATUS pkcs11_open(const struct pkcs11_settings *settings,
                      struct token *out_token,
                      struct pkcs11_refusal *out_refusal);

/* pkcs11_examine: the whole table of what the token can do, which promises it
 * breaks, and what it could not be tried for. Makes objects in the token and
 * destroys them (hsm/pkcs11/examine.h).
 *
 * Gives     *out_profile, *out_findings.
 * Returns   HF_OK: the table is complete, whatever it says; else as
 *           pkcs11_open, with what was found until then in *out_findings.
 * Blocks    as pkcs11_open.
 */
HF_STATUS pkcs11_examine(const struct pkcs11_settings *settings,
                         struct token_profile *out_profile,
                         struct token_findings *out_findings,
                         struct pkcs11_refusal *out_refusal);
