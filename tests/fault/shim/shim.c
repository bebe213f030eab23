/* shim: a PKCS#11 library that passes every call on to the real one, unless a
 * rule says otherwise (rules.h). Calls that no test needs to disturb go to the
 * real module directly: their entries of the function list are the module's. */
#include "hsm/base/check.h"

#include "tests/fault/shim/lies.h"
#include "tests/fault/shim/rules.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 1024
#define LABEL_BYTES  33

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST list;

/* Which token a session belongs to. */
static struct {
    pthread_mutex_t lock;
    struct {
        CK_SESSION_HANDLE session;
        char label[LABEL_BYTES];
    } at[SESSIONS_MAX];
} sessions = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void label_of_slot(CK_SLOT_ID slot, char out[LABEL_BYTES])
{
    CK_TOKEN_INFO info = {0};
    size_t len = sizeof info.label;
    out[0] = '\0';
    if (real->C_GetTokenInfo(slot, &info) != CKR_OK) {
        return;
    }
    while (len > 0 && info.label[len - 1] == ' ') {
        len -= 1;
    }
    memcpy(out, info.label, len);
    out[len] = '\0';
}

static void label_of_session(CK_SESSION_HANDLE session, char out[LABEL_BYTES])
{
    out[0] = '\0';
    pthread_mutex_lock(&sessions.lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (sessions.at[i].session == session) {
            memcpy(out, sessions.at[i].label, LABEL_BYTES);
            break;
        }
    }
    pthread_mutex_unlock(&sessions.lock);
}

/* session 0: takes the entry of `was` away. */
static void note_session(CK_SESSION_HANDLE was, CK_SESSION_HANDLE now,
                         const char *label)
{
    pthread_mutex_lock(&sessions.lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (sessions.at[i].session == was) {
            sessions.at[i].session = now;
            memcpy(sessions.at[i].label, label, strlen(label) + 1);
            break;
        }
    }
    pthread_mutex_unlock(&sessions.lock);
}

/* Of one token, or of all ("*"): their numbers may come again. */
static void forget_sessions(const char *label)
{
    pthread_mutex_lock(&sessions.lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (label[0] == '*' || strcmp(sessions.at[i].label, label) == 0) {
            sessions.at[i].session = CK_INVALID_HANDLE;
            sessions.at[i].label[0] = '\0';
        }
    }
    pthread_mutex_unlock(&sessions.lock);
}

/* Behind everybody's back: what the others learn is that their sessions are
 * gone. */
static void drop_sessions(CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info = {0};
    if (real->C_GetSessionInfo(session, &info) == CKR_OK) {
        CK_RV rv = real->C_CloseAllSessions(info.slotID);
        (void)rv;
    }
}

static struct fault meet_session(CK_SESSION_HANDLE session,
                                 const char *function)
{
    char label[LABEL_BYTES];
    label_of_session(session, label);
    struct fault fault = rules_meet(label, function);
    if (fault.drop) {
        drop_sessions(session);
    }
    return fault;
}

static struct fault meet_slot(CK_SLOT_ID slot, const char *function)
{
    char label[LABEL_BYTES];
    label_of_slot(slot, label);
    return rules_meet(label, function);
}

/* Passes a call on, and answers as the rule wants. */
#define PASS_ON(fault, call)                                                   \
    do {                                                                       \
        if ((fault).answer && !(fault).late) {                                 \
            return (fault).rv;                                                 \
        }                                                                      \
        CK_RV rv_ = (call);                                                    \
        return (fault).answer ? (fault).rv : rv_;                              \
    } while (0)

