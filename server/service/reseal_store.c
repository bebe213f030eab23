/* What is in the store, in one number. */
#include "server/service/chain_end.h"
#include "server/service/ledger.h"
#include "server/service/reseal_inside.h"
#include "server/store/record.h"

#include <openssl/evp.h>

#include <string.h>

static void free_digest(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}

struct content_walk {
    EVP_MD_CTX *digest;
    uint64_t records;
    bool failed;
};

static void add(struct content_walk *walk, struct bytes bytes)
{
    walk->failed = walk->failed ||
                   EVP_DigestUpdate(walk->digest, bytes.data, bytes.len) != 1;
}

static void add_number(struct content_walk *walk, uint64_t number)
{
    uint8_t text[8];
    struct byte_writer writer = byte_writer_on(text, sizeof text);
    put_u64(&writer, number);
    add(walk, (struct bytes){text, writer.len});
}

static enum hf_status add_record(void *context, const struct record *record)
{
    struct content_walk *walk = context;
    add_number(walk, (uint64_t)record->kind);
    add_number(walk, record->key_len);
    add(walk, (struct bytes){record->key, record->key_len});
    add_number(walk, record->version);
    add(walk, BYTES_OF(record->mac));
    add(walk, BYTES_OF(record->previous_mac));
    add_number(walk, record->body_len);
    add(walk, (struct bytes){record->body, record->body_len});
    walk->records++;
    return HF_OK;
}

static enum hf_status keep_epoch(void *context, const struct epoch *epoch)
{
    *(uint64_t *)context = epoch->counter;
    return HF_OK;
}

HF_STATUS reseal_content_of(const struct store *store,
                            struct reseal_content *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_OWNED(free_digest) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    const struct store_page all = {.max = SIZE_MAX};
    struct content_walk walk = {.digest = digest};
    struct audit_link end;
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        return HF_E_NO_MEMORY;
    }
    out->epoch = 0;
    HF_TRY(store_begin(store, STORE_READ, &txn));
    for (size_t i = 0; record_kind_at(i) != 0; i++) {
        HF_TRY(store_list(txn, record_kind_at(i), &all, add_record, &walk));
    }
    HF_TRY(chain_end(txn, &end));
    HF_TRY(store_epoch_list(txn, 1, keep_epoch, &out->epoch));
    add_number(&walk, end.index);
    add(&walk, BYTES_OF(end.hash));
    add_number(&walk, out->epoch);
    out->records = walk.records;
    out->audit_index = end.index;
    memcpy(out->audit_hash, end.hash, sizeof out->audit_hash);
    return !walk.failed && EVP_DigestFinal_ex(digest, out->digest, NULL) == 1
               ? HF_OK
               : HF_E_INTERNAL;
}

HF_STATUS reseal_token_answer(const struct token *token,
                              uint8_t out[HF_SHA256_BYTES])
{
    struct token_request request = {
        .op = TOKEN_OP_MAC,
        .attempt_ms = HF_TOKEN_ROOT_DEADLINE_MS,
        .u.mac = {.key = {.type = TOKEN_KEY_GENERIC,
                          .id_len = sizeof LEDGER_MAC_KEY_ID - 1},
                  .in = bytes_of_text(RESEAL_KNOWN_TEXT)},
    };
    memcpy(request.u.mac.key.id, LEDGER_MAC_KEY_ID, request.u.mac.key.id_len);
    HF_TRY(token_call(token, &request));
    memcpy(out, request.u.mac.out, HF_SHA256_BYTES);
    return HF_OK;
}
