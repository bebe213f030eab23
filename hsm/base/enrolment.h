/* enrolment: the statement by which a custodian gives a token to a tenant
 * as the exact bytes that are signed.
 *
 *   holdfast-enrolment-v1
 *   tenant=contoso
 *   token_label=contoso-ck1
 *   token_serial=8f2a4c1d5e6b7a90
 *   custody_domain=contoso-hq
 *   deletion_protection=soft-delete-purge-protected
 *   retention_days=90
 *   test_only=false
 *   hardware=true
 *   issued_at=2026-11-24T09:00:00Z
 *
 * No side effects. Whose signature it bears is hsm/sys/signature's business.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/custody.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENROLMENT_MAX_BYTES 1024

/* CK_TOKEN_INFO's own lengths */
#define ENROLMENT_LABEL_MAX_BYTES  32
#define ENROLMENT_SERIAL_MAX_BYTES 16

struct enrolment {
    char tenant[HF_NAME_MAX_BYTES + 1]; /* its name, or its UUID */
    char token_label[ENROLMENT_LABEL_MAX_BYTES + 1];
    char token_serial[ENROLMENT_SERIAL_MAX_BYTES + 1];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    enum custody_protection protection;
    uint32_t retention_days;
    bool test_only;
    bool hardware;
    int64_t issued_s; /* Unix time */
};

/* enrolment_encode: HF_E_INVALID for a value that cannot be in it: empty, too
 * long, not plain text (text.h), retention that does not fit the protection, a
 * time before 2000. */
HF_STATUS enrolment_encode(const struct enrolment *enrolment,
                           uint8_t out[ENROLMENT_MAX_BYTES], size_t *out_len);
/* enrolment_parse: HF_E_INVALID for anything that enrolment_encode does not
 * make; so one meaning has one text. */
HF_STATUS enrolment_parse(struct bytes statement, struct enrolment *out);
