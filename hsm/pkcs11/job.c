#include "hsm/pkcs11/job.h"

#include "hsm/base/check.h"

#include <stdlib.h>
#include <string.h>

static struct bytes copy_in(uint8_t *into, size_t cap, struct bytes from)
{
    CHECK(from.len <= cap); /* token_submit has looked */
    if (from.len > 0) {
        memcpy(into, from.data, from.len);
    }
    return (struct bytes){into, from.len};
}

static void take_aead(struct p11_job *job, const struct token_aead *from)
{
    struct token_aead *aead = &job->request.u.aead;
    aead->aad = copy_in(job->aad, sizeof job->aad, from->aad);
    aead->in = copy_in(job->in, sizeof job->in, from->in);
    aead->out = job->out;
    aead->out_cap = sizeof job->out;
    aead->out_len = 0;
}

static void take_mint(struct p11_job *job, const struct token_mint *from)
{
    struct token_mint *mint = &job->mint;
    *mint = *from;
    for (size_t i = 0; i < mint->copy_count; i++) {
        mint->copies[i].spki = copy_in(
            job->mint_spki[i], sizeof job->mint_spki[i], from->copies[i].spki);
    }
    mint->source.wrapped = copy_in(job->mint_source, sizeof job->mint_source,
                                   from->source.wrapped);
    mint->check_aad = copy_in(job->aad, sizeof job->aad, from->check_aad);
    mint->check_text =
        copy_in(job->mint_text, sizeof job->mint_text, from->check_text);
    job->request.u.mint = mint;
}

void job_take(struct p11_job *job, const struct token_request *request)
{
    struct token_request *copy = &job->request;
    *copy = *request;
    copy->status = HF_E_INTERNAL;
    copy->rv = 0;
    job->made[0] = CK_INVALID_HANDLE;
    job->made[1] = CK_INVALID_HANDLE;
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        take_aead(job, &request->u.aead);
        break;
    case TOKEN_OP_MAC:
        copy->u.mac.in = copy_in(job->in, sizeof job->in, request->u.mac.in);
        break;
    case TOKEN_OP_FIND:
        copy->u.find.report = &job->report;
        break;
    case TOKEN_OP_GENERATE:
        copy->u.generate.report = &job->report;
        break;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        copy->u.unwrap.wrapped =
            copy_in(job->in, sizeof job->in, request->u.unwrap.wrapped);
        copy->u.unwrap.secret = NULL;
        break;
    case TOKEN_OP_MINT:
        take_mint(job, request->u.mint);
        break;
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        job->data = *request->u.data;
        copy->u.data = &job->data;
        break;
    case TOKEN_OP_LIST:
        copy->u.list.reports = NULL;
        copy->u.list.count = 0;
        break;
    case TOKEN_OP_DATA_LIST:
        copy->u.data_list.items = NULL;
        copy->u.data_list.count = 0;
        break;
    case TOKEN_OP_SIGN:
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_HEALTH:
        break;
    }
}

static void give_aead(const struct p11_job *job, struct token_aead *to)
{
    const struct token_aead *aead = &job->request.u.aead;
    CHECK(aead->out_len <= to->out_cap);
    memcpy(to->out, job->out, aead->out_len);
    to->out_len = aead->out_len;
}

static void give_mint(const struct p11_job *job, struct token_mint *to)
{
    for (size_t i = 0; i < to->copy_count; i++) {
        memcpy(to->copies[i].wrapped, job->mint.copies[i].wrapped,
               sizeof to->copies[i].wrapped);
        to->copies[i].wrapped_len = job->mint.copies[i].wrapped_len;
    }
    memcpy(to->check_sealed, job->mint.check_sealed, sizeof to->check_sealed);
    to->check_sealed_len = job->mint.check_sealed_len;
}

static void give_results(struct p11_job *job, struct token_request *request)
{
    struct token_request *copy = &job->request;
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        give_aead(job, &request->u.aead);
        break;
    case TOKEN_OP_MAC:
        memcpy(request->u.mac.out, copy->u.mac.out, HF_SHA256_BYTES);
        break;
    case TOKEN_OP_FIND:
        *request->u.find.report = job->report;
        break;
    case TOKEN_OP_GENERATE:
        *request->u.generate.report = job->report;
        break;
    case TOKEN_OP_UNWRAP:
        request->u.unwrap.object = copy->u.unwrap.object;
        break;
    case TOKEN_OP_DECRYPT:
        request->u.unwrap.secret = HF_GIVE(copy->u.unwrap.secret);
        break;
    case TOKEN_OP_MINT:
        give_mint(job, request->u.mint);
        break;
    case TOKEN_OP_SIGN:
        memcpy(request->u.sign.signature, copy->u.sign.signature,
               sizeof request->u.sign.signature);
        break;
    case TOKEN_OP_LIST:
        if (copy->u.list.count > 0) {
            memcpy(request->u.list.reports, job->list,
                   copy->u.list.count * sizeof *request->u.list.reports);
        }
        request->u.list.count = copy->u.list.count;
        break;
    case TOKEN_OP_DATA_LIST:
        if (copy->u.data_list.count > 0) {
            memcpy(request->u.data_list.items, job->list,
                   copy->u.data_list.count *
                       sizeof *request->u.data_list.items);
        }
        request->u.data_list.count = copy->u.data_list.count;
        break;
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
    case TOKEN_OP_HEALTH:
        break;
    }
}

void job_give(struct p11_job *job, struct token_request *request)
{
    if (job->request.status == HF_OK) {
        give_results(job, request);
    }
    request->rv = job->request.rv;
    request->status = job->request.status;
    job_clear(job);
}

void job_clear(struct p11_job *job)
{
    struct token_request *copy = &job->request;
    free(job->list);
    job->list = NULL;
    switch (copy->op) {
    case TOKEN_OP_SEAL:
        wipe(job->in, copy->u.aead.in.len); /* a key was sealed */
        break;
    case TOKEN_OP_OPEN:
        wipe(job->out, copy->u.aead.in.len); /* a key was opened */
        break;
    case TOKEN_OP_DECRYPT:
        secret_free(copy->u.unwrap.secret);
        copy->u.unwrap.secret = NULL;
        break;
    case TOKEN_OP_MAC:
    case TOKEN_OP_FIND:
    case TOKEN_OP_LIST:
    case TOKEN_OP_GENERATE:
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_MINT:
    case TOKEN_OP_SIGN:
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_LIST:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
    case TOKEN_OP_HEALTH:
        break;
    }
}
