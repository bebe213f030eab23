#include "client/cli/audit_chain.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/ids.h"
#include "hsm/base/own.h"

#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include <openssl/evp.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINK_BYTES    (4 + 8 + 2 * HF_SHA256_BYTES)
#define CONTENT_BYTES (HF_ID_BYTES + 8 + 4) /* before the body */

struct link {
    uint64_t index;
    int64_t time_ms;
    struct hf_id tenant;
    bool of_others; /* content is what is known of it */
    uint8_t content[HF_SHA256_BYTES];
    uint8_t previous[HF_SHA256_BYTES];
    uint8_t hash[HF_SHA256_BYTES];
    const char *body;
    size_t body_len;
};

static enum hf_status problem(struct audit_chain *chain, uint64_t index,
                              enum hf_status status, const char *text)
{
    chain->bad_index = index;
    (void)snprintf(chain->problem, sizeof chain->problem, "%s", text);
    return status;
}

/* --- reading one record ----------------------------------------------------
 */

static bool read_index(const json_t *value, uint64_t *out)
{
    int64_t number = 0;
    if (json_is_integer(value)) {
        number = json_integer_value(value);
    } else if (!json_is_string(value) ||
               number_parse(json_string_value(value), 1, INT64_MAX, &number) !=
                   HF_OK) {
        return false;
    }
    *out = (uint64_t)number;
    return number > 0;
}

/* read_time: "2026-01-31T12:00:00.123Z"; the milliseconds are hashed. */
static bool read_time(const json_t *value, int64_t *out_ms)
{
    const char *text = json_string_value(value);
    const char *dot = text != NULL ? strchr(text, '.') : NULL;
    char whole[32];
    int64_t seconds = 0;
    int64_t part = 0;
    if (text == NULL) {
        return false;
    }
    if (dot == NULL) {
        return time_parse(text, &seconds) == HF_OK &&
               !__builtin_mul_overflow(seconds, 1000, out_ms);
    }
    char digits[4] = {0};
    if (strlen(dot) != 5 || dot[4] != 'Z' ||
        (size_t)(dot - text) >= sizeof whole - 1) {
        return false;
    }
    memcpy(digits, dot + 1, 3);
    (void)snprintf(whole, sizeof whole, "%.*sZ", (int)(dot - text), text);
    if (time_parse(whole, &seconds) != HF_OK ||
        number_parse(digits, 0, 999, &part) != HF_OK) {
        return false;
    }
    *out_ms = seconds * 1000 + part;
    return true;
}

static bool read_hash(const json_t *value, uint8_t out[HF_SHA256_BYTES])
{
    HF_OWNED(file_data_clear) struct file_data data = {0};
    if (!json_is_string(value) ||
        base64_decode(json_string_value(value), json_string_length(value),
                      &data) != HF_OK ||
        data.len != HF_SHA256_BYTES) {
        return false;
    }
    memcpy(out, data.bytes, HF_SHA256_BYTES);
    return true;
}

static bool read_tenant(const json_t *value, struct hf_id *out)
{
    const char *text = json_string_value(value);
    *out = (struct hf_id){0};
    if (text == NULL) {
        return false;
    }
    return text[0] == '\0' || id_parse(text, out) == HF_OK;
}

static bool read_content(const json_t *record, struct link *out)
{
    const json_t *body = json_object_get(record, "json");
    out->body = json_string_value(body);
    out->body_len = json_string_length(body);
    return out->body != NULL &&
           read_time(json_object_get(record, "time"), &out->time_ms) &&
           read_tenant(json_object_get(record, "tenantUid"), &out->tenant);
}

