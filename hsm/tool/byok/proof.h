/* proof: that a key in the token is the private half of a public one: what is
 * wrapped under that by OpenSSL, the token unwraps and uses; or decrypts, where
 * it serves no more than that. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

/* proof_of_key: told. HF_OK; HF_E_DENIED when it is not; else as the token. */
HF_STATUS proof_of_key(struct tool *tool, const struct session *session,
                       const struct token_key_report *key);
