/* What was acknowledged is there: after kill -9, after a power cut, and when
 * the disk fails, in which case the process ends. */
#include "hsm/base/check.h"

#include "server/store/sqlite/sqlite_store.h"

#include "tests/contract/store/hurt_vfs.h"
#include "tests/contract/store/sqlite_fixture.h"
#include "tests/contract/store/store_contract.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that commits and says so through a pipe. */
struct committer {
    pid_t pid;
    int acks;   /* the numbers of committed steps, 4 bytes each */
    int errors; /* its standard error */
};

struct orders {
    const struct sqlite_disk *disk;
    size_t threads;
    bool keep_synced;
    size_t hurt_after; /* commits; 0: never */
    enum hurt hurt;
    bool small_files; /* the kernel refuses to let files grow */
    size_t body_len;
};

/* Everything one commit changes: its counter, a link and an epoch. */
static enum hf_status commit_step(const struct store *store, uint8_t name,
                                  uint32_t step, size_t body_len)
{
    struct record record = make(RECORD_SEALS, (struct bytes){&name, 1}, step);
    struct audit_link link = link_of(name, "{\"step\":true}");
    /* every byte changes, so that every page is written */
    memset(record.body, (int)step, body_len);
    record.body_len = body_len;
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(store, STORE_WRITE, &txn));
    HF_TRY(store_put(txn, &record));
    HF_TRY(store_audit_append(txn, &link));
    return store_commit(&txn);
}

struct lane {
    const struct store *store;
    const struct orders *orders;
    int acks;
    uint8_t name;
};

/* An acknowledgement: the lane's name and its step. */
static void *commit_for_ever(void *context)
{
    const struct lane *lane = context;
    struct record record;
    uint32_t step = 0;
    struct store_txn *txn = NULL;
    CHECK(store_begin(lane->store, STORE_READ, &txn) == HF_OK);
    if (store_get(txn, RECORD_SEALS, (struct bytes){&lane->name, 1}, &record) ==
        HF_OK) {
        step = (uint32_t)record.version;
    }
    store_rollbackp(&txn);
    for (size_t done = 1;; done++) {
        step++;
        if (done == lane->orders->hurt_after + 1 &&
            lane->orders->hurt_after > 0) {
            hurt_vfs_set(lane->orders->hurt);
            if (lane->orders->small_files) {
                const struct rlimit none = {0, 0};
                CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
            }
        }
        CHECK(commit_step(lane->store, lane->name, step,
                          lane->orders->body_len) == HF_OK);
        uint32_t ack = (uint32_t)lane->name << 24 | step;
        CHECK(write(lane->acks, &ack, sizeof ack) == sizeof ack);
    }
    return NULL;
}

/* One that should have ended and did not must not fill the disk. */
#define CHILD_MAX_S 40

__attribute__((noreturn)) static void child(const struct orders *orders,
                                            int acks)
{
    struct store store = {0};
    pthread_t thread;
    alarm(CHILD_MAX_S);
    signal(SIGXFSZ, SIG_IGN); /* as the daemon: an error, not a death */
    hurt_vfs_install(orders->keep_synced);
    CHECK(sqlite_disk_open(orders->disk, &store) == HF_OK);
    struct lane lanes[4];
    for (size_t i = 0; i < orders->threads; i++) {
        lanes[i] = (struct lane){.store = &store,
                                 .orders = orders,
                                 .acks = acks,
                                 .name = (uint8_t)(i + 1)};
        if (i > 0) {
            CHECK(pthread_create(&thread, NULL, commit_for_ever, &lanes[i]) ==
                  0);
        }
    }
    commit_for_ever(&lanes[0]);
    _exit(99);
}

static struct committer start(const struct orders *orders)
{
    int acks[2];
    int errors[2];
    assert_int_equal(pipe2(acks, O_CLOEXEC), 0);
    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        CHECK(dup2(errors[1], STDERR_FILENO) >= 0);
        close(acks[0]);
        child(orders, acks[1]);
    }
    close(acks[1]);
    close(errors[1]);
    return (struct committer){.pid = pid, .acks = acks[0], .errors = errors[0]};
}

