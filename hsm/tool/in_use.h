/* in_use: nothing that something still depends on is destroyed.
 *
 * Which keys are in use only the service knows. It says so in what "holdfast
 * catalogue backup" writes: FILE.json, signed by its audit key in FILE.sig.
 * --in-use names the first, --in-use-public the key. Without it, nobody knows,
 * and both custodians must order it by typing the token's serial.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/tool/tool.h"

#include <stddef.h>
#include <stdint.h>

/* The service says what was true then: a DEP may have come since. */
#define IN_USE_MAX_AGE_MS (3600 * 1000ll)

/* in_use_refuse: may these keys of the token go?
 *
 * Takes     what, for people: "destroying the key mailbox-2026".
 * Returns   HF_OK; told: HF_E_PRECONDITION with what depends on them;
 *           HF_E_DENIED when the evidence is not signed, too old, or not about
 *           this token, or when a custodian does not confirm.
 * Blocks    until both have typed, without --in-use. With --dry-run nobody is
 *           asked.
 */
HF_STATUS in_use_refuse(struct tool *tool, const char *what, const char *serial,
                        const struct token_key_report *keys, size_t count);

/* in_use_depends: what depends on a key, in the catalogue: names of DEPs,
 * ", " between them; empty for none. Pure. HF_E_NOT_FOUND when the token is
 * not in the catalogue. */
struct json_t;
HF_STATUS in_use_depends(const struct json_t *catalogue, const char *serial,
                         const struct token_key_report *key, char *out,
                         size_t cap);
