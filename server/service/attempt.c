#include "server/service/attempt.h"

#include "server/service/ak_copies.h"
#include "server/service/availability_key.h"
#include "server/service/chronicle.h"

#include <string.h>

void commitment_context(const struct generation_record *generation,
                        uint8_t out[CONTEXT_BYTES])
{
    const struct context context = {
        .tenant = generation->tenant,
        .dep = generation->dep,
        .generation = generation->generation,
        .purpose = PURPOSE_COMMITMENT,
    };
    context_encode(&context, ENVELOPE_SUITE_AES256_GCM, out);
}

/* crypto.md: a key commitment must verify after every unwrap. */
static HF_STATUS check_commitment(const struct lease *lease)
{
    const struct generation_record *record = &lease->generation->record;
    uint8_t context[CONTEXT_BYTES];
    uint8_t text[COMMITMENT_BYTES];
    if (record->check_sealed_len != COMMITMENT_BYTES + HF_GCM_TAG_BYTES) {
        return HF_E_CORRUPT;
    }
    commitment_context(record, context);
    enum hf_status status = lease_open(
        lease, record->check_iv, BYTES_OF(context),
        (struct bytes){record->check_sealed, record->check_sealed_len}, text);
    if (status == HF_E_PRECONDITION) {
        /* its session, or the worker it was in, has ended since: table 6-A
         * calls that TRANSIENT, not ours */
        return HF_E_UNREACHABLE;
    }
    HF_TRY(status);
    return equal_constant_time(text, COMMITMENT_TEXT, sizeof text)
               ? HF_OK
               : HF_E_BAD_BLOB;
}

/* What the token gave becomes a lease, checked; or is forgotten. */
static HF_STATUS checked_lease(struct service *service,
                               struct generation_entry *generation,
                               const struct lease_opened *opened,
                               struct lease **out_lease)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    enum hf_status status = lease_new(service, generation, opened, &lease);
    if (status != HF_OK) {
        secret_free(opened->key);
        return status; /* the object dies with its session */
    }
    HF_TRY(check_commitment(lease));
    *out_lease = HF_GIVE(lease);
    return HF_OK;
}

