/* Does the spool keep what was appended, over rotation, kill and restart; is a
 * full or a stuck disk told, and does it go on by itself (R-15.24, N41)? */
#include "hsm/base/check.h"

#include "server/store/spool_files/spool_files.h"

#include "tests/support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    10000

static char folder[64];
static atomic_bool no_room;
static atomic_bool sync_hangs;
static atomic_int syncs;

static int reserve(int file, off_t size)
{
    return atomic_load(&no_room) ? ENOSPC : posix_fallocate(file, 0, size);
}

static int sync_file(int file)
{
    while (atomic_load(&sync_hangs)) {
        usleep(PAUSE_US);
    }
    atomic_fetch_add(&syncs, 1);
    return fdatasync(file);
}

static const struct spool_disk disk = {reserve, sync_file};

static int start(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/spool-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    atomic_store(&no_room, false);
    atomic_store(&sync_hangs, false);
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind,
                      struct FTW *ftw)
{
    (void)about;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int stop(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum hf_status open_with(uint64_t keep_bytes, struct spool *spool,
                                struct spool_files_found *found)
{
    const struct spool_files_settings settings = {
        .folder = folder,
        .segment_bytes = SPOOL_SEGMENT_MIN_BYTES,
        .keep_bytes = keep_bytes,
        .clock = clock_system(),
        .rng = rng_system(),
        .disk = &disk,
    };
    return spool_files_open(&settings, spool, found);
}

static struct spool open_spool(struct spool_files_found *found)
{
    struct spool spool;
    assert_ok(open_with(UINT64_MAX / 2, &spool, found));
    return spool;
}

static enum hf_status append_one(const struct spool *spool)
{
    struct spool_record record = {
        .method = "UnwrapKey",
        .object = "tenants/contoso/mailboxes/alice@contoso.example",
        .blob = "",
        .actor = "spiffe://contoso.example/exchange",
        .request_id = "",
        .initiator = 1,
    };
    return spool_append(spool, &record);
}

/* As many as asked for, waiting for the keeper where it must make room. */
static void append(const struct spool *spool, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum hf_status status = append_one(spool);
        for (int wait = 0; wait < TRIES && status == HF_E_RESOURCES; wait++) {
            usleep(PAUSE_US);
            status = append_one(spool);
        }
        assert_ok(status);
    }
}

static size_t read_segment(uint64_t number, uint8_t *out, size_t cap)
{
    char name[SPOOL_NAME_BYTES];
    char path[128];
    spool_name(number, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_RDONLY);
    if (file < 0) {
        return 0;
    }
    ssize_t len = read(file, out, cap);
    close(file);
    assert_true(len >= 0);
    return (size_t)len;
}

static uint8_t bytes[2 * SPOOL_SEGMENT_MIN_BYTES];

static struct spool_segment segment_at(uint64_t number)
{
    struct spool_segment segment;
    size_t len = read_segment(number, bytes, sizeof bytes);
    assert_true(len > 0);
    assert_ok(spool_read((struct bytes){bytes, len}, NULL, NULL, &segment));
    return segment;
}

static void write_at(uint64_t number, size_t at, const void *data, size_t len)
{
    char name[SPOOL_NAME_BYTES];
    char path[128];
    spool_name(number, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, data, len, (off_t)at), (ssize_t)len);
    close(file);
}

static void it_goes_on_where_it_ended(void **state)
{
    struct spool_files_found found;
    struct spool_head before;
    struct spool_head after;
    (void)state;
    struct spool spool = open_spool(&found);
    assert_true(found.anew);
    append(&spool, 10);
    assert_ok(spool_head(&spool, &before));
    assert_int_equal(before.records, 10);
    assert_int_equal(spool_records(&spool), 10);
    spool_close(&spool);
    struct stat about;
    char path[128];
    snprintf(path, sizeof path, "%s/0000000000000001.spool", folder);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    struct spool_segment first = segment_at(1);
    assert_int_equal(about.st_size, first.used); /* cut to what was used */
    assert_memory_equal(first.hash, before.hash, sizeof first.hash);

    spool = open_spool(&found);
    assert_false(found.anew);
    assert_int_equal(found.records, 10);
    assert_int_equal(found.end, SPOOL_END_CLEAN);
    append(&spool, 1);
    assert_ok(spool_head(&spool, &after));
    assert_int_equal(after.records, 11);
    assert_true(id_equal(&after.spool, &before.spool));
    spool_close(&spool);
    struct spool_segment second = segment_at(2);
    assert_memory_equal(second.header.previous, before.hash,
                        sizeof before.hash);
    assert_int_equal(second.header.first, 11);
    assert_int_equal(second.last, 11);
}

