/* purge: what every command about a purge shares: how one is shown, and how it
 * is fetched. */
#pragma once

#include "client/cli/cli.h"

#include "holdfast/v1/purge_service.pb-c.h"

#define PURGE_METHOD(verb)                                                     \
    {                                                                          \
        "holdfast.v1.PurgeService/" verb, &holdfast__v1__purge__descriptor     \
    }

extern const struct column purge_columns[];
extern const size_t purge_column_count;

/* purge_show: one call that answers with a purge, shown. */
enum cli_exit purge_show(struct cli *cli, const struct cli_method *method,
                         const ProtobufCMessage *request);

/* purge_fetch: the purge as it is now; freed with hf_message_free. On failure
 * *error is filled and nothing is said yet (cli_ask). */
enum cli_exit purge_fetch(struct cli *cli, char *name, struct hf_error *error,
                          Holdfast__V1__Purge **out);

#define PURGE_COMMAND(variable, verb_, summary_, operands_, options_,          \
                      example_, run_)                                          \
    static const struct command variable = {                                   \
        .group = "purge",                                                      \
        .verb = (verb_),                                                       \
        .summary = (summary_),                                                 \
        .operands = (operands_),                                               \
        .options = (options_),                                                 \
        .option_count = HF_COUNT(options_),                                    \
        .example = (example_),                                                 \
        .run = (run_),                                                         \
    }
