#include "hsm/sys/spool_file.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <openssl/evp.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC          "HFS1"
#define LENGTH_BYTES   4
#define SUFFIX         ".spool"
#define METHOD_BYTES   65
#define OBJECT_BYTES   (2 * HF_NAME_MAX_BYTES + HF_RESOURCE_ID_MAX_BYTES + 64)
#define ZERO_RUN_BYTES HF_SHA256_BYTES

/* --- hashing ------------------------------------------------------------ */

static void digest_freep(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}

static HF_STATUS chain_hash(EVP_MD_CTX *digest,
                            const uint8_t previous[HF_SHA256_BYTES],
                            uint32_t len, const uint8_t *body,
                            uint8_t out[HF_SHA256_BYTES])
{
    uint8_t head[HF_SHA256_BYTES + LENGTH_BYTES];
    struct byte_writer writer = byte_writer_on(head, sizeof head);
    put_raw(&writer, previous, HF_SHA256_BYTES);
    put_u32(&writer, len);
    return EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, head, sizeof head) == 1 &&
                   EVP_DigestUpdate(digest, body, len) == 1 &&
                   EVP_DigestFinal_ex(digest, out, NULL) == 1
               ? HF_OK
               : HF_E_NO_MEMORY;
}

/* --- writing ------------------------------------------------------------ */

HF_STATUS spool_chain_open(struct spool_chain *chain)
{
    *chain = (struct spool_chain){.digest = EVP_MD_CTX_new()};
    return chain->digest != NULL ? HF_OK : HF_E_NO_MEMORY;
}

void spool_chain_close(struct spool_chain *chain)
{
    EVP_MD_CTX_free(chain->digest);
    chain->digest = NULL;
}

/* The length last: what stands behind a length is whole. */
static size_t close_frame(uint8_t *to, const struct byte_writer *body,
                          struct spool_chain *chain)
{
    uint8_t length[LENGTH_BYTES];
    struct byte_writer writer = byte_writer_on(length, sizeof length);
    uint8_t next[HF_SHA256_BYTES];
    if (body->overrun ||
        chain_hash(chain->digest, chain->hash, (uint32_t)body->len,
                   to + LENGTH_BYTES, next) != HF_OK) {
        memset(to, 0, SPOOL_FRAME_MAX_BYTES);
        return 0;
    }
    memcpy(to + LENGTH_BYTES + body->len, next, sizeof next);
    put_u32(&writer, (uint32_t)body->len);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(to, length, sizeof length);
    memcpy(chain->hash, next, sizeof next);
    return LENGTH_BYTES + body->len + HF_SHA256_BYTES;
}

size_t spool_put_header(uint8_t *to, const struct spool_header *header,
                        struct spool_chain *chain)
{
    struct byte_writer writer =
        byte_writer_on(to + LENGTH_BYTES, SPOOL_BODY_MAX_BYTES);
    put_raw(&writer, MAGIC, 4);
    put_raw(&writer, header->spool.bytes, HF_ID_BYTES);
    put_u64(&writer, header->segment);
    put_u64(&writer, header->oldest);
    put_u64(&writer, header->first);
    put_u64(&writer, (uint64_t)header->time_ms);
    put_raw(&writer, header->previous, HF_SHA256_BYTES);
    put_u8(&writer, (uint8_t)header->before);
    put_u64(&writer, header->left_bytes);
    return close_frame(to, &writer, chain);
}

size_t spool_put_record(uint8_t *to, const struct spool_record *record,
                        struct spool_chain *chain)
{
    struct byte_writer writer =
        byte_writer_on(to + LENGTH_BYTES, SPOOL_BODY_MAX_BYTES);
    put_u64(&writer, record->number);
    put_u64(&writer, (uint64_t)record->time_ms);
    put_text(&writer, record->method);
    put_text(&writer, record->object);
    put_text(&writer, record->blob);
    put_text(&writer, record->actor);
    put_text(&writer, record->request_id);
    put_u8(&writer, record->initiator);
    put_u8(&writer, record->purpose);
    put_raw(&writer, record->dep.bytes, HF_ID_BYTES);
    put_u32(&writer, record->generation);
    return close_frame(to, &writer, chain);
}

