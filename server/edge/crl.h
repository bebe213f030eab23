/* crl: whether a file of revocation lists can be relied on. It fails closed. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/clock.h"

#include <openssl/x509.h>

/* crl_load: the lists of the file into the store.
 *
 * Every list must say when its successor is due, and each of the roots must
 * have one that it signed and that is current by clock. Lists of other issuers
 * (an intermediate that clients bring) are judged with the chain, later.
 *
 * Gives     *out_why, with HF_E_INVALID: a constant text.
 * Returns   HF_OK; HF_E_INVALID, and the store holds none of them;
 *           HF_E_NO_MEMORY, and the store is not to be used.
 */
HF_STATUS crl_load(const char *path, const STACK_OF(X509) * roots,
                   const struct clock *clock, X509_STORE *store,
                   const char **out_why);
