/* Does the end of a tenant end every DEP of it, of every type, and every
 * resource, whatever fails on the way, and nothing of anybody else (R-15.17,
 * I2)? */
#include "hsm/base/check.h"

#include "server/service/availability_roll.h"
#include "server/service/tenant_assignments.h"
#include "server/service/workloads.h"

#include "tests/unit/service/geo_world.h"
#include "tests/unit/service/purge_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALL      "everything"
#define CHAT     "teams-chat"
#define SITE     "site-000"
#define LOOSE    "bob@contoso.example"
#define NEIGHBOR "fabrikam"
#define TRIES    3000
#define PAUSE_US 5000

static struct purge_view purge;
static struct purge_view now;
static struct operation_view operation;
/* what was kept of each: of the mailbox, of one without a policy, of the
 * workload, of the site */
static struct outcome kept[4];

/* --- a tenant with a DEP of every type ----------------------------------- */

static void grant_all(const struct caller *to)
{
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    world_grant(&world, "ck1", to, all);
    world_grant(&world, "ck2", to, all);
}

static void call(enum verb verb, const struct caller *who,
                 enum resource_type type, const char *name,
                 const struct outcome *blob, struct outcome *out)
{
    const struct call_options options = {
        .caller = who,
        .verb = verb,
        .type = type,
        .mailbox = name,
        .wrapped = blob == NULL ? NULL : blob->envelope,
        .wrapped_len = blob == NULL ? 0 : blob->envelope_len,
    };
    world_call(&world, &options, out);
}

static void add_workload(void)
{
    const struct world_dep_options options = {
        .name = ALL,
        .type = DEP_TYPE_MULTI_WORKLOAD,
        .keys = {"ck1", "ck2"},
        .workload = &world.m365,
        .key_lease_ms = 60000,
    };
    const struct workload_register enlist = {.tenant = WORLD_TENANT,
                                             .word = CHAT};
    const struct tenant_assign assign = {.tenant = WORLD_TENANT, .dep = ALL};
    struct workload_view view;
    grant_all(&world.m365);
    world_dep_of(&world, &options);
    assert_ok(workloads_register(world.service, &world.m365, &enlist, &view,
                                 &world.problem));
    assert_ok(tenant_assignments_assign(world.service, &world.compliance,
                                        &assign, &operation, &world.problem));
    call(VERB_GENERATE_KEY, &world.m365, RESOURCE_WORKLOAD, CHAT, NULL,
         &kept[2]);
    assert_ok(kept[2].status);
}

static int start(void **state)
{
    (void)state;
    geo_world_start();
    world_tenant(&world, NEIGHBOR);
    grant_all(&world.workload);
    world_dep(&world, WORLD_DEP, 60000, RESIDENCY_TOKEN);
    purge_world_mailbox(&world, WORLD_MAILBOX, WORLD_DEP, &kept[0]);
    purge_world_mailbox(&world, LOOSE, "", &kept[1]);
    geo_fill(1, &kept[3]);
    geo_register(&operation);
    geo_wait(&operation);
    add_workload();
    purge_world_officers(&world, 2);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static const struct {
    enum resource_type type;
    const char *name;
    enum verb verb;
} things[] = {
    {RESOURCE_MAILBOX,  WORLD_MAILBOX, VERB_UNWRAP_KEY     },
    {RESOURCE_MAILBOX,  LOOSE,         VERB_UNWRAP_KEY     },
    {RESOURCE_WORKLOAD, CHAT,          VERB_UNWRAP_KEY     },
    {RESOURCE_SITE,     SITE,          VERB_UNWRAP_SITE_KEY},
};

static const struct caller *owner_of(size_t i)
{
    const struct caller *const owners[] = {&world.workload, &world.workload,
                                           &world.m365, &world.files};
    return owners[i];
}

/* Stored and kept, for whoever could open it before. */
static void assert_each(const char *word)
{
    for (size_t i = 0; i < 2 * HF_COUNT(things); i++) {
        size_t at = i / 2;
        struct outcome out;
        call(things[at].verb, owner_of(at), things[at].type, things[at].name,
             i % 2 == 1 ? &kept[at] : NULL, &out);
        assert_string_equal(
            reason_word(out.status == HF_OK ? REASON_NONE : out.problem.reason),
            word);
        assert_int_equal(out.has_key, out.status == HF_OK);
    }
}

/* Objects in both tokens, of whomever. */
static size_t objects_in(const struct token *token)
{
    struct token_key_report reports[16];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 16, .label_prefix = "hf-ak:"},
    };
    assert_ok(token_call(token, &list));
    return list.u.list.count;
}

