#include "client/cli/message_file.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/limits.h"
#include "hsm/base/own.h"

#include "hsm/sys/rng.h"

#include "client/lib/message.h"

#include <openssl/evp.h>

#include <limits.h>
#include <string.h>

#define MAGIC       "HFM1"
#define MAGIC_BYTES 4
#define HEAD_BYTES  (MAGIC_BYTES + HF_GCM_IV_BYTES)
#define AAD_MAX     (MAGIC_BYTES + 4 + 512 + 4 + NAME_MAX)

_Static_assert(MESSAGE_FILE_OVERHEAD == HEAD_BYTES + HF_GCM_TAG_BYTES,
               "the drawing in the header");
_Static_assert(MESSAGE_PLAIN_MAX < INT_MAX, "OpenSSL counts in int");

struct aad {
    uint8_t bytes[AAD_MAX];
    size_t len;
};

static HF_STATUS aad_of(const struct message_context *context, struct aad *aad)
{
    struct byte_writer writer = byte_writer_on(aad->bytes, sizeof aad->bytes);
    put_raw(&writer, MAGIC, MAGIC_BYTES);
    put_text(&writer, context->mailbox);
    put_lp(&writer, context->name, strcspn(context->name, ":"));
    aad->len = writer.len;
    return writer.overrun ? HF_E_LIMIT : HF_OK;
}

static void cipher_freep(EVP_CIPHER_CTX **cipher)
{
    EVP_CIPHER_CTX_free(*cipher);
}

/* start: key, iv and associated data. */
static bool start(EVP_CIPHER_CTX *cipher, const struct message_context *context,
                  const uint8_t *iv, const struct aad *aad, int sealing)
{
    int done = 0;
    CHECK(hf_secret_len(context->key) == HF_KEY_BYTES);
    return cipher != NULL &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL,
                             hf_secret_bytes(context->key), iv, sealing) == 1 &&
           EVP_CipherUpdate(cipher, NULL, &done, aad->bytes, (int)aad->len) ==
               1;
}

/* body: the whole text. OpenSSL takes NULL for "no output", so an empty one is
 * skipped. */
static bool body(EVP_CIPHER_CTX *cipher, uint8_t *to, const uint8_t *from,
                 size_t len)
{
    int done = 0;
    return len == 0 ||
           (EVP_CipherUpdate(cipher, to, &done, from, (int)len) == 1 &&
            (size_t)done == len);
}

HF_STATUS message_seal(const struct message_context *context,
                       struct file_data plain, struct file_data *out)
{
    struct aad aad;
    HF_TRY(aad_of(context, &aad));
    if (plain.len > MESSAGE_PLAIN_MAX) {
        return HF_E_LIMIT;
    }
    size_t len = plain.len + MESSAGE_FILE_OVERHEAD;
    HF_OWNED(file_data_clear)
    struct file_data sealed = {wiped_alloc(len), len};
    if (sealed.bytes == NULL) {
        return HF_E_NO_MEMORY;
    }
    uint8_t *iv = sealed.bytes + MAGIC_BYTES;
    uint8_t *text = sealed.bytes + HEAD_BYTES;
    memcpy(sealed.bytes, MAGIC, MAGIC_BYTES);
    HF_TRY(rng_fill(rng_system(), iv, HF_GCM_IV_BYTES));
    HF_OWNED(cipher_freep) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int done = 0;
    if (!start(cipher, context, iv, &aad, 1) ||
        !body(cipher, text, plain.bytes, plain.len) ||
        EVP_CipherFinal_ex(cipher, text + plain.len, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, HF_GCM_TAG_BYTES,
                            text + plain.len) != 1) {
        return HF_E_INTERNAL;
    }
    *out = sealed;
    sealed = (struct file_data){0};
    return HF_OK;
}

HF_STATUS message_open(const struct message_context *context,
                       struct file_data sealed, struct file_data *out)
{
    struct aad aad;
    HF_TRY(aad_of(context, &aad));
    if (sealed.len < MESSAGE_FILE_OVERHEAD ||
        sealed.len - MESSAGE_FILE_OVERHEAD > MESSAGE_PLAIN_MAX ||
        !bytes_equal((struct bytes){sealed.bytes, MAGIC_BYTES},
                     bytes_of_text(MAGIC))) {
        return HF_E_BAD_BLOB;
    }
    size_t len = sealed.len - MESSAGE_FILE_OVERHEAD;
    HF_OWNED(file_data_clear)
    struct file_data plain = {wiped_alloc(len + 1), len};
    if (plain.bytes == NULL) {
        return HF_E_NO_MEMORY;
    }
    const uint8_t *text = sealed.bytes + HEAD_BYTES;
    HF_OWNED(cipher_freep) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int done = 0;
    if (!start(cipher, context, sealed.bytes + MAGIC_BYTES, &aad, 0) ||
        !body(cipher, plain.bytes, text, len) ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, HF_GCM_TAG_BYTES,
                            (void *)(uintptr_t)(text + len)) != 1) {
        return HF_E_INTERNAL;
    }
    if (EVP_CipherFinal_ex(cipher, plain.bytes + len, &done) != 1) {
        return HF_E_BAD_BLOB;
    }
    plain.bytes[len] = '\0';
    *out = plain;
    plain = (struct file_data){0};
    return HF_OK;
}
