/* ceremony start, resume, undo, status, verify. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/text.h"

#include "hsm/tool/ceremony/ceremony.h"
#include "hsm/tool/ceremony/observe.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/file.h"
#include "hsm/tool/output.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC_MAX_BYTES 4096

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

static enum hf_status read_plan(struct tool *tool, json_t **out_plan)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    char why[PLAN_WHY_BYTES] = "out of memory";
    size_t len = 0;
    const char *path = tool_value(tool, OPTION_PLAN);
    enum hf_status status = file_read(path, PLAN_MAX_BYTES, &text, &len);
    if (status != HF_OK) {
        return tool_fail(tool, status, "the plan %s cannot be read: %s", path,
                         hf_status_text(status));
    }
    status = plan_read((struct bytes){text, len}, out_plan, why);
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status, "the plan %s, %s", path, why);
}

static enum hf_status begin(struct ceremony *ceremony, json_t *plan)
{
    struct tool *tool = ceremony->tool;
    const char *path = tool_value(tool, OPTION_TRANSCRIPT);
    const char *name = tool_value(tool, OPTION_NAME);
    enum hf_status status = transcript_begin(path, &ceremony->transcript);
    if (status == HF_E_EXISTS) {
        return tool_fail(tool, status,
                         "the transcript %s is there: that ceremony goes on "
                         "with holdfast-hsm ceremony resume; another one needs "
                         "another --transcript",
                         path);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the transcript %s cannot be made: %s",
                         path, hf_status_text(status));
    }
    return ceremony_append(
        ceremony,
        json_pack("{s:s, s:s, s:s, s:s, s:O, s:[s, s]}", "event", "begin",
                  "name", name, "token", tool_value(tool, OPTION_TOKEN), "tool",
                  HF_VERSION, "plan", plan, "custodians",
                  ceremony->fingerprints[0], ceremony->fingerprints[1]));
}

static json_t *summary(const struct ceremony *ceremony, const char *state)
{
    size_t steps = ceremony_steps(ceremony);
    size_t done = 0;
    for (size_t i = 0; i < steps; i++) {
        done += ceremony_has(ceremony, "done", i) ? 1 : 0;
    }
    const json_t *begin = json_array_get(ceremony->lines, 0);
    return json_pack("{s:s, s:O, s:O, s:s, s:i, s:i, s:i}", "transcript",
                     tool_value(ceremony->tool, OPTION_TRANSCRIPT), "name",
                     json_object_get(begin, "name"), "token",
                     json_object_get(begin, "token"), "state", state, "steps",
                     (int)steps, "done", (int)done, "lines",
                     (int)json_array_size(ceremony->lines));
}

static enum hf_status finish(struct ceremony *ceremony, const char *outcome,
                             const char *note)
{
    HF_TRY(ceremony_end(ceremony, outcome));
    return output_object(ceremony->tool, summary(ceremony, outcome), note);
}

/* What one step would do. What it needs may only be there once the steps above
 * it are done: a ceremony begins with a token that is not there. */
static enum hf_status would_do(struct ceremony *ceremony, size_t step,
                               char out[256])
{
    HF_OWNED(json_free) json_t *answer = NULL;
    struct plan_step planned;
    struct tool tool;
    HF_TRY(ceremony_step_tool(ceremony, step, &planned, &tool));
    tool.answer = &answer;
    enum hf_status status = planned.options.command->run(&tool);
    const char *would = json_string_value(json_object_get(answer, "would"));
    if (status == HF_E_NOT_FOUND && step > 0) {
        would = "can be looked at when the steps above are done";
    } else if (status != HF_OK) {
        return tool_fail(ceremony->tool, status,
                         "step %zu would not succeed: %.500s", step + 1,
                         tool.problem);
    }
    snprintf(out, 256, "%s",
             would == NULL ? "do nothing: all is there" : would);
    return HF_OK;
}

static enum hf_status dry_run(struct ceremony *ceremony, json_t *plan)
{
    static const struct output_column columns[] = {
        {"step",  "STEP" },
        {"does",  "DOES" },
        {"would", "WOULD"},
    };
    HF_OWNED(json_free) json_t *steps = json_array();
    ceremony->lines = json_pack("[{s:O}]", "plan", plan);
    for (size_t i = 0; i < json_array_size(plan); i++) {
        HF_OWNED(text_free) char *text = plan_text(plan, i);
        struct plan_step planned;
        char would[256];
        HF_TRY(would_do(ceremony, i, would));
        if (plan_step(plan, i, &planned) != HF_OK ||
            json_array_append_new(
                steps, json_pack("{s:s?, s:s, s:s}", "step", text, "does",
                                 planned.options.command->summary, "would",
                                 would)) != 0) {
            return tool_fail(ceremony->tool, HF_E_NO_MEMORY, "out of memory");
        }
    }
    return output_list(ceremony->tool,
                       json_pack("{s:b, s:O}", "dry_run", 1, "steps", steps),
                       "steps", columns, HF_COUNT(columns));
}

