/* Few sessions: whatever a load leaves behind, the token goes on. */
#include "hsm/base/check.h"

#include "tests/contract/token/faults.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CALLERS 4

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000,
                            .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* A root operation whose object stays: a lease. */
static HF_STATUS unwrap_and_keep(const struct token *token, int64_t attempt_ms)
{
    struct token_request request = {
        .op = TOKEN_OP_UNWRAP,
        .attempt_ms = attempt_ms,
        .u.unwrap = {.key = rig.root[0].key,
                     .suite = rig.suite,
                     .wrapped = {rig.blob[0].bytes, rig.blob[0].len}},
    };
    return token_call(token, &request);
}

struct caller {
    const struct token *token;
    int64_t attempt_ms;
};

static void *call(void *argument)
{
    const struct caller *caller = argument;
    for (size_t i = 0; i < 4; i++) {
        HF_IGNORE(unwrap_and_keep(caller->token, caller->attempt_ms),
                  "what comes of a load is looked at afterwards");
    }
    return NULL;
}

static void load(const struct token *token, int64_t attempt_ms)
{
    pthread_t threads[CALLERS];
    struct caller caller = {token, attempt_ms};
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call, &caller), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void check_serves(const struct token *token, uint32_t sessions)
{
    uint8_t mac[HF_SHA256_BYTES];
    for (size_t i = 0; i < 3; i++) {
        enum hf_status status = unwrap_and_keep(token, 0);
        print_message("%u sessions: %s\n", sessions, hf_status_name(status));
        assert_ok(status);
        assert_ok(call_mac(token, &rig.mac.key, "text", mac));
    }
}

/* An unwrap that breaks its session retires the anchor, which keeps its session
 * while objects live on it. */
static void retire_anchors(const struct token *token, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_ok(unwrap_and_keep(token, 0));
        faults("token=fault-a function=C_UnwrapKey rv=CKR_DEVICE_ERROR "
               "count=1");
        assert_status(unwrap_and_keep(token, 0), HF_E_UNREACHABLE);
        assert_ok(fault_control_clear(&rig.faults));
    }
    assert_ok(unwrap_and_keep(token, 0));
}

/* Anchors that took all sessions but two once left the root lane one too few
 * for good, as soon as the data lane had taken one of these. */
static void retired_anchors_leave_enough_sessions(void **state)
{
    (void)state;
    for (uint32_t sessions = PKCS11_SESSIONS_MIN; sessions <= 12; sessions++) {
        struct pkcs11_settings settings = rig_settings(0);
        struct pkcs11_refusal refusal;
        struct token token;
        uint8_t mac[HF_SHA256_BYTES];
        settings.max_sessions = sessions;
        assert_ok(pkcs11_open(&settings, &token, &refusal));
        retire_anchors(&token, sessions - 4);
        assert_ok(call_mac(&token, &rig.mac.key, "text", mac));
        check_serves(&token, sessions);
        token_close(&token);
    }
}

/* Slow calls, and calls that hang and come back long after their deadline: each
 * leaves an anchor. */
static void a_load_leaves_enough_sessions(void **state)
{
    (void)state;
    for (uint32_t sessions = PKCS11_SESSIONS_MIN; sessions <= 14;
         sessions += 3) {
        struct pkcs11_settings settings = rig_settings(0);
        struct pkcs11_refusal refusal;
        struct token token;
        settings.max_sessions = sessions;
        assert_ok(pkcs11_open(&settings, &token, &refusal));
        check_serves(&token, sessions);
        faults("token=fault-a function=C_UnwrapKey delay_ms=20");
        load(&token, 0);
        check_serves(&token, sessions);
        faults("token=fault-a function=C_UnwrapKey hang=1");
        load(&token, 60);
        assert_ok(fault_control_clear(&rig.faults));
        pause_ms(200);
        check_serves(&token, sessions);
        token_close(&token);
    }
}

static void fewer_than_needed_are_refused(void **state)
{
    (void)state;
    struct pkcs11_settings settings = rig_settings(0);
    struct pkcs11_refusal refusal;
    struct token token;
    settings.max_sessions = PKCS11_SESSIONS_MIN - 1;
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_RESOURCES);
    assert_non_null(strstr(refusal.text, "five sessions are needed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_load_leaves_enough_sessions, rig_calm),
        cmocka_unit_test_setup(retired_anchors_leave_enough_sessions, rig_calm),
        cmocka_unit_test_setup(fewer_than_needed_are_refused, rig_calm),
    };
    if (rig_start() != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    rig_stop();
    return failed;
}
