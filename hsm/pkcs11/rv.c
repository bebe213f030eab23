#include "hsm/pkcs11/rv.h"

#include "hsm/base/check.h"

#include <stddef.h>

#define ROW(code, status_, kind_, suspect)                                     \
    {                                                                          \
        .rv = (code), .status = (status_), .kind = (kind_),                    \
        .broken = (suspect), .known = true, .name = #code                      \
    }

/* Table 6-A. What is not here is TRANSIENT plus an alert, which may lead to the
 * availability key; so every code that says "you used me wrongly" is listed as
 * our own, whether the specification names it or not. */
static const struct rv_meaning meanings[] = {
    ROW(CKR_OK, HF_OK, RV_FINAL, false),

    /* DENIED: the token refuses the function or the login */
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_ACTION_PROHIBITED, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_PIN_INCORRECT, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_PIN_INVALID, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_PIN_LEN_RANGE, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_PIN_LOCKED, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_PIN_EXPIRED, HF_E_DENIED, RV_FINAL, false),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, HF_E_DENIED, RV_FINAL, false),

    /* TRANSIENT */
    ROW(CKR_TOKEN_NOT_PRESENT, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_SLOT_ID_INVALID, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_DEVICE_REMOVED, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_SESSION_HANDLE_INVALID, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_SESSION_CLOSED, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_USER_NOT_LOGGED_IN, HF_E_UNREACHABLE, RV_SESSION, true),
    ROW(CKR_DEVICE_ERROR, HF_E_UNREACHABLE, RV_FINAL, true),
    ROW(CKR_DEVICE_MEMORY, HF_E_UNREACHABLE, RV_FINAL, true),
    ROW(CKR_FUNCTION_CANCELED, HF_E_UNREACHABLE, RV_FINAL, true),
    /* of what it has signed itself just now */
    ROW(CKR_SIGNATURE_INVALID, HF_E_UNREACHABLE, RV_FINAL, true),
    ROW(CKR_SIGNATURE_LEN_RANGE, HF_E_UNREACHABLE, RV_FINAL, true),
    ROW(CKR_GENERAL_ERROR, HF_E_UNREACHABLE, RV_DOUBTFUL, true),
    ROW(CKR_FUNCTION_FAILED, HF_E_UNREACHABLE, RV_DOUBTFUL, true),
    /* some modules say "bad data" for a bad OAEP block or tag: not in the
     * table, so the canary has to agree */
    ROW(CKR_DATA_INVALID, HF_E_UNREACHABLE, RV_DOUBTFUL, true),
    ROW(CKR_DATA_LEN_RANGE, HF_E_UNREACHABLE, RV_DOUBTFUL, true),
    ROW(P11_CKR_AEAD_DECRYPT_FAILED, HF_E_UNREACHABLE, RV_DOUBTFUL, true),

    /* BAD_BLOB */
    ROW(CKR_WRAPPED_KEY_INVALID, HF_E_BAD_BLOB, RV_FINAL, false),
    ROW(CKR_WRAPPED_KEY_LEN_RANGE, HF_E_BAD_BLOB, RV_FINAL, false),
    ROW(CKR_ENCRYPTED_DATA_INVALID, HF_E_BAD_BLOB, RV_FINAL, false),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, HF_E_BAD_BLOB, RV_FINAL, false),

    /* a handle that was good: the object went away under it */
    ROW(CKR_KEY_HANDLE_INVALID, HF_E_UNCONFIRMED, RV_HANDLE, false),
    ROW(CKR_OBJECT_HANDLE_INVALID, HF_E_UNCONFIRMED, RV_HANDLE, false),
    ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID, HF_E_UNCONFIRMED, RV_HANDLE, false),
    ROW(CKR_WRAPPING_KEY_HANDLE_INVALID, HF_E_UNCONFIRMED, RV_HANDLE, false),

    /* OURS */
    ROW(CKR_HOST_MEMORY, HF_E_NO_MEMORY, RV_FINAL, true),
    ROW(CKR_SESSION_COUNT, HF_E_RESOURCES, RV_FINAL, false),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, HF_E_MISUSE, RV_FINAL, true),
    ROW(CKR_MECHANISM_INVALID, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_MECHANISM_PARAM_INVALID, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_ARGUMENTS_BAD, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_ATTRIBUTE_READ_ONLY, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_ATTRIBUTE_SENSITIVE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_TEMPLATE_INCOMPLETE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_TEMPLATE_INCONSISTENT, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_KEY_SIZE_RANGE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_KEY_TYPE_INCONSISTENT, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_KEY_NOT_WRAPPABLE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_KEY_UNEXTRACTABLE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_UNWRAPPING_KEY_SIZE_RANGE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_WRAPPING_KEY_SIZE_RANGE, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_BUFFER_TOO_SMALL, HF_E_MISUSE, RV_FINAL, true),
    ROW(CKR_OPERATION_ACTIVE, HF_E_MISUSE, RV_FINAL, true),
    ROW(CKR_OPERATION_NOT_INITIALIZED, HF_E_MISUSE, RV_FINAL, true),
    ROW(CKR_SESSION_READ_ONLY, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_CANT_LOCK, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_NEED_TO_CREATE_THREADS, HF_E_MISUSE, RV_FINAL, false),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, HF_E_UNSUPPORTED, RV_FINAL, false),
    ROW(CKR_CURVE_NOT_SUPPORTED, HF_E_UNSUPPORTED, RV_FINAL, false),
};

struct rv_meaning rv_meaning(CK_RV rv)
{
    for (size_t i = 0; i < HF_COUNT(meanings); i++) {
        if (meanings[i].rv == rv) {
            return meanings[i];
        }
    }
    return (struct rv_meaning){
        .rv = rv,
        .status = HF_E_UNREACHABLE,
        .kind = RV_FINAL,
        .broken = true,
        .known = false,
        .name = "CKR_?",
    };
}

bool rv_is_trouble(const struct rv_meaning *meaning)
{
    return meaning->kind != RV_DOUBTFUL &&
           (meaning->broken || meaning->kind == RV_HANDLE ||
            meaning->status == HF_E_RESOURCES);
}

const char *rv_name(CK_RV rv)
{
    return rv_meaning(rv).name;
}
