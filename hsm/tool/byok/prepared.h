/* prepared: what the custodian of a token gives to the owner of a key that is
 * to come into it: the public half of a pair that was made in the token, and a
 * signed statement that it was.
 *
 *   holdfast-import-v1
 *   token_label=contoso-ck1
 *   token_serial=8f2a4c1d5e6b7a90
 *   transport_id=000001a2...
 *   transport_sha256=...         of the public key in DER
 *   suite=RSA-OAEP-SHA1          how the AES key is to be wrapped
 *   prepared_at=2026-11-29T09:00:00Z
 *
 * Without the signature anybody on the way could put a key of their own in, and
 * read the owner's. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/enrolment.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/tool/custodian.h"

#include <stdint.h>

#define PREPARED_MAX_BYTES 1024
#define PREPARED_FILE_MAX  16384
#define PREPARED_ID_TEXT   (2 * HF_CKA_ID_MAX_BYTES + 1)

struct prepared {
    char token_label[ENROLMENT_LABEL_MAX_BYTES + 1];
    char token_serial[ENROLMENT_SERIAL_MAX_BYTES + 1];
    char transport_id[PREPARED_ID_TEXT]; /* hex */
    uint8_t transport_sha256[HF_SHA256_BYTES];
    enum token_suite suite;
    int64_t prepared_s;
    uint8_t spki[HF_SPKI_MAX_BYTES]; /* not in the statement: its hash is */
    size_t spki_len;
};

/* prepared_write: the whole file, signed, to be freed with free().
 * HF_OK; HF_E_INVALID; HF_E_INTERNAL; HF_E_NO_MEMORY. */
HF_STATUS prepared_write(const struct prepared *prepared,
                         const struct custodian *custodian, char **out_text);

/* prepared_read: HF_OK; HF_E_CORRUPT when it is no such file, or its key is not
 * the one of the statement; HF_E_DENIED when this custodian did not sign it;
 * HF_E_INVALID when the public key is none. */
HF_STATUS prepared_read(struct bytes text, struct bytes custodian_public,
                        struct prepared *out);
