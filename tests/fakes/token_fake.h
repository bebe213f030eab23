/* token_fake: an honest token in memory, behind the port of hsm/token.
 *
 * It does what the port says with real keys (OpenSSL): RSA-OAEP, AES-GCM,
 * AES-KWP, HMAC, ECDSA; it keeps keys apart by purpose, forgets session objects
 * when told to, and answers on two threads of its own, one per lane, or inline.
 * What a test cannot ask of a real token, it can ask of this one: fail the nth
 * call, lose an answer, be slow, hold still, lose a key.
 *
 * Every control below may be used from any thread at any time between
 * token_fake_new and token_close; token_close frees the fake.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/clock.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is a well-equipped software token that answers asynchronously. */
struct token_fake_settings {
    const char *label;   /* NULL: "fake" */
    const char *serial;  /* NULL: "0000000000000001" */
    bool inline_answers; /* answers inside submit, on the caller's thread */
    bool hardware;       /* what the profile says, nothing else */
    bool without_oaep_sha256;
    bool without_oaep_sha1;
    bool without_unwrap;      /* UNWRAP: HF_E_UNSUPPORTED */
    bool without_kwp;         /* KWP: HF_E_UNSUPPORTED */
    bool destroyable_ignored; /* CKA_DESTROYABLE=FALSE is not honoured */
    size_t queue_max;         /* per lane; 0: 1024 */
    uint64_t free_private_bytes;
    uint64_t total_private_bytes;
    const struct clock *clock; /* for drop_dead_ms; NULL: clock_system() */
};

struct token_fake;

/* token_fake_new: a new, empty token.
 *
 * Takes     settings; its strings are copied, its clock is borrowed.
 * Gives     *out_token, ended by token_close, which answers what is waiting or
 *           held with HF_E_CANCELLED; *out_fake, valid until then.
 * Returns   HF_OK; HF_E_INVALID for a label or serial that is too long;
 *           HF_E_NO_MEMORY; HF_E_RESOURCES without threads.
 */
HF_STATUS token_fake_new(const struct token_fake_settings *settings,
                         struct token *out_token, struct token_fake **out_fake);

/* token_fake_fail_nth: the nth call of op from now on (1: the next) is answered
 *                  with status and has no effect.
 * token_fake_lose_nth: the nth call takes effect, but its answer is lost: it is
 *                  answered with status (a crash, a time-out).
 * token_fake_fail_all: every call of op, until HF_OK is set or
 * token_fake_clear. token_fake_fail_key: every operation with the root key of
 * this CKA_ID (not LIST), until HF_OK is set or token_fake_clear. One key.
 * token_fake_lie: whether what OPEN gives of a key is another one, with HF_OK.
 * token_fake_clear: takes back all failures, lies and delays; releases nothing.
 */
void token_fake_fail_nth(struct token_fake *fake, enum token_op op, size_t n,
                         enum hf_status status);
void token_fake_lose_nth(struct token_fake *fake, enum token_op op, size_t n,
                         enum hf_status status);
void token_fake_fail_all(struct token_fake *fake, enum token_op op,
                         enum hf_status status);
void token_fake_fail_key(struct token_fake *fake, const uint8_t *id,
                         size_t id_len, enum hf_status status);
void token_fake_lie(struct token_fake *fake, bool lies);
void token_fake_clear(struct token_fake *fake);

/* token_fake_delay: each call of op takes so much longer; one that is longer
 * than the request's attempt time is answered HF_E_TIMEOUT when that is over,
 * without effect. Other calls of the lane wait behind it. 0: none. */
void token_fake_delay(struct token_fake *fake, enum token_op op,
                      int64_t delay_ms);

/* token_fake_hold:     calls of op are kept, without any deadline.
 * token_fake_held:     how many are kept now.
 * token_fake_wait_held: waits until at least count are kept; false when that
 *                      does not happen within timeout_ms.
 * token_fake_release:  does and answers what is kept, in order, on the thread
 *                      of the caller; later calls are kept no more. */
void token_fake_hold(struct token_fake *fake, enum token_op op);
size_t token_fake_held(struct token_fake *fake, enum token_op op);
bool token_fake_wait_held(struct token_fake *fake, enum token_op op,
                          size_t count, int64_t timeout_ms);
void token_fake_release(struct token_fake *fake, enum token_op op);

/* token_fake_drop_objects: as when a session or a worker dies: every session
 * object is gone, and its handle is refused HF_E_PRECONDITION. */
void token_fake_drop_objects(struct token_fake *fake);

/* token_fake_delete_key: behind everybody's back. HF_E_NOT_FOUND. */
HF_STATUS token_fake_delete_key(struct token_fake *fake, const uint8_t *id,
                                size_t id_len);
/* token_fake_edit_key: gives a key other attributes: those of *flags that are
 * booleans, sensitive to unwrap_template (see token_key_report), and its label
 * unless that is empty. They count from the next operation on.
 * HF_E_NOT_FOUND. */
HF_STATUS token_fake_edit_key(struct token_fake *fake, const uint8_t *id,
                              size_t id_len,
                              const struct token_key_report *flags);
/* token_fake_import_ec: an EC P-256 pair that was not made here, for what must
 * be refused. HF_E_EXISTS; HF_E_NO_MEMORY; HF_E_INTERNAL. */
HF_STATUS token_fake_import_ec(struct token_fake *fake, const char *label,
                               const uint8_t *id, size_t id_len);
/* token_fake_copy_key: what a ceremony carries from one token into another.
 * HF_E_NOT_FOUND; HF_E_EXISTS. */
HF_STATUS token_fake_copy_key(struct token_fake *from, struct token_fake *to,
                              const uint8_t *id, size_t id_len);
/* token_fake_state: what it says of itself from now on. */
void token_fake_state(struct token_fake *fake, const struct token_state *state);
/* token_fake_restore: all it holds is in other hardware now. */
HF_STATUS token_fake_restore(struct token_fake *fake, const char *serial);
/* token_fake_unmet: it answers, but nothing is known of it yet. */
void token_fake_unmet(struct token_fake *fake, bool unmet);
void token_fake_capacity(struct token_fake *fake, uint64_t free_private_bytes,
                         uint64_t total_private_bytes);

/* token_fake_calls: calls of op that came to the token, answered in whatever
 * way, since the start. token_fake_keys: root keys there now. */
/* token_fake_confirmed: how many FINDs made sure that a key is missing. */
uint64_t token_fake_confirmed(struct token_fake *fake);
uint64_t token_fake_calls(struct token_fake *fake, enum token_op op);
size_t token_fake_keys(struct token_fake *fake);
