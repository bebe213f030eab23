/* holdfast: the administrator's and the workload's command. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "client/cli/cli.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char *environment(const char *name)
{
    return getenv(name);
}

static void cli_clear(struct cli *cli)
{
    hf_client_close(cli->client);
    settings_clear(&cli->settings);
}

static enum cli_exit run(struct args *args)
{
    HF_OWNED(cli_clear)
    struct cli cli = {
        .json = args_count(args, "json") > 0,
        .out = stdout,
        .err = stderr,
        .args = args,
    };
    if (settings_load(args, environment, &cli.settings) != HF_OK) {
        return cli_usage(&cli, "%s",
                         cli.settings.mistake[0] != '\0' ? cli.settings.mistake
                                                         : "out of memory");
    }
    if (process_harden() != HF_OK) {
        /* no key has been read yet; better to stop than to risk a core dump */
        return cli_fail(&cli, CLI_OTHER, "core dumps cannot be switched off");
    }
    return args->command->run(&cli, args);
}

int main(int argc, char **argv)
{
    const struct command_set sets[] = {
        commands_of_status,        commands_of_tenant,
        commands_of_token,         commands_of_onboarding,
        commands_of_catalogue,     commands_of_key,
        commands_of_key_life,      commands_of_dep,
        commands_of_dep_keys,      commands_of_mailbox,
        commands_of_assignment,    commands_of_workload,
        commands_of_seal,          commands_of_data,
        commands_of_audit,         commands_of_audit_verify,
        commands_of_checkpoint,    commands_of_spool,
        commands_of_audit_stream,  commands_of_operation,
        commands_of_approvers,     commands_of_purge,
        commands_of_purge_approve, commands_of_purge_verify,
        commands_of_geo,           commands_of_site,
        commands_of_notice,        commands_of_ak_token,
    };
    struct args args;
    /* a reader that goes away ends in EPIPE, not in death mid-write */
    (void)signal(SIGPIPE, SIG_IGN);
    enum hf_status status = args_parse(sets, HF_COUNT(sets), argc, argv, &args);
    if (status == HF_OK && args.help) {
        args_help(sets, HF_COUNT(sets), &args, stdout);
        return CLI_OK;
    }
    if (status == HF_OK && args.version) {
        (void)printf("holdfast %s\n", HF_VERSION);
        return CLI_OK;
    }
    if (status != HF_OK) {
        struct cli cli = {.json = args_count(&args, "json") > 0,
                          .out = stdout,
                          .err = stderr,
                          .args = &args};
        enum cli_exit code = cli_usage(&cli, "%s", args.mistake);
        if (args.command == NULL && !cli.json) {
            (void)fprintf(stderr, "  see: holdfast %s%s--help\n",
                          args.group != NULL ? args.group : "",
                          args.group != NULL ? " " : "");
        }
        return (int)code;
    }
    return (int)run(&args);
}