/* --- names -------------------------------------------------------------- */

void spool_name(uint64_t segment, char out[SPOOL_NAME_BYTES])
{
    (void)snprintf(out, SPOOL_NAME_BYTES, "%016" PRIx64 SUFFIX, segment);
}

uint64_t spool_number(const char *name)
{
    char digits[17] = "";
    uint8_t bytes[sizeof(uint64_t)];
    size_t len = 0;
    if (strlen(name) != 16 + sizeof SUFFIX - 1 ||
        strcmp(name + 16, SUFFIX) != 0) {
        return 0;
    }
    memcpy(digits, name, 16);
    if (strspn(digits, "0123456789abcdef") != 16 ||
        hex_decode(digits, bytes, sizeof bytes, &len) != HF_OK) {
        return 0;
    }
    struct byte_reader reader = byte_reader_on(BYTES_OF(bytes));
    return get_u64(&reader);
}

/* --- reading ------------------------------------------------------------ */

struct frame {
    struct bytes body;
    size_t len; /* 0: there is none, whole */
};

static bool is_zero(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static struct frame frame_at(struct bytes file, size_t at)
{
    struct frame frame = {BYTES_NONE, 0};
    struct byte_reader reader =
        byte_reader_on((struct bytes){file.data + at, file.len - at});
    if (file.len - at < LENGTH_BYTES + HF_SHA256_BYTES) {
        return frame;
    }
    uint32_t len = get_u32(&reader);
    if (len == 0 || len > SPOOL_BODY_MAX_BYTES ||
        len > file.len - at - LENGTH_BYTES - HF_SHA256_BYTES) {
        return frame;
    }
    frame.body = (struct bytes){file.data + at + LENGTH_BYTES, len};
    frame.len = LENGTH_BYTES + len + HF_SHA256_BYTES;
    return frame;
}

static HF_STATUS read_header(struct bytes body, struct spool_header *out)
{
    uint8_t magic[4] = {0};
    struct byte_reader reader = byte_reader_on(body);
    get_raw(&reader, magic, sizeof magic);
    get_raw(&reader, out->spool.bytes, HF_ID_BYTES);
    out->segment = get_u64(&reader);
    out->oldest = get_u64(&reader);
    out->first = get_u64(&reader);
    uint64_t time_ms = get_u64(&reader);
    get_raw(&reader, out->previous, HF_SHA256_BYTES);
    uint8_t before = get_u8(&reader);
    out->left_bytes = get_u64(&reader);
    HF_TRY(byte_reader_done(&reader));
    out->time_ms = (int64_t)time_ms;
    out->before = (enum spool_end)before;
    bool possible = bytes_equal(BYTES_OF(magic),
                                (struct bytes){(const uint8_t *)MAGIC, 4}) &&
                    time_ms <= INT64_MAX && before >= SPOOL_END_CLEAN &&
                    before <= SPOOL_END_DAMAGED && out->segment > 0 &&
                    out->oldest > 0 && out->oldest <= out->segment &&
                    out->first > 0;
    return possible ? HF_OK : HF_E_CORRUPT;
}

struct texts {
    char method[METHOD_BYTES];
    char object[OBJECT_BYTES];
    char blob[HF_RESOURCE_ID_MAX_BYTES + 1];
    char actor[HF_URI_MAX_BYTES + 1];
    char request_id[HF_ID_TEXT];
};

static HF_STATUS read_record(struct bytes body, struct texts *texts,
                             struct spool_record *out)
{
    struct byte_reader reader = byte_reader_on(body);
    out->number = get_u64(&reader);
    uint64_t time_ms = get_u64(&reader);
    get_text(&reader, texts->method, sizeof texts->method);
    get_text(&reader, texts->object, sizeof texts->object);
    get_text(&reader, texts->blob, sizeof texts->blob);
    get_text(&reader, texts->actor, sizeof texts->actor);
    get_text(&reader, texts->request_id, sizeof texts->request_id);
    out->initiator = get_u8(&reader);
    out->purpose = get_u8(&reader);
    get_raw(&reader, out->dep.bytes, HF_ID_BYTES);
    out->generation = get_u32(&reader);
    HF_TRY(byte_reader_done(&reader));
    out->time_ms = (int64_t)time_ms;
    out->method = texts->method;
    out->object = texts->object;
    out->blob = texts->blob;
    out->actor = texts->actor;
    out->request_id = texts->request_id;
    return time_ms <= INT64_MAX ? HF_OK : HF_E_CORRUPT;
}

/* What stands behind the last good frame. A crash leaves a frame without its
 * length, or with a part of it never written; a frame that is there from its
 * length to its hash, and does not fit, was written by somebody else. */
static void judge_end(struct bytes file, struct spool_segment *out)
{
    size_t end = file.len;
    while (end > out->used && file.data[end - 1] == 0) {
        end--;
    }
    out->left = end - out->used;
    if (out->left == 0) {
        out->end = SPOOL_END_CLEAN;
        return;
    }
    struct frame frame = frame_at(file, out->used);
    size_t hash_at = out->used + frame.len - HF_SHA256_BYTES;
    bool whole = frame.len > 0 && !is_zero(file.data + hash_at, ZERO_RUN_BYTES);
    for (size_t at = 0; whole && at + ZERO_RUN_BYTES <= frame.body.len; at++) {
        /* no body holds so many zeros in a row: a page that was not written */
        whole = !is_zero(frame.body.data + at, ZERO_RUN_BYTES);
    }
    out->end = whole ? SPOOL_END_DAMAGED : SPOOL_END_TORN;
}

/* HF_OK and *out_len 0: no good frame. */
static HF_STATUS good_frame(EVP_MD_CTX *digest, struct bytes file,
                            const struct spool_segment *segment,
                            const uint8_t previous[HF_SHA256_BYTES],
                            struct frame *out, uint8_t hash[HF_SHA256_BYTES])
{
    *out = frame_at(file, segment->used);
    if (out->len == 0) {
        return HF_OK;
    }
    HF_TRY(chain_hash(digest, previous, (uint32_t)out->body.len, out->body.data,
                      hash));
    if (!bytes_equal(
            (struct bytes){hash, HF_SHA256_BYTES},
            (struct bytes){out->body.data + out->body.len, HF_SHA256_BYTES})) {
        out->len = 0;
    }
    return HF_OK;
}

static HF_STATUS begin(EVP_MD_CTX *digest, struct bytes file,
                       struct spool_segment *out)
{
    uint8_t hash[HF_SHA256_BYTES];
    struct frame frame = frame_at(file, 0);
    if (frame.len == 0 || read_header(frame.body, &out->header) != HF_OK) {
        return HF_E_CORRUPT;
    }
    HF_TRY(good_frame(digest, file, out, out->header.previous, &frame, hash));
    if (frame.len == 0) {
        return HF_E_CORRUPT;
    }
    out->begun = true;
    out->used = frame.len;
    out->last = out->header.first - 1;
    memcpy(out->hash, hash, sizeof out->hash);
    return HF_OK;
}

HF_STATUS spool_read(struct bytes file, spool_record_fn *each, void *context,
                     struct spool_segment *out)
{
    struct texts texts;
    struct spool_record record;
    struct frame frame;
    uint8_t hash[HF_SHA256_BYTES];
    HF_OWNED(digest_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    *out = (struct spool_segment){.end = SPOOL_END_CLEAN};
    if (digest == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (is_zero(file.data, file.len)) {
        return HF_OK;
    }
    HF_TRY(begin(digest, file, out));
    for (;;) {
        HF_TRY(good_frame(digest, file, out, out->hash, &frame, hash));
        if (frame.len == 0 ||
            read_record(frame.body, &texts, &record) != HF_OK ||
            record.number != out->last + 1) {
            break;
        }
        out->last = record.number;
        out->used += frame.len;
        memcpy(out->hash, hash, sizeof out->hash);
        HF_TRY(each == NULL ? HF_OK : each(context, &record, hash));
    }
    judge_end(file, out);
    return HF_OK;
}
