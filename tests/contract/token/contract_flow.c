/* contract_flow: batches, queues, deadlines, counters and the end. */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "tests/contract/token/calls.h"
#include "tests/contract/token/inside.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t done;
};

static void count_done(struct token_request *request)
{
    struct tally *tally = request->owner;
    pthread_mutex_lock(&tally->lock);
    tally->done += 1;
    pthread_cond_signal(&tally->changed);
    pthread_mutex_unlock(&tally->lock);
}

static void wait_for(struct tally *tally, size_t count)
{
    pthread_mutex_lock(&tally->lock);
    while (tally->done < count) {
        pthread_cond_wait(&tally->changed, &tally->lock);
    }
    assert_int_equal(tally->done, count);
    pthread_mutex_unlock(&tally->lock);
}

#define TALLY_EMPTY                                                            \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

/* A full batch of both lanes: each request is answered once, with its own
 * result. */
static void batches_are_answered_one_by_one(void **state)
{
    (void)state;
    static struct token_request requests[TOKEN_BATCH_MAX];
    struct token_request *pointers[TOKEN_BATCH_MAX];
    uint8_t expected[3][HF_SHA256_BYTES];
    static const char *const texts[] = {"a", "b", "c"};
    struct tally tally = TALLY_EMPTY;
    const struct token *own = &contract.token[0];
    for (size_t i = 0; i < 3; i++) {
        assert_ok(call_mac(own, &contract.mac.key, texts[i], expected[i]));
    }
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        requests[i] = (struct token_request){.op = TOKEN_OP_MAC};
        requests[i].u.mac.key = contract.mac.key;
        requests[i].u.mac.in = bytes_of_text(texts[i % 3]);
        if (i % 50 == 7) {
            requests[i] = (struct token_request){.op = TOKEN_OP_HEALTH};
        }
        if (i % 50 == 8) {
            requests[i].u.mac.in.len = TOKEN_MAC_MAX_BYTES + 1;
        }
        requests[i].attempt_ms = 5000;
        requests[i].done = count_done;
        requests[i].owner = &tally;
        pointers[i] = &requests[i];
    }
    token_submit(own, pointers, TOKEN_BATCH_MAX);
    wait_for(&tally, TOKEN_BATCH_MAX);
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        assert_status(requests[i].status, i % 50 == 8 ? HF_E_INVALID : HF_OK);
        if (requests[i].op == TOKEN_OP_MAC && i % 50 != 8) {
            assert_memory_equal(requests[i].u.mac.out, expected[i % 3],
                                HF_SHA256_BYTES);
        }
    }
}

/* what nobody waits for any more does not reach the token. */
static void expired_requests_are_not_started(void **state)
{
    (void)state;
    struct token_counters before;
    struct token_counters after;
    const struct token *own = &contract.token[0];
    struct token_key_report report;
    token_counters_get(own, &before);
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .drop_dead_ms = clock_monotonic_ms(clock_system()) - 1,
        .u.find = {.key = contract.root[0].key, .report = &report},
    };
    assert_status(token_call(own, &request), HF_E_EXPIRED);
    request.op = TOKEN_OP_MAC;
    request.u.mac.key = contract.mac.key;
    request.u.mac.in = BYTES_NONE;
    assert_status(token_call(own, &request), HF_E_EXPIRED);
    token_counters_get(own, &after);
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.data_ops, before.data_ops);
    assert_int_equal(after.refused, before.refused + 2);
    request.drop_dead_ms = clock_monotonic_ms(clock_system()) + 60000;
    assert_ok(token_call(own, &request));
}

/* A key that was perhaps never there is not made sure of: that may cost every
 * lease, and the module's view is old enough for it here. */
static void a_tentative_find_costs_no_lease(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    const struct timespec old = {.tv_sec = 2, .tv_nsec = 200000000};
    struct token_key_report report;
    struct wrapped blob;
    struct token_object object;
    uint8_t key[HF_KEY_BYTES] = {5};
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = contract.root[0].key,
                   .tentative = true,
                   .report = &report},
    };
    assert_ok(
        wrap_for(&contract.root[0], contract.suite, BYTES_OF(key), &blob));
    assert_ok(call_unwrap(own, &contract.root[0].key, contract.suite,
                          (struct bytes){blob.bytes, blob.len}, &object));
    nanosleep(&old, NULL);
    assert_ok(token_call(own, &request));
    assert_memory_equal(report.spki, contract.root[0].spki, report.spki_len);
    request.u.find.key.id[0] ^= 0x55;
    assert_status(token_call(own, &request), HF_E_UNCONFIRMED);
    assert_status(token_call(own, &request), HF_E_UNCONFIRMED);
    assert_ok(call_seal(own, &object, 1, "", BYTES_OF(key), out, &len));
    assert_ok(call_forget(own, &object));
}

