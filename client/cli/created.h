/* created: a new file that a command was told to write: made, and said so. */
#pragma once

#include "hsm/base/bytes.h"

#include "client/cli/cli.h"

/* created_write: a file of mode 0600 that was not there before; what: "the
 * wrapped key". Says what it wrote, for people, beside the result. */
enum cli_exit created_write(struct cli *cli, const char *path,
                            struct bytes data, const char *what);

/* created_write_part: the same for PREFIX and a suffix, as --out names several
 * files at once. */
enum cli_exit created_write_part(struct cli *cli, const char *suffix,
                                 struct bytes data, const char *what);
