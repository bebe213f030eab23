/* The audit chain and the epochs. */
#include "tests/contract/store/store_contract.h"

#include <string.h>

struct chain {
    size_t count;
    struct audit_link links[32];
    size_t stop_after;
};

static enum hf_status note_link(void *context, const struct audit_link *link)
{
    struct chain *chain = context;
    assert_true(chain->count < 32);
    chain->links[chain->count++] = *link;
    return chain->count == chain->stop_after ? HF_E_LIMIT : HF_OK;
}

static struct chain list_links(struct store_txn *txn,
                               const struct hf_id *tenant, uint64_t from,
                               size_t max)
{
    struct chain chain = {0};
    assert_ok(store_audit_list(txn, tenant, from, max, note_link, &chain));
    return chain;
}

static void append(struct store_txn *txn, uint8_t tenant, const char *body)
{
    struct audit_link link = link_of(tenant, body);
    assert_ok(store_audit_append(txn, &link));
}

static void assert_chained(const struct chain *chain)
{
    uint8_t previous[HF_SHA256_BYTES] = {0};
    for (size_t i = 0; i < chain->count; i++) {
        uint8_t hash[HF_SHA256_BYTES];
        assert_int_equal(chain->links[i].index, i + 1);
        assert_memory_equal(chain->links[i].previous, previous,
                            HF_SHA256_BYTES);
        assert_ok(audit_link_hash(&chain->links[i], hash));
        assert_memory_equal(chain->links[i].hash, hash, HF_SHA256_BYTES);
        memcpy(previous, hash, HF_SHA256_BYTES);
    }
}

static void append_fills_the_link(void **state)
{
    struct fixture *fixture = *state;
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    struct audit_link first = link_of(1, "{\"n\":1}");
    struct audit_link second = link_of(2, "{\"n\":2}");
    first.index = 77; /* what the caller left in there does not count */
    memset(first.previous, 9, sizeof first.previous);
    assert_ok(store_audit_append(txn, &first));
    assert_ok(store_audit_append(txn, &second));
    assert_int_equal(first.index, 1);
    assert_int_equal(second.index, 2);
    const uint8_t zero[HF_SHA256_BYTES] = {0};
    assert_memory_equal(first.previous, zero, sizeof zero);
    assert_memory_equal(second.previous, first.hash, sizeof first.hash);
    commit(txn);
    txn = begin(fixture, STORE_READ);
    struct chain chain = list_links(txn, NULL, 0, 32);
    assert_int_equal(chain.count, 2);
    assert_memory_equal(chain.links[0].hash, first.hash, HF_SHA256_BYTES);
    assert_memory_equal(chain.links[1].hash, second.hash, HF_SHA256_BYTES);
    assert_memory_equal(chain.links[1].tenant.bytes, second.tenant.bytes,
                        HF_ID_BYTES);
    assert_int_equal(chain.links[1].time_ms, second.time_ms);
    assert_int_equal(chain.links[1].body_len, second.body_len);
    assert_memory_equal(chain.links[1].body, second.body, second.body_len);
    commit(txn);
}

static void the_chain_holds_over_transactions(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 9; i++) {
        struct store_txn *txn = begin(fixture, STORE_WRITE);
        append(txn, (uint8_t)(i % 3), "{}");
        append(txn, 7, "{\"second\":true}");
        commit(txn);
        if (i == 4) {
            fixture_reopen(fixture);
        }
    }
    struct store_txn *txn = begin(fixture, STORE_READ);
    struct chain chain = list_links(txn, NULL, 0, 32);
    assert_int_equal(chain.count, 18);
    assert_chained(&chain);
    commit(txn);
}

/* I4: no record without its change, no change without its record. */
static void a_rolled_back_append_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct record record = make(RECORD_DEP, text_key("d"), 1);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    append(txn, 1, "{\"kept\":1}");
    commit(txn);
    txn = begin(fixture, STORE_WRITE);
    assert_ok(store_put(txn, &record));
    append(txn, 1, "{\"lost\":1}");
    append(txn, 1, "{\"lost\":2}");
    rollback(txn);
    txn = begin(fixture, STORE_WRITE);
    assert_int_equal(version_of(txn, RECORD_DEP, text_key("d")), 0);
    struct chain chain = list_links(txn, NULL, 0, 32);
    assert_int_equal(chain.count, 1);
    append(txn, 1, "{\"kept\":2}"); /* takes the index that came free */
    commit(txn);
    txn = begin(fixture, STORE_READ);
    chain = list_links(txn, NULL, 0, 32);
    assert_int_equal(chain.count, 2);
    assert_chained(&chain);
    assert_memory_equal(chain.links[1].body, "{\"kept\":2}", 10);
    commit(txn);
}

