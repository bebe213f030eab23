#include "hsm/pkcs11/admin_pin.h"

#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/rv.h"

static CK_USER_TYPE user_of(const struct pkcs11_pin_owner *whose)
{
    return whose->officer ? CKU_SO : CKU_USER;
}

HF_STATUS pkcs11_pin_change(const struct pkcs11_pin_owner *whose,
                            const struct secret *old_pin,
                            const struct secret *new_pin,
                            struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    HF_TRY(admin_desk_open(whose->module_path, whose->label, whose->serial,
                           &desk, out_refusal));
    HF_TRY(admin_desk_login(&desk, user_of(whose), old_pin, out_refusal));
    CK_RV rv = desk.calls->C_SetPIN(desk.session, admin_pin(old_pin),
                                    admin_pin_len(old_pin), admin_pin(new_pin),
                                    admin_pin_len(new_pin));
    if (rv != CKR_OK) {
        admin_refuse(out_refusal, rv, "the token does not take the new PIN");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}

HF_STATUS pkcs11_pin_prove(const struct pkcs11_pin_owner *whose,
                           const struct secret *pin,
                           struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    HF_TRY(admin_desk_open(whose->module_path, whose->label, whose->serial,
                           &desk, out_refusal));
    return admin_desk_login(&desk, user_of(whose), pin, out_refusal);
}
