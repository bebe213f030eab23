#include "tests/unit/store/record_cases.h"

#include <stdint.h>
#include <string.h>

static struct hf_id id_of(uint8_t byte)
{
    struct hf_id id;
    memset(id.bytes, byte, sizeof id.bytes);
    id.bytes[0] = (uint8_t)~byte;
    return id;
}

/* Bytes that differ from their neighbours, so that a shift would show. */
static void fill_bytes(uint8_t *out, size_t len, uint8_t start)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(start + 7 * i + i / 256);
    }
}

static void fill_text(char *out, size_t cap, char first)
{
    for (size_t i = 0; i + 1 < cap; i++) {
        out[i] = (char)(first + (char)(i % 26));
    }
    out[cap - 1] = '\0';
}

static void tenant_fill(void *out, bool largest)
{
    struct tenant_record *tenant = out;
    tenant->id = id_of(0x11);
    tenant->licensed = true; /* neighbours differ here, so that a swap shows */
    if (!largest) {
        return;
    }
    fill_text(tenant->name, sizeof tenant->name, 'a');
    tenant->production = true;
    tenant->service_managed = id_of(0x12);
    tenant->created_ms = INT64_MAX;
}

static void token_record_fill(void *out, bool largest)
{
    struct token_record *token = out;
    token->id = id_of(0x21);
    token->tenant = id_of(0x22);
    token->protection = PROTECTION_NONE;
    token->hardware = true;
    if (!largest) {
        return;
    }
    fill_text(token->name, sizeof token->name, 'a');
    fill_text(token->label, sizeof token->label, 'A');
    fill_text(token->serial, sizeof token->serial, 'b');
    fill_text(token->custody_domain, sizeof token->custody_domain, 'B');
    token->protection = PROTECTION_TOKEN_PROTECTED;
    token->retention_days = UINT32_MAX;
    token->test_only = true;
    token->enrolled_ms = INT64_MAX;
    fill_bytes(token->statement, sizeof token->statement, 3);
    token->statement_len = sizeof token->statement;
}

static void customer_key_fill(void *out, bool largest)
{
    struct customer_key_record *key = out;
    key->id = id_of(0x31);
    key->tenant = id_of(0x32);
    if (!largest) {
        return;
    }
    fill_text(key->name, sizeof key->name, 'k');
    key->token = id_of(0x33);
    key->current_version = UINT32_MAX;
    key->created_ms = INT64_MAX;
    key->state = KEY_GONE;
    key->deleted_ms = INT64_MAX - 1;
    key->purge_ms = INT64_MAX;
}

static void key_version_fill(void *out, bool largest)
{
    struct key_version_record *version = out;
    version->key = id_of(0x41);
    version->allows_token = true;
    version->imported = true;
    if (!largest) {
        return;
    }
    version->version = UINT32_MAX;
    fill_bytes(version->cka_id, sizeof version->cka_id, 9);
    version->cka_id_len = sizeof version->cka_id;
    fill_bytes(version->fingerprint, sizeof version->fingerprint, 77);
    fill_bytes(version->spki, sizeof version->spki, 5);
    version->spki_len = sizeof version->spki;
    version->bits = 4096;
    version->suite = 3;
    version->enabled = true;
    version->not_before_ms = 1700000000001;
    version->expires_ms = INT64_MAX;
    version->allows_memory = true;
    version->created_ms = 1700000000002;
    version->updated_ms = 1700000000003;
    fill_text(version->label, sizeof version->label, 'l');
    version->attributes_known = true;
    version->sensitive = true;
    version->extractable = true;
    version->always_sensitive = true;
    version->never_extractable = true;
    version->mechanisms = UINT32_MAX;
}

static void grant_fill(void *out, bool largest)
{
    struct grant_record *grant = out;
    grant->key = id_of(0x51);
    if (!largest) {
        return;
    }
    fill_text(grant->identity, sizeof grant->identity, 's');
    grant->granted = PERMISSION_GET | PERMISSION_UNWRAP;
    grant->ever_held = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    grant->updated_ms = INT64_MAX;
}

