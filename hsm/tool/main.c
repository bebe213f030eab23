/* holdfast-hsm: tokens and root keys, for the operator of a PKCS#11 module.
 *
 * A command may run twice: what is there already is reported and left as it is.
 * Not so key destroy, rename and import-prepare, token backup and change-pin.
 * What destroys something is in erase.c, and asks first what is in use. */
#include "hsm/sys/log.h"
#include "hsm/sys/secret.h"

#include "hsm/tool/options.h"
#include "hsm/tool/output.h"
#include "hsm/tool/tool.h"

#include <stdio.h>
#include <stdlib.h>

#define SECRET_HEAP_BYTES (1u << 16)

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
    if (tool.options.given[OPTION_VERSION]) {
        return printf("holdfast-hsm %s\n", HF_VERSION) > 0 &&
                       fflush(stdout) == 0
                   ? TOOL_OK
                   : TOOL_OTHER;
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
