/* Modules that say what is not so: a key that is not there, one that is still
 * there, an answer that is wrong, a "cannot" that is only "not now". */
#include "tests/contract/token/faults.h"

#include <stdio.h>
#include <string.h>

/* "made" means that a session that had no part in it sees it. */
static void what_was_made_is_there(void **state)
{
    (void)state;
    const struct token *own = &rig.token[0];
    struct token_key_report report;
    struct token_data items[4];
    size_t count = 9;
    faults("token=fault-a function=C_GenerateKey lie=lose\n"
           "token=fault-a function=C_GenerateKeyPair lie=lose\n"
           "token=fault-a function=C_CreateObject lie=lose");
    assert_status(
        call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 80, &report),
        HF_E_UNREACHABLE);
    assert_status(call_generate(own, TOKEN_FOR_AUDIT_SIGNING, 0, 81, &report),
                  HF_E_UNREACHABLE);
    assert_status(call_data(own, TOKEN_OP_DATA_CREATE, "lost", "1"),
                  HF_E_UNREACHABLE);
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_data_list(own, "lost", items, 4, &count));
    assert_int_equal(count, 0);
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 80, &report));
    assert_ok(call_data(own, TOKEN_OP_DATA_CREATE, "lost", "1"));
}

/* "Destroyed" means that a fresh session sees none of it. */
static void what_was_destroyed_is_gone(void **state)
{
    (void)state;
    const struct token *own = &rig.token[0];
    struct token_key_report report;
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 82, &report));
    assert_ok(call_data(own, TOKEN_OP_DATA_CREATE, "kept", "1"));
    static const char *const lies[] = {"lie=keep", "rv=CKR_KEY_HANDLE_INVALID"};
    for (size_t i = 0; i < 2; i++) {
        faults("token=fault-a function=C_DestroyObject %s", lies[i]);
        assert_status(call_destroy(own, &report.key), HF_E_UNREACHABLE);
        assert_status(call_data(own, TOKEN_OP_DATA_DESTROY, "kept", "1"),
                      HF_E_UNREACHABLE);
    }
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_destroy(own, &report.key));
    assert_ok(call_data(own, TOKEN_OP_DATA_DESTROY, "kept", "1"));
}

/* What is sealed wrongly opens for nobody, what is signed wrongly convinces
 * nobody: neither is an answer. */
static void wrong_answers_are_none(void **state)
{
    (void)state;
    struct token_key_report audit;
    uint8_t digest[HF_SHA256_BYTES] = {1};
    uint8_t signature[64];
    assert_ok(
        call_generate(&rig.token[0], TOKEN_FOR_AUDIT_SIGNING, 0, 83, &audit));
    faults("token=fault-a function=C_Encrypt lie=flip");
    assert_status(rig_seal(0), HF_E_UNREACHABLE);
    faults("token=fault-a function=C_Sign lie=flip");
    assert_status(call_sign(&rig.token[0], &audit.key, digest, signature),
                  HF_E_UNREACHABLE);
    assert_status(call_mac(&rig.token[0], &rig.mac.key, "text", digest),
                  HF_E_UNREACHABLE);
    /* one that cannot verify is believed */
    faults("token=fault-a function=C_VerifyInit "
           "rv=CKR_KEY_FUNCTION_NOT_PERMITTED");
    assert_ok(call_mac(&rig.token[0], &rig.mac.key, "text", digest));
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(rig_seal(0));
    assert_ok(call_sign(&rig.token[0], &audit.key, digest, signature));
}

/* Table 6-A: a key that was unwrapped and is not used says nothing of the blob;
 * DATA_LOSS would be the worst of answers to that. */
static void a_key_that_is_not_used_is_not_a_bad_blob(void **state)
{
    (void)state;
    static const struct {
        const char *rv;
        enum hf_status expected;
    } rows[] = {
        {"CKR_KEY_FUNCTION_NOT_PERMITTED", HF_E_DENIED     },
        {"CKR_HOST_MEMORY",                HF_E_NO_MEMORY  },
        {"CKR_MECHANISM_INVALID",          HF_E_MISUSE     },
        {"CKR_DEVICE_ERROR",               HF_E_UNREACHABLE},
        {"CKR_OBJECT_HANDLE_INVALID",      HF_E_UNREACHABLE},
    };
    struct token_object other;
    faults("token=fault-a function=C_GetAttributeValue rv=CKR_GENERAL_ERROR");
    assert_status(rig_unwrap(0, &other), HF_E_UNREACHABLE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_object object;
        faults("token=fault-a function=C_EncryptInit rv=%s", rows[i].rv);
        print_message("%s\n", rows[i].rv);
        assert_status(rig_unwrap(0, &object), rows[i].expected);
    }
}

/* An operation that was half begun does not stand in the way of its repetition.
 */
static void a_stale_handle_found_late_is_repaired(void **state)
{
    (void)state;
    uint8_t mac[HF_SHA256_BYTES];
    faults("token=fault-a function=C_Sign rv=CKR_KEY_HANDLE_INVALID count=1");
    assert_ok(call_mac(&rig.token[0], &rig.mac.key, "text", mac));
}

/* A profile is kept for as long as a token is open: what was in trouble at that
 * moment must not look lacking from then on. */
static void trouble_at_the_start_is_not_a_lack(void **state)
{
    (void)state;
    static const struct {
        const char *function;
        const char *rv;
        enum hf_status expected;
    } rows[] = {
        {"C_UnwrapKey",        "CKR_DEVICE_ERROR",   HF_E_UNREACHABLE},
        {"C_UnwrapKey",        "CKR_GENERAL_ERROR",  HF_E_UNREACHABLE},
        {"C_UnwrapKey",        "0x80000042",         HF_E_UNREACHABLE},
        {"C_UnwrapKey",        "CKR_HOST_MEMORY",    HF_E_NO_MEMORY  },
        {"C_WrapKey",          "CKR_SESSION_CLOSED", HF_E_UNREACHABLE},
        {"C_WrapKey",          "CKR_GENERAL_ERROR",  HF_E_UNREACHABLE},
        {"C_GetMechanismInfo", "CKR_DEVICE_ERROR",   HF_E_UNREACHABLE},
    };
    struct pkcs11_settings settings = rig_settings(2);
    struct pkcs11_refusal refusal;
    struct token token = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        faults("token=fault-c function=%s rv=%s", rows[i].function, rows[i].rv);
        print_message("%s %s\n", rows[i].function, rows[i].rv);
        assert_status(pkcs11_open(&settings, &token, &refusal),
                      rows[i].expected);
    }
    /* in so many words it is believed: it cannot */
    struct token_profile profile;
    faults("token=fault-c function=C_UnwrapKey rv=CKR_FUNCTION_NOT_SUPPORTED");
    assert_ok(pkcs11_open(&settings, &token, &refusal));
    token_profile_get(&token, &profile);
    assert_false(profile.unwrap_to_object);
    token_close(&token);
}

int main(void)
{
#define FAULT_TEST(test) cmocka_unit_test_setup(test, rig_calm)
    const struct CMUnitTest tests[] = {
        FAULT_TEST(what_was_made_is_there),
        FAULT_TEST(what_was_destroyed_is_gone),
        FAULT_TEST(wrong_answers_are_none),
        FAULT_TEST(a_key_that_is_not_used_is_not_a_bad_blob),
        FAULT_TEST(a_stale_handle_found_late_is_repaired),
        FAULT_TEST(trouble_at_the_start_is_not_a_lack),
    };
    if (rig_start() != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    rig_stop();
    return failed;
}
