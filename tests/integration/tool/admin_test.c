/* The operator's functions on SoftHSM: nothing that was initialised is ever
 * initialised again, whoever asks. */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret.h"

#include "hsm/pkcs11/admin.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/names.h"
#include "hsm/token/token.h"

#include "tests/support/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL "admin"

static char folder[] = "/tmp/holdfast-admin-XXXXXX";
static char tokens[sizeof folder + 16];
static const char *module_path;
static struct secret *so_pin;
static struct secret *pin;

static struct secret *secret_of(const char *text)
{
    struct secret *secret = NULL;
    assert_ok(secret_new(strlen(text), &secret));
    memcpy(secret_writable(secret), text, strlen(text));
    return secret;
}

static const char *find_module(void)
{
    static const char *const usual[] = {
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    };
    for (size_t i = 0; i < HF_COUNT(usual); i++) {
        if (access(usual[i], R_OK) == 0) {
            return usual[i];
        }
    }
    fail_msg("SoftHSM is not installed");
    return NULL;
}

static int prepare(void **state)
{
    (void)state;
    char conf[sizeof folder + 16];
    assert_ok(secret_heap_start(1 << 18));
    assert_non_null(mkdtemp(folder));
    assert_true(snprintf(tokens, sizeof tokens, "%s/tokens", folder) > 0);
    assert_int_equal(mkdir(tokens, 0700), 0);
    assert_true(snprintf(conf, sizeof conf, "%s/conf", folder) > 0);
    FILE *file = fopen(conf, "w");
    assert_non_null(file);
    assert_true(fprintf(file,
                        "directories.tokendir = %s\n"
                        "objectstore.backend = file\nlog.level = ERROR\n",
                        tokens) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(setenv("SOFTHSM2_CONF", conf, 1), 0);
    module_path = find_module();
    so_pin = secret_of("officer-1");
    pin = secret_of("user-1");
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind,
                      struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int clean_up(void **state)
{
    (void)state;
    secret_freep(&so_pin);
    secret_freep(&pin);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static enum hf_status initialise(const char *label,
                                 const struct secret *officers,
                                 struct pkcs11_token_info *out_info)
{
    const struct pkcs11_token_init how = {.module_path = module_path,
                                          .label = label,
                                          .so_pin = officers,
                                          .pin = pin};
    struct pkcs11_refusal refusal = {0};
    enum hf_status status = pkcs11_token_initialise(&how, out_info, &refusal);
    assert_int_equal(status == HF_OK, refusal.text[0] == '\0');
    return status;
}

static void open_token(struct token *out_token)
{
    const struct pkcs11_settings settings = {.module_path = module_path,
                                             .label = LABEL,
                                             .pin = pin,
                                             .sync = PKCS11_SYNC_SYNCFS,
                                             .sync_path = tokens,
                                             .clock = clock_system()};
    struct pkcs11_refusal refusal = {0};
    enum hf_status status = pkcs11_open(&settings, out_token, &refusal);
    if (status != HF_OK) {
        fail_msg("%s: %s", hf_status_name(status), refusal.text);
    }
}

static void ready_tokens_are_never_initialised_again(void **state)
{
    (void)state;
    struct pkcs11_token_info made;
    struct pkcs11_token_info again;
    struct token token;
    struct token_profile profile;
    size_t count = 0;
    assert_ok(initialise(LABEL, so_pin, &made));
    assert_string_equal(made.label, LABEL);
    assert_true(made.initialised && made.pin_set);

    open_token(&token);
    struct token_data data = {.label = "mine", .value = {1}, .value_len = 1};
    struct token_request create = {.op = TOKEN_OP_DATA_CREATE, .u.data = &data};
    assert_ok(token_call(&token, &create));
    token_close(&token);

    /* with the right SO PIN, SoftHSM itself would erase it */
    assert_status(initialise(LABEL, so_pin, &again), HF_E_EXISTS);
    open_token(&token);
    token_profile_get(&token, &profile);
    assert_string_equal(profile.serial, made.serial);
    assert_ok(pkcs11_token_objects(module_path, LABEL, made.serial, &count));
    assert_int_equal(count, 1);
    token_close(&token);
}

static void objects_are_counted_only_when_logged_in(void **state)
{
    (void)state;
    struct pkcs11_token_info infos[8];
    struct pkcs11_refusal refusal = {0};
    size_t count = 0;
    size_t objects = 0;
    assert_ok(
        pkcs11_tokens(module_path, infos, HF_COUNT(infos), &count, &refusal));
    assert_int_equal(count, 2); /* ours, and a free slot */
    const struct pkcs11_token_info *ours =
        infos[0].initialised ? &infos[0] : &infos[1];
    assert_status(
        pkcs11_token_objects(module_path, LABEL, ours->serial, &objects),
        HF_E_PRECONDITION);
    assert_status(pkcs11_token_objects(module_path, LABEL, "0", &objects),
                  HF_E_NOT_FOUND);
    assert_status(pkcs11_tokens(module_path, infos, 1, &count, &refusal),
                  HF_E_LIMIT);
}

static void bad_labels_and_pins_change_nothing(void **state)
{
    (void)state;
    struct pkcs11_token_info info;
    struct pkcs11_token_info infos[8];
    struct pkcs11_refusal refusal = {0};
    size_t count = 0;
    HF_OWNED(secret_freep) struct secret *short_pin = secret_of("123");
    assert_status(initialise("", so_pin, &info), HF_E_INVALID);
    assert_status(
        initialise("123456789012345678901234567890123", so_pin, &info),
        HF_E_INVALID);
    assert_status(initialise("other", short_pin, &info), HF_E_INVALID);
    assert_ok(
        pkcs11_tokens(module_path, infos, HF_COUNT(infos), &count, &refusal));
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_tokens_are_never_initialised_again),
        cmocka_unit_test(objects_are_counted_only_when_logged_in),
        cmocka_unit_test(bad_labels_and_pins_change_nothing),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
