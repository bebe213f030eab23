/* record_fuzz: whatever bytes lie in the store, decoding them is safe, and what
 * is accepted is the one canonical way to write what it means in its format.
 *
 *   input = which record u8 | key length u8 | key | body
 */
#include "hsm/base/check.h"

#include "server/store/record.h"

#include "tests/unit/store/record_cases.h"

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Room for any record struct. */
union room {
    uint8_t bytes[RECORD_STRUCT_MAX_BYTES];
    alignas(max_align_t) char aligned;
};

static void fill(struct record *record, const uint8_t *data, size_t size)
{
    size_t key_len = data[1] % (RECORD_KEY_MAX_BYTES + 1);
    data += 2;
    size -= 2;
    key_len = key_len < size ? key_len : size;
    record->key_len = key_len;
    memcpy(record->key, data, key_len);
    record->body_len = size - key_len;
    if (record->body_len > RECORD_BODY_MAX_BYTES) {
        record->body_len = RECORD_BODY_MAX_BYTES;
    }
    memcpy(record->body, data + key_len, record->body_len);
}

static struct bytes body_of(const struct record *record)
{
    return (struct bytes){record->body, record->body_len};
}

static struct bytes key_of(const struct record *record)
{
    return (struct bytes){record->key, record->key_len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const struct record_case *of = &record_cases[data[0] % record_case_count];
    union room value;
    struct record record = {.kind = of->kind, .version = 1};
    struct record again = {.version = 1};
    fill(&record, data, size);
    memset(&value, 0, sizeof value);
    enum hf_status status = of->decode(&record, &value);
    CHECK(status == HF_OK || status == HF_E_CORRUPT);
    if (status != HF_OK) {
        return 0;
    }
    CHECK(of->encode(&value, &again) == HF_OK);
    /* what an older version wrote is written anew as today's */
    CHECK(record.body[0] <= of->newest && again.body[0] == of->newest);
    CHECK(record.body[0] != of->newest ||
          bytes_equal(body_of(&again), body_of(&record)));
    CHECK(of->key_is_free || bytes_equal(key_of(&again), key_of(&record)));
    return 0;
}
