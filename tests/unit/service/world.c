#include "tests/unit/service/world.h"

#include "hsm/base/enrolment.h"

#include "hsm/token/names.h"

#include "server/service/audit.h"
#include "server/service/ledger.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t world_now(void *self)
{
    const struct world *world = self;
    return __atomic_load_n(&world->now_ms, __ATOMIC_SEQ_CST);
}

static void make_custodian(struct world *world)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(key);
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    int len =
        BIO_read(bio, world->custodian_pem, sizeof world->custodian_pem - 1);
    assert_true(len > 0);
    world->custodian_pem[len] = '\0';
    BIO_free(bio);
    world->custodian_key = key;
}

/* A fresh process on the fake token: the same answers, by a way of its own. */
static enum hf_status world_verify(void *self,
                                   const struct absence_question *question,
                                   struct absence_answer *answer)
{
    struct world *world = self;
    struct token_key_report reports[8];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 8, .id_prefix_len = HF_ID_BYTES},
    };
    struct token_request unwrap = {
        .op = TOKEN_OP_UNWRAP,
        .u.unwrap = {.key = question->key,
                     .suite = question->suite,
                     .wrapped = question->wrapped},
    };
    world->verifications++;
    if (world->verifier_fails != HF_OK) {
        return world->verifier_fails;
    }
    memcpy(list.u.list.label_prefix, question->label_prefix,
           sizeof list.u.list.label_prefix);
    memcpy(list.u.list.id_prefix, question->dep.bytes, HF_ID_BYTES);
    const struct token *token = question->type == DEP_TYPE_SHAREPOINT_GEO
                                    ? &world->sharepoint_ak_token
                                    : &world->ak_token;
    for (size_t i = 0; i < WORLD_MIRRORS; i++) {
        if (strcmp(world->mirrors[i].name, question->token) == 0) {
            token = &world->mirror[i];
        }
    }
    enum hf_status status = token_call(token, &list);
    if (status != HF_OK) {
        return status;
    }
    answer->left = list.u.list.count + world->verifier_finds;
    answer->opened = token_call(token, &unwrap) == HF_OK;
    answer->process = (uint32_t)world->verifications;
    snprintf(answer->evidence, sizeof answer->evidence,
             "no object found, and the copy does not open (fake)");
    return HF_OK;
}

static void make_token(struct world *world, const char *label,
                       const char *serial, struct token *token,
                       struct token_fake **fake)
{
    const struct token_fake_settings settings = {
        .label = label,
        .serial = serial,
        .clock = &world->clock,
    };
    assert_ok(token_fake_new(&settings, token, fake));
}

static void make_caller(struct caller *caller, const char *identity,
                        const char *tenant, uint32_t roles)
{
    memset(caller, 0, sizeof *caller);
    snprintf(caller->identity, sizeof caller->identity,
             "spiffe://holdfast.test/%s", identity);
    snprintf(caller->tenant, sizeof caller->tenant, "%s", tenant);
    caller->roles = roles;
}

static void make_approvers(struct world *world)
{
    for (size_t i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "contoso/officer%zu", i + 1);
        make_caller(&world->approver[i], name, WORLD_TENANT,
                    ROLE_PURGE_APPROVER);
        world->approver_key[i] = EVP_EC_gen("P-256");
        assert_non_null(world->approver_key[i]);
    }
}

