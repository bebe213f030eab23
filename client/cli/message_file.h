/* message_file: one sealed mail message, format HFM1.
 *
 *   "HFM1" | iv 12 | ciphertext | tag 16
 *
 * AES-256-GCM under the mailbox's key, a fresh random IV for each message, the
 * whole tag. Associated data, in the order and widths of struct byte_writer:
 *
 *   "HFM1" | length u32, mailbox resource name | length u32, message name
 *
 * The message name is the file's unique name in its Maildir: up to the ':' in
 * front of the flags, so that reading or answering a message (which renames
 * it) does not invalidate the seal, and moving it under another name, or into
 * another mailbox, does. The ciphertext is as long as the message.
 *
 */
#pragma once

#include "hsm/base/status.h"

#include "client/cli/file.h"
#include "client/lib/holdfast.h"

#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_FILE_OVERHEAD 32 /* magic, iv, tag */
#define MESSAGE_PLAIN_MAX     (128u << 20)

/* What a seal is bound to. */
struct message_context {
    const struct hf_secret *key; /* 32 bytes */
    const char *mailbox;
    const char *name; /* of the file; flags are left out here */
};

/* message_seal: Gives *out, cleared with file_data_clear. Returns HF_OK;
 * HF_E_LIMIT over MESSAGE_PLAIN_MAX; HF_E_NO_MEMORY; HF_E_INTERNAL. */
HF_STATUS message_seal(const struct message_context *context,
                       struct file_data plain, struct file_data *out);

/* message_open: verified before anything is given out.
 *
 * Returns   HF_OK; HF_E_BAD_BLOB for anything that is not exactly what was
 *           sealed, all alike; HF_E_NO_MEMORY; HF_E_INTERNAL.
 */
HF_STATUS message_open(const struct message_context *context,
                       struct file_data sealed, struct file_data *out);
