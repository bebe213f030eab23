/* DepService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/domain/availability.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/dep_parts.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/method.h"
#include "server/rpc/report.h"
#include "server/service/availability_roll.h"
#include "server/service/dep_refresh.h"
#include "server/service/dep_rewrap.h"
#include "server/service/deps.h"

#include <holdfast/v1/dep_service.pb-c.h>
#include <string.h>

#define PATH          "/holdfast.v1.DepService/"
#define PAGE_MAX_HERE 500
#define ANY_TYPE      ((enum dep_type)0)

static Holdfast__V1__KeyHealth *encode_health(struct rpc_arena *arena,
                                              const struct key_health *health)
{
    Holdfast__V1__KeyHealth *out =
        codec_new(arena, Holdfast__V1__KeyHealth, holdfast__v1__key_health);
    if (out != NULL) {
        /* the numbers are the same, see KEY_HEALTH_* */
        out->state = (Holdfast__V1__KeyHealthState)health->state;
        out->last_success_time =
            codec_put_timestamp(arena, health->last_success_ms);
        out->last_failure_time =
            codec_put_timestamp(arena, health->last_failure_ms);
    }
    return out;
}

Holdfast__V1__DepKeyRef *dep_put_key(struct rpc_arena *arena,
                                     const char *tenant,
                                     const struct dep_key_view *key)
{
    Holdfast__V1__DepKeyRef *out =
        codec_new(arena, Holdfast__V1__DepKeyRef, holdfast__v1__dep_key_ref);
    if (out != NULL) {
        out->customer_key =
            codec_put_name(arena, tenant, "customerKeys", key->name);
        out->version = key->version;
        out->custody_domain = rpc_arena_text(arena, "%s", key->custody_domain);
        out->wrap_algorithm =
            rpc_arena_text(arena, "%s", token_suite_text(key->suite));
        out->health = encode_health(arena, &key->health);
    }
    return out;
}

/* An identifier is shown, material never. */
Holdfast__V1__AvailabilityKey *dep_put_ak(struct rpc_arena *arena,
                                          const struct dep_record *record)
{
    Holdfast__V1__AvailabilityKey *out = codec_new(
        arena, Holdfast__V1__AvailabilityKey, holdfast__v1__availability_key);
    if (out != NULL) {
        char id[2 * HF_CKA_ID_MAX_BYTES + 1];
        hex_encode(record->ak_cka_id, record->ak_cka_id_len, id, sizeof id);
        out->id = rpc_arena_text(arena, "%s", id);
        out->state =
            rpc_arena_text(arena, "%s", ak_state_text(record->ak_state));
        out->version = record->ak_version;
        out->algorithm = rpc_arena_text(arena, "%s",
                                        record->type == DEP_TYPE_SHAREPOINT_GEO
                                            ? "RSA-2048-OAEP"
                                            : "AES-256-KWP");
    }
    return out;
}

/* The numbers are the same, see DEP_*. */
static Holdfast__V1__DepState state_of(enum dep_state state)
{
    return (Holdfast__V1__DepState)state;
}

static void encode_keys(struct rpc_arena *arena, const struct dep_view *view,
                        Holdfast__V1__Dep *out)
{
    Holdfast__V1__DepKeyRef **keys = rpc_arena_alloc(
        arena, HF_CUSTOMER_KEYS_PER_DEP * sizeof(Holdfast__V1__DepKeyRef *));
    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        keys[i] = dep_put_key(arena, view->tenant, &view->keys[i]);
    }
    out->customer_keys = keys;
    out->n_customer_keys = HF_CUSTOMER_KEYS_PER_DEP;
}

static void put_counts(struct rpc_arena *arena, const struct dep_view *view,
                       Holdfast__V1__Dep *out)
{
    if (view->keys_counted) {
        out->key_counts = codec_new(arena, Holdfast__V1__DepKeyCounts,
                                    holdfast__v1__dep_key_counts);
    }
    if (out->key_counts != NULL) {
        out->key_counts->newest = view->effective_count;
        out->key_counts->earlier = view->earlier_count;
    }
    if (view->mailboxes_counted) {
        out->mailbox_counts = codec_new(arena, Holdfast__V1__DepMailboxCounts,
                                        holdfast__v1__dep_mailbox_counts);
    }
    if (out->mailbox_counts != NULL) {
        out->mailbox_counts->encrypted = view->encrypted_count;
        out->mailbox_counts->encrypted_percent = view->encrypted_percent;
    }
}

