/* pem: files of certificates and of revocation lists, whole or not at all. */
#pragma once

#include "hsm/base/status.h"

#include <openssl/x509.h>

/* pem_certificates, pem_crls: every object of the file, 1 to PEM_OBJECTS_MAX.
 *
 * Gives     a stack, freed with sk_X509_pop_free or sk_X509_CRL_pop_free.
 * Returns   HF_OK; HF_E_INVALID for a missing or empty file, one with anything
 *           in it that does not parse, or with too many; HF_E_NO_MEMORY. On
 *           failure OpenSSL's error queue may tell more.
 */
#define PEM_OBJECTS_MAX 256
HF_STATUS pem_certificates(const char *path,
                           STACK_OF(X509) * *out_certificates);
HF_STATUS pem_crls(const char *path, STACK_OF(X509_CRL) * *out_crls);

/* pem_no_password: an encrypted key is refused, never asked about. */
int pem_no_password(char *buffer, int size, int writing, void *unused);
