/* Lending connections: in turn, with an end to waiting. The connections are
 * never opened here. */
#include "server/store/sqlite/sqlite_pool.h"

#include "tests/support/unit.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

struct customer {
    struct sqlite_pool *pool;
    uint32_t wait_ms;
    enum hf_status status;
    int turn; /* in which order it was served */
    int *served;
};

static void *want_one(void *context)
{
    struct customer *customer = context;
    struct connection *connection = NULL;
    customer->status =
        sqlite_pool_take(customer->pool, customer->wait_ms, &connection);
    if (customer->status == HF_OK) {
        /* only one holds the only connection: no other order is possible */
        customer->turn = ++*customer->served;
        sqlite_pool_give(customer->pool, connection);
    }
    return NULL;
}

static void wait_until_last_changes(struct sqlite_pool *pool,
                                    const struct pool_waiter *before)
{
    for (;;) { /* bounded by the test's time-out */
        pthread_mutex_lock(&pool->lock);
        bool changed = pool->last != before;
        pthread_mutex_unlock(&pool->lock);
        if (changed) {
            return;
        }
        usleep(500);
    }
}

static const struct pool_waiter *last_of(struct sqlite_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    const struct pool_waiter *last = pool->last;
    pthread_mutex_unlock(&pool->lock);
    return last;
}

#define CUSTOMERS 5

static void first_come_first_served(void **state)
{
    (void)state;
    struct sqlite_pool pool;
    struct connection *connection = NULL;
    pthread_t threads[CUSTOMERS];
    struct customer customers[CUSTOMERS];
    int served = 0;
    assert_ok(sqlite_pool_new(&pool, 1));
    sqlite_pool_give(&pool, &pool.connections[0]);
    assert_ok(sqlite_pool_take(&pool, 0, &connection));
    for (size_t i = 0; i < CUSTOMERS; i++) {
        customers[i] = (struct customer){
            .pool = &pool, .wait_ms = 30000, .served = &served};
        const struct pool_waiter *before = last_of(&pool);
        assert_int_equal(
            pthread_create(&threads[i], NULL, want_one, &customers[i]), 0);
        wait_until_last_changes(&pool, before);
    }
    /* who gives it back and asks again at once is behind all of them */
    struct customer again = {
        .pool = &pool, .wait_ms = 30000, .served = &served};
    sqlite_pool_give(&pool, connection);
    want_one(&again);
    for (size_t i = 0; i < CUSTOMERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ok(customers[i].status);
        assert_int_equal(customers[i].turn, i + 1);
    }
    assert_int_equal(again.turn, CUSTOMERS + 1);
    assert_int_equal(pool.idle_count, 1);
    sqlite_pool_close(&pool);
}

/* One that gives up, first, in the middle or last, leaves the others in line.*/
static void giving_up_leaves_the_line_in_order(void **state)
{
    (void)state;
    for (size_t impatient = 0; impatient < 3; impatient++) {
        struct sqlite_pool pool;
        struct connection *connection = NULL;
        pthread_t threads[3];
        struct customer customers[3];
        int served = 0;
        assert_ok(sqlite_pool_new(&pool, 1));
        sqlite_pool_give(&pool, &pool.connections[0]);
        assert_ok(sqlite_pool_take(&pool, 0, &connection));
        for (size_t i = 0; i < 3; i++) {
            customers[i] =
                (struct customer){.pool = &pool,
                                  .wait_ms = i == impatient ? 200 : 30000,
                                  .served = &served};
            const struct pool_waiter *before = last_of(&pool);
            assert_int_equal(
                pthread_create(&threads[i], NULL, want_one, &customers[i]), 0);
            wait_until_last_changes(&pool, before);
        }
        assert_int_equal(pthread_join(threads[impatient], NULL), 0);
        assert_status(customers[impatient].status, HF_E_OVERLOAD);
        sqlite_pool_give(&pool, connection);
        int turn = 0;
        for (size_t i = 0; i < 3; i++) {
            if (i != impatient) {
                assert_int_equal(pthread_join(threads[i], NULL), 0);
                assert_ok(customers[i].status);
                assert_int_equal(customers[i].turn, ++turn);
            }
        }
        assert_null(last_of(&pool));
        sqlite_pool_close(&pool);
    }
}

static void waiting_ends_in_time(void **state)
{
    (void)state;
    struct sqlite_pool pool;
    struct connection *connection = NULL;
    struct connection *none = NULL;
    struct timespec from;
    struct timespec to;
    assert_ok(sqlite_pool_new(&pool, 2));
    sqlite_pool_give(&pool, &pool.connections[0]);
    assert_ok(sqlite_pool_take(&pool, 0, &connection));
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_status(sqlite_pool_take(&pool, 120, &none), HF_E_OVERLOAD);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_null(none);
    int64_t ms = (to.tv_sec - from.tv_sec) * 1000 +
                 (to.tv_nsec - from.tv_nsec) / 1000000;
    assert_in_range(ms, 119, 5000);
    assert_status(sqlite_pool_take(&pool, 0, &none), HF_E_OVERLOAD);
    sqlite_pool_give(&pool, connection);
    assert_ok(sqlite_pool_take(&pool, 0, &none));
    assert_ptr_equal(none, connection);
    sqlite_pool_give(&pool, none);
    sqlite_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(giving_up_leaves_the_line_in_order),
        cmocka_unit_test(waiting_ends_in_time),
    };
    return cmocka_run_group_tests_name("connection pool", tests, NULL, NULL);
}
