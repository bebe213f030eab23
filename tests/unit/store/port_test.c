/* The port's own checks: an adapter that lies is caught, our own misuse stops
 * the process, and trouble in the middle leaves nothing to commit. */
#include "server/store/adapter.h"
#include "server/store/store.h"

#include "tests/fakes/store_memory.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* An adapter that gives out whatever the test puts here. */
struct liar {
    struct store_txn txn;
    struct record records[4];
    struct audit_link links[4];
    struct epoch epochs[4];
    size_t count;
    enum hf_status put_status;
    int commits;
    int rollbacks;
};

static HF_STATUS liar_begin(void *self, enum store_mode mode,
                            struct store_txn **out_txn)
{
    (void)mode;
    *out_txn = &((struct liar *)self)->txn;
    return HF_OK;
}

static struct liar *of(struct store_txn *txn)
{
    return (struct liar *)txn;
}

static HF_STATUS liar_get(struct store_txn *txn, enum record_kind kind,
                          struct bytes key, struct record *out_record)
{
    (void)kind;
    (void)key;
    *out_record = of(txn)->records[0];
    return HF_OK;
}

static HF_STATUS liar_put(struct store_txn *txn, const struct record *record)
{
    (void)record;
    return of(txn)->put_status;
}

static HF_STATUS liar_list(struct store_txn *txn, enum record_kind kind,
                           const struct store_page *page, store_record_fn *each,
                           void *context)
{
    (void)kind;
    (void)page;
    for (size_t i = 0; i < of(txn)->count; i++) {
        HF_TRY(each(context, &of(txn)->records[i]));
    }
    return HF_OK;
}

static HF_STATUS liar_audit_list(struct store_txn *txn,
                                 const struct hf_id *tenant,
                                 uint64_t from_index, size_t max,
                                 store_audit_fn *each, void *context)
{
    (void)tenant;
    (void)from_index;
    (void)max;
    for (size_t i = 0; i < of(txn)->count; i++) {
        HF_TRY(each(context, &of(txn)->links[i]));
    }
    return HF_OK;
}

static HF_STATUS liar_epoch_list(struct store_txn *txn, size_t max,
                                 store_epoch_fn *each, void *context)
{
    (void)max;
    for (size_t i = 0; i < of(txn)->count; i++) {
        HF_TRY(each(context, &of(txn)->epochs[i]));
    }
    return HF_OK;
}

static HF_STATUS liar_commit(struct store_txn *txn)
{
    of(txn)->commits++;
    return HF_OK;
}

static void liar_rollback(struct store_txn *txn)
{
    of(txn)->rollbacks++;
}

static const struct store_port liar_port = {
    .begin = liar_begin,
    .get = liar_get,
    .put = liar_put,
    .list = liar_list,
    .audit_list = liar_audit_list,
    .epoch_list = liar_epoch_list,
    .commit = liar_commit,
    .rollback = liar_rollback,
};

static struct store_txn *lie(struct liar *liar, enum store_mode mode)
{
    const struct store store = {.port = &liar_port, .self = liar};
    struct store_txn *txn = NULL;
    assert_ok(store_begin(&store, mode, &txn));
    return txn;
}

static struct record record_of(const char *key)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = RECORD_DEP;
    record.key_len = strlen(key);
    memcpy(record.key, key, record.key_len);
    record.version = 1;
    record.body_len = 1;
    return record;
}

static void a_get_answers_what_was_asked(void **state)
{
    (void)state;
    struct record good = record_of("k");
    struct record bad[7];
    for (size_t i = 0; i < 7; i++) {
        bad[i] = good;
    }
    bad[0].kind = RECORD_GRANT;
    bad[1].key[0] = 'j';
    bad[2].key_len = 2;
    bad[3].version = 0;
    bad[4].body_len = RECORD_BODY_MAX_BYTES + 1;
    bad[5].key_len = RECORD_KEY_MAX_BYTES + 1;
    bad[6].version = UINT64_MAX;
    for (size_t i = 0; i < 7; i++) {
        struct liar liar = {.records = {bad[i]}};
        struct record found;
        struct record before;
        memset(&found, 0x5a, sizeof found);
        memset(&before, 0x5a, sizeof before);
        struct store_txn *txn = lie(&liar, STORE_READ);
        assert_status(store_get(txn, RECORD_DEP, bytes_of_text("k"), &found),
                      HF_E_CORRUPT);
        assert_memory_equal(&found, &before, sizeof found);
        assert_ok(store_commit(&txn));
    }
}

static enum hf_status ignore_record(void *context, const struct record *record)
{
    (void)record;
    (*(int *)context)++;
    return HF_OK;
}

