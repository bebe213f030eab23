/* The token contract on the PKCS#11 adapter, in front of SoftHSM. */
#include "hsm/pkcs11/pkcs11.h"

#include "tests/contract/token/token_contract.h"
#include "tests/support/softhsm.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

static struct softhsm softhsm;
static struct secret *pin;

static HF_STATUS open_softhsm(size_t which, size_t queue_max, struct token *out)
{
    static const char *const labels[] = {"contract-a", "contract-b"};
    struct pkcs11_settings settings = {
        .module_path = softhsm_module(),
        .label = labels[which],
        .pin = pin,
        .sync = PKCS11_SYNC_SYNCFS,
        .sync_path = softhsm.tokens,
        .queue_max = (uint32_t)queue_max,
        .clock = clock_system(),
    };
    struct pkcs11_refusal refusal;
    enum hf_status status = pkcs11_open(&settings, out, &refusal);
    if (status != HF_OK) {
        fprintf(stderr, "%s: %s\n", hf_status_name(status), refusal.text);
    }
    return status;
}

static const struct contract_subject subject = {
    .name = "token contract on PKCS#11 (SoftHSM)",
    .open = open_softhsm,
};

int main(void)
{
    if (secret_heap_start(1 << 18) != HF_OK || secret_new(6, &pin) != HF_OK ||
        softhsm_start(&softhsm) != HF_OK ||
        softhsm_add_token(&softhsm, "contract-a", "123456", "654321") !=
            HF_OK ||
        softhsm_add_token(&softhsm, "contract-b", "123456", "654321") !=
            HF_OK) {
        return 1;
    }
    memcpy(secret_writable(pin), "123456", 6);
    int failed = token_contract_run(&subject);
    secret_free(pin);
    softhsm_stop(&softhsm);
    return failed;
}
