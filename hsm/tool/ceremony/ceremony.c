#include "hsm/tool/ceremony/ceremony.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/tool/ceremony/observe.h"
#include "hsm/tool/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void json_free(json_t **json)
{
    json_decref(*json);
}

static void bytes_free(uint8_t **bytes)
{
    free(*bytes);
}

void ceremony_close(struct ceremony *ceremony)
{
    transcript_end(&ceremony->transcript);
    json_decref(ceremony->lines);
    pins_clear(&ceremony->pins);
    for (size_t i = 0; i < CUSTODIANS; i++) {
        custodian_free(ceremony->custodians[i]);
    }
    *ceremony = (struct ceremony){.transcript = {.fd = -1}};
}

HF_STATUS ceremony_custodians(struct ceremony *ceremony)
{
    struct tool *tool = ceremony->tool;
    for (size_t i = 0; i < CUSTODIANS; i++) {
        const char *path = i == 0 ? tool->options.values[OPTION_KEY]
                                  : tool->options.second[OPTION_KEY];
        uint8_t fingerprint[HF_SHA256_BYTES];
        HF_TRY(custodian_open(tool, path, &ceremony->custodians[i]));
        if (custodian_fingerprint(ceremony->custodians[i], fingerprint) !=
            HF_OK) {
            return tool_fail(tool, HF_E_INTERNAL,
                             "the public key of %s cannot be written", path);
        }
        hex_encode(fingerprint, sizeof fingerprint, ceremony->fingerprints[i],
                   CEREMONY_FINGERPRINT_TEXT);
    }
    if (strcmp(ceremony->fingerprints[0], ceremony->fingerprints[1]) == 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "both --key are the same custodian's: a ceremony "
                         "needs two");
    }
    return HF_OK;
}

HF_STATUS ceremony_append(struct ceremony *ceremony, json_t *event)
{
    json_incref(event);
    enum hf_status status = transcript_append(&ceremony->transcript, event);
    if (status == HF_OK && json_array_append(ceremony->lines, event) != 0) {
        status = HF_E_NO_MEMORY;
    }
    json_decref(event);
    return status == HF_OK
               ? HF_OK
               : tool_fail(ceremony->tool, status,
                           "the transcript cannot be written (%s), so nothing "
                           "more is done; see to the disk, then: holdfast-hsm "
                           "ceremony resume",
                           hf_status_text(status));
}

const json_t *ceremony_plan(const struct ceremony *ceremony)
{
    return json_object_get(json_array_get(ceremony->lines, 0), "plan");
}

size_t ceremony_steps(const struct ceremony *ceremony)
{
    return json_array_size(ceremony_plan(ceremony));
}

static bool is_event(const json_t *line, const char *event)
{
    const char *its = json_string_value(json_object_get(line, "event"));
    return its != NULL && strcmp(its, event) == 0;
}

static bool is_of_step(const json_t *line, size_t step)
{
    const json_t *its = json_object_get(line, "step");
    return json_is_integer(its) && json_integer_value(its) == (json_int_t)step;
}

const json_t *ceremony_first(const struct ceremony *ceremony, size_t step)
{
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        const json_t *line = json_array_get(ceremony->lines, i);
        if (is_event(line, "step") && is_of_step(line, step)) {
            return json_object_get(line, "before");
        }
    }
    return NULL;
}

static size_t count_of(const struct ceremony *ceremony, const char *event,
                       size_t step)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        const json_t *line = json_array_get(ceremony->lines, i);
        count += is_event(line, event) && is_of_step(line, step) ? 1 : 0;
    }
    return count;
}

bool ceremony_has(const struct ceremony *ceremony, const char *event,
                  size_t step)
{
    return count_of(ceremony, event, step) > 0;
}

/* A step that a kill ended has no line that says how it ended, and one that the
 * token left without an answer none that says it was refused: only of these it
 * is not known what they did. */
static bool was_interrupted(const struct ceremony *ceremony, size_t step)
{
    size_t refused = 0;
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        const json_t *line = json_array_get(ceremony->lines, i);
        refused += is_of_step(line, step) &&
                           json_is_true(json_object_get(line, "refused"))
                       ? 1
                       : 0;
    }
    return count_of(ceremony, "step", step) > refused;
}

bool ceremony_has_any(const struct ceremony *ceremony, const char *event)
{
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        if (is_event(json_array_get(ceremony->lines, i), event)) {
            return true;
        }
    }
    return false;
}

