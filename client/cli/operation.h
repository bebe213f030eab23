/* operation: what every command that begins a long-running operation shares:
 * --wait, the progress meanwhile, and how it is shown. */
#pragma once

#include "client/cli/cli.h"

#define OPTION_WAIT                                                            \
    {                                                                          \
        "wait", NULL, "stay until it has ended, and show how far it is",       \
            false, false                                                       \
    }
/* Of a command that begins one. */
#define OPTIONS_OF_AN_OPERATION OPTION_WAIT, OPTIONS_OF_A_CHANGE

/* operation_columns: how one is shown. */
extern const struct column operation_columns[];
extern const size_t operation_column_count;

/* operation_order: one call that begins an operation, and shows it; with --wait
 * once it has ended. The command has OPTIONS_OF_AN_OPERATION. CLI_CONFLICT when
 * it was waited for and did not succeed. */
enum cli_exit operation_order(struct cli *cli, const struct cli_method *method,
                              const ProtobufCMessage *request);

/* operation_follow: until the operation of this name has ended: its progress on
 * standard error, and then what it came to; with --json each change as a line
 * of its own instead. A server that goes away meanwhile is asked again. */
enum cli_exit operation_follow(struct cli *cli, const char *name);
