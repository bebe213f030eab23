/* seals: the MACs of records, and the root over the sealed ones. What the
 * ledger checks with; it holds the subkeys and asks the service's token.
 */
#pragma once

#include "hsm/token/token.h"

#include "server/store/store.h"

struct seals {
    const struct token *token;
    struct token_key mac_key;
    struct secret *row_key;   /* MACs of rows */
    struct secret *set_key;   /* elements of the root */
    struct secret *epoch_key; /* MACs of epochs, in store and token */
    /* the token that made them is lost (reseal.h): nothing is checked, and
     * there is no root */
    bool blind;
};

/* seals_open: finds the record MAC key and derives the subkeys.
 * Returns   HF_OK; HF_E_NOT_FOUND; the token's failures. */
HF_STATUS seals_open(const struct token *token, struct seals *out);
void seals_close(struct seals *seals);

/* seals_make: fills record->mac. seals_check: HF_OK, HF_E_CORRUPT, or the
 * token's failure. Blocks for sealed kinds. */
HF_STATUS seals_make(const struct seals *seals, struct record *record);
HF_STATUS seals_check(const struct seals *seals, const struct record *record);

/* The root: a number modulo 2^256, big endian. */
struct root {
    uint8_t bytes[HF_SHA256_BYTES];
};
HF_STATUS root_add(const struct seals *seals, struct root *root,
                   const struct record *record);
/* root_take: kind, key, version and mac of the record are what count. */
HF_STATUS root_take(const struct seals *seals, struct root *root,
                    const struct record *record);

HF_STATUS epoch_seal(const struct seals *seals, struct epoch *epoch);
HF_STATUS epoch_check(const struct seals *seals, const struct epoch *epoch);
