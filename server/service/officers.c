/* officers: who may approve a purge. */
#include "hsm/base/text.h"

#include "hsm/sys/signature.h"

#include "server/service/purge_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HF_STATUS decode_officer(const struct admin *admin,
                                const struct officer_spec *spec,
                                struct officer_record *out)
{
    *out = (struct officer_record){
        .tenant = admin->tenant->record.id,
        .active = true,
    };
    memcpy(out->identity, spec->identity, sizeof out->identity);
    memcpy(out->name, spec->name, sizeof out->name);
    if (spec->identity[0] == '\0' ||
        !text_is_plain(bytes_of_text(spec->name))) {
        return problem_field(admin->problem, "approvers",
                             "each needs an identity, and a name of plain "
                             "text");
    }
    enum hf_status status =
        signature_key_der(spec->public_key, out->public_key,
                          sizeof out->public_key, &out->public_key_len);
    if (status == HF_E_INVALID) {
        return problem_field(admin->problem, "approvers.public_key",
                             "must be an ECDSA P-256 or Ed25519 public key "
                             "(SubjectPublicKeyInfo)");
    }
    return problem_of_status(admin->problem, status);
}

static HF_STATUS decode(const struct admin *admin,
                        const struct officers_set *request,
                        struct officer_record *wanted)
{
    for (size_t i = 0; i < request->count; i++) {
        HF_TRY(decode_officer(admin, &request->officers[i], &wanted[i]));
        for (size_t j = 0; j < i; j++) {
            bool twice = strcmp(wanted[i].identity, wanted[j].identity) == 0 ||
                         bytes_equal((struct bytes){wanted[i].public_key,
                                                    wanted[i].public_key_len},
                                     (struct bytes){wanted[j].public_key,
                                                    wanted[j].public_key_len});
            if (twice) {
                return problem_field(admin->problem, "approvers",
                                     "names one identity or one key twice: two "
                                     "approvers are two people");
            }
        }
    }
    return HF_OK;
}

/* What becomes of each officer; entries are new ones or the book's. */
struct setting {
    struct officer_entry *entries[2 * OFFICERS_MAX];
    struct officer_record next[2 * OFFICERS_MAX];
    struct stamp stamps[2 * OFFICERS_MAX];
    bool fresh[2 * OFFICERS_MAX];
    size_t count;
};

static HF_STATUS add(struct setting *setting, struct officer_entry *entry,
                     const struct officer_record *next)
{
    bool fresh = entry == NULL;
    if (fresh) {
        entry = calloc(1, sizeof *entry);
    }
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    setting->entries[setting->count] = entry;
    setting->next[setting->count] = *next;
    setting->fresh[setting->count] = fresh;
    setting->count++;
    return HF_OK;
}

static bool is_among(const struct officer_record *officer,
                     const struct officer_record *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(officer->identity, wanted[i].identity) == 0) {
            return true;
        }
    }
    return false;
}

static bool same_key(const struct officer_record *a,
                     const struct officer_record *b)
{
    return bytes_equal((struct bytes){a->public_key, a->public_key_len},
                       (struct bytes){b->public_key, b->public_key_len});
}

/* record_lock is held: the book does not change meanwhile. */
static HF_STATUS plan(const struct admin *admin, struct officer_record *wanted,
                      size_t count, struct setting *setting)
{
    const struct purge_book *book = admin->service->purges;
    const struct hf_id *tenant = &admin->tenant->record.id;
    int64_t now_ms = service_wall_ms(admin->service);
    for (struct officer_entry *officer = book->officers; officer != NULL;
         officer = officer->next) {
        if (!id_equal(&officer->record.tenant, tenant) ||
            !officer->record.active ||
            is_among(&officer->record, wanted, count)) {
            continue;
        }
        struct officer_record next = officer->record;
        next.active = false;
        next.updated_ms = now_ms;
        HF_TRY(add(setting, officer, &next));
    }
    for (size_t i = 0; i < count; i++) {
        struct officer_entry *known =
            purge_book_officer(book, tenant, wanted[i].identity);
        bool stays = known != NULL && known->record.active &&
                     same_key(&known->record, &wanted[i]);
        wanted[i].since_ms = stays ? known->record.since_ms : now_ms;
        wanted[i].updated_ms = now_ms;
        HF_TRY(add(setting, known, &wanted[i]));
    }
    return HF_OK;
}

