#include "server/edge/crl.h"

#include "server/edge/pem.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <stdbool.h>
#include <time.h>

/* X509_cmp_time gives 0 for a time that cannot be read. */
static bool is_current(const X509_CRL *crl, time_t now)
{
    return X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &now) < 0 &&
           X509_cmp_time(X509_CRL_get0_nextUpdate(crl), &now) > 0;
}

static bool is_by(X509_CRL *crl, const X509 *root)
{
    return X509_NAME_cmp(X509_CRL_get_issuer(crl),
                         X509_get_subject_name(root)) == 0 &&
           X509_CRL_verify(crl, X509_get0_pubkey(root)) == 1;
}

static const char *problem_of(const STACK_OF(X509_CRL) * crls,
                              const STACK_OF(X509) * roots, time_t now)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        if (X509_CRL_get0_nextUpdate(sk_X509_CRL_value(crls, i)) == NULL) {
            return "a list does not say when the next is due";
        }
    }
    for (int r = 0; r < sk_X509_num(roots); r++) {
        bool signed_one = false;
        bool current_one = false;
        for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
            X509_CRL *crl = sk_X509_CRL_value(crls, i);
            if (is_by(crl, sk_X509_value(roots, r))) {
                signed_one = true;
                current_one = current_one || is_current(crl, now);
            }
        }
        if (!signed_one) {
            return "no list signed by one of the client CAs";
        }
        if (!current_one) {
            return "the list of a client CA is out of date";
        }
    }
    return NULL;
}

HF_STATUS crl_load(const char *path, const STACK_OF(X509) * roots,
                   const struct clock *clock, X509_STORE *store,
                   const char **out_why)
{
    STACK_OF(X509_CRL) *crls = NULL;
    if (pem_crls(path, &crls) != HF_OK) {
        *out_why = "no revocation lists in PEM";
        return HF_E_INVALID;
    }
    time_t now = (time_t)(clock_wall_ms(clock) / 1000);
    const char *why = problem_of(crls, roots, now);
    enum hf_status status = why == NULL ? HF_OK : HF_E_INVALID;
    for (int i = 0; status == HF_OK && i < sk_X509_CRL_num(crls); i++) {
        if (X509_STORE_add_crl(store, sk_X509_CRL_value(crls, i)) != 1) {
            status = HF_E_NO_MEMORY;
        }
    }
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    if (why != NULL) {
        ERR_clear_error(); /* of signatures tried and not found */
        *out_why = why;
    }
    return status;
}
