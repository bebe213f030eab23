#include "client/cli/checkpoint.h"

#include "hsm/base/own.h"
#include "hsm/base/statement.h"

#include "client/cli/file.h"
#include "client/cli/purge_sign.h"
#include "client/cli/values.h"

#include <stdlib.h>
#include <string.h>

#define TITLE "holdfast-checkpoint-v1"

bool checkpoint_is_one(const json_t *line)
{
    return json_object_get(line, "statement") != NULL;
}

static HF_STATUS get_bytes(const json_t *line, const char *member,
                           struct file_data *out)
{
    const json_t *value = json_object_get(line, member);
    return json_is_string(value) ? base64_decode(json_string_value(value),
                                                 json_string_length(value), out)
                                 : HF_E_INVALID;
}

static void get_hash(struct statement_reader *reader, const char *key,
                     uint8_t out[HF_SHA256_BYTES])
{
    char text[2 * HF_SHA256_BYTES + 1] = "";
    size_t len = 0;
    statement_get_text(reader, key, text, sizeof text);
    if (hex_decode(text, out, HF_SHA256_BYTES, &len) != HF_OK ||
        len != HF_SHA256_BYTES) {
        reader->bad = true;
    }
}

static uint64_t get_count(struct statement_reader *reader, const char *key)
{
    char text[24] = "";
    int64_t number = 0;
    statement_get_text(reader, key, text, sizeof text);
    if (number_parse(text, 0, INT64_MAX, &number) != HF_OK) {
        reader->bad = true;
    }
    return (uint64_t)number;
}

static HF_STATUS read_statement(struct bytes text, struct checkpoint *out)
{
    char spool[HF_ID_TEXT] = "";
    uint8_t key[HF_SHA256_BYTES];
    struct statement_reader reader = statement_read(text, TITLE);
    *out =
        (struct checkpoint){.audit_index = get_count(&reader, "audit_index")};
    get_hash(&reader, "audit_hash", out->audit_hash);
    statement_get_text(&reader, "spool", spool, sizeof spool);
    if (strcmp(spool, "none") != 0 && id_parse(spool, &out->spool) != HF_OK) {
        reader.bad = true;
    }
    out->spool_records = get_count(&reader, "spool_records");
    get_hash(&reader, "spool_hash", out->spool_hash);
    get_hash(&reader, "key", key);
    (void)statement_get_time(&reader, "signed_at");
    return statement_done(&reader);
}

HF_STATUS checkpoint_read(const json_t *line, struct bytes public_keys,
                          struct checkpoint *out)
{
    HF_OWNED(file_data_clear) struct file_data text = {0};
    HF_OWNED(file_data_clear) struct file_data signature = {0};
    HF_TRY(get_bytes(line, "statement", &text));
    HF_TRY(get_bytes(line, "signature", &signature));
    if (public_keys.len > 0) {
        HF_TRY(purge_verify(public_keys, (struct bytes){text.bytes, text.len},
                            (struct bytes){signature.bytes, signature.len}));
    }
    return read_statement((struct bytes){text.bytes, text.len}, out);
}

HF_STATUS checkpoint_set_add(struct checkpoint_set *set,
                             const struct checkpoint *checkpoint)
{
    if (set->count == set->cap) {
        size_t cap = set->cap == 0 ? 64 : 2 * set->cap;
        struct checkpoint *items =
            reallocarray(set->items, cap, sizeof *set->items);
        if (items == NULL) {
            return HF_E_NO_MEMORY;
        }
        set->items = items;
        set->cap = cap;
    }
    set->items[set->count++] = *checkpoint;
    return HF_OK;
}

static int by_index(const void *a, const void *b)
{
    const struct checkpoint *left = a;
    const struct checkpoint *right = b;
    return (left->audit_index > right->audit_index) -
           (left->audit_index < right->audit_index);
}

void checkpoint_set_sort(struct checkpoint_set *set)
{
    if (set->count > 0) {
        qsort(set->items, set->count, sizeof *set->items, by_index);
    }
}

void checkpoint_set_clear(struct checkpoint_set *set)
{
    free(set->items);
    *set = (struct checkpoint_set){0};
}
