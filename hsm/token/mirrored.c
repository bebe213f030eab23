#include "hsm/token/mirrored.h"

#include "hsm/base/check.h"

#include "hsm/token/mirrored_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBE_MS  1000
#define QUEUE_MAX 1024

const char *mirror_state_word(enum mirror_state state)
{
    switch (state) {
    case MIRROR_AWAY:
        return "away";
    case MIRROR_STALE:
        return "stale";
    case MIRROR_IN_STEP:
        return "in step";
    case MIRROR_REFUSED:
        return "refused";
    }
    return "unknown";
}

/* --- states --------------------------------------------------------------- */

void mirror_state_set(struct mirrored *self, size_t i, enum mirror_state state,
                      enum hf_status status)
{
    pthread_mutex_lock(&self->lock);
    struct member *member = &self->members[i];
    if (member->report.state != state) {
        member->to_tell = true;
        member->report.state = state;
        pthread_cond_broadcast(&self->news);
    }
    member->report.status = status;
    pthread_mutex_unlock(&self->lock);
}

enum mirror_state mirror_state_get(struct mirrored *self, size_t i)
{
    pthread_mutex_lock(&self->lock);
    enum mirror_state state = self->members[i].report.state;
    pthread_mutex_unlock(&self->lock);
    return state;
}