static void dep_fill(void *out, bool largest)
{
    struct dep_record *dep = out;
    dep->id = id_of(0x61);
    dep->tenant = id_of(0x62);
    dep->type = DEP_TYPE_EXCHANGE_MAILBOX;
    dep->state = DEP_ENABLED;
    dep->residency = RESIDENCY_TOKEN;
    dep->ak_state = AK_ACTIVE;
    if (!largest) {
        return;
    }
    dep->type = DEP_TYPE_SERVICE_MANAGED;
    fill_text(dep->name, sizeof dep->name, 'd');
    fill_text(dep->description, sizeof dep->description, 'e');
    dep->state = DEP_PURGED;
    dep->residency = RESIDENCY_MEMORY;
    dep->key_lease_ms = HF_KEY_LEASE_MAX_MS;
    dep->generation = UINT32_MAX;
    fill_bytes(dep->ak_cka_id, sizeof dep->ak_cka_id, 1);
    dep->ak_cka_id_len = sizeof dep->ak_cka_id;
    dep->ak_state = AK_DESTROYED;
    dep->ak_version = 0x01020304;
    dep->created_ms = 1700000000004;
    dep->updated_ms = INT64_MAX;
    dep->key_update = KEY_UPDATE_REPLACING;
    dep->fallback_limit_ms = FALLBACK_LIMIT_MAX_MS;
}

static void generation_fill(void *out, bool largest)
{
    struct generation_record *generation = out;
    generation->tenant = id_of(0x71);
    generation->dep = id_of(0x72);
    if (!largest) {
        return;
    }
    generation->generation = UINT32_MAX;
    for (uint8_t slot = 0; slot < ROOT_SLOTS; slot++) {
        struct wrapped_copy *copy = &generation->copies[slot];
        copy->suite = (uint8_t)(slot + 1);
        copy->key = id_of((uint8_t)(0x73 + slot));
        copy->key_version = 0x10203040u + slot;
        copy->token = id_of((uint8_t)(0x76 + slot));
        fill_bytes(copy->wrapped, sizeof copy->wrapped, (uint8_t)(slot * 50));
        copy->wrapped_len = sizeof copy->wrapped;
    }
    fill_bytes(generation->check_iv, sizeof generation->check_iv, 200);
    fill_bytes(generation->check_sealed, sizeof generation->check_sealed, 201);
    generation->check_sealed_len = sizeof generation->check_sealed;
    generation->created_ms = INT64_MAX;
    for (uint8_t i = 0; i < AK_TOKENS_MAX; i++) {
        struct wrapped_copy *copy = &generation->mirrors[i];
        copy->suite = 3;
        copy->key_version = 0x50607080u + i;
        copy->token = id_of((uint8_t)(0x3a + i));
        fill_bytes(copy->wrapped, sizeof copy->wrapped, (uint8_t)(i * 40));
        copy->wrapped_len = sizeof copy->wrapped;
    }
}

static void ak_token_fill(void *out, bool largest)
{
    struct ak_token_record *token = out;
    token->id = id_of(0x3f);
    token->state = AK_TOKEN_ENROLLING;
    token->serial[0] = '7';
    if (!largest) {
        return;
    }
    token->sharepoint = true;
    token->first = true;
    token->state = AK_TOKEN_RETIRED;
    fill_text(token->name, sizeof token->name, 'n');
    fill_text(token->label, sizeof token->label, 'l');
    fill_text(token->serial, sizeof token->serial, 's');
    fill_bytes(token->transport, sizeof token->transport, 17);
    token->transport_len = sizeof token->transport;
    token->enrolled_ms = 1700000000001;
    token->active_ms = 1700000000002;
    fill_text(token->disposal, sizeof token->disposal, 'd');
    fill_text(token->requested_by, sizeof token->requested_by, 'r');
    for (size_t i = 0; i < AK_RETIREMENT_APPROVALS; i++) {
        fill_text(token->approved_by[i], sizeof token->approved_by[i], 'a');
    }
    token->requested_ms = 1700000000003;
    token->retired_ms = INT64_MAX;
}

