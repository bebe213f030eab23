/* The audit chain: its links are whole, the lost token signed it so far, and
 * what it says last of each grant, DEP, purge, key and token. */
#include "hsm/sys/signature.h"

#include "server/service/checkpoints.h"
#include "server/service/reseal_inside.h"
#include "server/store/hash.h"
#include "server/store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AK_TOKENS "availabilityTokens/"
#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"

struct chain_walk {
    struct reseal *reseal;
    uint64_t index;
    uint8_t hash[HF_SHA256_BYTES];
    bool broken;
    /* what was signed, held against the link when it comes by */
    struct checkpoint_record *signed_heads;
    size_t count;
    size_t cap;
};

/* --- what was signed ------------------------------------------------------ */

/* The next PEM from *at on, to where one more begins. */
static bool next_key(struct bytes keys, size_t *at, struct bytes *out_key)
{
    const size_t mark = sizeof PEM_BEGIN - 1;
    const uint8_t *end = keys.data + keys.len;
    const uint8_t *begin =
        *at >= keys.len
            ? NULL
            : memmem(keys.data + *at, keys.len - *at, PEM_BEGIN, mark);
    if (begin == NULL) {
        return false;
    }
    const uint8_t *next =
        memmem(begin + mark, (size_t)(end - begin) - mark, PEM_BEGIN, mark);
    const uint8_t *to = next != NULL ? next : end;
    *out_key = (struct bytes){begin, (size_t)(to - begin)};
    *at = (size_t)(to - keys.data);
    return true;
}

static HF_STATUS verify_by_any(struct bytes keys, struct bytes text,
                               struct bytes signature)
{
    enum hf_status status = HF_E_INVALID;
    struct bytes key;
    size_t at = 0;
    while (status != HF_OK && next_key(keys, &at, &key)) {
        status = signature_verify(key, text, signature);
    }
    return status;
}

/* Who signs the report sees by which keys it was checked. */
static HF_STATUS name_keys(struct bytes keys, json_t *into)
{
    struct bytes key;
    size_t at = 0;
    while (next_key(keys, &at, &key)) {
        uint8_t digest[HF_SHA256_BYTES];
        char text[2 * HF_SHA256_BYTES + 1];
        HF_TRY(sha256(key, digest));
        hex_encode(digest, sizeof digest, text, sizeof text);
        if (json_array_append_new(into, json_string(text)) != 0) {
            return HF_E_NO_MEMORY;
        }
    }
    return HF_OK;
}

static HF_STATUS keep(struct chain_walk *walk,
                      const struct checkpoint_record *checkpoint)
{
    if (walk->count == walk->cap) {
        size_t cap = walk->cap == 0 ? 64 : 2 * walk->cap;
        struct checkpoint_record *more =
            reallocarray(walk->signed_heads, cap, sizeof *walk->signed_heads);
        if (more == NULL) {
            return HF_E_NO_MEMORY;
        }
        walk->signed_heads = more;
        walk->cap = cap;
    }
    walk->signed_heads[walk->count++] = *checkpoint;
    return HF_OK;
}

static enum hf_status read_checkpoint(void *context,
                                      const struct record *record)
{
    struct chain_walk *walk = context;
    struct checkpoint_record checkpoint;
    uint8_t text[CHECKPOINT_TEXT_BYTES];
    size_t len = 0;
    char name[80];
    HF_TRY(checkpoint_decode(record, &checkpoint));
    HF_TRY(checkpoint_text(&checkpoint, text, &len));
    snprintf(name, sizeof name, "audit/checkpoints/%llu",
             (unsigned long long)checkpoint.audit_index);
    enum hf_status status = verify_by_any(
        walk->reseal->settings->audit_keys, (struct bytes){text, len},
        (struct bytes){checkpoint.signature, checkpoint.signature_len});
    if (status != HF_OK) {
        return reseal_bad(walk->reseal, name,
                          "none of the audit keys given has signed it");
    }
    HF_TRY(reseal_verified(walk->reseal, "audit checkpoints"));
    return keep(walk, &checkpoint);
}

/* --- what was said -------------------------------------------------------- */

static void merge(json_t *into, const char *key, json_t *after, uint64_t index)
{
    json_t *known = json_object_get(into, key);
    if (known == NULL) {
        known = json_pack("{s:{}}", "after");
        (void)json_object_set_new(into, key, known);
    }
    (void)json_object_update(json_object_get(known, "after"), after);
    (void)json_object_set_new(known, "index", json_integer((json_int_t)index));
}

/* The last phase that a step of a purge led to. */
static void note_purge(struct reseal *reseal, const char *object,
                       const json_t *after, uint64_t index)
{
    if (strstr(object, "/purges/") != NULL && json_is_string(after)) {
        json_t *phase = json_pack("{s:s}", "phase", json_string_value(after));
        merge(reseal->purges, object, phase, index);
        json_decref(phase);
    }
}

static void note_grant(struct reseal *reseal, const char *object,
                       const char *identity, json_t *after, uint64_t index)
{
    char key[RESEAL_NAME_BYTES];
    const char *version = strstr(object, "/versions/");
    int len = version != NULL ? (int)(version - object) : (int)strlen(object);
    snprintf(key, sizeof key, "%.*s/grants/%s", len, object, identity);
    merge(reseal->grants, key, after, index);
}

/* Its state stands under the name of the key, as whichever version was the
 * current one; a name that is free again begins anew. */
