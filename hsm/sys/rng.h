/* rng: the port through which randomness that is not a key comes in: ids,
 * initialisation vectors, and which customer key is asked first.
 * Key bytes come from secret_random and never through here.
 */
#pragma once

#include "hsm/base/ids.h"
#include "hsm/base/status.h"

#include <stddef.h>

struct rng {
    HF_STATUS (*fill)(void *self, void *out, size_t len);
    void *self;
};

/* rng_system: OpenSSL's generator. Never freed; safe from any thread. */
const struct rng *rng_system(void);

/* rng_fill: HF_OK, or HF_E_INTERNAL when the generator failed. */
HF_STATUS rng_fill(const struct rng *rng, void *out, size_t len);
HF_STATUS rng_id(const struct rng *rng, struct hf_id *out_id);
