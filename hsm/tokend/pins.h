/* pins: the PIN of one token, over all processes that open it.
 *
 * A PIN that the token refused is not tried again, by no process: tokens lock
 * after a few wrong ones. What is remembered is a keyed digest, with a key made
 * at random for this process. A PIN that is not the one in use is a candidate,
 * until a worker has opened the token by it, or was refused.
 *
 * PINs come from an owner-only file, which is looked at again and again, or
 * from somebody who enters them (activation.h), or not at all: a token with a
 * pad asks for them by itself.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include <stdbool.h>
#include <stdint.h>

enum pin_source {
    PIN_FROM_FILE,
    PIN_FROM_ACTIVATION,
    PIN_FROM_PAD,
};

struct pins;

/* pins_new: path for PIN_FROM_FILE, borrowed for its life. refused: what
 * pins_refused_file said in an earlier process, or 0. HF_OK; HF_E_NO_MEMORY. */
HF_STATUS pins_new(enum pin_source source, const char *path, uint64_t refused,
                   struct pins **out_pins);
void pins_free(struct pins *pins);
HF_DEFINE_FREEP(struct pins, pins)

/* pins_look: reads the file when it is another since the last look, and was the
 * same at the one before: nobody is writing it. at_once: whatever it was.
 * Returns   HF_OK; or why the file cannot be had (secret_from_file).
 * Blocks    for reading a file. */
HF_STATUS pins_look(struct pins *pins, bool at_once);

/* pins_offer: a PIN that somebody has entered; taken over in any case.
 * Returns   HF_OK: it is the candidate; HF_E_EXISTS: it is the one in use;
 *           HF_E_DENIED: it was refused before; HF_E_CONFLICT: another is being
 *           tried. */
HF_STATUS pins_offer(struct pins *pins, struct secret *pin);

/* pins_is_new: there is a candidate. pins_is_untried: and no worker was ever
 * started with it; one that was, and failed for another reason, is in no hurry.
 */
bool pins_is_new(const struct pins *pins);
bool pins_is_untried(const struct pins *pins);

/* pins_have_worked: the token was opened by one before.
 * pins_may_work_again: and has not refused that one since. */
bool pins_have_worked(const struct pins *pins);
bool pins_may_work_again(const struct pins *pins);

/* pins_to_try: what the next worker opens the token by: the candidate, else the
 * one in use.
 * Gives     *out_pin, borrowed until the next call of this module; NULL where
 *           the token has a pad.
 * Returns   HF_OK; HF_E_NOT_FOUND: there is none that may be tried. */
HF_STATUS pins_to_try(struct pins *pins, const struct secret **out_pin);

/* What came of the one that pins_to_try gave last; undecided: nothing that says
 * anything of the PIN. */
void pins_proved(struct pins *pins);
void pins_refused(struct pins *pins);
void pins_undecided(struct pins *pins);

/* pins_cut_off: the process ended while the token had it: the token may have
 * counted it as a wrong one. A candidate is tried once more; the second time it
 * is refused, and true returned. Else undecided: it has worked before, or it is
 * not here. */
bool pins_cut_off(struct pins *pins);

/* pins_refused_file: a mark of the file's state when its PIN was refused; 0: it
 * was not. The mark tells nothing of the PIN. */
uint64_t pins_refused_file(const struct pins *pins);