static void note_key(struct reseal *reseal, const char *object, json_t *after,
                     uint64_t index)
{
    char key[RESEAL_NAME_BYTES];
    const char *version = strstr(object, "/versions/");
    if (version == NULL) {
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)(version - object), object);
    if (json_object_get(after, "state") != NULL) {
        merge(reseal->keys, key, after, index);
        return;
    }
    if (json_object_get(after, "fingerprint") != NULL) {
        (void)json_object_del(reseal->keys, object);
        if (strcmp(version, "/versions/1") == 0) {
            (void)json_object_del(reseal->keys, key);
        }
    }
    merge(reseal->keys, object, after, index);
}

static void note_retention_over(struct reseal *reseal, const char *object,
                                uint64_t index)
{
    json_t *after =
        json_pack("{s:s, s:n}", "state", key_state_text(KEY_GONE), "purgeTime");
    merge(reseal->keys, object, after, index);
    json_decref(after);
}

static void note_change(struct reseal *reseal, const char *object,
                        const json_t *details, uint64_t index)
{
    json_t *after = json_object_get(details, "after");
    const char *identity =
        json_string_value(json_object_get(details, "identity"));
    if (!json_is_object(after)) {
        note_purge(reseal, object, after, index);
    } else if (identity != NULL && strstr(object, "/customerKeys/") != NULL) {
        note_grant(reseal, object, identity, after, index);
    } else if (strstr(object, "/customerKeys/") != NULL) {
        note_key(reseal, object, after, index);
    } else if (strstr(object, "/deps/") != NULL) {
        merge(reseal->deps, object, after, index);
    } else if (strncmp(object, AK_TOKENS, sizeof AK_TOKENS - 1) == 0) {
        merge(reseal->ak_tokens, object, after, index);
    }
}

static void note(struct reseal *reseal, const struct audit_link *link)
{
    json_t *record =
        json_loadb((const char *)link->body, link->body_len, 0, NULL);
    const char *object = json_string_value(json_object_get(record, "object"));
    const char *activity =
        json_string_value(json_object_get(record, "activity"));
    if (object != NULL && activity != NULL &&
        strcmp(activity, "CustomerKeyRetentionOver") == 0) {
        note_retention_over(reseal, object, link->index);
    } else if (object != NULL) {
        note_change(reseal, object, json_object_get(record, "details"),
                    link->index);
    }
    json_decref(record);
}

static HF_STATUS hold(struct chain_walk *walk, const struct audit_link *link)
{
    for (size_t i = 0; i < walk->count; i++) {
        const struct checkpoint_record *head = &walk->signed_heads[i];
        char name[80];
        if (head->audit_index != link->index) {
            continue;
        }
        if (!bytes_equal(BYTES_OF(head->audit_hash), BYTES_OF(link->hash))) {
            snprintf(name, sizeof name, RESEAL_AUDIT_RECORD "%llu",
                     (unsigned long long)link->index);
            return reseal_bad(walk->reseal, name,
                              "it is not the record that was signed");
        }
        if (link->index > walk->reseal->signed_until) {
            walk->reseal->signed_until = link->index;
        }
    }
    return HF_OK;
}

static enum hf_status read_link(void *context, const struct audit_link *link)
{
    struct chain_walk *walk = context;
    uint8_t hash[HF_SHA256_BYTES];
    char name[80];
    HF_TRY(audit_link_hash(link, hash));
    bool good = link->index == walk->index + 1 &&
                bytes_equal(BYTES_OF(link->previous), BYTES_OF(walk->hash)) &&
                bytes_equal(BYTES_OF(link->hash), BYTES_OF(hash));
    walk->index = link->index;
    memcpy(walk->hash, link->hash, sizeof walk->hash);
    if (!good) {
        walk->broken = true;
        snprintf(name, sizeof name, RESEAL_AUDIT_RECORD "%llu",
                 (unsigned long long)link->index);
        return reseal_bad(walk->reseal, name,
                          "the chain is broken here: edited, reordered or cut");
    }
    HF_TRY(reseal_verified(walk->reseal, "audit records chained"));
    HF_TRY(hold(walk, link));
    note(walk->reseal, link);
    return HF_OK;
}

/* Behind a break nothing is vouched for by what was signed before it. */
static HF_STATUS walk_chain(struct reseal *reseal, struct chain_walk *walk)
{
    const struct store_page all = {.max = SIZE_MAX};
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(reseal->settings->service.store, STORE_READ, &txn));
    if (reseal->settings->audit_keys.len > 0) {
        HF_TRY(store_list(txn, RECORD_CHECKPOINT, &all, read_checkpoint, walk));
    }
    HF_TRY(store_audit_list(txn, NULL, 1, SIZE_MAX, read_link, walk));
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->signed_heads[i].audit_index > walk->index) {
            HF_TRY(reseal_bad(reseal, RESEAL_AUDIT_END,
                              "more was signed than there is: it was cut"));
            break;
        }
    }
    if (walk->broken) {
        reseal->signed_until = 0;
    }
    return HF_OK;
}

HF_STATUS reseal_chain(struct reseal *reseal)
{
    struct chain_walk walk = {.reseal = reseal};
    enum hf_status status = walk_chain(reseal, &walk);
    free(walk.signed_heads);
    HF_TRY(status);
    json_t *keys = json_array();
    json_t *audit = json_pack("{s:I, s:I, s:o}", "records",
                              (json_int_t)walk.index, "signed_until",
                              (json_int_t)reseal->signed_until, "keys", keys);
    if (audit == NULL ||
        json_object_set_new(reseal->report, "audit", audit) != 0) {
        return HF_E_NO_MEMORY;
    }
    return name_keys(reseal->settings->audit_keys, keys);
}
