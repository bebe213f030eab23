/* key: what the commands about customer keys share. */
#pragma once

#include "client/cli/cli.h"

/* How one customer key is shown. */
#define KEY_COLUMNS 30
extern const struct column key_columns[KEY_COLUMNS];

/* key_name: the full name of the key that is the first operand. */
enum cli_exit key_name(struct cli *cli, const struct args *args,
                       char name[NAME_TEXT]);