static Holdfast__V1__Dep *encode(struct rpc_arena *arena,
                                 const struct dep_view *view)
{
    const struct dep_record *record = &view->record;
    Holdfast__V1__Dep *out =
        codec_new(arena, Holdfast__V1__Dep, holdfast__v1__dep);
    if (out == NULL) {
        return NULL;
    }
    out->name = codec_put_dep_name(arena, view->tenant, &record->id);
    out->uid = codec_put_id(arena, &record->id);
    out->dep_id = rpc_arena_text(arena, "%s", record->name);
    out->description = rpc_arena_text(arena, "%s", record->description);
    /* the numbers are the same, see DEP_TYPE_* */
    out->type = (Holdfast__V1__DepType)record->type;
    out->state = state_of(record->state);
    out->enabled = record->state == DEP_ENABLED;
    encode_keys(arena, view, out);
    out->availability_key = dep_put_ak(arena, record);
    out->generation = record->generation;
    out->residency = record->residency == RESIDENCY_MEMORY
                         ? HOLDFAST__V1__RESIDENCY__RESIDENCY_MEMORY
                         : HOLDFAST__V1__RESIDENCY__RESIDENCY_TOKEN;
    out->key_lease = codec_put_duration(arena, record->key_lease_ms);
    /* the numbers are the same, see HEALTH_* */
    out->health = (Holdfast__V1__DepHealth)view->health;
    out->assigned_count = view->assigned_count;
    out->create_time = codec_put_timestamp(arena, record->created_ms);
    out->update_time = codec_put_timestamp(arena, record->updated_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    /* the numbers are the same, see KEY_UPDATE_* */
    out->key_update = (Holdfast__V1__KeyUpdate)record->key_update;
    out->last_key_update_time =
        codec_put_timestamp(arena, view->last_key_update_ms);
    put_counts(arena, view, out);
    if (record->fallback_limit_ms != 0) {
        out->fallback_limit =
            codec_put_duration(arena, record->fallback_limit_ms);
    }
    out->outage_start_time = codec_put_timestamp(arena, view->outage_since_ms);
    return out;
}

static HF_STATUS answer(struct admin_work *work, const struct dep_view *view)
{
    work->reply = (ProtobufCMessage *)encode(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS decode_dep(const char *field, const char *text,
                            char *out_tenant, char *out_dep,
                            struct problem *problem)
{
    const struct codec_name what = {
        .field = field,
        .collection = "deps",
        .out_tenant = out_tenant,
        .out_id = out_dep,
        .id_cap = HF_NAME_MAX_BYTES + 1,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS decode_lease(const char *field,
                              const Google__Protobuf__Duration *in,
                              int64_t *out_ms, struct problem *problem)
{
    if (in == NULL) {
        *out_ms = -1; /* the default */
        return HF_OK;
    }
    return codec_duration(field, in, HF_KEY_LEASE_MAX_MS, out_ms, problem);
}

/* Unset is no limit; nobody means that by 0. */
static HF_STATUS decode_limit(const char *field,
                              const Google__Protobuf__Duration *in,
                              int64_t *out_ms, struct problem *problem)
{
    *out_ms = 0;
    if (in == NULL) {
        return HF_OK;
    }
    HF_TRY(codec_duration(field, in, FALLBACK_LIMIT_MAX_MS, out_ms, problem));
    return *out_ms != 0
               ? HF_OK
               : problem_field(problem, field, "is 0; unset: no limit");
}

/* unset: what it then means. A geo's DEP is made by registering the geo. */
static HF_STATUS decode_type(const char *field, Holdfast__V1__DepType in,
                             enum dep_type unset, enum dep_type *out,
                             struct problem *problem)
{
    /* the numbers are the same, see DEP_TYPE_* */
    *out = in == HOLDFAST__V1__DEP_TYPE__DEP_TYPE_UNSPECIFIED
               ? unset
               : (enum dep_type)in;
    bool looking = unset == ANY_TYPE;
    if (looking && in == HOLDFAST__V1__DEP_TYPE__DEP_TYPE_SHAREPOINT_GEO) {
        return HF_OK;
    }
    if (in != HOLDFAST__V1__DEP_TYPE__DEP_TYPE_UNSPECIFIED &&
        in != HOLDFAST__V1__DEP_TYPE__DEP_TYPE_EXCHANGE_MAILBOX &&
        in != HOLDFAST__V1__DEP_TYPE__DEP_TYPE_MULTI_WORKLOAD) {
        return problem_field(problem, field,
                             "is %d; must be EXCHANGE_MAILBOX or "
                             "MULTI_WORKLOAD",
                             (int)in);
    }
    return HF_OK;
}

static HF_STATUS decode_create(const Holdfast__V1__CreateDepRequest *in,
                               const struct admin_work *work,
                               struct dep_create *out)
{
    struct problem *problem = work->problem;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, out->tenant, problem));
    HF_TRY(codec_id("dep_id", in->dep_id, out->name, problem));
    HF_TRY(codec_text("description", in->description, out->description,
                      sizeof out->description, problem));
    HF_TRY(codec_key_pair(in->customer_keys, in->n_customer_keys, out->tenant,
                          out->keys, problem));
    if (in->workload_identity[0] != '\0') {
        HF_TRY(codec_spiffe("workload_identity", in->workload_identity,
                            out->workload_identity, problem));
    }
    HF_TRY(decode_type("type", in->type, DEP_TYPE_EXCHANGE_MAILBOX, &out->type,
                       problem));
    out->disabled = in->disabled != 0;
    out->residency = codec_residency(in->residency);
    HF_TRY(
        decode_lease("key_lease", in->key_lease, &out->key_lease_ms, problem));
    HF_TRY(decode_limit("fallback_limit", in->fallback_limit,
                        &out->fallback_limit_ms, problem));
    return codec_mutation(&mutation, work, &out->mutation);
}

static HF_STATUS create(struct admin_work *work)
{
    const Holdfast__V1__CreateDepRequest *in =
        (const Holdfast__V1__CreateDepRequest *)work->request;
    struct dep_create request = {.tenant = ""};
    HF_TRY(decode_create(in, work, &request));
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        work->report_keys[i] = in->customer_keys[i];
    }
    struct dep_view view;
    HF_TRY(deps_create(work->service, work->caller, &request, &view,
                       work->problem));
    return answer(work, &view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetDepRequest *in =
        (const Holdfast__V1__GetDepRequest *)work->request;
    struct dep_get request = {.tenant = ""};
    HF_TRY(decode_dep("name", in->name, request.tenant, request.dep,
                      work->problem));
    HF_TRY(
        decode_type("type", in->type, ANY_TYPE, &request.type, work->problem));
    struct dep_view view;
    HF_TRY(deps_get_typed(work->service, work->caller, &request, &view,
                          work->problem));
    return answer(work, &view);
}

/* Paths of UpdateDep's mask, a bit each. */
static const char *const update_paths[] = {
    "dep_id",    "description", "enabled",
    "residency", "key_lease",   "fallback_limit",
};
enum {
    SET_ID = 1,
    SET_DESCRIPTION = 2,
    SET_ENABLED = 4,
    SET_RESIDENCY = 8,
    SET_LEASE = 16,
    SET_LIMIT = 32
};

static HF_STATUS decode_changes(const Holdfast__V1__Dep *in, uint32_t bits,
                                struct dep_update *out, struct problem *problem)
{
    out->set_name = (bits & SET_ID) != 0;
    out->set_description = (bits & SET_DESCRIPTION) != 0;
    out->set_enabled = (bits & SET_ENABLED) != 0;
    out->set_residency = (bits & SET_RESIDENCY) != 0;
    out->set_key_lease = (bits & SET_LEASE) != 0;
    out->set_fallback_limit = (bits & SET_LIMIT) != 0;
    if (out->set_name) {
        HF_TRY(codec_id("dep.dep_id", in->dep_id, out->name, problem));
    }
    if (out->set_description) {
        HF_TRY(codec_text("dep.description", in->description, out->description,
                          sizeof out->description, problem));
    }
    out->enabled = in->enabled != 0;
    out->residency = codec_residency(in->residency);
    if (out->set_fallback_limit) {
        HF_TRY(decode_limit("dep.fallback_limit", in->fallback_limit,
                            &out->fallback_limit_ms, problem));
    }
    return out->set_key_lease ? decode_lease("dep.key_lease", in->key_lease,
                                             &out->key_lease_ms, problem)
                              : HF_OK;
}

static HF_STATUS update(struct admin_work *work)
{
    const Holdfast__V1__UpdateDepRequest *in =
        (const Holdfast__V1__UpdateDepRequest *)work->request;
    struct dep_update request = {.tenant = ""};
    uint32_t bits = 0;
    if (in->dep == NULL) {
        return problem_field(work->problem, "dep", "is missing");
    }
    HF_TRY(decode_dep("dep.name", in->dep->name, request.tenant, request.dep,
                      work->problem));
    HF_TRY(codec_mask(in->update_mask, update_paths, HF_COUNT(update_paths),
                      &bits, work->problem));
    HF_TRY(decode_changes(in->dep, bits, &request, work->problem));
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag_field = "dep.etag",
        .etag = in->dep->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct dep_view view;
    HF_TRY(deps_update(work->service, work->caller, &request, &view,
                       work->problem));
    return answer(work, &view);
}

/* The names that a report's 0 and 1 stand for: the keys it has. */
static HF_STATUS name_keys(struct admin_work *work, const char *tenant,
                           const char *dep, struct problem *problem)
{
    struct dep_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(deps_get(work->service, work->caller, tenant, dep, view, problem));
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        work->report_keys[i] = codec_put_name(
            work->arena, tenant, "customerKeys", view->keys[i].name);
    }
    return HF_OK;
}

static HF_STATUS test(struct admin_work *work)
{
    const Holdfast__V1__TestDepRequest *in =
        (const Holdfast__V1__TestDepRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1];
    HF_TRY(decode_dep("name", in->name, tenant, dep, work->problem));
    struct validation_report *report =
        rpc_arena_alloc(work->arena, sizeof *report);
    if (report == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(deps_test(work->service, work->caller, tenant, dep, report,
                     work->problem));
    HF_TRY(name_keys(work, tenant, dep, work->problem));
    work->reply =
        report_encode(work->arena, report, work->report_keys, REPORT_TEXTS_ALL);
    return HF_OK;
}

static HF_STATUS answer_operation(struct admin_work *work,
                                  const struct operation_view *view)
{
    work->reply = operation_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS rewrap(struct admin_work *work)
{
    const Holdfast__V1__RewrapDepRequest *in =
        (const Holdfast__V1__RewrapDepRequest *)work->request;
    struct dep_rewrap request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_dep("name", in->name, request.tenant, request.dep,
                      work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(deps_rewrap(work->service, work->caller, &request, &view,
                       work->problem));
    return answer_operation(work, &view);
}

static HF_STATUS refresh(struct admin_work *work)
{
    const Holdfast__V1__RefreshDepRequest *in =
        (const Holdfast__V1__RefreshDepRequest *)work->request;
    struct dep_refresh request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_dep("name", in->name, request.tenant, request.dep,
                      work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    enum hf_status status = deps_refresh(work->service, work->caller, &request,
                                         &view, work->problem);
    if (work->problem->has_report) {
        struct problem other = {.reason = REASON_NONE};
        HF_TRY(name_keys(work, request.tenant, request.dep, &other));
    }
    HF_TRY(status);
    return answer_operation(work, &view);
}

static HF_STATUS replace(struct admin_work *work)
{
    const Holdfast__V1__ReplaceDepKeysRequest *in =
        (const Holdfast__V1__ReplaceDepKeysRequest *)work->request;
    struct dep_replace request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_dep("name", in->name, request.tenant, request.dep,
                      work->problem));
    HF_TRY(codec_key_pair(in->customer_keys, in->n_customer_keys,
                          request.tenant, request.keys, work->problem));
    if (in->workload_identity[0] != '\0') {
        HF_TRY(codec_spiffe("workload_identity", in->workload_identity,
                            request.workload_identity, work->problem));
    }
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        work->report_keys[i] = in->customer_keys[i];
    }
    HF_TRY(deps_replace(work->service, work->caller, &request, &view,
                        work->problem));
    return answer_operation(work, &view);
}

static HF_STATUS roll_ak(struct admin_work *work)
{
    const Holdfast__V1__RollAvailabilityKeyRequest *in =
        (const Holdfast__V1__RollAvailabilityKeyRequest *)work->request;
    struct ak_roll request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    if (in->dep[0] != '\0') {
        char tenant[HF_NAME_MAX_BYTES + 1];
        HF_TRY(decode_dep("dep", in->dep, tenant, request.dep, work->problem));
        if (strcmp(tenant, request.tenant) != 0) {
            return problem_field(work->problem, "dep",
                                 "must be of the tenant that parent names");
        }
    }
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(deps_roll_ak(work->service, work->caller, &request, &view,
                        work->problem));
    return answer_operation(work, &view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListDepsRequest *in =
        (const Holdfast__V1__ListDepsRequest *)work->request;
    struct dep_list_request request = {.tenant = ""};
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE,
                      &request.page, work->problem));
    HF_TRY(
        decode_type("type", in->type, ANY_TYPE, &request.type, work->problem));
    struct dep_list found = {.cap = request.page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListDepsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListDepsResponse,
                  holdfast__v1__list_deps_response);
    Holdfast__V1__Dep **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(deps_list(work->service, work->caller, &request, &found,
                     work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, &found.views[i]);
    }
    out->deps = items;
    out->n_deps = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "CreateDep",
     .lane = LANE_ADMIN,
     .verb = VERB_CREATE_DEP,
     .request = &holdfast__v1__create_dep_request__descriptor,
     .admin = create,
     },
    {
     .path = PATH "GetDep",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_DEP,
     .request = &holdfast__v1__get_dep_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "ListDeps",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_DEPS,
     .request = &holdfast__v1__list_deps_request__descriptor,
     .admin = list,
     },
    {
     .path = PATH "UpdateDep",
     .lane = LANE_ADMIN,
     .verb = VERB_UPDATE_DEP,
     .request = &holdfast__v1__update_dep_request__descriptor,
     .admin = update,
     },
    {
     .path = PATH "TestDep",
     .lane = LANE_ADMIN,
     .verb = VERB_TEST_DEP,
     .request = &holdfast__v1__test_dep_request__descriptor,
     .admin = test,
     },
    {
     .path = PATH "RewrapDep",
     .lane = LANE_ADMIN,
     .verb = VERB_REWRAP_DEP,
     .request = &holdfast__v1__rewrap_dep_request__descriptor,
     .admin = rewrap,
     },
    {
     .path = PATH "RefreshDep",
     .lane = LANE_ADMIN,
     .verb = VERB_REFRESH_DEP,
     .request = &holdfast__v1__refresh_dep_request__descriptor,
     .admin = refresh,
     },
    {
     .path = PATH "ReplaceDepKeys",
     .lane = LANE_ADMIN,
     .verb = VERB_REPLACE_DEP_KEYS,
     .request = &holdfast__v1__replace_dep_keys_request__descriptor,
     .admin = replace,
     },
    {
     .path = PATH "RollAvailabilityKey",
     .lane = LANE_ADMIN,
     .verb = VERB_ROLL_AVAILABILITY_KEY,
     .request = &holdfast__v1__roll_availability_key_request__descriptor,
     .admin = roll_ak,
     },
};
const struct method_list dep_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
