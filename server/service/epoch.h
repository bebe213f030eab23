/* epoch: the counter and root in the service's token that a rolled-back store
 * cannot follow.
 *
 * A token data object cannot be rewritten, so each epoch is a new object; the
 * older ones are destroyed once it is durable, and the highest valid one
 * counts.
 */
#pragma once

#include "server/service/problem.h"
#include "server/service/seals.h"

/* epoch_agree: holds the token's newest epoch against the store's history, at
 * start.
 *
 *   token   store                     outcome
 *   none    none                      a new store: it gets epoch 1, over no
 *                                     record, before the first record
 *   none    epoch 1 alone             agreed on 1; the start was cut short
 *   n       n is its newest           agreed
 *   n       holds n, newest is m > n  agreed on m; the token is caught up
 *   n       no such (n, root)         refused: the store was rolled back or
 *                                     is another's
 *   none    more than that            refused: the token was rolled back or is
 *                                     another's
 *
 * The history is looked at down to the token's epoch, no further: what was
 * before it proves nothing, and may be of a token that was lost (reseal.h).
 *
 * Returns   HF_OK; HF_E_CORRUPT with *problem; the token's and the store's
 *           failures.
 */
HF_STATUS epoch_agree(const struct store *store, const struct seals *seals,
                      struct epoch *out_epoch, struct problem *problem);

/* epoch_in_token: the newest valid one of the token; counter 0: none. */
HF_STATUS epoch_in_token(const struct seals *seals, struct epoch *out_epoch);

/* epoch_to_token: durable in the token, then the older ones destroyed. May run
 * twice. */
HF_STATUS epoch_to_token(const struct seals *seals, const struct epoch *epoch);
