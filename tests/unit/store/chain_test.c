/* The bytes that hashes and MACs are made over, against values computed
 * elsewhere; and the ranges that listings ask for. */
#include "server/store/adapter.h"
#include "server/store/record.h"

#include "tests/support/unit.h"

#include <string.h>

static struct audit_link sample_link(void)
{
    struct audit_link link;
    memset(&link, 0, sizeof link);
    for (uint8_t i = 0; i < HF_ID_BYTES; i++) {
        link.tenant.bytes[i] = i;
    }
    link.index = 7;
    link.time_ms = 1700000000123;
    memset(link.previous, 0xaa, sizeof link.previous);
    memcpy(link.body, "{\"a\":1}", 7);
    link.body_len = 7;
    return link;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char hex[512];
    hex_encode(bytes, len, hex, sizeof hex);
    assert_string_equal(hex, expected);
}

static void the_hash_of_a_link_is_the_documented_one(void **state)
{
    (void)state;
    struct audit_link link = sample_link();
    uint8_t hash[HF_SHA256_BYTES];
    assert_ok(audit_link_hash(&link, hash));
    assert_hex(hash, sizeof hash,
               "cda95a3f2d121b761a04b2e8f70ae205"
               "b792cba40fdcad850114ccc50546f319");
    assert_ok(audit_content_hash(&link, hash));
    assert_hex(hash, sizeof hash,
               "1a7b01c2225bf079a0a7f675d5142fc1"
               "623b4f4c13da7e51510429744b59531d");
    link.body_len = RECORD_BODY_MAX_BYTES;
    assert_ok(audit_link_hash(&link, hash));
    link.body_len = RECORD_BODY_MAX_BYTES + 1;
    assert_status(audit_link_hash(&link, hash), HF_E_INVALID);
}

static void every_field_of_a_link_is_in_its_hash(void **state)
{
    (void)state;
    const struct audit_link whole = sample_link();
    struct audit_link links[6];
    uint8_t hashes[7][HF_SHA256_BYTES];
    for (size_t i = 0; i < 6; i++) {
        links[i] = whole;
    }
    links[0].index++;
    links[1].tenant.bytes[15] ^= 1;
    links[2].time_ms++;
    links[3].previous[31] ^= 1;
    links[4].body[6] ^= 1;
    links[5].body_len--;
    assert_ok(audit_link_hash(&whole, hashes[6]));
    for (size_t i = 0; i < 6; i++) {
        assert_ok(audit_link_hash(&links[i], hashes[i]));
    }
    for (size_t i = 0; i < 7; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(hashes[i], hashes[j], HF_SHA256_BYTES);
        }
    }
    links[0] = whole; /* the hash itself is not */
    memset(links[0].hash, 9, HF_SHA256_BYTES);
    assert_ok(audit_link_hash(&links[0], hashes[0]));
    assert_memory_equal(hashes[0], hashes[6], HF_SHA256_BYTES);
}

static void a_chain_starts_from_zero_and_has_an_end(void **state)
{
    (void)state;
    struct audit_link link = sample_link();
    uint8_t last[HF_SHA256_BYTES];
    memset(last, 0xaa, sizeof last);
    assert_ok(audit_link_chain(&link, 0, NULL));
    assert_int_equal(link.index, 1);
    assert_hex(link.hash, HF_SHA256_BYTES,
               "2226154373ea59722a8ae7223261b39a"
               "6fdde6a4c251c8121a35ae967fbb2efb");
    assert_ok(audit_link_chain(&link, 6, last));
    assert_hex(link.hash, HF_SHA256_BYTES,
               "cda95a3f2d121b761a04b2e8f70ae205"
               "b792cba40fdcad850114ccc50546f319");
    struct audit_link before = link;
    assert_status(audit_link_chain(&link, (uint64_t)INT64_MAX, last),
                  HF_E_LIMIT);
    assert_memory_equal(&link, &before, sizeof link);
    assert_ok(audit_link_chain(&link, (uint64_t)INT64_MAX - 1, last));
}

static struct record sample_record(void)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = RECORD_DEP;
    memcpy(record.key, "key", 3);
    record.key_len = 3;
    record.version = 0x0102030405060708;
    memset(record.mac, 0x22, sizeof record.mac);
    memset(record.previous_mac, 0x11, sizeof record.previous_mac);
    memcpy(record.body, "body", 4);
    record.body_len = 4;
    return record;
}

static void the_mac_input_is_the_documented_one(void **state)
{
    (void)state;
    struct record record = sample_record();
    uint8_t input[RECORD_MAC_INPUT_MAX_BYTES];
    size_t len = 0;
    assert_ok(record_mac_input(&record, input, sizeof input, &len));
    assert_hex(input, len,
               "484652310006000000036b6579010203040506070811111111111111111111"
               "11111111111111111111111111111111111111111111"
               "00000004626f6479");
    record.mac[0] ^= 1; /* the MAC is not in its own input */
    uint8_t again[RECORD_MAC_INPUT_MAX_BYTES];
    assert_ok(record_mac_input(&record, again, len, &len));
    assert_memory_equal(again, input, len);
    assert_status(record_mac_input(&record, again, len - 1, &len),
                  HF_E_INVALID);
}

