/* libholdfast against a server that answers as told (scripted_server.py): what
 * is repeated and what is not, deadlines, rich errors, keys, many threads. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "client/lib/holdfast.h"
#include "client/lib/retry.h"

#include "holdfast/v1/dep_service.pb-c.h"
#include "tests/support/unit.h"

#include <jansson.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES    256
#define START_WAIT_MS 20000
#define GET_DEP       "holdfast.v1.DepService/GetDep"
#define UNWRAP        "holdfast.v1.KeyService/UnwrapKey"
#define GENERATE      "holdfast.v1.KeyService/GenerateKey"
#define KEY_TEXT      "0123456789abcdefghijklmnopqrstuv"
#define KEY_BASE64    "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="

/* --- what our own code gives back to the heap ----------------------------- */

static _Atomic size_t freed_with_key;

size_t malloc_usable_size(void *data);
void __real_free(void *data);
void __wrap_free(void *data);

void __wrap_free(void *data)
{
    if (data != NULL && memmem(data, malloc_usable_size(data), KEY_TEXT,
                               sizeof KEY_TEXT - 1) != NULL) {
        freed_with_key++;
    }
    __real_free(data);
}

/* --- the server ------------------------------------------------------------
 */

static char folder[] = "/tmp/holdfast-call-XXXXXX";
static pid_t server;
static int server_stdin;
static struct hf_client *client;

static void path_of(const char *name, char out[PATH_BYTES])
{
    int len = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    CHECK(len > 0 && len < PATH_BYTES);
}