static void resource_fill(void *out, bool largest)
{
    struct resource_record *resource = out;
    resource->tenant = id_of(0x81);
    resource->type = RESOURCE_MAILBOX;
    resource->id[0] = 'm';
    resource->kind = MAILBOX_USER;
    if (!largest) {
        return;
    }
    fill_text(resource->id, sizeof resource->id, 'm');
    resource->kind = MAILBOX_SHARED;
    resource->licensed = true;
    resource->assigned = id_of(0x82);
    resource->effective =
        (struct dep_ref){.dep = id_of(0x83), .generation = UINT32_MAX};
    fill_bytes(resource->envelope, sizeof resource->envelope, 33);
    resource->envelope_len = sizeof resource->envelope;
    for (size_t i = 0; i < RESOURCE_WRAPS_MAX; i++) {
        resource->wraps[i] = (struct dep_ref){.dep = id_of((uint8_t)(0x90 + i)),
                                              .generation = (uint32_t)i + 1};
    }
    resource->wrap_count = RESOURCE_WRAPS_MAX;
    resource->assigned_ms = 1700000000005;
    resource->effective_ms = 1700000000006;
    resource->created_ms = INT64_MAX;
    resource->switched_on = true;
    for (size_t i = 0; i < RESOURCE_EARLIER_MAX; i++) {
        struct earlier_key *earlier = &resource->earlier[i];
        earlier->by = (struct dep_ref){.dep = id_of((uint8_t)(0xe0 + i)),
                                       .generation = 0x01020304u + (uint32_t)i};
        fill_bytes(earlier->envelope, sizeof earlier->envelope,
                   (uint8_t)(11 * i));
        earlier->envelope_len = sizeof earlier->envelope;
        earlier->replaced_ms = 1700000000009 + (int64_t)i;
        fill_bytes(earlier->mark, sizeof earlier->mark, (uint8_t)(7 * i));
    }
    resource->earlier_count = RESOURCE_EARLIER_MAX;
    resource->move = MOVE_MOVING;
    resource->priority = MOVE_LOW;
    resource->queued_ms = 1700000000008;
    resource->waits_since_ms = 1700000000007;
    resource->claim = id_of(0x8f);
    resource->claim_ends_ms = 1700000000009;
    resource->overdue_alerted = true;
    for (size_t i = 0; i < RESOURCE_RETIRED_MAX; i++) {
        struct retired_key *retired = &resource->retired[i];
        retired->under = (struct dep_ref){.dep = id_of((uint8_t)(0xd0 + i)),
                                          .generation = UINT32_MAX};
        fill_bytes(retired->mark, sizeof retired->mark, (uint8_t)(5 * i));
    }
    resource->retired_count = RESOURCE_RETIRED_MAX;
}

static void tenant_assignment_fill(void *out, bool largest)
{
    struct tenant_assignment_record *assignment = out;
    assignment->tenant = id_of(0xf1);
    assignment->state = ASSIGNMENT_NONE;
    if (!largest) {
        return;
    }
    assignment->state = ASSIGNMENT_OFFBOARDING;
    assignment->dep = id_of(0xf2);
    assignment->number = UINT32_MAX;
    assignment->operation = id_of(0xf3);
    assignment->assigned_ms = 1700000000010;
    assignment->effective_ms = 1700000000011;
    assignment->overdue_ms = 1700000000012;
    assignment->updated_ms = INT64_MAX;
    fill_text(assignment->ticket, sizeof assignment->ticket, 't');
    fill_text(assignment->contact, sizeof assignment->contact, 'c');
    fill_text(assignment->ground, sizeof assignment->ground, 'g');
}

