/* token activate: brings the PIN of a token to the holdfast-tokend that has it,
 * after each start of that: nobody types a PIN at a power cut. */
#include "hsm/base/own.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/output.h"
#include "hsm/tool/pin.h"
#include "hsm/worker/activation.h"

static enum hf_status explain(struct tool *tool, enum hf_status status,
                              const char *path)
{
    if (status == HF_E_DENIED) {
        return tool_fail(tool, status,
                         "%s is another user's, or in a folder that others can "
                         "write: run this as the user of holdfastd, or of its "
                         "holdfast-tokend",
                         path);
    }
    if (status == HF_E_TIMEOUT) {
        return tool_fail(tool, HF_E_UNREACHABLE,
                         "the token has not opened yet; the PIN is kept and "
                         "tried: see holdfast token list");
    }
    return tool_fail(tool, status == HF_E_INVALID ? status : HF_E_UNREACHABLE,
                     "nobody takes a PIN at %s: %s; is holdfastd running, and "
                     "the token's configuration pin: activation?",
                     path, hf_status_text(status));
}

static enum hf_status tell(struct tool *tool,
                           const struct activation_answer *answer)
{
    if (answer->status == HF_OK || answer->status == HF_E_EXISTS) {
        return output_object(tool,
                             json_pack("{s:b, s:b}", "open", 1, "was_open",
                                       (int)(answer->status == HF_E_EXISTS)),
                             "The token is open.");
    }
    if (answer->status == HF_E_DENIED) {
        return tool_fail(tool, HF_E_DENIED,
                         "the token refuses this PIN: %s. It is not tried "
                         "again; enter the right one",
                         answer->why);
    }
    if (answer->status == HF_E_CONFLICT) {
        return tool_fail(tool, HF_E_CONFLICT, "%s; come again", answer->why);
    }
    return tool_fail(tool, HF_E_UNREACHABLE,
                     "the token cannot be opened: %s. The PIN is kept, and "
                     "tried again by itself",
                     answer->why);
}

enum hf_status cmd_token_activate(struct tool *tool)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    struct activation_answer answer = {.status = HF_OK};
    const char *path = tool_value(tool, OPTION_SOCKET);
    HF_TRY(pin_get(tool, PIN_USER, false, &pin));
    enum hf_status status = activation_bring(path, pin, &answer);
    return status == HF_OK ? tell(tool, &answer) : explain(tool, status, path);
}
