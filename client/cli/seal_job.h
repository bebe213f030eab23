/* seal_job: one message after the other, so that stopping anywhere, and
 * starting again, loses nothing and repeats nothing.
 *
 *   seal   read NAME; seal; NAME.hfm complete on the disk; read it back and
 *          open it; overwrite NAME; remove it
 *   open   read NAME.hfm; verify; NAME complete on the disk; remove NAME.hfm
 *
 * Where both exist, NAME.hfm counts (maildir.h): seal goes on with the wiping,
 * open writes NAME anew.
 */
#pragma once

#include "hsm/base/status.h"

#include "client/cli/maildir.h"
#include "client/cli/message_file.h"

#include <stdbool.h>
#include <stdint.h>

struct seal_job {
    const struct hf_secret *key;
    const char *mailbox;
    int from;  /* the folder of the messages                             */
    int to;    /* where sealed ones go; as from, or of a copy (--copy)    */
    bool copy; /* seal: plain messages stay where they are        */
    bool check_only; /* open: verify, write nothing                     */
};

enum seal_outcome {
    SEAL_DONE,
    SEAL_ALREADY, /* nothing was left to do */
};

/* seal_job_seal, seal_job_open: one message.
 *
 * Returns   HF_OK with *out_outcome and, added to *bytes, the length of the
 *           plain message; HF_E_BAD_BLOB when a sealed file does not verify
 *           (nothing is changed); HF_E_LIMIT for a message too large, or a
 *           name too long; HF_E_NOT_FOUND when it went away meanwhile; as
 *           file.h.
 */
HF_STATUS seal_job_seal(const struct seal_job *job,
                        const struct maildir_message *message,
                        enum seal_outcome *out_outcome, uint64_t *bytes);
HF_STATUS seal_job_open(const struct seal_job *job,
                        const struct maildir_message *message,
                        enum seal_outcome *out_outcome, uint64_t *bytes);