static void workload_progress_fill(void *out, bool largest)
{
    struct workload_progress_record *progress = out;
    progress->tenant = id_of(0xf4);
    if (!largest) {
        return;
    }
    progress->workload = UINT32_MAX;
    progress->assignment = UINT32_MAX - 1;
    progress->done = UINT64_MAX - 1;
    progress->total = UINT64_MAX;
    progress->reported_ms = INT64_MAX;
}

static void request_fill(void *out, bool largest)
{
    struct request_record *request = out;
    request->tenant = id_of(0xa1);
    if (!largest) {
        return;
    }
    fill_bytes(request->request, sizeof request->request, 44);
    fill_bytes(request->digest, sizeof request->digest, 55);
    request->object = id_of(0xa2);
    request->created_ms = INT64_MAX;
}

static void onboarding_fill(void *out, bool largest)
{
    struct onboarding_record *request = out;
    request->tenant = id_of(0xe1);
    request->id = id_of(0xe2);
    request->scenario = DEP_TYPE_EXCHANGE_MAILBOX;
    request->mode = ONBOARDING_VALIDATE;
    request->keys[0] = id_of(0xe3);
    request->keys[1] = id_of(0xe4);
    request->residency = RESIDENCY_TOKEN;
    if (!largest) {
        return;
    }
    request->slot = UINT32_MAX;
    request->number = UINT64_MAX;
    request->scenario = DEP_TYPE_MULTI_WORKLOAD;
    request->mode = ONBOARDING_ENABLE;
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        fill_text(request->domains[i], sizeof request->domains[i], 'd');
        fill_text(request->names[i], sizeof request->names[i], 'n');
        request->versions[i] = UINT32_MAX;
    }
    fill_text(request->identity, sizeof request->identity, 'i');
    request->residency = RESIDENCY_MEMORY;
    fill_text(request->requester, sizeof request->requester, 'r');
    request->passed = true;
    request->enablement = ENABLEMENT_REFUSED;
    request->created_ms = INT64_MAX;
    request->check_count = ONBOARDING_CHECKS_MAX;
    for (size_t i = 0; i < ONBOARDING_CHECKS_MAX; i++) {
        struct onboarding_check *check = &request->checks[i];
        check->code = (enum check_code)(i / 2);
        check->key = (int)(i % 3) - 1;
        check->status = CHECK_SKIPPED;
        check->evidence = EVIDENCE_DECLARED;
        fill_text(check->text, sizeof check->text, 't');
    }
}

static void operation_fill(void *out, bool largest)
{
    struct operation_record *operation = out;
    operation->id = id_of(0xd1);
    operation->tenant = id_of(0xd2);
    operation->kind = OPERATION_REWRAP;
    operation->state = OPERATION_RUNNING;
    if (!largest) {
        return;
    }
    operation->state = OPERATION_CANCELLED;
    operation->object = id_of(0xd3);
    operation->number = UINT32_MAX;
    fill_bytes(operation->cursor, sizeof operation->cursor, 17);
    operation->cursor_len = sizeof operation->cursor;
    operation->done = UINT64_MAX - 1;
    operation->total = UINT64_MAX;
    operation->failed = UINT64_MAX - 2;
    operation->percent = 100;
    fill_text(operation->error, sizeof operation->error, 'e');
    fill_text(operation->requester, sizeof operation->requester, 'r');
    operation->created_ms = 1700000000007;
    operation->updated_ms = 1700000000008;
    operation->ended_ms = INT64_MAX;
}

static void geo_fill(void *out, bool largest)
{
    struct geo_record *geo = out;
    geo->id = id_of(0xe1);
    geo->tenant = id_of(0xe2);
    geo->evict_on_denied = true;
    if (!largest) {
        return;
    }
    fill_text(geo->name, sizeof geo->name, 'g');
    geo->state = GEO_RECOVERING;
    geo->dep = id_of(0xe3);
    geo->operation = id_of(0xe4);
    fill_bytes(geo->ak_fingerprint, sizeof geo->ak_fingerprint, 23);
    geo->recovery = GEO_RECOVERY_OPEN;
    fill_text(geo->requested_by, sizeof geo->requested_by, 'a');
    fill_text(geo->enabled_by, sizeof geo->enabled_by, 'b');
    fill_text(geo->confirmed_by, sizeof geo->confirmed_by, 'c');
    fill_text(geo->ticket, sizeof geo->ticket, 't');
    geo->requested_ms = INT64_MAX;
    geo->window_ms = INT64_MAX - 1;
    geo->until_ms = INT64_MAX - 2;
    geo->created_ms = INT64_MAX - 3;
    geo->updated_ms = INT64_MAX - 4;
}

