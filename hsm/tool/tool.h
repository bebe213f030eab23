/* tool: what every command of holdfast-hsm has at hand. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/options.h"

#include <stdbool.h>

struct tool {
    struct options options;
    char problem[768]; /* what was wrong and what to do, for people */
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

/* The commands, one file per group. */
HF_STATUS cmd_token_init(struct tool *tool);
HF_STATUS cmd_token_list(struct tool *tool);
HF_STATUS cmd_token_show(struct tool *tool);
HF_STATUS cmd_token_test(struct tool *tool);
HF_STATUS cmd_token_enroll(struct tool *tool);
HF_STATUS cmd_key_generate(struct tool *tool);
HF_STATUS cmd_key_list(struct tool *tool);
HF_STATUS cmd_key_show(struct tool *tool);
HF_STATUS cmd_service_init(struct tool *tool);
HF_STATUS cmd_ak_init(struct tool *tool);
HF_STATUS cmd_ak_verify_absent(struct tool *tool);
HF_STATUS cmd_custodian_new(struct tool *tool);
