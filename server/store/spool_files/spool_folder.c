/* The folder of the spool: its segments as files. */
#include "hsm/base/own.h"

#include "server/store/spool_files/spool_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum hf_status of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return HF_E_RESOURCES;
    case EACCES:
    case EPERM:
        return HF_E_DENIED;
    case ENOMEM:
        return HF_E_NO_MEMORY;
    default:
        return HF_E_IO;
    }
}

static HF_STATUS map(int file, size_t size, struct segment *out)
{
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) {
        return of_errno(errno);
    }
    out->file = file;
    out->data = data;
    out->size = size;
    out->used = 0;
    return HF_OK;
}

HF_STATUS segment_make(struct spool_files *spool, uint64_t number,
                       struct segment *out)
{
    char name[SPOOL_NAME_BYTES];
    size_t size = spool->settings.segment_bytes;
    spool_name(number, name);
    int file = openat(spool->folder, name,
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        return of_errno(errno);
    }
    enum hf_status status = HF_OK;
    int error = spool->disk.reserve(file, (off_t)size);
    if (error != 0) {
        status = of_errno(error);
    } else if (spool->disk.sync(file) != 0 ||
               spool->disk.sync(spool->folder) != 0) {
        status = of_errno(errno);
    } else {
        status = map(file, size, out);
    }
    if (status != HF_OK) {
        (void)close(file);
        segment_remove(spool, number);
        return status;
    }
    out->number = number;
    return HF_OK;
}

void segment_close(struct segment *segment)
{
    if (segment->file < 0) {
        return;
    }
    (void)munmap(segment->data, segment->size);
    if (ftruncate(segment->file, (off_t)segment->used) != 0) {
        /* zeros behind the end say the same */
    }
    (void)close(segment->file);
    *segment = (struct segment){.file = -1};
}

void segment_remove(struct spool_files *spool, uint64_t number)
{
    char name[SPOOL_NAME_BYTES];
    spool_name(number, name);
    (void)unlinkat(spool->folder, name, 0);
}

/* --- what is there ------------------------------------------------------ */

static void file_closep(int *file)
{
    if (*file >= 0) {
        (void)close(*file);
    }
}

static HF_STATUS read_segment(struct spool_files *spool, uint64_t number,
                              struct spool_segment *out)
{
    char name[SPOOL_NAME_BYTES];
    struct stat about;
    spool_name(number, name);
    HF_OWNED(file_closep)
    int file = openat(spool->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0) {
        return of_errno(errno);
    }
    *out = (struct spool_segment){.end = SPOOL_END_CLEAN};
    if (about.st_size == 0) {
        return HF_OK;
    }
    size_t size = (size_t)about.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        return of_errno(errno);
    }
    enum hf_status status =
        spool_read((struct bytes){data, size}, NULL, NULL, out);
    (void)munmap(data, size);
    return status;
}

static void directory_closep(DIR **directory)
{
    if (*directory != NULL) {
        (void)closedir(*directory);
    }
}

static HF_STATUS look_at_names(struct spool_files *spool,
                               struct folder_view *out)
{
    int copy = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    HF_OWNED(directory_closep)
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL) {
        return of_errno(errno);
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        uint64_t number = spool_number(entry->d_name);
        if (number == 0) {
            continue;
        }
        out->highest = number > out->highest ? number : out->highest;
        out->oldest =
            out->oldest == 0 || number < out->oldest ? number : out->oldest;
    }
    return HF_OK;
}

HF_STATUS folder_look(struct spool_files *spool, struct folder_view *out)
{
    *out = (struct folder_view){.oldest = 0};
    HF_TRY(look_at_names(spool, out));
    for (uint64_t number = out->highest; number >= out->oldest && number > 0;
         number--) {
        enum hf_status status = read_segment(spool, number, &out->newest);
        if (status == HF_E_CORRUPT) {
            out->broken = number;
        } else if (status != HF_OK && number != out->highest) {
            continue; /* a hole; whoever verifies tells of it */
        } else if (status != HF_OK || out->newest.begun) {
            return status;
        } else {
            segment_remove(spool, number); /* made ready, and not used */
            out->highest = number - 1;
        }
    }
    out->newest = (struct spool_segment){.begun = false};
    return HF_OK;
}
