/* purge_text: is a text what an approver is to sign, or what the service signed
 * of a purge, and of which? Titles, lines and what must stand in them; whether
 * a signature fits is purge_sign's.
 *
 * The service's audit key signs other texts as well, and an approver's may:
 * a good signature over another text says nothing about a purge.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define PURGE_VALUE_BYTES 320

/* What a document must be about. */
struct purge_signing {
    const char *object; /* tenants/{tenant}/purges/{purge} */
    uint32_t version;
    bool accepts_earlier_wraps;
};
/* purge_document_check: HF_OK; HF_E_INVALID: it is no such document. */
HF_STATUS purge_document_check(struct bytes text,
                               const struct purge_signing *signing);

struct purge_certificate_facts {
    char tenant[PURGE_VALUE_BYTES];
    char object[PURGE_VALUE_BYTES]; /* tenants/{tenant}/purges/{purge} */
    char dep[PURGE_VALUE_BYTES];    /* id; empty: not of one DEP */
    char dep_name[PURGE_VALUE_BYTES];
    char purged_at[PURGE_VALUE_BYTES];
};
/* purge_certificate_read: HF_OK; HF_E_INVALID: it is no certificate of a
 * purge, or not whole. */
HF_STATUS purge_certificate_read(struct bytes text,
                                 struct purge_certificate_facts *out);
/* purge_certificate_is_of: purge, a name or an id, and dep, either of its two;
 * NULL: any. */
bool purge_certificate_is_of(const struct purge_certificate_facts *facts,
                             const char *purge, const char *dep);
