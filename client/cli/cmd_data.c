/* data: the workload's calls, one at a time: generate-key, unwrap, wrap,
 * rewrap, renew, retire. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/access.h"
#include "client/cli/cli.h"
#include "client/cli/created.h"

#include "holdfast/v1/key_service.pb-c.h"

/* answer: the end of each of them. Takes the answer. */
static enum cli_exit answer(struct cli *cli, const struct access *access,
                            struct hf_key_answer *answer, enum hf_code code,
                            const struct hf_error *error)
{
    if (code != HF_CODE_OK) {
        return cli_error(cli, error);
    }
    enum cli_exit done = CLI_OK;
    if (answer->key != NULL) {
        done = key_place(cli, answer->key);
    }
    if (done == CLI_OK) {
        done = access_show(cli, access, answer);
    }
    hf_key_answer_clear(answer);
    return done;
}

static enum cli_exit run_generate(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    struct hf_key_answer got = {0};
    enum cli_exit code = key_place_check(cli, false);
    if (code == CLI_OK) {
        code = access_begin(cli, args->operands[0], &access);
    }
    if (code != CLI_OK) {
        return code;
    }
    enum hf_code asked =
        hf_generate_key(cli->client, &access.request, &got, &error);
    return answer(cli, &access, &got, asked, &error);
}

static enum cli_exit run_unwrap(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    struct hf_key_answer got = {0};
    enum cli_exit code = key_place_check(cli, true);
    if (code == CLI_OK) {
        code = access_begin(cli, args->operands[0], &access);
    }
    if (code == CLI_OK) {
        code = access_take_wrapped(cli, &access);
    }
    if (code != CLI_OK) {
        return code;
    }
    enum hf_code asked =
        hf_unwrap_key(cli->client, &access.request, &got, &error);
    return answer(cli, &access, &got, asked, &error);
}

static void secret_clear(struct hf_secret **secret)
{
    hf_secret_free(*secret);
}

static enum cli_exit read_key(struct cli *cli, struct hf_secret **out_key)
{
    const char *path = args_text(cli->args, "key-file");
    HF_OWNED(file_data_clear) struct file_data data = {0};
    enum hf_status status = file_read(path, HF_RESOURCE_KEY_BYTES, &data);
    if (status != HF_OK && status != HF_E_LIMIT) {
        return cli_usage(cli, "--key-file %s: %s", path, file_problem(status));
    }
    if (status == HF_E_LIMIT || data.len != HF_RESOURCE_KEY_BYTES) {
        return cli_usage(cli, "--key-file %s: a key is exactly %d raw bytes",
                         path, HF_RESOURCE_KEY_BYTES);
    }
    return hf_secret_new(data.bytes, data.len, out_key) == HF_CODE_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "no locked memory left");
}

static enum cli_exit run_wrap(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(secret_clear) struct hf_secret *key = NULL;
    struct hf_key_answer got = {0};
    enum cli_exit code = read_key(cli, &key);
    if (code == CLI_OK) {
        code = access_begin(cli, args->operands[0], &access);
    }
    if (code != CLI_OK) {
        return code;
    }
    access.request.key = key;
    enum hf_code asked =
        hf_wrap_key(cli->client, &access.request, &got, &error);
    return answer(cli, &access, &got, asked, &error);
}

static enum cli_exit run_rewrap(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    struct hf_key_answer got = {0};
    enum cli_exit code = access_begin(cli, args->operands[0], &access);
    if (code == CLI_OK) {
        code = access_take_wrapped(cli, &access);
    }
    if (code != CLI_OK) {
        return code;
    }
    enum hf_code asked =
        hf_rewrap_key(cli->client, &access.request, &got, &error);
    return answer(cli, &access, &got, asked, &error);
}

/* The old key's envelope first: with the new key alone nothing old opens. */
static enum cli_exit keep_replaced(struct cli *cli,
                                   const struct hf_key_answer *answer)
{
    const char *path = args_text(cli->args, "replaced-out");
    if (path == NULL) {
        return CLI_OK;
    }
    return created_write(
        cli, path, (struct bytes){answer->replaced_key, answer->replaced_len},
        "the wrapped key that was stored until now");
}

static enum cli_exit run_renew(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    struct hf_key_answer got = {0};
    enum cli_exit code = key_place_check(cli, false);
    if (code == CLI_OK) {
        code = access_begin(cli, args->operands[0], &access);
    }
    if (code != CLI_OK) {
        return code;
    }
    enum hf_code asked =
        hf_renew_key(cli->client, &access.request, &got, &error);
    enum cli_exit kept = CLI_OK;
    if (asked == HF_CODE_OK) {
        kept = keep_replaced(cli, &got);
    }
    enum cli_exit done = answer(cli, &access, &got, asked, &error);
    return kept == CLI_OK ? done : kept;
}

static const struct cli_method retire_method = {
    "holdfast.v1.KeyService/RetireEarlierKeys",
    &holdfast__v1__retire_earlier_keys_response__descriptor};
static const struct column retire_columns[] = {
    {"RETIRED KEYS", "retiredCount", NULL, COLUMN_RIGHT},
    {"DEP",          "dep",          NULL, COLUMN_LEAF },
    {"GENERATION",   "generation",   NULL, COLUMN_RIGHT},
};

