#include "hsm/pkcs11/admin.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include "hsm/pkcs11/admin_inside.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/rv.h"
#include "hsm/pkcs11/slot.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLOTS_MAX     256
#define FIND_AT_ONCE  64
#define OBJECTS_ROUND 4096 /* times FIND_AT_ONCE objects: far too many */

void admin_refuse(struct pkcs11_refusal *refusal, CK_RV rv, const char *format,
                  ...)
{
    va_list args;
    va_start(args, format);
    /* a text that is cut is still a text */
    int len = vsnprintf(refusal->text, sizeof refusal->text, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof refusal->text && rv != CKR_OK) {
        snprintf(refusal->text + len, sizeof refusal->text - (size_t)len,
                 " (%s)", rv_name(rv));
    }
    refusal->rv = rv;
}

HF_STATUS admin_module(const char *path, struct p11_module **out_module,
                       struct pkcs11_refusal *refusal)
{
    CK_RV rv = CKR_OK;
    enum hf_status status = p11_module_open(path, out_module, &rv);
    if (status != HF_OK) {
        admin_refuse(refusal, rv, "the PKCS#11 module %s cannot be used", path);
    }
    return status;
}

/* Slots with a token in them. */
static HF_STATUS slots_list(CK_FUNCTION_LIST *calls,
                            CK_SLOT_ID slots[SLOTS_MAX], CK_ULONG *out_count,
                            struct pkcs11_refusal *refusal)
{
    /* PKCS#11 lets the list grow only when it is asked for without a buffer */
    CK_ULONG count = 0;
    CK_RV rv = calls->C_GetSlotList(CK_TRUE, NULL, &count);
    if (rv == CKR_OK) {
        count = SLOTS_MAX;
        rv = calls->C_GetSlotList(CK_TRUE, slots, &count);
    }
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the module does not list its slots");
        return rv_meaning(rv).status;
    }
    *out_count = count;
    return HF_OK;
}

static void info_read(const CK_TOKEN_INFO *from, const CK_SLOT_INFO *slot,
                      struct pkcs11_token_info *out)
{
    *out = (struct pkcs11_token_info){
        .initialised = (from->flags & CKF_TOKEN_INITIALIZED) != 0,
        .pin_set = (from->flags & CKF_USER_PIN_INITIALIZED) != 0,
        .pin_count_low = (from->flags & CKF_USER_PIN_COUNT_LOW) != 0,
        .pin_final_try = (from->flags & CKF_USER_PIN_FINAL_TRY) != 0,
        .pin_locked = (from->flags & CKF_USER_PIN_LOCKED) != 0,
        .so_pin_count_low = (from->flags & CKF_SO_PIN_COUNT_LOW) != 0,
        .so_pin_final_try = (from->flags & CKF_SO_PIN_FINAL_TRY) != 0,
        .so_pin_locked = (from->flags & CKF_SO_PIN_LOCKED) != 0,
        .write_protected = (from->flags & CKF_WRITE_PROTECTED) != 0,
        .own_path = (from->flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0,
        .hardware_slot = (slot->flags & CKF_HW_SLOT) != 0,
    };
    p11_text_of(from->label, sizeof from->label, out->label);
    p11_text_of(from->serialNumber, sizeof from->serialNumber, out->serial);
    p11_text_of(from->manufacturerID, sizeof from->manufacturerID,
                out->manufacturer);
    p11_text_of(from->model, sizeof from->model, out->model);
}

/* False for a slot whose token does not answer: somebody else's trouble. */
static bool slot_info(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                      CK_TOKEN_INFO *out_token, struct pkcs11_token_info *out)
{
    CK_SLOT_INFO about = {0};
    if (calls->C_GetTokenInfo(slot, out_token) != CKR_OK ||
        calls->C_GetSlotInfo(slot, &about) != CKR_OK) {
        return false;
    }
    info_read(out_token, &about, out);
    return true;
}

HF_STATUS pkcs11_tokens(const char *module_path,
                        struct pkcs11_token_info *infos, size_t cap,
                        size_t *out_count, struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(p11_module_releasep) struct p11_module *module = NULL;
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG slot_count = 0;
    size_t count = 0;
    HF_TRY(admin_module(module_path, &module, out_refusal));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    HF_TRY(slots_list(calls, slots, &slot_count, out_refusal));
    for (CK_ULONG i = 0; i < slot_count; i++) {
        CK_TOKEN_INFO token = {0};
        struct pkcs11_token_info info;
        if (!slot_info(calls, slots[i], &token, &info)) {
            continue;
        }
        if (count == cap) {
            admin_refuse(out_refusal, CKR_OK,
                         "the module has more than %zu tokens", cap);
            return HF_E_LIMIT;
        }
        infos[count] = info;
        count += 1;
    }
    *out_count = count;
    return HF_OK;
}

/* The slot to work on: one whose token has the label, and the serial where one
 * is given; else a free one, where none is. */
static HF_STATUS slot_choose(CK_FUNCTION_LIST *calls,
                             const struct pkcs11_token_init *how,
                             CK_SLOT_ID *out_slot, CK_TOKEN_INFO *out_token,
                             struct pkcs11_refusal *refusal)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = 0;
    bool free_found = false;
    HF_TRY(slots_list(calls, slots, &count, refusal));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO token = {0};
        struct pkcs11_token_info info;
        if (!slot_info(calls, slots[i], &token, &info)) {
            continue;
        }
        bool named =
            info.initialised && strcmp(info.label, how->label) == 0 &&
            (how->serial == NULL || strcmp(info.serial, how->serial) == 0);
        bool free = !info.initialised && how->serial == NULL;
        if (named || (free && !free_found)) {
            *out_slot = slots[i];
            *out_token = token;
            free_found = true;
        }
        if (named) {
            return HF_OK;
        }
    }
    if (!free_found) {
        admin_refuse(refusal, CKR_OK,
                     how->serial != NULL
                         ? "the token is not there any more"
                         : "the module has no free slot: add one with the "
                           "vendor's tool");
        return HF_E_NOT_FOUND;
    }
    return HF_OK;
}

