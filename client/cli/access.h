/* access: what the commands of the data plane share: who asks and what for,
 * where a wrapped key comes from, and where a key may go.
 */
#pragma once

#include "client/cli/cli.h"
#include "client/cli/file.h"

#define WRAPPED_FILE_MAX_BYTES HF_WRAPPED_MAX_BYTES

/* One access while it runs; request points into it. */
struct access {
    char mailbox[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    struct file_data wrapped;
    struct hf_key_request request;
};

void access_clear(struct access *access);

/* access_begin: mailbox (or workloads/WORKLOAD), --initiator, --purpose and
 * --request-id; connects. */
enum cli_exit access_begin(struct cli *cli, const char *mailbox,
                           struct access *access);
/* access_take_wrapped: the file of --wrapped, when given. */
enum cli_exit access_take_wrapped(struct cli *cli, struct access *access);

/* Where the key goes: only where it was asked to go. */
#define OPTIONS_OF_A_KEY                                                       \
    {"key-out", "FILE", "write the key to a new file, mode 0600", false,       \
     false},                                                                   \
        {"raw", NULL, "write the key's 32 bytes to standard output", false,    \
         false},                                                               \
    {                                                                          \
        "hex", NULL, "write the key in hexadecimal to standard output", false, \
            false                                                              \
    }
/* key_place_check: at most one place (exactly one if must), before anything is
 * asked of the service; not standard output together with --json. */
enum cli_exit key_place_check(struct cli *cli, bool must);
/* key_place: writes it there; warns when that is a terminal. */
enum cli_exit key_place(struct cli *cli, const struct hf_secret *key);

/* access_show: what is not secret of an answer, as JSON or for people; the
 * wrapped key also into the file of --out, when given. */
enum cli_exit access_show(struct cli *cli, const struct access *access,
                          const struct hf_key_answer *answer);
