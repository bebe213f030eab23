/* The administrative half of the service double: each use case by the name of
 * what it is about, and views filled with something to tell apart. */
#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/checkpoints.h"
#include "server/service/customer_keys.h"
#include "server/service/deps.h"
#include "server/service/key_force.h"
#include "server/service/mailbox_moves.h"
#include "server/service/resource_delete.h"
#include "server/service/tenants.h"
#include "server/service/tokens.h"

#include "tests/unit/rpc/service_double.h"

#include <string.h>
#include <unistd.h>

HF_STATUS double_use_case(const struct caller *caller, const char *what,
                          const char *tenant, const char *name,
                          struct problem *problem)
{
    double_say("%s tenant=%s name=%s caller=%s", what, tenant, name,
               caller->identity);
    long wait_ms = double_number_in(name, "wait-");
    if (wait_ms >= 0) {
        usleep((useconds_t)wait_ms * 1000);
    }
    if (strcmp(name, "missing") == 0) {
        return problem_set(problem, REASON_NOT_FOUND, "there is no %s", name);
    }
    if (strcmp(name, "failing") == 0) {
        CHECK(problem->report != NULL);
        struct validation_report *report = problem->report;
        report->count = CHECK_RESULTS_MAX;
        for (size_t i = 0; i < report->count; i++) {
            struct check_result *check = &report->results[i];
            check->code = (enum check_code)(i / 2);
            check->key = (int)(i % 2);
            check->status = i % 5 == 0 ? CHECK_FAIL : CHECK_PASS;
            check->evidence = EVIDENCE_MEASURED;
            memset(check->text, 'x', sizeof check->text - 1);
            check->text[sizeof check->text - 1] = '\0';
        }
        enum hf_status status = problem_set(problem, REASON_VALIDATION_FAILED,
                                            "the keys do not pass");
        problem->has_report = true;
        return status;
    }
    return HF_OK;
}

#define FILL(field, text)                                                      \
    CHECK(text_copy((field), sizeof(field), (text)) == HF_OK)

static void fill_tenant(struct tenant_view *out, const char *name)
{
    *out = (struct tenant_view){.id = double_dep, .created_ms = DOUBLE_TIME_MS};
    FILL(out->name, name);
    FILL(out->etag, "3");
}

HF_STATUS tenants_create(struct service *service, const struct caller *caller,
                         const struct tenant_create *request,
                         struct tenant_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(
        double_use_case(caller, "tenants_create", "", request->name, problem));
    fill_tenant(out, request->name);
    out->production = request->production;
    out->licensed = request->licensed;
    return HF_OK;
}

HF_STATUS tenants_get(struct service *service, const struct caller *caller,
                      const char *tenant, struct tenant_view *out,
                      struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tenants_get", "", tenant, problem));
    fill_tenant(out, tenant);
    return HF_OK;
}

HF_STATUS tenants_update(struct service *service, const struct caller *caller,
                         const struct tenant_update *request,
                         struct tenant_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(
        double_use_case(caller, "tenants_update", "", request->name, problem));
    fill_tenant(out, request->name);
    return HF_OK;
}

HF_STATUS tenants_list(struct service *service, const struct caller *caller,
                       const struct page_request *page, struct tenant_list *out,
                       struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tenants_list", "", page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_tenant(&out->views[i], "acme");
    }
    out->epoch = 12;
    FILL(out->next, "next");
    return HF_OK;
}

static void fill_token(struct token_view *out, const char *tenant,
                       const char *name)
{
    *out = (struct token_view){
        .id = double_dep,
        .protection = PROTECTION_SOFT_DELETE,
        .retention_days = 90,
        .suite = TOKEN_SUITE_OAEP_SHA1,
        .reachable = true,
        .is_configured = true,
        .state = {.condition = TOKEN_AWAITING_ACTIVATION,
                  .worker = 4,
                  .restarts = 3,
                  .why = "nobody came"},
        .enrolled_ms = DOUBLE_TIME_MS,
        .revision = 7,
    };
    FILL(out->tenant, tenant);
    FILL(out->name, name);
    FILL(out->uri, "pkcs11:token=a;serial=1");
}

