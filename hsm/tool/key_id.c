#include "hsm/tool/key_id.h"

#include "hsm/base/bytes.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"

HF_STATUS key_id_make(uint8_t out[KEY_ID_BYTES])
{
    struct byte_writer writer = byte_writer_on(out, KEY_ID_BYTES);
    uint8_t random[KEY_ID_BYTES - sizeof(uint64_t)];
    if (rng_fill(rng_system(), random, sizeof random) != HF_OK) {
        return HF_E_INTERNAL;
    }
    put_u64(&writer, (uint64_t)clock_wall_ms(clock_system()));
    put_raw(&writer, random, sizeof random);
    return HF_OK;
}
