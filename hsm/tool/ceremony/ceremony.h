/* ceremony: what two custodians do to one token, step by step, so that it can
 * be interrupted anywhere and still end well.
 *
 *   start --> step 0 --> ... --> step n --> end --> signed by both
 *               |  ^
 *       (killed)|  | resume: what the token is now says what was done
 *               v  |
 *              undo: what this ceremony made is taken back, newest first
 *
 * A step is a command of holdfast-hsm. Most may run twice: what is there
 * already is left as it is. The others look whether the run that was
 * interrupted did their work (pin.h: resumed, found). What a step found before,
 * what it did, and what was found after are lines of the transcript, on the
 * disk before the next step begins. What this ceremony made is what was not
 * there when its step first began. Only that is ever taken back, and nothing
 * that is in use (in_use.h).
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/ceremony/plan.h"
#include "hsm/tool/ceremony/signed.h"
#include "hsm/tool/ceremony/transcript.h"
#include "hsm/tool/custodian.h"
#include "hsm/tool/pin.h"
#include "hsm/tool/tool.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

#define CEREMONY_FINGERPRINT_TEXT (2 * HF_SHA256_BYTES + 1)

struct ceremony {
    struct tool *tool;
    struct transcript transcript;
    json_t *lines; /* of the transcript, those of now included */
    struct pins pins;
    struct custodian *custodians[CUSTODIANS];
    char fingerprints[CUSTODIANS][CEREMONY_FINGERPRINT_TEXT];
};

/* ceremony_close: also of one that is all zero but for transcript.fd = -1. */
void ceremony_close(struct ceremony *ceremony);

/* ceremony_custodians: reads both --key. told: HF_E_INVALID when they are one;
 * else as custodian_open. */
HF_STATUS ceremony_custodians(struct ceremony *ceremony);

/* ceremony_append: one line; also HF_E_IO, HF_E_LIMIT, HF_E_NO_MEMORY (told).
 * event is taken over. */
HF_STATUS ceremony_append(struct ceremony *ceremony, json_t *event);

/* What the lines say. */
const json_t *ceremony_plan(const struct ceremony *ceremony);
size_t ceremony_steps(const struct ceremony *ceremony);
/* ceremony_first: what was found when this step first began; NULL: it never
 * did. */
const json_t *ceremony_first(const struct ceremony *ceremony, size_t step);
/* ceremony_has: a line with this event, and of this step. */
bool ceremony_has(const struct ceremony *ceremony, const char *event,
                  size_t step);
bool ceremony_has_any(const struct ceremony *ceremony, const char *event);

/* ceremony_step_tool: the step as a command of its own, with the ceremony's
 * token, PINs and evidence. told: HF_E_CORRUPT. */
HF_STATUS ceremony_step_tool(struct ceremony *ceremony, size_t step,
                             struct plan_step *out_step, struct tool *out_tool);

/* ceremony_token_check: is this the token that earlier lines saw? Another may
 * have its label. Looked at from outside, before a PIN is tried on it. told:
 * HF_E_CONFLICT; as observe_token. */
HF_STATUS ceremony_token_check(struct ceremony *ceremony,
                               struct tool *step_tool);

/* ceremony_run: the steps that are not done, from the first on.
 * ceremony_undo: takes back, newest first; *out_outcome for the end.
 * ceremony_end: the last line, if it is missing, and both signatures.
 * All told. What was written stays. */
HF_STATUS ceremony_run(struct ceremony *ceremony);
HF_STATUS ceremony_undo(struct ceremony *ceremony, const char **out_outcome);
HF_STATUS ceremony_end(struct ceremony *ceremony, const char *outcome);
