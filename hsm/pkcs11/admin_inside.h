/* admin_inside: what the operator's functions of this adapter share. They work
 * beside the token port, each on a session of its own. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/admin.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/pkcs11.h"

__attribute__((format(printf, 3, 4))) void
admin_refuse(struct pkcs11_refusal *refusal, CK_RV rv, const char *format, ...);

HF_STATUS admin_module(const char *path, struct p11_module **out_module,
                       struct pkcs11_refusal *refusal);
/* admin_slot: of the one token with this label and serial. HF_E_NOT_FOUND. */
HF_STATUS admin_slot(CK_FUNCTION_LIST *calls, const char *label,
                     const char *serial, CK_SLOT_ID *out_slot);

/* admin_so_pin_tries: may the officer's PIN be offered to this token at all?
 * Not where it is locked, or where a wrong one would lock it. HF_OK;
 * HF_E_DENIED, HF_E_UNREACHABLE, refused. */
HF_STATUS admin_so_pin_tries(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                             struct pkcs11_refusal *refusal);

/* The module's functions take what they only read without const. NULL, 0 for
 * a token that asks for the PIN itself. */
CK_UTF8CHAR *admin_pin(const struct secret *pin);
CK_ULONG admin_pin_len(const struct secret *pin);

/* A session of the operator's. */
struct admin_desk {
    struct p11_module *module;
    CK_FUNCTION_LIST *calls;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
};
/* admin_desk_open: read-write. HF_OK; refused. admin_desk_close also ends the
 * log-in, where no other session of this process is open on the token. */
HF_STATUS admin_desk_open(const char *module_path, const char *label,
                          const char *serial, struct admin_desk *out,
                          struct pkcs11_refusal *refusal);
void admin_desk_close(struct admin_desk *desk);
/* admin_desk_login: once. */
HF_STATUS admin_desk_login(const struct admin_desk *desk, CK_USER_TYPE who,
                           const struct secret *pin,
                           struct pkcs11_refusal *refusal);