HF_STATUS cmd_ceremony_start(struct tool *tool)
{
    HF_OWNED(json_free) json_t *plan = NULL;
    HF_OWNED(ceremony_close)
    struct ceremony ceremony = {
        .tool = tool, .transcript = {.fd = -1}, .pins = {.lender = tool}};
    const char *name = tool_value(tool, OPTION_NAME);
    if (strlen(name) > HF_NAME_MAX_BYTES ||
        !text_is_plain(bytes_of_text(name))) {
        return tool_fail(tool, HF_E_INVALID,
                         "--name has 1 to %d bytes of plain text",
                         HF_NAME_MAX_BYTES);
    }
    HF_TRY(read_plan(tool, &plan));
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_run(&ceremony, plan);
    }
    HF_TRY(ceremony_custodians(&ceremony));
    ceremony.lines = json_array();
    HF_TRY(begin(&ceremony, plan));
    HF_TRY(ceremony_run(&ceremony));
    return finish(&ceremony, "completed",
                  "The ceremony is complete and signed by both: keep the "
                  "transcript with its .statement and .sig files.");
}

static enum hf_status open_there(struct ceremony *ceremony, size_t *out_torn)
{
    struct tool *tool = ceremony->tool;
    struct transcript_fault fault = {0};
    const char *path = tool_value(tool, OPTION_TRANSCRIPT);
    enum hf_status status = transcript_continue(
        path, &ceremony->transcript, &ceremony->lines, out_torn, &fault);
    if (status == HF_E_CORRUPT) {
        return tool_fail(tool, status,
                         "the transcript %s was touched: line %zu: %s; nothing "
                         "was done",
                         path, fault.line, fault.why);
    }
    if (status == HF_E_CONFLICT) {
        return tool_fail(tool, status,
                         "another holdfast-hsm is at this ceremony");
    }
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status, "the transcript %s cannot be read: %s",
                           path, hf_status_text(status));
}

/* Whoever goes on must be who began, about the same token. */
static enum hf_status same_ceremony(struct ceremony *ceremony)
{
    struct tool *tool = ceremony->tool;
    const json_t *begin = json_array_get(ceremony->lines, 0);
    const json_t *custodians = json_object_get(begin, "custodians");
    const char *token = json_string_value(json_object_get(begin, "token"));
    for (size_t i = 0; i < CUSTODIANS; i++) {
        const char *its = json_string_value(json_array_get(custodians, i));
        if (its == NULL || strcmp(its, ceremony->fingerprints[i]) != 0) {
            return tool_fail(tool, HF_E_DENIED,
                             "the ceremony is of other custodians than the "
                             "owners of these --key, in this order");
        }
    }
    if (token == NULL || strcmp(token, tool_value(tool, OPTION_TOKEN)) != 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "the ceremony is about the token %s",
                         token == NULL ? "?" : token);
    }
    return HF_OK;
}

/* A kill before the first line was whole leaves no ceremony. */
static enum hf_status go_on(struct ceremony *ceremony)
{
    struct tool *tool = ceremony->tool;
    size_t torn = 0;
    HF_TRY(ceremony_custodians(ceremony));
    HF_TRY(open_there(ceremony, &torn));
    if (json_array_size(ceremony->lines) == 0) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "nothing was begun: remove %s and start the ceremony",
                         tool_value(tool, OPTION_TRANSCRIPT));
    }
    HF_TRY(same_ceremony(ceremony));
    if (ceremony_has_any(ceremony, "end")) {
        return HF_OK;
    }
    return ceremony_append(ceremony, json_pack("{s:s, s:i}", "event", "resume",
                                               "torn_bytes", (int)torn));
}

static enum hf_status undo(struct ceremony *ceremony)
{
    const char *outcome = NULL;
    HF_TRY(ceremony_undo(ceremony, &outcome));
    return finish(ceremony, outcome,
                  strcmp(outcome, "undone") == 0
                      ? "What the ceremony made is taken back; the transcript "
                        "is signed by both."
                      : "What could be taken back is; the transcript says what "
                        "stays, and is signed by both.");
}

HF_STATUS cmd_ceremony_resume(struct tool *tool)
{
    HF_OWNED(ceremony_close)
    struct ceremony ceremony = {
        .tool = tool, .transcript = {.fd = -1}, .pins = {.lender = tool}};
    HF_TRY(go_on(&ceremony));
    if (ceremony_has_any(&ceremony, "end")) {
        const json_t *end =
            json_array_get(ceremony.lines, json_array_size(ceremony.lines) - 1);
        const char *outcome =
            json_string_value(json_object_get(end, "outcome"));
        return finish(&ceremony, outcome == NULL ? "?" : outcome,
                      "The ceremony had ended; its signatures are there.");
    }
    if (ceremony_has_any(&ceremony, "undo")) {
        return undo(&ceremony);
    }
    HF_TRY(ceremony_run(&ceremony));
    return finish(&ceremony, "completed",
                  "The ceremony is complete and signed by both: keep the "
                  "transcript with its .statement and .sig files.");
}