/* --- the way -------------------------------------------------------------- */

static enum hf_status try_delete(bool confirm, bool only_look)
{
    const struct purge_request request = {
        .mutation = {.validate_only = only_look},
        .tenant = WORLD_TENANT,
        .reason = "we leave",
        .contact = "ciso@contoso.example",
        .confirm = confirm,
    };
    return purges_delete_tenant(world.service, &world.admin, &request, &purge,
                                &world.problem);
}

static void sign_by(size_t who)
{
    const struct signing how = {.approver = who, .caller = who};
    purge_get(&world, &purge, &now);
    assert_ok(purge_try_approve(&world, &now, &how));
    purge_get(&world, &purge, &now);
}

static void execute(void)
{
    assert_ok(try_delete(true, false));
    sign_by(0);
    sign_by(1);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    assert_int_equal(operation.record.kind, OPERATION_DELETE_TENANT);
}

static void assert_ended(void)
{
    struct tenant_view tenant;
    assert_each("TENANT_DELETED");
    assert_int_equal(objects_in(&world.sharepoint_ak_token), 0);
    assert_int_equal(objects_in(&world.ak_token), 1); /* the neighbour's */
    assert_ok(tenants_get(world.service, &world.admin, WORLD_TENANT, &tenant,
                          &world.problem));
    assert_true(tenant.deleted);
    assert_ok(tenants_get(world.service, &world.operator_, NEIGHBOR, &tenant,
                          &world.problem));
    assert_false(tenant.deleted);
}

/* Asked for, signed by two, executed, held, done; until the hold is over
 * everything works; then nothing of it does, and what happened can be read. */
static void r_15_17_the_whole_way(void **state)
{
    static struct certificate_record certificate;
    static struct dep_view dep;
    struct mailbox_view view;
    const struct tenant_create again = {.name = WORLD_TENANT};
    struct tenant_view tenant;
    char id[HF_ID_TEXT];
    (void)state;
    assert_int_equal(objects_in(&world.ak_token), 4);
    assert_int_equal(objects_in(&world.sharepoint_ak_token), 1);
    assert_ok(try_delete(true, false));
    assert_true(purge.of_tenant);
    assert_int_equal(purge.record.resources, 4);
    assert_int_equal(purge.record.earlier_count, 0);
    purge.document.text[purge.document.len] = '\0';
    assert_non_null(
        strstr((const char *)purge.document.text, "\nverb=DeleteTenant\n"));
    assert_non_null(strstr((const char *)purge.document.text, "\ndeps=4\n"));
    sign_by(0);
    assert_int_equal(now.record.phase, PURGE_REQUESTED); /* quorum */
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    sign_by(1);
    assert_int_equal(now.record.phase, PURGE_APPROVED);
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS - 1000);
    usleep(500000);
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.phase, PURGE_HOLDING);
    assert_each("NONE");
    world_mailbox(&world, "late@contoso.example", WORLD_DEP);
    world_move_clock(&world, 1000);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ended();
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.resources, 5);
    /* every verb of it is refused alike, and its name is not used again */
    assert_status(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                           &dep, &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "TENANT_DELETED");
    assert_status(mailboxes_get(world.service, &world.admin, WORLD_TENANT,
                                WORLD_MAILBOX, &view, &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "TENANT_DELETED");
    assert_int_not_equal(tenants_create(world.service, &world.operator_, &again,
                                        &tenant, &world.problem),
                         HF_OK);
    assert_reason(&world, "NAME_TAKEN");
    id_format(&purge.record.id, id);
    assert_ok(purges_certificate(world.service, &world.admin, WORLD_TENANT, id,
                                 &certificate, &world.problem));
    certificate.text[certificate.text_len] = '\0';
    assert_non_null(
        strstr((const char *)certificate.text, "\ndeletes=the whole tenant\n"));
    assert_non_null(
        strstr((const char *)certificate.text, "\nresidual_wrap=none\n"));
    assert_int_equal(world.verifications, 4); /* each by a fresh process */
    assert_ok(world_restart(&world));
    assert_ended();
}

