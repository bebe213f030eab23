/* audit spool: the record of routine use, read from its folder. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "client/cli/cli.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/spool_check.h"

#include <inttypes.h>

static enum hf_status show(void *context, const struct spool_record *record,
                           const uint8_t hash[HF_SHA256_BYTES])
{
    struct cli *cli = context;
    char when[CLOCK_UTC_TEXT];
    char dep[HF_ID_TEXT];
    (void)hash;
    clock_format_utc(record->time_ms, when);
    id_format(&record->dep, dep);
    HF_OWNED(json_freep)
    json_t *line = json_pack(
        "{sI ss ss so so so ss so si ss sI}", "number",
        (json_int_t)record->number, "time", when, "method", record->method,
        "object", json_text(record->object), "blob", json_text(record->blob),
        "actor", json_text(record->actor), "initiator",
        record->initiator == 2 ? "SYSTEM" : "USER", "requestId",
        json_text(record->request_id), "purpose", (int)record->purpose, "dep",
        dep, "generation", (json_int_t)record->generation);
    return line != NULL && json_dumpf(line, cli->out, JSON_COMPACT) == 0 &&
                   fputc('\n', cli->out) != EOF
               ? HF_OK
               : HF_E_IO;
}

static enum cli_exit run_spool(struct cli *cli, const struct args *args)
{
    const char *folder = args->operands[0];
    struct spool_check check = {.each = show, .context = cli};
    enum hf_status status = spool_check_folder(folder, &check);
    if (status == HF_E_CORRUPT) {
        return cli_fail(cli, CLI_DATA_LOSS, "the spool is broken: %s",
                        check.problem);
    }
    if (status != HF_OK) {
        return cli_fail(cli, status == HF_E_NOT_FOUND ? CLI_MISSING : CLI_OTHER,
                        "%s: %s", folder, file_problem(status));
    }
    return fflush(cli->out) == 0 ? CLI_OK : CLI_OTHER;
}

static const struct command spool_command = {
    .group = "audit",
    .verb = "spool",
    .summary = "Show the uses of keys that are recorded in a spool's folder, "
               "oldest first, one JSON object a line; checked as far as "
               "\"audit verify --spool\" without what was signed.",
    .operands = "FOLDER",
    .example = "holdfast audit spool /var/lib/holdfast/spool",
    .run = run_spool,
};

static const struct command *const commands[] = {&spool_command};
const struct command_set commands_of_spool = {commands, HF_COUNT(commands)};