HF_STATUS cmd_ceremony_undo(struct tool *tool)
{
    HF_OWNED(ceremony_close)
    struct ceremony ceremony = {
        .tool = tool, .transcript = {.fd = -1}, .pins = {.lender = tool}};
    HF_TRY(go_on(&ceremony));
    if (ceremony_has_any(&ceremony, "end")) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the ceremony has ended and is signed: what it made "
                         "is taken back by commands or a ceremony of its own");
    }
    return undo(&ceremony);
}

static const char *state_of(const struct ceremony *ceremony)
{
    const json_t *end =
        json_array_get(ceremony->lines, json_array_size(ceremony->lines) - 1);
    const char *outcome = json_string_value(json_object_get(end, "outcome"));
    if (outcome != NULL) {
        return outcome;
    }
    return ceremony_has_any(ceremony, "undo")
               ? "being undone: holdfast-hsm ceremony undo goes on"
               : "interrupted: holdfast-hsm ceremony resume, or undo";
}

HF_STATUS cmd_ceremony_status(struct tool *tool)
{
    HF_OWNED(bytes_free) uint8_t *text = NULL;
    HF_OWNED(ceremony_close)
    struct ceremony ceremony = {.tool = tool, .transcript = {.fd = -1}};
    struct transcript_fault fault = {0};
    const char *path = tool_value(tool, OPTION_TRANSCRIPT);
    size_t len = 0;
    size_t whole = 0;
    enum hf_status status = file_read(path, TRANSCRIPT_MAX_BYTES, &text, &len);
    if (status == HF_OK) {
        status = transcript_check((struct bytes){text, len}, &ceremony.lines,
                                  &whole, &fault);
    }
    if (status == HF_OK && json_array_size(ceremony.lines) == 0) {
        fault = (struct transcript_fault){.line = 1, .why = "there is none"};
        status = HF_E_CORRUPT;
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the transcript %s: %s: line %zu: %s",
                         path, hf_status_text(status), fault.line, fault.why);
    }
    return output_object(tool, summary(&ceremony, state_of(&ceremony)), NULL);
}

static enum hf_status part(struct tool *tool, const char *path,
                           const char *suffix, size_t max, uint8_t **out_owned,
                           struct bytes *out)
{
    char whole[PATH_MAX];
    size_t len = 0;
    int path_len = snprintf(whole, sizeof whole, "%s%s", path, suffix);
    enum hf_status status = path_len < 0 || (size_t)path_len >= sizeof whole
                                ? HF_E_LIMIT
                                : file_read(whole, max, out_owned, &len);
    *out = (struct bytes){*out_owned, len};
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status, "%s cannot be read: %s",
                                       whole, hf_status_text(status));
}

static enum hf_status verify(struct tool *tool, struct signed_parts *parts,
                             uint8_t *owned[6], json_t **out_lines)
{
    const char *path = tool_value(tool, OPTION_TRANSCRIPT);
    struct transcript_fault fault = {0};
    HF_TRY(part(tool, path, "", TRANSCRIPT_MAX_BYTES, &owned[0],
                &parts->transcript));
    HF_TRY(part(tool, path, ".statement", SIGNED_MAX_BYTES, &owned[1],
                &parts->statement));
    HF_TRY(part(tool, path, ".1.sig", PUBLIC_MAX_BYTES, &owned[2],
                &parts->signatures[0]));
    HF_TRY(part(tool, path, ".2.sig", PUBLIC_MAX_BYTES, &owned[3],
                &parts->signatures[1]));
    HF_TRY(part(tool, tool->options.values[OPTION_PUBLIC], "", PUBLIC_MAX_BYTES,
                &owned[4], &parts->public_keys[0]));
    HF_TRY(part(tool, tool->options.second[OPTION_PUBLIC], "", PUBLIC_MAX_BYTES,
                &owned[5], &parts->public_keys[1]));
    enum hf_status status = signed_verify(parts, out_lines, &fault);
    if (status == HF_E_CORRUPT && fault.line > 0) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the transcript was touched: line %zu: %s", fault.line,
                         fault.why);
    }
    if (status == HF_E_CORRUPT) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "the transcript is not what was signed: %s",
                         fault.why);
    }
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status,
                                       "the transcript cannot be verified: "
                                       "--public is an ECDSA P-256 or Ed25519 "
                                       "public key (PEM): %s",
                                       hf_status_text(status));
}

HF_STATUS cmd_ceremony_verify(struct tool *tool)
{
    struct ceremony ceremony = {.tool = tool, .transcript = {.fd = -1}};
    struct signed_parts parts = {0};
    uint8_t *owned[6] = {NULL};
    enum hf_status status = verify(tool, &parts, owned, &ceremony.lines);
    for (size_t i = 0; i < HF_COUNT(owned); i++) {
        free(owned[i]);
    }
    if (status == HF_OK) {
        status = output_object(tool, summary(&ceremony, state_of(&ceremony)),
                               "The transcript is whole, and both custodians "
                               "signed it.");
    }
    ceremony_close(&ceremony);
    return status;
}
