/* Things that go away: sessions, log-ins, keys, token folders, descriptors.
 * None of them may look like a key that its owner has deleted. */
#include "hsm/base/check.h"

#include "hsm/pkcs11/module.h"

#include "tests/contract/token/faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *program;

/* Behind the adapter's back: every session of the application with this token,
 * and with them the log-in. */
static void close_all_sessions(const char *label)
{
    struct p11_module *module = NULL;
    CK_RV rv = CKR_OK;
    assert_ok(p11_module_open(fault_control_shim(), &module, &rv));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    CK_SLOT_ID slots[16];
    CK_ULONG count = HF_COUNT(slots);
    assert_int_equal(calls->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(calls->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (strncmp((const char *)info.label, label, strlen(label)) == 0) {
            assert_int_equal(calls->C_CloseAllSessions(slots[i]), CKR_OK);
        }
    }
    p11_module_release(module);
}

static void lost_sessions_come_back(void **state)
{
    (void)state;
    struct token_object stale = rig.object[0];
    uint8_t mac[HF_SHA256_BYTES];
    uint8_t again[HF_SHA256_BYTES];
    assert_ok(call_mac(&rig.token[0], &rig.mac.key, "text", mac));
    faults("token=fault-a function=C_Login log=1");
    close_all_sessions("fault-a");
    assert_status(rig_seal(0), HF_E_PRECONDITION);
    assert_ok(rig_unwrap(0, &rig.object[0]));
    assert_int_not_equal(rig.object[0].generation, stale.generation);
    assert_ok(rig_seal(0));
    assert_ok(call_mac(&rig.token[0], &rig.mac.key, "text", again));
    assert_memory_equal(mac, again, sizeof mac);
    assert_int_equal(fault_control_logged(&rig.faults, "fault-a", "C_Login"),
                     1);
    rig.object[0] = stale;
    assert_status(rig_seal(0), HF_E_PRECONDITION);

    /* each lane finds out for itself */
    struct token_key_report report;
    close_all_sessions("fault-a");
    assert_ok(call_find(&rig.token[0], &rig.root[0].key, &report));
    close_all_sessions("fault-a");
    assert_ok(rig_decrypt());
    close_all_sessions("fault-a");
    assert_ok(call_health(&rig.token[0]));
    close_all_sessions("fault-a");
    assert_ok(call_mac(&rig.token[0], &rig.mac.key, "text", again));
    assert_memory_equal(mac, again, sizeof mac);
    assert_ok(rig_seal(1));
}

/* A log-out by somebody else in the process closes no session: searches show
 * nothing then, and no error. */
static void a_log_out_is_noticed(void **state)
{
    (void)state;
    struct token_key_report report;
    struct p11_module *module = NULL;
    CK_RV rv = CKR_OK;
    struct token second = {0};
    assert_ok(p11_module_open(fault_control_shim(), &module, &rv));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    for (CK_SESSION_HANDLE session = 1; session < 64; session++) {
        rv = calls->C_Logout(session); /* of both tokens, whatever is there */
    }
    p11_module_release(module);
    assert_ok(call_find(&rig.token[0], &rig.root[0].key, &report));
    assert_status(rig_seal(1), HF_E_PRECONDITION);
    assert_ok(rig_unwrap(1, &rig.object[1]));
    assert_ok(rig_seal(1));
    assert_ok(rig_open(1, &second));
    token_close(&second);
}

/* One token opened twice in a process: closing one leaves the other its
 * log-in. */
static void two_openings_of_one_token(void **state)
{
    (void)state;
    struct token second = {0};
    assert_ok(rig_open(1, &second));
    assert_ok(call_health(&second));
    token_close(&second);
    assert_ok(rig_seal(1));
    assert_ok(call_health(&rig.token[1]));
}

static int destroy_elsewhere(const char *label, const char *id)
{
    const char *const argv[] = {program, "--destroy", label, id, NULL};
    return softhsm_run(argv, 0);
}

static HF_STATUS unwrap_by_ak(const struct token_mint *mint)
{
    struct token_object object;
    enum hf_status status = call_unwrap(
        &rig.token[0], &rig.ak.key, TOKEN_SUITE_AES_KWP,
        (struct bytes){mint->copies[0].wrapped, mint->copies[0].wrapped_len},
        &object);
    if (status == HF_OK) {
        assert_ok(call_forget(&rig.token[0], &object));
    }
    return status;
}

/* A key that another process has really deleted is missing, and that is sure:
 * the canary in the same token answers. */
static void a_deleted_key_is_missing(void **state)
{
    (void)state;
    struct token_key_report report;
    struct token_mint mint = {
        .copy_count = 1,
        .copies = {{.suite = TOKEN_SUITE_AES_KWP, .key = rig.ak.key}},
        .check_text = bytes_of_text("text"),
    };
    assert_ok(call_mint(&rig.token[0], &mint));
    assert_ok(unwrap_by_ak(&mint));
    assert_int_equal(destroy_elsewhere("fault-a", "3"), 0);
    assert_status(unwrap_by_ak(&mint), HF_E_NOT_FOUND);
    assert_status(call_find(&rig.token[0], &rig.ak.key, &report),
                  HF_E_NOT_FOUND);
    assert_status(call_mint(&rig.token[0], &mint), HF_E_NOT_FOUND);
    assert_ok(call_generate(&rig.token[0], TOKEN_FOR_AVAILABILITY_KEY, 0, 3,
                            &rig.ak));
}

/* Whatever this process cannot open, the token has not lost. */
static void exhausted_descriptors_are_ours(void **state)
{
    (void)state;
    struct rlimit before;
    struct token_object object;
    struct token_key_report report;
    struct token_key nobody = rig.root[0].key;
    nobody.id[0] ^= 0xff;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(STDERR_FILENO);
    close(next);
    struct rlimit none = {(rlim_t)next, before.rlim_max};
    int taken[64];
    size_t count = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (count < HF_COUNT(taken) &&
           (taken[count] = open("/dev/null", O_RDONLY)) >= 0) {
        count += 1;
    }
    enum hf_status statuses[] = {
        rig_unwrap(0, &object),
        rig_decrypt(),
        call_find(&rig.token[0], &rig.root[0].key, &report),
        call_find(&rig.token[0], &nobody, &report),
        call_destroy(&rig.token[0], &nobody),
        call_health(&rig.token[0]),
        rig_open_sealed(0),
    };
    for (size_t i = 0; i < count; i++) {
        close(taken[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < HF_COUNT(statuses); i++) {
        print_message("%zu: %s\n", i, hf_status_name(statuses[i]));
        assert_true(statuses[i] == HF_OK ||
                    hf_status_class(statuses[i]) == HF_CLASS_OURS);
    }
    /* SoftHSM goes on to show nothing (facts.md): it is initialised again */
    assert_ok(rig_unwrap(0, &object));
    assert_ok(rig_decrypt());
    assert_ok(call_find(&rig.token[1], &rig.root[1].key, &report));
    assert_status(call_find(&rig.token[0], &nobody, &report), HF_E_NOT_FOUND);
}

/* Until a module counts as old enough to be renewed. */
static void wait_for_an_old_view(void)
{
    struct timespec time = {.tv_sec = 2, .tv_nsec = 100000000};
    nanosleep(&time, NULL);
}

/* The module does not come up again at once after it was renewed. */
static void a_failed_renewal_is_made_good(void **state)
{
    (void)state;
    struct token_object object;
    struct token_key_report report;
    struct token_key nobody = rig.root[0].key;
    nobody.id[0] ^= 0x0f;
    wait_for_an_old_view();
    faults("function=C_Initialize rv=CKR_GENERAL_ERROR count=2");
    enum hf_status status = call_find(&rig.token[0], &nobody, &report);
    assert_status(status, HF_E_UNCONFIRMED);
    assert_status(call_health(&rig.token[1]), HF_E_MISUSE);
    assert_ok(rig_unwrap(1, &object));
    assert_ok(rig_unwrap(0, &object));
    assert_status(call_find(&rig.token[0], &nobody, &report), HF_E_NOT_FOUND);
}

static void move_tokens(const char *from_end, const char *to_end)
{
    char from[400];
    char to[400];
    snprintf(from, sizeof from, "%s%s", rig.softhsm.tokens, from_end);
    snprintf(to, sizeof to, "%s%s", rig.softhsm.tokens, to_end);
    assert_int_equal(rename(from, to), 0);
}

static void check_not_missing(const char *what, enum hf_status status)
{
    print_message("%s: %s\n", what, hf_status_name(status));
    assert_true(status == HF_OK || status == HF_E_UNCONFIRMED ||
                hf_status_class(status) == HF_CLASS_TRANSIENT ||
                hf_status_class(status) == HF_CLASS_OURS);
}

/* The folder of the tokens goes away (a mount, a mistake): SoftHSM then shows
 * empty tokens, and goes on to do so when the folder is back, until it is
 * initialised again (facts.md). */
static void a_lost_folder_is_not_a_deletion(void **state)
{
    (void)state;
    struct token_object object;
    struct token_key_report report;
    move_tokens("", ".away");
    check_not_missing("unwrap", rig_unwrap(0, &object));
    check_not_missing("find",
                      call_find(&rig.token[0], &rig.root[0].key, &report));
    check_not_missing("decrypt", rig_decrypt());
    check_not_missing("destroy", call_destroy(&rig.token[1], &rig.root[1].key));
    check_not_missing("open", rig_open_sealed(0));
    check_not_missing("health", call_health(&rig.token[0]));
    move_tokens(".away", "");
    check_not_missing("unwrap, back", rig_unwrap(0, &object));
    check_not_missing("find, back",
                      call_find(&rig.token[0], &rig.root[0].key, &report));
    wait_for_an_old_view();
    assert_ok(rig_unwrap(0, &object));
    assert_ok(call_find(&rig.token[1], &rig.root[1].key, &report));
}

/* The folder of one token alone, by its label. */
static void own_folder(const char *label, char *out, size_t cap)
{
    char command[600];
    snprintf(command, sizeof command,
             "grep -l -a '%s' %s/*/token.object | xargs -n 1 dirname", label,
             rig.softhsm.tokens);
    FILE *found = popen(command, "r");
    assert_non_null(found);
    assert_non_null(fgets(out, (int)cap, found));
    out[strcspn(out, "\n")] = '\0';
    assert_int_equal(pclose(found), 0);
}

#define BACK_MAX_MS 30000

/* A module that was initialised while a token was away looks for it again: in
 * the end the token is back, whoever asked meanwhile. */
static void a_token_that_comes_back_is_found(void **state)
{
    (void)state;
    struct token_object object;
    char folder[400];
    char aside[500];
    struct token_profile profile;
    token_profile_get(&rig.token[0], &profile);
    own_folder(profile.label, folder, sizeof folder);
    snprintf(aside, sizeof aside, "%s.aside", rig.softhsm.tokens);
    assert_int_equal(rename(folder, aside), 0);
    wait_for_an_old_view(); /* so that the search below renews the module */
    check_not_missing("unwrap, away", rig_unwrap(0, &object));
    check_not_missing("unwrap, away", rig_unwrap(0, &object));
    assert_ok(rig_unwrap(1, &object)); /* the other one is there */
    assert_int_equal(rename(aside, folder), 0);
    enum hf_status status = HF_E_UNREACHABLE;
    for (int waited_ms = 0; status != HF_OK && waited_ms < BACK_MAX_MS;
         waited_ms += 100) {
        status = rig_unwrap(0, &object);
        usleep(100000);
    }
    assert_ok(status);
    assert_ok(rig_unwrap(1, &object));
}

struct worker {
    size_t which;
    size_t rounds;
    size_t wrong;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (size_t i = 0; i < worker->rounds; i++) {
        struct token_object object;
        uint8_t sealed[HF_SEALED_MAX_BYTES];
        uint8_t out[HF_SEALED_MAX_BYTES];
        const struct token *token = &rig.token[worker->which];
        uint8_t text[16] = {(uint8_t)i};
        size_t len = 0;
        size_t out_len = 0;
        bool right =
            rig_unwrap(worker->which, &object) == HF_OK &&
            call_seal(token, &object, (uint8_t)i, "", BYTES_OF(text), sealed,
                      &len) == HF_OK &&
            call_open(token, &object, (uint8_t)i, "",
                      (struct bytes){sealed, len}, out, &out_len) == HF_OK &&
            bytes_equal((struct bytes){out, out_len}, BYTES_OF(text)) &&
            call_forget(token, &object) == HF_OK;
        worker->wrong += right ? 0 : 1;
    }
    return NULL;
}

static void many_callers_at_once(void **state)
{
    (void)state;
    pthread_t threads[8];
    struct worker workers[HF_COUNT(threads)];
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        workers[i] = (struct worker){.which = i % 2, .rounds = 25};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]),
                         0);
    }
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
}

