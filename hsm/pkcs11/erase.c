#include "hsm/pkcs11/erase.h"

#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/rv.h"

#include <string.h>

HF_STATUS pkcs11_token_erase(const struct pkcs11_token_erase *how,
                             struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(p11_module_releasep) struct p11_module *module = NULL;
    CK_SLOT_ID slot = 0;
    CK_UTF8CHAR label[sizeof((CK_TOKEN_INFO *)0)->label];
    size_t label_len = strlen(how->label);
    if (label_len > sizeof label) {
        return HF_E_INVALID;
    }
    HF_TRY(admin_module(how->module_path, &module, out_refusal));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    enum hf_status status = admin_slot(calls, how->label, how->serial, &slot);
    if (status != HF_OK) {
        admin_refuse(out_refusal, CKR_OK, "the token is not there any more");
        return status;
    }
    HF_TRY(admin_so_pin_tries(calls, slot, out_refusal));
    memset(label, ' ', sizeof label);
    memcpy(label, how->label, label_len);
    CK_RV rv = calls->C_InitToken(slot, admin_pin(how->so_pin),
                                  admin_pin_len(how->so_pin), label);
    if (rv != CKR_OK) {
        admin_refuse(out_refusal, rv,
                     "the token does not let itself be "
                     "initialised again");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}
