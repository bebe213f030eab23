/* token backup, check-restored. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/token/names.h"
#include "hsm/tool/backup/folder.h"
#include "hsm/tool/backup/manifest.h"
#include "hsm/tool/byok/proof.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/file.h"
#include "hsm/tool/output.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/session.h"
#include "hsm/tool/softhsm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void json_free(json_t **json)
{
    json_decref(*json);
}

static void bytes_free(uint8_t **bytes)
{
    free(*bytes);
}

static void text_free(char **text)
{
    free(*text);
}

/* a backup of availability keys would outlive their deletion. */
static enum hf_status no_availability_keys(struct tool *tool,
                                           const struct session *session)
{
    for (size_t i = 0; i < session->key_count; i++) {
        const struct token_key_report *key = &session->keys[i];
        if (key->key.type == TOKEN_KEY_AES ||
            strncmp(key->label, TOKEN_NAME_AVAILABILITY,
                    strlen(TOKEN_NAME_AVAILABILITY)) == 0) {
            return tool_fail(tool, HF_E_DENIED,
                             "the token %s holds availability keys, which are "
                             "never backed up: a backup would outlive a purge "
                             "(R-15.5). Mirror the token instead",
                             session->profile.label);
        }
    }
    return HF_OK;
}

/* Of this token, with the keys it has and no others? */
static bool is_its_manifest(const char *path, const struct session *session)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    HF_OWNED(json_free) json_t *manifest = NULL;
    HF_OWNED(json_free) json_t *missing = NULL;
    HF_OWNED(json_free) json_t *more = NULL;
    size_t len = 0;
    if (file_read(path, MANIFEST_MAX_BYTES, &text, &len) != HF_OK ||
        manifest_read((struct bytes){text, len}, &manifest) != HF_OK) {
        return false;
    }
    const char *serial =
        json_string_value(json_object_get(manifest, "token_serial"));
    return serial != NULL && strcmp(serial, session->profile.serial) == 0 &&
           manifest_compare(manifest, session->keys, session->key_count,
                            &missing, &more) == HF_OK &&
           json_array_size(missing) == 0 && json_array_size(more) == 0;
}

static enum hf_status
write_manifest(struct tool *tool, const struct session *session, bool *out_made)
{
    HF_OWNED(json_free)
    json_t *manifest =
        manifest_make(&session->profile, session->keys, session->key_count);
    HF_OWNED(text_free)
    char *text = manifest == NULL ? NULL : json_dumps(manifest, JSON_INDENT(2));
    const char *path = tool_value(tool, OPTION_MANIFEST);
    if (text == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    enum hf_status status = file_create_whole(path, 0644, bytes_of_text(text));
    *out_made = status == HF_OK;
    if (status == HF_E_EXISTS && pins_resumed(tool) &&
        is_its_manifest(path, session)) {
        return HF_OK; /* of before the interruption */
    }
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status,
                                       "the manifest %s cannot be written: %s",
                                       path, hf_status_text(status));
}

static enum hf_status find_folder(struct tool *tool,
                                  const struct session *session,
                                  char out[PATH_MAX])
{
    if (!softhsm_is(session->profile.manufacturer)) {
        return tool_fail(tool, HF_E_UNSUPPORTED,
                         "a token of %s is backed up by its vendor's own tool, "
                         "which Holdfast does not know: leave --out out, and "
                         "keep the --manifest beside that backup",
                         session->profile.manufacturer);
    }
    enum hf_status status =
        softhsm_folder_of(session->profile.serial, out, PATH_MAX);
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status,
                           "SoftHSM's folder of the token %s is not found",
                           session->profile.label);
}

static enum hf_status copy(struct tool *tool, const char *folder,
                           size_t *out_files)
{
    const char *out = tool_value(tool, OPTION_OUT);
    enum hf_status status =
        folder_copy(folder, out, pins_resumed(tool), out_files);
    if (status == HF_E_EXISTS) {
        return tool_fail(tool, status,
                         "%s or %s.part is there, and is not what this step "
                         "made of the token as it is: move it away",
                         out, out);
    }
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status, "%s cannot be copied to %s: %s",
                           folder, out, hf_status_text(status));
}