HF_STATUS ceremony_step_tool(struct ceremony *ceremony, size_t step,
                             struct plan_step *out_step, struct tool *out_tool)
{
    static const enum option_id lent[] = {
        OPTION_MODULE,    OPTION_TOKEN,   OPTION_SERIAL,        OPTION_IN_USE,
        OPTION_SYNC_PATH, OPTION_DRY_RUN, OPTION_IN_USE_PUBLIC,
    };
    const struct tool *tool = ceremony->tool;
    if (plan_step(ceremony_plan(ceremony), step, out_step) != HF_OK) {
        return tool_fail(ceremony->tool, HF_E_CORRUPT,
                         "step %zu is none that this holdfast-hsm knows: go on "
                         "with the version that began the ceremony",
                         step + 1);
    }
    *out_tool =
        (struct tool){.options = out_step->options, .pins = &ceremony->pins};
    for (size_t i = 0; i < HF_COUNT(lent); i++) {
        out_tool->options.values[lent[i]] = tool->options.values[lent[i]];
        out_tool->options.given[lent[i]] = tool->options.given[lent[i]];
    }
    return HF_OK;
}

/* The token's serial, as it was seen last; NULL where it never was there. */
static const char *serial_seen(const struct ceremony *ceremony)
{
    const char *serial = NULL;
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        const json_t *line = json_array_get(ceremony->lines, i);
        const json_t *seen = json_object_get(line, "after");
        seen = seen == NULL ? json_object_get(line, "before") : seen;
        const char *its = json_string_value(json_object_get(seen, "serial"));
        serial = its == NULL || its[0] == '\0' ? serial : its;
    }
    return serial;
}

HF_STATUS ceremony_token_check(struct ceremony *ceremony,
                               struct tool *step_tool)
{
    HF_OWNED(json_free) json_t *seen = NULL;
    const char *wanted = serial_seen(ceremony);
    enum hf_status status = observe_token(step_tool, true, &seen);
    if (status != HF_OK) {
        return tool_fail(ceremony->tool, status, "%s", step_tool->problem);
    }
    const char *its = json_string_value(json_object_get(seen, "serial"));
    if (wanted != NULL && its != NULL && its[0] != '\0' &&
        strcmp(wanted, its) != 0) {
        return tool_fail(ceremony->tool, HF_E_CONFLICT,
                         "this is the token %s, the ceremony is about %s of "
                         "the same label; nothing was done",
                         its, wanted);
    }
    return HF_OK;
}

static enum hf_status observe(struct ceremony *ceremony, struct tool *step_tool,
                              json_t **out_seen)
{
    /* which of two PINs is right may not be known before such a step */
    bool only_outside = tool_has(step_tool, OPTION_WHO);
    enum hf_status status = observe_token(step_tool, only_outside, out_seen);
    return status == HF_OK
               ? HF_OK
               : tool_fail(ceremony->tool, status, "%s", step_tool->problem);
}

/* Nothing was done, or what was done is undone. */
static bool is_refusal(enum hf_status status)
{
    enum hf_class class = hf_status_class(status);
    return class == HF_CLASS_CALLER || class == HF_CLASS_DENIED ||
           class == HF_CLASS_CONFLICT || status == HF_E_NOT_FOUND;
}

static enum hf_status step_failed(struct ceremony *ceremony, size_t step,
                                  enum hf_status status, const char *problem)
{
    HF_TRY(ceremony_append(
        ceremony,
        json_pack("{s:s, s:i, s:s, s:b, s:s}", "event", "failed", "step",
                  (int)step, "status", hf_status_name(status), "refused",
                  (int)is_refusal(status), "message", problem)));
    return tool_fail(ceremony->tool, status,
                     "step %zu did not succeed: %.500s. Mend that, then: "
                     "holdfast-hsm ceremony resume; or take back what was "
                     "done: holdfast-hsm ceremony undo",
                     step + 1, problem);
}

