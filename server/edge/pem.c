#include "server/edge/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdbool.h>

int pem_no_password(char *buffer, int size, int writing, void *unused)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

/* The end of the file looks to the reader like a missing first line; any other
 * error is in the middle of an object. */
static bool at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) == ERR_LIB_PEM &&
        ERR_GET_REASON(error) == PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return true;
    }
    return false;
}

HF_STATUS pem_certificates(const char *path, STACK_OF(X509) * *out_certificates)
{
    BIO *file = BIO_new_file(path, "r");
    STACK_OF(X509) *found = sk_X509_new_null();
    bool fits = file != NULL && found != NULL;
    X509 *next = NULL;
    while (fits && (next = PEM_read_bio_X509(file, NULL, pem_no_password,
                                             NULL)) != NULL) {
        fits = sk_X509_num(found) < PEM_OBJECTS_MAX &&
               sk_X509_push(found, next) > 0;
        if (!fits) {
            X509_free(next);
        }
    }
    BIO_free(file);
    if (!fits || !at_end() || sk_X509_num(found) == 0) {
        sk_X509_pop_free(found, X509_free);
        return HF_E_INVALID;
    }
    *out_certificates = found;
    return HF_OK;
}

HF_STATUS pem_crls(const char *path, STACK_OF(X509_CRL) * *out_crls)
{
    BIO *file = BIO_new_file(path, "r");
    STACK_OF(X509_CRL) *found = sk_X509_CRL_new_null();
    bool fits = file != NULL && found != NULL;
    X509_CRL *next = NULL;
    while (fits && (next = PEM_read_bio_X509_CRL(file, NULL, pem_no_password,
                                                 NULL)) != NULL) {
        fits = sk_X509_CRL_num(found) < PEM_OBJECTS_MAX &&
               sk_X509_CRL_push(found, next) > 0;
        if (!fits) {
            X509_CRL_free(next);
        }
    }
    BIO_free(file);
    if (!fits || !at_end() || sk_X509_CRL_num(found) == 0) {
        sk_X509_CRL_pop_free(found, X509_CRL_free);
        return HF_E_INVALID;
    }
    *out_crls = found;
    return HF_OK;
}
