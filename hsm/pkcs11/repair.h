/* repair: what an attempt does when the session under it is gone: open
 * a new one, log in again once, and let the operation be repeated once. All of
 * it counts as the same attempt. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_repair: after a call whose kind was RV_SESSION.
 *
 * Takes     work, whose session was closed or is about to be: it is ended here.
 * Gives     a token on which a session opens and is logged in. When an anchor
 *           is lost or the log-in was, the generation has moved on.
 * Returns   HF_OK: repeat the operation once; HF_E_DENIED when the log-in is
 *           refused; HF_E_UNREACHABLE; OURS.
 * Threads   safe from any thread; one repairs, the others wait for it until
 *           their own deadline.
 */
HF_STATUS p11_repair(struct p11_work *work);

/* p11_run_repaired: runs one operation, and once more after a repair.
 * The operation takes its session by p11_session_need. */
typedef enum hf_status p11_step_fn(struct p11_work *work, void *argument);
HF_STATUS p11_run_repaired(struct p11_work *work, p11_step_fn *step,
                           void *argument);