static void write_text(const char *name, const char *text)
{
    char path[PATH_BYTES];
    path_of(name, path);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

static void start_server(void)
{
    int ends[2];
    char script[PATH_BYTES];
    const char *source = getenv("HF_SOURCE");
    CHECK(source != NULL && pipe2(ends, O_CLOEXEC) == 0);
    int len =
        snprintf(script, sizeof script,
                 "%s/tests/integration/client/scripted_server.py", source);
    CHECK(len > 0 && (size_t)len < sizeof script);
    server = fork();
    CHECK(server >= 0);
    if (server == 0) {
        CHECK(dup2(ends[0], STDIN_FILENO) >= 0);
        execl("/usr/bin/python3", "/usr/bin/python3", "-B", script, folder,
              NULL);
        _exit(127);
    }
    close(ends[0]);
    server_stdin = ends[1]; /* when we end, however we end, it ends */
}

static int read_port(void)
{
    char path[PATH_BYTES];
    int port = 0;
    path_of("port", path);
    for (int waited_ms = 0; waited_ms < START_WAIT_MS; waited_ms += 20) {
        FILE *file = fopen(path, "r");
        if (file != NULL) {
            CHECK(fscanf(file, "%d", &port) == 1);
            fclose(file);
            return port;
        }
        usleep(20000);
    }
    check_failed("the server starts", __FILE__, __LINE__);
}

static struct hf_settings settings_of(char target[PATH_BYTES])
{
    static char ca[PATH_BYTES];
    static char certificate[PATH_BYTES];
    static char key[PATH_BYTES];
    path_of("ca.pem", ca);
    path_of("client.pem", certificate);
    path_of("client.key", key);
    return (struct hf_settings){.target = target,
                                .ca_file = ca,
                                .certificate_file = certificate,
                                .key_file = key,
                                .deadline_ms = 5000};
}

static char target[PATH_BYTES];

static int start(void **state)
{
    (void)state;
    struct hf_error error = {0};
    CHECK(mkdtemp(folder) != NULL);
    start_server();
    (void)snprintf(target, sizeof target, "localhost:%d", read_port());
    const struct hf_settings settings = settings_of(target);
    CHECK(hf_client_open(&settings, &client, &error) == HF_CODE_OK);
    return 0;
}

static int remove_one(const char *path, const struct stat *facts, int kind,
                      struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

static int stop(void **state)
{
    (void)state;
    hf_client_close(client);
    close(server_stdin);
    CHECK(waitpid(server, NULL, 0) == server);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* tell: one method's answers, as JSON; forgets the calls so far. */
static void tell(const char *method, const char *answers)
{
    static unsigned turn; /* so that the text differs each time */
    char text[8192];
    int len = snprintf(text, sizeof text, "{\"turn\": [%u], \"%s\": %s}",
                       ++turn, method, answers);
    CHECK(len > 0 && (size_t)len < sizeof text);
    write_text("calls.jsonl", "");
    write_text("script.json", text);
}

static void json_freep(json_t **value)
{
    json_decref(*value);
}

/* calls: an array of {"method", "request"}. */
static json_t *calls(void)
{
    char path[PATH_BYTES];
    char line[4096];
    json_t *all = json_array();
    path_of("calls.jsonl", path);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *call = json_loads(line, 0, NULL);
        CHECK(call != NULL && json_array_append_new(all, call) == 0);
    }
    fclose(file);
    return all;
}

static size_t call_count(void)
{
    HF_OWNED(json_freep) json_t *all = calls();
    return json_array_size(all);
}

static enum hf_code get_dep(int64_t deadline_ms, struct hf_error *error)
{
    Holdfast__V1__GetDepRequest request = HOLDFAST__V1__GET_DEP_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.name = (char *)(uintptr_t) "tenants/t/deps/mail";
    const struct hf_unary unary = {.method = GET_DEP,
                                   .request = &request.base,
                                   .response = &holdfast__v1__dep__descriptor,
                                   .deadline_ms = deadline_ms};
    enum hf_code code = hf_call(client, &unary, &response, error);
    assert_int_equal(response != NULL, code == HF_CODE_OK);
    hf_message_free(response);
    return code;
}

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

/* --- what is repeated --------------------------------------------------------
 */

static void test_only_what_may_be_repeated(void **state)
{
    (void)state;
    for (int code = 1; code <= 16; code++) {
        char answers[128];
        struct hf_error error = {0};
        (void)snprintf(answers, sizeof answers,
                       "[{\"code\": %d, \"message\": \"no\"}, "
                       "{\"response\": {}}]",
                       code);
        tell(GET_DEP, answers);
        enum hf_code got = get_dep(0, &error);
        bool repeated = code == HF_CODE_UNAVAILABLE;
        assert_int_equal(got, repeated ? HF_CODE_OK : code);
        assert_int_equal(call_count(), repeated ? 2 : 1);
        assert_int_equal(error.attempts, repeated ? 0 : 1);
        hf_error_free(&error);
    }
}

static void test_exhausted_only_when_told_when(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(GET_DEP, "[{\"code\": 8, \"retry_ms\": 300}, {\"response\": {}}]");
    int64_t begin_ms = now_ms();
    assert_int_equal(get_dep(0, &error), HF_CODE_OK);
    assert_true(now_ms() - begin_ms >= 300);
    assert_int_equal(call_count(), 2);
    tell(GET_DEP, "[{\"code\": 8}, {\"response\": {}}]");
    assert_int_equal(get_dep(0, &error), HF_CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(call_count(), 1);
    hf_error_free(&error);
}

static void test_not_for_ever(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(GET_DEP, "[{\"code\": 14, \"message\": \"away\"}]");
    assert_int_equal(get_dep(20000, &error), HF_CODE_UNAVAILABLE);
    assert_int_equal(call_count(), RETRY_ATTEMPTS_MAX);
    assert_int_equal(error.attempts, RETRY_ATTEMPTS_MAX);
    assert_string_equal(error.message, "away");
    hf_error_free(&error);
}

static void test_the_same_request_id_each_time(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct hf_key_answer answer = {0};
    const struct hf_key_request request = {.resource = "tenants/t/mailboxes/m"};
    tell(GENERATE, "[{\"code\": 14}, {\"code\": 8, \"retry_ms\": 1}, "
                   "{\"response\": {\"plaintextKey\": \"" KEY_BASE64 "\", "
                   "\"wrappedKey\": \"AAAA\", \"generation\": 3}}]");
    assert_int_equal(hf_generate_key(client, &request, &answer, &error),
                     HF_CODE_OK);
    HF_OWNED(json_freep) json_t *all = calls();
    assert_int_equal(json_array_size(all), 3);
    assert_int_equal(strlen(answer.request_id), 36);
    for (size_t i = 0; i < 3; i++) {
        const char *id = NULL;
        assert_int_equal(json_unpack(json_array_get(all, i), "{s{s{ss}}}",
                                     "request", "access", "requestId", &id),
                         0);
        assert_string_equal(id, answer.request_id);
    }
    assert_int_equal(answer.generation, 3);
    assert_int_equal(answer.wrapped_len, 3);
    hf_key_answer_clear(&answer);
    struct hf_key_answer next = {0};
    assert_int_equal(hf_generate_key(client, &request, &next, &error),
                     HF_CODE_OK);
    HF_OWNED(json_freep) json_t *more = calls();
    const char *id = NULL;
    assert_int_equal(json_unpack(json_array_get(more, 0), "{s{s{ss}}}",
                                 "request", "access", "requestId", &id),
                     0);
    assert_string_not_equal(id, next.request_id);
    hf_key_answer_clear(&next);
}

/* --- deadlines
 * ----------------------------------------------------------------- */

static void test_a_slow_answer(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(GET_DEP, "[{\"delay_ms\": 3000, \"response\": {}}]");
    int64_t begin_ms = now_ms();
    assert_int_equal(get_dep(400, &error), HF_CODE_DEADLINE_EXCEEDED);
    assert_in_range(now_ms() - begin_ms, 350, 2000);
    assert_int_equal(call_count(), 1);
    hf_error_free(&error);
}

static void test_one_deadline_for_all_attempts(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(GET_DEP, "[{\"code\": 14}]");
    int64_t begin_ms = now_ms();
    assert_int_equal(get_dep(500, &error), HF_CODE_UNAVAILABLE);
    assert_true(now_ms() - begin_ms < 1500);
    assert_true(call_count() < RETRY_ATTEMPTS_MAX);
    /* a second attempt has what the first one left */
    tell(GET_DEP, "[{\"delay_ms\": 500, \"code\": 14}, "
                  "{\"delay_ms\": 3000, \"response\": {}}]");
    begin_ms = now_ms();
    assert_int_equal(get_dep(800, &error), HF_CODE_DEADLINE_EXCEEDED);
    assert_in_range(now_ms() - begin_ms, 700, 1250);
    assert_int_equal(call_count(), 2);
    /* asked to come back behind the deadline: at once */
    tell(GET_DEP, "[{\"code\": 8, \"retry_ms\": 60000}]");
    begin_ms = now_ms();
    assert_int_equal(get_dep(5000, &error), HF_CODE_RESOURCE_EXHAUSTED);
    assert_true(now_ms() - begin_ms < 2000);
    assert_int_equal(error.retry_delay_ms, 60000);
    hf_error_free(&error);
}

/* --- answers
 * --------------------------------------------------------------------- */

static void test_rich_errors(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(GET_DEP, "[{\"code\": 9, \"message\": \"checks failed\", "
                  "\"reason\": \"VALIDATION_FAILED\", "
                  "\"metadata\": {\"dep\": \"mail\"}, "
                  "\"fields\": {\"dep_id\": \"too long\"}, "
                  "\"checks\": [{\"code\": \"KEY_SIZE\", \"status\": \"FAIL\","
                  " \"evidence\": \"MEASURED\"}]}]");
    assert_int_equal(get_dep(0, &error), HF_CODE_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "VALIDATION_FAILED");
    assert_string_equal(error.message, "checks failed");
    assert_string_equal(error.metadata[0].value, "mail");
    assert_string_equal(error.violations[0].field, "dep_id");
    assert_string_equal(error.checks[0].code, "KEY_SIZE");
    assert_int_equal(error.checks[0].status, HF_CHECK_FAIL);
    hf_error_free(&error);
    /* and without anybody who wants to know */
    assert_int_equal(get_dep(0, NULL), HF_CODE_FAILED_PRECONDITION);
}

static void test_answers_that_cannot_be_read(void **state)
{
    (void)state;
    static const char *const raw[] = {"ff", "0aff", "0a0568"};
    for (size_t i = 0; i < HF_COUNT(raw); i++) {
        char answers[64];
        struct hf_error error = {0};
        (void)snprintf(answers, sizeof answers, "[{\"raw_hex\": \"%s\"}]",
                       raw[i]);
        tell(GET_DEP, answers);
        assert_int_equal(get_dep(0, &error), HF_CODE_INTERNAL);
        assert_string_equal(error.reason, "CLIENT_RESPONSE");
        assert_int_equal(call_count(), 1);
        hf_error_free(&error);
    }
}

static void test_an_unknown_method(void **state)
{
    (void)state;
    struct hf_error error = {0};
    tell(UNWRAP, "[]");
    assert_int_equal(get_dep(0, &error), HF_CODE_UNIMPLEMENTED);
    hf_error_free(&error);
}

static void test_health(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum hf_serving expected;
    } cases[] = {
        {"[{\"response\": {\"status\": \"SERVING\"}}]",         HF_SERVING    },
        {"[{\"response\": {\"status\": \"NOT_SERVING\"}}]",     HF_NOT_SERVING},
        {"[{\"response\": {\"status\": \"SERVICE_UNKNOWN\"}}]",
         HF_SERVING_UNKNOWN                                                   },
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        enum hf_serving serving = HF_SERVING_UNKNOWN;
        tell("grpc.health.v1.Health/Check", cases[i].answer);
        assert_int_equal(hf_health(client, "dep", &serving, NULL), HF_CODE_OK);
        assert_int_equal(serving, cases[i].expected);
    }
    enum hf_serving serving = HF_SERVING;
    tell("grpc.health.v1.Health/Check", "[{\"code\": 5}]");
    assert_int_equal(hf_health(client, "dep", &serving, NULL),
                     HF_CODE_NOT_FOUND);
}

/* --- keys
 * ------------------------------------------------------------------------ */

static void test_keys_are_wiped_behind_us(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct hf_secret *key = NULL;
    struct hf_key_answer answer = {0};
    struct hf_key_request request = {.resource = "tenants/t/mailboxes/m"};
    tell(UNWRAP, "[{\"response\": {\"plaintextKey\": \"" KEY_BASE64 "\", "
                 "\"dep\": \"tenants/t/deps/d\"}}]");
    freed_with_key = 0;
    assert_int_equal(hf_unwrap_key(client, &request, &answer, &error),
                     HF_CODE_OK);
    assert_int_equal(hf_secret_len(answer.key), HF_RESOURCE_KEY_BYTES);
    assert_memory_equal(hf_secret_bytes(answer.key), KEY_TEXT,
                        HF_RESOURCE_KEY_BYTES);
    assert_int_equal(answer.wrapped_len, 0);
    assert_string_equal(answer.dep, "tenants/t/deps/d");
    hf_key_answer_clear(&answer);
    assert_int_equal(hf_secret_new(KEY_TEXT, 32, &key), HF_CODE_OK);
    request.key = key;
    tell("holdfast.v1.KeyService/WrapKey",
         "[{\"code\": 14}, {\"response\": {\"wrappedKey\": \"AAAA\"}}]");
    assert_int_equal(hf_wrap_key(client, &request, &answer, &error),
                     HF_CODE_OK);
    hf_key_answer_clear(&answer);
    hf_secret_free(key);
    assert_int_equal(freed_with_key, 0);
    char *watch = malloc(64);
    CHECK(watch != NULL);
    memcpy(watch, KEY_TEXT, sizeof KEY_TEXT);
    assert_string_equal(watch, KEY_TEXT);
    free(watch);
    assert_int_equal(freed_with_key, 1); /* the watch does see */
}

static void test_requests_that_cannot_be_sent(void **state)
{
    (void)state;
    static uint8_t wrapped[HF_WRAPPED_MAX_BYTES + 1];
    struct hf_key_answer answer = {0};
    struct hf_error error = {0};
    struct hf_key_request request = {0};
    tell(UNWRAP, "[]");
    assert_int_equal(hf_unwrap_key(client, &request, &answer, &error),
                     HF_CODE_INVALID_ARGUMENT);
    request.resource = "m";
    request.wrapped_key = wrapped;
    request.wrapped_len = sizeof wrapped;
    assert_int_equal(hf_rewrap_key(client, &request, &answer, &error),
                     HF_CODE_INVALID_ARGUMENT);
    request.wrapped_len = 0;
    assert_int_equal(hf_wrap_key(client, &request, &answer, &error),
                     HF_CODE_INVALID_ARGUMENT);
    request.request_id = "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b-and-more";
    assert_int_equal(hf_unwrap_key(client, &request, &answer, &error),
                     HF_CODE_INVALID_ARGUMENT);
    assert_string_equal(error.reason, "CLIENT_SETTINGS");
    assert_int_equal(call_count(), 0);
    assert_int_equal(hf_secret_new("", 0, &(struct hf_secret *){NULL}),
                     HF_CODE_INVALID_ARGUMENT);
    hf_error_free(&error);
}

/* --- opening
 * ----------------------------------------------------------------------- */

static void test_settings_that_cannot_be(void **state)
{
    (void)state;
    struct hf_client *none = NULL;
    struct hf_error error = {0};
    const struct hf_settings good = settings_of(target);
    char key_path[PATH_BYTES];
    path_of("client.key", key_path);
    struct hf_settings cases[] = {good, good, good, good, good, good};
    cases[0].target = "";
    cases[1].ca_file = NULL;
    cases[2].certificate_file = "/nowhere.pem";
    cases[3].key_file = good.certificate_file;
    cases[4].certificate_file = key_path;
    cases[5].deadline_ms = -1;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        assert_int_equal(hf_client_open(&cases[i], &none, &error),
                         HF_CODE_INVALID_ARGUMENT);
        assert_string_equal(error.reason, "CLIENT_SETTINGS");
        assert_null(none);
    }
    hf_error_free(&error);
    hf_client_close(NULL);
}

static void test_the_name_of_the_server_is_checked(void **state)
{
    (void)state;
    struct hf_client *other = NULL;
    struct hf_settings settings = settings_of(target);
    enum hf_serving serving = HF_SERVING_UNKNOWN;
    tell("grpc.health.v1.Health/Check",
         "[{\"response\": {\"status\": \"SERVING\"}}]");
    settings.server_name = "elsewhere.example";
    settings.deadline_ms = 1000;
    assert_int_equal(hf_client_open(&settings, &other, NULL), HF_CODE_OK);
    assert_int_equal(hf_health(other, "", &serving, NULL), HF_CODE_UNAVAILABLE);
    hf_client_close(other);
    settings.server_name = "localhost";
    assert_int_equal(hf_client_open(&settings, &other, NULL), HF_CODE_OK);
    assert_int_equal(hf_health(other, "", &serving, NULL), HF_CODE_OK);
    hf_client_close(other);
}

/* --- threads
 * ----------------------------------------------------------------------- */

#define THREADS    8
#define PER_THREAD 25

static void *unwrap_often(void *out_bad)
{
    size_t *bad = out_bad;
    for (size_t i = 0; i < PER_THREAD; i++) {
        struct hf_key_answer answer = {0};
        struct hf_error error = {0};
        const struct hf_key_request request = {.resource = "m"};
        bool fine =
            hf_unwrap_key(client, &request, &answer, &error) == HF_CODE_OK &&
            hf_secret_len(answer.key) == HF_RESOURCE_KEY_BYTES;
        *bad += fine ? 0 : 1;
        hf_key_answer_clear(&answer);
        hf_error_free(&error);
    }
    return NULL;
}

static void test_one_client_many_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    size_t bad[THREADS] = {0};
    tell(UNWRAP, "[{\"response\": {\"plaintextKey\": \"" KEY_BASE64 "\"}}]");
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, unwrap_often, &bad[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        assert_int_equal(bad[i], 0);
    }
    assert_int_equal(call_count(), THREADS * PER_THREAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_may_be_repeated),
        cmocka_unit_test(test_exhausted_only_when_told_when),
        cmocka_unit_test(test_not_for_ever),
        cmocka_unit_test(test_the_same_request_id_each_time),
        cmocka_unit_test(test_a_slow_answer),
        cmocka_unit_test(test_one_deadline_for_all_attempts),
        cmocka_unit_test(test_rich_errors),
        cmocka_unit_test(test_answers_that_cannot_be_read),
        cmocka_unit_test(test_an_unknown_method),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_keys_are_wiped_behind_us),
        cmocka_unit_test(test_requests_that_cannot_be_sent),
        cmocka_unit_test(test_settings_that_cannot_be),
        cmocka_unit_test(test_the_name_of_the_server_is_checked),
        cmocka_unit_test(test_one_client_many_threads),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, stop);
}
