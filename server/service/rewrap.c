#include "server/service/rewrap.h"

#include "server/service/keys_slow.h"

#include <stdlib.h>
#include <string.h>

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
};

static void tell(struct key_call *call)
{
    struct waiting *waiting = call->owner;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    pthread_cond_signal(&waiting->answered);
    pthread_mutex_unlock(&waiting->lock);
}

/* The call runs on this thread. If it is parked, because another one is opening
 * the same DEP key, it is answered on another thread of the pool: that one does
 * not wait for us. */
static void run(struct key_call *call)
{
    struct waiting waiting = {.done = false};
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.answered, NULL);
    call->done = tell;
    call->owner = &waiting;
    keys_slow_run(call);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done) {
        pthread_cond_wait(&waiting.answered, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.answered);
    pthread_mutex_destroy(&waiting.lock);
}

HF_STATUS rewrap_resource(struct service *service,
                          const struct tenant_entry *tenant,
                          enum resource_type type, const char *id,
                          struct problem *problem)
{
    struct key_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    call->service = service;
    call->verb = VERB_REWRAP_KEY;
    call->caller = &service_itself;
    call->type = type;
    call->initiator = INITIATOR_SYSTEM;
    call->purpose = SYSTEM_PURPOSE_REWRAP;
    memcpy(call->tenant, tenant->record.name, sizeof call->tenant);
    size_t len = strnlen(id, sizeof call->resource - 1);
    memcpy(call->resource, id, len);
    run(call);
    /* one that never had a key has nothing that could be elsewhere */
    enum hf_status status = call->keyless ? HF_OK : call->status;
    *problem = call->problem;
    secret_free(call->plaintext);
    free(call);
    return status;
}