static void make_callers(struct world *world)
{
    make_approvers(world);
    make_caller(&world->operator_, "operator", "", ROLE_OPERATOR);
    make_caller(&world->admin, "contoso/admin", WORLD_TENANT,
                ROLE_TENANT_ADMIN);
    make_caller(&world->workload, "contoso/exchange", WORLD_TENANT,
                ROLE_WORKLOAD_EXCHANGE);
    make_caller(&world->system, "contoso/indexer", WORLD_TENANT,
                ROLE_WORKLOAD_EXCHANGE | ROLE_SYSTEM_WORKLOAD);
    make_caller(&world->compliance, "contoso/compliance", WORLD_TENANT,
                ROLE_COMPLIANCE_ADMIN);
    make_caller(&world->m365, "contoso/m365", WORLD_TENANT, ROLE_WORKLOAD_M365);
    make_caller(&world->auditor, "contoso/auditor", WORLD_TENANT, ROLE_AUDITOR);
    make_caller(&world->files, "contoso/sharepoint", WORLD_TENANT,
                ROLE_WORKLOAD_SHAREPOINT);
    make_caller(&world->stranger, "contoso/stranger", WORLD_TENANT,
                ROLE_WORKLOAD_EXCHANGE | ROLE_SYSTEM_WORKLOAD);
}

static void make_record_mac_key(struct world *world)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_RECORD_MAC,
                       .label = LEDGER_MAC_KEY_ID,
                       .id_len = sizeof LEDGER_MAC_KEY_ID - 1,
                       .report = &report},
    };
    memcpy(request.u.generate.id, LEDGER_MAC_KEY_ID,
           sizeof LEDGER_MAC_KEY_ID - 1);
    assert_ok(token_call(&world->service_token, &request));
}

static void make_audit_key(struct world *world)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AUDIT_SIGNING,
                       .label = TOKEN_NAME_AUDIT_SIGN,
                       .id_len = sizeof TOKEN_NAME_AUDIT_SIGN - 1,
                       .report = &report},
    };
    memcpy(request.u.generate.id, TOKEN_NAME_AUDIT_SIGN,
           sizeof TOKEN_NAME_AUDIT_SIGN - 1);
    assert_ok(token_call(&world->service_token, &request));
}

static enum hf_status start_service(struct world *world)
{
    world->problem.report = &world->report;
    return service_start(&world->settings, &world->service, &world->problem);
}

void world_start(struct world *world)
{
    static const char *names[WORLD_CUSTOMER_TOKENS] = {"t1", "t2", "t3"};
    static const char *domains[WORLD_CUSTOMER_TOKENS] = {"east", "west",
                                                         "east"};
    memset(world, 0, sizeof *world);
    assert_ok(secret_heap_start(1 << 20));
    world->now_ms = 1800000000000;
    world->protection = CUSTODY_PROTECTION_SOFT_DELETE_PURGE_PROTECTED;
    world->clock = (struct clock){world_now, world_now, world};
    make_custodian(world);
    make_callers(world);
    world->memory = store_memory_new();
    assert_ok(store_memory_open(world->memory, &world->store));
    make_token(world, "service", "00000000000000a0", &world->service_token,
               &world->service_fake);
    make_token(world, "ak", "00000000000000b0", &world->ak_token,
               &world->ak_fake);
    make_token(world, "sharepoint-ak", "00000000000000b1",
               &world->sharepoint_ak_token, &world->sharepoint_ak_fake);
    for (size_t i = 0; i < WORLD_MIRRORS; i++) {
        static const char *const mirrors[WORLD_MIRRORS] = {"m1", "m2", "g1"};
        char serial[17];
        snprintf(serial, sizeof serial, "00000000000000d%zu", i);
        make_token(world, mirrors[i], serial, &world->mirror[i],
                   &world->mirror_fake[i]);
        world->mirrors[i] = (struct configured_ak_token){
            .name = mirrors[i],
            .sharepoint = i == 2,
            .token = &world->mirror[i],
        };
    }
    for (size_t i = 0; i < WORLD_CUSTOMER_TOKENS; i++) {
        char serial[17];
        snprintf(serial, sizeof serial, "00000000000000c%zu", i);
        make_token(world, names[i], serial, &world->customer[i],
                   &world->customer_fake[i]);
        world->configured[i] = (struct configured_token){
            .name = names[i],
            .token = &world->customer[i],
            .custody_domain = domains[i],
            .custodian_key_pem = world->custodian_pem,
        };
    }
    make_record_mac_key(world);
    make_audit_key(world);
    world->verifier = (struct verifier){world_verify, world};
    world->settings = (struct service_settings){
        .store = &world->store,
        .clock = &world->clock,
        .rng = rng_system(),
        .service_token = &world->service_token,
        .ak_token = &world->ak_token,
        .sharepoint_ak_token = &world->sharepoint_ak_token,
        .tokens = world->configured,
        .token_count = WORLD_CUSTOMER_TOKENS,
        .verifier = &world->verifier,
        .purge_hold_ms = WORLD_HOLD_MS,
        .probe_ms = INT64_MAX, /* not by themselves */
    };
    assert_ok(start_service(world));
}

