#include "tests/unit/service/mirror_world.h"

#include "hsm/token/names.h"

#include "server/service/ak_copies.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 3000
#define TRIES    6000

void mirror_transport(const struct token *token)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_TRANSPORT_PAIR,
                       .bits = AK_TRANSPORT_BITS,
                       .label = TOKEN_NAME_TRANSPORT,
                       .id_len = sizeof TOKEN_NAME_TRANSPORT - 1,
                       .report = &report},
    };
    memcpy(request.u.generate.id, TOKEN_NAME_TRANSPORT,
           sizeof TOKEN_NAME_TRANSPORT - 1);
    assert_ok(token_call(token, &request));
}

void mirror_world_start(struct world *world)
{
    world_start(world);
    mirror_transport(&world->ak_token);
    mirror_transport(&world->mirror[M1]);
    world->settings.ak_mirrors = world->mirrors;
    world->settings.ak_mirror_count = WORLD_MIRRORS;
    assert_ok(world_restart(world));
}

enum hf_status mirror_try_enroll(struct world *world, const char *name,
                                 struct ak_token_view *out)
{
    struct ak_enroll request = {.name = ""};
    snprintf(request.name, sizeof request.name, "%s", name);
    return ak_tokens_enroll(world->service, &world->operator_, &request, out,
                            &world->problem);
}

void mirror_view(struct world *world, const char *name,
                 struct ak_token_view *out)
{
    static struct ak_token_views views;
    assert_ok(ak_capacity_get(world->service, &world->operator_, &views,
                              &world->problem));
    for (size_t i = 0; i < views.count; i++) {
        if (strcmp(views.views[i].name, name) == 0) {
            *out = views.views[i];
            return;
        }
    }
    fail_msg("no token %s", name);
}

bool mirror_wait_active(struct world *world, const char *name)
{
    struct ak_token_view view;
    for (int i = 0; i < TRIES; i++) {
        mirror_view(world, name, &view);
        if (view.state == AK_TOKEN_ACTIVE) {
            return true;
        }
        world_move_clock(world, 500);
        usleep(PAUSE_US);
    }
    return false;
}

void mirror_enroll(struct world *world, const char *name)
{
    struct ak_token_view view;
    enum hf_status status = mirror_try_enroll(world, name, &view);
    if (status != HF_OK) {
        fail_msg("%s: %s", reason_word(world->problem.reason),
                 world->problem.text);
    }
    assert_true(mirror_wait_active(world, name));
}

void mirror_away(struct token_fake *fake, bool away)
{
    token_fake_clear(fake);
    for (int op = 0; away && op <= TOKEN_OP_HEALTH; op++) {
        token_fake_fail_all(fake, (enum token_op)op, HF_E_UNREACHABLE);
    }
}

void mirror_is_blamed(struct world *world, const char *name)
{
    assert_string_equal(reason_word(world->problem.reason),
                        "SERVICE_UNAVAILABLE");
    assert_non_null(strstr(world->problem.text, name));
}

void mirror_customers_away(struct world *world, bool away)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world->customer_fake[i]);
        if (away) {
            token_fake_fail_all(world->customer_fake[i], TOKEN_OP_UNWRAP,
                                HF_E_UNREACHABLE);
        }
    }
}

size_t mirror_objects(const struct token *token, const struct hf_id *dep)
{
    struct token_key_report reports[16];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 16, .id_prefix_len = HF_ID_BYTES},
    };
    memcpy(list.u.list.id_prefix, dep->bytes, HF_ID_BYTES);
    assert_ok(token_call(token, &list));
    return list.u.list.count;
}

enum hf_status mirror_try_dep(struct world *world, const char *name,
                              struct dep_view *out)
{
    struct dep_create request = {
        .tenant = WORLD_TENANT,
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 60000,
    };
    snprintf(request.name, sizeof request.name, "%s", name);
    memcpy(request.workload_identity, world->workload.identity,
           sizeof request.workload_identity);
    return deps_create(world->service, &world->admin, &request, out,
                       &world->problem);
}

size_t mirror_copies(struct world *world, const struct hf_id *dep,
                     uint32_t generation)
{
    struct ak_token_set set;
    size_t count = 0;
    pthread_rwlock_rdlock(&world->service->catalogue.lock);
    const struct dep_entry *entry =
        catalogue_dep_by_id(&world->service->catalogue, dep);
    const struct generation_entry *of = catalogue_generation(entry, generation);
    ak_tokens_of(world->service, entry->record.type, &set);
    for (size_t i = 0; i < set.count; i++) {
        count += ak_copy_of(&of->record, &set.at[i]) != NULL;
    }
    pthread_rwlock_unlock(&world->service->catalogue.lock);
    return count;
}

enum hf_status mirror_try_retire(struct world *world, const char *name,
                                 unsigned who, const char *disposal)
{
    struct caller person = world->operator_;
    struct ak_retire request = {.name = ""};
    struct ak_token_view view;
    mirror_view(world, name, &view);
    snprintf(person.identity, sizeof person.identity,
             "spiffe://holdfast.test/operator%u", who);
    snprintf(request.name, sizeof request.name, "%s", name);
    memcpy(request.serial, view.serial, sizeof request.serial);
    snprintf(request.disposal, sizeof request.disposal, "%s", disposal);
    return ak_tokens_retire(world->service, &person, &request, &view,
                            &world->problem);
}
