#include "client/cli/seal_job.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE        (S_IRUSR | S_IWUSR)
#define ZEROS_BYTES 65536

static void closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static struct message_context context_of(const struct seal_job *job,
                                         const struct maildir_message *message)
{
    return (struct message_context){
        .key = job->key, .mailbox = job->mailbox, .name = message->name};
}

static HF_STATUS sealed_name(const struct maildir_message *message,
                             char out[NAME_MAX + 1])
{
    int len =
        snprintf(out, NAME_MAX + 1, "%s" MAILDIR_SEALED_SUFFIX, message->name);
    return len > 0 && len <= NAME_MAX ? HF_OK : HF_E_LIMIT;
}

/* copy_times: the modification time of a message is its time of arrival. */
static HF_STATUS copy_times(int from, const char *from_name, int to,
                            const char *to_name)
{
    struct stat facts;
    if (fstatat(from, from_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        return HF_E_IO;
    }
    const struct timespec times[2] = {facts.st_atim, facts.st_mtim};
    return utimensat(to, to_name, times, AT_SYMLINK_NOFOLLOW) == 0 ? HF_OK
                                                                   : HF_E_IO;
}

/* --- the plain file, gone ---------------------------------------------------
 */

/* overwrite: with zeros, to the disk. What the file system or the device keeps
 * elsewhere (snapshots, journals, worn cells) is out of reach from here. */
static HF_STATUS overwrite(int fd, off_t len)
{
    static const uint8_t zeros[ZEROS_BYTES];
    off_t done = 0;
    while (done < len) {
        size_t want = len - done < (off_t)sizeof zeros ? (size_t)(len - done)
                                                       : sizeof zeros;
        ssize_t put = pwrite(fd, zeros, want, done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return HF_E_IO;
        }
        done += put;
    }
    return fsync(fd) == 0 ? HF_OK : HF_E_IO;
}

static HF_STATUS remove_plain(int folder, const char *name)
{
    struct stat facts;
    HF_OWNED(closep)
    int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        return HF_E_IO;
    }
    /* another name of the same file is another message: not ours to wipe */
    if (facts.st_nlink == 1) {
        HF_TRY(overwrite(fd, facts.st_size));
    }
    if (unlinkat(folder, name, 0) != 0) {
        return HF_E_IO;
    }
    return fsync(folder) == 0 ? HF_OK : HF_E_IO;
}

/* --- seal -------------------------------------------------------------------
 */

static HF_STATUS open_sealed(const struct seal_job *job,
                             const struct maildir_message *message,
                             struct file_data *out_plain)
{
    char name[NAME_MAX + 1];
    HF_OWNED(file_data_clear) struct file_data sealed = {0};
    const struct message_context context = context_of(job, message);
    HF_TRY(sealed_name(message, name));
    HF_TRY(file_read_at(job->to, name,
                        MESSAGE_PLAIN_MAX + MESSAGE_FILE_OVERHEAD, &sealed));
    return message_open(&context, sealed, out_plain);
}

static bool same_bytes(struct file_data a, struct file_data b)
{
    return bytes_equal((struct bytes){a.bytes, a.len},
                       (struct bytes){b.bytes, b.len});
}

/* write_sealed: and read back: what cannot be opened again must not cost the
 * plain message. */
static HF_STATUS write_sealed(const struct seal_job *job,
                              const struct maildir_message *message,
                              struct file_data plain)
{
    char name[NAME_MAX + 1];
    HF_OWNED(file_data_clear) struct file_data sealed = {0};
    HF_OWNED(file_data_clear) struct file_data again = {0};
    const struct message_context context = context_of(job, message);
    HF_TRY(sealed_name(message, name));
    HF_TRY(message_seal(&context, plain, &sealed));
    HF_TRY(file_replace_at(job->to, name, sealed, MODE));
    HF_TRY(open_sealed(job, message, &again));
    if (!same_bytes(again, plain)) {
        return HF_E_BAD_BLOB;
    }
    return copy_times(job->from, message->name, job->to, name);
}

static HF_STATUS seal_copy(const struct seal_job *job,
                           const struct maildir_message *message,
                           enum seal_outcome *out_outcome, uint64_t *bytes)
{
    HF_OWNED(file_data_clear) struct file_data plain = {0};
    HF_OWNED(file_data_clear) struct file_data there = {0};
    HF_TRY(file_read_at(job->from, message->name, MESSAGE_PLAIN_MAX, &plain));
    enum hf_status status = open_sealed(job, message, &there);
    if (status == HF_OK && same_bytes(plain, there)) {
        *out_outcome = SEAL_ALREADY;
        return HF_OK;
    }
    HF_TRY(write_sealed(job, message, plain));
    *out_outcome = SEAL_DONE;
    *bytes += plain.len;
    return HF_OK;
}

HF_STATUS seal_job_seal(const struct seal_job *job,
                        const struct maildir_message *message,
                        enum seal_outcome *out_outcome, uint64_t *bytes)
{
    HF_OWNED(file_data_clear) struct file_data plain = {0};
    if (!message->plain) {
        *out_outcome = SEAL_ALREADY;
        return HF_OK;
    }
    if (job->copy) {
        return seal_copy(job, message, out_outcome, bytes);
    }
    if (message->sealed) {
        /* interrupted behind the sealing; it must open before we go on */
        HF_TRY(open_sealed(job, message, &plain));
    } else {
        HF_TRY(
            file_read_at(job->from, message->name, MESSAGE_PLAIN_MAX, &plain));
        HF_TRY(write_sealed(job, message, plain));
    }
    HF_TRY(remove_plain(job->from, message->name));
    *out_outcome = SEAL_DONE;
    *bytes += plain.len;
    return HF_OK;
}

/* --- open -------------------------------------------------------------------
 */

HF_STATUS seal_job_open(const struct seal_job *job,
                        const struct maildir_message *message,
                        enum seal_outcome *out_outcome, uint64_t *bytes)
{
    char name[NAME_MAX + 1];
    HF_OWNED(file_data_clear) struct file_data plain = {0};
    if (!message->sealed) {
        *out_outcome = SEAL_ALREADY;
        return HF_OK;
    }
    HF_TRY(sealed_name(message, name));
    HF_TRY(open_sealed(job, message, &plain));
    *out_outcome = SEAL_DONE;
    *bytes += plain.len;
    if (job->check_only) {
        return HF_OK;
    }
    HF_TRY(file_replace_at(job->from, message->name, plain, MODE));
    HF_TRY(copy_times(job->from, name, job->from, message->name));
    if (unlinkat(job->from, name, 0) != 0) {
        return HF_E_IO;
    }
    return fsync(job->from) == 0 ? HF_OK : HF_E_IO;
}
