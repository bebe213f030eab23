/* liars: the tokens that gave one call a wrong key with CKR_OK (key_check.h).
 *
 * Such an answer is what a DEP key is that does not open its commitment: the
 * attempt was BAD_BLOB (table 6-A), and the other customer key is asked. A
 * token is asked no more by a call that it lied to, so that no call goes round
 * for ever; the next call may ask it again, and looks at its answer as well.
 */
#pragma once

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>

/* two customer keys, and as many tokens of availability keys as may be */
#define LIARS_MAX 6

struct lease;
struct liars {
    const struct token *tokens[LIARS_MAX];
    size_t count;
};

/* liars_has: NULL: there are none. */
bool liars_has(const struct liars *liars, const struct token *token);

/* liars_note: the token of this lease lied: the key's health, what is known of
 * the copy, and a line of the log that names the token. The lease is the
 * caller's still, and has to be dropped.
 * Returns   false: there is nobody else to ask.
 * Threads   any that holds no lock of the service. */
bool liars_note(struct liars *liars, struct lease *lease);
