/* seal_key: the key of the mailbox whose Maildir is sealed, and what is kept
 * beside the messages to get it again: DIR/.holdfast/key.hfe (the wrapped key;
 * it opens nothing without the service) and DIR/.holdfast/mailbox (its name).
 */
#pragma once

#include "client/cli/access.h"
#include "client/cli/cli.h"

#define SEAL_FOLDER       ".holdfast"
#define SEAL_KEY_FILE     "key.hfe"
#define SEAL_MAILBOX_FILE "mailbox"

struct seal_key {
    int folder; /* .holdfast, open and locked; -1: there is none */
    struct access access;
    struct hf_key_answer answer; /* key, dep, generation */
    bool generated;
};

#define SEAL_KEY_INIT                                                          \
    {                                                                          \
        .folder = -1                                                           \
    }

void seal_key_clear(struct seal_key *key);

/* seal_key_begin: opens .holdfast in dir (made when make is true), locks it
 * against a second run, and finds out the mailbox: --mailbox, or the name kept
 * there; if both, they must agree. */
enum cli_exit seal_key_begin(struct cli *cli, int dir, bool make,
                             struct seal_key *key);

/* seal_key_for_sealing: unwraps the key kept, or generates one, or takes the
 * one the service stores. What opens the messages is on the disk before it is
 * returned. */
enum cli_exit seal_key_for_sealing(struct cli *cli, struct seal_key *key);
/* seal_key_for_opening: unwraps the key kept, or else the one the service
 * stores. A key that this access moved to another DEP is kept anew. */
enum cli_exit seal_key_for_opening(struct cli *cli, struct seal_key *key);
