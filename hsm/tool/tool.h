/* tool: what every command of holdfast-hsm has at hand. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/options.h"

#include <stdbool.h>

struct json_t;
struct pins;

struct tool {
    struct options options;
    char problem[768]; /* what was wrong and what to do, for people */
    /* a step of a ceremony: whose PINs are its own, and where the answer goes
     * instead of to standard output */
    struct pins *pins;
    struct json_t **answer;
};

/* Part of the interface: never change one. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_OTHER = 1,
    TOOL_USAGE = 2,
    TOOL_REFUSED = 3,
    TOOL_MISSING = 4,
    TOOL_CONFLICT = 5,
    TOOL_UNREACHABLE = 6,
};

enum tool_exit tool_exit_of(enum hf_status status);

/* tool_fail: remembers what was wrong and what to do about it, and returns
 * status. The text never holds a secret. */
__attribute__((format(printf, 3, 4))) HF_STATUS
tool_fail(struct tool *tool, enum hf_status status, const char *format, ...);

const char *tool_value(const struct tool *tool, enum option_id id);
bool tool_has(const struct tool *tool, enum option_id id);
/* tool_number: a decimal value, or otherwise when the option is not given.
 * HF_E_INVALID (told) for anything else or more than max. */
HF_STATUS tool_number(struct tool *tool, enum option_id id, uint32_t otherwise,
                      uint32_t max, uint32_t *out);

/* tool_number_of: the same of a text that is there. */
HF_STATUS tool_number_of(struct tool *tool, const char *text, uint32_t max,
                         uint32_t *out);

/* tool_two_agree: two custodians order what cannot be taken back, by typing the
 * serial of the token on the terminal, each for themselves.
 * HF_OK; told: HF_E_DENIED when one of them does not, or there is no terminal.
 */
HF_STATUS tool_two_agree(struct tool *tool, const char *what,
                         const char *serial);
