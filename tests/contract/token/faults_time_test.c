/* Calls that do not come back: deadlines are met, nobody else is delayed, and
 * what comes back late is thrown away. */
#include "hsm/base/check.h"

#include "tests/contract/token/faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MANY         24
#define METRONOME_MS 2
#define TRIES        5

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000,
                            .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* How late this machine woke a thread that did nothing but sleep, at worst,
 * since the test began. What it does to that thread it does to those of the
 * token, and none of it is the token's fault. */
static atomic_llong worst_late_ms;
static atomic_bool metronome_ends;

/* How long calls took on the other token before the test began. */
static int64_t calm_ms;

static void *metronome(void *unused)
{
    while (!metronome_ends) {
        int64_t began = now_ms();
        pause_ms(METRONOME_MS);
        int64_t late = now_ms() - began - METRONOME_MS;
        if (late > worst_late_ms) {
            worst_late_ms = late;
        }
    }
    return unused;
}

/* A deadline is met within a fifth of itself, but no test machine is asked for
 * less than 30 ms; twice it may be late by itself, for the thread that sees the
 * deadline and for the one that waits for the answer. */
static void check_took(int64_t took_ms, int64_t deadline_ms)
{
    int64_t slack = deadline_ms / 5 > 30 ? deadline_ms / 5 : 30;
    int64_t late = worst_late_ms;
    print_message("deadline %d ms, took %d ms, machine late by %d ms\n",
                  (int)deadline_ms, (int)took_ms, (int)late);
    assert_in_range(took_ms, deadline_ms - 2, deadline_ms + slack + 2 * late);
}