enum hf_status world_restart(struct world *world)
{
    service_stop(world->service);
    world->service = NULL;
    store_close(&world->store);
    assert_ok(store_memory_open(world->memory, &world->store));
    return start_service(world);
}

void world_stop(struct world *world)
{
    service_stop(world->service);
    for (size_t i = 0; i < WORLD_CUSTOMER_TOKENS; i++) {
        token_close(&world->customer[i]);
    }
    for (size_t i = 0; i < WORLD_MIRRORS; i++) {
        token_close(&world->mirror[i]);
    }
    token_close(&world->ak_token);
    token_close(&world->sharepoint_ak_token);
    token_close(&world->service_token);
    store_close(&world->store);
    store_memory_free(world->memory);
    EVP_PKEY_free(world->custodian_key);
    EVP_PKEY_free(world->approver_key[0]);
    EVP_PKEY_free(world->approver_key[1]);
}

/* --- steps -------------------------------------------------------------- */

void world_tenant(struct world *world, const char *name)
{
    struct tenant_create request = {.licensed = true};
    struct tenant_view view;
    snprintf(request.name, sizeof request.name, "%s", name);
    assert_ok(tenants_create(world->service, &world->operator_, &request, &view,
                             &world->problem));
    assert_string_equal(view.name, name);
}

static void sign(struct world *world, const uint8_t *text, size_t len,
                 uint8_t *out, size_t *out_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, world->custodian_key),
        1);
    assert_int_equal(EVP_DigestSign(ctx, out, out_len, text, len), 1);
    EVP_MD_CTX_free(ctx);
}

void world_statement(struct world *world, const char *tenant, size_t token,
                     struct world_statement *out)
{
    struct token_profile profile;
    struct enrolment enrolment = {
        .protection = world->protection,
        .retention_days = 90,
        .hardware = world->enroll_hardware,
        .issued_s = 1800000000,
    };
    size_t statement_len = 0;
    size_t signature_len = sizeof out->signature;
    token_profile_get(&world->customer[token], &profile);
    snprintf(enrolment.tenant, sizeof enrolment.tenant, "%s", tenant);
    snprintf(enrolment.token_label, sizeof enrolment.token_label, "%s",
             profile.label);
    snprintf(enrolment.token_serial, sizeof enrolment.token_serial, "%s",
             profile.serial);
    snprintf(enrolment.custody_domain, sizeof enrolment.custody_domain, "%s",
             world->configured[token].custody_domain);
    assert_ok(enrolment_encode(&enrolment, out->statement, &statement_len));
    sign(world, out->statement, statement_len, out->signature, &signature_len);
    memset(&out->request, 0, sizeof out->request);
    snprintf(out->request.tenant, sizeof out->request.tenant, "%s", tenant);
    snprintf(out->request.name, sizeof out->request.name, "%s",
             world->configured[token].name);
    out->request.statement = (struct bytes){out->statement, statement_len};
    out->request.signature = (struct bytes){out->signature, signature_len};
}

void world_enroll(struct world *world, const char *tenant, size_t token)
{
    struct world_statement statement;
    struct token_view view;
    world_statement(world, tenant, token, &statement);
    assert_ok(tokens_enroll(world->service, &world->operator_,
                            &statement.request, &view, &world->problem));
}

