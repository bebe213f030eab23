#include "hsm/tool/tool.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tool_exit tool_exit_of(enum hf_status status)
{
    switch (hf_status_class(status)) {
    case HF_CLASS_OK:
        return TOOL_OK;
    case HF_CLASS_CALLER:
        break;
    case HF_CLASS_DENIED:
        return TOOL_REFUSED;
    case HF_CLASS_MISSING:
        return TOOL_MISSING;
    case HF_CLASS_CONFLICT:
        return TOOL_CONFLICT;
    case HF_CLASS_TRANSIENT:
        return TOOL_UNREACHABLE;
    case HF_CLASS_OURS:
    case HF_CLASS_BROKEN:
        return TOOL_OTHER;
    }
    return status == HF_E_INVALID ? TOOL_USAGE : TOOL_REFUSED;
}

HF_STATUS tool_fail(struct tool *tool, enum hf_status status,
                    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(tool->problem, sizeof tool->problem, format, args);
    va_end(args);
    return status;
}

const char *tool_value(const struct tool *tool, enum option_id id)
{
    return tool->options.values[id];
}

bool tool_has(const struct tool *tool, enum option_id id)
{
    return tool->options.given[id];
}

HF_STATUS tool_number_of(struct tool *tool, const char *text, uint32_t max,
                         uint32_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || number > max) {
            return tool_fail(tool, HF_E_INVALID,
                             "a number from 0 to %u is wanted", max);
        }
    }
    *out = (uint32_t)number;
    return HF_OK;
}

HF_STATUS tool_number(struct tool *tool, enum option_id id, uint32_t otherwise,
                      uint32_t max, uint32_t *out)
{
    const char *text = tool_value(tool, id);
    if (text == NULL) {
        *out = otherwise;
        return HF_OK;
    }
    return tool_number_of(tool, text, max, out);
}

static HF_STATUS one_agrees(struct tool *tool, const char *who,
                            const char *what, const char *serial)
{
    HF_OWNED(secret_freep) struct secret *typed = NULL;
    char prompt[512];
    snprintf(
        prompt, sizeof prompt,
        "%s custodian: %.300s. To order it, type the serial of the token: ",
        who, what);
    enum hf_status status = secret_from_terminal(prompt, &typed);
    if (status == HF_E_NOT_FOUND) {
        return tool_fail(
            tool, HF_E_DENIED,
            "%.400s: that needs --in-use FILE with --in-use-public "
            "FILE (holdfast catalogue backup writes both), or a "
            "terminal on which both custodians confirm it",
            what);
    }
    if (status != HF_OK && status != HF_E_INVALID) {
        return tool_fail(tool, status, "cancelled; nothing was changed");
    }
    if (status != HF_OK ||
        !bytes_equal((struct bytes){secret_bytes(typed), secret_len(typed)},
                     bytes_of_text(serial))) {
        return tool_fail(tool, HF_E_DENIED,
                         "that is not the serial of the token; nothing was "
                         "changed");
    }
    return HF_OK;
}

HF_STATUS tool_two_agree(struct tool *tool, const char *what,
                         const char *serial)
{
    HF_TRY(one_agrees(tool, "First", what, serial));
    return one_agrees(tool, "Second", what, serial);
}
