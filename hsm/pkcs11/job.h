/* job: a private copy of one request, inputs and outputs.
 *
 * The copy has the form of a request whose pointers point into the job, so that
 * the code that talks to the module is written against the port's own types and
 * cannot touch the caller's memory. job_take and job_give are called under the
 * seat's lock; nothing between them sees the caller's request.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/cryptoki.h"
#include "hsm/token/token.h"

#include <stddef.h>
#include <stdint.h>

/* Some modules want an output as long as the input, some a block more. */
#define JOB_OUT_BYTES (HF_SEALED_MAX_BYTES + 64)

/* What a LIST or DATA_LIST brings home at most, whatever the caller's cap. */
#define JOB_LIST_MAX 4096

struct p11_job {
    struct token_request request; /* the copy; status and rv are results */

    uint8_t aad[HF_CONTEXT_MAX_BYTES];
    uint8_t in[TOKEN_MAC_MAX_BYTES]; /* sealed text, MAC input, wrapped key */
    uint8_t out[JOB_OUT_BYTES];
    struct token_key_report report;
    struct token_mint mint;
    uint8_t mint_spki[TOKEN_MINT_COPIES_MAX][HF_SPKI_MAX_BYTES];
    uint8_t mint_text[HF_SEALED_MAX_BYTES];
    uint8_t mint_source[HF_RSA_MAX_BYTES];
    struct token_data data;
    void *list; /* reports or data items, allocated by the operation */

    /* token objects that this job made, for when nobody waits any more */
    CK_OBJECT_HANDLE made[2];
};

/* job_take: copies a request in; job->request.status becomes HF_E_INTERNAL. */
void job_take(struct p11_job *job, const struct token_request *request);
/* job_give: copies the results out; outputs only on HF_OK. */
void job_give(struct p11_job *job, struct token_request *request);
/* job_clear: frees and wipes what is left. */
void job_clear(struct p11_job *job);
