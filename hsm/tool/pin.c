#include "hsm/tool/pin.h"

#include "hsm/base/own.h"

#include "hsm/sys/secret_file.h"

#include <stdio.h>

#define FD_MAX 65535

struct pin_source {
    enum option_id file;
    enum option_id fd;
    const char *whose;
    const char *option;
};

static const struct pin_source sources[] = {
    [PIN_USER] = {OPTION_PIN_FILE,    OPTION_PIN_FD,    "user",             "pin"},
    [PIN_OFFICER] = {OPTION_SO_PIN_FILE, OPTION_SO_PIN_FD, "security officer",
                  "so-pin"                                                       },
};

static enum hf_status from_file(struct tool *tool, const char *path,
                                struct secret **out_pin)
{
    enum hf_status status = secret_from_file(path, out_pin);
    if (status == HF_E_PRECONDITION) {
        return tool_fail(tool, HF_E_DENIED,
                         "the PIN file %s is refused: it must be a regular "
                         "file of yours that nobody else can read or write; "
                         "chmod 600 it, and change the PIN if others may have "
                         "read it",
                         path);
    }
    if (status == HF_E_INVALID) {
        return tool_fail(tool, status,
                         "the PIN file %s must hold one line of 1 to %d bytes",
                         path, SECRET_FILE_MAX_BYTES);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the PIN file %s cannot be read: %s",
                         path, hf_status_text(status));
    }
    return HF_OK;
}

static enum hf_status from_fd(struct tool *tool, enum option_id id,
                              struct secret **out_pin)
{
    uint32_t fd = 0;
    HF_TRY(tool_number(tool, id, 0, FD_MAX, &fd));
    enum hf_status status = secret_from_fd((int)fd, out_pin);
    if (status != HF_OK) {
        return tool_fail(tool, status,
                         "descriptor %u must be open and give one line of 1 to "
                         "%d bytes",
                         fd, SECRET_FILE_MAX_BYTES);
    }
    return HF_OK;
}

static enum hf_status ask(struct tool *tool, const struct pin_source *source,
                          const char *before, struct secret **out_pin)
{
    char prompt[160];
    snprintf(prompt, sizeof prompt, "%s%s PIN of token %.64s: ", before,
             source->whose, tool_value(tool, OPTION_TOKEN));
    enum hf_status status = secret_from_terminal(prompt, out_pin);
    if (status == HF_E_NOT_FOUND) {
        return tool_fail(tool, HF_E_INVALID,
                         "there is no terminal to ask for the %s PIN: give "
                         "--%s-file or --%s-fd",
                         source->whose, source->option, source->option);
    }
    if (status == HF_E_CANCELLED) {
        return tool_fail(tool, status, "cancelled; nothing was changed");
    }
    if (status == HF_E_INVALID) {
        return tool_fail(tool, status, "a PIN has 1 to %d bytes",
                         SECRET_FILE_MAX_BYTES);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the terminal: %s",
                         hf_status_text(status));
    }
    return HF_OK;
}

static enum hf_status ask_twice(struct tool *tool,
                                const struct pin_source *source,
                                struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *first = NULL;
    HF_OWNED(secret_freep) struct secret *second = NULL;
    HF_TRY(ask(tool, source, "New ", &first));
    HF_TRY(ask(tool, source, "Again, new ", &second));
    if (!secret_equal(first, second)) {
        return tool_fail(tool, HF_E_INVALID,
                         "the two PINs differ; nothing was changed");
    }
    *out_pin = HF_GIVE(first);
    return HF_OK;
}

HF_STATUS pin_get(struct tool *tool, enum pin_owner owner, bool is_new,
                  struct secret **out_pin)
{
    const struct pin_source *source = &sources[owner];
    const char *path = tool_value(tool, source->file);
    if (path != NULL && tool_has(tool, source->fd)) {
        return tool_fail(tool, HF_E_INVALID,
                         "--%s-file and --%s-fd: give one of them",
                         source->option, source->option);
    }
    if (path != NULL) {
        return from_file(tool, path, out_pin);
    }
    if (tool_has(tool, source->fd)) {
        return from_fd(tool, source->fd, out_pin);
    }
    return is_new ? ask_twice(tool, source, out_pin)
                  : ask(tool, source, "", out_pin);
}
