/* session_pool: sessions, bounded by the token's limits and ours.
 *
 * A session serves one thread at a time. One whose operation failed in a way
 * that puts it in doubt is closed and never reused. Anchors are sessions that
 * own leased objects; when one of them is lost, all objects count as lost: the
 * generation moves on, and whoever holds an older one is told to unwrap again.
 *
 * Threads: safe from any thread.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_bound_sessions: shares sessions_max out, so that whatever the load, what
 * it leaves behind lets the next operation run.
 * Takes     sessions_max, PKCS11_SESSIONS_MIN or more. */
void p11_bound_sessions(struct p11_token *token);

/* p11_session_need: work->session is open afterwards.
 * Returns   HF_OK; HF_E_RESOURCES when none is free; as for
 *           CKR_USER_NOT_LOGGED_IN when the module was renewed and nobody has
 *           logged in since (a search would show nothing then, and no error);
 *           or what C_OpenSession means. */
HF_STATUS p11_session_need(struct p11_work *work);

/* p11_session_get: the same without asking whether the token is logged in: for
 * those who log it in. */
HF_STATUS p11_session_get(struct p11_work *work);

/* p11_session_end: gives work->session back, or closes it when suspect. */
void p11_session_end(struct p11_work *work);

/* p11_session_renew: work->session is closed; the next one is fresh, as long as
 * no idle one is older than this: those are closed too. */
void p11_session_renew(struct p11_work *work);

/* p11_keeper_need: the keeper is open afterwards; one that is not alive is
 * replaced. Takes: single flight, as p11_login. */
HF_STATUS p11_keeper_need(struct p11_work *work);

/* p11_sessions_close_idle: they may be stale. */
void p11_sessions_close_idle(struct p11_token *token);

/* p11_anchor_take: a session of the current generation to make an object on,
 * this thread's until p11_anchor_give.
 *
 * Gives     *out_index; work->session is the anchor's session, and
 *           work->generation the generation it belongs to.
 * Returns   HF_OK; HF_E_RESOURCES; or what C_OpenSession means.
 */
HF_STATUS p11_anchor_take(struct p11_work *work, size_t *out_index);

/* p11_anchor_give: back. made: one more object lives on it; retire: it failed,
 * so that it keeps its objects but makes no more, and is closed when it has
 * none. Returns false when its generation has ended meanwhile: then it is
 * closed, and what was made on it is gone. */
bool p11_anchor_give(struct p11_work *work, size_t index, bool made,
                     bool retire);
/* p11_anchor_less: an object of the anchor is gone. */
void p11_anchor_less(struct p11_token *token, size_t index,
                     uint64_t generation);

/* p11_generation_end: every leased object, cached handle and idle session of
 * the present generation is given up; does nothing when `seen` is past. */
void p11_generation_end(struct p11_token *token, uint64_t seen);

/* p11_sessions_drop: forgets them all, without a call: the module has been
 * finalised. */
void p11_sessions_drop(struct p11_token *token);

/* p11_sessions_close_all: at the end; no thread uses the token any more. */
void p11_sessions_close_all(struct p11_token *token);
