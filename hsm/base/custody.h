/* custody: what a token says of itself in a data object of its own: whose hands
 * it is in and how its keys are protected from deletion. It is
 * declared by who set the token up; nothing here is measured.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of the service's records. */
enum custody_protection {
    CUSTODY_PROTECTION_NONE = 1,
    CUSTODY_PROTECTION_SOFT_DELETE = 2,
    CUSTODY_PROTECTION_SOFT_DELETE_PURGE_PROTECTED = 3,
    CUSTODY_PROTECTION_TOKEN_PROTECTED = 4,
};

/* custody_protection_text: "none", "soft-delete",
 * "soft-delete-purge-protected", "token-protected"; NULL for no such value. */
const char *custody_protection_text(enum custody_protection protection);
HF_STATUS custody_protection_parse(const char *text,
                                   enum custody_protection *out);

#define CUSTODY_MAX_BYTES          512
#define CUSTODY_RETENTION_DAYS_MAX 36500

struct custody {
    char domain[HF_NAME_MAX_BYTES + 1];
    enum custody_protection protection;
    uint32_t retention_days; /* 0 exactly with PROTECTION_NONE */
    bool test_only;
    int64_t created_s; /* Unix time */
};

/* custody_encode: the canonical text, "holdfast-custody-v1" and so on.
 * HF_E_INVALID for a value that cannot be in it. */
HF_STATUS custody_encode(const struct custody *custody,
                         uint8_t out[CUSTODY_MAX_BYTES], size_t *out_len);
/* custody_parse: HF_E_INVALID for anything that custody_encode does not make.
 */
HF_STATUS custody_parse(struct bytes text, struct custody *out);
