#include "server/rpc/handlers/customer_key_encode.h"

#include "hsm/base/mechanisms.h"

#include "server/rpc/codec.h"

#include <holdfast/v1/customer_key_service.pb-c.h>

static void encode_residencies(struct rpc_arena *arena,
                               const struct key_version_record *from,
                               Holdfast__V1__CustomerKeyVersion *to)
{
    Holdfast__V1__Residency *list = rpc_arena_alloc(arena, 2 * sizeof *list);
    if (list == NULL) {
        return;
    }
    size_t count = 0;
    if (from->allows_token) {
        list[count++] = HOLDFAST__V1__RESIDENCY__RESIDENCY_TOKEN;
    }
    if (from->allows_memory) {
        list[count++] = HOLDFAST__V1__RESIDENCY__RESIDENCY_MEMORY;
    }
    to->residencies = list;
    to->n_residencies = count;
}

static void encode_mechanisms(struct rpc_arena *arena, uint32_t mechanisms,
                              Holdfast__V1__KeyAttributes *to)
{
    const char *names[TOKEN_MECHANISM_MAX];
    char **list = rpc_arena_alloc(arena, sizeof names);
    if (list == NULL) {
        return;
    }
    to->n_allowed_mechanisms = token_mechanisms_text(mechanisms, names);
    for (size_t i = 0; i < to->n_allowed_mechanisms; i++) {
        list[i] = rpc_arena_text(arena, "%s", names[i]);
    }
    to->allowed_mechanisms = list;
}

static Holdfast__V1__KeyAttributes *
encode_attributes(struct rpc_arena *arena,
                  const struct key_version_record *from)
{
    Holdfast__V1__KeyAttributes *to =
        from->attributes_known ? codec_new(arena, Holdfast__V1__KeyAttributes,
                                           holdfast__v1__key_attributes)
                               : NULL;
    if (to == NULL) {
        return NULL;
    }
    to->origin = from->imported
                     ? HOLDFAST__V1__KEY_ATTRIBUTES__ORIGIN__IMPORTED
                     : HOLDFAST__V1__KEY_ATTRIBUTES__ORIGIN__GENERATED;
    to->local = !from->imported;
    to->sensitive = from->sensitive;
    to->extractable = from->extractable;
    to->always_sensitive = from->always_sensitive;
    to->never_extractable = from->never_extractable;
    encode_mechanisms(arena, from->mechanisms, to);
    to->evidence = HOLDFAST__V1__CHECK_RESULT__EVIDENCE__MEASURED;
    to->measure_time = codec_put_timestamp(arena, from->created_ms);
    return to;
}

static Holdfast__V1__CustomerKeyVersion *
encode_version(struct rpc_arena *arena, const struct key_version_record *from,
               const char *uri)
{
    Holdfast__V1__CustomerKeyVersion *to =
        codec_new(arena, Holdfast__V1__CustomerKeyVersion,
                  holdfast__v1__customer_key_version);
    if (to == NULL) {
        return NULL;
    }
    to->version = from->version;
    to->uri = rpc_arena_text(arena, "%s", uri);
    to->fingerprint = codec_put_bytes(arena, BYTES_OF(from->fingerprint));
    to->bits = (int32_t)from->bits;
    to->wrap_algorithm = rpc_arena_text(
        arena, "%s", token_suite_text((enum token_suite)from->suite));
    to->enabled = from->enabled;
    to->not_before_time = codec_put_timestamp(arena, from->not_before_ms);
    to->expire_time = codec_put_timestamp(arena, from->expires_ms);
    encode_residencies(arena, from, to);
    to->imported = from->imported;
    to->attributes = encode_attributes(arena, from);
    to->create_time = codec_put_timestamp(arena, from->created_ms);
    to->label = rpc_arena_text(arena, "%s", from->label);
    return to;
}

