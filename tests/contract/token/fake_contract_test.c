/* The token contract on the fake: is it honest? */
#include "tests/contract/token/token_contract.h"
#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <string.h>

static HF_STATUS open_fake(size_t which, size_t queue_max, struct token *out)
{
    static const char *const labels[] = {"fake-a", "fake-b"};
    struct token_fake_settings settings = {
        .label = labels[which],
        .queue_max = queue_max,
    };
    struct token_fake *fake = NULL;
    return token_fake_new(&settings, out, &fake);
}

static const struct contract_subject subject = {
    .name = "token contract on the fake",
    .forgets = true,
    .open = open_fake,
};

int main(void)
{
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return token_contract_run(&subject);
}
