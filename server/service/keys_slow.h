/* keys_slow: the data plane's slow lane, and how a call ends. */
#pragma once

#include "server/service/core.h"
#include "server/service/keys.h"

/* keys_slow_run: serves one struct key_call on a thread of the pool: whatever
 * the hot lane could not. */
void keys_slow_run(void *argument);

/* key_call_finish: the only way a call leaves: result kept on HF_OK, wiped
 * otherwise; done is called. key_call_refuse: with a reason. */
void key_call_finish(struct key_call *call, enum hf_status status);
void key_call_refuse(struct key_call *call, enum reason reason,
                     const char *text);
