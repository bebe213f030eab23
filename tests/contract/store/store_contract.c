#include "tests/contract/store/store_contract.h"

#include <stdlib.h>
#include <string.h>

int fixture_open(void **state)
{
    const struct store_maker *maker = *state;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->maker = maker;
    fixture->disk = maker->disk_new();
    assert_ok(maker->open(fixture->disk, &fixture->store));
    *state = fixture;
    return 0;
}

int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    store_close(&fixture->store);
    fixture->maker->disk_free(fixture->disk);
    free(fixture);
    return 0;
}

void fixture_reopen(struct fixture *fixture)
{
    store_close(&fixture->store);
    assert_ok(fixture->maker->open(fixture->disk, &fixture->store));
}

struct store_txn *begin(struct fixture *fixture, enum store_mode mode)
{
    struct store_txn *txn = NULL;
    assert_ok(store_begin(&fixture->store, mode, &txn));
    assert_non_null(txn);
    return txn;
}

void commit(struct store_txn *txn)
{
    assert_ok(store_commit(&txn));
    assert_null(txn);
}

void rollback(struct store_txn *txn)
{
    store_rollbackp(&txn);
    assert_null(txn);
}

struct bytes text_key(const char *text)
{
    return bytes_of_text(text);
}

struct record make(enum record_kind kind, struct bytes key, uint64_t version)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = kind;
    memcpy(record.key, key.data, key.len);
    record.key_len = key.len;
    record.version = version;
    memset(record.mac, (int)(0x40 + version % 64), sizeof record.mac);
    if (version > 1) {
        memset(record.previous_mac, (int)(0x40 + (version - 1) % 64),
               sizeof record.previous_mac);
    }
    record.body_len = 40 + version % 7;
    for (size_t i = 0; i < record.body_len; i++) {
        record.body[i] = (uint8_t)(version + i + key.data[0]);
    }
    return record;
}

void put_one(struct fixture *fixture, const struct record *record)
{
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_ok(store_put(txn, record));
    commit(txn);
}

uint64_t version_of(struct store_txn *txn, enum record_kind kind,
                    struct bytes key)
{
    struct record record;
    enum hf_status status = store_get(txn, kind, key, &record);
    if (status == HF_E_NOT_FOUND) {
        return 0;
    }
    assert_ok(status);
    return record.version;
}

void assert_same_record(const struct record *a, const struct record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->key_len, b->key_len);
    assert_memory_equal(a->key, b->key, a->key_len);
    assert_int_equal(a->version, b->version);
    assert_memory_equal(a->mac, b->mac, sizeof a->mac);
    assert_memory_equal(a->previous_mac, b->previous_mac,
                        sizeof a->previous_mac);
    assert_int_equal(a->body_len, b->body_len);
    assert_memory_equal(a->body, b->body, a->body_len);
}

struct audit_link link_of(uint8_t tenant, const char *body)
{
    struct audit_link link;
    memset(&link, 0, sizeof link);
    memset(link.tenant.bytes, tenant, HF_ID_BYTES);
    link.time_ms = 1700000000000 + tenant;
    link.body_len = strlen(body);
    memcpy(link.body, body, link.body_len);
    return link;
}
