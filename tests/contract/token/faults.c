#include "tests/contract/token/faults.h"

#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct fault_rig rig;

static const uint8_t dep_key[HF_KEY_BYTES] = {4, 2};
static uint8_t sealed[2][HF_SEALED_MAX_BYTES];
static size_t sealed_len[2];

static const char *const labels[] = {"fault-a", "fault-b", "fault-c"};

int rig_start(void)
{
    if (secret_heap_start(1 << 18) != HF_OK ||
        secret_new(6, &rig.pin) != HF_OK ||
        softhsm_start(&rig.softhsm) != HF_OK) {
        return 1;
    }
    memcpy(secret_writable(rig.pin), "123456", 6);
    for (size_t i = 0; i < HF_COUNT(labels); i++) {
        if (softhsm_add_token(&rig.softhsm, labels[i], "123456", "654321") !=
            HF_OK) {
            return 1;
        }
    }
    return fault_control_start(rig.softhsm.folder, softhsm_module(),
                               &rig.faults) == HF_OK
               ? 0
               : 1;
}

void rig_stop(void)
{
    secret_free(rig.pin);
    softhsm_stop(&rig.softhsm);
}

struct pkcs11_settings rig_settings(size_t which)
{
    return (struct pkcs11_settings){
        .module_path = fault_control_shim(),
        .label = labels[which],
        .pin = rig.pin,
        .sync = PKCS11_SYNC_SYNCFS,
        .sync_path = rig.softhsm.tokens,
        .clock = clock_system(),
    };
}

HF_STATUS rig_open(size_t which, struct token *out)
{
    struct pkcs11_settings settings = rig_settings(which);
    struct pkcs11_refusal refusal;
    return pkcs11_open(&settings, out, &refusal);
}

void faults(const char *format, ...)
{
    char rules[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rules, sizeof rules, format, arguments);
    va_end(arguments);
    assert_ok(fault_control_set(&rig.faults, rules));
}

HF_STATUS rig_unwrap(size_t which, struct token_object *object)
{
    return call_unwrap(
        &rig.token[which], &rig.root[which].key, rig.suite,
        (struct bytes){rig.blob[which].bytes, rig.blob[which].len}, object);
}

HF_STATUS rig_decrypt(void)
{
    struct secret *secret = NULL;
    enum hf_status status = call_decrypt(
        &rig.token[0], &rig.memory.key, rig.suite,
        (struct bytes){rig.memory_blob.bytes, rig.memory_blob.len}, &secret);
    if (status == HF_OK) {
        assert_memory_equal(secret_bytes(secret), dep_key, sizeof dep_key);
        secret_free(secret);
    }
    return status;
}

HF_STATUS rig_seal(size_t which)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    return call_seal(&rig.token[which], &rig.object[which], 5, "aad",
                     BYTES_OF(dep_key), out, &len);
}

HF_STATUS rig_open_sealed(size_t which)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    enum hf_status status =
        call_open(&rig.token[which], &rig.object[which], 6, "aad",
                  (struct bytes){sealed[which], sealed_len[which]}, out, &len);
    if (status == HF_OK) {
        assert_int_equal(len, sizeof dep_key);
        assert_memory_equal(out, dep_key, sizeof dep_key);
    }
    return status;
}

int rig_set_up(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 2; i++) {
        struct token_key_report canary;
        assert_ok(rig_open(i, &rig.token[i]));
        assert_ok(
            call_generate(&rig.token[i], TOKEN_FOR_CANARY, 2048, 9, &canary));
        assert_ok(call_generate(&rig.token[i], TOKEN_FOR_CUSTOMER_KEY_TOKEN,
                                2048, 1, &rig.root[i]));
        struct token_profile profile;
        token_profile_get(&rig.token[i], &profile);
        rig.suite = token_suite_preferred(&profile);
        assert_ok(
            wrap_for(&rig.root[i], rig.suite, BYTES_OF(dep_key), &rig.blob[i]));
    }
    assert_ok(call_generate(&rig.token[0], TOKEN_FOR_CUSTOMER_KEY_MEMORY, 2048,
                            2, &rig.memory));
    assert_ok(
        wrap_for(&rig.memory, rig.suite, BYTES_OF(dep_key), &rig.memory_blob));
    assert_ok(call_generate(&rig.token[0], TOKEN_FOR_AVAILABILITY_KEY, 0, 3,
                            &rig.ak));
    assert_ok(
        call_generate(&rig.token[0], TOKEN_FOR_RECORD_MAC, 0, 4, &rig.mac));
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    assert_ok(fault_control_clear(&rig.faults));
    token_close(&rig.token[0]);
    token_close(&rig.token[1]);
    return 0;
}

int rig_calm(void **state)
{
    (void)state;
    assert_ok(fault_control_clear(&rig.faults));
    fault_control_forget(&rig.faults);
    for (size_t i = 0; i < 2; i++) {
        assert_ok(rig_unwrap(i, &rig.object[i]));
        assert_ok(call_seal(&rig.token[i], &rig.object[i], 6, "aad",
                            BYTES_OF(dep_key), sealed[i], &sealed_len[i]));
    }
    return 0;
}

int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}
