/* routine: what the data plane does, into the spool: each key that is
 * given out, made or wrapped is recorded before the reply. What is refused is
 * in the other chain (denials.h), and so is what an availability key opens.
 */
#pragma once

#include "server/service/keys.h"

/* routine_is_ready: whether a record would be taken: asked before anything is
 * opened (N41). */
bool routine_is_ready(const struct service *service);
/* routine_record: of a call that came to HF_OK, before it is answered.
 * HF_OK; HF_E_RESOURCES: it must not be answered. */
HF_STATUS routine_record(const struct key_call *call);
/* routine_hold: at the start, what is in the spool against what was signed of
 * it: records that are missing are an alert and an audit record. */
HF_STATUS routine_hold(struct service *service);
