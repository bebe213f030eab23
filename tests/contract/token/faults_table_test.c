/* Table 6-A row by row, PINs, lies: what the adapter makes of a token's
 * answers. */
#include "hsm/base/check.h"

#include "hsm/pkcs11/rv.h"

#include "tests/contract/token/faults.h"

#include <stdio.h>
#include <string.h>

struct row {
    const char *rv;
    enum hf_status expected;
};

/* Each code, on every call of the function. */
static const struct row table[] = {
    {"CKR_KEY_FUNCTION_NOT_PERMITTED", HF_E_DENIED     },
    {"CKR_ACTION_PROHIBITED",          HF_E_DENIED     },
    {"CKR_PIN_INCORRECT",              HF_E_DENIED     },
    {"CKR_PIN_LOCKED",                 HF_E_DENIED     },
    {"CKR_PIN_EXPIRED",                HF_E_DENIED     },
    {"CKR_TOKEN_NOT_PRESENT",          HF_E_UNREACHABLE},
    {"CKR_DEVICE_ERROR",               HF_E_UNREACHABLE},
    {"CKR_DEVICE_REMOVED",             HF_E_UNREACHABLE},
    {"CKR_DEVICE_MEMORY",              HF_E_UNREACHABLE},
    {"CKR_GENERAL_ERROR",              HF_E_UNREACHABLE},
    {"CKR_FUNCTION_FAILED",            HF_E_UNREACHABLE},
    {"CKR_SESSION_HANDLE_INVALID",     HF_E_UNREACHABLE},
    {"CKR_SESSION_CLOSED",             HF_E_UNREACHABLE},
    {"CKR_USER_NOT_LOGGED_IN",         HF_E_UNREACHABLE},
    {"CKR_WRAPPED_KEY_INVALID",        HF_E_BAD_BLOB   },
    {"CKR_WRAPPED_KEY_LEN_RANGE",      HF_E_BAD_BLOB   },
    {"CKR_ENCRYPTED_DATA_INVALID",     HF_E_BAD_BLOB   },
    {"CKR_ENCRYPTED_DATA_LEN_RANGE",   HF_E_BAD_BLOB   },
    {"CKR_HOST_MEMORY",                HF_E_NO_MEMORY  },
    {"CKR_SESSION_COUNT",              HF_E_RESOURCES  },
    {"CKR_CRYPTOKI_NOT_INITIALIZED",   HF_E_MISUSE     },
    {"CKR_MECHANISM_INVALID",          HF_E_MISUSE     },
    {"CKR_MECHANISM_PARAM_INVALID",    HF_E_MISUSE     },
    {"CKR_ARGUMENTS_BAD",              HF_E_MISUSE     },
 /* unknown codes are TRANSIENT */
    {"0x80000042",                     HF_E_UNREACHABLE},
    {"0x7f",                           HF_E_UNREACHABLE},
};

static void check_calm(void)
{
    struct token_object object;
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(rig_unwrap(0, &object));
    assert_ok(call_forget(&rig.token[0], &object));
    assert_ok(rig_decrypt());
}

static void table_on_unwrap(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        struct token_object object;
        faults("token=fault-a function=C_UnwrapKey rv=%s", table[i].rv);
        print_message("%s\n", table[i].rv);
        assert_status(rig_unwrap(0, &object), table[i].expected);
        /* one token's trouble is not another's */
        assert_ok(rig_unwrap(1, &object));
        assert_ok(call_forget(&rig.token[1], &object));
        check_calm();
    }
}

static void table_on_decrypt(void **state)
{
    (void)state;
    static const char *const functions[] = {"C_DecryptInit", "C_Decrypt"};
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        for (size_t j = 0; j < HF_COUNT(functions); j++) {
            faults("token=fault-a function=%s rv=%s", functions[j],
                   table[i].rv);
            assert_status(rig_decrypt(), table[i].expected);
            check_calm();
        }
    }
}

/* The data lane: the same table, except that what a lost session means is that
 * the object is gone. */