static void counters_count(void **state)
{
    (void)state;
    struct token_counters before;
    struct token_counters after;
    const struct token *own = &contract.token[0];
    struct wrapped blob;
    struct token_object object;
    uint8_t key[HF_KEY_BYTES] = {5};
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    assert_ok(
        wrap_for(&contract.root[0], contract.suite, BYTES_OF(key), &blob));
    token_counters_get(own, &before);
    assert_ok(call_unwrap(own, &contract.root[0].key, contract.suite,
                          (struct bytes){blob.bytes, blob.len}, &object));
    assert_ok(call_seal(own, &object, 1, "", BYTES_OF(key), out, &len));
    assert_ok(call_seal(own, &object, 2, "", BYTES_OF(key), out, &len));
    token_counters_get(own, &after);
    assert_int_equal(after.root_ops, before.root_ops + 1);
    assert_int_equal(after.unwraps, before.unwraps + 1);
    assert_int_equal(after.data_ops, before.data_ops + 2);
    assert_int_equal(after.objects, before.objects + 1);
    assert_ok(call_forget(own, &object));
    token_counters_get(own, &after);
    assert_int_equal(after.objects, before.objects);
    assert_int_equal(after.root_ops, before.root_ops + 2);
}

/* However fast a token is, more than it can queue is refused at once. */
static void full_queues_refuse(void **state)
{
    (void)state;
    static struct token_request requests[TOKEN_BATCH_MAX];
    struct token_request *pointers[TOKEN_BATCH_MAX];
    struct tally tally = TALLY_EMPTY;
    struct token small = {0};
    token_close(&contract.token[1]);
    assert_ok(contract_subject->open(1, 4, &small));
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        requests[i] = (struct token_request){
            .op = TOKEN_OP_HEALTH, .done = count_done, .owner = &tally};
        pointers[i] = &requests[i];
    }
    token_submit(&small, pointers, TOKEN_BATCH_MAX);
    wait_for(&tally, TOKEN_BATCH_MAX);
    size_t done = 0;
    size_t refused = 0;
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        done += requests[i].status == HF_OK ? 1 : 0;
        refused += requests[i].status == HF_E_OVERLOAD ? 1 : 0;
    }
    assert_int_equal(done + refused, TOKEN_BATCH_MAX);
    assert_in_range(done, 4, 64);
    struct token_counters counters;
    token_counters_get(&small, &counters);
    assert_int_equal(counters.refused, refused);
    assert_ok(call_health(&small));
    token_close(&small);
    assert_ok(contract_subject->open(1, 0, &contract.token[1]));
}

/* Closing answers everything, whatever had been queued. */
static void close_answers_everything(void **state)
{
    (void)state;
    static struct token_request requests[TOKEN_BATCH_MAX];
    struct token_request *pointers[TOKEN_BATCH_MAX];
    struct tally tally = TALLY_EMPTY;
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        requests[i] = (struct token_request){
            .op = TOKEN_OP_HEALTH, .done = count_done, .owner = &tally};
        pointers[i] = &requests[i];
    }
    token_submit(&contract.token[1], pointers, TOKEN_BATCH_MAX);
    token_close(&contract.token[1]);
    assert_null(contract.token[1].port);
    pthread_mutex_lock(&tally.lock);
    assert_int_equal(tally.done, TOKEN_BATCH_MAX);
    pthread_mutex_unlock(&tally.lock);
    for (size_t i = 0; i < TOKEN_BATCH_MAX; i++) {
        assert_true(requests[i].status == HF_OK ||
                    requests[i].status == HF_E_CANCELLED);
    }
    assert_ok(contract_subject->open(1, 0, &contract.token[1]));
}

/* What a token holds, it holds after it was closed and opened again. */
static void keys_outlive_the_opening(void **state)
{
    (void)state;
    struct token_key_report report;
    struct wrapped blob;
    struct token_object object;
    uint8_t key[HF_KEY_BYTES] = {6};
    if (contract_subject->forgets) {
        skip();
    }
    token_close(&contract.token[1]);
    assert_ok(contract_subject->open(1, 0, &contract.token[1]));
    assert_ok(call_find(&contract.token[1], &contract.root[1].key, &report));
    assert_ok(
        wrap_for(&contract.root[1], contract.suite, BYTES_OF(key), &blob));
    assert_ok(call_unwrap(&contract.token[1], &contract.root[1].key,
                          contract.suite, (struct bytes){blob.bytes, blob.len},
                          &object));
    assert_ok(call_forget(&contract.token[1], &object));
}

size_t contract_flow_tests(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_answered_one_by_one),
        cmocka_unit_test(expired_requests_are_not_started),
        cmocka_unit_test(a_tentative_find_costs_no_lease),
        cmocka_unit_test(counters_count),
        cmocka_unit_test(full_queues_refuse),
        cmocka_unit_test(close_answers_everything),
        cmocka_unit_test(keys_outlive_the_opening),
    };
    memcpy(out, tests, sizeof tests);
    return HF_COUNT(tests);
}
