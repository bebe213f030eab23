/* pin: where a PIN comes from: a file, a descriptor, else the terminal.
 *
 * Whole, or in halves of two custodians: where a token has one PIN, each enters
 * half of it unseen by the other, and the PIN is the first half followed by the
 * second: one person alone cannot use the token. In a ceremony nothing
 * but halves is taken. What a ceremony once had is kept in locked memory for
 * its other steps. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/tool/tool.h"

#include <stdbool.h>

enum pin_owner {
    PIN_USER,
    PIN_OFFICER,
    PIN_NEW, /* whose, --who says */
    PIN_OWNERS,
};

/* Of a half that is there already, and of one that is being set. */
#define PIN_HALF_MIN_BYTES     2
#define PIN_NEW_HALF_MIN_BYTES 6

/* What a ceremony lends its steps. */
struct pins {
    struct tool *lender; /* whose options say where PINs come from */
    struct secret *held[PIN_OWNERS];
    bool resumed; /* the step was interrupted: what it did is not known */
    const struct json_t *found; /* by this step when it first began (observe.h),
                                   the ceremony's; never looked into: no keys */
};
/* pins_moved: the new PIN is this owner's from now on. */
void pins_moved(struct pins *pins, enum pin_owner owner);
void pins_clear(struct pins *pins);
/* pins_resumed: is the command the step of a ceremony that was interrupted in
 * it? Then what it does may be done, which it looks for. */
bool pins_resumed(const struct tool *tool);

/* pin_get: is_new asks twice on a terminal, and for halves of
 * PIN_NEW_HALF_MIN_BYTES or more.
 * Gives     *out_pin, freed with secret_free.
 * Returns   HF_OK; else told: HF_E_INVALID, HF_E_DENIED, HF_E_NOT_FOUND,
 *           HF_E_CANCELLED, HF_E_IO, HF_E_NO_MEMORY. */
HF_STATUS pin_get(struct tool *tool, enum pin_owner owner, bool is_new,
                  struct secret **out_pin);

/* pin_join: the PIN of two halves. HF_OK; HF_E_INVALID for a half shorter than
 * min_bytes, or a PIN that is too long; HF_E_NO_MEMORY. */
HF_STATUS pin_join(const struct secret *first, const struct secret *second,
                   size_t min_bytes, struct secret **out_pin);