static void table_on_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        assert_int_equal(rig_calm(NULL), 0);
        faults("token=fault-a function=C_DecryptInit rv=%s", table[i].rv);
        print_message("%s\n", table[i].rv);
        assert_status(rig_open_sealed(0), table[i].expected);
        assert_ok(rig_open_sealed(1));
        assert_ok(fault_control_clear(&rig.faults));
        assert_ok(rig_open_sealed(0));
    }
}

static void table_on_seal(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        faults("token=fault-a function=C_Encrypt rv=%s", table[i].rv);
        assert_status(rig_seal(0), table[i].expected);
        assert_ok(fault_control_clear(&rig.faults));
        assert_ok(rig_seal(0));
    }
}

/* A general error that does not come back was nothing; the blob is not called
 * bad for it. */
static void one_general_error_is_forgiven(void **state)
{
    (void)state;
    struct token_object object;
    faults("token=fault-a function=C_UnwrapKey rv=CKR_GENERAL_ERROR count=1");
    assert_ok(rig_unwrap(0, &object));
    assert_ok(call_forget(&rig.token[0], &object));
    faults("token=fault-a function=C_Decrypt rv=CKR_FUNCTION_FAILED count=1");
    assert_ok(rig_decrypt());
    faults("token=fault-a function=C_Decrypt rv=CKR_GENERAL_ERROR count=1");
    assert_ok(rig_open_sealed(0));
}

/* Two in a row, with a canary between them that is fine: the blob is bad. The
 * canary's own call is the second of the three. */
static void general_errors_around_a_fine_canary(void **state)
{
    (void)state;
    struct token_object object;
    faults("token=fault-a function=C_UnwrapKey rv=CKR_GENERAL_ERROR count=1\n"
           "token=fault-a function=C_UnwrapKey rv=CKR_GENERAL_ERROR after=2 "
           "count=1");
    assert_status(rig_unwrap(0, &object), HF_E_BAD_BLOB);
}

static void session_loss_is_repaired_once(void **state)
{
    (void)state;
    static const char *const codes[] = {
        "CKR_SESSION_HANDLE_INVALID",
        "CKR_SESSION_CLOSED",
        "CKR_USER_NOT_LOGGED_IN",
        "CKR_DEVICE_REMOVED",
    };
    for (size_t i = 0; i < HF_COUNT(codes); i++) {
        struct token_object object;
        faults("token=fault-a function=C_UnwrapKey rv=%s count=1", codes[i]);
        assert_ok(rig_unwrap(0, &object));
        assert_ok(call_forget(&rig.token[0], &object));
        faults("token=fault-a function=C_UnwrapKey rv=%s count=2", codes[i]);
        assert_status(rig_unwrap(0, &object), HF_E_UNREACHABLE);
        /* nothing but one session was lost: the objects live */
        faults("token=fault-a function=C_EncryptInit rv=%s count=1", codes[i]);
        assert_ok(rig_seal(0));
        faults("token=fault-a function=C_GenerateKey rv=%s count=1", codes[i]);
        struct token_mint mint = {
            .copy_count = 1,
            .copies = {{.suite = TOKEN_SUITE_AES_KWP, .key = rig.ak.key}},
            .check_text = bytes_of_text("text"),
        };
        assert_ok(call_mint(&rig.token[0], &mint));
    }
}

/* A key handle that has gone stale is searched for again. */
static void stale_handles_are_found_again(void **state)
{
    (void)state;
    struct token_object object;
    faults("token=fault-a function=C_UnwrapKey rv=CKR_KEY_HANDLE_INVALID "
           "count=1");
    assert_ok(rig_unwrap(0, &object));
    assert_ok(call_forget(&rig.token[0], &object));
    faults("token=fault-a function=C_EncryptInit rv=CKR_KEY_HANDLE_INVALID "
           "count=1");
    assert_status(rig_seal(0), HF_E_PRECONDITION);
    assert_ok(rig_seal(0));
}