HF_STATUS tokens_enroll(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tokens_enroll", request->tenant,
                           request->name, problem));
    fill_token(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS tokens_rebind(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, uint32_t *out_bound,
                        struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tokens_rebind", request->tenant,
                           request->name, problem));
    fill_token(out, request->tenant, request->name);
    *out_bound = 7;
    return HF_OK;
}

HF_STATUS tokens_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *name,
                     struct token_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tokens_get", tenant, name, problem));
    fill_token(out, tenant, name);
    return HF_OK;
}

HF_STATUS tokens_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct token_views *out, struct problem *problem)
{
    (void)service;
    HF_TRY(
        double_use_case(caller, "tokens_list", tenant, page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_token(&out->views[i], tenant, "token");
    }
    return HF_OK;
}

static void fill_key(struct customer_key_view *out, const char *tenant,
                     const char *name)
{
    memset(out, 0, sizeof *out);
    out->id = double_dep;
    FILL(out->tenant, tenant);
    FILL(out->name, name);
    FILL(out->token, "token");
    out->current_version = KEY_VERSIONS_SHOWN;
    out->version_count = KEY_VERSIONS_SHOWN;
    for (uint32_t i = 0; i < KEY_VERSIONS_SHOWN; i++) {
        out->versions[i].version = KEY_VERSIONS_SHOWN - i;
        out->versions[i].allows_token = true;
        out->versions[i].allows_memory = i == 0;
        out->versions[i].bits = 3072;
        out->versions[i].attributes_known = i != 1;
        out->versions[i].mechanisms = 1;
        memset(out->uris[i], 'u', HF_URI_MAX_BYTES);
    }
    out->grant_count = KEY_GRANTS_SHOWN;
    for (size_t i = 0; i < KEY_GRANTS_SHOWN; i++) {
        memset(out->grants[i].identity, 'i', HF_URI_MAX_BYTES);
        out->grants[i].permissions = PERMISSION_GET | PERMISSION_UNWRAP;
    }
    out->health.state = KEY_HEALTH_OK;
    out->health.last_success_ms = DOUBLE_TIME_MS;
}

HF_STATUS customer_keys_register(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_register *request,
                                 struct customer_key_view *out,
                                 struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_register", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_get(struct service *service,
                            const struct caller *caller, const char *tenant,
                            const char *name, struct customer_key_view *out,
                            struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_get", tenant, name, problem));
    fill_key(out, tenant, name);
    return HF_OK;
}

static void say_force(const struct customer_key_force *force)
{
    if (force->document.len > 0) {
        double_say(
            "force document=%.*s approvals=%zu last=%s of %zu",
            (int)force->document.len, (const char *)force->document.data,
            force->approval_count,
            force->approval_count == 0
                ? ""
                : force->approvals[force->approval_count - 1].identity,
            force->approval_count == 0
                ? (size_t)0
                : force->approvals[force->approval_count - 1].signature.len);
    }
}

HF_STATUS customer_keys_draft_force(struct service *service,
                                    const struct caller *caller,
                                    const struct key_force_draft *request,
                                    struct key_force_document *out,
                                    struct problem *problem)
{
    (void)service;
    double_say("draft change=%d version=%u", (int)request->change,
               request->version);
    HF_TRY(double_use_case(caller, "customer_keys_draft_force", request->tenant,
                           request->name, problem));
    memcpy(out->text, "to sign", 7);
    out->len = 7;
    out->expires_ms = DOUBLE_TIME_MS;
    out->dependants = 70000;
    return HF_OK;
}

HF_STATUS customer_keys_update(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_update *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    (void)service;
    say_force(&request->force);
    HF_TRY(double_use_case(caller, "customer_keys_update", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_grant(struct service *service,
                              const struct caller *caller,
                              const struct customer_key_grant *request,
                              struct customer_key_view *out,
                              struct problem *problem)
{
    (void)service;
    double_say("permissions=%u", request->permissions);
    HF_TRY(double_use_case(caller, "customer_keys_grant", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_revoke(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_grant *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    (void)service;
    double_say("permissions=%u", request->permissions);
    HF_TRY(double_use_case(caller, "customer_keys_revoke", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

static void fill_report(struct validation_report *out)
{
    *out = (struct validation_report){.count = 1, .passed = true};
    out->results[0] = (struct check_result){
        .code = CHECK_KEY_EXISTS,
        .key = 1,
        .status = CHECK_PASS,
        .evidence = EVIDENCE_MEASURED,
        .text = "it is there",
    };
}

HF_STATUS customer_keys_validate(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_validate *request,
                                 struct validation_report *out,
                                 struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_validate", request->tenant,
                           request->keys[0], problem));
    fill_report(out);
    return HF_OK;
}

HF_STATUS customer_keys_soft_delete(struct service *service,
                                    const struct caller *caller,
                                    const struct customer_key_delete *request,
                                    struct customer_key_view *out,
                                    struct problem *problem)
{
    (void)service;
    double_say("confirm=%d etag=%s", (int)request->confirm,
               request->mutation.etag);
    say_force(&request->force);
    HF_TRY(double_use_case(caller, "customer_keys_soft_delete", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    out->state = KEY_SOFT_DELETED;
    out->deleted_ms = DOUBLE_TIME_MS;
    out->purge_ms = DOUBLE_TIME_MS + 1000;
    out->recovery = RECOVERY_RECOVERABLE_PROTECTED;
    out->retention_days = 90;
    return HF_OK;
}

HF_STATUS customer_keys_recover(struct service *service,
                                const struct caller *caller,
                                const struct customer_key_delete *request,
                                struct customer_key_view *out,
                                struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_recover", request->tenant,
                           request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_list_deleted(struct service *service,
                                     const struct caller *caller,
                                     const char *tenant,
                                     const struct page_request *page,
                                     struct customer_key_list *out,
                                     struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_list_deleted", tenant,
                           page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_key(&out->views[i], tenant, "key");
        out->views[i].state = KEY_SOFT_DELETED;
    }
    return HF_OK;
}

HF_STATUS customer_keys_list(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const struct page_request *page,
                             struct customer_key_list *out,
                             struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "customer_keys_list", tenant, page->token,
                           problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_key(&out->views[i], tenant, "key");
    }
    return HF_OK;
}

static void fill_dep(struct dep_view *out, const char *tenant, const char *name)
{
    *out = (struct dep_view){.health = HEALTH_DEGRADED, .assigned_count = 3};
    FILL(out->tenant, tenant);
    out->record.id = double_dep;
    FILL(out->record.name, name);
    memset(out->record.description, 'd', HF_DESCRIPTION_MAX_BYTES);
    out->record.type = DEP_TYPE_EXCHANGE_MAILBOX;
    out->record.state = DEP_ENABLED;
    out->record.residency = RESIDENCY_MEMORY;
    out->record.key_lease_ms = 1500;
    out->record.fallback_limit_ms = 90500;
    out->outage_since_ms = DOUBLE_TIME_MS;
    out->record.generation = 4;
    out->record.ak_cka_id_len = 2;
    out->record.ak_cka_id[0] = 0xab;
    out->record.ak_state = AK_ACTIVE;
    out->record.key_update = KEY_UPDATE_REPLACING;
    out->last_key_update_ms = DOUBLE_TIME_MS;
    out->keys_counted = true;
    out->effective_count = 2;
    out->earlier_count = 1;
    out->mailboxes_counted = true;
    out->encrypted_count = 2;
    out->encrypted_percent = 66;
    FILL(out->keys[0].name, "first");
    FILL(out->keys[1].name, "second");
    FILL(out->etag, "9");
}

HF_STATUS deps_create(struct service *service, const struct caller *caller,
                      const struct dep_create *request, struct dep_view *out,
                      struct problem *problem)
{
    (void)service;
    CHECK(!request->mutation.cancellation.asked(
        request->mutation.cancellation.self));
    double_say("lease=%lld limit=%lld residency=%d keys=%s,%s only=%d type=%d",
               (long long)request->key_lease_ms,
               (long long)request->fallback_limit_ms, (int)request->residency,
               request->keys[0], request->keys[1],
               request->mutation.validate_only, (int)request->type);
    HF_TRY(double_use_case(caller, "deps_create", request->tenant,
                           request->name, problem));
    fill_dep(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS deps_get_typed(struct service *service, const struct caller *caller,
                         const struct dep_get *request, struct dep_view *out,
                         struct problem *problem)
{
    double_say("type=%d", (int)request->type);
    HF_TRY(
        deps_get(service, caller, request->tenant, request->dep, out, problem));
    if ((int)request->type != 0) {
        out->record.type = request->type;
    }
    return HF_OK;
}

HF_STATUS deps_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *dep, struct dep_view *out,
                   struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "deps_get", tenant, dep, problem));
    fill_dep(out, tenant, "mail");
    return HF_OK;
}

HF_STATUS deps_update(struct service *service, const struct caller *caller,
                      const struct dep_update *request, struct dep_view *out,
                      struct problem *problem)
{
    (void)service;
    double_say("set=%d%d%d%d%d%d enabled=%d lease=%lld limit=%lld",
               request->set_name, request->set_description,
               request->set_enabled, request->set_residency,
               request->set_key_lease, request->set_fallback_limit,
               request->enabled, (long long)request->key_lease_ms,
               (long long)request->fallback_limit_ms);
    HF_TRY(double_use_case(caller, "deps_update", request->tenant, request->dep,
                           problem));
    fill_dep(out, request->tenant, "mail");
    return HF_OK;
}

HF_STATUS deps_test(struct service *service, const struct caller *caller,
                    const char *tenant, const char *dep,
                    struct validation_report *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "deps_test", tenant, dep, problem));
    fill_report(out);
    return HF_OK;
}

HF_STATUS deps_list(struct service *service, const struct caller *caller,
                    const struct dep_list_request *request,
                    struct dep_list *out, struct problem *problem)
{
    (void)service;
    double_say("list type=%d", (int)request->type);
    HF_TRY(double_use_case(caller, "deps_list", request->tenant,
                           request->page.token, problem));
    out->count = request->page.size;
    for (size_t i = 0; i < out->count; i++) {
        fill_dep(&out->views[i], request->tenant, "mail");
    }
    return HF_OK;
}

static void fill_mailbox(struct mailbox_view *out, const char *tenant,
                         const char *id)
{
    *out = (struct mailbox_view){.state = MAILBOX_ENCRYPTED};
    FILL(out->tenant, tenant);
    FILL(out->record.id, id);
    out->record.kind = MAILBOX_SHARED;
    out->record.assigned = double_dep;
    out->record.effective = (struct dep_ref){double_dep, 2};
    out->effective_is_service_managed = strcmp(id, "managed") == 0;
}

HF_STATUS mailboxes_register(struct service *service,
                             const struct caller *caller,
                             const struct mailbox_register *request,
                             struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    double_say("unencrypted=%d", request->unencrypted);
    HF_TRY(double_use_case(caller, "mailboxes_register", request->tenant,
                           request->id, problem));
    fill_mailbox(out, request->tenant, request->id);
    return HF_OK;
}

HF_STATUS mailboxes_assign(struct service *service, const struct caller *caller,
                           const struct mailbox_assign *request,
                           struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    double_say("priority=%d", (int)request->priority);
    HF_TRY(double_use_case(caller, "mailboxes_assign", request->tenant,
                           request->id, problem));
    fill_mailbox(out, request->tenant, request->id);
    return HF_OK;
}

static HF_STATUS answer_move(const struct caller *caller, const char *name,
                             const struct move_end *request,
                             struct mailbox_view *out, struct problem *problem)
{
    char claim[HF_ID_TEXT];
    id_format(&request->claim, claim);
    double_say("%s claim=%s reason=%s", name, claim, request->ground);
    HF_TRY(
        double_use_case(caller, name, request->tenant, request->id, problem));
    fill_mailbox(out, request->tenant, request->id);
    return HF_OK;
}

HF_STATUS mailbox_moves_claim(struct service *service,
                              const struct caller *caller,
                              const struct move_claim *request,
                              struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    double_say("claim_ms=%lld renewed=%s", (long long)request->claim_ms,
               request->id);
    HF_TRY(double_use_case(caller, "mailbox_moves_claim", request->tenant, "",
                           problem));
    fill_mailbox(out, request->tenant, "box");
    out->state = MAILBOX_MOVING;
    out->overdue = true;
    out->record.priority = MOVE_LOW;
    out->record.queued_ms = DOUBLE_TIME_MS;
    out->record.waits_since_ms = DOUBLE_TIME_MS - 1000;
    out->record.claim = double_dep;
    out->record.claim_ends_ms = DOUBLE_TIME_MS + 1000;
    return HF_OK;
}

HF_STATUS mailbox_moves_complete(struct service *service,
                                 const struct caller *caller,
                                 const struct move_end *request,
                                 struct mailbox_view *out,
                                 struct problem *problem)
{
    (void)service;
    return answer_move(caller, "mailbox_moves_complete", request, out, problem);
}

HF_STATUS mailbox_moves_fail(struct service *service,
                             const struct caller *caller,
                             const struct move_end *request,
                             struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    return answer_move(caller, "mailbox_moves_fail", request, out, problem);
}

HF_STATUS resource_delete(struct service *service, const struct caller *caller,
                          const struct resource_delete *request,
                          struct resource_deletion *out,
                          struct problem *problem)
{
    (void)service;
    double_say("delete type=%d confirm=%d only=%d", (int)request->type,
               request->confirm, request->mutation.validate_only);
    HF_TRY(double_use_case(caller, "resource_delete", request->tenant,
                           request->id, problem));
    *out = (struct resource_deletion){
        .record = {.type = request->type, .deleted_ms = DOUBLE_TIME_MS}
    };
    FILL(out->tenant, request->tenant);
    FILL(out->record.id, request->id);
    return HF_OK;
}

HF_STATUS mailboxes_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *id,
                        struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "mailboxes_get", tenant, id, problem));
    fill_mailbox(out, tenant, id);
    return HF_OK;
}

HF_STATUS mailboxes_list(struct service *service, const struct caller *caller,
                         const struct mailbox_list_request *request,
                         struct mailbox_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "mailboxes_list", request->tenant,
                           request->filter.assigned_dep, problem));
    out->count = request->page.size;
    for (size_t i = 0; i < out->count; i++) {
        fill_mailbox(&out->views[i], request->tenant, "box");
    }
    return HF_OK;
}

HF_STATUS checkpoints_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct checkpoint_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "checkpoints_list", tenant, page->token,
                           problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        struct checkpoint_view *view = &out->views[i];
        *view = (struct checkpoint_view){
            .record = {.audit_index = 1000 - i, .signed_ms = DOUBLE_TIME_MS},
        };
        memset(view->text, 't', sizeof view->text);
        view->text_len = sizeof view->text;
        memset(view->record.signature, 0x5a, sizeof view->record.signature);
        view->record.signature_len = sizeof view->record.signature;
    }
    memset(out->keys[0].public_key, 0x30, sizeof out->keys[0].public_key);
    out->keys[0].public_key_len = sizeof out->keys[0].public_key;
    out->key_count = 1;
    FILL(out->next, "more");
    return HF_OK;
}

HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "audit_list", query->tenant, query->activity,
                           problem));
    static const char body[] = "{\"activity\":\"Say \\\"hi\\\"\",\"actor\":"
                               "\"spiffe://x/y\",\"object\":\"tenants/a\"}";
    static struct audit_link link;
    link.index = 5;
    link.time_ms = DOUBLE_TIME_MS;
    link.body_len = sizeof body - 1;
    memcpy(link.body, body, sizeof body - 1);
    HF_TRY(each(context, &link));
    FILL(query->next, "more");
    return HF_OK;
}