/* No limits said (0, or unavailable) is no limit. */
static bool pin_fits(const CK_TOKEN_INFO *token, const struct secret *pin)
{
    size_t len = pin == NULL ? 0 : secret_len(pin);
    bool bounded = token->ulMaxPinLen > 0 &&
                   token->ulMaxPinLen != CK_UNAVAILABLE_INFORMATION;
    return pin == NULL || !bounded ||
           (len >= token->ulMinPinLen && len <= token->ulMaxPinLen);
}

static HF_STATUS inputs_check(const struct pkcs11_token_init *how,
                              const CK_TOKEN_INFO *token,
                              struct pkcs11_refusal *refusal)
{
    size_t label_len = strlen(how->label);
    if (label_len == 0 || label_len > sizeof token->label) {
        admin_refuse(refusal, CKR_OK, "a token's label has 1 to %zu bytes",
                     sizeof token->label);
        return HF_E_INVALID;
    }
    if (!pin_fits(token, how->so_pin) || !pin_fits(token, how->pin)) {
        admin_refuse(refusal, CKR_OK,
                     "this token takes PINs of %lu to %lu bytes",
                     token->ulMinPinLen, token->ulMaxPinLen);
        return HF_E_INVALID;
    }
    return HF_OK;
}

/* The module's functions take what they only read without const. */
CK_UTF8CHAR *admin_pin(const struct secret *pin)
{
    return pin == NULL ? NULL : (CK_UTF8CHAR *)(uintptr_t)secret_bytes(pin);
}

CK_ULONG admin_pin_len(const struct secret *pin)
{
    return pin == NULL ? 0 : secret_len(pin);
}

HF_STATUS admin_so_pin_tries(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                             struct pkcs11_refusal *refusal)
{
    CK_TOKEN_INFO token = {0};
    CK_RV rv = calls->C_GetTokenInfo(slot, &token);
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the token does not answer");
        return rv_meaning(rv).status;
    }
    if ((token.flags & (CKF_SO_PIN_LOCKED | CKF_SO_PIN_FINAL_TRY)) != 0) {
        admin_refuse(refusal, CKR_OK,
                     "the security officer's PIN is locked, or a wrong one "
                     "more locks it: none was tried");
        return HF_E_DENIED;
    }
    return HF_OK;
}

static HF_STATUS token_name(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                            const struct pkcs11_token_init *how,
                            struct pkcs11_refusal *refusal)
{
    CK_UTF8CHAR label[sizeof((CK_TOKEN_INFO *)0)->label];
    memset(label, ' ', sizeof label);
    memcpy(label, how->label, strlen(how->label));
    CK_RV rv = calls->C_InitToken(slot, admin_pin(how->so_pin),
                                  admin_pin_len(how->so_pin), label);
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the free slot cannot be initialised");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}

static HF_STATUS pin_set_in(CK_FUNCTION_LIST *calls, CK_SESSION_HANDLE session,
                            const struct pkcs11_token_init *how,
                            struct pkcs11_refusal *refusal)
{
    CK_RV rv = calls->C_Login(session, CKU_SO, admin_pin(how->so_pin),
                              admin_pin_len(how->so_pin));
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv,
                     "the token refuses the security officer's PIN");
        return rv_meaning(rv).status;
    }
    rv =
        calls->C_InitPIN(session, admin_pin(how->pin), admin_pin_len(how->pin));
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the user PIN cannot be set");
        return rv_meaning(rv).status;
    }
    return HF_OK;
}