#define BY_SESSION(name, parameters, arguments)                                \
    static CK_RV shim_##name parameters                                        \
    {                                                                          \
        struct fault fault = meet_session(session, #name);                     \
        PASS_ON(fault, real->name arguments);                                  \
    }

#define BY_SLOT(name, parameters, arguments)                                   \
    static CK_RV shim_##name parameters                                        \
    {                                                                          \
        struct fault fault = meet_slot(slot, #name);                           \
        PASS_ON(fault, real->name arguments);                                  \
    }

/* Calls with an output that a rule may falsify. */
#define BY_SESSION_OUT(name, parameters, arguments, out, out_len)              \
    static CK_RV shim_##name parameters                                        \
    {                                                                          \
        struct fault fault = meet_session(session, #name);                     \
        if (fault.answer) {                                                    \
            PASS_ON(fault, real->name arguments);                              \
        }                                                                      \
        CK_RV rv = real->name arguments;                                       \
        rv = lie_about(fault.lie, rv, out, out_len);                           \
        return rv;                                                             \
    }

/* clang-format off */
BY_SESSION(C_GetSessionInfo,
           (CK_SESSION_HANDLE session, CK_SESSION_INFO *info),
           (session, info))
BY_SESSION(C_Logout, (CK_SESSION_HANDLE session), (session))
BY_SESSION(C_SetAttributeValue,
           (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
            CK_ATTRIBUTE *template_, CK_ULONG template_len),
           (session, object, template_, template_len))
BY_SESSION(C_FindObjectsInit,
           (CK_SESSION_HANDLE session, CK_ATTRIBUTE *template_,
            CK_ULONG template_len),
           (session, template_, template_len))
BY_SESSION(C_FindObjectsFinal, (CK_SESSION_HANDLE session), (session))
BY_SESSION(C_EncryptInit,
           (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
            CK_OBJECT_HANDLE key),
           (session, mechanism, key))
BY_SESSION(C_DecryptInit,
           (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
            CK_OBJECT_HANDLE key),
           (session, mechanism, key))
BY_SESSION(C_SignInit,
           (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
            CK_OBJECT_HANDLE key),
           (session, mechanism, key))
BY_SESSION(C_VerifyInit,
           (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
            CK_OBJECT_HANDLE key),
           (session, mechanism, key))
BY_SESSION(C_Verify,
           (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len,
            CK_BYTE *signature, CK_ULONG signature_len),
           (session, in, in_len, signature, signature_len))
BY_SLOT(C_GetMechanismInfo,
        (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),
        (slot, type, info))
BY_SESSION_OUT(C_Encrypt,
               (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len,
                CK_BYTE *out, CK_ULONG *out_len),
               (session, in, in_len, out, out_len), out, out_len)
BY_SESSION_OUT(C_Decrypt,
               (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len,
                CK_BYTE *out, CK_ULONG *out_len),
               (session, in, in_len, out, out_len), out, out_len)
BY_SESSION_OUT(C_Sign,
               (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len,
                CK_BYTE *out, CK_ULONG *out_len),
               (session, in, in_len, out, out_len), out, out_len)
BY_SESSION_OUT(C_WrapKey,
               (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                CK_OBJECT_HANDLE under, CK_OBJECT_HANDLE key, CK_BYTE *out,
                CK_ULONG *out_len),
               (session, mechanism, under, key, out, out_len), out, out_len)
/* clang-format on */

/* Whoever stands at the token's pad. */
static CK_ULONG entered_at(const char *path, CK_UTF8CHAR *pin, size_t cap)
{
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    size_t len = fread(pin, 1, cap, file);
    fclose(file);
    while (len > 0 && pin[len - 1] == '\n') {
        len -= 1;
    }
    return len;
}

static CK_RV shim_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user,
                          CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    CK_UTF8CHAR entered[256];
    struct fault fault = meet_session(session, "C_Login");
    if (pin == NULL && fault.pad[0] != '\0') {
        pin_len = entered_at(fault.pad, entered, sizeof entered);
        pin = entered;
    }
    PASS_ON(fault, real->C_Login(session, user, pin, pin_len));
}

static CK_RV shim_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots,
                                CK_ULONG *slots_len)
{
    struct fault fault = rules_meet("", "C_GetSlotList");
    PASS_ON(fault, real->C_GetSlotList(present, slots, slots_len));
}

static CK_RV shim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct fault fault = meet_slot(slot, "C_GetTokenInfo");
    if (fault.answer) {
        return fault.rv;
    }
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK) {
        info->flags |= fault.flags;
    }
    return rv;
}

static CK_RV shim_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags,
                                void *application, CK_NOTIFY notify,
                                CK_SESSION_HANDLE *session)
{
    char label[LABEL_BYTES];
    label_of_slot(slot, label);
    struct fault fault = rules_meet(label, "C_OpenSession");
    if (fault.answer && !fault.late) {
        return fault.rv;
    }
    CK_SESSION_HANDLE made = CK_INVALID_HANDLE;
    CK_RV rv = real->C_OpenSession(slot, flags, application, notify, &made);
    if (rv == CKR_OK && !fault.answer) {
        note_session(CK_INVALID_HANDLE, made, label);
        *session = made;
    }
    return fault.answer ? fault.rv : rv;
}

