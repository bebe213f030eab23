#include "hsm/sys/secret.h"

#include "hsm/base/check.h"
#include "hsm/base/limits.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#define SMALLEST_BLOCK_BYTES 32
#define SMALLEST_HEAP_BYTES  (64 * 1024)

struct secret {
    size_t len;
    uint8_t bytes[];
};

HF_STATUS secret_heap_start(size_t heap_bytes)
{
    CHECK(heap_bytes >= SMALLEST_HEAP_BYTES &&
          (heap_bytes & (heap_bytes - 1)) == 0);
    /* 1: done; 2: the arena stands but could not be locked */
    if (CRYPTO_secure_malloc_initialized() == 1) {
        return HF_OK;
    }
    int made = CRYPTO_secure_malloc_init(heap_bytes, SMALLEST_BLOCK_BYTES);
    if (made == 2) {
        /* else a second call would find it standing and say HF_OK */
        CRYPTO_secure_malloc_done();
    }
    return made == 1 ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS process_harden(void)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0) {
        return HF_E_RESOURCES;
    }
    return HF_OK;
}

HF_STATUS secret_new(size_t len, struct secret **out_secret)
{
    CHECK(CRYPTO_secure_malloc_initialized() == 1);
    if (len == 0 || len > HF_SECRET_MAX_BYTES) {
        return HF_E_INVALID;
    }
    struct secret *secret = OPENSSL_secure_zalloc(sizeof *secret + len);
    if (secret == NULL || CRYPTO_secure_allocated(secret) == 0) {
        /* OpenSSL falls back to the ordinary heap only when it was never
         * initialised; with a full arena it answers NULL. */
        return HF_E_NO_MEMORY;
    }
    secret->len = len;
    *out_secret = secret;
    return HF_OK;
}

HF_STATUS secret_random(size_t len, struct secret **out_secret)
{
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    HF_TRY(secret_new(len, &secret));
    if (RAND_priv_bytes(secret->bytes, (int)len) != 1) {
        return HF_E_INTERNAL;
    }
    *out_secret = HF_GIVE(secret);
    return HF_OK;
}

void secret_free(struct secret *secret)
{
    if (secret != NULL) {
        OPENSSL_secure_clear_free(secret, sizeof *secret + secret->len);
    }
}

size_t secret_len(const struct secret *secret)
{
    return secret->len;
}

const uint8_t *secret_bytes(const struct secret *secret)
{
    return secret->bytes;
}

uint8_t *secret_writable(struct secret *secret)
{
    return secret->bytes;
}

void secret_shorten(struct secret *secret, size_t len)
{
    CHECK(len <= secret->len);
    OPENSSL_cleanse(secret->bytes + len, secret->len - len);
    secret->len = len;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    return a->len == b->len && CRYPTO_memcmp(a->bytes, b->bytes, a->len) == 0;
}

void wipe(void *data, size_t len)
{
    OPENSSL_cleanse(data, len);
}

bool equal_constant_time(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