static enum hf_status read_link(struct audit_chain *chain, const json_t *record,
                                struct link *out)
{
    uint64_t near = chain->last_index;
    if (!read_index(json_object_get(record, "index"), &out->index)) {
        return problem(chain, near, HF_E_INVALID,
                       "what follows this index is no audit record");
    }
    bool fine =
        read_hash(json_object_get(record, "previousHash"), out->previous) &&
        read_hash(json_object_get(record, "hash"), out->hash);
    const json_t *content = json_object_get(record, "contentHash");
    out->of_others = json_string_length(content) > 0;
    fine = fine && (out->of_others ? read_hash(content, out->content)
                                   : read_content(record, out));
    return fine ? HF_OK
                : problem(chain, out->index, HF_E_INVALID,
                          "a field is missing or malformed");
}

/* --- checking it -----------------------------------------------------------
 */

static void digest_freep(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}

static enum hf_status digest_of(struct bytes head, struct bytes tail,
                                uint8_t out[HF_SHA256_BYTES])
{
    HF_OWNED(digest_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(digest, head.data, head.len) != 1 ||
        EVP_DigestUpdate(digest, tail.data, tail.len) != 1 ||
        EVP_DigestFinal_ex(digest, out, NULL) != 1) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

static enum hf_status content_of(const struct link *link,
                                 uint8_t out[HF_SHA256_BYTES])
{
    uint8_t head[CONTENT_BYTES];
    struct byte_writer writer = byte_writer_on(head, sizeof head);
    if (link->of_others) {
        memcpy(out, link->content, HF_SHA256_BYTES);
        return HF_OK;
    }
    put_raw(&writer, link->tenant.bytes, sizeof link->tenant.bytes);
    put_u64(&writer, (uint64_t)link->time_ms);
    put_u32(&writer, (uint32_t)link->body_len);
    return digest_of(
        (struct bytes){head, writer.len},
        (struct bytes){(const uint8_t *)link->body, link->body_len}, out);
}

static enum hf_status hash_of(const struct link *link,
                              uint8_t out[HF_SHA256_BYTES])
{
    uint8_t head[LINK_BYTES];
    uint8_t content[HF_SHA256_BYTES];
    struct byte_writer writer = byte_writer_on(head, sizeof head);
    HF_TRY(content_of(link, content));
    put_raw(&writer, "HFA2", 4);
    put_u64(&writer, link->index);
    put_raw(&writer, link->previous, sizeof link->previous);
    put_raw(&writer, content, sizeof content);
    return digest_of((struct bytes){head, writer.len}, BYTES_NONE, out);
}

static bool same(const uint8_t a[HF_SHA256_BYTES],
                 const uint8_t b[HF_SHA256_BYTES])
{
    return bytes_equal((struct bytes){a, HF_SHA256_BYTES},
                       (struct bytes){b, HF_SHA256_BYTES});
}

static enum hf_status check_link(struct audit_chain *chain,
                                 const struct link *link)
{
    static const uint8_t nothing[HF_SHA256_BYTES] = {0};
    bool first = link->index == 1;
    bool adjoins = chain->records > 0 && link->index == chain->last_index + 1;
    if (chain->records > 0 && link->index <= chain->last_index) {
        return problem(chain, link->index, HF_E_CORRUPT,
                       "is not behind the record before it");
    }
    if (first && !same(link->previous, nothing)) {
        return problem(chain, link->index, HF_E_CORRUPT,
                       "is the first, but claims one before it");
    }
    if (adjoins && !same(link->previous, chain->last_hash)) {
        return problem(chain, link->index, HF_E_CORRUPT,
                       "does not link to the record before it");
    }
    if (link->index > chain->last_index + 1 && chain->absent_from == 0) {
        chain->absent_from = chain->last_index + 1;
    }
    chain->links += adjoins || first ? 1 : 0;
    return HF_OK;
}

/* --- checkpoints -----------------------------------------------------------
 */

/* What is signed is the hash of the last record, which holds all those before;
 * if one of them is missing here, that is not to be seen. */
static enum hf_status check_signed(struct audit_chain *chain,
                                   const struct checkpoint *checkpoint)
{
    if (checkpoint->audit_index > chain->last_index) {
        return problem(chain, chain->last_index + 1, HF_E_CORRUPT,
                       "is missing, and what a checkpoint behind it covers: "
                       "the end was cut off");
    }
    if (checkpoint->audit_index < chain->last_index) {
        return problem(chain, checkpoint->audit_index, HF_E_INVALID,
                       "was signed, but its checkpoint does not stand behind "
                       "it");
    }
    if (!same(checkpoint->audit_hash, chain->last_hash)) {
        return problem(chain, checkpoint->audit_index, HF_E_CORRUPT,
                       "is not the record that was signed");
    }
    if (chain->absent_from > 0) {
        return problem(chain, chain->absent_from, HF_E_CORRUPT,
                       "is missing, though a checkpoint covers it");
    }
    chain->checkpoints++;
    chain->covered = checkpoint->audit_index;
    return HF_OK;
}

static enum hf_status add_checkpoint(struct audit_chain *chain,
                                     const json_t *line)
{
    struct checkpoint checkpoint;
    enum hf_status status =
        checkpoint_read(line, chain->public_key, &checkpoint);
    if (status == HF_E_DENIED) {
        return problem(chain, chain->last_index, HF_E_CORRUPT,
                       "has a checkpoint behind it that this key did not sign");
    }
    if (status != HF_OK) {
        return problem(chain, chain->last_index, status,
                       "has a checkpoint behind it that is malformed");
    }
    HF_TRY(check_signed(chain, &checkpoint));
    return chain->met == NULL ? HF_OK
                              : checkpoint_set_add(chain->met, &checkpoint);
}

/* One kept elsewhere is looked at when its record has come by. */
static enum hf_status meet_kept(struct audit_chain *chain, bool ended)
{
    const struct checkpoint_set *kept = chain->kept;
    while (kept != NULL && chain->kept_met < kept->count) {
        const struct checkpoint *next = &kept->items[chain->kept_met];
        if (next->audit_index > chain->last_index && !ended) {
            break;
        }
        HF_TRY(check_signed(chain, next));
        chain->kept_met++;
    }
    return HF_OK;
}

/* What stands beside the content, for its readers, is not hashed: so it has to
 * say what the content says. */
static bool repeats_content(const json_t *record, const struct link *link)
{
    static const char *const fields[] = {"activity", "actor", "object"};
    HF_OWNED(json_freep)
    json_t *content = json_loadb(link->body, link->body_len, 0, NULL);
    for (size_t i = 0; i < HF_COUNT(fields); i++) {
        const char *said =
            json_string_value(json_object_get(record, fields[i]));
        const char *is = json_string_value(json_object_get(content, fields[i]));
        if (strcmp(said != NULL ? said : "", is != NULL ? is : "") != 0) {
            return false;
        }
    }
    return true;
}

HF_STATUS audit_chain_end(struct audit_chain *chain)
{
    return meet_kept(chain, true);
}

HF_STATUS audit_chain_add(struct audit_chain *chain, const json_t *record)
{
    struct link link = {0};
    uint8_t hash[HF_SHA256_BYTES];
    if (checkpoint_is_one(record)) {
        return add_checkpoint(chain, record);
    }
    HF_TRY(read_link(chain, record, &link));
    HF_TRY(check_link(chain, &link));
    HF_TRY(hash_of(&link, hash));
    if (!same(hash, link.hash)) {
        return problem(chain, link.index, HF_E_CORRUPT,
                       "was changed: its hash does not fit its content");
    }
    if (!link.of_others && !repeats_content(record, &link)) {
        return problem(chain, link.index, HF_E_CORRUPT,
                       "was changed: what stands beside its content says "
                       "something else");
    }
    chain->records++;
    chain->others += link.of_others ? 1 : 0;
    chain->last_index = link.index;
    memcpy(chain->last_hash, link.hash, sizeof chain->last_hash);
    return meet_kept(chain, false);
}
