/* client: what struct hf_client holds, for the files of this library. */
#pragma once

#include "client/lib/holdfast.h"

#include <stdint.h>

#define CLIENT_DEADLINE_DEFAULT_MS 10000
#define CLIENT_DEADLINE_MAX_MS     (24 * 3600 * 1000)

struct transport;

struct hf_client {
    struct transport *transport;
    int64_t deadline_ms;
};
