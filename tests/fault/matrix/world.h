/* world: what the tokens of the matrix hold, and the right answers. Made once,
 * by actor --prepare, and copied for each case. */
#pragma once

#include "hsm/token/token.h"

#include "tests/contract/token/calls.h"

#define WORLD_DOOMED                                                           \
    6 /* keys and data objects that are there to be destroyed */

struct world {
    enum token_suite suite;
    struct token_key_report root[2]; /* RSA, TOKEN residency, one a token */
    struct token_key_report memory;  /* the others are in the first */
    struct token_key_report ak;
    struct token_key_report mac;
    struct token_key_report audit;
    struct wrapped blob[2]; /* WORLD_KEY under each root */
    struct wrapped memory_blob;
    uint8_t sealed[HF_KEY_BYTES + HF_GCM_TAG_BYTES]; /* under WORLD_KEY */
    uint8_t mac_value[HF_SHA256_BYTES];
    struct token_mint minted; /* copies[0] under the availability key */
};

extern const uint8_t world_key[HF_KEY_BYTES];
extern const uint8_t world_text[HF_KEY_BYTES]; /* what is sealed */
extern const uint8_t world_iv[HF_GCM_IV_BYTES];
extern const char *const world_labels[2];
#define WORLD_PIN     "123456"
#define WORLD_SO_PIN  "654321"
#define WORLD_AAD     "aad"
#define WORLD_MAC     "a record"
#define WORLD_DATA    "old"
#define WORLD_CHECK   "holdfast matrix check text"
#define WORLD_FIRST   20 /* number of the first doomed key */
#define WORLD_ID_BYTE 0xA0

/* world_make: fills two open tokens. world_load, world_save: a file. */
HF_STATUS world_make(const struct token token[2], struct world *out);
HF_STATUS world_save(const struct world *world, const char *path);
HF_STATUS world_load(struct world *out, const char *path);