struct listing_lie {
    const char *keys[4];
    const char *prefix;
    const char *after;
    size_t max;
    int shown; /* before it is caught */
};

static void a_listing_shows_what_was_asked(void **state)
{
    (void)state;
    static const struct listing_lie lies[] = {
        {{"b", "a"},      "",  "",  9, 1}, /* out of order   */
        {{"a", "a"},      "",  "",  9, 1}, /* twice          */
        {{"a", "ab"},     "",  "a", 9, 0}, /* not behind     */
        {{"xa", "ya"},    "x", "",  9, 1}, /* another prefix */
        {{"a", "b", "c"}, "",  "",  2, 2}, /* too many       */
        {{"a", ""},       "",  "",  9, 1}, /* no key         */
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct liar liar = {.count = 0};
        for (; liar.count < 4 && lies[i].keys[liar.count] != NULL;
             liar.count++) {
            liar.records[liar.count] = record_of(lies[i].keys[liar.count]);
        }
        int shown = 0;
        struct store_page page = {.prefix = bytes_of_text(lies[i].prefix),
                                  .after = bytes_of_text(lies[i].after),
                                  .max = lies[i].max};
        struct store_txn *txn = lie(&liar, STORE_READ);
        assert_status(store_list(txn, RECORD_DEP, &page, ignore_record, &shown),
                      HF_E_CORRUPT);
        assert_int_equal(shown, lies[i].shown);
        store_rollbackp(&txn);
    }
}

static enum hf_status ignore_link(void *context, const struct audit_link *link)
{
    (void)context;
    (void)link;
    return HF_OK;
}

