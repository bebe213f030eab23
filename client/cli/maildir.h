/* maildir: the messages of a Maildir, as they lie: DIR/cur, DIR/new, and the
 * same in the sub-folders of Maildir++ (DIR/.Sent/cur ...). Messages in tmp are
 * not delivered yet and are left alone.
 *
 * A sealed message lies beside where the plain one lay, as NAME.hfm. While a
 * message is being sealed or opened both exist; then the sealed one counts: it
 * appears only when it is complete and on the disk, while the plain one may
 * already be half wiped (seal) or not yet be there in full (open).
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define MAILDIR_SEALED_SUFFIX ".hfm"
#define MAILDIR_FOLDERS_MAX   4096

/* Folder and file names, relative to DIR and to the folder. */
struct maildir {
    char **folders; /* "cur", "new", ".Sent/cur", ... */
    size_t folder_count;
};

void maildir_clear(struct maildir *maildir);
/* maildir_list_folders: HF_OK; HF_E_NOT_FOUND for a folder without cur and
 * new; HF_E_LIMIT; HF_E_DENIED; HF_E_NO_MEMORY; HF_E_IO. */
HF_STATUS maildir_list_folders(int dir, struct maildir *out);

/* The messages of one folder, each once, sorted; names without the suffix. */
struct maildir_message {
    char *name;
    bool plain;
    bool sealed;
};

struct maildir_messages {
    struct maildir_message *items;
    size_t count;
};

void maildir_messages_clear(struct maildir_messages *messages);
/* maildir_list_messages: regular files only; our own temporary files of an
 * interrupted run are removed. */
HF_STATUS maildir_list_messages(int folder, struct maildir_messages *out);