static void seals_fill(void *out, bool largest)
{
    struct seals_record *seals = out;
    seals->dep = id_of(0xb1);
    if (!largest) {
        return;
    }
    seals->generation = UINT32_MAX;
    seals->reserved = UINT64_MAX;
}

static void name_fill(void *out, bool largest)
{
    *(struct hf_id *)out = id_of(largest ? 0xc2 : 0xc1);
}

static void officer_fill(void *out, bool largest)
{
    struct officer_record *officer = out;
    officer->tenant = id_of(0x17);
    officer->active = true;
    if (!largest) {
        return;
    }
    fill_text(officer->identity, sizeof officer->identity, 'o');
    fill_text(officer->name, sizeof officer->name, 'n');
    fill_bytes(officer->public_key, sizeof officer->public_key, 31);
    officer->public_key_len = sizeof officer->public_key;
    officer->since_ms = 1700000000009;
    officer->updated_ms = INT64_MAX;
}

static void purge_fill_end(struct purge_record *purge)
{
    purge->resources = UINT64_MAX;
    purge->approvals = UINT32_MAX;
    purge->approved_ms = 1700000000011;
    purge->hold_until_ms = 1700000000012;
    fill_text(purge->executor, sizeof purge->executor, 'x');
    purge->executed_ms = 1700000000013;
    fill_bytes(purge->tombstones, sizeof purge->tombstones, 41);
    purge->tombstoned_ms = 1700000000014;
    purge->destroyed_ms = 1700000000015;
    purge->verified_ms = 1700000000016;
    fill_text(purge->evidence, sizeof purge->evidence, 'v');
    purge->purged_ms = INT64_MAX;
}

static void purge_fill(void *out, bool largest)
{
    struct purge_record *purge = out;
    purge->id = id_of(0x18);
    purge->tenant = id_of(0x19);
    purge->dep = id_of(0x1a);
    purge->phase = PURGE_REQUESTED;
    purge->force = true;
    purge->before = DEP_ENABLED;
    if (!largest) {
        return;
    }
    purge->phase = PURGE_CANCELLED;
    purge->before = DEP_DISABLED;
    purge->paused = true;
    purge->force = false;
    fill_text(purge->reason, sizeof purge->reason, 'r');
    fill_text(purge->contact, sizeof purge->contact, 'c');
    fill_text(purge->requester, sizeof purge->requester, 'q');
    purge->requested_ms = 1700000000010;
    purge->version = UINT32_MAX;
    fill_bytes(purge->nonce, sizeof purge->nonce, 51);
    purge->expires_ms = INT64_MAX;
    purge->earlier_count = PURGE_EARLIER_MAX;
    for (size_t i = 0; i < PURGE_EARLIER_MAX; i++) {
        purge->earlier[i].ref.dep = id_of((uint8_t)(0x60 + i));
        purge->earlier[i].ref.generation = (uint32_t)i + 1;
        purge->earlier[i].resources = UINT64_MAX - i;
        purge->residual[i] = purge->earlier[i / 2];
    }
    purge->residual_count = PURGE_EARLIER_MAX;
    purge->earlier_accepted = true;
    purge_fill_end(purge);
}

