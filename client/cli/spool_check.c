#include "client/cli/spool_check.h"

#include "hsm/base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* One way along the spool. */
struct walk {
    struct spool_check *out;
    struct checkpoint *signed_of_it; /* by spool_records */
    size_t signed_count;
    size_t signed_at;
    uint8_t hash[HF_SHA256_BYTES];
    struct spool_segment before;
    uint64_t oldest; /* that the newest header promises */
    bool begun;
};

__attribute__((format(printf, 2, 3))) static enum hf_status
bad(struct walk *walk, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    (void)vsnprintf(walk->out->problem, sizeof walk->out->problem, format,
                    values);
    va_end(values);
    return HF_E_CORRUPT;
}

/* --- what was signed ----------------------------------------------------- */

static int by_records(const void *a, const void *b)
{
    const struct checkpoint *left = a;
    const struct checkpoint *right = b;
    return (left->spool_records > right->spool_records) -
           (left->spool_records < right->spool_records);
}

static HF_STATUS take_signed(struct walk *walk)
{
    const struct checkpoint_set *kept = walk->out->kept;
    if (kept == NULL || kept->count == 0) {
        return HF_OK;
    }
    walk->signed_of_it = calloc(kept->count, sizeof *walk->signed_of_it);
    if (walk->signed_of_it == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < kept->count; i++) {
        const struct checkpoint *one = &kept->items[i];
        if (id_equal(&one->spool, &walk->out->spool)) {
            walk->signed_of_it[walk->signed_count++] = *one;
        } else if (!id_is_nil(&one->spool)) {
            walk->out->unseen++;
        }
    }
    if (walk->signed_count > 0) {
        qsort(walk->signed_of_it, walk->signed_count,
              sizeof *walk->signed_of_it, by_records);
    }
    return HF_OK;
}

/* The chain is at this record now. */
static enum hf_status meet_signed(struct walk *walk, uint64_t number,
                                  const uint8_t hash[HF_SHA256_BYTES])
{
    while (walk->signed_at < walk->signed_count) {
        const struct checkpoint *next = &walk->signed_of_it[walk->signed_at];
        if (next->spool_records > number) {
            break;
        }
        if (next->spool_records < number) { /* taken away with its segment */
            walk->out->unseen++;
        } else if (!bytes_equal(BYTES_OF(next->spool_hash),
                                (struct bytes){hash, HF_SHA256_BYTES})) {
            return bad(walk,
                       "record %" PRIu64 " is not the one that was signed",
                       number);
        } else {
            walk->out->checkpoints++;
            walk->out->covered = number;
        }
        walk->signed_at++;
    }
    return HF_OK;
}

static enum hf_status take_record(void *context,
                                  const struct spool_record *record,
                                  const uint8_t hash[HF_SHA256_BYTES])
{
    struct walk *walk = context;
    HF_TRY(meet_signed(walk, record->number, hash));
    return walk->out->each == NULL
               ? HF_OK
               : walk->out->each(walk->out->context, record, hash);
}

/* --- segment by segment -------------------------------------------------- */

static enum hf_status not_written(struct walk *walk)
{
    return bad(walk,
               "behind record %" PRIu64 ", in segment %" PRIu64
               ", stands what the service did not write",
               walk->before.last, walk->before.header.segment);
}

/* A crash is told of by the segment behind it. */
static enum hf_status check_seam(struct walk *walk,
                                 const struct spool_header *header)
{
    const struct spool_segment *before = &walk->before;
    if (before->end == SPOOL_END_DAMAGED) {
        return not_written(walk);
    }
    if (header->segment != before->header.segment + 1) {
        return bad(walk, "segment %" PRIu64 " is missing",
                   before->header.segment + 1);
    }
    if (!id_equal(&header->spool, &walk->out->spool) ||
        header->first != before->last + 1 ||
        !bytes_equal(BYTES_OF(header->previous), BYTES_OF(before->hash))) {
        return bad(walk,
                   "segment %" PRIu64 " does not go on from record %" PRIu64
                   ", the last good one before it",
                   header->segment, before->last);
    }
    bool as_found =
        header->before == before->end &&
        (before->end == SPOOL_END_CLEAN || header->left_bytes == before->left);
    return as_found ? HF_OK : not_written(walk);
}

static enum hf_status begin_walk(struct walk *walk,
                                 const struct spool_header *header)
{
    static const uint8_t nothing[HF_SHA256_BYTES] = {0};
    walk->begun = true;
    walk->out->spool = header->spool;
    walk->out->first = header->first;
    HF_TRY(take_signed(walk));
    if (header->segment == 1 &&
        (header->first != 1 ||
         !bytes_equal(BYTES_OF(header->previous), BYTES_OF(nothing)))) {
        return bad(walk, "segment 1 claims one before it");
    }
    return meet_signed(walk, header->first - 1, header->previous);
}

