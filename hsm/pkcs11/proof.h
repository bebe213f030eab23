/* proof: the parts of the self-test, shared by selftest.c (what the token can
 * do) and proof.c (what it must not do). */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/ability.h"

struct selftest {
    struct p11_work *work;
    struct pkcs11_refusal *refusal;
    struct token_findings *findings;
    bool whole; /* the table: goes on after a broken promise */
    /* with OAEP in both halves: a session pair where the token makes one, else
     * its canary, else one in the token that is destroyed afterwards */
    CK_OBJECT_HANDLE public_key;
    CK_OBJECT_HANDLE private_key;
    bool pair_in_token; /* made by this test */
    bool pair_has_template;
    bool pair_has_allowed;
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len;
    enum token_suite suite;      /* one that works */
    uint8_t value[HF_KEY_BYTES]; /* what the keys below are made of; made up
                                    for this test and used for nothing else */
    CK_OBJECT_HANDLE lease;      /* value, by the lease template */
    CK_OBJECT_HANDLE kek;        /* value, may wrap and unwrap */
};

/* selftest_found: what was found of an ability. A broken promise stays broken.
 */
void selftest_found(struct selftest *test, enum token_ability ability,
                    enum token_verdict verdict);

/* selftest_breaks: a promise is broken, and how, in words.
 * Returns   HF_E_UNSUPPORTED; HF_OK for the whole table, which goes on. */
HF_STATUS selftest_breaks(struct selftest *test, enum token_ability promise,
                          const char *reason);

/* selftest_pair_get: the pair, and its public half in spki. selftest_pair_end:
 * destroys what was made in the token for it. */
#define SELFTEST_OBJECT "holdfast-self-test"
HF_STATUS selftest_pair_get(struct selftest *test);
void selftest_pair_end(struct selftest *test);

/* selftest_ec_pair: P-256, of the session or in the token. Gives made[0..1] as
 * p11_generate; returns as the module. selftest_ecdsa: what the private half
 * signs, OpenSSL verifies; HF_OK, or HF_E_UNSUPPORTED for a wrong answer. */
HF_STATUS selftest_ec_pair(struct selftest *test, bool in_token,
                           CK_OBJECT_HANDLE made[2]);
HF_STATUS selftest_ecdsa(struct selftest *test, CK_OBJECT_HANDLE private_key);

/* selftest_import: an RSA key as PKCS#8, wrapped by KWP, unwraps into the token
 * (BYOK). selftest_wrap_out: an extractable session key is wrapped under a
 * public key that was taken in from outside. Only for the table. */
void selftest_import(struct selftest *test);
void selftest_wrap_out(struct selftest *test);

/* selftest_unwrap: unwraps test->value under the session pair with a template.
 * Returns as the module. */
struct p11_template;
HF_STATUS selftest_unwrap(struct selftest *test, struct p11_template *as,
                          CK_OBJECT_HANDLE *out);

/* proof_of_ending: a session object dies with the session that made it, or a
 * lease would outlive its end.
 * Returns   HF_OK; HF_E_UNSUPPORTED with the reason. */
HF_STATUS proof_of_ending(struct selftest *test);

/* proof_of_keeping: test->lease and the private key can be neither read, nor
 * loosened, nor copied loose, nor wrapped out by any key the token would use.
 * Returns   HF_OK; HF_E_UNSUPPORTED with the reason. */
HF_STATUS proof_of_keeping(struct selftest *test);

/* proof_of_honours: which optional attributes the token keeps to. */
void proof_of_honours(struct selftest *test);
