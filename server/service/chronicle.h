/* chronicle: what happens by itself, into the audit chain: how the
 * health of DEPs and customer keys changes, and on which days a key version was
 * used. Looked at once a second, so what comes and goes within one is told as
 * what it came to. After a start every DEP and key counts as healthy until it
 * is known better.
 *
 *   DepHealthChanged, CustomerKeyHealthChanged   from, to
 *   CustomerKeyUsed                              first and last use so far, on
 *                                                the first use of each UTC day
 *
 * A record that cannot be written is tried again; nothing waits for it.
 */
#pragma once

#include "server/service/core.h"

#define CHRONICLE_DEP_HEALTH "DepHealthChanged"
#define CHRONICLE_KEY_HEALTH "CustomerKeyHealthChanged"
#define CHRONICLE_KEY_USED   "CustomerKeyUsed"

HF_STATUS chronicle_open(struct service *service);
/* chronicle_close: no job of it runs any more. NULL-safe. */
void chronicle_close(struct chronicle *chronicle);

/* chronicle_note_use: the version opened a DEP key just now.
 * Threads   safe from any. */
void chronicle_note_use(struct service *service,
                        struct key_version_entry *version);

/* chronicle_round: hands what is due to the pool; called by the scheduler. */
void chronicle_round(struct service *service, int64_t now_ms);