struct acked {
    uint32_t steps[5]; /* by lane */
    uint32_t total;
};

/* Reads acknowledgements until there are enough, or to the end. */
static void read_acks(const struct committer *committer, uint32_t enough,
                      struct acked *acked)
{
    uint32_t ack = 0;
    uint32_t more = 0;
    while (more < enough && read(committer->acks, &ack, sizeof ack) == 4) {
        assert_true(ack >> 24 <= 4);
        acked->steps[ack >> 24] = ack & 0xffffff;
        acked->total++;
        more++;
    }
}

static int wait_for(const struct committer *committer)
{
    int status = 0;
    assert_int_equal(waitpid(committer->pid, &status, 0), committer->pid);
    return status;
}

struct links {
    uint64_t count;
    uint8_t last[HF_SHA256_BYTES];
    uint64_t by_lane[5];
};

static enum hf_status follow(void *context, const struct audit_link *link)
{
    struct links *links = context;
    uint8_t hash[HF_SHA256_BYTES];
    assert_ok(audit_link_hash(link, hash));
    assert_memory_equal(hash, link->hash, sizeof hash);
    assert_memory_equal(link->previous, links->last, sizeof hash);
    memcpy(links->last, hash, sizeof hash);
    links->by_lane[link->tenant.bytes[0]]++;
    links->count++;
    assert_int_equal(link->index, links->count);
    return HF_OK;
}

/* Every acknowledged step is there, at most one more per lane (committed, and
 * then killed before it could be said), and each has its one link: I4. */
static void assert_kept(const struct sqlite_disk *disk,
                        const struct acked *acked)
{
    struct store store = {0};
    struct store_txn *txn = NULL;
    struct links links = {0};
    assert_ok(sqlite_disk_open(disk, &store));
    assert_ok(store_begin(&store, STORE_READ, &txn));
    assert_ok(store_audit_list(txn, NULL, 0, SIZE_MAX, follow, &links));
    for (uint8_t lane = 1; lane <= 4; lane++) {
        uint64_t there =
            version_of(txn, RECORD_SEALS, (struct bytes){&lane, 1});
        assert_in_range(there, acked->steps[lane], acked->steps[lane] + 1);
        assert_int_equal(links.by_lane[lane], there);
    }
    assert_ok(store_commit(&txn));
    store_close(&store);
}

static void end(struct committer *committer)
{
    close(committer->acks);
    close(committer->errors);
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
    struct acked acked = {0};
    const struct orders orders = {
        .disk = *state, .threads = 3, .body_len = 900};
    for (int round = 0; round < 15; round++) {
        struct committer committer = start(&orders);
        read_acks(&committer, (uint32_t)(1 + 17 * round), &acked);
        usleep((useconds_t)(137 * round));
        assert_int_equal(kill(committer.pid, SIGKILL), 0);
        read_acks(&committer, UINT32_MAX, &acked);
        assert_int_equal(WTERMSIG(wait_for(&committer)), SIGKILL);
        end(&committer);
        assert_kept(*state, &acked);
        /* what was committed but not said counts from now on */
        struct store store = {0};
        struct store_txn *txn = NULL;
        assert_ok(sqlite_disk_open(*state, &store));
        assert_ok(store_begin(&store, STORE_READ, &txn));
        for (uint8_t lane = 1; lane <= 3; lane++) {
            acked.steps[lane] = (uint32_t)version_of(txn, RECORD_SEALS,
                                                     (struct bytes){&lane, 1});
        }
        assert_ok(store_commit(&txn));
        store_close(&store);
    }
    assert_true(acked.total > 200);
}