static Holdfast__V1__Grant *encode_grant(struct rpc_arena *arena,
                                         const struct grant_view *from)
{
    static const Holdfast__V1__Permission words[] = {
        HOLDFAST__V1__PERMISSION__PERMISSION_GET,
        HOLDFAST__V1__PERMISSION__PERMISSION_WRAP,
        HOLDFAST__V1__PERMISSION__PERMISSION_UNWRAP,
    };
    Holdfast__V1__Grant *to =
        codec_new(arena, Holdfast__V1__Grant, holdfast__v1__grant);
    Holdfast__V1__Permission *list = rpc_arena_alloc(arena, sizeof words);
    if (to == NULL || list == NULL) {
        return NULL;
    }
    to->identity = rpc_arena_text(arena, "%s", from->identity);
    for (uint32_t bit = 0; bit < 3; bit++) { /* PERMISSION_GET is bit 0 */
        if ((from->permissions >> bit & 1) != 0) {
            list[to->n_permissions++] = words[bit];
        }
    }
    to->permissions = list;
    return to;
}

static Holdfast__V1__KeyHealth *encode_health(struct rpc_arena *arena,
                                              const struct key_health *from)
{
    Holdfast__V1__KeyHealth *to =
        codec_new(arena, Holdfast__V1__KeyHealth, holdfast__v1__key_health);
    if (to != NULL) {
        /* the numbers are the same, see KEY_HEALTH_* */
        to->state = (Holdfast__V1__KeyHealthState)from->state;
        to->last_success_time =
            codec_put_timestamp(arena, from->last_success_ms);
        to->last_failure_time =
            codec_put_timestamp(arena, from->last_failure_ms);
    }
    return to;
}

static void encode_lists(struct rpc_arena *arena,
                         const struct customer_key_view *from,
                         Holdfast__V1__CustomerKey *to)
{
    Holdfast__V1__CustomerKeyVersion **versions =
        rpc_arena_alloc(arena, (from->version_count + 1) * sizeof *versions);
    Holdfast__V1__Grant **grants =
        rpc_arena_alloc(arena, (from->grant_count + 1) * sizeof *grants);
    if (versions == NULL || grants == NULL) {
        return;
    }
    for (size_t i = 0; i < from->version_count; i++) {
        versions[i] = encode_version(arena, &from->versions[i], from->uris[i]);
        if (versions[i] != NULL) {
            versions[i]->first_use_time =
                codec_put_timestamp(arena, from->uses[i].first_ms);
            versions[i]->last_use_time =
                codec_put_timestamp(arena, from->uses[i].last_ms);
        }
    }
    for (size_t i = 0; i < from->grant_count; i++) {
        grants[i] = encode_grant(arena, &from->grants[i]);
    }
    to->versions = versions;
    to->n_versions = from->version_count;
    to->grants = grants;
    to->n_grants = from->grant_count;
}

ProtobufCMessage *customer_key_put(struct rpc_arena *arena,
                                   const struct customer_key_view *from)
{
    Holdfast__V1__CustomerKey *to =
        codec_new(arena, Holdfast__V1__CustomerKey, holdfast__v1__customer_key);
    if (to == NULL) {
        return NULL;
    }
    to->name = codec_put_name(arena, from->tenant, "customerKeys", from->name);
    to->uid = codec_put_id(arena, &from->id);
    to->token = codec_put_name(arena, from->tenant, "tokens", from->token);
    to->custody_domain = rpc_arena_text(arena, "%s", from->custody_domain);
    to->current_version = from->current_version;
    encode_lists(arena, from, to);
    to->health = encode_health(arena, &from->health);
    to->create_time = codec_put_timestamp(arena, from->created_ms);
    to->etag = rpc_arena_text(arena, "%s", from->etag);
    /* a gone key is not shown; the others' numbers are one higher here */
    to->state = (Holdfast__V1__CustomerKeyState)(from->state + 1);
    to->delete_time = codec_put_timestamp(arena, from->deleted_ms);
    to->purge_time = codec_put_timestamp(arena, from->purge_ms);
    to->recovery_level =
        rpc_arena_text(arena, "%s", key_recovery_level_text(from->recovery));
    to->retention_days = (int32_t)from->retention_days;
    to->revision = codec_put_revision(from->etag);
    return &to->base;
}
