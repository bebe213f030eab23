/* wrap: a wrapped DEP key comes back, as a session object (UNWRAP) or as bytes
 * in locked memory (DECRYPT). Each is one attempt in the sense of, with
 * at most one repair, one canary and one repetition in it. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_unwrap, p11_decrypt: fill unwrap->object or unwrap->secret. DECRYPT is
 * for OAEP suites only: HF_E_UNSUPPORTED for KWP. */
HF_STATUS p11_unwrap(struct p11_work *work, struct token_unwrap *unwrap);
HF_STATUS p11_decrypt(struct p11_work *work, struct token_unwrap *unwrap);

/* A token_object's handle carries its anchor in the top byte, so that
 * forgetting the object can tell the anchor. */
#define P11_HANDLE_BITS 56
static inline CK_OBJECT_HANDLE p11_object_handle(const struct token_object *of)
{
    return of->handle & ((UINT64_C(1) << P11_HANDLE_BITS) - 1);
}

/* p11_forget: destroys a session object; HF_OK when it is gone already. */
HF_STATUS p11_forget(struct p11_work *work, const struct token_object *object);