/* an empty search, with the canary gone as well, proves nothing. */
static void empty_searches_are_not_believed(void **state)
{
    (void)state;
    struct token_key_report report;
    faults("token=fault-a function=C_FindObjects lie=empty");
    assert_status(call_find(&rig.token[0], &rig.root[0].key, &report),
                  HF_E_UNCONFIRMED);
    assert_ok(call_find(&rig.token[1], &rig.root[1].key, &report));
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_find(&rig.token[0], &rig.root[0].key, &report));

    struct token_key nobody = rig.root[0].key;
    nobody.id[0] ^= 0xff;
    assert_status(call_find(&rig.token[0], &nobody, &report), HF_E_NOT_FOUND);
    /* the canary must really answer */
    faults("token=fault-a function=C_Decrypt rv=CKR_DEVICE_ERROR");
    assert_status(call_find(&rig.token[0], &nobody, &report), HF_E_UNCONFIRMED);
    faults("token=fault-a function=C_GetTokenInfo rv=CKR_GENERAL_ERROR");
    assert_status(call_find(&rig.token[0], &nobody, &report), HF_E_UNCONFIRMED);
    /* a destroy that finds nothing says so only when that is believed */
    assert_status(call_destroy(&rig.token[0], &nobody), HF_E_UNCONFIRMED);
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_destroy(&rig.token[0], &nobody));
}

static void failed_destroys_are_not_done(void **state)
{
    (void)state;
    struct token_key_report report;
    const struct token *own = &rig.token[0];
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 50, &report));
    faults("token=fault-a function=C_DestroyObject rv=CKR_FUNCTION_FAILED");
    assert_status(call_destroy(own, &report.key), HF_E_UNREACHABLE);
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(call_find(own, &report.key, &report));
    assert_ok(call_destroy(own, &report.key));
    assert_status(call_find(own, &report.key, &report), HF_E_NOT_FOUND);
    /* from now on this process does not believe its own eyes */
    assert_status(call_destroy(own, &report.key), HF_E_UNCONFIRMED);
    token_close(&rig.token[0]);
    assert_ok(rig_open(0, &rig.token[0]));
    assert_ok(call_destroy(own, &report.key));
}

/* what could not be made durable is not there. */
static void nothing_is_acknowledged_that_is_not_durable(void **state)
{
    (void)state;
    struct token own = {0};
    struct token_key_report report;
    struct pkcs11_settings settings = rig_settings(2);
    struct pkcs11_refusal refusal;
    settings.sync_path = "/nonexistent/tokens";
    assert_ok(pkcs11_open(&settings, &own, &refusal));
    assert_status(
        call_generate(&own, TOKEN_FOR_AVAILABILITY_KEY, 0, 60, &report),
        HF_E_IO);
    struct token_key key = {
        .type = TOKEN_KEY_AES, .id = {0xA0, 60}
    };
    key.id_len = 2;
    assert_status(call_find(&own, &key, &report), HF_E_NOT_FOUND);
    assert_status(call_data(&own, TOKEN_OP_DATA_CREATE, "epoch", "1"), HF_E_IO);
    struct token_data items[2];
    size_t count = 9;
    assert_ok(call_data_list(&own, "epoch", items, 2, &count));
    assert_int_equal(count, 0);
    token_close(&own);
}

static void lies_are_found_out(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *reason;
    } lies[] = {
        {"lie=loose",                                 ""               },
        {"function=C_GetAttributeValue lie=readable", "read back"      },
        {"function=C_WrapKey lie=export",             "wrapped out"    },
        {"function=C_Decrypt lie=no_tag",             "AES-GCM ignores"},
        {"function=C_Encrypt lie=flip",               "wrong answer"   },
        {"function=C_Sign lie=flip",                  "HMAC"           },
        {"function=C_Decrypt lie=flip",               "RSA-OAEP"       },
    };
    struct pkcs11_settings settings = rig_settings(2);
    struct pkcs11_refusal refusal;
    struct token token = {0};
    for (size_t i = 0; i < HF_COUNT(lies); i++) {
        faults("token=fault-c %s", lies[i].rule);
        print_message("%s: ", lies[i].rule);
        assert_status(pkcs11_open(&settings, &token, &refusal),
                      HF_E_UNSUPPORTED);
        print_message("%s\n", refusal.text);
        assert_non_null(strstr(refusal.text, lies[i].reason));
    }
    assert_ok(fault_control_clear(&rig.faults));
    assert_ok(pkcs11_open(&settings, &token, &refusal));
    token_close(&token);
}

