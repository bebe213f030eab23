#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "tests/fakes/token_fake_crypto.h"
#include "tests/fakes/token_fake_state.h"

#include <openssl/rand.h>

#include <string.h>

/* A handle of another generation, or of an object that is gone, never reaches
 * a key. */
static enum hf_status object_key(struct token_fake *fake,
                                 const struct token_object *object,
                                 uint8_t out[HF_KEY_BYTES])
{
    enum hf_status status = HF_E_PRECONDITION;
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0;
         object->generation == fake->generation && i < fake->object_count;
         i++) {
        if (fake->objects[i].handle == object->handle) {
            memcpy(out, fake->objects[i].key, HF_KEY_BYTES);
            status = HF_OK;
            break;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

static enum hf_status do_aead(struct token_fake *fake, struct token_aead *aead,
                              bool sealing)
{
    uint8_t key[HF_KEY_BYTES];
    HF_TRY(object_key(fake, &aead->key, key));
    enum hf_status status =
        sealing ? fake_gcm_seal(key, aead, aead->out, &aead->out_len)
                : fake_gcm_open(key, aead, aead->out, &aead->out_len);
    wipe(key, sizeof key);
    pthread_mutex_lock(&fake->lock);
    bool lies = fake->lies && !sealing && status == HF_OK &&
                aead->out_len == HF_KEY_BYTES;
    pthread_mutex_unlock(&fake->lock);
    if (lies) {
        aead->out[0] ^= 1;
    }
    return status;
}

static enum hf_status do_mac(struct token_fake *fake, struct token_mac *mac)
{
    if (mac->key.type != TOKEN_KEY_GENERIC) {
        return HF_E_INVALID;
    }
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    HF_TRY(fake_key_borrow(fake, &mac->key, &key));
    if (!key.report.can_sign) {
        return HF_E_DENIED;
    }
    return fake_hmac(key.secret, mac->in, mac->out);
}

static bool suite_fits(enum token_suite suite, enum token_key_type type)
{
    return suite == TOKEN_SUITE_AES_KWP ? type == TOKEN_KEY_AES
                                        : type == TOKEN_KEY_RSA;
}

static enum hf_status suite_check(const struct token_fake *fake,
                                  enum token_suite suite)
{
    bool there = false;
    switch (suite) {
    case TOKEN_SUITE_NONE:
        return HF_E_INVALID;
    case TOKEN_SUITE_OAEP_SHA256:
        there = fake->profile.oaep_sha256;
        break;
    case TOKEN_SUITE_OAEP_SHA1:
        there = fake->profile.oaep_sha1;
        break;
    case TOKEN_SUITE_AES_KWP:
        there = fake->profile.aes_kwp;
        break;
    }
    return there ? HF_OK : HF_E_UNSUPPORTED;
}

static enum hf_status unwrap_bytes(struct token_fake *fake,
                                   const struct token_unwrap *unwrap,
                                   bool into_memory, uint8_t out[HF_KEY_BYTES])
{
    if (!suite_fits(unwrap->suite, unwrap->key.type)) {
        return HF_E_INVALID;
    }
    HF_TRY(suite_check(fake, unwrap->suite));
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    HF_TRY(fake_key_borrow(fake, &unwrap->key, &key));
    bool allowed = into_memory ? key.report.can_decrypt : key.report.can_unwrap;
    if (!allowed) {
        return HF_E_DENIED;
    }
    return unwrap->suite == TOKEN_SUITE_AES_KWP
               ? fake_kwp_unwrap(key.secret, unwrap->wrapped, out)
               : fake_oaep_unwrap(key.pair, unwrap->suite, unwrap->wrapped,
                                  out);
}

static enum hf_status do_unwrap(struct token_fake *fake,
                                struct token_unwrap *unwrap)
{
    uint8_t plain[HF_KEY_BYTES];
    if (!fake->profile.unwrap_to_object) {
        return HF_E_UNSUPPORTED;
    }
    HF_TRY(unwrap_bytes(fake, unwrap, false, plain));
    enum hf_status status = HF_E_RESOURCES;
    pthread_mutex_lock(&fake->lock);
    if (fake->object_count < FAKE_OBJECTS_MAX) {
        struct fake_object *object = &fake->objects[fake->object_count];
        object->handle = fake->next_handle;
        memcpy(object->key, plain, HF_KEY_BYTES);
        unwrap->object =
            (struct token_object){object->handle, fake->generation};
        fake->object_count += 1;
        fake->next_handle += 1;
        status = HF_OK;
    }
    pthread_mutex_unlock(&fake->lock);
    wipe(plain, sizeof plain);
    return status;
}

static enum hf_status do_decrypt(struct token_fake *fake,
                                 struct token_unwrap *unwrap)
{
    if (unwrap->suite == TOKEN_SUITE_AES_KWP) {
        return HF_E_UNSUPPORTED; /* token.h: DECRYPT is for the OAEP suites */
    }
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    HF_TRY(secret_new(HF_KEY_BYTES, &secret));
    HF_TRY(unwrap_bytes(fake, unwrap, true, secret_writable(secret)));
    unwrap->secret = HF_GIVE(secret);
    return HF_OK;
}

static enum hf_status mint_copy(struct token_fake *fake,
                                const uint8_t born[HF_KEY_BYTES],
                                struct token_mint_copy *copy)
{
    HF_TRY(suite_check(fake, copy->suite));
    if (copy->suite != TOKEN_SUITE_AES_KWP) {
        return fake_oaep_wrap(copy->spki, copy->suite, born, copy->wrapped,
                              &copy->wrapped_len);
    }
    if (copy->key.type != TOKEN_KEY_AES) {
        return HF_E_INVALID;
    }
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    HF_TRY(fake_key_borrow(fake, &copy->key, &key));
    if (!key.report.can_wrap) {
        return HF_E_DENIED;
    }
    HF_TRY(fake_kwp_wrap(key.secret, born, copy->wrapped));
    copy->wrapped_len = HF_KWP_BYTES;
    return HF_OK;
}

static enum hf_status mint_with(struct token_fake *fake,
                                const uint8_t born[HF_KEY_BYTES],
                                struct token_mint *mint)
{
    for (size_t i = 0; i < mint->copy_count; i++) {
        HF_TRY(mint_copy(fake, born, &mint->copies[i]));
    }
    if (mint->source.suite != TOKEN_SUITE_NONE) {
        return HF_OK;
    }
    struct token_aead check = {.aad = mint->check_aad, .in = mint->check_text};
    memcpy(check.iv, mint->check_iv, sizeof check.iv);
    return fake_gcm_seal(born, &check, mint->check_sealed,
                         &mint->check_sealed_len);
}

/* token.h: only where what the root unwraps may be wrapped again. */
static enum hf_status mint_source(struct token_fake *fake,
                                  const struct token_mint *mint,
                                  uint8_t out[HF_KEY_BYTES])
{
    const struct token_mint_source *source = &mint->source;
    uint8_t text[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    bool kwp = source->suite == TOKEN_SUITE_AES_KWP;
    struct token_aead check = {
        .aad = mint->check_aad,
        .in = {mint->check_sealed, mint->check_sealed_len},
    };
    HF_TRY(suite_check(fake, source->suite));
    if (source->key.type != (kwp ? TOKEN_KEY_AES : TOKEN_KEY_RSA)) {
        return HF_E_INVALID;
    }
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    HF_TRY(fake_key_borrow(fake, &source->key, &key));
    if (!key.report.can_unwrap || key.report.unwrap_template) {
        return HF_E_DENIED;
    }
    HF_TRY(
        kwp ? fake_kwp_unwrap(key.secret, source->wrapped, out)
            : fake_oaep_unwrap(key.pair, source->suite, source->wrapped, out));
    memcpy(check.iv, mint->check_iv, sizeof check.iv);
    HF_TRY(fake_gcm_open(out, &check, text, &len));
    return bytes_equal((struct bytes){text, len}, mint->check_text)
               ? HF_OK
               : HF_E_BAD_BLOB;
}

/* Outputs are written only when all of it went well. */
static enum hf_status do_mint(struct token_fake *fake, struct token_mint *mint)
{
    uint8_t born[HF_KEY_BYTES];
    struct token_mint work = *mint;
    enum hf_status status = HF_OK;
    if (mint->source.suite != TOKEN_SUITE_NONE) {
        status = mint_source(fake, mint, born);
    } else if (RAND_priv_bytes(born, sizeof born) != 1) {
        status = HF_E_INTERNAL;
    }
    if (status == HF_OK) {
        status = mint_with(fake, born, &work);
    }
    if (status == HF_OK) {
        *mint = work;
    }
    wipe(born, sizeof born);
    return status;
}

static enum hf_status do_sign(struct token_fake *fake, struct token_sign *sign)
{
    if (sign->key.type != TOKEN_KEY_EC) {
        return HF_E_INVALID;
    }
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    HF_TRY(fake_key_borrow(fake, &sign->key, &key));
    if (!key.report.can_sign) {
        return HF_E_DENIED;
    }
    return fake_ecdsa_sign(key.pair, sign->digest, sign->signature);
}

static enum hf_status do_forget(struct token_fake *fake,
                                const struct token_object *object)
{
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0;
         object->generation == fake->generation && i < fake->object_count;
         i++) {
        if (fake->objects[i].handle == object->handle) {
            fake->object_count -= 1;
            fake->objects[i] = fake->objects[fake->object_count];
            wipe(&fake->objects[fake->object_count],
                 sizeof fake->objects[fake->object_count]);
            break;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return HF_OK;
}

const struct token_key *fake_request_key(const struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_MAC:
        return &request->u.mac.key;
    case TOKEN_OP_FIND:
        return &request->u.find.key;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        return &request->u.unwrap.key;
    case TOKEN_OP_SIGN:
        return &request->u.sign.key;
    case TOKEN_OP_DESTROY:
        return &request->u.destroy.key;
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
    case TOKEN_OP_LIST:
    case TOKEN_OP_GENERATE:
    case TOKEN_OP_MINT:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_LIST:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
    case TOKEN_OP_HEALTH:
        return NULL;
    }
    return NULL;
}

HF_STATUS fake_do(struct token_fake *fake, struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
        return do_aead(fake, &request->u.aead, true);
    case TOKEN_OP_OPEN:
        return do_aead(fake, &request->u.aead, false);
    case TOKEN_OP_MAC:
        return do_mac(fake, &request->u.mac);
    case TOKEN_OP_FIND:
        return fake_find(fake, &request->u.find);
    case TOKEN_OP_LIST:
        return fake_list(fake, &request->u.list);
    case TOKEN_OP_GENERATE:
        return fake_generate(fake, &request->u.generate);
    case TOKEN_OP_UNWRAP:
        return do_unwrap(fake, &request->u.unwrap);
    case TOKEN_OP_DECRYPT:
        return do_decrypt(fake, &request->u.unwrap);
    case TOKEN_OP_MINT:
        return do_mint(fake, request->u.mint);
    case TOKEN_OP_SIGN:
        return do_sign(fake, &request->u.sign);
    case TOKEN_OP_DESTROY:
        return fake_destroy(fake, &request->u.destroy.key);
    case TOKEN_OP_FORGET:
        return do_forget(fake, &request->u.forget);
    case TOKEN_OP_DATA_LIST:
        return fake_data_list(fake, &request->u.data_list);
    case TOKEN_OP_DATA_CREATE:
        return fake_data_create(fake, request->u.data);
    case TOKEN_OP_DATA_DESTROY:
        return fake_data_destroy(fake, request->u.data);
    case TOKEN_OP_HEALTH:
        return HF_OK;
    }
    return HF_E_INVALID;
}