static void register_made(struct world *world, const char *tenant, size_t token,
                          const char *name, const char *id)
{
    struct customer_key_register request = {.name = ""};
    struct customer_key_view view;
    struct caller admin = world->admin;
    char text[3 * HF_CKA_ID_MAX_BYTES + 1] = "";
    snprintf(request.tenant, sizeof request.tenant, "%s", tenant);
    snprintf(admin.tenant, sizeof admin.tenant, "%s", tenant);
    snprintf(request.name, sizeof request.name, "%s", name);
    snprintf(request.token, sizeof request.token, "%s",
             world->configured[token].name);
    for (size_t i = 0; id[i] != '\0'; i++) {
        snprintf(text + 3 * i, sizeof text - 3 * i, "%%%02x",
                 (unsigned char)id[i]);
    }
    snprintf(request.uri, sizeof request.uri, "pkcs11:id=%s", text);
    assert_ok(customer_keys_register(world->service, &admin, &request, &view,
                                     &world->problem));
}

static void generate(struct world *world, size_t token, const char *id,
                     enum token_purpose purpose)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = purpose, .bits = 2048, .report = &report},
    };
    int len = snprintf((char *)request.u.generate.id,
                       sizeof request.u.generate.id, "%s", id);
    request.u.generate.id_len = (size_t)len;
    snprintf(request.u.generate.label, sizeof request.u.generate.label, "%s",
             id);
    assert_ok(token_call(&world->customer[token], &request));
}

void world_key(struct world *world, const char *tenant, size_t token,
               const char *name, enum token_purpose purpose)
{
    generate(world, token, name, purpose);
    register_made(world, tenant, token, name, name);
}

void world_key_version(struct world *world, size_t token, const char *name,
                       uint32_t version)
{
    char id[HF_CKA_ID_MAX_BYTES];
    snprintf(id, sizeof id, "%s-v%u", name, version);
    generate(world, token, id, TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    register_made(world, WORLD_TENANT, token, name, id);
}

static void fill_grant(struct customer_key_grant *request, const char *name,
                       const struct caller *whom, uint32_t permissions)
{
    memset(request, 0, sizeof *request);
    snprintf(request->tenant, sizeof request->tenant, "%s", WORLD_TENANT);
    snprintf(request->name, sizeof request->name, "%s", name);
    memcpy(request->identity, whom->identity, sizeof request->identity);
    request->permissions = permissions;
}

void world_grant(struct world *world, const char *name, const struct caller *to,
                 uint32_t permissions)
{
    struct customer_key_grant request;
    struct customer_key_view view;
    fill_grant(&request, name, to, permissions);
    assert_ok(customer_keys_grant(world->service, &world->admin, &request,
                                  &view, &world->problem));
}

void world_revoke(struct world *world, const char *name,
                  const struct caller *from)
{
    struct customer_key_grant request;
    struct customer_key_view view;
    fill_grant(&request, name, from, 0);
    assert_ok(customer_keys_revoke(world->service, &world->admin, &request,
                                   &view, &world->problem));
}

void world_dep(struct world *world, const char *name, int64_t key_lease_ms,
               enum residency residency)
{
    struct dep_create request = {
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .keys = {"ck1", "ck2"},
        .residency = residency,
        .key_lease_ms = key_lease_ms,
    };
    struct dep_view view;
    snprintf(request.tenant, sizeof request.tenant, "%s", WORLD_TENANT);
    snprintf(request.name, sizeof request.name, "%s", name);
    memcpy(request.workload_identity, world->workload.identity,
           sizeof request.workload_identity);
    assert_ok(deps_create(world->service, &world->admin, &request, &view,
                          &world->problem));
    assert_int_equal(view.record.state, DEP_ENABLED);
}

void world_dep_of(struct world *world, const struct world_dep_options *options)
{
    struct dep_create request = {
        .type = options->type,
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = options->key_lease_ms,
    };
    struct dep_view view;
    snprintf(request.tenant, sizeof request.tenant, "%s", WORLD_TENANT);
    snprintf(request.name, sizeof request.name, "%s", options->name);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        snprintf(request.keys[i], sizeof request.keys[i], "%s",
                 options->keys[i]);
    }
    memcpy(request.workload_identity, options->workload->identity,
           sizeof request.workload_identity);
    assert_ok(deps_create(world->service, &world->admin, &request, &view,
                          &world->problem));
    assert_int_equal(view.record.type, options->type);
}