unsigned mirror_answering(struct mirrored *self)
{
    unsigned found = 0;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->count; i++) {
        const struct member *member = &self->members[i];
        bool there = member->report.state == MIRROR_IN_STEP ||
                     member->report.state == MIRROR_STALE;
        found |= member->verified && there ? MEMBER(i) : 0;
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* --- the port ------------------------------------------------------------- */

static void answer(struct token_request *request, enum hf_status status)
{
    request->status = status;
    request->done(request);
}

static void enqueue(struct mirrored *self, struct token_request *request)
{
    pthread_mutex_lock(&self->lock);
    bool taken = !self->closing && self->queued < QUEUE_MAX;
    if (taken) {
        request->link = NULL;
        *self->queue_end = request;
        self->queue_end = &request->link;
        self->queued++;
        pthread_cond_signal(&self->work);
    }
    pthread_mutex_unlock(&self->lock);
    if (!taken) {
        answer(request, HF_E_OVERLOAD);
    }
}

static void mirrored_submit(void *argument,
                            struct token_request *const *requests, size_t count)
{
    struct mirrored *self = argument;
    for (size_t i = 0; i < count; i++) {
        struct token_request *request = requests[i];
        switch (request->op) {
        case TOKEN_OP_DATA_LIST:
        case TOKEN_OP_DATA_CREATE:
        case TOKEN_OP_DATA_DESTROY:
            enqueue(self, request);
            break;
        case TOKEN_OP_MAC:
        case TOKEN_OP_SIGN:
        case TOKEN_OP_FIND:
        case TOKEN_OP_LIST:
        case TOKEN_OP_HEALTH:
            mirror_relay(self, request);
            break;
        case TOKEN_OP_SEAL:
        case TOKEN_OP_OPEN:
        case TOKEN_OP_GENERATE:
        case TOKEN_OP_UNWRAP:
        case TOKEN_OP_DECRYPT:
        case TOKEN_OP_MINT:
        case TOKEN_OP_DESTROY:
        case TOKEN_OP_FORGET:
            answer(request, HF_E_UNSUPPORTED);
            break;
        }
    }
}

/* The first that answers; when none does, the first. */
static size_t first_there(struct mirrored *self)
{
    unsigned there = mirror_answering(self);
    size_t at = 0;
    while (there != 0 && (there & MEMBER(at)) == 0) {
        at++;
    }
    return at;
}

static void mirrored_profile(void *argument, struct token_profile *out)
{
    struct mirrored *self = argument;
    token_profile_get(&self->members[first_there(self)].token, out);
}

static void mirrored_counters(void *argument, struct token_counters *out)
{
    struct mirrored *self = argument;
    *out = (struct token_counters){.data_ops = 0};
    for (size_t i = 0; i < self->count; i++) {
        struct token_counters one;
        token_counters_get(&self->members[i].token, &one);
        out->data_ops += one.data_ops;
        out->root_ops += one.root_ops;
        out->unwraps += one.unwraps;
        out->refused += one.refused;
        out->objects += one.objects;
    }
}

static void mirrored_state(void *argument, struct token_state *out)
{
    struct mirrored *self = argument;
    token_state_get(&self->members[first_there(self)].token, out);
}

static struct token_request *next_request(struct mirrored *self)
{
    pthread_mutex_lock(&self->lock);
    while (!self->closing && self->queue == NULL) {
        pthread_cond_wait(&self->work, &self->lock);
    }
    struct token_request *request = self->queue;
    if (request != NULL) {
        self->queue = request->link;
        self->queued--;
        if (self->queue == NULL) {
            self->queue_end = &self->queue;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return request;
}

static bool is_closing(struct mirrored *self)
{
    pthread_mutex_lock(&self->lock);
    bool closing = self->closing;
    pthread_mutex_unlock(&self->lock);
    return closing;
}

static void *write_queued(void *argument)
{
    struct mirrored *self = argument;
    for (;;) {
        struct token_request *request = next_request(self);
        if (request == NULL) {
            return NULL;
        }
        if (is_closing(self)) {
            answer(request, HF_E_CANCELLED);
            continue;
        }
        pthread_mutex_lock(&self->data_lock);
        enum hf_status status = mirror_data(self, request);
        pthread_mutex_unlock(&self->data_lock);
        answer(request, status);
    }
}

static void end_threads(struct mirrored *self)
{
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    pthread_cond_broadcast(&self->work);
    pthread_cond_broadcast(&self->news);
    pthread_mutex_unlock(&self->lock);
    if (self->writer_runs) {
        pthread_join(self->writer, NULL);
    }
    if (self->keeper_runs) {
        pthread_join(self->keeper, NULL);
    }
}

/* Closing the members answers what is relayed to them. */
static void mirrored_close(void *argument)
{
    struct mirrored *self = argument;
    end_threads(self);
    for (size_t i = 0; i < self->count; i++) {
        token_close(&self->members[i].token);
    }
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->data_lock);
    pthread_cond_destroy(&self->work);
    pthread_cond_destroy(&self->news);
    free(self);
}

static const struct token_port port = {
    .submit = mirrored_submit,
    .profile = mirrored_profile,
    .counters = mirrored_counters,
    .state = mirrored_state,
    .close = mirrored_close,
};

/* --- life ----------------------------------------------------------------- */

static struct token_key key_named(enum token_key_type type, const char *id)
{
    struct token_key key = {.type = type, .id_len = strlen(id)};
    CHECK(key.id_len <= sizeof key.id);
    memcpy(key.id, id, key.id_len);
    return key;
}

static void fill(struct mirrored *self,
                 const struct mirrored_settings *settings)
{
    pthread_condattr_t monotonic;
    self->settings = *settings;
    self->settings.members = NULL;
    self->count = settings->count;
    if (settings->probe_ms == 0) {
        self->settings.probe_ms = PROBE_MS;
    }
    if (settings->attempt_ms == 0) {
        self->settings.attempt_ms = HF_TOKEN_ROOT_DEADLINE_MS;
    }
    self->mac_key = key_named(TOKEN_KEY_GENERIC, settings->mac_key_id);
    self->sign_key = key_named(TOKEN_KEY_EC, settings->sign_key_id);
    for (size_t i = 0; i < settings->count; i++) {
        self->members[i].token = settings->members[i];
        settings->members[i] = (struct token){0};
    }
    self->queue_end = &self->queue;
    pthread_mutex_init(&self->lock, NULL);
    pthread_mutex_init(&self->data_lock, NULL);
    pthread_cond_init(&self->work, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static HF_STATUS start_threads(struct mirrored *self)
{
    self->writer_runs =
        pthread_create(&self->writer, NULL, write_queued, self) == 0;
    self->keeper_runs =
        self->writer_runs &&
        pthread_create(&self->keeper, NULL, mirror_keeper, self) == 0;
    return self->keeper_runs ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS mirrored_new(const struct mirrored_settings *settings,
                       struct token *out_token,
                       struct mirrored_problem *out_problem)
{
    struct mirrored *self = calloc(1, sizeof *self);
    CHECK(settings->count >= 2 && settings->count <= MIRRORS_MAX);
    out_problem->text[0] = '\0';
    if (self == NULL) {
        for (size_t i = 0; i < settings->count; i++) {
            token_close(&settings->members[i]);
        }
        return HF_E_NO_MEMORY;
    }
    fill(self, settings);
    enum hf_status status = mirror_begin(self, out_problem);
    if (status == HF_OK) {
        status = start_threads(self);
    }
    if (status != HF_OK) {
        mirrored_close(self);
        return status;
    }
    *out_token = (struct token){.port = &port, .self = self};
    return HF_OK;
}

bool token_is_mirrored(const struct token *token)
{
    return token->port == &port;
}

const struct token *mirrored_member(const struct token *token, size_t i)
{
    CHECK(token_is_mirrored(token));
    const struct mirrored *self = token->self;
    CHECK(i < self->count);
    return &self->members[i].token;
}

size_t mirrored_reports(const struct token *token, struct mirror_report *out)
{
    CHECK(token_is_mirrored(token));
    struct mirrored *self = token->self;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->count; i++) {
        out[i] = self->members[i].report;
    }
    pthread_mutex_unlock(&self->lock);
    return self->count;
}
