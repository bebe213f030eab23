/* plan: the steps of a ceremony, a command of holdfast-hsm a line.
 *
 *   # contoso's first key
 *   token init --domain contoso-hq
 *   key generate --name mailbox-2026 --bits 3072
 *
 * The token, its PINs and what is in use are the ceremony's, not a step's, so
 * that one plan serves many tokens. Words stand between blanks, or in double
 * quotes. A step that makes a key gets the key's CKA_ID when the ceremony
 * begins: by it, whoever goes on knows whether the key was made.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/tool/options.h"

#include <jansson.h>

#include <stddef.h>

#define PLAN_MAX_BYTES 16384
#define PLAN_STEPS_MAX 64

struct plan_step {
    char *words[OPTIONS_STEP_WORDS_MAX]; /* the plan's own */
    size_t word_count;
    struct options options; /* points into words */
};

/* plan_read: the steps as arrays of words, complete.
 * Gives     *out_plan.
 * Returns   HF_OK; HF_E_INVALID with *why, which names the line; HF_E_INTERNAL
 *           without randomness; HF_E_NO_MEMORY. */
#define PLAN_WHY_BYTES 400
HF_STATUS plan_read(struct bytes text, json_t **out_plan,
                    char why[PLAN_WHY_BYTES]);

/* plan_step: one of them, of a plan that stays. HF_OK; HF_E_CORRUPT when it is
 * no step (a transcript that another version wrote). */
HF_STATUS plan_step(const json_t *plan, size_t which, struct plan_step *out);
/* plan_text: the step as it is typed, to be freed with free(); NULL without
 * memory. */
char *plan_text(const json_t *plan, size_t which);
