#include "server/service/purge_verify.h"

#include "server/service/ak_copies.h"
#include "server/service/ak_objects.h"
#include "server/service/availability_key.h"

#include <stdio.h>
#include <string.h>

static HF_STATUS ask_verifier(struct service *service,
                              const struct dep_entry *dep,
                              const struct ak_token_ref *ref,
                              const struct wrapped_copy *copy,
                              struct absence_answer *answer)
{
    const struct verifier *verifier = service->settings.verifier;
    struct absence_question question = {
        .type = dep->record.type,
        .token = id_is_nil(&ref->id) ? "" : ref->name,
        .serial = id_is_nil(&ref->id) ? "" : ref->serial,
        .dep = dep->record.id,
        .suite = (enum token_suite)copy->suite,
        .wrapped = {copy->wrapped, copy->wrapped_len},
    };
    HF_TRY(ak_token_open(ref));
    ak_label_prefix(&dep->record.id, question.label_prefix);
    /* a roll that was cut may have left it under the next version */
    ak_key_of(&dep->record, copy->key_version, &question.key);
    return verifier == NULL
               ? HF_E_MISUSE
               : verifier->verify(verifier->self, &question, answer);
}

bool purge_evidence_names(const char *evidence, const char *serial)
{
    size_t len = strlen(serial);
    const char *at = strstr(evidence, serial);
    while (at != NULL && len > 0) {
        if (at - evidence >= 2 && (at[-2] == ':' || at[-2] == ',') &&
            at[-1] == ' ' && at[len] == '/') {
            return true;
        }
        at = strstr(at + 1, serial);
    }
    return false;
}

/* Of mirrors each by its serial, which the certificate looks for. */
static void note_evidence(const struct ak_token_ref *ref,
                          struct purge_verified *verified)
{
    char *text = verified->evidence;
    size_t cap = sizeof verified->evidence;
    if (!verified->by_serial) {
        memcpy(text, verified->answer.evidence,
               sizeof verified->answer.evidence);
        return;
    }
    size_t len = strlen(text);
    if (!purge_evidence_names(text, ref->serial)) { /* else of another DEP */
        snprintf(text + len, cap - len, "%s%s/%u",
                 len == 0 ? "no such object, no copy opens; serial/process: "
                          : ", ",
                 ref->serial, verified->answer.process);
    }
}

bool purge_is_left(const struct absence_answer *answer)
{
    return answer->left > 0 || answer->opened;
}

static HF_STATUS ask_of_dep(struct service *service,
                            const struct dep_entry *dep,
                            struct purge_verified *verified)
{
    struct ak_token_set set;
    const struct generation_record *generation =
        &catalogue_generation(dep, dep->record.generation)->record;
    ak_tokens_of(service, dep->record.type, &set);
    for (size_t i = 0; i < set.count; i++) {
        const struct wrapped_copy *copy = ak_copy_of(generation, &set.at[i]);
        if (copy == NULL) { /* it was being enrolled: it must not be there */
            copy = &generation->copies[ROOT_AK];
        }
        enum hf_status status =
            ask_verifier(service, dep, &set.at[i], copy, &verified->answer);
        if (status != HF_OK) {
            memcpy(verified->failed, set.at[i].name, sizeof verified->failed);
            return status;
        }
        if (purge_is_left(&verified->answer)) {
            return HF_OK;
        }
        note_evidence(&set.at[i], verified);
    }
    return set.count > 0 ? HF_OK : HF_E_MISUSE;
}

/* One after the other, until one is found. A DEP of the tenant that was purged
 * before has no copy to be tried: its own certificate says it is gone. */
HF_STATUS purge_verify(struct service *service, const struct purge_entry *purge,
                       struct purge_verified *verified)
{
    struct dep_entry *dep = NULL;
    verified->by_serial = ak_tokens_have_record(service, false) ||
                          ak_tokens_have_record(service, true);
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        const struct generation_entry *generation =
            catalogue_generation(dep, dep->record.generation);
        if (purge_is_of_tenant(purge) &&
            generation->record.copies[ROOT_AK].wrapped_len == 0) {
            continue;
        }
        HF_TRY(ask_of_dep(service, dep, verified));
        if (purge_is_left(&verified->answer)) {
            return HF_OK;
        }
    }
    return HF_OK;
}
