/* attempt_order: which of a DEP's two customer keys is asked first.
 *
 * Uniform, independent per call, and not bent by health: one random bit
 * of the caller's. The other key is then the second attempt.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* first_attempt_slot: ROOT_CK1 or ROOT_CK2, from one random byte. */
size_t first_attempt_slot(uint8_t random);
