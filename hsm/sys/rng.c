#include "hsm/sys/rng.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <openssl/rand.h>

#include <limits.h>

static enum hf_status system_fill(void *self, void *out, size_t len)
{
    (void)self;
    CHECK(len <= INT_MAX);
    return RAND_bytes(out, (int)len) == 1 ? HF_OK : HF_E_INTERNAL;
}

const struct rng *rng_system(void)
{
    static const struct rng system = {.fill = system_fill};
    return &system;
}

HF_STATUS rng_fill(const struct rng *rng, void *out, size_t len)
{
    return rng->fill(rng->self, out, len);
}

HF_STATUS rng_id(const struct rng *rng, struct hf_id *out_id)
{
    uint8_t random[HF_ID_BYTES];
    HF_TRY(rng_fill(rng, random, sizeof random));
    *out_id = id_from_random(random);
    return HF_OK;
}