static enum hf_status run_step(struct ceremony *ceremony, size_t step)
{
    HF_OWNED(json_free) json_t *before = NULL;
    HF_OWNED(json_free) json_t *answer = NULL;
    HF_OWNED(json_free) json_t *after = NULL;
    struct plan_step planned;
    struct tool tool;
    bool interrupted = was_interrupted(ceremony, step);
    HF_TRY(ceremony_step_tool(ceremony, step, &planned, &tool));
    HF_TRY(ceremony_token_check(ceremony, &tool));
    HF_TRY(observe(ceremony, &tool, &before));
    HF_TRY(ceremony_append(
        ceremony,
        json_pack("{s:s, s:i, s:s, s:O}", "event", "step", "step", (int)step,
                  "does", planned.options.command->summary, "before", before)));
    tool.answer = &answer;
    ceremony->pins.resumed = interrupted;
    ceremony->pins.found = ceremony_first(ceremony, step);
    enum hf_status status = planned.options.command->run(&tool);
    if (status != HF_OK) {
        return step_failed(ceremony, step, status, tool.problem);
    }
    HF_TRY(observe(ceremony, &tool, &after));
    return ceremony_append(
        ceremony, json_pack("{s:s, s:i, s:O?, s:O}", "event", "done", "step",
                            (int)step, "answer", answer, "after", after));
}

HF_STATUS ceremony_run(struct ceremony *ceremony)
{
    for (size_t step = 0; step < ceremony_steps(ceremony); step++) {
        if (!ceremony_has(ceremony, "done", step)) {
            HF_TRY(run_step(ceremony, step));
        }
    }
    return HF_OK;
}

static enum hf_status write_beside(struct ceremony *ceremony,
                                   const char *suffix, struct bytes content)
{
    char path[PATH_MAX];
    const char *transcript = tool_value(ceremony->tool, OPTION_TRANSCRIPT);
    int len = snprintf(path, sizeof path, "%s%s", transcript, suffix);
    enum hf_status status = len < 0 || (size_t)len >= sizeof path
                                ? HF_E_LIMIT
                                : file_create_whole(path, 0644, content);
    if (status == HF_E_EXISTS && file_holds(path, content)) {
        return HF_OK;
    }
    return status == HF_OK
               ? HF_OK
               : tool_fail(ceremony->tool, status, "%s cannot be written: %s",
                           path, hf_status_text(status));
}

/* A signature that is there and good stays: those of P-256 differ each time. */
static enum hf_status sign_one(struct ceremony *ceremony, size_t which,
                               struct bytes statement)
{
    HF_OWNED(bytes_free) uint8_t *there = NULL;
    char pem[CUSTODIAN_PEM_MAX_BYTES];
    char path[PATH_MAX];
    char suffix[16];
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t pem_len = 0;
    size_t len = 0;
    snprintf(suffix, sizeof suffix, ".%zu.sig", which + 1);
    snprintf(path, sizeof path, "%s%s",
             tool_value(ceremony->tool, OPTION_TRANSCRIPT), suffix);
    if (file_read(path, sizeof signature, &there, &len) == HF_OK &&
        custodian_public_pem(ceremony->custodians[which], pem, &pem_len) ==
            HF_OK &&
        signature_verify((struct bytes){(uint8_t *)pem, pem_len}, statement,
                         (struct bytes){there, len}) == HF_OK) {
        return HF_OK;
    }
    enum hf_status status =
        custodian_sign(ceremony->custodians[which], statement, signature, &len);
    if (status != HF_OK) {
        return tool_fail(ceremony->tool, status, "custodian %zu cannot sign",
                         which + 1);
    }
    return write_beside(ceremony, suffix, (struct bytes){signature, len});
}

static enum hf_status sign_all(struct ceremony *ceremony)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    uint8_t statement[SIGNED_MAX_BYTES];
    size_t len = 0;
    size_t statement_len = 0;
    enum hf_status status =
        file_read(tool_value(ceremony->tool, OPTION_TRANSCRIPT),
                  TRANSCRIPT_MAX_BYTES, &text, &len);
    if (status == HF_OK) {
        status = signed_write(ceremony->lines, (struct bytes){text, len},
                              statement, &statement_len);
    }
    if (status != HF_OK) {
        return tool_fail(ceremony->tool, status,
                         "the transcript cannot be read again: %s",
                         hf_status_text(status));
    }
    HF_TRY(write_beside(ceremony, ".statement",
                        (struct bytes){statement, statement_len}));
    for (size_t i = 0; i < CUSTODIANS; i++) {
        HF_TRY(sign_one(ceremony, i, (struct bytes){statement, statement_len}));
    }
    return HF_OK;
}

HF_STATUS ceremony_end(struct ceremony *ceremony, const char *outcome)
{
    const char *serial = serial_seen(ceremony);
    if (!ceremony_has_any(ceremony, "end")) {
        HF_TRY(ceremony_append(ceremony,
                               json_pack("{s:s, s:s, s:s}", "event", "end",
                                         "outcome", outcome, "serial",
                                         serial == NULL ? "none" : serial)));
    }
    return sign_all(ceremony);
}
