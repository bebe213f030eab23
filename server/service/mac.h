/* mac: HMAC-SHA-256 under a key in locked memory. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

/* HF_OK, or HF_E_INTERNAL when OpenSSL fails. Threads: safe from any. */
HF_STATUS mac_compute(const struct secret *key, struct bytes input,
                      uint8_t out[HF_SHA256_BYTES]);
