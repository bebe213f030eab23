#include "tests/fakes/token_fake.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "tests/fakes/token_fake_state.h"

#include <stdlib.h>
#include <time.h>

#define QUEUE_DEFAULT 1024

void fake_queue_add(struct fake_queue *queue, struct token_request *request)
{
    request->link = NULL;
    if (queue->last == NULL) {
        queue->first = request;
    } else {
        queue->last->link = request;
    }
    queue->last = request;
    queue->count += 1;
}

struct token_request *fake_queue_pop(struct fake_queue *queue)
{
    struct token_request *request = queue->first;
    if (request != NULL) {
        queue->first = request->link;
        queue->last = queue->first == NULL ? NULL : queue->last;
        queue->count -= 1;
        request->link = NULL;
    }
    return request;
}

static void tell(struct token_request *request, enum hf_status status)
{
    request->status = status;
    request->done(request);
}

static void pause_ms(int64_t ms)
{
    struct timespec rest = {.tv_sec = ms / 1000,
                            .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) != 0) {
    }
}

static int64_t attempt_ms_of(const struct token_request *request)
{
    if (request->attempt_ms > 0) {
        return request->attempt_ms;
    }
    return token_op_is_data(request->op) ? HF_TOKEN_DATA_DEADLINE_MS
                                         : HF_TOKEN_ROOT_DEADLINE_MS;
}

/* What will happen to one call; decided once, under the lock. */
struct verdict {
    enum hf_status status; /* instead of the operation's own; HF_OK: none */
    bool takes_effect;
    int64_t delay_ms;
    bool kept;
};

/* Time in our queue is not attempt time: such a call is not the
 * token's, and is not counted as one. */
static bool expired(const struct token_fake *fake,
                    const struct token_request *request)
{
    return request->drop_dead_ms != 0 &&
           clock_monotonic_ms(fake->clock) > request->drop_dead_ms;
}

static bool is_fault_key(const struct token_fake *fake,
                         const struct token_request *request)
{
    const struct token_key *key = fake_request_key(request);
    return fake->fault_key_status != HF_OK && key != NULL &&
           bytes_equal(
               (struct bytes){key->id, key->id_len},
               (struct bytes){fake->fault_key.id, fake->fault_key.id_len});
}

static void count_call(struct token_fake *fake, enum token_op op,
                       enum hf_status fault)
{
    fake->faults[op].calls += 1;
    if (fault != HF_OK && hf_status_class(fault) == HF_CLASS_OURS) {
        fake->counters.refused += 1;
    } else if (token_op_is_data(op)) {
        fake->counters.data_ops += 1;
    } else {
        fake->counters.root_ops += 1;
        fake->counters.unwraps +=
            op == TOKEN_OP_UNWRAP || op == TOKEN_OP_DECRYPT ? 1 : 0;
    }
}

/* Lock held. */
static struct verdict decide(struct token_fake *fake,
                             struct token_request *request, bool may_hold)
{
    struct fake_fault *fault = &fake->faults[request->op];
    struct verdict verdict = {.takes_effect = true,
                              .delay_ms = fault->delay_ms};
    if (may_hold && expired(fake, request)) {
        fake->counters.refused += 1;
        return (struct verdict){.status = HF_E_EXPIRED};
    }
    if (may_hold && fault->hold) {
        fake_queue_add(&fake->held, request);
        pthread_cond_broadcast(&fake->held_changed);
        return (struct verdict){.kept = true};
    }
    if (fault->all != HF_OK) {
        verdict.status = fault->all;
        verdict.takes_effect = false;
    } else if (is_fault_key(fake, request)) {
        verdict.status = fake->fault_key_status;
        verdict.takes_effect = false;
    }
    if (fault->nth_in > 0) {
        fault->nth_in -= 1;
        if (fault->nth_in == 0) {
            verdict.status = fault->nth;
            verdict.takes_effect = fault->nth_takes_effect;
        }
    }
    int64_t attempt_ms = attempt_ms_of(request);
    if (verdict.delay_ms > attempt_ms) {
        verdict =
            (struct verdict){.status = HF_E_TIMEOUT, .delay_ms = attempt_ms};
    }
    count_call(fake, request->op, verdict.status);
    return verdict;
}