static CK_RV shim_C_CloseSession(CK_SESSION_HANDLE session)
{
    struct fault fault = meet_session(session, "C_CloseSession");
    if (!fault.answer || fault.late) {
        note_session(session, CK_INVALID_HANDLE, "");
    }
    PASS_ON(fault, real->C_CloseSession(session));
}

static CK_RV shim_C_CloseAllSessions(CK_SLOT_ID slot)
{
    char label[LABEL_BYTES];
    label_of_slot(slot, label);
    struct fault fault = rules_meet(label, "C_CloseAllSessions");
    if (!fault.answer) {
        forget_sessions(label);
    }
    PASS_ON(fault, real->C_CloseAllSessions(slot));
}

static CK_RV shim_C_FindObjects(CK_SESSION_HANDLE session,
                                CK_OBJECT_HANDLE *objects, CK_ULONG objects_max,
                                CK_ULONG *objects_len)
{
    struct fault fault = meet_session(session, "C_FindObjects");
    if (fault.lie == LIE_EMPTY) {
        *objects_len = 0;
        return CKR_OK;
    }
    if (fault.answer) {
        PASS_ON(fault, real->C_FindObjects(session, objects, objects_max,
                                           objects_len));
    }
    CK_RV rv = real->C_FindObjects(session, objects, objects_max, objects_len);
    if (rv == CKR_OK) {
        lie_leave_out_hidden(objects, objects_len);
    }
    return rv;
}

static CK_RV shim_C_DestroyObject(CK_SESSION_HANDLE session,
                                  CK_OBJECT_HANDLE object)
{
    struct fault fault = meet_session(session, "C_DestroyObject");
    if (fault.lie == LIE_HIDE) {
        lie_hide(object);
    }
    if (fault.lie == LIE_KEEP || fault.lie == LIE_HIDE) {
        return CKR_OK;
    }
    PASS_ON(fault, real->C_DestroyObject(session, object));
}

