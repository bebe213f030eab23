/* holdfast-hsm: tokens and root keys, for the operator of a PKCS#11 module.
 *
 * Every command may run twice: what is there already is reported and left as it
 * is. Nothing here erases a token or destroys a key. */
#include "hsm/sys/log.h"
#include "hsm/sys/secret.h"

#include "hsm/tool/options.h"
#include "hsm/tool/output.h"
#include "hsm/tool/tool.h"

#include <stdio.h>
#include <stdlib.h>

#define SECRET_HEAP_BYTES (1u << 16)

const struct command commands[] = {
    {.group = "token",
     .verb = "init",
     .summary = "Initialise a free slot: PINs, canary key, custody label",
     .example = "--label contoso-ck1 --domain contoso-hq "
                "--so-pin-file so.pin --pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(SO_PIN_FILE) | OPTION_BIT(SO_PIN_FD) |
              OPTION_BIT(DOMAIN) | OPTION_BIT(TEST_ONLY) |
              OPTION_BIT(PROTECTION) | OPTION_BIT(RETENTION),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(DOMAIN),
     .run = cmd_token_init},
    {.group = "token",
     .verb = "list",
     .summary = "List the tokens of a module; needs no PIN",
     .example = "--module /usr/lib/softhsm/libsofthsm2.so",
     .takes = OPTIONS_MODULE,
     .run = cmd_token_list},
    {.group = "token",
     .verb = "show",
     .summary = "Show a token: custody, canary, keys, capacity",
     .example = "--token contoso-ck1 --pin-file user.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_show},
    {.group = "token",
     .verb = "test",
     .summary = "Try everything Holdfast asks of a token and say what it can "
                "serve", .example = "--token contoso-ck1 --pin-file user.pin --json",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_test},
    {.group = "token",
     .verb = "enroll",
     .summary = "Sign the statement that gives a token to a tenant",
     .example = "--token contoso-ck1 --tenant contoso --domain contoso-hq "
                "--key custodian.pem --out ck1.enrolment.json "
                "--pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(TENANT) | OPTION_BIT(DOMAIN) |
              OPTION_BIT(KEY) | OPTION_BIT(OUT),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(TENANT) | OPTION_BIT(DOMAIN) |
              OPTION_BIT(KEY) | OPTION_BIT(OUT),
     .run = cmd_token_enroll},
    {.group = "key",
     .verb = "generate",
     .summary = "Generate a customer key that never leaves its token",
     .example = "--token contoso-ck1 --name mailbox-2026 --pin-file user.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTION_BIT(BITS) | OPTION_BIT(TYPE) | OPTION_BIT(EXTRACTABLE) |
              OPTION_BIT(RESIDENCY) | OPTION_BIT(NEW_VERSION),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NAME),
     .run = cmd_key_generate},
    {.group = "key",
     .verb = "list",
     .summary = "List the keys of a token",
     .example = "--token contoso-ck1 --pin-file user.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_key_list},
    {.group = "key",
     .verb = "show",
     .summary = "Show a key: URI, fingerprint, attributes",
     .example = "--token contoso-ck1 --name mailbox-2026 --pin-file user.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_key_show},
    {.group = "service",
     .verb = "init",
     .summary = "Prepare the service's own token: record MAC and audit keys",
     .example = "--token holdfast-service --pin-file service.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_service_init},
    {.group = "ak",
     .verb = "init",
     .summary = "Prepare a token for availability keys",
     .example = "--token holdfast-ak --pin-file ak.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_ak_init},
    {.group = "ak",
     .verb = "verify-absent",
     .summary = "Verify that no availability key of this name is there, and "
                "that none opens the copy", .example = "--token holdfast-ak --label-prefix hf-ak:UUID: --id-prefix "
                "HEX --id HEX --wrapped HEX --pin-file ak.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(LABEL_PREFIX) | OPTION_BIT(ID_PREFIX) |
              OPTION_BIT(ID) | OPTION_BIT(WRAPPED),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(LABEL_PREFIX) |
              OPTION_BIT(ID_PREFIX) | OPTION_BIT(ID) | OPTION_BIT(WRAPPED),
     .run = cmd_ak_verify_absent},
    {.group = "custodian",
     .verb = "new",
     .summary = "Make a custodian's signing key, in an owner-only file",
     .example = "--out custodian.pem --public custodian.pub.pem",
     .takes = OPTION_BIT(OUT) | OPTION_BIT(PUBLIC) | OPTION_BIT(KEY_TYPE),
     .needs = OPTION_BIT(OUT),
     .run = cmd_custodian_new},
    {.group = NULL                                                      },
};

static HF_STATUS prepare(struct tool *tool)
{
    if (secret_heap_start(SECRET_HEAP_BYTES) != HF_OK) {
        return tool_fail(tool, HF_E_RESOURCES,
                         "memory for PINs cannot be locked: raise the limit "
                         "of locked memory (ulimit -l)");
    }
    if (process_harden() != HF_OK) {
        return tool_fail(tool, HF_E_RESOURCES,
                         "core dumps cannot be switched off");
    }
    log_level_set(LOG_ERROR); /* what matters to a person is in the answer */
    return HF_OK;
}

int main(int argc, char **argv)
{
    struct tool tool = {0};
    enum hf_status status = options_parse(argc, argv, &tool.options);
    const struct command *command = tool.options.command;
    if (status != HF_OK) {
        output_mistake(&tool);
        return TOOL_USAGE;
    }
    if (tool.options.given[OPTION_HELP]) {
        options_help(command, stdout);
        return fflush(stdout) == 0 ? TOOL_OK : TOOL_OTHER;
    }
    status = prepare(&tool);
    if (status == HF_OK) {
        status = command->run(&tool);
    }
    if (status != HF_OK) {
        output_problem(&tool, status);
    }
    return (int)tool_exit_of(status);
}