static void rotation_keeps_the_chain_and_takes_the_oldest(void **state)
{
    struct spool_files_found found;
    struct spool_head head;
    struct spool spool;
    (void)state;
    assert_ok(open_with(4 * SPOOL_SEGMENT_MIN_BYTES, &spool, &found));
    append(&spool, 3000); /* some 250 a segment */
    assert_ok(spool_head(&spool, &head));
    spool_close(&spool);
    uint64_t newest = 1;
    for (uint64_t n = 1; n < 100; n++) {
        newest = read_segment(n, bytes, sizeof bytes) > 0 ? n : newest;
    }
    assert_true(newest > 6);
    struct spool_segment last = segment_at(newest);
    assert_int_equal(last.last, 3000);
    assert_memory_equal(last.hash, head.hash, sizeof head.hash);
    assert_int_equal(last.header.oldest, newest - 3);
    uint64_t oldest = newest;
    while (oldest > 1 && read_segment(oldest - 1, bytes, sizeof bytes) > 0) {
        struct spool_segment later = segment_at(oldest);
        struct spool_segment earlier = segment_at(oldest - 1);
        assert_memory_equal(later.header.previous, earlier.hash,
                            sizeof earlier.hash);
        assert_int_equal(later.header.first, earlier.last + 1);
        assert_int_equal(later.header.before, SPOOL_END_CLEAN);
        oldest--;
    }
    assert_true(oldest <= newest - 3); /* all that is promised */
    assert_true(oldest > 1);           /* and the oldest gone */
}

