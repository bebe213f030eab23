/* token change-pin: the user's, or the officer's.
 *
 * The new PIN is proved by one fresh log-in. Where a ceremony was interrupted
 * in this step, which PIN is right is not known: the new one is tried once
 * first, and then the old one once. A PIN that was refused is never tried
 * again, and none is tried on a token that says that few tries are left. The
 * first of the two, refused, makes them few: there the second is still tried,
 * but never where it would be the last. */
#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_pin.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/dry.h"
#include "hsm/tool/output.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/session.h"

#include <string.h>

static enum hf_status who_wanted(struct tool *tool, bool *out_officer)
{
    const char *who = tool_value(tool, OPTION_WHO);
    *out_officer = who != NULL && strcmp(who, "officer") == 0;
    if (who != NULL && !*out_officer && strcmp(who, "user") != 0) {
        return tool_fail(tool, HF_E_INVALID, "--who is user or officer");
    }
    return HF_OK;
}

static enum hf_status may_be_tried(struct tool *tool,
                                   const struct pkcs11_token_info *info,
                                   bool officer)
{
    if (officer ? info->so_pin_locked : info->pin_locked) {
        return tool_fail(tool, HF_E_DENIED,
                         "the PIN is locked: only the vendor's own means bring "
                         "it back; holdfast-hsm token doctor says more");
    }
    bool resumed = pins_resumed(tool);
    bool last = officer ? info->so_pin_final_try : info->pin_final_try;
    bool few = officer ? info->so_pin_count_low : info->pin_count_low;
    if (last || (few && !resumed)) {
        return tool_fail(tool, HF_E_DENIED,
                         "a wrong %s PIN was tried before, and few tries are "
                         "left: log in by hand once, which sets the count "
                         "back",
                         officer ? "officer's" : "user");
    }
    if (!officer && !info->pin_set) {
        return tool_fail(tool, HF_E_PRECONDITION,
                         "the token has no user PIN yet: holdfast-hsm token "
                         "init sets it");
    }
    return HF_OK;
}

/* Was it changed before the interruption? Where the new PIN is refused, the old
 * one may be tried only if it would not be the last. */
static enum hf_status changed_before(struct tool *tool,
                                     const struct pkcs11_pin_owner *whose,
                                     const struct secret *new_pin,
                                     bool *out_changed)
{
    struct pkcs11_token_info now = {0};
    struct pkcs11_refusal refusal = {0};
    *out_changed = pkcs11_pin_prove(whose, new_pin, &refusal) == HF_OK;
    if (*out_changed) {
        return HF_OK;
    }
    HF_TRY(session_find(tool, whose->module_path, &now));
    return may_be_tried(tool, &now, whose->officer);
}

static enum hf_status change(struct tool *tool,
                             const struct pkcs11_pin_owner *whose,
                             const struct pkcs11_token_info *info)
{
    HF_OWNED(secret_freep) struct secret *old_pin = NULL;
    HF_OWNED(secret_freep) struct secret *new_pin = NULL;
    struct pkcs11_refusal refusal = {0};
    enum pin_owner owner = whose->officer ? PIN_OFFICER : PIN_USER;
    if (!info->own_path) {
        HF_TRY(pin_get(tool, owner, false, &old_pin));
        HF_TRY(pin_get(tool, PIN_NEW, true, &new_pin));
        if (secret_equal(old_pin, new_pin)) {
            return tool_fail(tool, HF_E_INVALID,
                             "the new PIN is the old one; nothing was changed");
        }
    }
    /* on a token's own pad, whether it was changed is the person's to know */
    if (pins_resumed(tool) && !info->own_path) {
        bool changed = false;
        HF_TRY(changed_before(tool, whose, new_pin, &changed));
        if (changed) {
            return HF_OK;
        }
    }
    enum hf_status status =
        pkcs11_pin_change(whose, old_pin, new_pin, &refusal);
    if (status != HF_OK) {
        return tool_fail(tool, status, "the PIN is as it was: %s",
                         refusal.text);
    }
    HF_TRY(session_sync(tool, info));
    if (info->own_path) {
        return HF_OK; /* whoever typed it on the token's own pad knows */
    }
    status = pkcs11_pin_prove(whose, new_pin, &refusal);
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status,
                           "the token took the new PIN and does not open with "
                           "it: %s. Keep both until that is understood",
                           refusal.text);
}

HF_STATUS cmd_token_change_pin(struct tool *tool)
{
    struct pkcs11_token_info info = {0};
    struct pkcs11_pin_owner whose = {0};
    HF_TRY(who_wanted(tool, &whose.officer));
    HF_TRY(session_module(tool, &whose.module_path));
    HF_TRY(session_find(tool, whose.module_path, &info));
    HF_TRY(may_be_tried(tool, &info, whose.officer));
    whose.label = info.label;
    whose.serial = info.serial;
    if (tool_has(tool, OPTION_DRY_RUN)) {
        return dry_answer(tool, whose.officer
                                    ? "change the security officer's PIN"
                                    : "change the user PIN");
    }
    HF_TRY(change(tool, &whose, &info));
    if (tool->pins != NULL) {
        pins_moved(tool->pins, whose.officer ? PIN_OFFICER : PIN_USER);
    }
    return output_object(
        tool,
        json_pack("{s:s, s:b}", "who", whose.officer ? "officer" : "user",
                  "proved", (int)!info.own_path),
        whose.officer ? "The new PIN opens the token."
                      : "The new PIN opens the token. Put it into the PIN file "
                        "of the service, which reads it again within a "
                        "minute.");
}
