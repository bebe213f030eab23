/* catalogue_backup: what the service knows of a tenant's tokens, customer keys
 * and DEPs, as one signed text: to be kept elsewhere, to be held
 * against what is there after a restore. No key in it, wrapped or not: a backup
 * would outlive a purge. */
#pragma once

#include "server/service/sign.h"

#define CATALOGUE_BACKUP_MAX_BYTES (1024 * 1024)

struct catalogue_backup {
    uint8_t *text; /* the caller's, CATALOGUE_BACKUP_MAX_BYTES */
    size_t text_len;
    uint8_t signature[SIGN_DER_MAX_BYTES];
    size_t signature_len;
    uint8_t public_key[OFFICER_KEY_MAX_BYTES]; /* of the audit key, DER */
    size_t public_key_len;
};

/* catalogue_backup: HF_OK, else *problem: REQUEST_TOO_LARGE where the text
 * does not fit. Blocks: a token operation. */
HF_STATUS catalogue_backup(struct service *service, const struct caller *caller,
                           const char *tenant, struct catalogue_backup *out,
                           struct problem *problem);