/* Closing the only session ends the officer's log-in as well. */
static HF_STATUS pin_set(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                         const struct pkcs11_token_init *how,
                         struct pkcs11_refusal *refusal)
{
    HF_TRY(admin_so_pin_tries(calls, slot, refusal));
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_RV rv = calls->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                    NULL, NULL, &session);
    if (rv != CKR_OK) {
        admin_refuse(refusal, rv, "the new token opens no session");
        return rv_meaning(rv).status;
    }
    enum hf_status status = pin_set_in(calls, session, how, refusal);
    rv = calls->C_CloseSession(session);
    if (status == HF_OK && rv != CKR_OK) {
        admin_refuse(refusal, rv, "the new token does not close its session");
        status = rv_meaning(rv).status;
    }
    return status;
}

HF_STATUS pkcs11_token_initialise(const struct pkcs11_token_init *how,
                                  struct pkcs11_token_info *out_info,
                                  struct pkcs11_refusal *out_refusal)
{
    HF_OWNED(p11_module_releasep) struct p11_module *module = NULL;
    CK_SLOT_ID slot = 0;
    CK_TOKEN_INFO token = {0};
    HF_TRY(admin_module(how->module_path, &module, out_refusal));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    HF_TRY(slot_choose(calls, how, &slot, &token, out_refusal));
    HF_TRY(inputs_check(how, &token, out_refusal));
    if ((token.flags & CKF_TOKEN_INITIALIZED) == 0) {
        HF_TRY(token_name(calls, slot, how, out_refusal));
    } else if ((token.flags & CKF_USER_PIN_INITIALIZED) != 0) {
        admin_refuse(out_refusal, CKR_OK,
                     "a token with this label is initialised already");
        return HF_E_EXISTS;
    }
    HF_TRY(pin_set(calls, slot, how, out_refusal));
    if (!slot_info(calls, slot, &token, out_info)) {
        admin_refuse(out_refusal, CKR_OK, "the new token does not answer");
        return HF_E_UNREACHABLE;
    }
    return HF_OK;
}

HF_STATUS admin_slot(CK_FUNCTION_LIST *calls, const char *label,
                     const char *serial, CK_SLOT_ID *out_slot)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = 0;
    struct pkcs11_refusal ignored;
    HF_TRY(slots_list(calls, slots, &count, &ignored));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO token = {0};
        struct pkcs11_token_info info;
        if (slot_info(calls, slots[i], &token, &info) && info.initialised &&
            strcmp(info.label, label) == 0 &&
            strcmp(info.serial, serial) == 0) {
            *out_slot = slots[i];
            return HF_OK;
        }
    }
    return HF_E_NOT_FOUND;
}

static CK_RV objects_count(CK_FUNCTION_LIST *calls, CK_SESSION_HANDLE session,
                           size_t *out_count)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE filter[] = {
        {CKA_TOKEN, &yes, sizeof yes}
    };
    CK_OBJECT_HANDLE found[FIND_AT_ONCE];
    CK_ULONG got = FIND_AT_ONCE;
    size_t count = 0;
    CK_RV rv = calls->C_FindObjectsInit(session, filter, 1);
    for (int i = 0; rv == CKR_OK && got > 0 && i < OBJECTS_ROUND; i++) {
        rv = calls->C_FindObjects(session, found, FIND_AT_ONCE, &got);
        count += rv == CKR_OK ? got : 0;
    }
    *out_count = count;
    return rv;
}

HF_STATUS pkcs11_token_objects(const char *module_path, const char *label,
                               const char *serial, size_t *out_count)
{
    HF_OWNED(p11_module_releasep) struct p11_module *module = NULL;
    CK_RV rv = CKR_OK;
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    HF_TRY(p11_module_open(module_path, &module, &rv));
    CK_FUNCTION_LIST *calls = p11_module_calls(module);
    HF_TRY(admin_slot(calls, label, serial, &slot));
    rv = calls->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK) {
        return rv_meaning(rv).status;
    }
    CK_SESSION_INFO about = {0};
    rv = calls->C_GetSessionInfo(session, &about);
    bool logged_in = rv == CKR_OK && about.state == CKS_RO_USER_FUNCTIONS;
    if (logged_in) {
        rv = objects_count(calls, session, out_count);
    }
    CK_RV closed = calls->C_CloseSession(session);
    if (rv == CKR_OK && !logged_in) {
        return HF_E_PRECONDITION;
    }
    return rv_meaning(rv == CKR_OK ? closed : rv).status;
}
