#include "hsm/tool/backup/manifest.h"

#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/tool/output.h"

#include <string.h>

#define FORMAT "holdfast-token-manifest-1"

static void json_free(json_t **json)
{
    json_decref(*json);
}

static json_t *entry_of(const struct token_key_report *key)
{
    return json_pack(
        "{s:o, s:o, s:i, s:i, s:o, s:b}", "name", output_text(key->label), "id",
        output_hex((struct bytes){key->key.id, key->key.id_len}), "type",
        (int)key->key.type, "bits", (int)key->bits, "public_key_sha256",
        output_hex(BYTES_OF(key->key.fingerprint)), "local", (int)key->local);
}

json_t *manifest_make(const struct token_profile *profile,
                      const struct token_key_report *keys, size_t count)
{
    HF_OWNED(json_free) json_t *list = json_array();
    char when[CLOCK_UTC_TEXT];
    clock_format_utc(clock_wall_ms(clock_system()), when);
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, entry_of(&keys[i])) != 0) {
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:O}", "format", FORMAT, "made_at",
                     when, "token_label", output_text(profile->label),
                     "token_serial", output_text(profile->serial), "keys",
                     list);
}

HF_STATUS manifest_read(struct bytes text, json_t **out_manifest)
{
    HF_OWNED(json_free)
    json_t *manifest = json_loadb((const char *)text.data, text.len,
                                  JSON_REJECT_DUPLICATES, NULL);
    const char *format = json_string_value(json_object_get(manifest, "format"));
    if (format == NULL || strcmp(format, FORMAT) != 0 ||
        !json_is_array(json_object_get(manifest, "keys"))) {
        return HF_E_CORRUPT;
    }
    *out_manifest = HF_GIVE(manifest);
    return HF_OK;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    const char *left = json_string_value(json_object_get(a, key));
    const char *right = json_string_value(json_object_get(b, key));
    return left != NULL && right != NULL && strcmp(left, right) == 0;
}

/* By label, id and fingerprint, and what the key is. */
static bool same_key(const json_t *a, const json_t *b)
{
    return same_text(a, b, "name") && same_text(a, b, "id") &&
           same_text(a, b, "public_key_sha256") &&
           json_integer_value(json_object_get(a, "type")) ==
               json_integer_value(json_object_get(b, "type"));
}

static bool holds(const json_t *list, const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (same_key(json_array_get(list, i), wanted)) {
            return true;
        }
    }
    return false;
}

/* The names of those of one list that are not in the other. */
static json_t *names_beyond(const json_t *list, const json_t *other)
{
    json_t *names = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        if (!holds(other, entry) &&
            json_array_append(names, json_object_get(entry, "name")) != 0) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

HF_STATUS manifest_compare(const json_t *manifest,
                           const struct token_key_report *keys, size_t count,
                           json_t **out_missing, json_t **out_more)
{
    HF_OWNED(json_free) json_t *there = json_array();
    const json_t *wanted = json_object_get(manifest, "keys");
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(there, entry_of(&keys[i])) != 0) {
            return HF_E_NO_MEMORY;
        }
    }
    *out_missing = names_beyond(wanted, there);
    *out_more = names_beyond(there, wanted);
    if (*out_missing == NULL || *out_more == NULL) {
        json_decref(*out_missing);
        json_decref(*out_more);
        return HF_E_NO_MEMORY;
    }
    return HF_OK;
}
