/* ak verify-absent: a fresh process looks whether an availability key is gone
 * no object bears its label or its CKA_ID, and none of that CKA_ID
 * opens the copy it made. Exit code 0: it is gone; 5: it is not; anything else:
 * nothing is known. */
#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <stdlib.h>
#include <string.h>

#define FOUND_MAX      64
#define LIST_MS        30000
#define WRAPPED_OF_AES HF_KWP_BYTES

static enum hf_status decode(struct tool *tool, enum option_id id,
                             const char *name, uint8_t *out, size_t cap,
                             size_t *out_len)
{
    if (hex_decode(tool_value(tool, id), out, cap, out_len) != HF_OK ||
        *out_len == 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "--%s is pairs of hexadecimal digits, at most %zu "
                         "bytes",
                         name, cap);
    }
    return HF_OK;
}

static enum hf_status
count_left(struct tool *tool, const struct session *session, size_t *out_count)
{
    struct token_key_report *reports = calloc(FOUND_MAX, sizeof *reports);
    struct token_request request = {
        .op = TOKEN_OP_LIST,
        .attempt_ms = LIST_MS,
        .u.list = {.reports = reports, .cap = FOUND_MAX},
    };
    struct token_list *list = &request.u.list;
    enum hf_status status =
        reports == NULL ? tool_fail(tool, HF_E_NO_MEMORY, "out of memory")
                        : HF_OK;
    if (status == HF_OK &&
        text_copy(list->label_prefix, sizeof list->label_prefix,
                  tool_value(tool, OPTION_LABEL_PREFIX)) != HF_OK) {
        status = tool_fail(tool, HF_E_INVALID, "--label-prefix is too long");
    }
    if (status == HF_OK) {
        status = decode(tool, OPTION_ID_PREFIX, "id-prefix", list->id_prefix,
                        sizeof list->id_prefix, &list->id_prefix_len);
    }
    if (status == HF_OK) {
        status = session_call(tool, session, &request, "list its keys");
        *out_count = list->count;
    }
    free(reports);
    return status;
}

/* What a missing key answers is believed only when it is confirmed. */
static enum hf_status
try_to_open(struct tool *tool, const struct session *session, bool *out_opened)
{
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t len = 0;
    struct token_request request = {
        .op = TOKEN_OP_UNWRAP,
        .u.unwrap = {.key = {.type = TOKEN_KEY_AES}},
    };
    struct token_key *key = &request.u.unwrap.key;
    HF_TRY(
        decode(tool, OPTION_ID, "id", key->id, sizeof key->id, &key->id_len));
    HF_TRY(
        decode(tool, OPTION_WRAPPED, "wrapped", wrapped, sizeof wrapped, &len));
    /* availability keys wrap by KWP, or are pairs and wrap by OAEP */
    bool aes = len == WRAPPED_OF_AES;
    key->type = aes ? TOKEN_KEY_AES : TOKEN_KEY_RSA;
    request.u.unwrap.suite =
        aes ? TOKEN_SUITE_AES_KWP : token_suite_preferred(&session->profile);
    request.u.unwrap.wrapped = (struct bytes){wrapped, len};
    enum hf_status status = token_call(&session->token, &request);
    *out_opened = status == HF_OK;
    if (status == HF_OK || status == HF_E_NOT_FOUND) {
        return HF_OK;
    }
    return tool_fail(tool, status,
                     "whether the key is gone is not known: %s (code %#lx)",
                     hf_status_text(status), request.rv);
}

HF_STATUS cmd_ak_verify_absent(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    size_t left = 0;
    bool opened = false;
    HF_TRY(session_open_plain(tool, &session));
    HF_TRY(count_left(tool, &session, &left));
    HF_TRY(try_to_open(tool, &session, &opened));
    if (left > 0 || opened) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "%zu objects bear its name, and the copy %s", left,
                         opened ? "opens" : "does not open");
    }
    return output_object(tool,
                         json_pack("{s:o, s:s, s:b, s:i, s:b}", "token",
                                   facts_token_uri(&session.profile), "serial",
                                   session.profile.serial, "absent", 1,
                                   "objects", 0, "opened", 0),
                         "No such key is there, and the copy does not open.");
}