/* A killed process leaves every append behind that had returned. */
static void a_kill_loses_nothing(void **state)
{
    int pipe_of[2];
    struct spool_files_found found;
    (void)state;
    assert_int_equal(pipe(pipe_of), 0);
    pid_t child = fork();
    if (child == 0) {
        struct spool spool;
        struct spool_files_found ignored;
        if (open_with(UINT64_MAX / 2, &spool, &ignored) != HF_OK) {
            _exit(1);
        }
        for (uint64_t i = 1;; i++) {
            while (append_one(&spool) != HF_OK) {
                usleep(PAUSE_US);
            }
            if (write(pipe_of[1], &i, sizeof i) != sizeof i) {
                _exit(1);
            }
        }
    }
    uint64_t told = 0;
    while (told < 700) {
        assert_int_equal(read(pipe_of[0], &told, sizeof told), sizeof told);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(pipe_of[1]);
    uint64_t next = 0;
    while (read(pipe_of[0], &next, sizeof next) == (ssize_t)sizeof next) {
        told = next;
    }
    close(pipe_of[0]);
    struct spool spool = open_spool(&found);
    assert_in_range(found.records, told, told + 1);
    assert_true(found.end != SPOOL_END_DAMAGED);
    append(&spool, 1);
    spool_close(&spool);
}

static void a_torn_tail_is_left_and_told_of(void **state)
{
    struct spool_files_found found;
    (void)state;
    struct spool spool = open_spool(&found);
    append(&spool, 5);
    spool_close(&spool);
    size_t used = segment_at(1).used;
    write_at(1, used + 4, "the body of a frame without its length", 38);
    spool = open_spool(&found);
    assert_int_equal(found.end, SPOOL_END_TORN);
    assert_int_equal(found.left_bytes, 42);
    assert_int_equal(found.records, 5);
    append(&spool, 1);
    spool_close(&spool);
    struct spool_segment second = segment_at(2);
    assert_int_equal(second.header.before, SPOOL_END_TORN);
    assert_int_equal(second.header.left_bytes, 42);
    assert_int_equal(second.header.first, 6);
    assert_int_equal(segment_at(1).left, 42); /* as it was found */
}

static void an_edit_is_found_at_the_start(void **state)
{
    struct spool_files_found found;
    (void)state;
    struct spool spool = open_spool(&found);
    append(&spool, 5);
    spool_close(&spool);
    write_at(1, segment_at(1).used - 50, "x", 1);
    spool = open_spool(&found);
    assert_int_equal(found.end, SPOOL_END_DAMAGED);
    assert_int_equal(found.records, 4);
    append(&spool, 1);
    spool_close(&spool);
    assert_int_equal(segment_at(2).header.before, SPOOL_END_DAMAGED);
    write_at(2, 10, "x", 1); /* its header */
    spool = open_spool(&found);
    assert_int_equal(found.end, SPOOL_END_DAMAGED);
    assert_int_equal(found.broken, 2);
    append(&spool, 1);
    spool_close(&spool);
    assert_int_equal(segment_at(3).header.before, SPOOL_END_DAMAGED);
}

static void a_full_disk_is_told_and_it_goes_on(void **state)
{
    struct spool_files_found found;
    size_t appended = 0;
    (void)state;
    atomic_store(&no_room, true);
    struct spool spool;
    assert_status(open_with(0, &spool, &found), HF_E_RESOURCES);
    atomic_store(&no_room, false);
    spool = open_spool(&found);
    atomic_store(&no_room, true);
    while (append_one(&spool) == HF_OK) { /* one made ready may be there */
        appended++;
        assert_true(appended < 2000);
    }
    for (int i = 0; i < 100 && spool_ready(&spool); i++) {
        usleep(PAUSE_US);
        appended += append_one(&spool) == HF_OK ? 1 : 0;
    }
    assert_false(spool_ready(&spool));
    assert_status(append_one(&spool), HF_E_RESOURCES);
    atomic_store(&no_room, false);
    for (int i = 0; i < TRIES && !spool_ready(&spool); i++) {
        usleep(PAUSE_US);
    }
    assert_true(spool_ready(&spool));
    append(&spool, 1);
    assert_int_equal(spool_records(&spool), appended + 1);
    spool_close(&spool);
    spool = open_spool(&found);
    assert_int_equal(found.records, appended + 1);
    assert_int_equal(found.end, SPOOL_END_CLEAN);
    spool_close(&spool);
}

static void a_disk_that_does_not_answer_is_told_and_it_goes_on(void **state)
{
    struct spool_files_found found;
    struct spool_head head;
    (void)state;
    struct spool spool = open_spool(&found);
    append(&spool, 1);
    assert_ok(spool_head(&spool, &head));
    atomic_store(&sync_hangs, true);
    append(&spool, 1);
    assert_status(spool_head(&spool, &head), HF_E_UNREACHABLE);
    for (int i = 0; i < TRIES && spool_ready(&spool); i++) {
        usleep(PAUSE_US);
    }
    assert_false(spool_ready(&spool));
    assert_status(append_one(&spool), HF_E_RESOURCES);
    atomic_store(&sync_hangs, false);
    for (int i = 0; i < TRIES && !spool_ready(&spool); i++) {
        usleep(PAUSE_US);
    }
    append(&spool, 1);
    assert_ok(spool_head(&spool, &head));
    assert_int_equal(head.records, 3);
    spool_close(&spool);
}

/* Nobody has to ask for it. */
static void it_is_synced_by_itself(void **state)
{
    struct spool_files_found found;
    (void)state;
    struct spool spool = open_spool(&found);
    int before = 0;
    do { /* until the next segment is ready */
        before = atomic_load(&syncs);
        usleep(3 * SPOOL_SYNC_MS * 1000);
    } while (atomic_load(&syncs) != before);
    append(&spool, 1);
    for (int i = 0; i < TRIES && atomic_load(&syncs) == before; i++) {
        usleep(PAUSE_US);
    }
    assert_true(atomic_load(&syncs) > before);
    spool_close(&spool);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(it_goes_on_where_it_ended),
        CASE(rotation_keeps_the_chain_and_takes_the_oldest),
        CASE(a_kill_loses_nothing),
        CASE(a_torn_tail_is_left_and_told_of),
        CASE(an_edit_is_found_at_the_start),
        CASE(a_full_disk_is_told_and_it_goes_on),
        CASE(a_disk_that_does_not_answer_is_told_and_it_goes_on),
        CASE(it_is_synced_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