/* A manifest without its copy would only be in the way of the next call. */
static enum hf_status write_both(struct tool *tool,
                                 const struct session *session,
                                 const char *folder, size_t *out_files)
{
    bool made = false;
    HF_TRY(write_manifest(tool, session, &made));
    if (!tool_has(tool, OPTION_OUT)) {
        return HF_OK;
    }
    enum hf_status status = copy(tool, folder, out_files);
    if (status != HF_OK && made) {
        unlink(tool_value(tool, OPTION_MANIFEST));
    }
    return status;
}

HF_STATUS cmd_token_backup(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    const char *out = tool_value(tool, OPTION_OUT);
    char folder[PATH_MAX] = "";
    size_t files = 0;
    HF_TRY(session_open(tool, &session));
    HF_TRY(no_availability_keys(tool, &session));
    if (out != NULL) {
        HF_TRY(find_folder(tool, &session, folder));
    }
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, out == NULL ? "write the manifest"
                                            : "copy the token's folder and "
                                              "write the manifest");
    }
    HF_TRY(write_both(tool, &session, folder, &files));
    return output_object(
        tool,
        json_pack("{s:o, s:i, s:i, s:b}", "manifest",
                  output_text(tool_value(tool, OPTION_MANIFEST)), "keys",
                  (int)session.key_count, "files", (int)files, "copied",
                  (int)(out != NULL)),
        out != NULL
            ? "A backup of SoftHSM is a copy of its folder: whoever has it and "
              "the PIN has the keys. To restore it: put the folder back into "
              "SoftHSM's token directory, under the name it had, then "
              "holdfast-hsm token check-restored."
            : "Only the manifest was written: back up the token itself by its "
              "vendor's tool, and check a restored one by holdfast-hsm token "
              "check-restored.");
}

/* Every key that unwraps does so, by what its manifest says it is. */
static enum hf_status
prove_all(struct tool *tool, const struct session *session, size_t *out_count)
{
    *out_count = 0;
    for (size_t i = 0; i < session->key_count; i++) {
        const struct token_key_report *key = &session->keys[i];
        if (key->key.type == TOKEN_KEY_RSA && key->can_unwrap) {
            HF_TRY(proof_of_key(tool, session, key));
            *out_count += 1;
        }
    }
    return HF_OK;
}

static enum hf_status compare(struct tool *tool, const struct session *session,
                              json_t **out_more)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    HF_OWNED(json_free) json_t *manifest = NULL;
    HF_OWNED(json_free) json_t *missing = NULL;
    const char *path = tool_value(tool, OPTION_MANIFEST);
    size_t len = 0;
    enum hf_status status = file_read(path, MANIFEST_MAX_BYTES, &text, &len);
    if (status == HF_OK) {
        status = manifest_read((struct bytes){text, len}, &manifest);
    }
    if (status == HF_OK) {
        status = manifest_compare(manifest, session->keys, session->key_count,
                                  &missing, out_more);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the manifest %s cannot be read: %s",
                         path, hf_status_text(status));
    }
    if (json_array_size(missing) > 0) {
        return tool_fail(
            tool, HF_E_CONFLICT,
            "%zu keys of the manifest are missing in the token %s, or are "
            "others under their id; the first is %s. Do not put this token "
            "into service",
            json_array_size(missing), session->profile.label,
            json_string_value(json_array_get(missing, 0)));
    }
    return HF_OK;
}

HF_STATUS cmd_token_check_restored(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    HF_OWNED(json_free) json_t *more = NULL;
    size_t proved = 0;
    HF_TRY(session_open(tool, &session));
    HF_TRY(compare(tool, &session, &more));
    HF_TRY(prove_all(tool, &session, &proved));
    return output_object(
        tool,
        json_pack("{s:b, s:o, s:i, s:i, s:O}", "complete", 1, "serial",
                  output_text(session.profile.serial), "keys",
                  (int)session.key_count, "proved", (int)proved, "more", more),
        "Every key of the manifest is there, by name, id and fingerprint, and "
        "those that unwrap do. Now the custodian signs what the token is "
        "(holdfast-hsm token enroll) and the service binds its keys again: "
        "holdfast token rebind.");
}
