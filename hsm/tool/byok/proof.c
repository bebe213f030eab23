#include "hsm/tool/byok/proof.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/sys/rng.h"
#include "hsm/sys/secret.h"

#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/reference.h"

static const uint8_t said[16] = "proof of import";

/* The unwrapped key seals a text in the token as it does in OpenSSL. */
static enum hf_status same_key(const struct session *session,
                               const struct token_object *object,
                               const uint8_t value[HF_KEY_BYTES])
{
    uint8_t expected[sizeof said + HF_GCM_TAG_BYTES];
    uint8_t sealed[sizeof said + HF_GCM_TAG_BYTES];
    struct token_request request = {
        .op = TOKEN_OP_SEAL,
        .attempt_ms = 10000,
        .u.aead = {.key = *object,
                   .in = BYTES_OF(said),
                   .out = sealed,
                   .out_cap = sizeof sealed}
    };
    if (rng_fill(rng_system(), request.u.aead.iv, HF_GCM_IV_BYTES) != HF_OK) {
        return HF_E_INTERNAL;
    }
    HF_TRY(reference_gcm(value, request.u.aead.iv, BYTES_NONE, BYTES_OF(said),
                         expected));
    HF_TRY(token_call(&session->token, &request));
    return bytes_equal(BYTES_OF(expected), BYTES_OF(sealed)) ? HF_OK
                                                             : HF_E_DENIED;
}

static enum hf_status unwraps(const struct session *session,
                              struct token_request *request,
                              const uint8_t value[HF_KEY_BYTES])
{
    request->op = TOKEN_OP_UNWRAP;
    HF_TRY(token_call(&session->token, request));
    enum hf_status status = same_key(session, &request->u.unwrap.object, value);
    struct token_request forget = {.op = TOKEN_OP_FORGET,
                                   .u.forget = request->u.unwrap.object};
    HF_IGNORE(token_call(&session->token, &forget),
              "the object ends with this process");
    return status;
}

/* What a token serves that has no C_UnwrapKey or no AES-GCM: keys of residency
 * MEMORY. */
static enum hf_status decrypts(const struct session *session,
                               struct token_request *request,
                               const uint8_t value[HF_KEY_BYTES])
{
    request->op = TOKEN_OP_DECRYPT;
    HF_TRY(token_call(&session->token, request));
    HF_OWNED(secret_freep) struct secret *got = request->u.unwrap.secret;
    return secret_len(got) == HF_KEY_BYTES &&
                   equal_constant_time(secret_bytes(got), value, HF_KEY_BYTES)
               ? HF_OK
               : HF_E_DENIED;
}

static enum hf_status round_trip(const struct session *session,
                                 const struct token_key_report *key)
{
    uint8_t value[HF_KEY_BYTES];
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t len = 0;
    const struct token_profile *profile = &session->profile;
    enum token_suite suite = token_suite_preferred(profile);
    struct token_request request = {
        .attempt_ms = 30000, .u.unwrap = {.key = key->key, .suite = suite}
    };
    if (rng_fill(rng_system(), value, sizeof value) != HF_OK) {
        return HF_E_INTERNAL;
    }
    HF_TRY(p11_oaep_encrypt((struct bytes){key->spki, key->spki_len}, suite,
                            BYTES_OF(value), wrapped, &len));
    request.u.unwrap.wrapped = (struct bytes){wrapped, len};
    enum hf_status status = profile->unwrap_to_object && profile->aes_gcm
                                ? unwraps(session, &request, value)
                                : decrypts(session, &request, value);
    wipe(value, sizeof value);
    return status;
}

HF_STATUS proof_of_key(struct tool *tool, const struct session *session,
                       const struct token_key_report *key)
{
    enum hf_status status = round_trip(session, key);
    return status == HF_OK
               ? HF_OK
               : tool_fail(tool, status,
                           "the key is in the token, but does not unwrap what "
                           "is wrapped under its public half (%s): do not "
                           "register it",
                           hf_status_text(status));
}
