/* signed: what two custodians sign of a ceremony, as the exact bytes.
 *
 *   holdfast-ceremony-v1
 *   name=first keys of contoso
 *   token_label=contoso-ck1
 *   token_serial=8f2a4c1d5e6b7a90
 *   outcome=completed
 *   lines=12
 *   transcript_sha256=...      of the transcript's file, as sha256sum shows it
 *   custodian_1=...            SHA-256 of the DER of their public keys
 *   custodian_2=...
 *
 * It stands beside the transcript in FILE.statement, the signatures in
 * FILE.1.sig and FILE.2.sig (DER), so that openssl alone can check them. No
 * side effects here. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/tool/ceremony/transcript.h"

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#define SIGNED_MAX_BYTES 1024
#define CUSTODIANS       2

/* signed_write: the statement of a transcript that has ended.
 * Takes     lines of transcript_check, the whole text of the file.
 * Returns   HF_OK; HF_E_PRECONDITION when it has not ended; HF_E_INVALID when a
 *           value may not stand in a statement; HF_E_NO_MEMORY. */
HF_STATUS signed_write(const json_t *lines, struct bytes transcript,
                       uint8_t out[SIGNED_MAX_BYTES], size_t *out_len);

struct signed_parts {
    struct bytes transcript;
    struct bytes statement;
    struct bytes signatures[CUSTODIANS];
    struct bytes public_keys[CUSTODIANS]; /* in any order */
};

/* signed_verify: is the transcript whole, and what these two signed?
 * Returns   HF_OK with *out_lines; HF_E_CORRUPT with *fault, of line 0 when it
 *           is not a line's; HF_E_INVALID when a public key is none;
 *           HF_E_NO_MEMORY. */
HF_STATUS signed_verify(const struct signed_parts *parts, json_t **out_lines,
                        struct transcript_fault *fault);