/* One transient failure does not end a start; a lasting one does, with its
 * reason. */
static void starts_are_patient(void **state)
{
    (void)state;
    struct pkcs11_settings settings = rig_settings(2);
    struct pkcs11_refusal refusal;
    struct token token = {0};
    faults("token=fault-c function=C_OpenSession rv=CKR_GENERAL_ERROR count=1");
    assert_ok(pkcs11_open(&settings, &token, &refusal));
    token_close(&token);
    faults("token=fault-c function=C_OpenSession rv=CKR_DEVICE_ERROR");
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_UNREACHABLE);
    assert_non_null(strstr(refusal.text, "CKR_DEVICE_ERROR"));
    settings.label = "no such token";
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_NOT_FOUND);
    settings.label = "fault-c";
    settings.serial = "0000";
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_NOT_FOUND);
    settings.module_path = "/nonexistent/module.so";
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_UNREACHABLE);
}

/* a wrong PIN is offered once, whoever asks and however often. */
static void wrong_pins_are_tried_once(void **state)
{
    (void)state;
    struct pkcs11_settings settings = rig_settings(2);
    struct pkcs11_refusal refusal;
    struct token token = {0};
    struct secret *wrong = NULL;
    assert_ok(secret_new(6, &wrong));
    memcpy(secret_writable(wrong), "123457", 6);
    settings.pin = wrong;
    faults("token=fault-c function=C_Login log=1");
    for (size_t i = 0; i < 3; i++) {
        assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_DENIED);
        assert_int_equal(
            fault_control_logged(&rig.faults, "fault-c", "C_Login"), 1);
    }
    assert_non_null(strstr(refusal.text, "not tried again"));
    settings.pin = rig.pin;
    assert_ok(pkcs11_open(&settings, &token, &refusal));
    token_close(&token);
    secret_free(wrong);

    /* nor is one that cannot but be wrong, or would lock the token */
    fault_control_forget(&rig.faults);
    static const unsigned long flags[] = {CKF_USER_PIN_LOCKED,
                                          CKF_USER_PIN_FINAL_TRY};
    for (size_t i = 0; i < HF_COUNT(flags); i++) {
        faults("token=fault-c function=C_Login log=1\n"
               "token=fault-c function=C_GetTokenInfo flags=0x%lx",
               flags[i]);
        assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_DENIED);
    }
    assert_int_equal(fault_control_logged(&rig.faults, "fault-c", "C_Login"),
                     0);
    /* a log-in that fails for any other reason is not repeated either */
    faults("token=fault-c function=C_Login log=1 rv=CKR_DEVICE_ERROR");
    assert_status(pkcs11_open(&settings, &token, &refusal), HF_E_UNREACHABLE);
    assert_int_equal(fault_control_logged(&rig.faults, "fault-c", "C_Login"),
                     1);
}

int main(void)
{
#define FAULT_TEST(test) cmocka_unit_test_setup(test, rig_calm)
    const struct CMUnitTest tests[] = {
        FAULT_TEST(table_on_unwrap),
        FAULT_TEST(table_on_decrypt),
        FAULT_TEST(table_on_open),
        FAULT_TEST(table_on_seal),
        FAULT_TEST(one_general_error_is_forgiven),
        FAULT_TEST(general_errors_around_a_fine_canary),
        FAULT_TEST(session_loss_is_repaired_once),
        FAULT_TEST(stale_handles_are_found_again),
        FAULT_TEST(empty_searches_are_not_believed),
        FAULT_TEST(failed_destroys_are_not_done),
        FAULT_TEST(nothing_is_acknowledged_that_is_not_durable),
        FAULT_TEST(lies_are_found_out),
        FAULT_TEST(starts_are_patient),
        FAULT_TEST(wrong_pins_are_tried_once),
    };
    if (rig_start() != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    rig_stop();
    return failed;
}
