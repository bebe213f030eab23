#include "server/service/mac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

HF_STATUS mac_compute(const struct secret *key, struct bytes input,
                      uint8_t out[HF_SHA256_BYTES])
{
    unsigned int len = 0;
    const unsigned char *mac =
        HMAC(EVP_sha256(), secret_bytes(key), (int)secret_len(key), input.data,
             input.len, out, &len);
    return mac != NULL && len == HF_SHA256_BYTES ? HF_OK : HF_E_INTERNAL;
}
