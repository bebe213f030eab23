/* Records: compare-and-set, listing, counting. */
#include "tests/contract/store/store_contract.h"

#include <stdio.h>
#include <string.h>

static void gives_back_what_was_put(void **state)
{
    struct fixture *fixture = *state;
    uint8_t longest[RECORD_KEY_MAX_BYTES];
    memset(longest, 0xff, sizeof longest);
    const uint8_t zero = 0;
    struct record records[] = {
        make(RECORD_TENANT, (struct bytes){&zero, 1}, 1),
        make(RECORD_SEALS, BYTES_OF(longest), 1),
        make(RECORD_DEP, text_key("a\x01z"), 1),
    };
    records[0].body_len = 0;
    records[1].body_len = RECORD_BODY_MAX_BYTES;
    memset(records[1].body, 0xa5, RECORD_BODY_MAX_BYTES);
    for (size_t i = 0; i < 3; i++) {
        put_one(fixture, &records[i]);
    }
    for (int round = 0; round < 2; round++) {
        struct store_txn *txn = begin(fixture, STORE_READ);
        for (size_t i = 0; i < 3; i++) {
            struct record found;
            struct bytes key = {records[i].key, records[i].key_len};
            assert_ok(store_get(txn, records[i].kind, key, &found));
            assert_same_record(&found, &records[i]);
        }
        commit(txn);
        fixture_reopen(fixture);
    }
}

static void a_failed_get_writes_nothing(void **state)
{
    struct store_txn *txn = begin(*state, STORE_READ);
    struct record found;
    memset(&found, 0x5a, sizeof found);
    struct record before = found;
    assert_status(store_get(txn, RECORD_DEP, text_key("no"), &found),
                  HF_E_NOT_FOUND);
    assert_memory_equal(&found, &before, sizeof found);
    rollback(txn);
}

/* I3: versions strictly increase, one winner each. */
static void versions_follow_each_other(void **state)
{
    struct fixture *fixture = *state;
    struct bytes key = text_key("dep");
    struct record v1 = make(RECORD_DEP, key, 1);
    struct record v2 = make(RECORD_DEP, key, 2);
    struct record v3 = make(RECORD_DEP, key, 3);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_status(store_put(txn, &v2), HF_E_CONFLICT); /* nothing there */
    assert_ok(store_put(txn, &v1));
    assert_status(store_put(txn, &v1), HF_E_EXISTS);
    assert_status(store_put(txn, &v3), HF_E_CONFLICT); /* leaves a gap */
    assert_ok(store_put(txn, &v2));
    assert_status(store_put(txn, &v2), HF_E_CONFLICT); /* second winner */
    assert_status(store_put(txn, &v1), HF_E_EXISTS);
    commit(txn); /* a conflict is an answer, not damage */
    txn = begin(fixture, STORE_WRITE);
    assert_int_equal(version_of(txn, RECORD_DEP, key), 2);
    assert_status(store_put(txn, &v2), HF_E_CONFLICT);
    assert_ok(store_put(txn, &v3));
    struct record found;
    assert_ok(store_get(txn, RECORD_DEP, key, &found));
    assert_same_record(&found, &v3);
    rollback(txn);
}

static void a_refused_put_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct record v1 = make(RECORD_DEP, text_key("k"), 1);
    put_one(fixture, &v1);
    struct record other = v1;
    other.body[0] ^= 1;
    struct record far = make(RECORD_DEP, text_key("k"), 7);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_status(store_put(txn, &other), HF_E_EXISTS);
    assert_status(store_put(txn, &far), HF_E_CONFLICT);
    commit(txn);
    txn = begin(fixture, STORE_READ);
    struct record found;
    assert_ok(store_get(txn, RECORD_DEP, text_key("k"), &found));
    assert_same_record(&found, &v1);
    commit(txn);
}

