/* topic: what somebody may wait for a change of. The ledger tells of each
 * topic that a committed change touched, so no use case can forget to; whoever
 * is told reads again. Several changes may be told as one, and one that is told
 * may turn out to be none.
 */
#pragma once

#include "hsm/base/ids.h"

struct service;

enum topic_kind {
    TOPIC_NONE,
    TOPIC_OPERATION, /* id: the operation */
    TOPIC_AUDIT,     /* id: the tenant; nil: the service's own records */
};

struct topic {
    enum topic_kind kind;
    struct hf_id id;
};

/* Called on the thread that committed; must not block and not call back. */
typedef void topic_fn(void *context, const struct topic *topic);

/* topics_watch: from now on changed is called; NULL: nobody any more, and when
 * it returns none is being called. One watcher.
 *
 * Threads   safe from any.
 */
void topics_watch(struct service *service, topic_fn *changed, void *context);
