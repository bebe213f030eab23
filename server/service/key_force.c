#include "server/service/key_force.h"

#include "hsm/base/statement.h"

#include "hsm/sys/signature.h"

#include "server/domain/approval.h"

#include "server/service/key_dependants.h"
#include "server/service/purge_book.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <string.h>

#define TITLE       "holdfast-approval-v1"
#define LIFE_MS     (14LL * 24 * 3600 * 1000)
#define NONCE_BYTES 16
#define OBJECT_BYTES                                                           \
    (2 * HF_NAME_MAX_BYTES + sizeof "tenants//customerKeys//versions/" + 10)
#define NUMBER_BYTES 24

/* --- the document ------------------------------------------------------- */

/* What it says that is not a fact about the key. */
struct terms {
    char nonce[2 * NONCE_BYTES + 1];
    int64_t drafted_s;
    int64_t expires_s;
    uint32_t dependants; /* as many as may need it */
};

static const char *change_text(enum verb verb)
{
    return verb == VERB_SOFT_DELETE_CUSTOMER_KEY ? "soft-delete" : "disable";
}

static void name_object(const struct key_entry *key, uint32_t version,
                        char out[OBJECT_BYTES])
{
    int len = snprintf(out, OBJECT_BYTES, "tenants/%s/customerKeys/%s",
                       key->tenant->record.name, key->record.name);
    if (version != 0) {
        snprintf(out + len, OBJECT_BYTES - (size_t)len, "/versions/%u",
                 version);
    }
}

/* Of the key as it is now. record_lock or the catalogue's is held. */
static HF_STATUS write_document(enum verb verb, const struct key_entry *key,
                                uint32_t version, const struct terms *terms,
                                uint8_t *out, size_t *out_len)
{
    char object[OBJECT_BYTES];
    char id[HF_ID_TEXT];
    char revision[NUMBER_BYTES];
    const struct stamp whole = customer_key_stamp(key);
    struct statement_writer writer =
        statement_begin((char *)out, KEY_FORCE_DOCUMENT_BYTES, TITLE);
    name_object(key, version, object);
    id_format(&key->record.tenant, id);
    snprintf(revision, sizeof revision, "%llu",
             (unsigned long long)whole.version);
    statement_put_text(&writer, "verb", verb_method(verb), HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "tenant", key->tenant->record.name,
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "tenant_id", id, HF_ID_TEXT);
    statement_put_text(&writer, "object", object, sizeof object);
    statement_put_text(&writer, "version", revision, sizeof revision);
    statement_put_text(&writer, "nonce", terms->nonce, sizeof terms->nonce);
    statement_put_time(&writer, "drafted_at", terms->drafted_s);
    statement_put_time(&writer, "expires_at", terms->expires_s);
    statement_put_text(&writer, "change", change_text(verb), HF_NAME_MAX_BYTES);
    statement_put_number(&writer, "stored_keys_that_need_it",
                         terms->dependants);
    return statement_end(&writer, out_len);
}

/* The terms of what was signed. Whether the rest of it fits is found by writing
 * it again: there is one text for one meaning. */
static HF_STATUS read_terms(struct bytes document, struct terms *out)
{
    char other[OBJECT_BYTES];
    struct statement_reader reader = statement_read(document, TITLE);
    statement_get_text(&reader, "verb", other, sizeof other);
    statement_get_text(&reader, "tenant", other, sizeof other);
    statement_get_text(&reader, "tenant_id", other, sizeof other);
    statement_get_text(&reader, "object", other, sizeof other);
    statement_get_text(&reader, "version", other, sizeof other);
    statement_get_text(&reader, "nonce", out->nonce, sizeof out->nonce);
    out->drafted_s = statement_get_time(&reader, "drafted_at");
    out->expires_s = statement_get_time(&reader, "expires_at");
    statement_get_text(&reader, "change", other, sizeof other);
    out->dependants = statement_get_number(&reader, "stored_keys_that_need_it");
    return statement_done(&reader);
}

/* --- may it go ---------------------------------------------------------- */

static HF_STATUS count(const struct admin *admin, const struct key_entry *key,
                       uint32_t version, uint64_t *out_total)
{
    *out_total = 0;
    for (uint32_t i = 1; i <= key->record.current_version; i++) {
        uint64_t here = 0;
        if (version == 0 || version == i) {
            HF_TRY(problem_of_status(admin->problem,
                                     key_count_dependants(admin->service, key,
                                                          key->versions[i - 1],
                                                          &here)));
        }
        *out_total += here;
    }
    return HF_OK;
}

