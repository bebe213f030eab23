/* store_ops: what the SQLite store costs, one operation at a time, as JSON.
 *
 *   store_ops [folder] [seconds per measurement]
 *
 * The folder decides what a sync costs: it must be on the disk that counts.
 */
#include "hsm/base/check.h"

#include "server/store/record.h"
#include "server/store/sqlite/sqlite_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTED        10000
#define COUNTED       100000
#define WRITERS       8
#define BATCH_RECORDS 500

struct bench {
    struct store store;
    char folder[512];
    char path[544];
    double seconds;
    struct hf_id tenant;
};

static double now_s(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void name_of(size_t number, char out[32])
{
    snprintf(out, 32, "user%06zu@example.test", number);
}

/* A mailbox with a key and three earlier wraps: 500 bytes or so. */
static void make_mailbox(const struct bench *bench, size_t number,
                         struct record *out)
{
    struct resource_record mailbox = {
        .tenant = bench->tenant,
        .type = RESOURCE_MAILBOX,
        .kind = MAILBOX_USER,
        .licensed = true,
        .effective = {.dep = {{7}}, .generation = 1},
        .envelope_len = ENVELOPE_KEY_BYTES,
        .wrap_count = 3,
    };
    name_of(number, mailbox.id);
    CHECK(resource_encode(&mailbox, out) == HF_OK);
    memset(out->mac, 1, sizeof out->mac);
    memset(out->previous_mac, 2, sizeof out->previous_mac);
}

static void fill(struct bench *bench)
{
    static struct record record;
    for (size_t done = 0; done < LISTED;) {
        struct store_txn *txn = NULL;
        CHECK(store_begin(&bench->store, STORE_WRITE, &txn) == HF_OK);
        for (size_t i = 0; i < BATCH_RECORDS && done < LISTED; i++, done++) {
            make_mailbox(bench, done, &record);
            record.version = 1;
            CHECK(store_put(txn, &record) == HF_OK);
        }
        CHECK(store_commit(&txn) == HF_OK);
    }
}

static void get_one(const struct bench *bench, const struct record_key *key)
{
    static _Thread_local struct record record;
    struct store_txn *txn = NULL;
    CHECK(store_begin(&bench->store, STORE_READ, &txn) == HF_OK);
    CHECK(store_get(txn, RECORD_RESOURCE, record_key_view(key), &record) ==
          HF_OK);
    CHECK(store_commit(&txn) == HF_OK);
}

static double point_read_us(const struct bench *bench, size_t keys)
{
    static struct record_key looked_up[LISTED];
    for (size_t i = 0; i < keys; i++) {
        char name[32];
        name_of(i * 7919 % LISTED, name);
        looked_up[i] = key_of_resource(&bench->tenant, RESOURCE_MAILBOX, name);
        get_one(bench, &looked_up[i]);
    }
    size_t count = 0;
    double from = now_s();
    double to = from;
    while (to - from < bench->seconds) {
        for (size_t i = 0; i < 100; i++, count++) {
            get_one(bench, &looked_up[count % keys]);
        }
        to = now_s();
    }
    return (to - from) * 1e6 / (double)count;
}

static double read_in_txn_us(const struct bench *bench)
{
    static struct record record;
    char name[32];
    name_of(1, name);
    struct record_key key =
        key_of_resource(&bench->tenant, RESOURCE_MAILBOX, name);
    struct store_txn *txn = NULL;
    CHECK(store_begin(&bench->store, STORE_READ, &txn) == HF_OK);
    size_t count = 0;
    double from = now_s();
    double to = from;
    while (to - from < bench->seconds) {
        for (size_t i = 0; i < 100; i++, count++) {
            CHECK(store_get(txn, RECORD_RESOURCE, record_key_view(&key),
                            &record) == HF_OK);
        }
        to = now_s();
    }
    CHECK(store_commit(&txn) == HF_OK);
    return (to - from) * 1e6 / (double)count;
}

/* One record and one link: a state change with its audit record. */
static void commit_one(const struct bench *bench, struct record *record)
{
    struct audit_link link = {.tenant = bench->tenant, .time_ms = 1};
    memset(link.body, 'x', 400);
    link.body_len = 400;
    struct store_txn *txn = NULL;
    record->version++;
    CHECK(store_begin(&bench->store, STORE_WRITE, &txn) == HF_OK);
    CHECK(store_put(txn, record) == HF_OK);
    CHECK(store_audit_append(txn, &link) == HF_OK);
    CHECK(store_commit(&txn) == HF_OK);
}

struct writer {
    const struct bench *bench;
    size_t number;
    size_t count;
    double slowest_s;
};

static void *write_on(void *context)
{
    static _Thread_local struct record record;
    struct writer *writer = context;
    make_mailbox(writer->bench, writer->number, &record);
    double from = now_s();
    double before = from;
    while (before - from < writer->bench->seconds) {
        commit_one(writer->bench, &record);
        double after = now_s();
        if (after - before > writer->slowest_s) {
            writer->slowest_s = after - before;
        }
        before = after;
        writer->count++;
    }
    return NULL;
}

struct commit_figures {
    double per_s;
    double slowest_ms;
};

/* number is the first new mailbox that the writers make. */
static struct commit_figures commits(const struct bench *bench, size_t writers,
                                     size_t number)
{
    pthread_t threads[WRITERS];
    struct writer each[WRITERS] = {0};
    struct commit_figures figures = {0};
    double from = now_s();
    for (size_t i = 0; i < writers; i++) {
        each[i].bench = bench;
        each[i].number = number + i;
        CHECK(pthread_create(&threads[i], NULL, write_on, &each[i]) == 0);
    }
    for (size_t i = 0; i < writers; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        figures.per_s += (double)each[i].count;
        if (each[i].slowest_s * 1e3 > figures.slowest_ms) {
            figures.slowest_ms = each[i].slowest_s * 1e3;
        }
    }
    figures.per_s /= now_s() - from;
    return figures;
}

/* The bare sync under it all: append 4 KiB and fdatasync. */
static double syncs_per_s(const struct bench *bench)
{
    char path[576];
    static const char page[4096];
    snprintf(path, sizeof path, "%s/sync", bench->folder);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    size_t count = 0;
    double from = now_s();
    double to = from;
    while (to - from < bench->seconds) {
        CHECK(write(fileno(file), page, sizeof page) == sizeof page);
        CHECK(fdatasync(fileno(file)) == 0);
        count++;
        to = now_s();
    }
    fclose(file);
    unlink(path);
    return (double)count / (to - from);
}

static enum hf_status count_one(void *context, const struct record *record)
{
    (*(size_t *)context) += record->body_len > 0;
    return HF_OK;
}

static double list_all_ms(const struct bench *bench)
{
    struct record_key key = key_of_id(&bench->tenant);
    struct store_page page = {.prefix = record_key_view(&key), .max = LISTED};
    size_t rounds = 0;
    double from = now_s();
    double to = from;
    while (to - from < bench->seconds) {
        size_t count = 0;
        struct store_txn *txn = NULL;
        CHECK(store_begin(&bench->store, STORE_READ, &txn) == HF_OK);
        CHECK(store_list(txn, RECORD_RESOURCE, &page, count_one, &count) ==
              HF_OK);
        CHECK(store_commit(&txn) == HF_OK);
        CHECK(count == LISTED);
        rounds++;
        to = now_s();
    }
    return (to - from) * 1e3 / (double)rounds;
}

/* The mailboxes of one large DEP, counted by an index: GetDep does four of
 * these. */
static double count_ms(const struct bench *bench)
{
    const struct hf_id dep = {{9}};
    static struct record record;
    struct store_txn *txn = NULL;
    struct resource_record mailbox = {
        .tenant = bench->tenant,
        .type = RESOURCE_MAILBOX,
        .kind = MAILBOX_USER,
    };
    uint64_t count = 0;
    for (size_t done = 0; done < COUNTED;) {
        CHECK(store_begin(&bench->store, STORE_WRITE, &txn) == HF_OK);
        for (size_t i = 0; i < BATCH_RECORDS; i++, done++) {
            name_of(done, mailbox.id);
            CHECK(encrypted_encode(&dep, &mailbox, &record) == HF_OK);
            record.version = 1;
            CHECK(store_put(txn, &record) == HF_OK);
        }
        CHECK(store_commit(&txn) == HF_OK);
    }
    double begin_s = now_s();
    CHECK(store_begin(&bench->store, STORE_READ, &txn) == HF_OK);
    CHECK(store_count(txn, RECORD_ENCRYPTED, BYTES_OF(dep.bytes), &count) ==
          HF_OK);
    store_rollbackp(&txn);
    CHECK(count == COUNTED);
    return (now_s() - begin_s) * 1000;
}

static void measure(struct bench *bench)
{
    fill(bench);
    double one_key = point_read_us(bench, 1);
    double all_keys = point_read_us(bench, LISTED);
    double in_txn = read_in_txn_us(bench);
    double list = list_all_ms(bench);
    double counted = count_ms(bench);
    double syncs = syncs_per_s(bench);
    struct commit_figures one = commits(bench, 1, LISTED);
    struct commit_figures many = commits(bench, WRITERS, LISTED + 1);
    printf("{\"point_read_us\":%.2f,\"point_read_10000_keys_us\":%.2f,"
           "\"read_inside_transaction_us\":%.2f,\"list_10000_ms\":%.2f,"
           "\"count_100000_ms\":%.2f,"
           "\"sync_4k_per_s\":%.0f,\"commit_per_s\":%.0f,"
           "\"commit_slowest_ms\":%.1f,\"commit_8_writers_per_s\":%.0f,"
           "\"commit_8_writers_slowest_ms\":%.1f}\n",
           one_key, all_keys, in_txn, list, counted, syncs, one.per_s,
           one.slowest_ms, many.per_s, many.slowest_ms);
}

static void clean_up(const struct bench *bench)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char path[576];
        snprintf(path, sizeof path, "%s%s", bench->path, suffixes[i]);
        unlink(path);
    }
    rmdir(bench->folder);
}

int main(int argc, char **argv)
{
    struct bench bench = {.seconds = argc > 2 ? strtod(argv[2], NULL) : 2,
                          .tenant = {{1, 2, 3}}};
    snprintf(bench.folder, sizeof bench.folder, "%s/hf-bench-XXXXXX",
             argc > 1 ? argv[1] : "/var/tmp");
    if (mkdtemp(bench.folder) == NULL || bench.seconds <= 0) {
        fprintf(stderr, "usage: store_ops [folder] [seconds]\n");
        return 2;
    }
    snprintf(bench.path, sizeof bench.path, "%s/store.db", bench.folder);
    const struct sqlite_settings settings = {.path = bench.path};
    CHECK(sqlite_store_open(&settings, &bench.store) == HF_OK);
    measure(&bench);
    store_close(&bench.store);
    clean_up(&bench);
    return 0;
}