static void remove_needs_the_version(void **state)
{
    struct fixture *fixture = *state;
    struct bytes key = text_key("name");
    struct record v1 = make(RECORD_NAME, key, 1);
    struct record v2 = make(RECORD_NAME, key, 2);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_status(store_remove(txn, RECORD_NAME, key, 1), HF_E_NOT_FOUND);
    assert_ok(store_put(txn, &v1));
    assert_ok(store_put(txn, &v2));
    assert_status(store_remove(txn, RECORD_NAME, key, 1), HF_E_CONFLICT);
    assert_status(store_remove(txn, RECORD_NAME, key, 3), HF_E_CONFLICT);
    assert_status(store_remove(txn, RECORD_DEP, key, 2), HF_E_NOT_FOUND);
    assert_int_equal(version_of(txn, RECORD_NAME, key), 2);
    commit(txn);
    txn = begin(fixture, STORE_WRITE);
    assert_ok(store_remove(txn, RECORD_NAME, key, 2));
    assert_int_equal(version_of(txn, RECORD_NAME, key), 0);
    assert_status(store_remove(txn, RECORD_NAME, key, 2), HF_E_NOT_FOUND);
    assert_ok(store_put(txn, &v1)); /* from the start again */
    commit(txn);
    txn = begin(fixture, STORE_READ);
    assert_int_equal(version_of(txn, RECORD_NAME, key), 1);
    commit(txn);
}

static void the_largest_version_fits(void **state)
{
    struct fixture *fixture = *state;
    struct record record = make(RECORD_DEP, text_key("k"), 1);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    record.version = (uint64_t)INT64_MAX + 1;
    assert_status(store_put(txn, &record), HF_E_INVALID);
    record.version = UINT64_MAX;
    assert_status(store_put(txn, &record), HF_E_INVALID);
    record.version = (uint64_t)INT64_MAX;
    assert_status(store_put(txn, &record), HF_E_CONFLICT);
    record.version = 0;
    assert_status(store_put(txn, &record), HF_E_INVALID);
    assert_status(store_remove(txn, RECORD_DEP, text_key("k"), UINT64_MAX),
                  HF_E_INVALID);
    rollback(txn);
}

struct seen {
    size_t count;
    char keys[64][8];
    size_t stop_after; /* 0: never */
};

static enum hf_status note_key(void *context, const struct record *record)
{
    struct seen *seen = context;
    assert_true(seen->count < 64);
    assert_true(record->key_len < 8);
    memcpy(seen->keys[seen->count], record->key, record->key_len);
    seen->keys[seen->count][record->key_len] = '\0';
    seen->count++;
    return seen->count == seen->stop_after ? HF_E_LIMIT : HF_OK;
}

static void assert_listed(struct store_txn *txn, enum record_kind kind,
                          const struct store_page *page, const char *expected)
{
    struct seen seen = {0};
    char joined[256] = "";
    assert_ok(store_list(txn, kind, page, note_key, &seen));
    for (size_t i = 0; i < seen.count; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof joined - len, "%s%s", i > 0 ? " " : "",
                 seen.keys[i]);
    }
    assert_string_equal(joined, expected);
}

static void fill_for_listing(struct fixture *fixture)
{
    static const char *const keys[] = {
        "b", "a", "ab", "abc", "ac", "b\xff", "b\xff\xff", "b\xff\x01", "c"};
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct record record = make(RECORD_DEP, text_key(keys[i]), 1);
        assert_ok(store_put(txn, &record));
    }
    struct record before = make(RECORD_GRANT, text_key("ab"), 1);
    struct record behind = make(RECORD_GENERATION, text_key("ab"), 1);
    assert_ok(store_put(txn, &before));
    assert_ok(store_put(txn, &behind));
    commit(txn);
}

