/* hello: the first packet of a worker: what its token is, or why there is none.
 *
 *   hello = packet header, count 1 | worker u32 | status u8 | why text
 *         | HF_OK: queue_max u32 | profile
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <stddef.h>
#include <stdint.h>

#define HELLO_WHY_MAX_BYTES 255

struct worker_hello {
    uint32_t worker;
    enum hf_status status;
    char why[HELLO_WHY_MAX_BYTES + 1]; /* empty for HF_OK */
    uint32_t queue_max;                /* requests per lane */
    struct token_profile profile;
};

/* hello_encode: into buffer, FRAME_PACKET_MAX bytes; returns the length. */
size_t hello_encode(const struct worker_hello *hello, uint8_t *buffer);
/* hello_decode: HF_OK; HF_E_CORRUPT. */
HF_STATUS hello_decode(struct bytes packet, struct worker_hello *out);
