/* cryptoki: PKCS#11 v2.40 names, from p11-kit's header, and the few numbers
 * that it does not have. Only this folder and tests/fault include it. */
#pragma once

#include <p11-kit/pkcs11.h>

/* PKCS#11 v3.0 gave AES key wrap with padding (RFC 5649) a number of its own;
 * SoftHSM and older modules know it by the v2.40 number. */
#define P11_CKM_AES_KWP_V240        CKM_AES_KEY_WRAP_PAD /* 0x210A */
#define P11_CKM_AES_KWP_V300        0x210BUL

#define P11_CKR_AEAD_DECRYPT_FAILED 0x35UL /* PKCS#11 v3.0 */
