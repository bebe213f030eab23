/* key_force: what the approvers of a forced change signed, from files
 * into a request. */
#pragma once

#include "client/cli/cli.h"
#include "client/cli/file.h"

#include "holdfast/v1/customer_key_service.pb-c.h"

#define KEY_FORCE_APPROVALS 2

/* The options of a command that may be forced. */
#define OPTIONS_OF_A_FORCE                                                     \
    {"force-document", "FILE",                                                 \
     "though stored keys need it: what two approvers signed "                  \
     "(holdfast key force-document)",                                          \
     false, false},                                                            \
    {                                                                          \
        "approval", "IDENTITY=FILE",                                           \
            "one of them, and the file of their signature; twice", false, true \
    }

struct key_force {
    Holdfast__V1__ForcedChange message;
    Holdfast__V1__ForcedChangeApproval approvals[KEY_FORCE_APPROVALS];
    Holdfast__V1__ForcedChangeApproval *list[KEY_FORCE_APPROVALS];
    char identities[KEY_FORCE_APPROVALS][512];
    struct file_data document;
    struct file_data signatures[KEY_FORCE_APPROVALS];
};

/* key_force_read: *out_message is NULL when it is not forced. key_force_clear:
 * always, afterwards. */
enum cli_exit key_force_read(struct cli *cli, const struct args *args,
                             struct key_force *force,
                             Holdfast__V1__ForcedChange **out_message);
void key_force_clear(struct key_force *force);