/* N18: key and body cannot trade bytes. N34: nor two kinds their MACs. */
static void mac_inputs_are_unambiguous(void **state)
{
    (void)state;
    struct record a = sample_record();
    struct record b = a;
    memcpy(b.key, "keyb", 4);
    b.key_len = 4;
    memcpy(b.body, "ody", 3);
    b.body_len = 3;
    struct record c = a;
    c.kind = RECORD_GENERATION;
    uint8_t inputs[3][RECORD_MAC_INPUT_MAX_BYTES];
    size_t lens[3];
    assert_ok(record_mac_input(&a, inputs[0], sizeof inputs[0], &lens[0]));
    assert_ok(record_mac_input(&b, inputs[1], sizeof inputs[1], &lens[1]));
    assert_ok(record_mac_input(&c, inputs[2], sizeof inputs[2], &lens[2]));
    assert_int_equal(lens[0], lens[1]);
    assert_memory_not_equal(inputs[0], inputs[1], lens[0]);
    assert_memory_not_equal(inputs[0], inputs[2], lens[0]);
}

static void the_largest_record_has_a_mac_input(void **state)
{
    (void)state;
    struct record record = sample_record();
    static uint8_t input[RECORD_MAC_INPUT_MAX_BYTES];
    size_t len = 0;
    record.key_len = RECORD_KEY_MAX_BYTES;
    record.body_len = RECORD_BODY_MAX_BYTES;
    assert_ok(record_mac_input(&record, input, sizeof input, &len));
    record.key_len = RECORD_KEY_MAX_BYTES + 1;
    assert_status(record_mac_input(&record, input, sizeof input, &len),
                  HF_E_INVALID);
    record.key_len = 1;
    record.body_len = RECORD_BODY_MAX_BYTES + 1;
    assert_status(record_mac_input(&record, input, sizeof input, &len),
                  HF_E_INVALID);
}

static bool in_range(struct bytes key, const struct store_key_range *range)
{
    return bytes_order(key, (struct bytes){range->lower, range->lower_len}) >=
               0 &&
           bytes_order(key, (struct bytes){range->upper, range->upper_len}) < 0;
}

static bool wanted(struct bytes key, struct bytes prefix, struct bytes after)
{
    return key.len >= prefix.len &&
           memcmp(key.data, prefix.data, prefix.len) == 0 &&
           (after.len == 0 || bytes_order(key, after) > 0);
}

/* All keys, prefixes and starts of up to three letters of {00, 01, ff}. */
static size_t all_keys(uint8_t out[64][3], size_t lens[64])
{
    static const uint8_t letters[] = {0x00, 0x01, 0xff};
    size_t count = 0;
    lens[count++] = 0;
    for (size_t from = 0, len = 1; len <= 3; len++) {
        size_t end = count;
        for (; from < end; from++) {
            for (size_t i = 0; i < 3; i++, count++) {
                memcpy(out[count], out[from], 3);
                out[count][len - 1] = letters[i];
                lens[count] = len;
            }
        }
    }
    return count;
}

static void a_range_holds_what_the_page_asks_for(void **state)
{
    (void)state;
    uint8_t keys[64][3] = {{0}};
    size_t lens[64];
    size_t count = all_keys(keys, lens);
    assert_int_equal(count, 40);
    for (size_t p = 0; p < count; p++) {
        for (size_t a = 0; a < count; a++) {
            struct bytes prefix = {keys[p], lens[p]};
            struct bytes after = {keys[a], lens[a]};
            struct store_key_range range = store_key_range(prefix, after);
            for (size_t k = 1; k < count; k++) {
                struct bytes key = {keys[k], lens[k]};
                assert_int_equal(in_range(key, &range),
                                 wanted(key, prefix, after));
            }
        }
    }
}

static void keys_are_the_documented_ones(void **state)
{
    (void)state;
    struct hf_id owner;
    struct hf_id id;
    memset(owner.bytes, 0x0f, sizeof owner.bytes);
    memset(id.bytes, 0xf0, sizeof id.bytes);
    struct record_key key = key_of_pair(&owner, &id);
    assert_hex(key.bytes, key.len,
               "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
               "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0");
    key = key_of_id(&id);
    assert_hex(key.bytes, key.len, "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0");
    key = key_of_numbered(&id, 0x01020304);
    assert_hex(key.bytes, key.len, "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f001020304");
    key = key_of_resource(&owner, RESOURCE_MAILBOX, "user@example.test");
    assert_hex(key.bytes, key.len,
               "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
               "01"
               "5d948c5573e1d347ff925914610d4816"
               "38347f79ef65a44a1ec29b05a24451c3");
    key = key_of_grant(&id, "user@example.test");
    assert_hex(key.bytes, key.len,
               "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0"
               "5d948c5573e1d347ff925914610d4816"
               "38347f79ef65a44a1ec29b05a24451c3");
    key = key_of_name(NAME_DEP, &owner, "ab");
    assert_hex(key.bytes, key.len, "040f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f6162");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_of_a_link_is_the_documented_one),
        cmocka_unit_test(every_field_of_a_link_is_in_its_hash),
        cmocka_unit_test(a_chain_starts_from_zero_and_has_an_end),
        cmocka_unit_test(the_mac_input_is_the_documented_one),
        cmocka_unit_test(mac_inputs_are_unambiguous),
        cmocka_unit_test(the_largest_record_has_a_mac_input),
        cmocka_unit_test(a_range_holds_what_the_page_asks_for),
        cmocka_unit_test(keys_are_the_documented_ones),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
