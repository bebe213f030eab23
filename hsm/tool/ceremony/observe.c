#include "hsm/tool/ceremony/observe.h"

#include "hsm/base/own.h"

#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"

#include <string.h>

static void json_free(json_t **json)
{
    json_decref(*json);
}

static json_t *key_seen(const struct token_key_report *key)
{
    return json_pack("{s:o, s:o, s:i, s:o, s:b, s:b, s:b, s:b}", "name",
                     output_text(key->label), "id",
                     output_hex((struct bytes){key->key.id, key->key.id_len}),
                     "bits", (int)key->bits, "public_key_sha256",
                     key->spki_len > 0
                         ? output_hex(BYTES_OF(key->key.fingerprint))
                         : json_null(),
                     "local", (int)key->local, "extractable",
                     (int)key->extractable, "sensitive", (int)key->sensitive,
                     "unwrap_template", (int)key->unwrap_template);
}

static enum hf_status look_inside(struct tool *tool, json_t *seen)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_TRY(session_open(tool, &session));
    json_t *keys = json_array();
    bool complete = true;
    for (size_t i = 0; i < session.key_count; i++) {
        complete &=
            json_array_append_new(keys, key_seen(&session.keys[i])) == 0;
    }
    complete &= json_object_set_new(seen, "keys", keys) == 0;
    complete &= json_object_set_new(seen, "custody_domain",
                                    session.has_custody
                                        ? output_text(session.custody.domain)
                                        : json_null()) == 0;
    return complete ? HF_OK : tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
}

HF_STATUS observe_token(struct tool *tool, bool only_outside, json_t **out_seen)
{
    HF_OWNED(json_free) json_t *seen = NULL;
    const char *module = NULL;
    struct pkcs11_token_info info = {0};
    HF_TRY(session_module(tool, &module));
    enum hf_status status = session_find(tool, module, &info);
    if (status == HF_E_NOT_FOUND) {
        *out_seen = json_pack("{s:b}", "present", 0);
        return *out_seen == NULL ? HF_E_NO_MEMORY : HF_OK;
    }
    HF_TRY(status);
    seen = json_pack(
        "{s:b, s:o, s:o, s:s}", "present", 1, "label", output_text(info.label),
        "serial", output_text(info.serial), "state", session_state_text(&info));
    if (seen == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    if (info.pin_set && !only_outside) {
        HF_TRY(look_inside(tool, seen));
    }
    *out_seen = HF_GIVE(seen);
    return HF_OK;
}

const json_t *observe_key(const json_t *seen, const char *id)
{
    const json_t *keys = json_object_get(seen, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        const char *its = json_string_value(json_object_get(key, "id"));
        if (its != NULL && strcmp(its, id) == 0) {
            return key;
        }
    }
    return NULL;
}

bool observe_present(const json_t *seen)
{
    return json_is_true(json_object_get(seen, "present"));
}
