#include "hsm/tool/in_use.h"

#include "hsm/base/own.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/signature.h"

#include "hsm/tool/file.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT             "holdfast-catalogue-1"
#define CATALOGUE_BYTES    (4u << 20)
#define PUBLIC_BYTES       4096
#define CLOCK_APART_MS     (5 * 60 * 1000ll)
#define DEPENDS_TEXT_BYTES 400

static void json_free(json_t **json)
{
    json_decref(*json);
}

static void bytes_free(uint8_t **bytes)
{
    free(*bytes);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* The name under which the service knows the token with this serial. */
static const char *token_name(const json_t *catalogue, const char *serial)
{
    const json_t *tokens = json_object_get(catalogue, "tokens");
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        if (strcmp(text_of(token, "serial"), serial) == 0) {
            return text_of(token, "name");
        }
    }
    return NULL;
}

static void add_name(char *out, size_t cap, const char *name)
{
    size_t len = strlen(out);
    snprintf(out + len, cap - len, "%s%s", len == 0 ? "" : ", ", name);
}

/* Every DEP that has a generation under this version of this key. One that is
 * PURGED has no wrapped copies any more. */
static void add_deps(const json_t *catalogue, const char *key,
                     json_int_t version, char *out, size_t cap)
{
    size_t i = 0;
    size_t g = 0;
    size_t k = 0;
    json_t *dep = NULL;
    json_t *generation = NULL;
    json_t *used = NULL;
    json_array_foreach(json_object_get(catalogue, "deps"), i, dep)
    {
        bool uses = false;
        json_array_foreach(json_object_get(dep, "generations"), g, generation)
        {
            json_array_foreach(json_object_get(generation, "customerKeys"), k,
                               used)
            {
                uses |= strcmp(text_of(used, "name"), key) == 0 &&
                        json_integer_value(json_object_get(used, "version")) ==
                            version;
            }
        }
        if (uses && strcmp(text_of(dep, "state"), "PURGED") != 0) {
            add_name(out, cap, text_of(dep, "name"));
        }
    }
}

HF_STATUS in_use_depends(const json_t *catalogue, const char *serial,
                         const struct token_key_report *key, char *out,
                         size_t cap)
{
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    const char *token = token_name(catalogue, serial);
    const json_t *keys = json_object_get(catalogue, "customerKeys");
    out[0] = '\0';
    if (token == NULL) {
        return HF_E_NOT_FOUND;
    }
    hex_encode(key->key.fingerprint, HF_SHA256_BYTES, fingerprint,
               sizeof fingerprint);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *known = json_array_get(keys, i);
        const json_t *versions = json_object_get(known, "versions");
        for (size_t v = 0; v < json_array_size(versions); v++) {
            const json_t *version = json_array_get(versions, v);
            if (strcmp(text_of(known, "token"), token) == 0 &&
                strcmp(text_of(version, "fingerprint"), fingerprint) == 0) {
                add_deps(
                    catalogue, text_of(known, "name"),
                    json_integer_value(json_object_get(version, "version")),
                    out, cap);
            }
        }
    }
    return HF_OK;
}

static enum hf_status read_part(struct tool *tool, const char *path, size_t max,
                                uint8_t **out, size_t *out_len)
{
    enum hf_status status = file_read(path, max, out, out_len);
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status, "%s cannot be read: %s",
                                       path, hf_status_text(status));
}

/* FILE.json and FILE.sig stand side by side. */
static enum hf_status signature_path(struct tool *tool, const char *json,
                                     char *out, size_t cap)
{
    size_t len = strlen(json);
    if (len < strlen(".json") || len >= cap ||
        strcmp(json + len - strlen(".json"), ".json") != 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "--in-use is the .json that holdfast catalogue backup "
                         "wrote, with its .sig beside it");
    }
    snprintf(out, cap, "%.*s.sig", (int)(len - strlen(".json")), json);
    return HF_OK;
}

