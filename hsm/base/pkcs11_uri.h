/* pkcs11_uri: RFC 7512 names of tokens and of keys in them.
 *
 *   pkcs11:token=contoso-ck1;serial=8f2a4c1d5e6b7a90;id=%01%ff;object=ck;type=private
 *
 * What is accepted is what names something lasting: token, manufacturer,
 * serial, model, id, object, type. Everything else is refused, not ignored:
 * slot numbers and library versions change, pin-value and pin-source have no
 * place in a name (architecture, section 10), and an attribute that is not
 * understood could have singled out another key.
 *
 * No side effects.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum pkcs11_uri_type {
    PKCS11_URI_NO_TYPE,
    PKCS11_URI_PRIVATE,
    PKCS11_URI_PUBLIC,
    PKCS11_URI_SECRET_KEY,
    PKCS11_URI_CERT,
    PKCS11_URI_DATA,
};

/* "" or a length of 0: not said. Lengths are those of PKCS#11. */
struct pkcs11_uri {
    char token[33];
    char manufacturer[33];
    char serial[17];
    char model[17];
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len;
    char object[HF_LABEL_MAX_BYTES + 1];
    enum pkcs11_uri_type type;
};

/* pkcs11_uri_parse
 *
 * Gives     *out; *out_why, when refused, a phrase for people that lives for
 *           ever; it repeats nothing of the text, which may hold a PIN.
 * Returns   HF_OK, also for "pkcs11:", which names everything: what must be
 *           named is the caller's rule; HF_E_INVALID.
 */
HF_STATUS pkcs11_uri_parse(const char *text, struct pkcs11_uri *out,
                           const char **out_why);

/* pkcs11_uri_format: in the order of struct pkcs11_uri (token, manufacturer,
 * serial, model, id, object, type); what is not unreserved is escaped, an id
 * always. Returns HF_OK; HF_E_INVALID when it does not fit into out_cap or a
 * text is not plain (text.h). */
HF_STATUS pkcs11_uri_format(const struct pkcs11_uri *uri, char *out,
                            size_t out_cap);
