/* observe: what a token is and holds, for a transcript: found before a step,
 * found after it. Nothing is changed. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

#include <jansson.h>

/* observe_token: of --token. Where the token is there and has a user PIN, its
 * keys as well, unless only_outside.
 *
 * Gives     *out_seen: {"present": true, "serial", "state", "keys": [{"name",
 *           "id", "type", "bits", "public_key_sha256", "local", ...}],
 *           "custody_domain"}.
 * Returns   HF_OK, also for a token that is not there; else told, as
 *           session_open.
 */
HF_STATUS observe_token(struct tool *tool, bool only_outside,
                        json_t **out_seen);

/* observe_key: a key that was seen, by its id; NULL when it was not. */
const json_t *observe_key(const json_t *seen, const char *id);
bool observe_present(const json_t *seen);
