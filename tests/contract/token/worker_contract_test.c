/* The token contract on a link, with a process of its own at the other end: in
 * front of the fake, and of the PKCS#11 adapter on SoftHSM. Whoever uses a
 * token cannot tell a worker's from one in his own process. */
#include "hsm/base/check.h"

#include "hsm/pkcs11/pkcs11.h"

#include "tests/contract/token/token_contract.h"
#include "tests/fakes/token_fake.h"
#include "tests/support/softhsm.h"
#include "tests/support/spawned_worker.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool on_fake;

/* --- in the worker -------------------------------------------------------- */

static HF_STATUS open_pkcs11(const char *label, size_t queue_max,
                             struct token *out)
{
    static const char tokens[] = "/tokens";
    char sync_path[300];
    struct secret *pin = NULL;
    const char *conf = getenv("SOFTHSM2_CONF");
    struct pkcs11_settings settings = {
        .module_path = softhsm_module(),
        .label = label,
        .sync = PKCS11_SYNC_SYNCFS,
        .sync_path = sync_path,
        .queue_max = (uint32_t)queue_max,
    };
    struct pkcs11_refusal refusal;
    CHECK(conf != NULL && secret_new(6, &pin) == HF_OK);
    memcpy(secret_writable(pin), "123456", 6);
    snprintf(sync_path, sizeof sync_path, "%.*s%s",
             (int)(strrchr(conf, '/') - conf), conf, tokens);
    settings.pin = pin;
    enum hf_status status = pkcs11_open(&settings, out, &refusal);
    if (status != HF_OK) {
        fprintf(stderr, "%s: %s\n", hf_status_name(status), refusal.text);
    }
    secret_free(pin);
    return status;
}

static HF_STATUS open_in_worker(const char *what, size_t queue_max,
                                struct token *out)
{
    struct token_fake_settings settings = {.label = what,
                                           .queue_max = queue_max};
    struct token_fake *fake = NULL;
    return strncmp(what, "fake", 4) == 0 ? token_fake_new(&settings, out, &fake)
                                         : open_pkcs11(what, queue_max, out);
}

/* --- in its user ---------------------------------------------------------- */

static HF_STATUS open_subject(size_t which, size_t queue_max, struct token *out)
{
    static const char *const fakes[] = {"fake-a", "fake-b"};
    static const char *const real[] = {"worker-a", "worker-b"};
    const struct spawned_settings settings = {
        .what = on_fake ? fakes[which] : real[which],
        .queue_max = queue_max,
    };
    return spawned_worker_open(&settings, out);
}

static int run_on_fake(void)
{
    static const struct contract_subject subject = {
        .name = "token contract on a worker (fake)",
        .forgets = true,
        .open = open_subject,
    };
    on_fake = true;
    return token_contract_run(&subject);
}

static int run_on_softhsm(void)
{
    static const struct contract_subject subject = {
        .name = "token contract on a worker (PKCS#11, SoftHSM)",
        .open = open_subject,
    };
    struct softhsm softhsm;
    if (softhsm_start(&softhsm) != HF_OK ||
        softhsm_add_token(&softhsm, "worker-a", "123456", "654321") != HF_OK ||
        softhsm_add_token(&softhsm, "worker-b", "123456", "654321") != HF_OK) {
        return 1;
    }
    int failed = token_contract_run(&subject);
    softhsm_stop(&softhsm);
    return failed;
}

int main(int argc, char **argv)
{
    int worker = spawned_worker_main(argc, argv, open_in_worker);
    if (worker >= 0) {
        return worker;
    }
    if (argc != 2 || secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return strcmp(argv[1], "fake") == 0 ? run_on_fake() : run_on_softhsm();
}