void fake_answer(struct token_fake *fake, struct token_request *request,
                 bool may_hold)
{
    pthread_mutex_lock(&fake->lock);
    struct verdict verdict = decide(fake, request, may_hold);
    pthread_mutex_unlock(&fake->lock);
    if (verdict.kept) {
        return;
    }
    if (verdict.delay_ms > 0) {
        pause_ms(verdict.delay_ms);
    }
    enum hf_status status = verdict.status;
    if (verdict.takes_effect) {
        status = fake_do(fake, request);
        if (verdict.status != HF_OK) {
            if (status == HF_OK && request->op == TOKEN_OP_DECRYPT) {
                secret_freep(&request->u.unwrap.secret);
            }
            status = verdict.status;
        }
    }
    tell(request, status);
}

static void *lane_main(void *argument)
{
    struct fake_lane *lane = argument;
    struct token_fake *fake = lane->fake;
    pthread_mutex_lock(&fake->lock);
    for (;;) {
        struct token_request *request = NULL;
        while (!fake->closing && lane->queue.first == NULL) {
            pthread_cond_wait(&lane->work, &fake->lock);
        }
        request = fake_queue_pop(&lane->queue);
        bool cancelled = fake->closing;
        pthread_mutex_unlock(&fake->lock);
        if (request == NULL) {
            return NULL;
        }
        if (cancelled) {
            tell(request, HF_E_CANCELLED);
        } else {
            fake_answer(fake, request, true);
        }
        pthread_mutex_lock(&fake->lock);
    }
}

static void fake_submit(void *self, struct token_request *const *requests,
                        size_t count)
{
    struct token_fake *fake = self;
    for (size_t i = 0; i < count; i++) {
        struct fake_lane *lane =
            &fake->lanes[token_op_is_data(requests[i]->op)];
        if (fake->settings.inline_answers) {
            fake_answer(fake, requests[i], true);
            continue;
        }
        pthread_mutex_lock(&fake->lock);
        bool taken = lane->queue.count < fake->settings.queue_max;
        if (taken) {
            fake_queue_add(&lane->queue, requests[i]);
            pthread_cond_signal(&lane->work);
        } else {
            fake->counters.refused += 1;
        }
        pthread_mutex_unlock(&fake->lock);
        if (!taken) {
            tell(requests[i], HF_E_OVERLOAD);
        }
    }
}

static void fake_profile(void *self, struct token_profile *out)
{
    struct token_fake *fake = self;
    pthread_mutex_lock(&fake->lock);
    *out = fake->unmet ? (struct token_profile){.label = ""} : fake->profile;
    pthread_mutex_unlock(&fake->lock);
}

static void fake_counters(void *self, struct token_counters *out)
{
    struct token_fake *fake = self;
    pthread_mutex_lock(&fake->lock);
    *out = fake->counters;
    out->objects = fake->object_count;
    pthread_mutex_unlock(&fake->lock);
}