static HF_STATUS put_all(struct setting *setting, struct change *change)
{
    struct record *record = calloc(1, sizeof *record);
    enum hf_status status = record == NULL ? HF_E_NO_MEMORY : HF_OK;
    for (size_t i = 0; i < setting->count && status == HF_OK; i++) {
        status = officer_encode(&setting->next[i], record);
        if (status == HF_OK) {
            status = change_put(change, record, &setting->entries[i]->stamp,
                                &setting->stamps[i]);
        }
    }
    free(record);
    return status;
}

static HF_STATUS commit(const struct admin *admin, struct setting *setting)
{
    struct service *service = admin->service;
    char object[HF_NAME_MAX_BYTES + 32];
    HF_OWNED(change_freep) struct change *change = NULL;
    snprintf(object, sizeof object, "tenants/%s/purgeApprovers",
             admin->tenant->record.name);
    HF_TRY(change_new(&change));
    HF_TRY(put_all(setting, change));
    HF_TRY(admin_finish_change(admin, change, object, NULL,
                               &admin->tenant->record.id));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (!admin_is_stored(status)) {
        return status;
    }
    pthread_rwlock_wrlock(&service->catalogue.lock);
    for (size_t i = 0; i < setting->count; i++) {
        setting->entries[i]->record = setting->next[i];
        setting->entries[i]->stamp = setting->stamps[i];
        if (setting->fresh[i]) {
            purge_book_add_officer(service->purges, setting->entries[i]);
            setting->fresh[i] = false;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

static void show(struct service *service, const struct tenant_entry *tenant,
                 struct officer_list *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, tenant->record.name, sizeof out->tenant);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct officer_entry *officer = service->purges->officers;
         officer != NULL && out->count < OFFICERS_MAX;
         officer = officer->next) {
        if (officer->record.active &&
            id_equal(&officer->record.tenant, &tenant->record.id)) {
            out->officers[out->count++] = officer->record;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static HF_STATUS set(const struct admin *admin, struct officer_record *wanted,
                     size_t count)
{
    struct setting *setting = calloc(1, sizeof *setting);
    if (setting == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_lock(&admin->service->record_lock);
    enum hf_status status = plan(admin, wanted, count, setting);
    if (status == HF_OK && !admin->mutation->validate_only) {
        status = commit(admin, setting);
    }
    pthread_mutex_unlock(&admin->service->record_lock);
    for (size_t i = 0; i < setting->count; i++) {
        if (setting->fresh[i]) {
            free(setting->entries[i]);
        }
    }
    free(setting);
    return status;
}

HF_STATUS officers_set(struct service *service, const struct caller *caller,
                       const struct officers_set *request,
                       struct officer_list *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_SET_PURGE_APPROVERS,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct officer_record wanted[OFFICERS_MAX];
    HF_TRY(admin_begin(&admin, request->tenant));
    if (!admin.seen) {
        HF_TRY(decode(&admin, request, wanted));
        HF_TRY(admin_answer(&admin, set(&admin, wanted, request->count)));
    }
    show(service, admin.tenant, out);
    return HF_OK;
}

HF_STATUS officers_list(struct service *service, const struct caller *caller,
                        const char *tenant, struct officer_list *out,
                        struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    HF_TRY(service_admit(service, caller, VERB_LIST_PURGE_APPROVERS, tenant,
                         &entry, problem));
    show(service, entry, out);
    return HF_OK;
}
