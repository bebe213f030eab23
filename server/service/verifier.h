/* verifier: the port to somebody who has not seen the token before.
 *
 * After a purge destroyed the availability key of a DEP, a fresh process looks
 * for it and tries to use it: the process that destroyed it may have
 * been told of a success that its module only believes.
 */
#pragma once

#include "hsm/base/ids.h"

#include "hsm/token/token.h"

#include "server/domain/types.h"

/* What must not be there, and what must not open. */
struct absence_question {
    enum dep_type type; /* in a token of DEPs of this type */
    const char *token;  /* the AK token's name; "": the only one of its kind */
    const char *serial; /* that it must have; "": of the configuration */
    char label_prefix[HF_LABEL_MAX_BYTES + 1];
    struct hf_id dep;     /* the CKA_IDs begin with it */
    struct token_key key; /* the availability key that was */
    enum token_suite suite;
    struct bytes wrapped; /* the DEP key's copy under it */
};

#define ABSENCE_EVIDENCE_BYTES 256
struct absence_answer {
    size_t left; /* objects found; 0 and not opened: it is gone */
    bool opened;
    uint32_t process; /* who looked; 0: not said */
    /* who says so, of which token, when: plain text */
    char evidence[ABSENCE_EVIDENCE_BYTES + 1];
};

struct verifier {
    /* HF_OK with *out_answer; anything else: nothing is known.
     * Blocks: seconds. */
    HF_STATUS(*verify)
    (void *self, const struct absence_question *question,
     struct absence_answer *out_answer);
    void *self;
};
