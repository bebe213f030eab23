/* Does a deleted mailbox or site stay deleted, whoever kept what of it, and
 * does nothing wait for it any more? */
#include "hsm/base/check.h"

#include "server/service/resource_delete.h"

#include "tests/unit/service/purge_world.h"

#include <stdio.h>
#include <string.h>

#define OTHER "bob@contoso.example"
#define ID_1  "11111111-1111-4111-8111-111111111111"

static struct world world;
static struct resource_deletion deletion;

static int start(void **state)
{
    (void)state;
    purge_world_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static enum hf_status try_delete(const struct resource_delete *how)
{
    return resource_delete(world.service, &world.admin, how, &deletion,
                           &world.problem);
}

static struct resource_delete order_of(const char *id)
{
    struct resource_delete request = {
        .tenant = WORLD_TENANT, .type = RESOURCE_MAILBOX, .confirm = true};
    snprintf(request.id, sizeof request.id, "%s", id);
    return request;
}

static void call(enum verb verb, const char *mailbox, const uint8_t *envelope,
                 struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.system,
        .verb = verb,
        .initiator = INITIATOR_SYSTEM,
        .mailbox = mailbox,
        .wrapped = envelope,
        .wrapped_len = envelope == NULL ? 0 : ENVELOPE_KEY_BYTES,
    };
    world_call(&world, &options, out);
}

static void assert_gone(const char *mailbox, const uint8_t *envelope)
{
    struct outcome out;
    for (int i = 0; i < 2; i++) {
        call(VERB_UNWRAP_KEY, mailbox, envelope, &out);
        assert_string_equal(reason_word(out.problem.reason), "KEY_DESTROYED");
        assert_false(out.has_key);
    }
    call(VERB_REWRAP_KEY, mailbox, envelope, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_DESTROYED");
    call(VERB_GENERATE_KEY, mailbox, NULL, &out);
    assert_string_equal(reason_word(out.problem.reason), "KEY_DESTROYED");
}

/* Under the service-managed root, under its DEP, warm in the cache or not, and
 * after a restart; others of the DEP open as before. */
static void r_15_15_a_deleted_mailbox_opens_no_more(void **state)
{
    struct outcome early;
    struct outcome moved;
    struct outcome out;
    struct mailbox_view view;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT, .id = OTHER, .dep = WORLD_DEP};
    const struct resource_delete order = order_of(OTHER);
    (void)state;
    purge_world_mailbox(&world, OTHER, "", &early);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    call(VERB_UNWRAP_KEY, OTHER, NULL, &moved);
    assert_ok(moved.status);
    assert_ok(try_delete(&order));
    assert_string_equal(deletion.record.id, OTHER);
    for (int i = 0; i < 2; i++) {
        assert_gone(OTHER, NULL);
        assert_gone(OTHER, early.envelope);
        assert_gone(OTHER, moved.envelope);
        call(VERB_UNWRAP_KEY, WORLD_MAILBOX, NULL, &out);
        assert_ok(out.status);
        assert_ok(world_restart(&world));
    }
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT, OTHER,
                            &view, &world.problem));
    assert_int_equal(view.state, MAILBOX_PURGE_MARKED);
    assert_int_equal(view.record.envelope_len, 0);
    assert_int_equal(view.record.wrap_count, 0);
    /* nobody is its heir */
    struct mailbox_register again = {
        .tenant = WORLD_TENANT, .id = OTHER, .kind = MAILBOX_USER};
    assert_status(mailboxes_register(world.service, &world.admin, &again, &view,
                                     &world.problem),
                  HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
    assert_status(mailboxes_assign(world.service, &world.admin, &assign, &view,
                                   &world.problem),
                  HF_E_PRECONDITION);
    assert_int_equal(world_audit_count(&world, "DeleteResource"), 1);
}

/* Unconfirmed, only looked at, of another version, of nobody: nothing is done;
 * done once, it is not done again. */
static void r_15_20_a_deletion_is_meant(void **state)
{
    struct resource_delete order = order_of(WORLD_MAILBOX);
    struct outcome out;
    (void)state;
    order.confirm = false;
    assert_status(try_delete(&order), HF_E_INVALID);
    order.mutation.validate_only = true;
    assert_ok(try_delete(&order));
    order.confirm = true;
    assert_ok(try_delete(&order));
    order.mutation.validate_only = false;
    snprintf(order.mutation.etag, sizeof order.mutation.etag, "999");
    assert_int_not_equal(try_delete(&order), HF_OK);
    assert_reason(&world, "ETAG_MISMATCH");
    order.mutation.etag[0] = '\0';
    struct resource_delete nobody = order_of("nobody");
    assert_int_not_equal(try_delete(&nobody), HF_OK);
    assert_reason(&world, "NOT_FOUND");
    nobody = order;
    nobody.type = RESOURCE_SITE;
    assert_int_not_equal(try_delete(&nobody), HF_OK);
    assert_reason(&world, "NOT_FOUND");
    call(VERB_UNWRAP_KEY, WORLD_MAILBOX, NULL, &out);
    assert_ok(out.status);
    assert_int_equal(world_audit_count(&world, "DeleteResource"), 0);
    snprintf(order.mutation.request_id, sizeof order.mutation.request_id, ID_1);
    assert_ok(try_delete(&order));
    assert_ok(try_delete(&order)); /* a repeat */
    assert_string_equal(deletion.record.id, WORLD_MAILBOX);
    assert_string_equal(deletion.record.identity, world.admin.identity);
    order.mutation.request_id[0] = '\0';
    assert_status(try_delete(&order), HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
    assert_int_equal(world_audit_count(&world, "DeleteResource"), 1);
    assert_gone(WORLD_MAILBOX, NULL);
}

/* A DEP, and its purge, wait for nothing that was deleted: neither what wraps
 * its key, nor what did before, nor its earlier keys. */
static void r_15_15_nothing_waits_for_it(void **state)
{
    static struct dep_view dep;
    static struct purge_view purge;
    struct outcome out;
    const struct resource_delete order = order_of(OTHER);
    struct mailbox_view view;
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT, .id = OTHER, .dep = WORLD_DEP};
    (void)state;
    purge_world_mailbox(&world, OTHER, "", &out);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    const struct call_options renew = {
        .caller = &world.workload, .verb = VERB_RENEW_KEY, .mailbox = OTHER};
    world_call(&world, &renew, &out); /* an earlier key under another root */
    assert_ok(out.status);
    world_call(&world, &renew, &out); /* and one where it is */
    assert_ok(out.status);
    assert_ok(try_delete(&order));
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &dep, &world.problem));
    assert_int_equal(dep.assigned_count, 1);
    assert_int_equal(dep.effective_count, 1);
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_int_equal(purge.record.resources, 1);
    assert_int_equal(purge.record.earlier_count, 0);
    assert_gone(OTHER, NULL);
    assert_gone(WORLD_MAILBOX, NULL);
    assert_ok(world_restart(&world));
    assert_gone(OTHER, NULL);
    /* a mailbox that was purged is not deleted on top of that */
    const struct resource_delete purged = order_of(WORLD_MAILBOX);
    assert_status(try_delete(&purged), HF_E_PRECONDITION);
    assert_reason(&world, "KEY_DESTROYED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(r_15_15_a_deleted_mailbox_opens_no_more,
                                        start, stop),
        cmocka_unit_test_setup_teardown(r_15_20_a_deletion_is_meant, start,
                                        stop),
        cmocka_unit_test_setup_teardown(r_15_15_nothing_waits_for_it, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("resource_delete", tests, NULL, NULL);
}
