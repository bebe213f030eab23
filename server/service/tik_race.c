#include "server/service/tik_race.h"

#include "hsm/base/check.h"

#include "server/domain/attempt_order.h"

#include "server/service/attempt.h"

#include <stdlib.h>
#include <time.h>

#define LOOK_MS 5 /* at the clock, while the second one waits for its turn */

struct tik_race;

struct racer {
    struct tik_race *race;
    size_t slot;
    struct attempt_asked asked;
    bool sent;
    bool answered; /* by the token; under the race's lock, as the next */
    bool judged;
};

struct tik_race {
    struct service *service;
    struct generation_entry *generation;
    const struct tik_race_rules *rules;
    enum attempt *results;
    struct racer racers[HF_CUSTOMER_KEYS_PER_DEP]; /* in the order asked */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned holders; /* who runs it, and each request under way */
    bool over;        /* there is a result: what comes now is late */
};

/* --- what comes late ---------------------------------------------------- */

static void forgotten(struct token_request *request)
{
    free(request); /* one that could not be destroyed dies with its session */
}

/* discarded and wiped. */
static void discard(struct racer *racer)
{
    struct token_request *late = &racer->asked.request;
    if (late->status != HF_OK) {
        return;
    }
    if (late->op == TOKEN_OP_DECRYPT) {
        secret_freep(&late->u.unwrap.secret);
        return;
    }
    struct token_request *forget = calloc(1, sizeof *forget);
    if (forget != NULL) {
        forget->op = TOKEN_OP_FORGET;
        forget->u.forget = late->u.unwrap.object;
        forget->done = forgotten;
        token_submit(racer->asked.token, &forget, 1);
    }
}

static void let_go(struct tik_race *race)
{
    pthread_mutex_lock(&race->lock);
    bool last = --race->holders == 0;
    pthread_mutex_unlock(&race->lock);
    if (last) {
        pthread_mutex_destroy(&race->lock);
        pthread_cond_destroy(&race->changed);
        free(race);
    }
}

static void answered(struct token_request *request)
{
    struct racer *racer = request->owner;
    struct tik_race *race = racer->race;
    struct service *service = race->service;
    pthread_mutex_lock(&race->lock);
    bool late = race->over;
    racer->answered = true;
    pthread_cond_signal(&race->changed);
    pthread_mutex_unlock(&race->lock);
    if (late) {
        discard(racer);
    }
    let_go(race);
    atomic_fetch_sub(&service->tik_answers_due, 1);
}

void tik_races_wait(struct service *service)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    while (atomic_load(&service->tik_answers_due) > 0) {
        nanosleep(&pause, NULL);
    }
}

/* --- asking ------------------------------------------------------------- */

static bool breaker_skips(struct key_version_entry *version)
{
    pthread_mutex_lock(&version->health_lock);
    bool skips = breaker_is_open(&version->breaker);
    pthread_mutex_unlock(&version->health_lock);
    return skips;
}

/* Sent, or judged at once. */
static void ask(struct tik_race *race, struct racer *racer)
{
    enum attempt *result = &race->results[racer->slot];
    racer->judged = true;
    if (!race->rules->allowed[racer->slot]) {
        *result = ATTEMPT_DENIED;
        return;
    }
    if (breaker_skips(race->generation->versions[racer->slot])) {
        *result = ATTEMPT_TRANSIENT; /* */
        return;
    }
    enum hf_status status = attempt_prepare(race->service, race->generation,
                                            racer->slot, &racer->asked);
    if (status != HF_OK) {
        *result = attempt_of(status);
        return;
    }
    if (liars_has(race->rules->liars, racer->asked.token)) {
        *result = ATTEMPT_BAD_BLOB;
        return;
    }
    racer->judged = false;
    racer->sent = true;
    racer->asked.request.drop_dead_ms = race->rules->drop_dead_ms;
    racer->asked.request.done = answered;
    racer->asked.request.owner = racer;
    atomic_fetch_add(&race->service->tik_answers_due, 1);
    pthread_mutex_lock(&race->lock);
    race->holders++;
    pthread_mutex_unlock(&race->lock);
    struct token_request *request = &racer->asked.request;
    token_submit(racer->asked.token, &request, 1);
}

/* --- waiting and judging ------------------------------------------------ */

static struct racer *next_answered(struct tik_race *race)
{
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        struct racer *racer = &race->racers[i];
        if (racer->answered && !racer->judged) {
            return racer;
        }
    }
    return NULL;
}

static void wait_a_moment(struct tik_race *race)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&race->changed, &race->lock, &until);
}

/* The next answer, or NULL: look at the clock again. */
static struct racer *wait_for_answer(struct tik_race *race)
{
    pthread_mutex_lock(&race->lock);
    struct racer *racer = next_answered(race);
    if (racer == NULL) {
        wait_a_moment(race);
        racer = next_answered(race);
    }
    pthread_mutex_unlock(&race->lock);
    return racer;
}

static HF_STATUS judge(struct tik_race *race, struct racer *racer,
                       struct lease **out_lease)
{
    enum hf_status status = racer->asked.request.status;
    racer->judged = true;
    if (status == HF_OK) {
        status = attempt_finish(race->service, race->generation, &racer->asked,
                                out_lease);
    }
    race->results[racer->slot] = attempt_of(status);
    attempt_note(race->service, race->generation, racer->slot, status);
    return status;
}

/* */
static HF_STATUS run(struct tik_race *race, struct lease **out_lease)
{
    struct racer *first = &race->racers[0];
    struct racer *second = &race->racers[1];
    int64_t begun_ms = service_monotonic_ms(race->service);
    bool second_asked = false;
    ask(race, first);
    for (;;) {
        int64_t waited_ms = service_monotonic_ms(race->service) - begun_ms;
        if (!second_asked &&
            (first->judged ||
             waited_ms >= race->service->settings.tik_offset_ms)) {
            second_asked = true;
            ask(race, second);
        }
        if (first->judged && second_asked && second->judged) {
            return HF_E_UNREACHABLE;
        }
        struct racer *racer = wait_for_answer(race);
        if (racer != NULL && judge(race, racer, out_lease) == HF_OK) {
            return HF_OK;
        }
    }
}

/* What was answered while the winner was looked at is late as well. */
static void end(struct tik_race *race)
{
    struct racer *late = NULL;
    pthread_mutex_lock(&race->lock);
    race->over = true;
    late = next_answered(race);
    pthread_mutex_unlock(&race->lock);
    if (late != NULL) {
        discard(late);
    }
    let_go(race);
}

HF_STATUS tik_race(struct service *service, struct generation_entry *generation,
                   const struct tik_race_rules *rules,
                   enum attempt results[HF_CUSTOMER_KEYS_PER_DEP],
                   struct lease **out_lease)
{
    uint8_t random = 0;
    pthread_condattr_t monotonic;
    HF_TRY(rng_fill(service->settings.rng, &random, sizeof random));
    struct tik_race *race = calloc(1, sizeof *race);
    if (race == NULL) {
        return HF_E_NO_MEMORY;
    }
    race->service = service;
    race->generation = generation;
    race->rules = rules;
    race->results = results;
    race->holders = 1;
    size_t first = first_attempt_slot(random);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        race->racers[i].race = race;
        race->racers[i].slot = i == 0 ? first : 1 - first;
        results[i] = ATTEMPT_TRANSIENT; /* of one that was not waited for */
    }
    pthread_mutex_init(&race->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&race->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum hf_status status = run(race, out_lease);
    end(race);
    return status;
}
