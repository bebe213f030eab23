/* Takes back what a ceremony made: see ceremony.h. */
#include "hsm/base/own.h"

#include "hsm/token/names.h"
#include "hsm/tool/ceremony/ceremony.h"
#include "hsm/tool/ceremony/observe.h"
#include "hsm/tool/erase.h"
#include "hsm/tool/in_use.h"
#include "hsm/tool/session.h"

#include <stdio.h>
#include <string.h>

static void json_free(json_t **json)
{
    json_decref(*json);
}

/* Was the token itself made here? */
static bool made_the_token(const struct ceremony *ceremony)
{
    for (size_t step = 0; step < ceremony_steps(ceremony); step++) {
        struct plan_step planned;
        const json_t *first = ceremony_first(ceremony, step);
        if (first != NULL &&
            plan_step(ceremony_plan(ceremony), step, &planned) == HF_OK &&
            planned.options.command->undo == STEP_MAKES_TOKEN &&
            !observe_present(first)) {
            return true;
        }
    }
    return false;
}

/* Was this key not there before the step that makes it first began? */
static bool made_key(const struct ceremony *ceremony, const char *id)
{
    for (size_t step = 0; step < ceremony_steps(ceremony); step++) {
        struct plan_step planned;
        const json_t *first = ceremony_first(ceremony, step);
        if (first == NULL ||
            plan_step(ceremony_plan(ceremony), step, &planned) != HF_OK ||
            planned.options.command->undo != STEP_MAKES_KEY) {
            continue;
        }
        const char *its = planned.options.values[OPTION_ID];
        if (its != NULL && strcmp(its, id) == 0) {
            /* where nobody could look, nothing is known to have been absent */
            return json_is_array(json_object_get(first, "keys")) &&
                   observe_key(first, id) == NULL;
        }
    }
    return false;
}

static enum hf_status undo_key(struct ceremony *ceremony, struct tool *tool,
                               const json_t *seen, const char **out_result)
{
    const char *id = tool_value(tool, OPTION_ID);
    if (!made_key(ceremony, id)) {
        *out_result = "was there before: left";
        return HF_OK;
    }
    if (observe_key(seen, id) == NULL) {
        *out_result = "not there: nothing to do";
        return HF_OK;
    }
    if (made_the_token(ceremony)) {
        *out_result = "ends with its token";
        return HF_OK;
    }
    enum hf_status status = erase_key(tool, "taking back");
    if (status == HF_E_UNSUPPORTED) {
        *out_result = "kept: its token destroys no such key "
                      "(CKA_DESTROYABLE is false)";
        return HF_OK;
    }
    *out_result = "destroyed";
    return status;
}

/* Nothing but what this ceremony made may be in a token that is emptied. */
static enum hf_status only_ours(const struct ceremony *ceremony,
                                struct tool *tool, const json_t *seen)
{
    const json_t *keys = json_object_get(seen, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        const char *id = json_string_value(json_object_get(key, "id"));
        const char *name = json_string_value(json_object_get(key, "name"));
        bool ours = name != NULL && (strcmp(name, TOKEN_NAME_CANARY) == 0 ||
                                     (id != NULL && made_key(ceremony, id)));
        if (!ours) {
            return tool_fail(tool, HF_E_PRECONDITION,
                             "the token holds the key %s, which this ceremony "
                             "did not make: it is not emptied",
                             name == NULL ? "?" : name);
        }
    }
    return HF_OK;
}

static enum hf_status undo_token(struct ceremony *ceremony, struct tool *tool,
                                 const json_t *first, const json_t *seen,
                                 const char **out_result)
{
    if (observe_present(first)) {
        *out_result = "was there before: left";
        return HF_OK;
    }
    if (!observe_present(seen) || json_object_get(seen, "keys") == NULL) {
        *out_result = "holds nothing: left";
        return HF_OK;
    }
    HF_TRY(only_ours(ceremony, tool, seen));
    *out_result = "emptied: no key, no user PIN; token init takes it again";
    return erase_token(tool, "taking back");
}

static enum hf_status undo_one(struct ceremony *ceremony, size_t step,
                               struct tool *tool, const json_t *seen,
                               const char **out_result)
{
    switch (tool->options.command->undo) {
    case STEP_MAKES_KEY:
        return undo_key(ceremony, tool, seen, out_result);
    case STEP_MAKES_TOKEN:
        return undo_token(ceremony, tool, ceremony_first(ceremony, step), seen,
                          out_result);
    case STEP_MAKES_NOTHING:
        *out_result = "made nothing";
        return HF_OK;
    case STEP_STAYS:
        *out_result = "kept: this cannot be taken back";
        return HF_OK;
    }
    return HF_E_INTERNAL;
}

static enum hf_status undo_step(struct ceremony *ceremony, size_t step)
{
    HF_OWNED(json_free) json_t *before = NULL;
    HF_OWNED(json_free) json_t *after = NULL;
    struct plan_step planned;
    struct tool tool;
    const char *result = "";
    HF_TRY(ceremony_step_tool(ceremony, step, &planned, &tool));
    HF_TRY(ceremony_token_check(ceremony, &tool));
    enum hf_status status = observe_token(&tool, false, &before);
    if (status == HF_OK) {
        HF_TRY(ceremony_append(ceremony,
                               json_pack("{s:s, s:i, s:O}", "event", "undo",
                                         "step", (int)step, "before", before)));
        status = undo_one(ceremony, step, &tool, before, &result);
    }
    if (status == HF_OK) {
        status = observe_token(&tool, false, &after);
    }
    if (status != HF_OK) {
        return tool_fail(ceremony->tool, status,
                         "step %zu is not taken back: %.600s", step + 1,
                         tool.problem);
    }
    return ceremony_append(
        ceremony, json_pack("{s:s, s:i, s:s, s:O}", "event", "undone", "step",
                            (int)step, "result", result, "after", after));
}

/* "undone", or what else it has to be called. */
static const char *outcome_of(const struct ceremony *ceremony)
{
    for (size_t i = 0; i < json_array_size(ceremony->lines); i++) {
        const char *result = json_string_value(
            json_object_get(json_array_get(ceremony->lines, i), "result"));
        if (result != NULL && strncmp(result, "kept", strlen("kept")) == 0) {
            return "undone in part";
        }
    }
    return "undone";
}

HF_STATUS ceremony_undo(struct ceremony *ceremony, const char **out_outcome)
{
    for (size_t i = ceremony_steps(ceremony); i > 0; i--) {
        bool begun = ceremony_first(ceremony, i - 1) != NULL;
        if (begun && !ceremony_has(ceremony, "undone", i - 1)) {
            HF_TRY(undo_step(ceremony, i - 1));
        }
    }
    *out_outcome = outcome_of(ceremony);
    return HF_OK;
}
