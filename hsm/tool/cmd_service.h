/* cmd_service: what preparing the service's token has in common, alone or with
 * a mirror. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

/* service_token_check: it has a custody label and nothing of the customers'
 * . HF_OK; told: HF_E_PRECONDITION, HF_E_DENIED. */
HF_STATUS service_token_check(struct tool *tool, const struct session *session);

/* service_key_ensure: the key of this name, made where there is none.
 * HF_OK; told: HF_E_CONFLICT when what is there is not what is made here. */
HF_STATUS service_key_ensure(struct tool *tool, const struct session *session,
                             enum token_purpose purpose, const char *name,
                             struct token_key_report *out_report,
                             bool *out_made);

/* service_init_mirrored: service init with --mirror. */
HF_STATUS service_init_mirrored(struct tool *tool);
