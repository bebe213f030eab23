#include "hsm/base/check.h"

#include "hsm/worker/worker_inside.h"

/* Nothing that outlives the worker is made or destroyed by it. */
static bool may_repeat(enum token_op op)
{
    switch (op) {
    case TOKEN_OP_MAC:
    case TOKEN_OP_FIND:
    case TOKEN_OP_LIST:
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
    case TOKEN_OP_MINT:
    case TOKEN_OP_SIGN:
    case TOKEN_OP_DATA_LIST:
    case TOKEN_OP_HEALTH:
        return true;
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_GENERATE:
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        return false;
    }
    return false;
}

/* The link says so before anybody is answered, or does so just now. */
static bool was_lost(struct worker *worker, uint32_t number)
{
    bool lost = true;
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        const struct worker_place *place = &worker->places[i];
        if (place->link != NULL && place->number == number) {
            lost = place->lost || worker_link_is_lost(place->link);
        }
    }
    return lost;
}

static void repeat(struct token_request *request)
{
    struct worker_repeat *slot = request->owner;
    struct worker *worker = slot->worker;
    uint32_t number = slot->number;
    request->done = slot->done;
    request->owner = slot->owner;
    pthread_mutex_lock(&worker->lock);
    slot->worker = NULL;
    bool again = request->status == HF_E_UNREACHABLE && !worker->closing &&
                 was_lost(worker, number);
    pthread_mutex_unlock(&worker->lock);
    if (again) {
        worker_again(worker, request, number);
    } else {
        request->done(request);
    }
}

void worker_watch(struct worker *worker, struct token_request *request,
                  uint32_t number)
{
    if (!worker->settings.repeat || !may_repeat(request->op)) {
        return;
    }
    for (size_t i = 0; i < WORKER_REPEATS_MAX; i++) {
        struct worker_repeat *slot = &worker->repeats[i];
        if (slot->worker == NULL) {
            *slot = (struct worker_repeat){worker, number, request->done,
                                           request->owner};
            request->done = repeat;
            request->owner = slot;
            return;
        }
    }
}
