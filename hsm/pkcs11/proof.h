/* proof: the parts of the self-test, shared by selftest.c (what the token can
 * do) and proof.c (what it must not do). */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/pkcs11.h"

struct selftest {
    struct p11_work *work;
    struct pkcs11_refusal *refusal;
    CK_OBJECT_HANDLE public_key; /* a session pair, with OAEP in both halves */
    CK_OBJECT_HANDLE private_key;
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

/* selftest_refuse: the reason in words; always HF_E_UNSUPPORTED. */
HF_STATUS selftest_refuse(struct selftest *test, const char *reason);

/* selftest_unwrap: unwraps test->value under the session pair with a template.
 * Returns as the module. */
struct p11_template;
HF_STATUS selftest_unwrap(struct selftest *test, struct p11_template *as,
                          CK_OBJECT_HANDLE *out);

/* proof_of_keeping: test->lease and the private key can be neither read, nor
 * loosened, nor copied loose, nor wrapped out by any key the token would use.
 * Returns   HF_OK; HF_E_UNSUPPORTED with the reason. */
HF_STATUS proof_of_keeping(struct selftest *test);

/* proof_of_honours: which optional attributes the token keeps to. */
void proof_of_honours(struct selftest *test);
