/* does what stored keys need go when two approvers say so, and by
 * nothing less: no replay, no other document, no one person twice (N60)?
 */
#include "hsm/base/check.h"

#include "server/service/key_force.h"

#include "tests/unit/service/purge_world.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000LL

static struct world world;
static struct customer_key_view view;
static struct key_force_document document;
static uint8_t signatures[2][128];

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

/* --- calls ---------------------------------------------------------------- */

static enum hf_status try_draft(const char *name, enum key_force_change change,
                                uint32_t version)
{
    struct key_force_draft request = {
        .tenant = WORLD_TENANT, .change = change, .version = version};
    snprintf(request.name, sizeof request.name, "%s", name);
    return customer_keys_draft_force(world.service, &world.admin, &request,
                                     &document, &world.problem);
}

static size_t sign(size_t approver, uint8_t out[128])
{
    size_t len = 128;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL,
                                        world.approver_key[approver]),
                     1);
    assert_int_equal(
        EVP_DigestSign(ctx, out, &len, document.text, document.len), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

/* The document as it is here, signed by both. */
static struct customer_key_force by_both(void)
{
    struct customer_key_force force = {
        .document = {document.text, document.len},
        .approval_count = 2,
    };
    for (size_t i = 0; i < 2; i++) {
        memcpy(force.approvals[i].identity, world.approver[i].identity,
               sizeof force.approvals[i].identity);
        force.approvals[i].signature =
            (struct bytes){signatures[i], sign(i, signatures[i])};
    }
    return force;
}

static enum hf_status disable_by(const struct caller *caller, const char *name,
                                 const struct customer_key_force *force)
{
    struct customer_key_update request = {
        .tenant = WORLD_TENANT, .set_enabled = true, .force = *force};
    snprintf(request.name, sizeof request.name, "%s", name);
    return customer_keys_update(world.service, caller, &request, &view,
                                &world.problem);
}

static enum hf_status disable(const char *name,
                              const struct customer_key_force *force)
{
    return disable_by(&world.admin, name, force);
}

static void enable(const char *name)
{
    struct customer_key_update request = {
        .tenant = WORLD_TENANT, .set_enabled = true, .enabled = true};
    snprintf(request.name, sizeof request.name, "%s", name);
    assert_ok(customer_keys_update(world.service, &world.admin, &request, &view,
                                   &world.problem));
}

static enum hf_status delete (const char *name,
                              const struct customer_key_force *force) {
    struct customer_key_delete request = {.tenant = WORLD_TENANT,
                                          .confirm = true,
                                          .force = *force}
        ;
    snprintf(request.name, sizeof request.name, "%s", name);
    return customer_keys_soft_delete(world.service, &world.admin, &request,
                                     &view, &world.problem);
}

static const struct customer_key_force unforced = {.approval_count = 0};

/* Refused so, and the first key is as it was. */
static void refused(enum hf_status status, const char *reason)
{
    assert_int_not_equal(status, HF_OK);
    assert_string_equal(reason_word(world.problem.reason), reason);
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    assert_true(view.versions[0].enabled);
    assert_int_equal(view.state, KEY_ACTIVE);
}

/* --- tests ---------------------------------------------------------------- */

static void two_approvers_disable_a_needed_version(void **state)
{
    struct customer_key_force force;
    struct outcome out;
    char record[WORLD_AUDIT_BYTES];
    (void)state;
    refused(disable("ck1", &unforced), "KEY_IN_USE");
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 0));
    assert_int_equal(document.dependants, 1);
    force = by_both();
    assert_ok(disable("ck1", &force));
    assert_false(view.versions[0].enabled);
    world_audit_last(&world, "UpdateCustomerKey", record);
    assert_non_null(strstr(record, "\"forced\":true"));
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(strstr(record, world.approver[i].identity));
    }
    /* the other key opens what needs it */
    world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
    assert_ok(out.status);
    assert_ok(world_restart(&world));
    assert_ok(customer_keys_get(world.service, &world.admin, WORLD_TENANT,
                                "ck1", &view, &world.problem));
    assert_false(view.versions[0].enabled);
    /* each once: enabled again, it takes new signatures (N60) */
    enable("ck1");
    refused(disable("ck1", &force), "APPROVAL_INVALID");
    assert_int_equal(world_audit_count(&world, "UpdateCustomerKey"), 2);
}

static void two_approvers_delete_a_needed_key(void **state)
{
    struct customer_key_force force;
    struct customer_key_delete back = {.tenant = WORLD_TENANT, .name = "ck1"};
    (void)state;
    refused(delete ("ck1", &unforced), "KEY_IN_USE");
    assert_ok(try_draft("ck1", KEY_FORCE_SOFT_DELETE, 0));
    force = by_both();
    refused(disable("ck1", &force), "APPROVAL_INVALID"); /* of another verb */
    assert_ok(delete ("ck1", &force));
    assert_int_equal(view.state, KEY_SOFT_DELETED);
    assert_ok(customer_keys_recover(world.service, &world.admin, &back, &view,
                                    &world.problem));
    refused(delete ("ck1", &force), "APPROVAL_INVALID");
}

