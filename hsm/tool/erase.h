/* erase: what cannot be taken back. Nothing here begins before in_use.h has
 * said that nothing depends on it, or both custodians have. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

/* erase_key: destroys the customer key of --id (and of --name, where it is
 * given), and looks whether it is gone.
 * Returns   HF_OK; told: HF_E_NOT_FOUND; HF_E_CONFLICT when another key has
 *           its id, which would go with it; HF_E_UNSUPPORTED where the token
 *           forbids it (R-15.13: CKA_DESTROYABLE is false); as in_use_refuse;
 *           else as the token. */
HF_STATUS erase_key(struct tool *tool, const char *doing);

/* erase_token: the token stays initialised, empty, without a user PIN.
 * Returns   HF_OK; told: HF_E_DENIED for a token of the service's own; as
 *           in_use_refuse; else as the token. */
HF_STATUS erase_token(struct tool *tool, const char *doing);