static enum cli_exit run_retire(struct cli *cli, const struct args *args)
{
    HF_OWNED(access_clear) struct access access = {0};
    enum cli_exit code = access_begin(cli, args->operands[0], &access);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__AccessContext context = HOLDFAST__V1__ACCESS_CONTEXT__INIT;
    context.initiator = (Holdfast__V1__Initiator)access.request.initiator;
    context.system_purpose =
        (Holdfast__V1__SystemPurpose)access.request.purpose;
    context.request_id = access.request_id;
    Holdfast__V1__RetireEarlierKeysRequest request =
        HOLDFAST__V1__RETIRE_EARLIER_KEYS_REQUEST__INIT;
    request.resource = access.mailbox;
    request.confirm = args_flag(args, "confirm");
    request.validate_only = args_flag(args, "validate-only");
    request.access = &context;
    return cli_show(cli, &retire_method, &request.base, retire_columns,
                    HF_COUNT(retire_columns));
}

#define OPTION_OUT                                                             \
    {                                                                          \
        "out", "FILE", "write the wrapped key to a new file", false, false     \
    }
#define OPTION_WRAPPED                                                         \
    {                                                                          \
        "wrapped", "FILE",                                                     \
            "the wrapped key; - is standard input; default: "                  \
            "the one the service stores",                                      \
            false, false                                                       \
    }

static const struct option generate_options[] = {OPTION_OUT, OPTIONS_OF_A_KEY,
                                                 OPTIONS_OF_AN_ACCESS};
static const struct option unwrap_options[] = {
    OPTION_WRAPPED, OPTION_OUT, OPTIONS_OF_A_KEY, OPTIONS_OF_AN_ACCESS};
static const struct option wrap_options[] = {
    {"key-file", "FILE", "32 raw bytes; - is standard input", true, false},
    OPTION_OUT,
    OPTIONS_OF_AN_ACCESS
};
static const struct option rewrap_options[] = {OPTION_WRAPPED, OPTION_OUT,
                                               OPTIONS_OF_AN_ACCESS};

static const struct option renew_options[] = {
    OPTION_OUT,
    {"replaced-out", "FILE",
      "write the wrapped key that was stored until now to a new file", false,
      false},
    OPTIONS_OF_A_KEY,
    OPTIONS_OF_AN_ACCESS
};
static const struct option retire_options[] = {
    {"confirm",       NULL,
     "everything is encrypted under the stored key: what only an earlier key "
     "opens is lost",                                                        false, false},
    {"validate-only", NULL, "change nothing; say how many would be retired",
     false,                                                                         false},
    OPTIONS_OF_AN_ACCESS
};

static const struct command generate_key_command = {
    .group = "mailbox",
    .verb = "generate-key",
    .summary = "Make the key of a mailbox that has none.",
    .operands = "MAILBOX",
    .options = generate_options,
    .option_count = HF_COUNT(generate_options),
    .example =
        "holdfast --as workload mailbox generate-key alice --out alice.hfe",
    .run = run_generate,
};

static const struct command unwrap_command = {
    .group = "unwrap",
    .summary =
        "Open the key of a mailbox, or of workloads/WORKLOAD. It goes only "
        "where you say.",
    .operands = "MAILBOX",
    .options = unwrap_options,
    .option_count = HF_COUNT(unwrap_options),
    .example = "holdfast --as workload unwrap alice --wrapped alice.hfe "
               "--key-out alice.key",
    .run = run_unwrap,
};

static const struct command wrap_command = {
    .group = "wrap",
    .summary = "Wrap a key you bring for a mailbox, or for workloads/WORKLOAD; "
               "what is "
               "stored does not change.",
    .operands = "MAILBOX",
    .options = wrap_options,
    .option_count = HF_COUNT(wrap_options),
    .example = "holdfast --as workload wrap alice --key-file alice.key --out "
               "alice.hfe",
    .run = run_wrap,
};

static const struct command rewrap_command = {
    .group = "rewrap",
    .summary =
        "Bring the key of a mailbox, or of workloads/WORKLOAD, under the "
        "DEP it should be under.",
    .operands = "MAILBOX",
    .options = rewrap_options,
    .option_count = HF_COUNT(rewrap_options),
    .example =
        "holdfast --as workload rewrap alice --wrapped old.hfe --out new.hfe",
    .run = run_rewrap,
};

static const struct command renew_key_command = {
    .group = "mailbox",
    .verb = "renew-key",
    .summary =
        "Give a mailbox, or workloads/WORKLOAD, a new key. The one before "
        "opens until you retire it: encrypt everything again meanwhile.",
    .operands = "MAILBOX",
    .options = renew_options,
    .option_count = HF_COUNT(renew_options),
    .example = "holdfast --as workload mailbox renew-key alice --key-out "
               "alice.key --out alice.hfe --replaced-out alice-old.hfe",
    .run = run_renew,
};

static const struct command retire_keys_command = {
    .group = "mailbox",
    .verb = "retire-keys",
    .summary = "Let the earlier keys of a mailbox, or of workloads/WORKLOAD, "
               "open nothing any more.",
    .operands = "MAILBOX",
    .options = retire_options,
    .option_count = HF_COUNT(retire_options),
    .example = "holdfast --as workload mailbox retire-keys alice --confirm",
    .run = run_retire,
};

static const struct command *const commands[] = {
    &generate_key_command, &unwrap_command,    &wrap_command,
    &rewrap_command,       &renew_key_command, &retire_keys_command,
};
const struct command_set commands_of_data = {commands, HF_COUNT(commands)};