static void fake_free(struct token_fake *fake)
{
    if (fake == NULL) {
        return;
    }
    while (fake->key_count > 0) {
        fake_key_drop(fake, &fake->keys[fake->key_count - 1]);
    }
    if (fake->objects != NULL) {
        wipe(fake->objects, fake->object_count * sizeof *fake->objects);
    }
    free(fake->keys);
    free(fake->data);
    free(fake->objects);
    for (size_t i = 0; i < HF_COUNT(fake->lanes); i++) {
        pthread_cond_destroy(&fake->lanes[i].work);
    }
    pthread_cond_destroy(&fake->held_changed);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

static void fake_close(void *self)
{
    struct token_fake *fake = self;
    pthread_mutex_lock(&fake->lock);
    fake->closing = true;
    for (size_t i = 0; i < HF_COUNT(fake->lanes); i++) {
        pthread_cond_broadcast(&fake->lanes[i].work);
    }
    pthread_mutex_unlock(&fake->lock);
    for (size_t i = 0; i < HF_COUNT(fake->lanes); i++) {
        if (fake->lanes[i].started) {
            pthread_join(fake->lanes[i].thread, NULL);
        }
    }
    for (struct token_request *request = fake_queue_pop(&fake->held);
         request != NULL; request = fake_queue_pop(&fake->held)) {
        tell(request, HF_E_CANCELLED);
    }
    fake_free(fake);
}

static void fake_state(void *self, struct token_state *out)
{
    struct token_fake *fake = self;
    *out = (struct token_state){.condition = TOKEN_OPEN};
    pthread_mutex_lock(&fake->lock);
    if (fake->state_is_set) {
        *out = fake->state;
    }
    pthread_mutex_unlock(&fake->lock);
}

static const struct token_port fake_port = {
    .submit = fake_submit,
    .profile = fake_profile,
    .counters = fake_counters,
    .state = fake_state,
    .close = fake_close,
};

static enum hf_status profile_fill(struct token_fake *fake)
{
    const struct token_fake_settings *settings = &fake->settings;
    fake->profile = (struct token_profile){
        .manufacturer = "Holdfast",
        .model = "fake",
        .login_required = true,
        .oaep_sha256 = !settings->without_oaep_sha256,
        .oaep_sha1 = !settings->without_oaep_sha1,
        .unwrap_to_object = !settings->without_unwrap,
        .aes_kwp = !settings->without_kwp,
        .aes_gcm = true,
        .hmac_sha256 = true,
        .ecdsa_p256 = true,
        .unwrap_template_honoured = true,
        .destroyable_honoured = !settings->destroyable_ignored,
        .hardware = settings->hardware,
        .free_private_bytes = settings->free_private_bytes,
        .total_private_bytes = settings->total_private_bytes,
    };
    HF_TRY(text_copy(fake->profile.label, sizeof fake->profile.label,
                     settings->label == NULL ? "fake" : settings->label));
    return text_copy(fake->profile.serial, sizeof fake->profile.serial,
                     settings->serial == NULL ? "0000000000000001"
                                              : settings->serial);
}

static struct token_fake *fake_alloc(const struct token_fake_settings *settings)
{
    struct token_fake *fake = calloc(1, sizeof *fake);
    if (fake == NULL) {
        return NULL;
    }
    fake->settings = *settings;
    if (settings->queue_max == 0) {
        fake->settings.queue_max = QUEUE_DEFAULT;
    }
    fake->clock = settings->clock == NULL ? clock_system() : settings->clock;
    fake->next_handle = 1;
    fake->generation = 1;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->held_changed, NULL);
    for (size_t i = 0; i < HF_COUNT(fake->lanes); i++) {
        fake->lanes[i].fake = fake;
        pthread_cond_init(&fake->lanes[i].work, NULL);
    }
    fake->keys = calloc(FAKE_KEYS_MAX, sizeof *fake->keys);
    fake->data = calloc(FAKE_DATA_MAX, sizeof *fake->data);
    fake->objects = calloc(FAKE_OBJECTS_MAX, sizeof *fake->objects);
    if (fake->keys == NULL || fake->data == NULL || fake->objects == NULL) {
        fake_free(fake);
        return NULL;
    }
    return fake;
}

HF_STATUS token_fake_new(const struct token_fake_settings *settings,
                         struct token *out_token, struct token_fake **out_fake)
{
    struct token_fake *fake = fake_alloc(settings);
    if (fake == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = profile_fill(fake);
    for (size_t i = 0; status == HF_OK && !settings->inline_answers &&
                       i < HF_COUNT(fake->lanes);
         i++) {
        struct fake_lane *lane = &fake->lanes[i];
        if (pthread_create(&lane->thread, NULL, lane_main, lane) != 0) {
            status = HF_E_RESOURCES;
        }
        lane->started = status == HF_OK;
    }
    if (status != HF_OK) {
        fake_close(fake);
        return status;
    }
    fake->settings.label = NULL; /* the profile has its own copies */
    fake->settings.serial = NULL;
    *out_token = (struct token){.port = &fake_port, .self = fake};
    *out_fake = fake;
    return HF_OK;
}