/* T9, R-9.14, R-15.16, R-15.5: who may not, and what cannot. */
static void r_15_17_not_lightly(void **state)
{
    static struct purge_view of_dep;
    struct purge_order order = {.tenant = WORLD_TENANT};
    (void)state;
    purge_world_officers(&world, 1);
    assert_status(try_delete(true, false), HF_E_PRECONDITION);
    assert_reason(&world, "APPROVERS_MISSING");
    purge_world_officers(&world, 2);
    assert_status(try_delete(false, false), HF_E_INVALID);
    assert_ok(try_delete(true, true));
    assert_ok(try_delete(true, false));
    assert_status(try_delete(true, false), HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
    id_format(&purge.record.id, order.id);
    assert_ok(purges_cancel(world.service, &world.admin, &order, &now,
                            &world.problem));
    assert_each("NONE");
    /* the purge of a DEP is running */
    purge_world_revoke(&world);
    world_revoke(&world, "ck1", &world.files);
    world_revoke(&world, "ck2", &world.files);
    world_revoke(&world, "ck1", &world.m365);
    world_revoke(&world, "ck2", &world.m365);
    purge_request(&world, WORLD_DEP, &of_dep);
    purge_approve(&world, &of_dep, false);
    assert_ok(purge_try_execute(&world, &of_dep, &world.operator_, &operation));
    assert_ok(try_delete(true, false));
    sign_by(0);
    sign_by(1);
    assert_status(
        purge_try_execute(&world, &purge, &world.operator_, &operation),
        HF_E_PRECONDITION);
    assert_reason(&world, "STATE_CONFLICT");
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &of_dep, PURGE_PURGED));
    /* what was purged before is no hindrance: it has its own certificate */
    assert_ok(purge_try_execute(&world, &purge, &world.operator_, &operation));
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ended();
    purge_get(&world, &purge, &now);
    assert_int_equal(now.record.resources, 3);
    assert_ok(world_restart(&world));
    assert_ended();
}

/* N26: in each phase: the next start goes on from there, never from before. */
static void n26_restarted_in_every_phase(void **state)
{
    (void)state;
    execute();
    world_move_clock(&world, WORLD_HOLD_MS);
    for (int phase = PURGE_HOLDING; phase < PURGE_PURGED; phase++) {
        for (int i = 0; i < TRIES; i++) {
            purge_get(&world, &purge, &now);
            if ((int)now.record.phase >= phase) {
                break;
            }
            world_move_clock(&world, 50);
            usleep(PAUSE_US);
        }
        int before = (int)now.record.phase;
        assert_true(before >= phase);
        assert_ok(world_restart(&world));
        purge_get(&world, &purge, &now);
        assert_true((int)now.record.phase >= before);
        if (before >= PURGE_TOMBSTONING) {
            assert_each("TENANT_DELETED");
        }
    }
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ended();
}

/* N26: calls that fail, and answers that are lost, of either token and of the
 * store, only delay; and one that a fresh process finds is destroyed again. */
static void n26_failures_only_delay(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_LIST, TOKEN_OP_DESTROY,
                                        TOKEN_OP_UNWRAP};
    (void)state;
    execute();
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        token_fake_fail_nth(world.ak_fake, ops[i], 2, HF_E_UNREACHABLE);
        token_fake_fail_nth(world.sharepoint_ak_fake, ops[i], 1,
                            HF_E_UNREACHABLE);
    }
    token_fake_lose_nth(world.ak_fake, TOKEN_OP_DESTROY, 3, HF_E_TIMEOUT);
    token_fake_fail_nth(world.service_fake, TOKEN_OP_SIGN, 1, HF_E_UNREACHABLE);
    store_memory_fail_at(world.memory, STORE_MEMORY_COMMIT, 2, HF_E_IO);
    world.verifier_finds = 1;
    world_move_clock(&world, WORLD_HOLD_MS);
    for (int i = 0; i < TRIES && world.verifications < 2; i++) {
        world_move_clock(&world, 50);
        usleep(PAUSE_US);
    }
    assert_true(world.verifications >= 2);
    purge_get(&world, &purge, &now);
    assert_int_not_equal(now.record.phase, PURGE_PURGED);
    world.verifier_finds = 0;
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ended();
}

