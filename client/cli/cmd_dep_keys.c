/* dep: what becomes of its keys (specification 7): new versions, another pair,
 * and moving what is under earlier ones. Each begins an operation. */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/operation.h"

#include "holdfast/v1/dep_service.pb-c.h"
#include "holdfast/v1/operation_service.pb-c.h"

#define DEP_METHOD(verb)                                                       \
    {                                                                          \
        "holdfast.v1.DepService/" verb, &holdfast__v1__operation__descriptor   \
    }
static const struct cli_method refresh_method = DEP_METHOD("RefreshDep");
static const struct cli_method replace_method = DEP_METHOD("ReplaceDepKeys");
static const struct cli_method rewrap_method = DEP_METHOD("RewrapDep");
static const struct cli_method roll_method = DEP_METHOD("RollAvailabilityKey");

static enum cli_exit run_refresh(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__RefreshDepRequest request =
        HOLDFAST__V1__REFRESH_DEP_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "deps", &request.base, &words);
    (void)args;
    return code == CLI_OK ? operation_order(cli, &refresh_method, &request.base)
                          : code;
}

static enum cli_exit run_rewrap(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__RewrapDepRequest request =
        HOLDFAST__V1__REWRAP_DEP_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "deps", &request.base, &words);
    (void)args;
    return code == CLI_OK ? operation_order(cli, &rewrap_method, &request.base)
                          : code;
}

static enum cli_exit run_replace(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    char keys[2][NAME_TEXT];
    char *key_list[2] = {keys[0], keys[1]};
    Holdfast__V1__ReplaceDepKeysRequest request =
        HOLDFAST__V1__REPLACE_DEP_KEYS_REQUEST__INIT;
    if (args_count(args, "customer-key") != HF_COUNT(keys)) {
        return cli_usage(cli, "a DEP has exactly two customer keys: give "
                              "--customer-key twice");
    }
    enum cli_exit code = cli_order(cli, "deps", &request.base, &words);
    for (size_t i = 0; code == CLI_OK && i < HF_COUNT(keys); i++) {
        code = cli_name(cli, "customerKeys", args_nth(args, "customer-key", i),
                        keys[i]);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.customer_keys = key_list;
    request.n_customer_keys = HF_COUNT(keys);
    request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    return operation_order(cli, &replace_method, &request.base);
}

static enum cli_exit run_roll(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char dep[NAME_TEXT] = "";
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__RollAvailabilityKeyRequest request =
        HOLDFAST__V1__ROLL_AVAILABILITY_KEY_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK && args_text(args, "dep") != NULL) {
        code = cli_name(cli, "deps", args_text(args, "dep"), dep);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    request.parent = parent;
    request.dep = dep;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? operation_order(cli, &roll_method, &request.base)
                          : code;
}

static const struct option roll_options[] = {
    {"dep", "DEP", "only this one; without it, every DEP of the tenant", false,
     false},
    OPTIONS_OF_AN_OPERATION,
};

static const struct option replace_options[] = {
    {"customer-key",      "KEY", "exactly two", true,  true },
    {"workload-identity", "URI",
     "whose permissions on both are checked; without it, a workload that may "
     "unwrap with the present keys",            false, false},
    OPTIONS_OF_AN_OPERATION,
};
static const struct option plain_options[] = {OPTIONS_OF_AN_OPERATION};

static const struct command refresh_command = {
    .group = "dep",
    .verb = "refresh",
    .summary = "Go over to the newest versions of its customer keys. Keys of "
               "mailboxes follow on their next access.",
    .operands = "DEP",
    .options = plain_options,
    .option_count = HF_COUNT(plain_options),
    .example = "holdfast --as admin dep refresh mail",
    .run = run_refresh,
};

static const struct command replace_command = {
    .group = "dep",
    .verb = "replace",
    .summary = "Go over to another pair of customer keys. Keys of mailboxes "
               "follow on their next access.",
    .operands = "DEP",
    .options = replace_options,
    .option_count = HF_COUNT(replace_options),
    .example = "holdfast --as admin dep replace mail --customer-key root-c "
               "--customer-key root-d",
    .run = run_replace,
};

static const struct command rewrap_command = {
    .group = "dep",
    .verb = "rewrap",
    .summary = "Move every mailbox key that is under this DEP, or an earlier "
               "generation of it, and should be elsewhere.",
    .operands = "DEP",
    .options = plain_options,
    .option_count = HF_COUNT(plain_options),
    .example = "holdfast --as admin dep rewrap mail --wait",
    .run = run_rewrap,
};

static const struct command roll_command = {
    .group = "dep",
    .verb = "roll-availability-key",
    .summary = "Roll the availability keys of a tenant's DEPs. For the "
               "operator.",
    .options = roll_options,
    .option_count = HF_COUNT(roll_options),
    .example = "holdfast --as operator --tenant contoso dep "
               "roll-availability-key --dep mail",
    .run = run_roll,
};

static const struct command *const commands[] = {
    &refresh_command, &replace_command, &rewrap_command, &roll_command};
const struct command_set commands_of_dep_keys = {commands, HF_COUNT(commands)};