static enum hf_status check_segment(struct walk *walk, uint64_t number,
                                    struct bytes file)
{
    struct spool_segment segment;
    /* the header first: whether it goes on, before what it holds counts */
    enum hf_status status = spool_read(file, NULL, NULL, &segment);
    if (status == HF_E_CORRUPT || (status == HF_OK && segment.begun &&
                                   segment.header.segment != number)) {
        return bad(walk, "segment %" PRIu64 " has not the header it was given",
                   number);
    }
    HF_TRY(status);
    if (!segment.begun) {
        return HF_OK; /* made ready for what is to come */
    }
    HF_TRY(walk->begun ? check_seam(walk, &segment.header)
                       : begin_walk(walk, &segment.header));
    HF_TRY(spool_read(file, take_record, walk, &segment));
    walk->before = segment;
    walk->oldest = segment.header.oldest;
    walk->out->segments++;
    walk->out->last = segment.last;
    if (segment.end == SPOOL_END_TORN) {
        walk->out->torn++;
        walk->out->torn_bytes += segment.left;
    }
    return HF_OK;
}

static enum hf_status check_end(struct walk *walk, uint64_t oldest_there)
{
    if (!walk->begun) {
        return HF_E_NOT_FOUND;
    }
    if (walk->before.end == SPOOL_END_DAMAGED) {
        return not_written(walk);
    }
    if (oldest_there > walk->oldest) {
        return bad(walk, "segment %" PRIu64 " is missing", walk->oldest);
    }
    if (walk->signed_at < walk->signed_count) {
        return bad(walk,
                   "record %" PRIu64 " is missing, and what was signed up to "
                   "record %" PRIu64 ": the end was cut off",
                   walk->out->last + 1,
                   walk->signed_of_it[walk->signed_count - 1].spool_records);
    }
    return HF_OK;
}

/* --- the folder ---------------------------------------------------------- */

static void file_closep(int *file)
{
    if (*file >= 0) {
        (void)close(*file);
    }
}

static enum hf_status of_errno(int error)
{
    return error == EACCES   ? HF_E_DENIED
           : error == ENOENT ? HF_E_NOT_FOUND
                             : HF_E_IO;
}

static enum hf_status check_file(struct walk *walk, int folder, uint64_t number)
{
    char name[SPOOL_NAME_BYTES];
    struct stat about;
    spool_name(number, name);
    HF_OWNED(file_closep)
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0) {
        return of_errno(errno);
    }
    if (about.st_size == 0) {
        return check_segment(walk, number, BYTES_NONE);
    }
    size_t size = (size_t)about.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        return of_errno(errno);
    }
    enum hf_status status =
        check_segment(walk, number, (struct bytes){data, size});
    (void)munmap(data, size);
    return status;
}

struct numbers {
    uint64_t *items;
    size_t count;
    size_t cap;
};

static void numbers_clear(struct numbers *numbers)
{
    free(numbers->items);
}

static HF_STATUS numbers_add(struct numbers *numbers, uint64_t number)
{
    if (numbers->count == numbers->cap) {
        size_t cap = numbers->cap == 0 ? 64 : 2 * numbers->cap;
        uint64_t *items =
            reallocarray(numbers->items, cap, sizeof *numbers->items);
        if (items == NULL) {
            return HF_E_NO_MEMORY;
        }
        numbers->items = items;
        numbers->cap = cap;
    }
    numbers->items[numbers->count++] = number;
    return HF_OK;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void directory_closep(DIR **directory)
{
    if (*directory != NULL) {
        (void)closedir(*directory);
    }
}

static HF_STATUS list_segments(const char *folder, struct numbers *numbers)
{
    HF_OWNED(directory_closep) DIR *directory = opendir(folder);
    if (directory == NULL) {
        return of_errno(errno);
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        uint64_t number = spool_number(entry->d_name);
        HF_TRY(number == 0 ? HF_OK : numbers_add(numbers, number));
    }
    if (numbers->count == 0) {
        return HF_E_NOT_FOUND;
    }
    qsort(numbers->items, numbers->count, sizeof *numbers->items, by_number);
    return HF_OK;
}

HF_STATUS spool_check_folder(const char *folder, struct spool_check *out)
{
    struct walk walk = {.out = out};
    HF_OWNED(numbers_clear) struct numbers numbers = {0};
    HF_TRY(list_segments(folder, &numbers));
    HF_OWNED(file_closep)
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum hf_status status = directory < 0 ? of_errno(errno) : HF_OK;
    for (size_t i = 0; status == HF_OK && i < numbers.count; i++) {
        status = check_file(&walk, directory, numbers.items[i]);
    }
    if (status == HF_OK) {
        status = check_end(&walk, numbers.items[0]);
    }
    free(walk.signed_of_it);
    return status;
}
