/* spool_check: a spool of routine use (hsm/sys/spool_file.h), held against
 * itself and against what the service signed of it, with nothing but its
 * folder.
 */
#pragma once

#include "hsm/sys/spool_file.h"

#include "client/cli/checkpoint.h"

struct spool_check {
    const struct checkpoint_set *kept; /* NULL: nothing was signed */
    spool_record_fn *each;             /* NULL: nobody wants the records */
    void *context;

    struct hf_id spool;
    uint64_t segments;
    uint64_t first; /* record that is there; the ones before were taken away */
    uint64_t last;  /* 0: there is none */
    uint64_t torn;  /* segments that a crash ended */
    uint64_t torn_bytes;
    uint64_t checkpoints; /* that fit */
    uint64_t covered;     /* the last record that one covers */
    uint64_t unseen;      /* of records that were taken away, or of another
                             spool */
    char problem[240];
};

/* spool_check_folder: Returns HF_OK; HF_E_CORRUPT when it is not what was
 * written, with out->problem; HF_E_NOT_FOUND for a folder without segments;
 * HF_E_IO; HF_E_DENIED; HF_E_NO_MEMORY; what each said. */
HF_STATUS spool_check_folder(const char *folder, struct spool_check *out);
