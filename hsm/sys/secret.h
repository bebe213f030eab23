/* secret: plaintext key bytes and PINs live here and nowhere else.
 *
 * Memory comes from OpenSSL's secure heap: locked, left out of core dumps,
 * between guard pages, wiped when freed. There is no print and no copy
 * function on purpose.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct secret;

/* secret_heap_start: once per process, before any other call.
 *
 * Takes     heap_bytes, a power of two, at least 64 KiB.
 * Returns   HF_OK; HF_E_RESOURCES when the memory cannot be locked (raise
 *           RLIMIT_MEMLOCK).
 */
HF_STATUS secret_heap_start(size_t heap_bytes);

/* process_harden: no core dump, no ptrace by the same user
 * (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). Returns HF_OK or HF_E_RESOURCES.
 */
HF_STATUS process_harden(void);

/* secret_new: a zeroed secret of len bytes (1 to HF_SECRET_MAX_BYTES).
 *
 * Gives     *out_secret, freed with secret_free; untouched on failure.
 * Returns   HF_OK; HF_E_INVALID for a length out of range; HF_E_NO_MEMORY when
 *           the secure heap is full.
 * Threads   safe from any thread.
 */
HF_STATUS secret_new(size_t len, struct secret **out_secret);
/* secret_random: as secret_new, filled from OpenSSL's private generator; also
 * HF_E_INTERNAL when the generator fails. */
HF_STATUS secret_random(size_t len, struct secret **out_secret);
void secret_free(struct secret *secret);
HF_DEFINE_FREEP(struct secret, secret)

size_t secret_len(const struct secret *secret);
const uint8_t *secret_bytes(const struct secret *secret);
uint8_t *secret_writable(struct secret *secret);
/* secret_shorten: keeps the first len bytes and wipes the rest. */
void secret_shorten(struct secret *secret, size_t len);
/* secret_equal: constant time for equal lengths. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* wipe: overwrites memory in a way the compiler keeps. */
void wipe(void *data, size_t len);
/* equal_constant_time: for MACs and commitments. */
bool equal_constant_time(const void *a, const void *b, size_t len);
