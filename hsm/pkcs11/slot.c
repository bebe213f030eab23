#include "hsm/pkcs11/slot.h"

#include <string.h>

#define SLOTS_MAX 256

void p11_text_of(const unsigned char *padded, size_t len, char *out)
{
    while (len > 0 && (padded[len - 1] == ' ' || padded[len - 1] == '\0')) {
        len -= 1;
    }
    memcpy(out, padded, len);
    out[len] = '\0';
}

static bool fits(const struct p11_token *token, const CK_TOKEN_INFO *info)
{
    char label[sizeof info->label + 1];
    char serial[sizeof info->serialNumber + 1];
    p11_text_of(info->label, sizeof info->label, label);
    p11_text_of(info->serialNumber, sizeof info->serialNumber, serial);
    return (info->flags & CKF_TOKEN_INITIALIZED) != 0 &&
           strcmp(label, token->label) == 0 &&
           (token->serial[0] == '\0' || strcmp(serial, token->serial) == 0);
}

HF_STATUS p11_slot_find(struct p11_work *work, size_t *out_matches)
{
    struct p11_token *token = work->token;
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    *out_matches = 0;
    /* PKCS#11 lets the list grow only when it is asked for without a buffer */
    CK_ULONG known = 0;
    HF_TRY(P11_CALL(work, C_GetSlotList, CK_TRUE, NULL, &known));
    HF_TRY(P11_CALL(work, C_GetSlotList, CK_TRUE, slots, &count));
    CK_TOKEN_INFO found = {0};
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info = {0};
        /* a slot whose token does not answer is somebody else's trouble */
        if (token->calls->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            !fits(token, &info)) {
            continue;
        }
        found = info;
        *out_matches += 1;
        atomic_store(&token->slot, slots[i]);
    }
    if (*out_matches != 1) {
        return HF_E_NOT_FOUND;
    }
    if (token->serial[0] == '\0') {
        p11_text_of(found.serialNumber, sizeof found.serialNumber,
                    token->serial);
    }
    return HF_OK;
}

static size_t smaller_limit(size_t a, CK_ULONG b)
{
    if (b == CK_EFFECTIVELY_INFINITE || b == CK_UNAVAILABLE_INFORMATION) {
        return a;
    }
    return a == 0 || b < a ? (size_t)b : a;
}

static uint64_t known_bytes(CK_ULONG bytes)
{
    return bytes == CK_UNAVAILABLE_INFORMATION ? 0 : bytes;
}

HF_STATUS p11_token_info(struct p11_work *work, struct token_profile *profile,
                         size_t *out_sessions)
{
    CK_TOKEN_INFO info = {0};
    HF_TRY(
        P11_CALL(work, C_GetTokenInfo, atomic_load(&work->token->slot), &info));
    p11_text_of(info.label, sizeof info.label, profile->label);
    p11_text_of(info.serialNumber, sizeof info.serialNumber, profile->serial);
    p11_text_of(info.manufacturerID, sizeof info.manufacturerID,
                profile->manufacturer);
    p11_text_of(info.model, sizeof info.model, profile->model);
    profile->login_required = (info.flags & CKF_LOGIN_REQUIRED) != 0;
    profile->pin_count_low = (info.flags & CKF_USER_PIN_COUNT_LOW) != 0;
    profile->pin_final_try = (info.flags & CKF_USER_PIN_FINAL_TRY) != 0;
    profile->pin_locked = (info.flags & CKF_USER_PIN_LOCKED) != 0;
    profile->total_private_bytes = known_bytes(info.ulTotalPrivateMemory);
    profile->free_private_bytes = known_bytes(info.ulFreePrivateMemory);
    *out_sessions = smaller_limit(smaller_limit(0, info.ulMaxSessionCount),
                                  info.ulMaxRwSessionCount);
    return HF_OK;
}
