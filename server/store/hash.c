#include "server/store/hash.h"

#include <openssl/evp.h>

#include <string.h>

HF_STATUS sha256(struct bytes data, uint8_t out[HF_SHA256_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    if (EVP_Digest(data.data, data.len, digest, &len, EVP_sha256(), NULL) !=
            1 ||
        len != HF_SHA256_BYTES) {
        return HF_E_NO_MEMORY;
    }
    memcpy(out, digest, HF_SHA256_BYTES);
    return HF_OK;
}
