/* Many random steps, with an oracle beside: a plain table of what should be
 * there. Finds what nobody thought of naming. */
#include "tests/contract/store/store_contract.h"

#include <string.h>

#define KINDS 2
#define KEYS  40
#define STEPS 3000

struct oracle {
    uint64_t versions[KINDS][KEYS]; /* 0: not there */
    uint64_t links;
};

struct random {
    uint64_t state;
};

/* xorshift64*: the same steps in every run */
static uint32_t next(struct random *random, uint32_t below)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (uint32_t)((random->state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

/* Keys of many lengths that are prefixes of each other, and of 0xff. */
static struct bytes key_at(size_t at, uint8_t out[RECORD_KEY_MAX_BYTES])
{
    size_t len = 1 + at % 5;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)((at >> i) % 2 == 0 ? 0xff : at / 10);
    }
    out[len] = (uint8_t)at;
    return (struct bytes){out, len + 1};
}

static void step_put(struct store_txn *txn, struct oracle *oracle,
                     struct random *random)
{
    uint8_t space[RECORD_KEY_MAX_BYTES];
    size_t kind = next(random, KINDS);
    size_t at = next(random, KEYS);
    uint64_t there = oracle->versions[kind][at];
    uint64_t version = there + next(random, 3); /* one too low, right, high */
    struct record record = make((enum record_kind)(RECORD_DEP + (int)kind),
                                key_at(at, space), version > 0 ? version : 1);
    enum hf_status expected = HF_OK;
    if (record.version != there + 1) {
        expected = record.version == 1 ? HF_E_EXISTS : HF_E_CONFLICT;
    }
    assert_status(store_put(txn, &record), expected);
    if (expected == HF_OK) {
        oracle->versions[kind][at]++;
    }
}

static void step_remove(struct store_txn *txn, struct oracle *oracle,
                        struct random *random)
{
    uint8_t space[RECORD_KEY_MAX_BYTES];
    size_t kind = next(random, KINDS);
    size_t at = next(random, KEYS);
    uint64_t *there = &oracle->versions[kind][at];
    uint64_t version = 1 + next(random, 3);
    enum hf_status expected = HF_OK;
    if (*there == 0) {
        expected = HF_E_NOT_FOUND;
    } else if (*there != version) {
        expected = HF_E_CONFLICT;
    }
    assert_status(store_remove(txn, (enum record_kind)(RECORD_DEP + (int)kind),
                               key_at(at, space), version),
                  expected);
    if (expected == HF_OK) {
        *there = 0;
    }
}

static void step_audit(struct store_txn *txn, struct oracle *oracle)
{
    struct audit_link link = link_of(1, "{\"step\":1}");
    assert_ok(store_audit_append(txn, &link));
    oracle->links++;
    assert_int_equal(link.index, oracle->links);
}

struct comparing {
    const struct oracle *oracle;
    size_t kind;
    struct bytes prefix;
    size_t seen;
};

static bool has_prefix(struct bytes key, struct bytes prefix)
{
    return key.len >= prefix.len &&
           memcmp(key.data, prefix.data, prefix.len) == 0;
}

static enum hf_status compare_one(void *context, const struct record *record)
{
    struct comparing *comparing = context;
    size_t at = record->key[record->key_len - 1];
    uint8_t space[RECORD_KEY_MAX_BYTES];
    assert_true(at < KEYS);
    struct record expected =
        make(record->kind, key_at(at, space),
             comparing->oracle->versions[comparing->kind][at]);
    assert_same_record(record, &expected);
    comparing->seen++;
    return HF_OK;
}

static void compare_all(struct store_txn *txn, const struct oracle *oracle,
                        struct random *random)
{
    uint8_t prefix_space[RECORD_KEY_MAX_BYTES];
    uint8_t space[RECORD_KEY_MAX_BYTES];
    struct bytes prefix = key_at(next(random, KEYS), prefix_space);
    prefix.len = next(random, (uint32_t)prefix.len);
    for (size_t kind = 0; kind < KINDS; kind++) {
        size_t expected = 0;
        uint64_t count = 0;
        for (size_t at = 0; at < KEYS; at++) {
            expected += oracle->versions[kind][at] > 0 &&
                        has_prefix(key_at(at, space), prefix);
        }
        struct comparing comparing = {.oracle = oracle, .kind = kind};
        struct store_page page = {.prefix = prefix, .max = KEYS + 1};
        enum record_kind as = (enum record_kind)(RECORD_DEP + (int)kind);
        assert_ok(store_list(txn, as, &page, compare_one, &comparing));
        assert_int_equal(comparing.seen, expected);
        assert_ok(store_count(txn, as, prefix, &count));
        assert_int_equal(count, expected);
    }
}

static void random_steps_agree_with_a_table(void **state)
{
    struct fixture *fixture = *state;
    struct random random = {.state = 0x9e3779b97f4a7c15ull};
    struct oracle kept = {0};
    for (size_t step = 0; step < STEPS;) {
        struct store_txn *txn = begin(fixture, STORE_WRITE);
        struct oracle now = kept;
        for (uint32_t left = 1 + next(&random, 30); left > 0; left--, step++) {
            uint32_t what = next(&random, 10);
            if (what < 6) {
                step_put(txn, &now, &random);
            } else if (what < 9) {
                step_remove(txn, &now, &random);
            } else {
                step_audit(txn, &now);
            }
        }
        compare_all(txn, &now, &random);
        if (next(&random, 3) == 0) {
            rollback(txn);
        } else {
            commit(txn);
            kept = now;
        }
        if (next(&random, 20) == 0) {
            fixture_reopen(fixture);
        }
        txn = begin(fixture, STORE_READ);
        compare_all(txn, &kept, &random);
        commit(txn);
    }
}

int contract_random_run(const struct store_maker *maker)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(random_steps_agree_with_a_table, maker),
    };
    return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}