/* Where a rule says so, points the template at one for a session object. */
#define LOSE(fault, template, len)                                             \
    CK_ATTRIBUTE lost_##template[TEMPLATE_MAX];                                \
    if ((fault).lie == LIE_LOSE) {                                             \
        (len) = lie_for_session((template), (len), lost_##template);           \
        (template) = lost_##template;                                          \
    }

static CK_RV shim_C_GenerateKey(CK_SESSION_HANDLE session,
                                CK_MECHANISM *mechanism,
                                CK_ATTRIBUTE *template_, CK_ULONG template_len,
                                CK_OBJECT_HANDLE *key)
{
    struct fault fault = meet_session(session, "C_GenerateKey");
    LOSE(fault, template_, template_len)
    PASS_ON(fault, real->C_GenerateKey(session, mechanism, template_,
                                       template_len, key));
}

static CK_RV shim_C_CreateObject(CK_SESSION_HANDLE session,
                                 CK_ATTRIBUTE *template_, CK_ULONG template_len,
                                 CK_OBJECT_HANDLE *object)
{
    struct fault fault = meet_session(session, "C_CreateObject");
    LOSE(fault, template_, template_len)
    PASS_ON(fault,
            real->C_CreateObject(session, template_, template_len, object));
}

static CK_RV shim_C_GenerateKeyPair(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_,
    CK_ULONG public_len, CK_ATTRIBUTE *private_, CK_ULONG private_len,
    CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    struct fault fault = meet_session(session, "C_GenerateKeyPair");
    LOSE(fault, public_, public_len)
    LOSE(fault, private_, private_len)
    CK_ATTRIBUTE kept[TEMPLATE_MAX];
    CK_ULONG len = 0;
    CHECK(private_len <= TEMPLATE_MAX);
    for (CK_ULONG i = 0; i < private_len; i++) {
        if (fault.lie != LIE_LOOSE || private_[i].type != CKA_UNWRAP_TEMPLATE) {
            kept[len++] = private_[i];
        }
    }
    PASS_ON(fault,
            real->C_GenerateKeyPair(session, mechanism, public_, public_len,
                                    kept, len, public_key, private_key));
}

static CK_RV shim_C_UnwrapKey(CK_SESSION_HANDLE session,
                              CK_MECHANISM *mechanism, CK_OBJECT_HANDLE under,
                              CK_BYTE *wrapped, CK_ULONG wrapped_len,
                              CK_ATTRIBUTE *template_, CK_ULONG template_len,
                              CK_OBJECT_HANDLE *key)
{
    struct fault fault = meet_session(session, "C_UnwrapKey");
    CK_ATTRIBUTE loose[TEMPLATE_MAX];
    if (fault.lie == LIE_LOOSE) {
        template_len = lie_loosened(template_, template_len, loose);
        template_ = loose;
    }
    if (fault.lie == LIE_SWAP) {
        return lie_another_key(real, session, template_, template_len, key);
    }
    PASS_ON(fault,
            real->C_UnwrapKey(session, mechanism, under, wrapped, wrapped_len,
                              template_, template_len, key));
}

static CK_RV shim_C_GetAttributeValue(CK_SESSION_HANDLE session,
                                      CK_OBJECT_HANDLE object,
                                      CK_ATTRIBUTE *template_,
                                      CK_ULONG template_len)
{
    struct fault fault = meet_session(session, "C_GetAttributeValue");
    CK_ULONG room = template_len > 0 ? template_[0].ulValueLen : 0;
    if (fault.lie == LIE_READABLE && template_len == 1 && room > 0 &&
        template_[0].type == CKA_VALUE) {
        memset(template_[0].pValue, 0x5a, room);
        return CKR_OK;
    }
    PASS_ON(fault, real->C_GetAttributeValue(session, object, template_,
                                             template_len));
}

static CK_RV shim_C_CopyObject(CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template_,
                               CK_ULONG template_len, CK_OBJECT_HANDLE *copy)
{
    struct fault fault = meet_session(session, "C_CopyObject");
    LOSE(fault, template_, template_len)
    PASS_ON(fault,
            real->C_CopyObject(session, object, template_, template_len, copy));
}

static CK_RV shim_C_Initialize(void *arguments)
{
    struct fault fault = rules_meet("", "C_Initialize");
    PASS_ON(fault, real->C_Initialize(arguments));
}

static CK_RV shim_C_Finalize(void *reserved_)
{
    struct fault fault = rules_meet("", "C_Finalize");
    if (!fault.answer) {
        forget_sessions("*");
        lie_hide_nothing();
    }
    PASS_ON(fault, real->C_Finalize(reserved_));
}

static void take_over(void)
{
    list = *real;
    list.C_Initialize = shim_C_Initialize;
    list.C_Finalize = shim_C_Finalize;
    list.C_GetSlotList = shim_C_GetSlotList;
    list.C_GetTokenInfo = shim_C_GetTokenInfo;
    list.C_GetMechanismInfo = shim_C_GetMechanismInfo;
    list.C_OpenSession = shim_C_OpenSession;
    list.C_CloseSession = shim_C_CloseSession;
    list.C_CloseAllSessions = shim_C_CloseAllSessions;
    list.C_GetSessionInfo = shim_C_GetSessionInfo;
    list.C_Login = shim_C_Login;
    list.C_Logout = shim_C_Logout;
    list.C_CreateObject = shim_C_CreateObject;
    list.C_CopyObject = shim_C_CopyObject;
    list.C_DestroyObject = shim_C_DestroyObject;
    list.C_SetAttributeValue = shim_C_SetAttributeValue;
    list.C_GetAttributeValue = shim_C_GetAttributeValue;
    list.C_FindObjectsInit = shim_C_FindObjectsInit;
    list.C_FindObjects = shim_C_FindObjects;
    list.C_FindObjectsFinal = shim_C_FindObjectsFinal;
    list.C_EncryptInit = shim_C_EncryptInit;
    list.C_Encrypt = shim_C_Encrypt;
    list.C_DecryptInit = shim_C_DecryptInit;
    list.C_Decrypt = shim_C_Decrypt;
    list.C_SignInit = shim_C_SignInit;
    list.C_Sign = shim_C_Sign;
    list.C_VerifyInit = shim_C_VerifyInit;
    list.C_Verify = shim_C_Verify;
    list.C_GenerateKey = shim_C_GenerateKey;
    list.C_GenerateKeyPair = shim_C_GenerateKeyPair;
    list.C_WrapKey = shim_C_WrapKey;
    list.C_UnwrapKey = shim_C_UnwrapKey;
}

static void load_real(void)
{
    const char *path = getenv("HF_FAULT_MODULE");
    void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get = NULL;
    memcpy(&get, &symbol, sizeof get);
    if (get != NULL && get(&real) == CKR_OK && real != NULL) {
        take_over();
    }
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_real);
    if (real == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *out = &list;
    return CKR_OK;
}
