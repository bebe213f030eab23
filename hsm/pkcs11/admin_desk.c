#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/rv.h"

HF_STATUS admin_desk_open(const char *module_path, const char *label,
                          const char *serial, struct admin_desk *out,
                          struct pkcs11_refusal *refusal)
{
    HF_OWNED(admin_desk_close)
    struct admin_desk desk = {.session = CK_INVALID_HANDLE};
    HF_TRY(admin_module(module_path, &desk.module, refusal));
    desk.calls = p11_module_calls(desk.module);
    enum hf_status status = admin_slot(desk.calls, label, serial, &desk.slot);
    if (status != HF_OK) {
        admin_refuse(refusal, CKR_OK, "the token is not there any more");
        return status;
    }
    CK_RV rv = desk.calls->C_OpenSession(desk.slot,
                                         CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                         NULL, NULL, &desk.session);
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the token opens no session");
        return rv_meaning(rv).status;
    }
    *out = desk;
    desk = (struct admin_desk){.session = CK_INVALID_HANDLE};
    return HF_OK;
}

void admin_desk_close(struct admin_desk *desk)
{
    if (desk->session != CK_INVALID_HANDLE) {
        desk->calls->C_CloseSession(desk->session);
    }
    p11_module_release(desk->module);
    *desk = (struct admin_desk){.session = CK_INVALID_HANDLE};
}

HF_STATUS admin_desk_login(const struct admin_desk *desk, CK_USER_TYPE who,
                           const struct secret *pin,
                           struct pkcs11_refusal *refusal)
{
    CK_RV rv = desk->calls->C_Login(desk->session, who, admin_pin(pin),
                                    admin_pin_len(pin));
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv,
                     "the token refuses the %s PIN; it was tried "
                     "once only",
                     who == CKU_SO ? "security officer's" : "user");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}