HF_STATUS attempt_prepare(struct service *service,
                          struct generation_entry *generation, size_t slot,
                          struct attempt_asked *out)
{
    const struct wrapped_copy *copy = &generation->record.copies[slot];
    const struct key_version_record *version =
        &generation->versions[slot]->record;
    const struct configured_token *token =
        token_entry_ask(service, generation->keys[slot]->token);
    if (token == NULL) {
        return HF_E_MISUSE; /* our configuration, not the customer's answer */
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool in_memory = generation->dep->record.residency == RESIDENCY_MEMORY;
    bool is_tik = generation->dep->record.type == DEP_TYPE_SHAREPOINT_GEO;
    pthread_rwlock_unlock(&service->catalogue.lock);
    *out = (struct attempt_asked){
        .token = token->token,
        .source = is_tik ? LEASE_AS_TIK : LEASE_BY_CUSTOMER_KEY,
        .slot = slot,
        .asked_ms = service_monotonic_ms(service),
        .request =
            {
                      .op = in_memory ? TOKEN_OP_DECRYPT : TOKEN_OP_UNWRAP,
                      .attempt_ms = service->settings.attempt_ms,
                      .u.unwrap =
                    {
                        .key = {.type = TOKEN_KEY_RSA,
                                .id_len = version->cka_id_len},
                        .suite = (enum token_suite)copy->suite,
                        .wrapped = {copy->wrapped, copy->wrapped_len},
                    }, },
    };
    struct token_key *key = &out->request.u.unwrap.key;
    memcpy(key->id, version->cka_id, version->cka_id_len);
    memcpy(key->fingerprint, version->fingerprint, sizeof key->fingerprint);
    atomic_fetch_add(&service->root_ops, 1);
    return HF_OK;
}

HF_STATUS attempt_finish(struct service *service,
                         struct generation_entry *generation,
                         const struct attempt_asked *asked,
                         struct lease **out_lease)
{
    struct lease_opened opened = {
        .source = asked->source,
        .slot = asked->slot,
        .opened_ms = asked->asked_ms,
    };
    if (asked->request.op == TOKEN_OP_UNWRAP) {
        opened.token = asked->token;
        opened.object = asked->request.u.unwrap.object;
    } else {
        opened.key = asked->request.u.unwrap.secret;
    }
    return checked_lease(service, generation, &opened, out_lease);
}

static HF_STATUS open_by_customer_key(struct service *service,
                                      struct generation_entry *generation,
                                      size_t slot, int64_t drop_dead_ms,
                                      struct lease **out_lease)
{
    struct attempt_asked asked;
    HF_TRY(attempt_prepare(service, generation, slot, &asked));
    asked.request.drop_dead_ms = drop_dead_ms;
    HF_TRY(token_call(asked.token, &asked.request));
    return attempt_finish(service, generation, &asked, out_lease);
}

static void note_bad_copy(struct service *service,
                          struct generation_entry *generation, size_t slot)
{
    pthread_mutex_lock(&generation->lock);
    generation->bad_copy_ms[slot] = service_monotonic_ms(service);
    pthread_mutex_unlock(&generation->lock);
}

void attempt_note(struct service *service, struct generation_entry *generation,
                  size_t slot, enum hf_status status)
{
    health_note(service, generation->versions[slot], status);
    if (status == HF_OK) {
        chronicle_note_use(service, generation->versions[slot]);
    }
    if (attempt_of(status) == ATTEMPT_BAD_BLOB) {
        note_bad_copy(service, generation, slot);
    }
}

HF_STATUS attempt_customer_key(struct service *service,
                               struct generation_entry *generation, size_t slot,
                               int64_t drop_dead_ms, struct lease **out_lease)
{
    enum hf_status status = open_by_customer_key(service, generation, slot,
                                                 drop_dead_ms, out_lease);
    attempt_note(service, generation, slot, status);
    return status;
}

static enum lease_source source_of_root(enum dep_type type)
{
    switch (type) {
    case DEP_TYPE_SERVICE_MANAGED:
        return LEASE_BY_SERVICE_ROOT;
    case DEP_TYPE_SHAREPOINT_GEO:
        return LEASE_FOR_RECOVERY;
    case DEP_TYPE_EXCHANGE_MAILBOX:
    case DEP_TYPE_MULTI_WORKLOAD:
        break;
    }
    return LEASE_BY_AVAILABILITY_KEY;
}

/* A roll moves the copy to another version of the key, meanwhile too. Empty:
 * the token has none. */
static void read_root(struct service *service,
                      const struct generation_entry *generation,
                      const struct ak_token_ref *ref, struct wrapped_copy *out,
                      struct token_key *key)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct wrapped_copy *copy = ak_copy_of(&generation->record, ref);
    *out = copy != NULL ? *copy : generation->record.copies[ROOT_AK];
    if (copy == NULL) {
        out->wrapped_len = 0;
    }
    ak_key_of(&generation->dep->record, out->key_version, key);
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static HF_STATUS open_by_root(struct service *service,
                              const struct wrapped_copy *copy,
                              const struct token_key *key,
                              struct attempt_asked *asked)
{
    asked->asked_ms = service_monotonic_ms(service);
    asked->request.u.unwrap = (struct token_unwrap){
        .key = *key,
        .suite = (enum token_suite)copy->suite,
        .wrapped = {copy->wrapped, copy->wrapped_len},
    };
    return token_call(asked->token, &asked->request);
}

HF_STATUS attempt_root_in(struct service *service,
                          struct generation_entry *generation,
                          const struct ak_token_ref *ref, int64_t drop_dead_ms,
                          struct lease **out_lease)
{
    struct wrapped_copy copy;
    struct token_key key;
    struct attempt_asked asked = {
        .token = ref->token,
        .source = source_of_root(generation->dep->record.type),
        .slot = ROOT_AK,
        .request = {.op = TOKEN_OP_UNWRAP,
                    .drop_dead_ms = drop_dead_ms,
                    .attempt_ms = service->settings.attempt_ms},
    };
    if (atomic_load(&generation->closed)) {
        return HF_E_UNREACHABLE;
    }
    HF_TRY(ak_token_open(ref));
    read_root(service, generation, ref, &copy, &key);
    enum hf_status status = open_by_root(service, &copy, &key, &asked);
    if (hf_status_class(status) == HF_CLASS_MISSING) {
        uint32_t version = copy.key_version;
        read_root(service, generation, ref, &copy, &key);
        if (copy.key_version != version) { /* rolled under us */
            status = open_by_root(service, &copy, &key, &asked);
        }
    }
    ak_token_note(service, ref, status);
    HF_TRY(status);
    return attempt_finish(service, generation, &asked, out_lease);
}

static bool has_copy(struct service *service,
                     const struct generation_entry *generation,
                     const struct ak_token_ref *ref)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool has = ak_copy_of(&generation->record, ref) != NULL;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return has;
}

/* that it is lost is said only if every token says so. */
static enum hf_status the_less_certain(enum hf_status a, enum hf_status b)
{
    bool certain = a == HF_E_NOT_FOUND || a == HF_E_BAD_BLOB;
    return certain ? b : a;
}

static HF_STATUS
root_unless_liar(struct service *service, struct generation_entry *generation,
                 const struct ak_token_ref *ref, int64_t drop_dead_ms,
                 const struct liars *liars, struct lease **out_lease)
{
    return liars_has(liars, ref->token)
               ? HF_E_BAD_BLOB
               : attempt_root_in(service, generation, ref, drop_dead_ms,
                                 out_lease);
}

HF_STATUS attempt_service_root(struct service *service,
                               struct generation_entry *generation,
                               int64_t drop_dead_ms, const struct liars *liars,
                               struct lease **out_lease)
{
    struct ak_token_set set;
    size_t order[AK_TOKENS_MAX];
    enum hf_status met = HF_E_NOT_FOUND;
    ak_tokens_of(service, generation->dep->record.type, &set);
    ak_tokens_in_order(service, &set, order);
    if (set.count == 1) {
        return root_unless_liar(service, generation, &set.at[0], drop_dead_ms,
                                liars, out_lease);
    }
    for (size_t i = 0; i < set.count; i++) {
        const struct ak_token_ref *ref = &set.at[order[i]];
        if (!has_copy(service, generation, ref)) {
            continue;
        }
        enum hf_status status = root_unless_liar(
            service, generation, ref, drop_dead_ms, liars, out_lease);
        if (status == HF_OK) {
            return HF_OK;
        }
        met = the_less_certain(met, status);
    }
    return set.count > 0 ? met : HF_E_MISUSE; /* our configuration */
}