static void approval_fill(void *out, bool largest)
{
    struct approval_record *approval = out;
    approval->tenant = id_of(0x1b);
    approval->purge = id_of(0x1c);
    if (!largest) {
        return;
    }
    fill_text(approval->identity, sizeof approval->identity, 'i');
    approval->version = UINT32_MAX;
    fill_bytes(approval->key_fingerprint, sizeof approval->key_fingerprint, 61);
    fill_bytes(approval->document, sizeof approval->document, 71);
    approval->earlier_accepted = true;
    fill_bytes(approval->signature, sizeof approval->signature, 81);
    approval->signature_len = sizeof approval->signature;
    approval->approved_ms = INT64_MAX;
    fill_bytes(approval->text, sizeof approval->text, 91);
    approval->text_len = sizeof approval->text;
}

static void deletion_fill(void *out, bool largest)
{
    struct deletion_record *deletion = out;
    deletion->tenant = id_of(0x1f);
    deletion->type = RESOURCE_MAILBOX;
    if (!largest) {
        return;
    }
    deletion->type = RESOURCE_SITE;
    fill_text(deletion->id, sizeof deletion->id, 'd');
    fill_text(deletion->identity, sizeof deletion->identity, 'i');
    deletion->deleted_ms = INT64_MAX;
}

static void tombstone_fill(void *out, bool largest)
{
    struct tombstone_record *tombstone = out;
    tombstone->tenant = id_of(0x1d);
    tombstone->type = RESOURCE_MAILBOX;
    tombstone->purge = id_of(0x1e);
    if (!largest) {
        return;
    }
    tombstone->type = RESOURCE_SITE;
    fill_text(tombstone->id, sizeof tombstone->id, 't');
    tombstone->created_ms = INT64_MAX;
}

static void certificate_fill(void *out, bool largest)
{
    struct certificate_record *certificate = out;
    certificate->tenant = id_of(0x1f);
    certificate->purge = id_of(0x20);
    if (!largest) {
        return;
    }
    fill_bytes(certificate->text, sizeof certificate->text, 91);
    certificate->text_len = sizeof certificate->text;
    fill_bytes(certificate->signature, sizeof certificate->signature, 101);
    certificate->signature_len = sizeof certificate->signature;
    fill_bytes(certificate->public_key, sizeof certificate->public_key, 111);
    certificate->public_key_len = sizeof certificate->public_key;
}

static void checkpoint_fill(void *out, bool largest)
{
    struct checkpoint_record *checkpoint = out;
    if (!largest) {
        return;
    }
    checkpoint->audit_index = UINT64_MAX;
    fill_bytes(checkpoint->audit_hash, sizeof checkpoint->audit_hash, 121);
    checkpoint->spool = id_of(0x21);
    checkpoint->spool_records = UINT64_MAX;
    fill_bytes(checkpoint->spool_hash, sizeof checkpoint->spool_hash, 131);
    checkpoint->signed_ms = INT64_MAX;
    fill_bytes(checkpoint->key_fingerprint, sizeof checkpoint->key_fingerprint,
               141);
    fill_bytes(checkpoint->signature, sizeof checkpoint->signature, 151);
    checkpoint->signature_len = sizeof checkpoint->signature;
}

static void notice_fill(void *out, bool largest)
{
    struct notice_record *notice = out;
    notice->tenant = id_of(0x2a);
    notice->dep = id_of(0x2b);
    notice->event = NOTICE_BEGAN;
    notice->since_ms = 1;
    if (!largest) {
        return;
    }
    notice->time_ms = INT64_MAX;
    notice->event = NOTICE_ENDED;
    notice->generation = UINT32_MAX;
    notice->since_ms = INT64_MAX;
    notice->limit_ms = FALLBACK_LIMIT_MAX_MS;
}

/* The name itself is in the key alone. */
static enum hf_status name_to_record(const void *in, struct record *out)
{
    const struct hf_id owner = id_of(0xc3);
    return name_encode(NAME_DEP, &owner, "1 weekly-archive", in, out);
}

