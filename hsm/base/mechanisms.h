/* mechanisms: what a key is limited to (CKA_ALLOWED_MECHANISMS), in Holdfast's
 * words. The bits are stored: never reuse one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TOKEN_MECHANISM_TABLE(X)                                               \
    X(0, RSA_OAEP, "RSA-OAEP")                                                 \
    X(1, RSA_PKCS1, "RSA-PKCS1-v1.5")                                          \
    X(2, RSA_RAW, "RSA-raw")                                                   \
    X(3, RSA_SIGN, "RSA-signatures")                                           \
    X(4, OTHER, "other")

enum token_mechanism {
#define X(bit, name, text) TOKEN_MECHANISM_##name = 1 << (bit),
    TOKEN_MECHANISM_TABLE(X)
#undef X
};
#define TOKEN_MECHANISMS_ALL 31u
#define TOKEN_MECHANISM_MAX  5 /* bits */

/* token_mechanisms_text: the names of a set.
 * Gives     names[0..n), static. Returns n; 0: not limited. */
size_t token_mechanisms_text(uint32_t mechanisms,
                             const char *names[TOKEN_MECHANISM_MAX]);
