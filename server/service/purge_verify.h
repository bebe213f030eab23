/* purge_verify: a fresh process for each token looks whether the availability
 * keys of what was purged are gone. */
#pragma once

#include "server/service/purge_book.h"

struct purge_verified {
    int64_t now_ms;                     /* the caller's */
    struct absence_answer answer;       /* the last one that was given */
    bool by_serial;                     /* the evidence names them so */
    char failed[HF_NAME_MAX_BYTES + 1]; /* who could not be asked; "": none */
    char evidence[PURGE_EVIDENCE_BYTES + 1];
};

/* purge_verify: one DEP and token after the other, until something is left.
 *
 * Returns   HF_OK with answer and evidence; else nothing is known: the
 *           verifier's failures, HF_E_UNREACHABLE for a token that is away.
 */
HF_STATUS purge_verify(struct service *service, const struct purge_entry *purge,
                       struct purge_verified *verified);
bool purge_is_left(const struct absence_answer *answer);
/* purge_evidence_names: is this token one of those it lists? By the whole
 * serial: a process id or a longer serial may hold the same characters. */
bool purge_evidence_names(const char *evidence, const char *serial);