static void lists_in_key_order(void **state)
{
    fill_for_listing(*state);
    static const struct {
        const char *prefix;
        const char *after;
        size_t max;
        const char *expected;
    } cases[] = {
        {"",          "",    64,       "a ab abc ac b b\xff b\xff\x01 b\xff\xff c"},
        {"",          "",    3,        "a ab abc"                                 },
        {"",          "abc", 2,        "ac b"                                     },
        {"",          "abb", 1,        "abc"                                      }, /* a key that is not there */
        {"",          "c",   64,       ""                                         },
        {"ab",        "",    64,       "ab abc"                                   },
        {"ab",        "ab",  64,       "abc"                                      },
        {"ab",        "abc", 64,       ""                                         },
        {"ab",        "a",   64,       "ab abc"                                   }, /* behind a key before the prefix */
        {"ab",        "b",   64,       ""                                         }, /* behind one after it */
        {"b\xff",     "",    64,       "b\xff b\xff\x01 b\xff\xff"                },
        {"b\xff\xff", "",    64,       "b\xff\xff"                                },
        {"\xff",      "",    64,       ""                                         },
        {"\xff\xff",  "c",   64,       ""                                         },
        {"x",         "",    64,       ""                                         },
        {"",          "",    0,        ""                                         },
        {"",          "",    SIZE_MAX, "a ab abc ac b b\xff b\xff\x01 b\xff\xff c"},
    };
    struct store_txn *txn = begin(*state, STORE_READ);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_page page = {.prefix = text_key(cases[i].prefix),
                                  .after = text_key(cases[i].after),
                                  .max = cases[i].max};
        assert_listed(txn, RECORD_DEP, &page, cases[i].expected);
    }
    struct store_page all = {.max = 64};
    assert_listed(txn, RECORD_GRANT, &all, "ab");
    assert_listed(txn, RECORD_GENERATION, &all, "ab");
    assert_listed(txn, RECORD_TENANT, &all, "");
    commit(txn);
}

static void lists_keys_of_all_ones(void **state)
{
    struct fixture *fixture = *state;
    uint8_t ones[RECORD_KEY_MAX_BYTES];
    memset(ones, 0xff, sizeof ones);
    struct record longest = make(RECORD_DEP, BYTES_OF(ones), 1);
    struct record shorter = make(RECORD_DEP, (struct bytes){ones, 7}, 1);
    put_one(fixture, &longest);
    put_one(fixture, &shorter);
    struct store_txn *txn = begin(fixture, STORE_READ);
    uint64_t count = 0;
    for (size_t len = 0; len <= sizeof ones; len++) {
        struct bytes prefix = {ones, len};
        assert_ok(store_count(txn, RECORD_DEP, prefix, &count));
        assert_int_equal(count, len <= 7 ? 2 : 1);
    }
    struct seen none = {0};
    struct store_page page = {.after = BYTES_OF(ones), .max = 9};
    assert_ok(store_list(txn, RECORD_DEP, &page, note_key, &none));
    assert_int_equal(none.count, 0);
    commit(txn);
}

static void a_listing_can_be_ended(void **state)
{
    fill_for_listing(*state);
    struct store_txn *txn = begin(*state, STORE_WRITE);
    struct seen seen = {.stop_after = 2};
    struct store_page page = {.max = 64};
    assert_status(store_list(txn, RECORD_DEP, &page, note_key, &seen),
                  HF_E_LIMIT);
    assert_int_equal(seen.count, 2);
    /* and the transaction goes on */
    struct record record = make(RECORD_DEP, text_key("zz"), 1);
    assert_ok(store_put(txn, &record));
    assert_listed(txn, RECORD_DEP, &page,
                  "a ab abc ac b b\xff b\xff\x01 b\xff\xff c zz");
    commit(txn);
}

static enum hf_status end_with_our_trouble(void *context,
                                           const struct record *record)
{
    (void)record;
    (*(int *)context)++;
    return HF_E_NO_MEMORY; /* the caller's own, not the store's */
}

static void a_callers_trouble_does_not_spoil_the_transaction(void **state)
{
    fill_for_listing(*state);
    int calls = 0;
    struct store_page page = {.max = 64};
    struct store_txn *txn = begin(*state, STORE_WRITE);
    assert_status(
        store_list(txn, RECORD_DEP, &page, end_with_our_trouble, &calls),
        HF_E_NO_MEMORY);
    assert_int_equal(calls, 1);
    struct record record = make(RECORD_DEP, text_key("zz"), 1);
    assert_ok(store_put(txn, &record));
    commit(txn);
    txn = begin(*state, STORE_READ);
    assert_int_equal(version_of(txn, RECORD_DEP, text_key("zz")), 1);
    commit(txn);
}

struct looking {
    struct store_txn *txn;
    size_t found;
};

static enum hf_status look_up(void *context, const struct record *record)
{
    struct looking *looking = context;
    struct bytes key = {record->key, record->key_len};
    looking->found +=
        version_of(looking->txn, RECORD_DEP, key) == record->version;
    return HF_OK;
}

