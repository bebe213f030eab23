#include "tests/unit/service/geo_world.h"

#include "hsm/base/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    10000

struct world world;

void geo_world_start(void)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    world_start(&world);
    world.protection = CUSTODY_PROTECTION_TOKEN_PROTECTED;
    world_tenant(&world, WORLD_TENANT);
    world_enroll(&world, WORLD_TENANT, 0);
    world_enroll(&world, WORLD_TENANT, 1);
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "ck1" : "ck2";
        world_key(&world, WORLD_TENANT, i, key, TOKEN_FOR_CUSTOMER_KEY_TOKEN);
        world_grant(&world, key, &world.files, all);
    }
}

void geo_pass(int64_t ms)
{
    __atomic_fetch_add(&world.now_ms, ms, __ATOMIC_SEQ_CST);
}

void geo_add_site(const char *id)
{
    struct site_register request = {.tenant = WORLD_TENANT, .geo = GEO};
    struct site_view view;
    snprintf(request.id, sizeof request.id, "%s", id);
    assert_ok(sites_register(world.service, &world.files, &request, &view,
                             &world.problem));
    assert_string_equal(view.geo, GEO);
}

void geo_site_key(const char *id, struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.files,
        .verb = VERB_CREATE_SITE_KEY,
        .type = RESOURCE_SITE,
        .mailbox = id,
    };
    world_call(&world, &options, out);
    assert_ok(out->status);
    assert_true(out->has_key);
}

void geo_site_name(int i, char out[32])
{
    snprintf(out, 32, "site-%03d", i);
}

void geo_fill(int count, struct outcome *made)
{
    for (int i = 0; i < count; i++) {
        char name[32];
        geo_site_name(i, name);
        geo_add_site(name);
        geo_site_key(name, &made[i]);
    }
}

void geo_unwrap(const struct caller *caller, const char *site,
                enum initiator initiator, struct outcome *out)
{
    const struct call_options options = {
        .caller = caller,
        .verb = VERB_UNWRAP_SITE_KEY,
        .type = RESOURCE_SITE,
        .mailbox = site,
        .initiator = initiator,
    };
    world_call(&world, &options, out);
}

void geo_assert_refused(const struct outcome *out, const char *reason)
{
    assert_true(out->status != HF_OK);
    assert_string_equal(reason_word(out->problem.reason), reason);
    assert_false(out->has_key);
}

void geo_assert_all_open(int count, const struct outcome *made)
{
    for (int i = 0; i < count; i++) {
        char name[32];
        struct outcome opened;
        geo_site_name(i, name);
        geo_unwrap(&world.files, name, INITIATOR_USER, &opened);
        assert_ok(opened.status);
        assert_memory_equal(opened.key, made[i].key, HF_KEY_BYTES);
    }
}

enum hf_status geo_register_by(const struct caller *caller, bool restore,
                               const struct geo_pair *keys, bool evict,
                               struct operation_view *out)
{
    struct geo_register request = {
        .tenant = WORLD_TENANT,
        .geo = GEO,
        .residency = RESIDENCY_TOKEN,
        .evict_on_denied = evict,
    };
    for (size_t i = 0; i < 2; i++) {
        snprintf(request.keys[i].name, sizeof request.keys[i].name, "%s",
                 keys->names[i]);
        request.keys[i].version = keys->versions[i];
    }
    memcpy(request.workload_identity, world.files.identity,
           sizeof request.workload_identity);
    return restore ? geos_restore(world.service, caller, &request, out,
                                  &world.problem)
                   : geos_register(world.service, caller, &request, out,
                                   &world.problem);
}

void geo_register(struct operation_view *out)
{
    const struct geo_pair keys = {
        {"ck1", "ck2"},
        {1,     1    }
    };
    assert_ok(geo_register_by(&world.admin, false, &keys, false, out));
}

enum hf_status geo_roll_to(enum root_slot slot, const char *key,
                           uint32_t version, struct operation_view *out)
{
    struct geo_roll request = {
        .tenant = WORLD_TENANT,
        .geo = GEO,
        .slot = slot,
        .key = {.version = version},
    };
    snprintf(request.key.name, sizeof request.key.name, "%s", key);
    return geos_roll(world.service, &world.admin, &request, out,
                     &world.problem);
}

void geo_look(struct geo_view *out)
{
    assert_ok(geos_get(world.service, &world.admin, WORLD_TENANT, GEO, out,
                       &world.problem));
}

void geo_wait(const struct operation_view *operation)
{
    struct operation_view now = *operation;
    struct geo_view geo;
    uint32_t percent = 0;
    char id[HF_ID_TEXT];
    id_format(&operation->record.id, id);
    for (int i = 0; i < TRIES && now.record.state == OPERATION_RUNNING; i++) {
        geo_look(&geo);
        assert_int_equal(geo.percent == 100,
                         geo.record.state == GEO_REGISTERED);
        assert_ok(operations_get(world.service, &world.admin, WORLD_TENANT, id,
                                 &now, &world.problem));
        assert_true(now.record.percent >= percent);
        assert_int_equal(now.record.percent == 100,
                         now.record.state == OPERATION_SUCCEEDED);
        percent = now.record.percent;
        if (now.record.error[0] != '\0') {
            geo_pass(10000); /* breakers, and the pause before the next walk */
        }
        usleep(PAUSE_US);
    }
    if (now.record.state != OPERATION_SUCCEEDED) {
        fail_msg("the operation is %s, %u %%: %s",
                 operation_state_text(now.record.state), percent,
                 now.record.error);
    }
    geo_look(&geo);
    assert_string_equal(geo_state_text(geo.record.state), "REGISTERED");
    assert_int_equal(geo.percent, 100);
}

int geo_count_moved(int count)
{
    int moved = 0;
    struct geo_view geo;
    geo_look(&geo);
    for (int i = 0; i < count; i++) {
        char name[32];
        struct site_view site;
        geo_site_name(i, name);
        assert_ok(sites_get(world.service, &world.admin, WORLD_TENANT, name,
                            &site, &world.problem));
        moved += id_equal(&site.record.effective.dep, &geo.record.dep) &&
                 site.record.effective.generation == geo.dep.generation;
    }
    return moved;
}

void geo_outage(bool down)
{
    static const enum token_op ops[] = {TOKEN_OP_UNWRAP, TOKEN_OP_OPEN,
                                        TOKEN_OP_SEAL};
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        for (size_t token = 0; token < 2; token++) {
            token_fake_fail_all(world.customer_fake[token], ops[i],
                                down ? HF_E_UNREACHABLE : HF_OK);
        }
    }
}

void geo_stall(bool stalled)
{
    for (size_t token = 0; token < 2; token++) {
        token_fake_fail_all(world.customer_fake[token], TOKEN_OP_SEAL,
                            stalled ? HF_E_UNREACHABLE : HF_OK);
    }
}

uint64_t geo_ak_uses(void)
{
    return token_fake_calls(world.sharepoint_ak_fake, TOKEN_OP_UNWRAP);
}
