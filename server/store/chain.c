#include "hsm/base/check.h"

#include "server/store/adapter.h"
#include "server/store/hash.h"

#include <string.h>

HF_STATUS audit_content_hash(const struct audit_link *link,
                             uint8_t out_hash[HF_SHA256_BYTES])
{
    uint8_t input[RECORD_BODY_MAX_BYTES + 64];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    if (link->body_len > RECORD_BODY_MAX_BYTES) {
        return HF_E_INVALID;
    }
    put_raw(&writer, link->tenant.bytes, HF_ID_BYTES);
    put_u64(&writer, (uint64_t)link->time_ms);
    put_lp(&writer, link->body, link->body_len);
    CHECK(!writer.overrun);
    return sha256((struct bytes){input, writer.len}, out_hash);
}

HF_STATUS audit_link_hash(const struct audit_link *link,
                          uint8_t out_hash[HF_SHA256_BYTES])
{
    uint8_t input[4 + 8 + 2 * HF_SHA256_BYTES];
    uint8_t content[HF_SHA256_BYTES];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    HF_TRY(audit_content_hash(link, content));
    put_raw(&writer, "HFA2", 4);
    put_u64(&writer, link->index);
    put_raw(&writer, link->previous, HF_SHA256_BYTES);
    put_raw(&writer, content, sizeof content);
    CHECK(!writer.overrun);
    return sha256((struct bytes){input, writer.len}, out_hash);
}

HF_STATUS audit_link_chain(struct audit_link *link, uint64_t last_index,
                           const uint8_t last_hash[HF_SHA256_BYTES])
{
    if (last_index >= (uint64_t)INT64_MAX) {
        return HF_E_LIMIT;
    }
    struct audit_link next = *link;
    next.index = last_index + 1;
    memset(next.previous, 0, HF_SHA256_BYTES);
    if (last_index > 0) {
        memcpy(next.previous, last_hash, HF_SHA256_BYTES);
    }
    HF_TRY(audit_link_hash(&next, next.hash));
    *link = next;
    return HF_OK;
}

HF_STATUS record_mac_input(const struct record *record, uint8_t *out,
                           size_t out_cap, size_t *out_len)
{
    if (record->key_len > RECORD_KEY_MAX_BYTES ||
        record->body_len > RECORD_BODY_MAX_BYTES) {
        return HF_E_INVALID;
    }
    struct byte_writer writer = byte_writer_on(out, out_cap);
    put_raw(&writer, "HFR1", 4);
    put_u16(&writer, (uint16_t)record->kind);
    put_lp(&writer, record->key, record->key_len);
    put_u64(&writer, record->version);
    put_raw(&writer, record->previous_mac, HF_SHA256_BYTES);
    put_lp(&writer, record->body, record->body_len);
    if (writer.overrun) {
        return HF_E_INVALID;
    }
    *out_len = writer.len;
    return HF_OK;
}

struct store_key_range store_key_range(struct bytes prefix, struct bytes after)
{
    CHECK(prefix.len <= RECORD_KEY_MAX_BYTES);
    CHECK(after.len <= RECORD_KEY_MAX_BYTES);
    struct store_key_range range = {0};
    /* the first key behind k is k and a zero byte */
    bool behind = after.len > 0 && bytes_order(after, prefix) >= 0;
    struct bytes lower = behind ? after : prefix;
    if (lower.len > 0) {
        memcpy(range.lower, lower.data, lower.len);
    }
    range.lower_len = lower.len + (behind ? 1 : 0);
    /* the first key that no longer starts with the prefix: its last byte that
     * can be raised, raised, and what follows dropped */
    size_t keep = prefix.len;
    while (keep > 0 && prefix.data[keep - 1] == 0xff) {
        keep--;
    }
    if (keep == 0) { /* none: longer than any key, and all ones */
        memset(range.upper, 0xff, sizeof range.upper);
        range.upper_len = sizeof range.upper;
        return range;
    }
    memcpy(range.upper, prefix.data, keep);
    range.upper[keep - 1]++;
    range.upper_len = keep;
    return range;
}
