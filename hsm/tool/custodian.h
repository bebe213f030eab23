/* custodian: the key with which a custodian signs: ECDSA P-256 or
 * Ed25519, in a PEM file that only its owner can read. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"
#include "hsm/sys/signature.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CUSTODIAN_PEM_MAX_BYTES 2048

struct custodian;

/* custodian_new: a fresh key. HF_OK; HF_E_INTERNAL. */
HF_STATUS custodian_new(bool ed25519, struct custodian **out_custodian);
/* custodian_read: from the PEM of a private key (PKCS#8, not encrypted).
 * HF_OK; HF_E_INVALID when it is none, or of another kind. */
HF_STATUS custodian_read(const struct secret *pem,
                         struct custodian **out_custodian);
void custodian_free(struct custodian *custodian);
HF_DEFINE_FREEP(struct custodian, custodian)

/* custodian_private_pem: *out_pem to be freed with secret_free. */
HF_STATUS custodian_private_pem(const struct custodian *custodian,
                                struct secret **out_pem);
HF_STATUS custodian_public_pem(const struct custodian *custodian,
                               char out[CUSTODIAN_PEM_MAX_BYTES],
                               size_t *out_len);
/* custodian_fingerprint: of the public key. HF_OK; HF_E_INTERNAL. */
HF_STATUS custodian_fingerprint(const struct custodian *custodian,
                                uint8_t out[HF_SHA256_BYTES]);
/* custodian_open: from an owner-only file; told. */
struct tool;
HF_STATUS custodian_open(struct tool *tool, const char *path,
                         struct custodian **out_custodian);
/* custodian_sign: what signature_verify accepts. */
HF_STATUS custodian_sign(const struct custodian *custodian,
                         struct bytes message, uint8_t out[SIGNATURE_MAX_BYTES],
                         size_t *out_len);