struct flight {
    struct token_request request;
    uint8_t out[HF_SEALED_MAX_BYTES];
    pthread_mutex_t *lock;
    pthread_cond_t *landed;
    int64_t landed_ms; /* 0: in the air */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t landed = PTHREAD_COND_INITIALIZER;

static void land(struct token_request *request)
{
    struct flight *flight = request->owner;
    pthread_mutex_lock(&lock);
    assert_int_equal(flight->landed_ms, 0); /* answered exactly once */
    flight->landed_ms = now_ms();
    pthread_cond_broadcast(&landed);
    pthread_mutex_unlock(&lock);
}

static void fly(size_t which, struct flight *flight)
{
    struct token_request *pointer = &flight->request;
    flight->request.done = land;
    flight->request.owner = flight;
    flight->landed_ms = 0;
    token_submit(&rig.token[which], &pointer, 1);
}

static void wait_landed(struct flight *flight)
{
    pthread_mutex_lock(&lock);
    while (flight->landed_ms == 0) {
        pthread_cond_wait(&landed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static struct flight seal_flight(size_t which, int64_t attempt_ms)
{
    static const uint8_t key[HF_KEY_BYTES] = {3};
    return (struct flight){
        .request = {.op = TOKEN_OP_SEAL,
                    .attempt_ms = attempt_ms,
                    .u.aead = {.key = rig.object[which], .in = BYTES_OF(key)}},
    };
}

static void prepare_seal(size_t which, struct flight *flight,
                         int64_t attempt_ms)
{
    *flight = seal_flight(which, attempt_ms);
    flight->request.u.aead.out = flight->out;
    flight->request.u.aead.out_cap = sizeof flight->out;
    flight->request.done = land;
    flight->request.owner = flight;
}

static void fly_seal(size_t which, struct flight *flight, int64_t attempt_ms)
{
    prepare_seal(which, flight, attempt_ms);
    fly(which, flight);
}

static void fly_unwrap(struct flight *flight, int64_t attempt_ms)
{
    *flight = (struct flight){
        .request = {.op = TOKEN_OP_UNWRAP,
                    .attempt_ms = attempt_ms,
                    .u.unwrap = {.key = rig.root[0].key,
                                 .suite = rig.suite,
                                 .wrapped = {rig.blob[0].bytes,
                                             rig.blob[0].len}}},
    };
    fly(0, flight);
}

/* others_take_ms: how long calls on the token that nobody hurts take. */
static int64_t others_take_ms(void)
{
    struct token_key_report report;
    struct token_object object;
    int64_t began = now_ms();
    assert_ok(rig_seal(1));
    assert_ok(rig_unwrap(1, &object));
    assert_ok(call_forget(&rig.token[1], &object));
    assert_ok(call_find(&rig.token[1], &rig.root[1].key, &report));
    return now_ms() - began;
}

/* They would wait for a hang each time they are made; a machine with other work
 * takes long once in a while, and longer as a whole. */
static void check_others_go_on(void)
{
    int64_t took_ms = INT64_MAX;
    for (int i = 0; i < TRIES && took_ms > 150; i++) {
        took_ms = others_take_ms();
    }
    assert_in_range(took_ms, 0, 150 + 3 * calm_ms);
}

static int calm_and_in_time(void **state)
{
    int failed = rig_calm(state);
    if (failed == 0) {
        calm_ms = others_take_ms();
    }
    worst_late_ms = 0;
    return failed;
}

/* Until the token answers again. */
static void wait_well(void)
{
    enum hf_status status = HF_E_TIMEOUT;
    for (int i = 0; i < 100 && status != HF_OK; i++) {
        status = rig_seal(0);
        if (status == HF_OK) {
            status = call_health(&rig.token[0]);
        }
        pause_ms(10);
    }
    assert_ok(status);
}

static void hung_data_operation(void **state)
{
    (void)state;
    struct flight flight;
    struct token_key_report report;
    faults("token=fault-a function=C_Encrypt hang=1");
    int64_t began = now_ms();
    fly_seal(0, &flight, 0);
    pause_ms(20);
    /* the other lane, and the other token */
    assert_ok(call_find(&rig.token[0], &rig.root[0].key, &report));
    check_others_go_on();
    if (now_ms() - began < HF_TOKEN_DATA_DEADLINE_MS) {
        assert_int_equal(flight.landed_ms, 0);
    }
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    check_took(flight.landed_ms - began, HF_TOKEN_DATA_DEADLINE_MS);
    assert_ok(fault_control_clear(&rig.faults));
    wait_well();
    /* the hang cost no session object */
    assert_ok(rig_open_sealed(0));
}

static void hung_root_operation(void **state)
{
    (void)state;
    struct flight flight;
    struct token_counters before;
    struct token_counters after;
    token_counters_get(&rig.token[0], &before);
    faults("token=fault-a function=C_UnwrapKey hang=1\n"
           "token=fault-a function=C_DestroyObject log=1");
    int64_t began = now_ms();
    fly_unwrap(&flight, 400);
    pause_ms(20);
    assert_ok(rig_seal(0));
    assert_ok(rig_open_sealed(0));
    assert_ok(call_health(&rig.token[0])); /* the other root thread */
    check_others_go_on();
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    check_took(flight.landed_ms - began, 400);
    assert_int_equal(
        fault_control_logged(&rig.faults, "fault-a", "C_DestroyObject"), 0);
    /* the key that comes back too late does not stay */
    faults("token=fault-a function=C_DestroyObject log=1");
    for (int i = 0; i < 100 && fault_control_logged(&rig.faults, "fault-a",
                                                    "C_DestroyObject") == 0;
         i++) {
        pause_ms(10);
    }
    assert_int_equal(
        fault_control_logged(&rig.faults, "fault-a", "C_DestroyObject"), 1);
    token_counters_get(&rig.token[0], &after);
    assert_int_equal(after.objects, before.objects);
    assert_ok(rig_seal(0)); /* the other objects of its session live */
}

static void root_deadline_by_default(void **state)
{
    (void)state;
    struct flight flight;
    faults("token=fault-a function=C_UnwrapKey hang=1");
    int64_t began = now_ms();
    fly_unwrap(&flight, 0);
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    check_took(flight.landed_ms - began, HF_TOKEN_ROOT_DEADLINE_MS);
}

/* One call hangs: what waits behind it goes on with another thread, and has not
 * lost its own deadline by waiting. */
static void queued_behind_a_hang(void **state)
{
    (void)state;
    static struct flight flights[MANY];
    faults("token=fault-a function=C_Encrypt hang=1 count=1");
    int64_t began = now_ms();
    for (size_t i = 0; i < MANY; i++) {
        fly_seal(0, &flights[i], 0);
    }
    size_t late = 0;
    for (size_t i = 0; i < MANY; i++) {
        wait_landed(&flights[i]);
        if (flights[i].request.status == HF_E_TIMEOUT) {
            late += 1;
            check_took(flights[i].landed_ms - began, HF_TOKEN_DATA_DEADLINE_MS);
        } else {
            assert_status(flights[i].request.status, HF_OK);
            assert_in_range(flights[i].landed_ms - began, 0,
                            400 + 2 * worst_late_ms);
        }
    }
    assert_int_equal(late, 1);
}

/* An answer that is there does not wait for the next call of its batch. */
static void answered_before_a_hang(void **state)
{
    (void)state;
    static struct flight flights[8];
    faults("token=fault-a function=C_Encrypt hang=1 after=4 count=1");
    int64_t began = now_ms();
    struct token_request *batch[HF_COUNT(flights)];
    for (size_t i = 0; i < HF_COUNT(flights); i++) {
        prepare_seal(0, &flights[i], 0);
        batch[i] = &flights[i].request;
    }
    token_submit(&rig.token[0], batch, HF_COUNT(batch));
    for (size_t i = 0; i < 4; i++) {
        wait_landed(&flights[i]);
        assert_status(flights[i].request.status, HF_OK);
        assert_in_range(flights[i].landed_ms - began, 0,
                        120 + 2 * worst_late_ms);
    }
    wait_landed(&flights[4]);
    assert_status(flights[4].request.status, HF_E_TIMEOUT);
    for (size_t i = 5; i < HF_COUNT(flights); i++) {
        wait_landed(&flights[i]);
        assert_status(flights[i].request.status, HF_OK);
    }
}

/* How many lines of this event the log gets from here to log_end. */
struct log_file {
    FILE *file;
    int real_stderr;
};

static struct log_file log_begin(void)
{
    struct log_file log = {tmpfile(), dup(STDERR_FILENO)};
    assert_non_null(log.file);
    /* reading it must not move where the next line is written */
    assert_int_equal(fcntl(fileno(log.file), F_SETFL, O_APPEND), 0);
    assert_int_equal(dup2(fileno(log.file), STDERR_FILENO), STDERR_FILENO);
    return log;
}

static size_t log_count(const struct log_file *log, const char *event)
{
    char line[1024];
    size_t count = 0;
    rewind(log->file);
    while (fgets(line, sizeof line, log->file) != NULL) {
        count += strstr(line, event) != NULL ? 1 : 0;
    }
    return count;
}

static void log_end(struct log_file *log)
{
    assert_int_equal(dup2(log->real_stderr, STDERR_FILENO), STDERR_FILENO);
    close(log->real_stderr);
    fclose(log->file);
}

/* Threads are not lost without end: after a few, a lane answers at once that
 * its token cannot be reached, until the token comes back. */
static void everything_hangs(void **state)
{
    (void)state;
    struct flight flight;
    size_t timeouts = 0;
    size_t at_once = 0;
    struct token_key_report report;
    struct log_file log = log_begin();
    faults("token=fault-a function=C_Encrypt hang=1");
    for (size_t i = 0; i < 12; i++) {
        int64_t began = now_ms();
        fly_seal(0, &flight, 60);
        wait_landed(&flight);
        int64_t took = flight.landed_ms - began;
        if (flight.request.status == HF_E_TIMEOUT) {
            timeouts += 1;
        } else {
            assert_status(flight.request.status, HF_E_UNREACHABLE);
            assert_in_range(took, 0, 20 + 2 * worst_late_ms);
            at_once += 1;
        }
    }
    /* SEATS_LOST_MAX and the lane's own; fewer at first when an earlier test's
     * lost threads are not back yet, and then one more for each that comes */
    assert_in_range(timeouts, 1, 5);
    assert_int_equal(timeouts + at_once, 12);
    assert_ok(call_find(&rig.token[0], &rig.root[0].key, &report));
    check_others_go_on();
    size_t lost = log_count(&log, "\"token.lane_lost\"");
    size_t back_too_soon = log_count(&log, "\"token.lane_back\"");
    assert_ok(fault_control_clear(&rig.faults));
    wait_well();
    size_t back = log_count(&log, "\"token.lane_back\"");
    log_end(&log);
    /* somebody must be told, once, however many requests it refuses: nothing
     * but the return of the calls, or a restart, helps (and once more for each
     * thread of an earlier test that comes back and is lost again) */
    assert_in_range(lost, 1, timeouts);
    assert_int_equal(back_too_soon, lost - 1);
    assert_int_equal(back, lost);
    for (int i = 0; i < 50; i++) {
        assert_ok(rig_seal(0));
    }
}

static void slow_is_not_hung(void **state)
{
    (void)state;
    struct token_object object;
    faults("token=fault-a function=C_Encrypt delay_ms=120\n"
           "token=fault-a function=C_UnwrapKey delay_ms=600");
    assert_ok(rig_seal(0));
    assert_ok(rig_unwrap(0, &object));
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_forget(&rig.token[0], &object));
}

/* A root key that comes into being after its maker was told that it did not. */
static void late_keys_are_destroyed(void **state)
{
    (void)state;
    struct token_key_report report;
    struct flight flight = {
        .request = {.op = TOKEN_OP_GENERATE,
                    .attempt_ms = 150,
                    .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_KEY,
                                   .label = "late",
                                   .id = {0xA0, 70},
                                   .id_len = 2,
                                   .report = &report}},
    };
    faults("token=fault-a function=C_GenerateKey hang=1");
    fly(0, &flight);
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    faults("token=fault-a function=C_DestroyObject log=1");
    for (int i = 0; i < 100 && fault_control_logged(&rig.faults, "fault-a",
                                                    "C_DestroyObject") == 0;
         i++) {
        pause_ms(10);
    }
    pause_ms(50);
    struct token_key key = {.type = TOKEN_KEY_AES, .id_len = 2};
    memcpy(key.id, flight.request.u.generate.id, 2);
    assert_status(call_find(&rig.token[0], &key, &report), HF_E_NOT_FOUND);
}

static void hung_repair(void **state)
{
    (void)state;
    struct flight flight;
    faults("token=fault-a function=C_UnwrapKey rv=CKR_SESSION_CLOSED count=1\n"
           "token=fault-a function=C_OpenSession hang=1");
    int64_t began = now_ms();
    fly_unwrap(&flight, 300);
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    check_took(flight.landed_ms - began, 300);
    assert_ok(rig_seal(0));
    assert_ok(fault_control_clear(&rig.faults));
    wait_well();
}

/* The module is not finalised under a thread that is still in it. */
static void closing_over_a_hang(void **state)
{
    (void)state;
    struct flight flight;
    faults("token=fault-a function=C_Encrypt hang=1\n"
           "function=C_Finalize log=1");
    fly_seal(0, &flight, 0);
    pause_ms(30); /* what is still queued would be HF_E_CANCELLED */
    int64_t began = now_ms();
    token_close(&rig.token[0]);
    token_close(&rig.token[1]);
    assert_in_range(now_ms() - began, 0, 600 + 2 * worst_late_ms);
    wait_landed(&flight);
    assert_status(flight.request.status, HF_E_TIMEOUT);
    pause_ms(50);
    assert_int_equal(fault_control_logged(&rig.faults, NULL, "C_Finalize"), 0);
    faults("function=C_Finalize log=1");
    for (int i = 0;
         i < 200 && fault_control_logged(&rig.faults, NULL, "C_Finalize") == 0;
         i++) {
        pause_ms(10);
    }
    assert_int_equal(fault_control_logged(&rig.faults, NULL, "C_Finalize"), 1);
    assert_ok(rig_open(0, &rig.token[0]));
    assert_ok(rig_open(1, &rig.token[1]));
    struct token_object object;
    assert_ok(rig_unwrap(0, &object));
}

int main(void)
{
#define FAULT_TEST(test) cmocka_unit_test_setup(test, calm_and_in_time)
    const struct CMUnitTest tests[] = {
        FAULT_TEST(hung_data_operation),
        FAULT_TEST(hung_root_operation),
        FAULT_TEST(root_deadline_by_default),
        FAULT_TEST(queued_behind_a_hang),
        FAULT_TEST(answered_before_a_hang),
        FAULT_TEST(everything_hangs),
        FAULT_TEST(slow_is_not_hung),
        FAULT_TEST(late_keys_are_destroyed),
        FAULT_TEST(hung_repair),
        FAULT_TEST(closing_over_a_hang),
    };
    if (rig_start() != 0) {
        return 1;
    }
    pthread_t beat;
    if (pthread_create(&beat, NULL, metronome, NULL) != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    metronome_ends = true;
    pthread_join(beat, NULL);
    rig_stop();
    return failed;
}
