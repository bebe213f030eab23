#include "hsm/tool/pin.h"

#include "hsm/base/own.h"

#include "hsm/sys/secret_file.h"

#include <stdio.h>
#include <string.h>

#define FD_MAX 65535

struct pin_source {
    enum option_id file;
    enum option_id fd;
    enum option_id half_file;
    enum option_id half_fd;
    const char *whose;
    const char *option;
};

/* A new PIN comes from no descriptor: OPTION_HELP is never given here. */
static const struct pin_source sources[] = {
    [PIN_USER] = {OPTION_PIN_FILE,     OPTION_PIN_FD,    OPTION_PIN_HALF_FILE,
                  OPTION_PIN_HALF_FD,                                                                     "user",   "pin"    },
    [PIN_OFFICER] = {OPTION_SO_PIN_FILE,  OPTION_SO_PIN_FD,
                  OPTION_SO_PIN_HALF_FILE,                                         OPTION_SO_PIN_HALF_FD,
                  "security officer",                                                                               "so-pin" },
    [PIN_NEW] = {OPTION_NEW_PIN_FILE, OPTION_HELP,      OPTION_NEW_PIN_HALF_FILE,
                  OPTION_HELP,                                                                            "coming", "new-pin"},
};

void pins_clear(struct pins *pins)
{
    for (size_t i = 0; i < PIN_OWNERS; i++) {
        secret_freep(&pins->held[i]);
    }
}

void pins_moved(struct pins *pins, enum pin_owner owner)
{
    if (pins->held[PIN_NEW] != NULL) {
        secret_freep(&pins->held[owner]);
        pins->held[owner] = HF_GIVE(pins->held[PIN_NEW]);
    }
}

bool pins_resumed(const struct tool *tool)
{
    return tool->pins != NULL && tool->pins->resumed;
}

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

static enum hf_status from_fd(struct tool *tool, const char *text,
                              struct secret **out_pin)
{
    uint32_t fd = 0;
    HF_TRY(tool_number_of(tool, text, FD_MAX, &fd));
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

static enum hf_status ask_for(struct tool *tool,
                              const struct pin_source *source, const char *who,
                              bool is_new, struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *first = NULL;
    HF_OWNED(secret_freep) struct secret *second = NULL;
    char before[80];
    snprintf(before, sizeof before, "%s%s", who, is_new ? "new " : "");
    HF_TRY(ask(tool, source, before, &first));
    if (is_new) {
        snprintf(before, sizeof before, "%sagain, new ", who);
        HF_TRY(ask(tool, source, before, &second));
        if (!secret_equal(first, second)) {
            return tool_fail(tool, HF_E_INVALID,
                             "the two PINs differ; nothing was changed");
        }
    }
    *out_pin = HF_GIVE(first);
    return HF_OK;
}

HF_STATUS pin_join(const struct secret *first, const struct secret *second,
                   size_t min_bytes, struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    size_t len = secret_len(first);
    if (len < min_bytes || secret_len(second) < min_bytes ||
        len + secret_len(second) > SECRET_FILE_MAX_BYTES) {
        return HF_E_INVALID;
    }
    HF_TRY(secret_new(len + secret_len(second), &pin));
    memcpy(secret_writable(pin), secret_bytes(first), len);
    memcpy(secret_writable(pin) + len, secret_bytes(second),
           secret_len(second));
    *out_pin = HF_GIVE(pin);
    return HF_OK;
}

static enum hf_status get_half(struct tool *tool,
                               const struct pin_source *source, bool is_second,
                               bool is_new, struct secret **out_half)
{
    const char *const *values =
        is_second ? tool->options.second : tool->options.values;
    if (values[source->half_file] != NULL) {
        return from_file(tool, values[source->half_file], out_half);
    }
    if (values[source->half_fd] != NULL) {
        return from_fd(tool, values[source->half_fd], out_half);
    }
    return ask_for(tool, source,
                   is_second ? "Second custodian, your half of the "
                             : "First custodian, your half of the ",
                   is_new, out_half);
}

static enum hf_status get_halves(struct tool *tool,
                                 const struct pin_source *source, bool is_new,
                                 struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *first = NULL;
    HF_OWNED(secret_freep) struct secret *second = NULL;
    size_t min_bytes = is_new ? PIN_NEW_HALF_MIN_BYTES : PIN_HALF_MIN_BYTES;
    HF_TRY(get_half(tool, source, false, is_new, &first));
    HF_TRY(get_half(tool, source, true, is_new, &second));
    enum hf_status status = pin_join(first, second, min_bytes, out_pin);
    if (status == HF_E_INVALID) {
        return tool_fail(tool, status,
                         "each half of the %s PIN has %zu bytes or more, and "
                         "both together at most %d; nothing was changed",
                         source->whose, min_bytes, SECRET_FILE_MAX_BYTES);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "out of memory");
    }
    return HF_OK;
}

static enum hf_status get_anew(struct tool *tool, enum pin_owner owner,
                               bool is_new, bool only_halves,
                               struct secret **out_pin)
{
    const struct pin_source *source = &sources[owner];
    const char *path = tool_value(tool, source->file);
    const char *fd = tool_value(tool, source->fd);
    bool halves = only_halves || tool_has(tool, OPTION_PIN_HALVES) ||
                  tool_has(tool, source->half_file) ||
                  tool_has(tool, source->half_fd);
    int ways = (path != NULL) + (fd != NULL) +
               tool_has(tool, source->half_file) +
               tool_has(tool, source->half_fd);
    if (ways > 1) {
        return tool_fail(tool, HF_E_INVALID,
                         "the %s PIN is given in more than one way: choose one",
                         source->whose);
    }
    if (path != NULL) {
        return from_file(tool, path, out_pin);
    }
    if (fd != NULL) {
        return from_fd(tool, fd, out_pin);
    }
    return halves ? get_halves(tool, source, is_new, out_pin)
                  : ask_for(tool, source, "", is_new, out_pin);
}

/* One more in locked memory, as a step frees what it was given. */
static enum hf_status lend(struct tool *tool, const struct secret *held,
                           struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *lent = NULL;
    if (secret_new(secret_len(held), &lent) != HF_OK) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    memcpy(secret_writable(lent), secret_bytes(held), secret_len(held));
    *out_pin = HF_GIVE(lent);
    return HF_OK;
}

HF_STATUS pin_get(struct tool *tool, enum pin_owner owner, bool is_new,
                  struct secret **out_pin)
{
    struct pins *pins = tool->pins;
    if (pins == NULL) {
        return get_anew(tool, owner, is_new, false, out_pin);
    }
    if (pins->held[owner] == NULL) {
        enum hf_status status =
            get_anew(pins->lender, owner, is_new, true, &pins->held[owner]);
        if (status != HF_OK) {
            return tool_fail(tool, status, "%s", pins->lender->problem);
        }
    }
    return lend(tool, pins->held[owner], out_pin);
}
