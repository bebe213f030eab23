/* mechanism: what the token's profile offers for a suite, and attribute
 * templates. No algorithm is ever chosen by trying on live data. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

struct p11_mechanism {
    CK_MECHANISM mechanism; /* points into this struct: do not copy it */
    CK_RSA_PKCS_OAEP_PARAMS oaep;
};

/* p11_mechanism_of: HF_OK; HF_E_UNSUPPORTED when the profile lacks it. */
HF_STATUS p11_mechanism_of(const struct p11_token *token,
                           enum token_suite suite, struct p11_mechanism *out);
/* p11_mechanism_raw: the same without asking the profile: for probing. */
void p11_mechanism_raw(enum token_suite suite, CK_MECHANISM_TYPE kwp,
                       struct p11_mechanism *out);

/* p11_mechanism_listed: C_GetMechanismInfo has it, with all of these flags. */
bool p11_mechanism_listed(struct p11_work *work, CK_MECHANISM_TYPE type,
                          CK_FLAGS flags, CK_FLAGS *out_flags);

/* An attribute template under construction: values are kept beside it. */
#define P11_TEMPLATE_MAX 28
struct p11_template {
    CK_ATTRIBUTE at[P11_TEMPLATE_MAX];
    CK_ULONG numbers[P11_TEMPLATE_MAX];
    size_t count;
};
void p11_add_flag(struct p11_template *to, CK_ATTRIBUTE_TYPE type, bool value);
void p11_add_number(struct p11_template *to, CK_ATTRIBUTE_TYPE type,
                    CK_ULONG value);
/* p11_add_bytes: data stays the caller's. */
void p11_add_bytes(struct p11_template *to, CK_ATTRIBUTE_TYPE type,
                   const void *data, size_t len);

/* p11_template_lease: the session object an unwrap makes: AES, sensitive, not
 * extractable, ENCRYPT and DECRYPT and nothing else. */
void p11_template_lease(struct p11_template *to);
