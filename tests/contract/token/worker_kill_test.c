/* kill -9 of a worker under load: every request is answered exactly once, with
 * its own answer or HF_E_UNREACHABLE, and the next worker serves.
 *
 * Several threads ask batches of both lanes; the process is killed at any
 * moment. Nothing is said about when: that is for the kernel to choose. Every
 * other worker takes few requests at once, so that both ends are always at
 * their bound: what is over it is HF_E_OVERLOAD, and no trouble for the rest.
 */
#include "hsm/base/check.h"

#include "tests/contract/token/calls.h"
#include "tests/fakes/token_fake.h"
#include "tests/support/spawned_worker.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS  40
#define THREADS 4
#define BATCH   48
#define TEXTS   16
#define FEW     8
/* so many answers before the end */
#define DONE_FIRST 1000

static const char *const texts[TEXTS] = {"a", "b", "c", "d", "e", "f",
                                         "g", "h", "i", "j", "k", "l",
                                         "m", "n", "o", "p"};

/* One worker and what is known of it. */
struct round {
    struct token token;
    bool bounded;
    struct token_key_report mac;
    uint8_t expected[TEXTS][HF_SHA256_BYTES];
    atomic_int lost;
    atomic_size_t done; /* answered HF_OK */
};

struct one {
    struct token_request request;
    struct token_key_report report;
    struct token_key_report reports[4];
    atomic_int answered;
    atomic_size_t *left;
};

struct asker {
    struct round *round;
    unsigned seed;
    pthread_t thread;
    struct one ones[BATCH];
};

static void count_answer(struct token_request *request)
{
    struct one *one = request->owner;
    atomic_fetch_add(&one->answered, 1);
    atomic_fetch_sub(one->left, 1);
}

static void prepare(struct asker *asker, struct one *one, size_t *text)
{
    static const enum token_op ops[] = {TOKEN_OP_MAC,  TOKEN_OP_MAC,
                                        TOKEN_OP_MAC,  TOKEN_OP_HEALTH,
                                        TOKEN_OP_FIND, TOKEN_OP_LIST};
    struct token_request *request = &one->request;
    *request = (struct token_request){
        .op = ops[(size_t)rand_r(&asker->seed) % HF_COUNT(ops)],
        .attempt_ms = 60000,
        .status = HF_E_INTERNAL,
        .done = count_answer,
        .owner = one,
    };
    *text = (size_t)rand_r(&asker->seed) % TEXTS;
    if (request->op == TOKEN_OP_MAC) {
        request->u.mac.key = asker->round->mac.key;
        request->u.mac.in = bytes_of_text(texts[*text]);
    } else if (request->op == TOKEN_OP_FIND) {
        request->u.find.key = asker->round->mac.key;
        request->u.find.report = &one->report;
    } else if (request->op == TOKEN_OP_LIST) {
        request->u.list.reports = one->reports;
        request->u.list.cap = HF_COUNT(one->reports);
    }
    atomic_store(&one->answered, 0);
}

static void check(const struct round *round, struct one *one, size_t text)
{
    const struct token_request *request = &one->request;
    CHECK(one->answered == 1);
    if (request->status != HF_OK) {
        CHECK(request->status == HF_E_UNREACHABLE ||
              (round->bounded && request->status == HF_E_OVERLOAD));
        return;
    }
    if (request->op == TOKEN_OP_MAC) {
        CHECK(equal_constant_time(request->u.mac.out, round->expected[text],
                                  HF_SHA256_BYTES));
    } else if (request->op == TOKEN_OP_FIND) {
        CHECK(strcmp(one->report.label, round->mac.label) == 0);
    } else if (request->op == TOKEN_OP_LIST) {
        CHECK(request->u.list.count == 1);
        CHECK(strcmp(one->reports[0].label, round->mac.label) == 0);
    }
}

/* Whether the worker is still there. */
static bool ask_a_batch(struct asker *asker)
{
    struct token_request *requests[BATCH];
    size_t text[BATCH];
    size_t count = 1 + (size_t)rand_r(&asker->seed) % BATCH;
    atomic_size_t left = count;
    const struct timespec nap = {.tv_nsec = 50000};
    bool there = true;
    for (size_t i = 0; i < count; i++) {
        prepare(asker, &asker->ones[i], &text[i]);
        asker->ones[i].left = &left;
        requests[i] = &asker->ones[i].request;
    }
    token_submit(&asker->round->token, requests, count);
    for (int naps = 0; atomic_load(&left) > 0 && naps < 600000; naps++) {
        nanosleep(&nap, NULL);
    }
    CHECK(left == 0);
    for (size_t i = 0; i < count; i++) {
        check(asker->round, &asker->ones[i], text[i]);
        enum hf_status status = asker->ones[i].request.status;
        there = there && status != HF_E_UNREACHABLE;
        atomic_fetch_add(&asker->round->done, status == HF_OK ? 1 : 0);
    }
    return there;
}

static void *ask(void *argument)
{
    struct asker *asker = argument;
    while (ask_a_batch(asker)) {
    }
    CHECK(!ask_a_batch(asker)); /* lost for good */
    return NULL;
}

static void count_lost(void *self, struct worker_link *link)
{
    struct round *round = self;
    (void)link;
    atomic_fetch_add(&round->lost, 1);
}

static void open_round(struct round *round)
{
    const struct spawned_settings settings = {
        .what = "fake", .owner = {.lost = count_lost, .self = round}
    };
    atomic_store(&round->lost, 0);
    atomic_store(&round->done, 0);
    assert_ok(spawned_worker_open(&settings, &round->token));
    assert_ok(
        call_generate(&round->token, TOKEN_FOR_RECORD_MAC, 0, 1, &round->mac));
    for (size_t i = 0; i < TEXTS; i++) {
        assert_ok(call_mac(&round->token, &round->mac.key, texts[i],
                           round->expected[i]));
    }
}

static void every_request_is_answered_once(void **state)
{
    static struct round round;
    static struct asker askers[THREADS];
    unsigned seed = 1;
    (void)state;
    for (unsigned n = 0; n < ROUNDS; n++) {
        round.bounded = n % 2 == 1;
        open_round(&round);
        for (size_t i = 0; i < THREADS; i++) {
            askers[i].round = &round;
            askers[i].seed = n * THREADS + (unsigned)i;
            assert_int_equal(
                pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
        }
        while (atomic_load(&round.done) < DONE_FIRST && round.lost == 0) {
            const struct timespec nap = {.tv_nsec = 100000};
            nanosleep(&nap, NULL);
        }
        const struct timespec nap = {.tv_nsec = rand_r(&seed) % 5000000};
        nanosleep(&nap, NULL);
        spawned_worker_kill(&round.token);
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(askers[i].thread, NULL);
        }
        assert_true(round.done >= DONE_FIRST); /* not lost before */
        assert_int_equal(round.lost, 1);
        assert_int_equal(
            worker_link_outstanding(spawned_worker_link(&round.token)), 0);
        token_close(&round.token);
        assert_int_equal(round.lost, 1);
    }
}

static HF_STATUS open_fake(const char *what, size_t queue_max,
                           struct token *out)
{
    const struct token_fake_settings settings = {.label = what,
                                                 .queue_max = queue_max};
    struct token_fake *fake = NULL;
    return token_fake_new(&settings, out, &fake);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_answered_once),
    };
    int worker = spawned_worker_main(argc, argv, open_fake);
    if (worker >= 0) {
        return worker;
    }
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("token_worker_kill", tests, NULL, NULL);
}