void world_mailbox(struct world *world, const char *id, const char *dep)
{
    struct mailbox_register request = {.kind = MAILBOX_USER, .licensed = true};
    struct mailbox_assign assign = {.id = ""};
    struct mailbox_view view;
    snprintf(request.tenant, sizeof request.tenant, "%s", WORLD_TENANT);
    snprintf(request.id, sizeof request.id, "%s", id);
    assert_ok(mailboxes_register(world->service, &world->admin, &request, &view,
                                 &world->problem));
    snprintf(assign.tenant, sizeof assign.tenant, "%s", WORLD_TENANT);
    snprintf(assign.id, sizeof assign.id, "%s", id);
    snprintf(assign.dep, sizeof assign.dep, "%s", dep);
    assert_ok(mailboxes_assign(world->service, &world->admin, &assign, &view,
                               &world->problem));
}

void world_ready(struct world *world, int64_t key_lease_ms,
                 enum residency residency)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    const enum token_purpose purpose = residency == RESIDENCY_MEMORY
                                           ? TOKEN_FOR_CUSTOMER_KEY_MEMORY
                                           : TOKEN_FOR_CUSTOMER_KEY_TOKEN;
    world_tenant(world, WORLD_TENANT);
    world_enroll(world, WORLD_TENANT, 0);
    world_enroll(world, WORLD_TENANT, 1);
    world_key(world, WORLD_TENANT, 0, "ck1", purpose);
    world_key(world, WORLD_TENANT, 1, "ck2", purpose);
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "ck1" : "ck2";
        world_grant(world, key, &world->workload, all);
        world_grant(world, key, &world->system, all);
    }
    world_dep(world, WORLD_DEP, key_lease_ms, residency);
    world_mailbox(world, WORLD_MAILBOX, WORLD_DEP);
}

/* --- calls -------------------------------------------------------------- */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    bool cancelled;
    const atomic_bool *cancel;
};

static void call_done(struct key_call *call)
{
    struct waiting *waiting = call->owner;
    pthread_mutex_lock(&waiting->lock);
    assert_false(waiting->done);
    waiting->done = true;
    pthread_cond_signal(&waiting->answered);
    pthread_mutex_unlock(&waiting->lock);
}

static bool call_cancelled(struct key_call *call)
{
    const struct waiting *waiting = call->owner;
    return waiting->cancelled ||
           (waiting->cancel != NULL && atomic_load(waiting->cancel));
}

