/* reseal: after the loss of the service's token. What it vouched for
 * is looked at as far as that can be done without it, people say that they have
 * read what came of it, and everything is sealed anew under another token. No
 * customer data depends on the lost one: the DEP keys are in the customers'
 * tokens, and nowhere else.
 *
 *   reseal_inspect    changes nothing; its report says of everything in the
 *                     store whether it is
 *                       verified      by a token, by a key of a token, or by an
 *                                     audit record that the lost token signed
 *                       declared      only the store says so: read it
 *                       not_verified  it does not fit, or could not be seen
 *   reseal_seal       by the signatures of two custodians, of two custody
 *                     domains of the configuration, over the report: every
 *                     record under the new MAC keys, one audit record of it,
 *                     and an epoch, in one transaction; then the epoch in the
 *                     new token. May be killed and repeated at any point.
 *
 * Approvers do not sign: they are records that the lost key vouched for, and
 * who can write to the store could have made some up. Custodians are in the
 * configuration.
 *
 * A chain of audit records that is cut or changed cannot be accepted: a store
 * whose chain is whole has to be found first.
 *
 * The report names the content of the store and the new token: nothing else is
 * sealed, and under no other. What is not verified is not sealed, unless the
 * report names it among what was accepted.
 */
#pragma once

#include "server/service/problem.h"
#include "server/service/service.h"

#define RESEAL_SIGNERS          2
#define RESEAL_REPORT_MAX_BYTES ((size_t)256 * 1024 * 1024)

struct reseal_settings {
    struct service_settings service; /* service_token: the new one */
    /* the public audit keys of the lost token, PEM of one or more, as they were
     * published; of no bytes: the audit chain says nothing */
    struct bytes audit_keys;
    const char *const *accepted; /* names that do not verify, and are taken */
    size_t accepted_count;
};

struct reseal_report {
    char *json;    /* what is signed; freed by reseal_report_clear */
    char *summary; /* the same for people */
    uint64_t verified;
    uint64_t declared;
    uint64_t not_verified;
    uint64_t left; /* of them not accepted */
};
void reseal_report_clear(struct reseal_report *report);

/* reseal_inspect: HF_OK with *out; HF_E_CORRUPT a record is so damaged that no
 * service would start with it; the store's failures. *problem says more.
 * Blocks for as long as it takes to ask every token for every copy. */
HF_STATUS reseal_inspect(const struct reseal_settings *settings,
                         struct reseal_report *out, struct problem *problem);

struct reseal_signature {
    const char *custody_domain;
    const char *public_key; /* PEM, of the configuration */
    struct bytes signature; /* over the report's SHA-256 */
};
struct reseal_outcome {
    uint64_t records;
    uint64_t epoch;
    bool repeated; /* it was done already */
};
/* reseal_seal: HF_OK: sealed, and the epoch is in the token; else *problem says
 * why, and nothing happened, or (HF_E_TIMEOUT) it is to be repeated. */
HF_STATUS reseal_seal(const struct reseal_settings *settings,
                      struct bytes report,
                      const struct reseal_signature *signatures, size_t count,
                      struct reseal_outcome *out, struct problem *problem);