#define BOTH_WAYS(prefix)                                                      \
    static enum hf_status prefix##_to_record(const void *in,                   \
                                             struct record *out)               \
    {                                                                          \
        return prefix##_encode(in, out);                                       \
    }                                                                          \
    static enum hf_status prefix##_of_record(const struct record *in,          \
                                             void *out)                        \
    {                                                                          \
        return prefix##_decode(in, out);                                       \
    }

BOTH_WAYS(tenant)
BOTH_WAYS(token_record)
BOTH_WAYS(customer_key)
BOTH_WAYS(key_version)
BOTH_WAYS(grant)
BOTH_WAYS(dep)
BOTH_WAYS(generation)
BOTH_WAYS(resource)
BOTH_WAYS(request)
BOTH_WAYS(seals)
BOTH_WAYS(onboarding)
BOTH_WAYS(operation)
BOTH_WAYS(tenant_assignment)
BOTH_WAYS(workload_progress)
BOTH_WAYS(officer)
BOTH_WAYS(purge)
BOTH_WAYS(approval)
BOTH_WAYS(tombstone)
BOTH_WAYS(deletion)
BOTH_WAYS(certificate)
BOTH_WAYS(geo)
BOTH_WAYS(checkpoint)
BOTH_WAYS(notice)
BOTH_WAYS(ak_token)

static enum hf_status name_of_record(const struct record *in, void *out)
{
    return name_decode(in, out);
}

/* name, kind, struct, prefix of its functions, newest format */
#define CASE(text, word, type, prefix, format)                                 \
    {                                                                          \
        .name = (text), .kind = RECORD_##word, .size = sizeof(type),           \
        .encode = prefix##_to_record, .decode = prefix##_of_record,            \
        .fill = prefix##_fill, .key_is_free = RECORD_##word == RECORD_NAME,    \
        .newest = (format),                                                    \
    }

const struct record_case record_cases[] = {
    CASE("tenant", TENANT, struct tenant_record, tenant, 1),
    CASE("token", TOKEN, struct token_record, token_record, 1),
    CASE("customer_key", CUSTOMER_KEY, struct customer_key_record, customer_key,
         2),
    CASE("key_version", KEY_VERSION, struct key_version_record, key_version, 3),
    CASE("grant", GRANT, struct grant_record, grant, 1),
    CASE("dep", DEP, struct dep_record, dep, 3),
    CASE("generation", GENERATION, struct generation_record, generation, 2),
    CASE("resource", RESOURCE, struct resource_record, resource, 6),
    CASE("request", REQUEST, struct request_record, request, 1),
    CASE("seals", SEALS, struct seals_record, seals, 1),
    CASE("onboarding", ONBOARDING, struct onboarding_record, onboarding, 1),
    CASE("operation", OPERATION, struct operation_record, operation, 1),
    CASE("tenant_assignment", TENANT_ASSIGNMENT,
         struct tenant_assignment_record, tenant_assignment, 1),
    CASE("workload_progress", WORKLOAD_PROGRESS,
         struct workload_progress_record, workload_progress, 1),
    CASE("officer", OFFICER, struct officer_record, officer, 1),
    CASE("purge", PURGE, struct purge_record, purge, 2),
    CASE("approval", APPROVAL, struct approval_record, approval, 2),
    CASE("tombstone", TOMBSTONE, struct tombstone_record, tombstone, 1),
    CASE("deletion", DELETION, struct deletion_record, deletion, 1),
    CASE("certificate", CERTIFICATE, struct certificate_record, certificate, 1),
    CASE("geo", GEO, struct geo_record, geo, 1),
    CASE("checkpoint", CHECKPOINT, struct checkpoint_record, checkpoint, 1),
    CASE("notice", NOTICE, struct notice_record, notice, 1),
    CASE("ak_token", AK_TOKEN, struct ak_token_record, ak_token, 1),
    CASE("name", NAME, struct hf_id, name, 1),
};
const size_t record_case_count = sizeof record_cases / sizeof record_cases[0];

void record_case_sample(const struct record_case *of, bool largest, void *out)
{
    memset(out, 0, of->size);
    of->fill(out, largest);
}
