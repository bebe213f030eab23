#include "server/service/ak_objects.h"

#include "server/service/availability_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOUND_MAX       256   /* of one DEP: one a roll, and what came back */
#define LIST_ATTEMPT_MS 30000 /* every label of the token is read */

void ak_label_prefix(const struct hf_id *dep, char out[HF_LABEL_MAX_BYTES + 1])
{
    char id[HF_ID_TEXT];
    id_format(dep, id);
    snprintf(out, HF_LABEL_MAX_BYTES + 1, "hf-ak:%s:", id);
}

static HF_STATUS find(const struct token *token, const struct hf_id *dep,
                      struct token_key_report *reports, size_t *out_count)
{
    struct token_request request = {
        .op = TOKEN_OP_LIST,
        .attempt_ms = LIST_ATTEMPT_MS,
        .u.list = {.reports = reports,
                   .cap = FOUND_MAX,
                   .id_prefix_len = HF_ID_BYTES},
    };
    ak_label_prefix(dep, request.u.list.label_prefix);
    memcpy(request.u.list.id_prefix, dep->bytes, HF_ID_BYTES);
    HF_TRY(token_call(token, &request));
    *out_count = request.u.list.count;
    return HF_OK;
}

/* By its CKA_ID alone: it must be the DEP's own. */
static HF_STATUS destroy(const struct token *token, const struct hf_id *dep,
                         const struct token_key_report *report)
{
    const struct token_key *key = &report->key;
    if (key->id_len < HF_ID_BYTES ||
        !bytes_equal((struct bytes){key->id, HF_ID_BYTES},
                     BYTES_OF(dep->bytes))) {
        return HF_E_CONFLICT;
    }
    struct token_request request = {
        .op = TOKEN_OP_DESTROY,
        .u.destroy.key = *key,
    };
    memset(request.u.destroy.key.fingerprint, 0,
           sizeof request.u.destroy.key.fingerprint);
    return token_call(token, &request);
}

static HF_STATUS destroy_all(const struct token *token, const struct hf_id *dep,
                             struct token_key_report *reports,
                             size_t *out_found)
{
    size_t left = 0;
    HF_TRY(find(token, dep, reports, out_found));
    for (size_t i = 0; i < *out_found; i++) {
        HF_TRY(destroy(token, dep, &reports[i]));
    }
    HF_TRY(find(token, dep, reports, &left));
    return left == 0 ? HF_OK : HF_E_IO;
}

HF_STATUS ak_objects_destroy(struct service *service,
                             const struct dep_entry *dep,
                             struct ak_destroyed *out)
{
    struct ak_token_set set;
    enum hf_status first = HF_OK;
    *out = (struct ak_destroyed){.found = 0};
    ak_tokens_of(service, dep->record.type, &set);
    struct token_key_report *reports = calloc(FOUND_MAX, sizeof *reports);
    if (reports == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < set.count; i++) {
        size_t found = 0;
        enum hf_status status = ak_token_open(&set.at[i]);
        if (status == HF_OK) {
            status =
                destroy_all(set.at[i].token, &dep->record.id, reports, &found);
        }
        out->found += found;
        if (status != HF_OK && first == HF_OK) {
            first = status;
            memcpy(out->failed, set.at[i].name, sizeof out->failed);
        }
    }
    free(reports);
    return set.count > 0 ? first : HF_E_MISUSE;
}

static bool is_among(const struct token_key_report *reports, size_t count,
                     const struct token_key *key)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(
                (struct bytes){reports[i].key.id, reports[i].key.id_len},
                (struct bytes){key->id, key->id_len})) {
            return true;
        }
    }
    return false;
}

static HF_STATUS show_in(const struct ak_token_ref *ref,
                         const struct dep_record *dep, const uint32_t version[],
                         size_t count, struct ak_shown shown[])
{
    size_t found = 0;
    HF_TRY(ak_token_open(ref));
    struct token_key_report *reports = calloc(FOUND_MAX, sizeof *reports);
    if (reports == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = find(ref->token, &dep->id, reports, &found);
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct token_key key;
        ak_key_of(dep, version[i], &key);
        bool there = is_among(reports, found, &key);
        shown[i].any = shown[i].any || there;
        shown[i].every = shown[i].every && there;
    }
    free(reports);
    return status;
}

HF_STATUS ak_objects_show(struct service *service, const struct dep_record *dep,
                          const uint32_t version[], size_t count,
                          struct ak_shown shown[])
{
    struct ak_token_set set;
    ak_tokens_of(service, dep->type, &set);
    for (size_t i = 0; i < count; i++) {
        shown[i] = (struct ak_shown){.any = false, .every = true};
    }
    for (size_t i = 0; i < set.count; i++) {
        HF_TRY(show_in(&set.at[i], dep, version, count, shown));
    }
    return set.count > 0 ? HF_OK : HF_E_MISUSE;
}