static enum hf_status check_signed(struct tool *tool, struct bytes text)
{
    HF_OWNED(bytes_free) uint8_t *signature = NULL;
    HF_OWNED(bytes_free) uint8_t *key = NULL;
    char path[1024];
    size_t signature_len = 0;
    size_t key_len = 0;
    const char *public_path = tool_value(tool, OPTION_IN_USE_PUBLIC);
    if (public_path == NULL) {
        return tool_fail(tool, HF_E_INVALID,
                         "--in-use needs --in-use-public FILE: the service's "
                         "audit key, as you keep it, not as it lies beside");
    }
    HF_TRY(signature_path(tool, tool_value(tool, OPTION_IN_USE), path,
                          sizeof path));
    HF_TRY(read_part(tool, path, PUBLIC_BYTES, &signature, &signature_len));
    HF_TRY(read_part(tool, public_path, PUBLIC_BYTES, &key, &key_len));
    if (signature_verify((struct bytes){key, key_len}, text,
                         (struct bytes){signature, signature_len}) != HF_OK) {
        return tool_fail(tool, HF_E_DENIED,
                         "what --in-use says is not signed by the key of "
                         "--in-use-public; nothing was changed");
    }
    return HF_OK;
}

static enum hf_status load(struct tool *tool, json_t **out_catalogue)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    HF_OWNED(json_free) json_t *catalogue = NULL;
    size_t len = 0;
    HF_TRY(read_part(tool, tool_value(tool, OPTION_IN_USE), CATALOGUE_BYTES,
                     &text, &len));
    HF_TRY(check_signed(tool, (struct bytes){text, len}));
    catalogue = json_loadb((const char *)text, len, 0, NULL);
    if (strcmp(text_of(catalogue, "format"), FORMAT) != 0) {
        return tool_fail(tool, HF_E_DENIED,
                         "what --in-use names is no backup of a catalogue");
    }
    int64_t age = clock_wall_ms(clock_system()) -
                  json_integer_value(json_object_get(catalogue, "timeMs"));
    if (age > IN_USE_MAX_AGE_MS || age < -CLOCK_APART_MS) {
        return tool_fail(tool, HF_E_DENIED,
                         "what --in-use says is %s: take a new one with "
                         "holdfast catalogue backup; nothing was changed",
                         age < 0 ? "of a time to come"
                                 : "more than an hour old");
    }
    *out_catalogue = HF_GIVE(catalogue);
    return HF_OK;
}

static enum hf_status refuse_by(struct tool *tool, const json_t *catalogue,
                                const char *what, const char *serial,
                                const struct token_key_report *key)
{
    char depends[DEPENDS_TEXT_BYTES];
    enum hf_status status =
        in_use_depends(catalogue, serial, key, depends, sizeof depends);
    if (status != HF_OK) {
        return tool_fail(tool, HF_E_DENIED,
                         "%.120s: the service of --in-use does not know the "
                         "token %s, and says nothing about it; nothing was "
                         "changed",
                         what, serial);
    }
    if (depends[0] != '\0') {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "%.120s is refused: the key %.64s still opens %.300s. "
                         "Give them another key first (holdfast dep refresh or "
                         "dep replace), or purge them; nothing was "
                         "changed",
                         what, key->label, depends);
    }
    return HF_OK;
}

HF_STATUS in_use_refuse(struct tool *tool, const char *what, const char *serial,
                        const struct token_key_report *keys, size_t count)
{
    HF_OWNED(json_free) json_t *catalogue = NULL;
    if (!tool_has(tool, OPTION_IN_USE)) {
        return tool_has(tool, OPTION_DRY_RUN)
                   ? HF_OK
                   : tool_two_agree(tool, what, serial);
    }
    HF_TRY(load(tool, &catalogue));
    for (size_t i = 0; i < count; i++) {
        if (keys[i].spki_len > 0) {
            HF_TRY(refuse_by(tool, catalogue, what, serial, &keys[i]));
        }
    }
    return HF_OK;
}
