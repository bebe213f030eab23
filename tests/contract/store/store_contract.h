/* store_contract: what every adapter behind store.h must do, as tests that run
 * on each of them. An adapter brings a maker; the suite knows nothing else.
 */
#pragma once

#include "server/store/store.h"

#include "tests/support/unit.h"

/* How to get a fresh disk, open a store on it (again and again), and be rid of
 * it. */
struct store_maker {
    const char *name;
    void *(*disk_new)(void);
    enum hf_status (*open)(void *disk, struct store *out_store);
    void (*disk_free)(void *disk);
};

struct fixture {
    const struct store_maker *maker;
    void *disk;
    struct store store;
};

/* The suite's parts, each on fresh disks. They give the number of failures. */
int contract_records_run(const struct store_maker *maker);
int contract_chain_run(const struct store_maker *maker);
int contract_txn_run(const struct store_maker *maker);
int contract_random_run(const struct store_maker *maker);

/* For cmocka's setup and teardown of one test; *state is a fixture, its
 * initial state the maker. */
int fixture_open(void **state);
int fixture_close(void **state);
void fixture_reopen(struct fixture *fixture);

#define CONTRACT_TEST(function, maker)                                         \
    cmocka_unit_test_prestate_setup_teardown(function, fixture_open,           \
                                             fixture_close, (void *)(maker))

/* Short forms that fail the test. */
struct store_txn *begin(struct fixture *fixture, enum store_mode mode);
void commit(struct store_txn *txn);
void rollback(struct store_txn *txn);
struct bytes text_key(const char *text);
/* make: a record with contents that follow from key and version. */
struct record make(enum record_kind kind, struct bytes key, uint64_t version);
void put_one(struct fixture *fixture, const struct record *record);
uint64_t version_of(struct store_txn *txn, enum record_kind kind,
                    struct bytes key); /* 0: not there */
void assert_same_record(const struct record *a, const struct record *b);
struct audit_link link_of(uint8_t tenant, const char *body);