static void lists_links_by_tenant_and_index(void **state)
{
    struct fixture *fixture = *state;
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    for (int i = 0; i < 12; i++) {
        append(txn, (uint8_t)(1 + i % 3), "{}");
    }
    append(txn, 0, "{}"); /* the service's own: tenant nil */
    commit(txn);
    txn = begin(fixture, STORE_READ);
    struct hf_id two;
    memset(two.bytes, 2, sizeof two.bytes);
    const struct hf_id nil = {{0}};
    struct chain chain = list_links(txn, &two, 0, 32);
    assert_int_equal(chain.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(chain.links[i].index, 2 + 3 * i);
        assert_true(id_equal(&chain.links[i].tenant, &two));
    }
    chain = list_links(txn, &two, 3, 2); /* from between two of its own */
    assert_int_equal(chain.count, 2);
    assert_int_equal(chain.links[0].index, 5);
    assert_int_equal(chain.links[1].index, 8);
    chain = list_links(txn, NULL, 4, 3);
    assert_int_equal(chain.count, 3);
    assert_int_equal(chain.links[0].index, 4);
    chain = list_links(txn, &nil, 0, 32);
    assert_int_equal(chain.count, 1);
    assert_int_equal(chain.links[0].index, 13);
    assert_int_equal(list_links(txn, NULL, 14, 32).count, 0);
    assert_int_equal(list_links(txn, NULL, UINT64_MAX, 32).count, 0);
    assert_int_equal(list_links(txn, NULL, 1, 0).count, 0);
    assert_int_equal(list_links(txn, NULL, 0, SIZE_MAX).count, 13);
    commit(txn);
}

static void a_listing_of_links_can_be_ended(void **state)
{
    struct store_txn *txn = begin(*state, STORE_WRITE);
    append(txn, 1, "{}");
    append(txn, 1, "{}");
    append(txn, 1, "{}");
    struct chain chain = {.stop_after = 2};
    assert_status(store_audit_list(txn, NULL, 0, 32, note_link, &chain),
                  HF_E_LIMIT);
    assert_int_equal(chain.count, 2);
    commit(txn);
}

static void links_have_bounds(void **state)
{
    struct store_txn *txn = begin(*state, STORE_WRITE);
    struct audit_link link = link_of(1, "{}");
    link.body_len = 0;
    assert_status(store_audit_append(txn, &link), HF_E_INVALID);
    link.body_len = RECORD_BODY_MAX_BYTES + 1;
    assert_status(store_audit_append(txn, &link), HF_E_INVALID);
    link.body_len = RECORD_BODY_MAX_BYTES;
    link.time_ms = -1;
    assert_status(store_audit_append(txn, &link), HF_E_INVALID);
    link.time_ms = INT64_MAX;
    memset(link.body, 'x', sizeof link.body);
    assert_ok(store_audit_append(txn, &link));
    assert_int_equal(link.index, 1); /* the refused ones took none */
    struct chain chain = list_links(txn, NULL, 0, 2);
    assert_int_equal(chain.count, 1);
    assert_int_equal(chain.links[0].body_len, RECORD_BODY_MAX_BYTES);
    assert_int_equal(chain.links[0].time_ms, INT64_MAX);
    commit(txn);
}

struct epochs {
    size_t count;
    struct epoch epochs[16];
};

static enum hf_status note_epoch(void *context, const struct epoch *epoch)
{
    struct epochs *epochs = context;
    assert_true(epochs->count < 16);
    epochs->epochs[epochs->count++] = *epoch;
    return HF_OK;
}

static struct epoch epoch_of(uint64_t counter)
{
    struct epoch epoch = {.counter = counter, .audit_index = 3 * counter};
    memset(epoch.root, (int)counter, sizeof epoch.root);
    memset(epoch.mac, (int)(0x80 + counter), sizeof epoch.mac);
    return epoch;
}

static void epochs_are_counted_without_gaps(void **state)
{
    struct fixture *fixture = *state;
    struct epoch epoch = epoch_of(2);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_status(store_epoch_append(txn, &epoch), HF_E_CONFLICT);
    epoch = epoch_of(0);
    assert_status(store_epoch_append(txn, &epoch), HF_E_INVALID);
    for (uint64_t counter = 1; counter <= 5; counter++) {
        epoch = epoch_of(counter);
        assert_ok(store_epoch_append(txn, &epoch));
        assert_status(store_epoch_append(txn, &epoch), HF_E_CONFLICT);
    }
    commit(txn);
    fixture_reopen(fixture);
    txn = begin(fixture, STORE_WRITE);
    epoch = epoch_of(6);
    assert_ok(store_epoch_append(txn, &epoch));
    rollback(txn);
    txn = begin(fixture, STORE_READ);
    struct epochs epochs = {0};
    assert_ok(store_epoch_list(txn, 16, note_epoch, &epochs));
    assert_int_equal(epochs.count, 5);
    for (size_t i = 0; i < 5; i++) { /* newest first */
        struct epoch expected = epoch_of(5 - i);
        assert_int_equal(epochs.epochs[i].counter, expected.counter);
        assert_int_equal(epochs.epochs[i].audit_index, expected.audit_index);
        assert_memory_equal(epochs.epochs[i].root, expected.root,
                            HF_SHA256_BYTES);
        assert_memory_equal(epochs.epochs[i].mac, expected.mac,
                            HF_SHA256_BYTES);
    }
    struct epochs newest = {0};
    assert_ok(store_epoch_list(txn, 1, note_epoch, &newest));
    assert_int_equal(newest.count, 1);
    assert_int_equal(newest.epochs[0].counter, 5);
    commit(txn);
}

int contract_chain_run(const struct store_maker *maker)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(append_fills_the_link, maker),
        CONTRACT_TEST(the_chain_holds_over_transactions, maker),
        CONTRACT_TEST(a_rolled_back_append_leaves_nothing, maker),
        CONTRACT_TEST(lists_links_by_tenant_and_index, maker),
        CONTRACT_TEST(a_listing_of_links_can_be_ended, maker),
        CONTRACT_TEST(links_have_bounds, maker),
        CONTRACT_TEST(epochs_are_counted_without_gaps, maker),
    };
    return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}
