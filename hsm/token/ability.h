/* ability: what Holdfast asks of a token, what a module was found to do of it,
 * and which roles a token can have with that.
 *
 * Nothing here is believed: every finding was tried (hsm/pkcs11/selftest.h when
 * a token is opened, hsm/pkcs11/examine.h for the whole table). A promise is
 * something without which a key is not safe in the token, whoever uses it: a
 * module that breaks one is refused for every role, in tests as well, because
 * one that lies about one key is not to be trusted with another. What it merely
 * cannot do costs it the roles that need it.
 */
#pragma once

#include "hsm/token/token.h"

/* ability, its name for programs, is it a promise, words for people */
#define TOKEN_ABILITY_TABLE(X)                                                 \
    X(LOG_IN, "log_in", false, "log in with the PIN")                          \
    X(RSA_SESSION, "rsa_session", false, "RSA key pair of a session")          \
    X(RSA_TOKEN, "rsa_token", false, "RSA key pair made in the token")         \
    X(RSA_IMPORT, "rsa_import", false,                                         \
      "RSA key taken in, wrapped (KWP of its PKCS#8)")                         \
    X(OAEP_SHA256, "oaep_sha256", false, "RSA-OAEP with SHA-256, decrypt")     \
    X(OAEP_SHA1, "oaep_sha1", false, "RSA-OAEP with SHA-1, decrypt")           \
    X(UNWRAP, "unwrap", false, "C_UnwrapKey by RSA-OAEP to a session key")     \
    X(WRAP_OUT, "wrap_foreign", false,                                         \
      "C_WrapKey under another token's public key")                            \
    X(KWP, "aes_kwp", false, "AES key wrap with padding (KWP)")                \
    X(GCM, "aes_gcm", false, "AES-256-GCM with associated data")               \
    X(AES_TOKEN, "aes_token", false, "AES-256 key made in the token")          \
    X(HMAC, "hmac_sha256", false, "HMAC-SHA-256")                              \
    X(ECDSA, "ecdsa_p256", false, "ECDSA on P-256")                            \
    X(DATA, "data_objects", false, "data objects")                             \
    X(FIND_ID, "find_by_id", false, "find a key by CKA_ID")                    \
    X(COPY, "copy_object", false,                                              \
      "C_CopyObject of a key that is not MODIFIABLE")                          \
    X(UNWRAP_TEMPLATE, "unwrap_template", false,                               \
      "CKA_UNWRAP_TEMPLATE is honoured")                                       \
    X(ALLOWED_MECHANISMS, "allowed_mechanisms", false,                         \
      "CKA_ALLOWED_MECHANISMS is honoured")                                    \
    X(DESTROYABLE, "destroyable", false, "CKA_DESTROYABLE is honoured")        \
    X(COPYABLE, "copyable", false, "CKA_COPYABLE is honoured")                 \
    X(GCM_EMPTY_IV, "gcm_empty_iv", false, "GCM: an empty IV is refused")      \
    X(GCM_SHORT_TAG, "gcm_short_tag", false,                                   \
      "GCM: a tag of 32 bits is refused")                                      \
    X(ANSWERS, "answers", true, "answers are those of OpenSSL")                \
    X(GCM_CHECKS, "gcm_checks", true, "GCM: what was changed is refused")      \
    X(KEEP_PRIVATE, "keeps_private", true,                                     \
      "a sensitive RSA key cannot be read")                                    \
    X(KEEP_READ, "keeps_secret", true, "an unwrapped key cannot be read")      \
    X(KEEP_WRAP, "keeps_from_wrap", true,                                      \
      "what is not extractable cannot be wrapped out")                         \
    X(KEEP_COPY, "keeps_from_copy", true,                                      \
      "no readable copy of a sensitive key")                                   \
    X(KEEP_FLAGS, "keeps_flags", true,                                         \
      "sensitive stays, not extractable stays")                                \
    X(SESSION_ENDS, "session_ends", true, "session keys end with their session")

enum token_ability {
#define X(id, key, promise, words) TOKEN_ABILITY_##id,
    TOKEN_ABILITY_TABLE(X)
#undef X
        TOKEN_ABILITY_COUNT
};

enum token_verdict {
    TOKEN_UNTRIED, /* something before it is missing */
    TOKEN_CAN,
    TOKEN_CANNOT,
    /* the module takes what a strict one refuses. Nothing of Holdfast depends
     * on it: every IV is 96 random bits of ours and every tag 128 bits, and
     * their lengths are fixed in the port (struct token_aead), whoever calls.
     * It would matter to who lets the caller, or the module, choose them. */
    TOKEN_LENIENT,
    TOKEN_BREAKS, /* a promise */
};

struct token_findings {
    enum token_verdict of[TOKEN_ABILITY_COUNT];
    unsigned long kwp; /* the number under which it knows KWP; 0: none */
    char broken[256];  /* the first promise it breaks, in words; or "" */
};

enum token_role {
    TOKEN_ROLE_CUSTOMER_TOKEN,  /* customer keys, DEPs with residency TOKEN */
    TOKEN_ROLE_CUSTOMER_MEMORY, /* customer keys, DEPs with residency MEMORY */
    TOKEN_ROLE_AVAILABILITY,    /* availability keys */
    TOKEN_ROLE_SERVICE,         /* record MAC key, audit key, epoch */
    TOKEN_ROLE_TLS,             /* the server's own TLS key */
    TOKEN_ROLE_COUNT
};

const char *token_ability_key(enum token_ability ability);
const char *token_ability_words(enum token_ability ability);
bool token_ability_is_promise(enum token_ability ability);
const char *token_verdict_key(enum token_verdict verdict);
const char *token_role_key(enum token_role role);
const char *token_role_words(enum token_role role);

/* token_role_lacks: what is missing for a role, or which promise is broken, in
 * words.
 * Gives     out, "" when nothing is missing: the token can have the role.
 */
void token_role_lacks(const struct token_findings *findings,
                      enum token_role role, char *out, size_t cap);

/* token_profile_lacks: the same of an open token, as far as its opening tried
 * it; what only the whole table tries counts as there. A token that is open
 * broke no promise. Threads: safe from any thread. */
void token_profile_lacks(const struct token_profile *profile,
                         enum token_role role, char *out, size_t cap);