/* N60: unregistered, self-approved, one person twice, and not enough. */
static void who_may_approve(void **state)
{
    struct customer_key_force force;
    struct customer_key_force good;
    struct caller officer = world.admin;
    (void)state;
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    for (size_t count = 0; count < 2; count++) {
        force = good;
        force.approval_count = count;
        refused(disable("ck1", &force), "APPROVAL_INVALID");
    }
    force = good;
    force.approvals[1] = force.approvals[0];
    refused(disable("ck1", &force), "APPROVAL_INVALID");
    force = good;
    snprintf(force.approvals[1].identity, sizeof force.approvals[1].identity,
             "spiffe://holdfast.test/nobody");
    refused(disable("ck1", &force), "APPROVER_REFUSED");
    force = good; /* one's signature under the other's name */
    force.approvals[1].signature = force.approvals[0].signature;
    refused(disable("ck1", &force), "APPROVAL_INVALID");
    memcpy(officer.identity, world.approver[1].identity,
           sizeof officer.identity);
    refused(disable_by(&officer, "ck1", &good), "APPROVER_REFUSED");
    purge_world_officers(&world, 1); /* the second is one no more */
    refused(disable("ck1", &good), "APPROVER_REFUSED");
    purge_world_officers(&world, 2); /* and again, but after the draft */
    refused(disable("ck1", &good), "APPROVER_REFUSED");
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    assert_ok(disable("ck1", &good));
}

/* N60: replayed, expired, for another version; and with every byte changed. */
static void what_was_signed_is_what_is_done(void **state)
{
    struct customer_key_force good;
    struct outcome made;
    (void)state;
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    for (size_t i = 0; i < 2; i++) {
        signatures[i][good.approvals[i].signature.len - 1] ^= 1;
        refused(disable("ck1", &good), "APPROVAL_INVALID");
        signatures[i][good.approvals[i].signature.len - 1] ^= 1;
    }
    document.text[document.len] = '\0';
    const char *nonce = strstr((const char *)document.text, "nonce=");
    assert_non_null(nonce);
    for (size_t at = 0; at < document.len; at++) {
        document.text[at] ^= 1;
        assert_status(disable("ck1", &good), HF_E_DENIED);
        if ((const char *)document.text + at < nonce) {
            /* however well it is signed, it says something else */
            const struct customer_key_force of_other = by_both();
            refused(disable("ck1", &of_other), "APPROVAL_INVALID");
        }
        document.text[at] ^= 1;
        good = by_both();
    }
    good = by_both();
    for (size_t len = 0; len < document.len; len += 7) {
        struct customer_key_force cut = good;
        cut.document.len = len == 0 ? 1 : len;
        refused(disable("ck1", &cut), "APPROVAL_INVALID");
    }
    /* of another key */
    assert_ok(try_draft("ck2", KEY_FORCE_DISABLE, 1));
    good = by_both();
    refused(disable("ck1", &good), "APPROVAL_INVALID");
    /* more stored keys need it than they were told */
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    purge_world_mailbox(&world, "bob@contoso.example", WORLD_DEP, &made);
    refused(disable("ck1", &good), "APPROVAL_INVALID");
    /* any change of the key */
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    world_revoke(&world, "ck1", &world.stranger);
    world_grant(&world, "ck1", &world.stranger, PERMISSION_GET);
    refused(disable("ck1", &good), "APPROVAL_INVALID");
    /* too late */
    assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
    good = by_both();
    world_move_clock(&world, 14 * DAY_MS + 1000);
    refused(disable("ck1", &good), "APPROVAL_INVALID");
}

/* What is signed says a longer life, or a later beginning, than a draft has. */
static void a_document_lives_two_weeks(void **state)
{
    static const char *const dates[] = {"drafted_at=", "expires_at="};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(dates); i++) {
        assert_ok(try_draft("ck1", KEY_FORCE_DISABLE, 1));
        document.text[document.len] = '\0';
        char *year = strstr((char *)document.text, dates[i]);
        assert_non_null(year);
        year[strlen(dates[i])] = i == 0 ? '3' : '9';
        const struct customer_key_force force = by_both();
        refused(disable("ck1", &force), "APPROVAL_INVALID");
    }
}

static void what_may_be_drafted(void **state)
{
    (void)state;
    refused(try_draft("no-such", KEY_FORCE_DISABLE, 0), "NOT_FOUND");
    refused(try_draft("ck1", KEY_FORCE_DISABLE, 2), "NOT_FOUND");
    refused(try_draft("ck1", KEY_FORCE_SOFT_DELETE, 1), "FIELD_INVALID");
    world_key(&world, WORLD_TENANT, 0, "spare", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    refused(try_draft("spare", KEY_FORCE_DISABLE, 0), "STATE_CONFLICT");
    refused(try_draft("spare", KEY_FORCE_SOFT_DELETE, 0), "STATE_CONFLICT");
    assert_ok(disable("spare", &unforced)); /* nobody has to be asked */
    refused(try_draft("spare", KEY_FORCE_DISABLE, 0), "STATE_CONFLICT");
    purge_world_officers(&world, 1);
    refused(try_draft("ck1", KEY_FORCE_DISABLE, 0), "APPROVERS_MISSING");
    assert_int_equal(world_audit_count(&world, "DraftForcedChange"), 0);
}

/* What is purged needs no key: nobody has to be asked. */
static void a_purged_dep_needs_no_key(void **state)
{
    struct purge_view purge;
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, false, &purge);
    assert_ok(disable("ck1", &unforced));
    assert_ok(delete ("ck2", &unforced));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(two_approvers_disable_a_needed_version),
        TEST(two_approvers_delete_a_needed_key),
        TEST(who_may_approve),
        TEST(what_was_signed_is_what_is_done),
        TEST(a_document_lives_two_weeks),
        TEST(what_may_be_drafted),
        TEST(a_purged_dep_needs_no_key),
    };
    return cmocka_run_group_tests_name("key_force", tests, NULL, NULL);
}