/* The copies made at each sync are all that is left. */
static void a_power_cut_loses_nothing_acknowledged(void **state)
{
    struct sqlite_disk *disk = *state;
    struct acked acked = {0};
    const struct orders orders = {
        .disk = disk, .threads = 2, .keep_synced = true, .body_len = 5000};
    for (int round = 0; round < 4; round++) {
        /* round 3 is long enough for checkpoints */
        struct committer committer = start(&orders);
        read_acks(&committer, round < 3 ? 5 : 400, &acked);
        assert_int_equal(kill(committer.pid, SIGKILL), 0);
        read_acks(&committer, UINT32_MAX, &acked);
        assert_int_equal(WTERMSIG(wait_for(&committer)), SIGKILL);
        end(&committer);
        hurt_vfs_cut_power(disk->path);
        assert_kept(disk, &acked);
        struct store store = {0};
        struct store_txn *txn = NULL;
        assert_ok(sqlite_disk_open(disk, &store));
        assert_ok(store_begin(&store, STORE_READ, &txn));
        for (uint8_t lane = 1; lane <= 2; lane++) {
            acked.steps[lane] = (uint32_t)version_of(txn, RECORD_SEALS,
                                                     (struct bytes){&lane, 1});
        }
        assert_ok(store_commit(&txn));
        store_close(&store);
    }
}

/* The child must end by itself, with the documented code and one line. */
static void assert_ends_by_itself(const struct orders *orders)
{
    struct acked acked = {0};
    char text[4096] = "";
    struct committer committer = start(orders);
    read_acks(&committer, UINT32_MAX, &acked);
    ssize_t len = read(committer.errors, text, sizeof text - 1);
    int status = wait_for(&committer);
    assert_true(len > 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), SQLITE_STORE_EXIT_IO);
    assert_non_null(strstr(text, "\"event\":\"store.ended\""));
    assert_true(acked.total >= orders->hurt_after);
    end(&committer);
    assert_kept(orders->disk, &acked);
}

static void a_failed_sync_ends_the_process(void **state)
{
    assert_ends_by_itself(&(struct orders){.disk = *state,
                                           .threads = 1,
                                           .body_len = 100,
                                           .hurt_after = 20,
                                           .hurt = HURT_JOURNAL_SYNC});
}

static void a_full_disk_ends_the_process(void **state)
{
    assert_ends_by_itself(&(struct orders){.disk = *state,
                                           .threads = 1,
                                           .body_len = 100,
                                           .hurt_after = 20,
                                           .hurt = HURT_JOURNAL_WRITE});
}

/* The same, with the kernel saying no instead of a shim. */
static void a_refused_write_ends_the_process(void **state)
{
    assert_ends_by_itself(&(struct orders){.disk = *state,
                                           .threads = 1,
                                           .body_len = 100,
                                           .hurt_after = 20,
                                           .hurt = HURT_NOTHING,
                                           .small_files = true});
}

static void a_failed_checkpoint_ends_the_process(void **state)
{
    assert_ends_by_itself(&(struct orders){.disk = *state,
                                           .threads = 1,
                                           .body_len = 8000,
                                           .hurt_after = 20,
                                           .hurt = HURT_FILE_SYNC});
}

static void a_second_process_is_refused_until_the_first_ends(void **state)
{
    struct acked acked = {0};
    const struct orders orders = {.disk = *state, .threads = 1, .body_len = 10};
    struct committer committer = start(&orders);
    read_acks(&committer, 1, &acked);
    struct store store = {0};
    assert_status(sqlite_disk_open(*state, &store), HF_E_CONFLICT);
    assert_null(store.port);
    assert_int_equal(kill(committer.pid, SIGKILL), 0);
    read_acks(&committer, UINT32_MAX, &acked);
    assert_int_equal(WTERMSIG(wait_for(&committer)), SIGKILL);
    end(&committer);
    assert_kept(*state, &acked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(kill_9_loses_nothing_acknowledged),
        DISK_TEST(a_power_cut_loses_nothing_acknowledged),
        DISK_TEST(a_failed_sync_ends_the_process),
        DISK_TEST(a_full_disk_ends_the_process),
        DISK_TEST(a_refused_write_ends_the_process),
        DISK_TEST(a_failed_checkpoint_ends_the_process),
        DISK_TEST(a_second_process_is_refused_until_the_first_ends),
    };
    return cmocka_run_group_tests_name("sqlite durability", tests, NULL, NULL);
}
