/* pem_file: the three files that say who we are and whom we trust. */
#pragma once

#include "hsm/sys/secret.h"

#include "client/lib/holdfast.h"

#include <stdint.h>

#define PEM_CERTIFICATES_MAX_BYTES (256u << 10)

struct pem_files {
    uint8_t *ca;          /* NUL-terminated */
    uint8_t *certificate; /* NUL-terminated; a chain, ours first */
    struct secret *key;   /* NUL-terminated */
};

/* pem_files_read: reads and checks them, so that a mistake is named here, with
 * the file, and not as a failed handshake later.
 *
 * Gives     *files, cleared with pem_files_clear.
 * Returns   as hf_client_open.
 */
enum hf_code pem_files_read(const struct hf_settings *settings,
                            struct pem_files *files, struct hf_error *error);
void pem_files_clear(struct pem_files *files);