static HF_STATUS refuse_unforced(const struct admin *admin,
                                 const struct key_entry *key, uint32_t version)
{
    for (uint32_t i = 1; i <= key->record.current_version; i++) {
        if (version == 0 || version == i) {
            HF_TRY(key_check_unused(admin, key, key->versions[i - 1]));
        }
    }
    return HF_OK;
}

static HF_STATUS refuse(const struct admin *admin, enum reason reason)
{
    if (reason == REASON_APPROVER_REFUSED) {
        return problem_set(admin->problem, reason,
                           "only approvers who were registered before the "
                           "document was drafted, and who do not order the "
                           "change, may force it");
    }
    return problem_set(admin->problem, REASON_APPROVAL_INVALID,
                       "%u approvers must have signed the document of this "
                       "change of the key as it is now, each once and in time: "
                       "draft it again (DraftForcedChange)",
                       APPROVALS_FOR_FORCE);
}

/* Is it the document of this change of the key as it is? */
static bool is_current(const struct admin *admin, const struct key_entry *key,
                       uint32_t version, struct bytes document,
                       const struct terms *terms)
{
    uint8_t text[KEY_FORCE_DOCUMENT_BYTES];
    size_t len = 0;
    return write_document(admin->verb, key, version, terms, text, &len) ==
               HF_OK &&
           bytes_equal(document, (struct bytes){text, len});
}

static bool gave_before(const struct customer_key_force *force, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(force->approvals[i].identity,
                   force->approvals[at].identity) == 0) {
            return true;
        }
    }
    return false;
}

static enum reason decide_one(const struct admin *admin,
                              const struct customer_key_force *force, size_t at,
                              const struct terms *terms, bool current)
{
    const struct customer_key_approval *approval = &force->approvals[at];
    const struct officer_entry *officer = purge_book_officer(
        admin->service->purges, &admin->tenant->record.id, approval->identity);
    const struct approval_facts facts = {
        .registered = officer != NULL && officer->record.active,
        .registered_before = officer != NULL &&
                             officer->record.since_ms < terms->drafted_s * 1000,
        .is_requester =
            strcmp(approval->identity, admin->caller->identity) == 0,
        .given = gave_before(force, at),
        .signature_good =
            officer != NULL &&
            signature_verify((struct bytes){officer->record.public_key,
                                            officer->record.public_key_len},
                             force->document, approval->signature) == HF_OK,
        .version = current ? 1 : 0,
        .current_version = 1,
        .now_ms = service_wall_ms(admin->service),
        .expires_ms = terms->expires_s * 1000,
    };
    return approval_decide(&facts);
}

static bool is_in_time(const struct admin *admin, const struct terms *terms)
{
    return terms->drafted_s * 1000 <= service_wall_ms(admin->service) &&
           terms->expires_s - terms->drafted_s <= LIFE_MS / 1000;
}

static HF_STATUS check_force(const struct admin *admin,
                             const struct key_entry *key, uint32_t version,
                             const struct customer_key_force *force,
                             uint64_t total)
{
    struct terms terms = {.nonce = ""};
    if (force->approval_count != APPROVALS_FOR_FORCE ||
        read_terms(force->document, &terms) != HF_OK) {
        return refuse(admin, REASON_APPROVAL_INVALID);
    }
    bool current = is_current(admin, key, version, force->document, &terms) &&
                   is_in_time(admin, &terms) && total <= terms.dependants;
    for (size_t i = 0; i < force->approval_count; i++) {
        enum reason reason = decide_one(admin, force, i, &terms, current);
        if (reason != REASON_NONE) {
            return refuse(admin, reason);
        }
    }
    return HF_OK;
}

HF_STATUS key_may_go(const struct admin *admin, const struct key_entry *key,
                     uint32_t version, const struct customer_key_force *force,
                     bool *out_forced)
{
    uint64_t total = 0;
    *out_forced = false;
    HF_TRY(count(admin, key, version, &total));
    if (total == 0) {
        return HF_OK;
    }
    if (force->document.len == 0) {
        return refuse_unforced(admin, key, version);
    }
    *out_forced = true;
    return check_force(admin, key, version, force, total);
}