static void a_callback_may_get(void **state)
{
    fill_for_listing(*state);
    struct store_txn *txn = begin(*state, STORE_READ);
    struct looking looking = {.txn = txn};
    struct store_page page = {.max = 64};
    assert_ok(store_list(txn, RECORD_DEP, &page, look_up, &looking));
    assert_int_equal(looking.found, 9);
    commit(txn);
}

static void counts_by_prefix(void **state)
{
    fill_for_listing(*state);
    static const struct {
        const char *prefix;
        uint64_t count;
    } cases[] = {
        {"",          9},
        {"a",         4},
        {"ab",        2},
        {"b",         4},
        {"b\xff",     3},
        {"b\xff\xff", 1},
        {"x",         0},
        {"\xff",      0}
    };
    struct store_txn *txn = begin(*state, STORE_READ);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t count = 99;
        assert_ok(
            store_count(txn, RECORD_DEP, text_key(cases[i].prefix), &count));
        assert_int_equal(count, cases[i].count);
    }
    commit(txn);
}

static void refuses_what_cannot_be(void **state)
{
    struct store_txn *txn = begin(*state, STORE_WRITE);
    struct record record = make(RECORD_DEP, text_key("k"), 1);
    struct record bad = record;
    bad.kind = (enum record_kind)0;
    assert_status(store_put(txn, &bad), HF_E_INVALID);
    bad.kind = (enum record_kind)255;
    assert_status(store_put(txn, &bad), HF_E_INVALID);
    bad = record;
    bad.key_len = 0;
    assert_status(store_put(txn, &bad), HF_E_INVALID);
    bad.key_len = RECORD_KEY_MAX_BYTES + 1;
    assert_status(store_put(txn, &bad), HF_E_INVALID);
    bad = record;
    bad.body_len = RECORD_BODY_MAX_BYTES + 1;
    assert_status(store_put(txn, &bad), HF_E_INVALID);
    struct record found;
    uint8_t long_key[RECORD_KEY_MAX_BYTES + 1] = {1};
    uint64_t count = 0;
    assert_status(store_get(txn, RECORD_DEP, BYTES_NONE, &found), HF_E_INVALID);
    assert_status(store_get(txn, RECORD_DEP, BYTES_OF(long_key), &found),
                  HF_E_INVALID);
    assert_status(store_get(txn, (enum record_kind)0, text_key("k"), &found),
                  HF_E_INVALID);
    assert_status(store_remove(txn, RECORD_DEP, BYTES_NONE, 1), HF_E_INVALID);
    assert_status(store_remove(txn, RECORD_DEP, text_key("k"), 0),
                  HF_E_INVALID);
    assert_status(store_count(txn, RECORD_DEP, BYTES_OF(long_key), &count),
                  HF_E_INVALID);
    struct seen seen = {0};
    struct store_page page = {.prefix = BYTES_OF(long_key), .max = 1};
    assert_status(store_list(txn, RECORD_DEP, &page, note_key, &seen),
                  HF_E_INVALID);
    assert_ok(store_put(txn, &record)); /* still usable */
    commit(txn);
}

int contract_records_run(const struct store_maker *maker)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(gives_back_what_was_put, maker),
        CONTRACT_TEST(a_failed_get_writes_nothing, maker),
        CONTRACT_TEST(versions_follow_each_other, maker),
        CONTRACT_TEST(a_refused_put_changes_nothing, maker),
        CONTRACT_TEST(remove_needs_the_version, maker),
        CONTRACT_TEST(the_largest_version_fits, maker),
        CONTRACT_TEST(lists_in_key_order, maker),
        CONTRACT_TEST(lists_keys_of_all_ones, maker),
        CONTRACT_TEST(a_listing_can_be_ended, maker),
        CONTRACT_TEST(a_callers_trouble_does_not_spoil_the_transaction, maker),
        CONTRACT_TEST(a_callback_may_get, maker),
        CONTRACT_TEST(counts_by_prefix, maker),
        CONTRACT_TEST(refuses_what_cannot_be, maker),
    };
    return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}