/* A PIN that a repair finds refused is not tried again, by nobody in this
 * process: last, because it ends the use of the token here. */
static void a_refused_repair_stays_refused(void **state)
{
    (void)state;
    struct token own = {0};
    assert_ok(rig_open(2, &own));
    faults("token=fault-c function=C_Login log=1 rv=CKR_PIN_INCORRECT");
    close_all_sessions("fault-c");
    for (size_t i = 0; i < 4; i++) {
        assert_status(call_health(&own), HF_E_DENIED);
    }
    assert_int_equal(fault_control_logged(&rig.faults, "fault-c", "C_Login"),
                     1);
    token_close(&own);
    faults("token=fault-c function=C_Login log=1");
    assert_status(rig_open(2, &own), HF_E_DENIED);
    assert_int_equal(fault_control_logged(&rig.faults, "fault-c", "C_Login"),
                     1);
}

/* The other process of a_deleted_key_is_missing: straight to SoftHSM. */
static int destroy_main(const char *label, const char *id)
{
    struct secret *pin = NULL;
    struct token token = {0};
    struct pkcs11_refusal refusal;
    if (secret_heap_start(1 << 16) != HF_OK || secret_new(6, &pin) != HF_OK) {
        return 1;
    }
    memcpy(secret_writable(pin), "123456", 6);
    struct pkcs11_settings settings = {.module_path = softhsm_module(),
                                       .label = label,
                                       .pin = pin,
                                       .clock = clock_system()};
    struct token_key key = {.type = TOKEN_KEY_AES, .id_len = 2};
    key.id[0] = 0xA0;
    key.id[1] = (uint8_t)strtoul(id, NULL, 10);
    enum hf_status status = pkcs11_open(&settings, &token, &refusal);
    if (status == HF_OK) {
        status = call_destroy(&token, &key);
        token_close(&token);
    }
    secret_free(pin);
    return status == HF_OK ? 0 : 1;
}

int main(int argc, char *argv[])
{
#define FAULT_TEST(test) cmocka_unit_test_setup(test, rig_calm)
    const struct CMUnitTest tests[] = {
        FAULT_TEST(lost_sessions_come_back),
        FAULT_TEST(a_log_out_is_noticed),
        FAULT_TEST(two_openings_of_one_token),
        FAULT_TEST(a_deleted_key_is_missing),
        FAULT_TEST(many_callers_at_once),
        FAULT_TEST(exhausted_descriptors_are_ours),
        FAULT_TEST(a_failed_renewal_is_made_good),
        FAULT_TEST(a_lost_folder_is_not_a_deletion),
        FAULT_TEST(a_token_that_comes_back_is_found),
        FAULT_TEST(a_refused_repair_stays_refused),
    };
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--destroy") == 0) {
        return destroy_main(argv[2], argv[3]);
    }
    if (rig_start() != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    rig_stop();
    return failed;
}