static void links_are_in_order_and_the_tenants(void **state)
{
    (void)state;
    const struct hf_id tenant = {{1}};
    static const struct {
        uint64_t indexes[2];
        uint64_t from;
        size_t max;
        bool others; /* the second is another tenant's */
        enum hf_status expected;
    } cases[] = {
        {{1, 2}, 0, 9, false, HF_OK       },
        {{1, 3}, 0, 9, false, HF_OK       }, /* others between */
        {{2, 1}, 0, 9, false, HF_E_CORRUPT},
        {{2, 2}, 0, 9, false, HF_E_CORRUPT},
        {{0, 1}, 0, 9, false, HF_E_CORRUPT},
        {{3, 4}, 4, 9, false, HF_E_CORRUPT},
        {{1, 2}, 0, 1, false, HF_E_CORRUPT},
        {{1, 2}, 0, 9, true,  HF_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar liar = {.count = 2};
        for (size_t j = 0; j < 2; j++) {
            liar.links[j].index = cases[i].indexes[j];
            liar.links[j].tenant = tenant;
            liar.links[j].body_len = 1;
        }
        liar.links[1].tenant.bytes[0] += cases[i].others;
        struct store_txn *txn = lie(&liar, STORE_READ);
        assert_status(store_audit_list(txn, &tenant, cases[i].from,
                                       cases[i].max, ignore_link, NULL),
                      cases[i].expected);
        store_rollbackp(&txn);
    }
}

static enum hf_status ignore_epoch(void *context, const struct epoch *epoch)
{
    (void)context;
    (void)epoch;
    return HF_OK;
}

static void epochs_go_down_by_one(void **state)
{
    (void)state;
    static const struct {
        uint64_t counters[2];
        size_t max;
        enum hf_status expected;
    } cases[] = {
        {{2, 1}, 9, HF_OK       },
        {{3, 1}, 9, HF_E_CORRUPT},
        {{1, 2}, 9, HF_E_CORRUPT},
        {{2, 2}, 9, HF_E_CORRUPT},
        {{1, 0}, 9, HF_E_CORRUPT},
        {{2, 1}, 1, HF_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar liar = {.count = 2};
        liar.epochs[0].counter = cases[i].counters[0];
        liar.epochs[1].counter = cases[i].counters[1];
        struct store_txn *txn = lie(&liar, STORE_READ);
        assert_status(store_epoch_list(txn, cases[i].max, ignore_epoch, NULL),
                      cases[i].expected);
        store_rollbackp(&txn);
    }
}

static void trouble_leaves_nothing_to_commit(void **state)
{
    (void)state;
    static const struct {
        enum hf_status status;
        bool spoils;
    } cases[] = {
        {HF_E_CONFLICT,  false},
        {HF_E_EXISTS,    false},
        {HF_E_NO_MEMORY, true },
        {HF_E_OVERLOAD,  true },
        {HF_E_IO,        true },
        {HF_E_CORRUPT,   true },
        {HF_E_INTERNAL,  true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar liar = {.put_status = cases[i].status};
        struct record record = record_of("k");
        struct store_txn *txn = lie(&liar, STORE_WRITE);
        assert_status(store_put(txn, &record), cases[i].status);
        liar.put_status = HF_OK;
        enum hf_status expected = cases[i].spoils ? cases[i].status : HF_OK;
        assert_status(store_put(txn, &record), expected);
        assert_status(store_commit(&txn), expected);
        assert_null(txn);
        assert_int_equal(liar.commits, cases[i].spoils ? 0 : 1);
        assert_int_equal(liar.rollbacks, cases[i].spoils ? 1 : 0);
    }
}

/* Our own misuse ends the process, in release builds too. */
static void assert_aborts(void (*misuse)(struct store *store))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store store = {0};
        struct store_memory *memory = store_memory_new();
        close(STDERR_FILENO);
        if (store_memory_open(memory, &store) == HF_OK) {
            misuse(&store);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static struct store_txn *begin_or_leave(const struct store *store,
                                        enum store_mode mode)
{
    struct store_txn *txn = NULL;
    if (store_begin(store, mode, &txn) != HF_OK) {
        _exit(1);
    }
    return txn;
}

static void leave_unless(bool expected)
{
    _exit(expected ? 2 : 3); /* either way: it did not abort */
}

static void put_while_reading(struct store *store)
{
    struct record record = record_of("k");
    leave_unless(store_put(begin_or_leave(store, STORE_READ), &record) ==
                 HF_OK);
}

static enum hf_status put_inside(void *context, const struct record *record)
{
    struct record next = *record;
    next.version++;
    return store_put(context, &next);
}

static void put_while_listing(struct store *store)
{
    struct store_txn *txn = begin_or_leave(store, STORE_WRITE);
    struct record record = record_of("k");
    struct store_page page = {.max = 9};
    leave_unless(store_put(txn, &record) == HF_OK &&
                 store_list(txn, RECORD_DEP, &page, put_inside, txn) == HF_OK);
}

static enum hf_status list_inside(void *context, const struct record *record)
{
    struct store_page page = {.max = 9};
    int shown = 0;
    return store_list(context, record->kind, &page, ignore_record, &shown);
}

static void list_while_listing(struct store *store)
{
    struct store_txn *txn = begin_or_leave(store, STORE_WRITE);
    struct record record = record_of("k");
    struct store_page page = {.max = 9};
    leave_unless(store_put(txn, &record) == HF_OK &&
                 store_list(txn, RECORD_DEP, &page, list_inside, txn) == HF_OK);
}

static void *get_elsewhere(void *context)
{
    struct record record;
    return store_get(context, RECORD_DEP, bytes_of_text("k"), &record) == HF_OK
               ? context
               : NULL;
}

static void use_in_another_thread(struct store *store)
{
    pthread_t thread;
    struct store_txn *txn = begin_or_leave(store, STORE_READ);
    leave_unless(pthread_create(&thread, NULL, get_elsewhere, txn) == 0 &&
                 pthread_join(thread, NULL) == 0);
}

static void commit_twice(struct store *store)
{
    struct store_txn *txn = begin_or_leave(store, STORE_WRITE);
    leave_unless(store_commit(&txn) == HF_OK && store_commit(&txn) == HF_OK);
}

static void close_with_a_transaction(struct store *store)
{
    struct store_txn *txn = begin_or_leave(store, STORE_READ);
    store_close(store);
    leave_unless(txn != NULL);
}

static void misuse_ends_the_process(void **state)
{
    (void)state;
    assert_aborts(put_while_reading);
    assert_aborts(put_while_listing);
    assert_aborts(list_while_listing);
    assert_aborts(use_in_another_thread);
    assert_aborts(commit_twice);
    assert_aborts(close_with_a_transaction);
}

static void closing_and_rolling_back_nothing_is_nothing(void **state)
{
    (void)state;
    struct store store = {0};
    struct store_txn *txn = NULL;
    store_close(&store);
    store_close(NULL);
    store_rollbackp(&txn);
    assert_null(store.port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_answers_what_was_asked),
        cmocka_unit_test(a_listing_shows_what_was_asked),
        cmocka_unit_test(links_are_in_order_and_the_tenants),
        cmocka_unit_test(epochs_go_down_by_one),
        cmocka_unit_test(trouble_leaves_nothing_to_commit),
        cmocka_unit_test(misuse_ends_the_process),
        cmocka_unit_test(closing_and_rolling_back_nothing_is_nothing),
    };
    return cmocka_run_group_tests_name("store port", tests, NULL, NULL);
}