void world_call(struct world *world, const struct call_options *options,
                struct outcome *out)
{
    struct waiting waiting = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .answered = PTHREAD_COND_INITIALIZER,
        .cancelled = options->cancelled,
        .cancel = options->cancel,
    };
    struct key_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    call->verb = options->verb;
    call->caller = options->caller;
    call->initiator =
        options->initiator == 0 ? INITIATOR_USER : options->initiator;
    snprintf(call->tenant, sizeof call->tenant, "%s",
             options->tenant == NULL ? WORLD_TENANT : options->tenant);
    call->type = options->type == 0 ? RESOURCE_MAILBOX : options->type;
    snprintf(call->resource, sizeof call->resource, "%s",
             options->mailbox == NULL ? WORLD_MAILBOX : options->mailbox);
    snprintf(call->blob, sizeof call->blob, "%s",
             options->blob == NULL ? "" : options->blob);
    snprintf(call->request_id, sizeof call->request_id, "%s",
             options->request_id == NULL ? "" : options->request_id);
    if (options->wrapped != NULL) {
        assert_true(options->wrapped_len <= sizeof call->wrapped);
        memcpy(call->wrapped, options->wrapped, options->wrapped_len);
        call->wrapped_len = options->wrapped_len;
    }
    if (options->plaintext != NULL) {
        assert_ok(secret_new(HF_KEY_BYTES, &call->plaintext));
        memcpy(secret_writable(call->plaintext), options->plaintext,
               HF_KEY_BYTES);
    }
    call->confirm = options->confirm;
    call->validate_only = options->validate_only;
    call->cancelled = call_cancelled;
    call->done = call_done;
    call->owner = &waiting;
    keys_submit(world->service, &call, 1);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done) {
        pthread_cond_wait(&waiting.answered, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    memset(out, 0, sizeof *out);
    out->status = call->status;
    out->problem = call->problem;
    out->dep = call->dep;
    out->generation = call->generation;
    out->service_managed = call->dep_is_service_managed;
    memcpy(out->envelope, call->envelope, call->envelope_len);
    out->envelope_len = call->envelope_len;
    memcpy(out->replaced, call->replaced, call->replaced_len);
    out->replaced_len = call->replaced_len;
    out->retired = call->retired;
    if (call->plaintext != NULL && options->verb != VERB_WRAP_KEY) {
        memcpy(out->key, secret_bytes(call->plaintext), HF_KEY_BYTES);
        out->has_key = true;
    }
    secret_free(call->plaintext);
    free(call);
}

void world_generate(struct world *world, const char *mailbox,
                    struct outcome *out)
{
    const struct call_options options = {
        .caller = &world->workload,
        .verb = VERB_GENERATE_KEY,
        .mailbox = mailbox,
    };
    world_call(world, &options, out);
    assert_ok(out->status);
    assert_true(out->has_key);
}

void world_unwrap(struct world *world, const struct caller *caller,
                  enum initiator initiator, struct outcome *out)
{
    const struct call_options options = {
        .caller = caller,
        .verb = VERB_UNWRAP_KEY,
        .initiator = initiator,
    };
    world_call(world, &options, out);
}

struct seen_records {
    size_t count;
    char *last; /* NULL: only counted */
};

static enum hf_status see_record(void *context, const struct audit_link *link)
{
    struct seen_records *seen = context;
    seen->count++;
    if (seen->last != NULL) {
        memcpy(seen->last, link->body, link->body_len);
        seen->last[link->body_len] = '\0';
    }
    return HF_OK;
}

static void see_records(struct world *world, const char *activity,
                        struct seen_records *seen)
{
    struct audit_query query = {.page = {.size = 1000}};
    snprintf(query.tenant, sizeof query.tenant, "%s", WORLD_TENANT);
    snprintf(query.activity, sizeof query.activity, "%s", activity);
    assert_ok(audit_list(world->service, &world->auditor, &query, see_record,
                         seen, &world->problem));
    assert_string_equal(query.next, "");
}

#define SETTLE_STEP_US 100000
#define SETTLE_STEPS   7 /* more than three turns of the scheduler */
#define SETTLE_TRIES   300

void world_settle(struct world *world)
{
    struct service_counters then;
    struct service_counters now;
    int quiet = 0;
    service_counters_get(world->service, &then);
    for (int i = 0; i < SETTLE_TRIES && quiet < SETTLE_STEPS; i++) {
        usleep(SETTLE_STEP_US);
        service_counters_get(world->service, &now);
        bool same = now.store_writes == then.store_writes &&
                    now.root_ops == then.root_ops;
        quiet = same ? quiet + 1 : 0;
        then = now;
    }
    assert_int_equal(quiet, SETTLE_STEPS);
}

size_t world_audit_count(struct world *world, const char *activity)
{
    struct seen_records seen = {.last = NULL};
    see_records(world, activity, &seen);
    return seen.count;
}

void world_audit_last(struct world *world, const char *activity,
                      char out[WORLD_AUDIT_BYTES])
{
    struct seen_records seen = {.last = out};
    out[0] = '\0';
    see_records(world, activity, &seen);
}
