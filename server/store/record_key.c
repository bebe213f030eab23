#include "hsm/base/check.h"

#include "server/store/hash.h"
#include "server/store/record.h"

#include <string.h>

static struct record_key made(struct record_key *key,
                              const struct byte_writer *writer)
{
    CHECK(!writer->overrun);
    key->len = writer->len;
    return *key;
}

struct bytes record_key_view(const struct record_key *key)
{
    return (struct bytes){key->bytes, key->len};
}

struct record_key key_of_id(const struct hf_id *id)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    put_raw(&writer, id->bytes, HF_ID_BYTES);
    return made(&key, &writer);
}

struct record_key key_of_pair(const struct hf_id *owner, const struct hf_id *id)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    put_raw(&writer, owner->bytes, HF_ID_BYTES);
    put_raw(&writer, id->bytes, HF_ID_BYTES);
    return made(&key, &writer);
}

struct record_key key_of_numbered(const struct hf_id *owner, uint32_t number)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    put_raw(&writer, owner->bytes, HF_ID_BYTES);
    put_u32(&writer, number);
    return made(&key, &writer);
}

struct record_key key_of_checkpoint(uint64_t audit_index)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    put_u64(&writer, UINT64_MAX - audit_index);
    return made(&key, &writer);
}

/* Without a hash there is no key, and no caller could go on: a digest of a few
 * hundred bytes fails only when the process has no memory left at all. */
static void hash_text(const char *text, uint8_t out[HF_SHA256_BYTES])
{
    CHECK(sha256(bytes_of_text(text), out) == HF_OK);
}

void resource_hash(const char *resource_id, uint8_t out[HF_SHA256_BYTES])
{
    hash_text(resource_id, out);
}

struct record_key key_of_grant(const struct hf_id *customer_key,
                               const char *identity)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    uint8_t hash[HF_SHA256_BYTES];
    hash_text(identity, hash);
    put_raw(&writer, customer_key->bytes, HF_ID_BYTES);
    put_raw(&writer, hash, sizeof hash);
    return made(&key, &writer);
}

struct record_key key_of_resource(const struct hf_id *tenant,
                                  enum resource_type type,
                                  const char *resource_id)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    uint8_t hash[HF_SHA256_BYTES];
    hash_text(resource_id, hash);
    put_raw(&writer, tenant->bytes, HF_ID_BYTES);
    put_u8(&writer, (uint8_t)type);
    put_raw(&writer, hash, sizeof hash);
    return made(&key, &writer);
}

struct record_key key_of_name(enum name_scope scope, const struct hf_id *owner,
                              const char *folded_name)
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    size_t len = strlen(folded_name);
    if (len == 0 || len > RECORD_NAME_MAX_BYTES) {
        return key; /* empty: nothing is found or stored under it */
    }
    put_u8(&writer, (uint8_t)scope);
    put_raw(&writer, owner->bytes, HF_ID_BYTES);
    put_raw(&writer, folded_name, len);
    return made(&key, &writer);
}

void name_of_dep(enum dep_type type, const char *folded_name,
                 char out[NAME_OF_DEP_BYTES])
{
    const char *fold = folded_name;
    size_t len = 0;
    if (type != DEP_TYPE_EXCHANGE_MAILBOX) {
        out[len++] = (char)('0' + (int)type);
        out[len++] = ':';
    }
    while (*fold != '\0' && len + 1 < NAME_OF_DEP_BYTES) {
        out[len++] = *fold++;
    }
    out[len] = '\0';
}

struct record_key key_of_request(const struct hf_id *tenant,
                                 const uint8_t digest[HF_SHA256_BYTES])
{
    struct record_key key = {0};
    struct byte_writer writer = byte_writer_on(key.bytes, sizeof key.bytes);
    put_raw(&writer, tenant->bytes, HF_ID_BYTES);
    put_raw(&writer, digest, HF_SHA256_BYTES);
    return made(&key, &writer);
}