/* The availability key of a DEP, made again under its CKA_ID. */
static void bring_back(const struct dep_record *dep)
{
    bool pair = dep->type == DEP_TYPE_SHAREPOINT_GEO;
    struct token_key_report report;
    struct token_request back = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = pair ? TOKEN_FOR_AVAILABILITY_PAIR
                                       : TOKEN_FOR_AVAILABILITY_KEY,
                       .bits = pair ? HF_RSA_MIN_BITS : 0,
                       .id_len = dep->ak_cka_id_len,
                       .label = "hf-ak: from a copy",
                       .report = &report},
    };
    memcpy(back.u.generate.id, dep->ak_cka_id, dep->ak_cka_id_len);
    assert_ok(
        token_call(pair ? &world.sharepoint_ak_token : &world.ak_token, &back));
}

/* N23: keys that came back with their tokens are destroyed again, of every DEP.
 */
static void n23_keys_come_back(void **state)
{
    static struct dep_view views[8];
    struct dep_list list = {.views = views, .cap = 8};
    const struct dep_list_request request = {.tenant = WORLD_TENANT,
                                             .page = {.size = 8}};
    (void)state;
    assert_ok(deps_list(world.service, &world.admin, &request, &list,
                        &world.problem));
    assert_int_equal(list.count, 3); /* the built-in one is not listed */
    execute();
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    for (size_t i = 0; i < list.count; i++) {
        bring_back(&views[i].record);
    }
    assert_int_equal(objects_in(&world.sharepoint_ak_token), 1);
    assert_int_equal(objects_in(&world.ak_token), 3);
    assert_ok(world_restart(&world));
    for (int i = 0;
         i < TRIES && world_audit_count(&world, "DestroyedKeyCameBack") < 3;
         i++) {
        usleep(PAUSE_US);
    }
    assert_int_equal(world_audit_count(&world, "DestroyedKeyCameBack"), 3);
    assert_ended();
}

/* What else was done for the tenant ends with it. */
static void operations_end_with_it(void **state)
{
    struct operation_view running;
    const struct ak_roll roll = {.tenant = WORLD_TENANT, .dep = WORLD_DEP};
    char id[HF_ID_TEXT];
    (void)state;
    token_fake_fail_all(world.ak_fake, TOKEN_OP_MINT, HF_E_UNREACHABLE);
    assert_ok(deps_roll_ak(world.service, &world.operator_, &roll, &running,
                           &world.problem));
    execute();
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ended();
    id_format(&running.record.id, id);
    for (int i = 0; i < TRIES; i++) {
        assert_ok(operations_get(world.service, &world.operator_, WORLD_TENANT,
                                 id, &running, &world.problem));
        if (running.record.state != OPERATION_RUNNING) {
            break;
        }
        world_move_clock(&world, 50);
        usleep(PAUSE_US);
    }
    assert_int_equal(running.record.state, OPERATION_FAILED);
    assert_string_equal(running.record.error, "the tenant was deleted");
}

/* A change that was let in before, and is recorded after, is not. */
static void nothing_new_comes_under_it(void **state)
{
    const struct mutation mutation = {.validate_only = false};
    const struct hf_id none = {{0}};
    struct change *change = NULL;
    struct admin admin = {
        .service = world.service,
        .caller = &world.admin,
        .verb = VERB_CREATE_DEP,
        .mutation = &mutation,
        .problem = &world.problem,
    };
    (void)state;
    assert_ok(admin_begin(&admin, WORLD_TENANT));
    assert_ok(change_new(&change));
    assert_ok(admin_finish_change(&admin, change, "x", NULL, &none));
    change_free(change);
    execute();
    world_move_clock(&world, WORLD_HOLD_MS);
    assert_true(purge_wait(&world, &purge, PURGE_PURGED));
    assert_ok(change_new(&change));
    assert_status(admin_finish_change(&admin, change, "x", NULL, &none),
                  HF_E_CONFLICT);
    change_free(change);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(r_15_17_the_whole_way),        CASE(r_15_17_not_lightly),
        CASE(n26_restarted_in_every_phase), CASE(n26_failures_only_delay),
        CASE(n23_keys_come_back),           CASE(operations_end_with_it),
        CASE(nothing_new_comes_under_it),
    };
    return cmocka_run_group_tests_name("tenant_delete", tests, NULL, NULL);
}