void key_force_note(struct details *details,
                    const struct customer_key_force *force)
{
    uint8_t digest[HF_SHA256_BYTES];
    char text[2 * SIGNATURE_MAX_BYTES + 1];
    details_flag(details, "forced", false, true);
    if (sha256(force->document, digest) == HF_OK) {
        hex_encode(digest, sizeof digest, text, sizeof text);
        details_text(details, "document", "", text);
    }
    for (size_t i = 0; i < force->approval_count; i++) {
        const struct customer_key_approval *approval = &force->approvals[i];
        char field[] = "approver1";
        char signature[] = "signature1";
        field[sizeof field - 2] = (char)('1' + i);
        signature[sizeof signature - 2] = (char)('1' + i);
        hex_encode(approval->signature.data, approval->signature.len, text,
                   sizeof text);
        details_text(details, field, "", approval->identity);
        details_text(details, signature, "", text);
    }
}

/* --- draft -------------------------------------------------------------- */

static HF_STATUS draft_terms(struct service *service, uint64_t total,
                             struct terms *out)
{
    uint8_t nonce[NONCE_BYTES];
    HF_TRY(rng_fill(service->settings.rng, nonce, sizeof nonce));
    hex_encode(nonce, sizeof nonce, out->nonce, sizeof out->nonce);
    out->drafted_s = service_wall_ms(service) / 1000;
    out->expires_s = out->drafted_s + LIFE_MS / 1000;
    out->dependants = total > UINT32_MAX ? UINT32_MAX : (uint32_t)total;
    return HF_OK;
}

static HF_STATUS choose_version(const struct admin *admin,
                                const struct key_entry *key,
                                const struct key_force_draft *request,
                                uint32_t *out)
{
    *out = 0;
    if (request->change == KEY_FORCE_SOFT_DELETE) {
        return request->version == 0
                   ? HF_OK
                   : problem_field(admin->problem, "version",
                                   "a soft delete takes every version");
    }
    *out =
        request->version == 0 ? key->record.current_version : request->version;
    if (*out > key->record.current_version) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "customer key %s has no version %u",
                           key->record.name, *out);
    }
    return key->versions[*out - 1]->record.enabled
               ? HF_OK
               : problem_set(admin->problem, REASON_STATE_CONFLICT,
                             "version %u of %s is disabled", *out,
                             key->record.name);
}

/* record_lock is held. */
static HF_STATUS draft_locked(const struct admin *admin,
                              const struct key_entry *key,
                              const struct key_force_draft *request,
                              struct key_force_document *out)
{
    enum verb verb = request->change == KEY_FORCE_SOFT_DELETE
                         ? VERB_SOFT_DELETE_CUSTOMER_KEY
                         : VERB_UPDATE_CUSTOMER_KEY;
    struct terms terms = {.nonce = ""};
    uint32_t version = 0;
    HF_TRY(choose_version(admin, key, request, &version));
    HF_TRY(count(admin, key, version, &out->dependants));
    if (out->dependants == 0) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "no stored key needs it: nobody has to be asked");
    }
    enum hf_status status =
        draft_terms(admin->service, out->dependants, &terms);
    if (status == HF_OK) {
        status =
            write_document(verb, key, version, &terms, out->text, &out->len);
    }
    out->expires_ms = terms.expires_s * 1000;
    return problem_of_status(admin->problem, status);
}

HF_STATUS customer_keys_draft_force(struct service *service,
                                    const struct caller *caller,
                                    const struct key_force_draft *request,
                                    struct key_force_document *out,
                                    struct problem *problem)
{
    struct admin admin = {
        .service = service, .caller = caller, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_DRAFT_FORCED_CHANGE,
                         request->tenant, &admin.tenant, problem));
    const struct key_entry *key =
        customer_key_find(service, admin.tenant, request->name);
    if (key == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such customer key");
    }
    if (purges_officer_count(service, admin.tenant) < APPROVALS_FOR_FORCE) {
        return problem_set(problem, REASON_APPROVERS_MISSING,
                           "fewer than %u approvers are registered: "
                           "SetPurgeApprovers first",
                           APPROVALS_FOR_FORCE);
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = draft_locked(&admin, key, request, out);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}
