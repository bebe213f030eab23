/* What is known of customer keys while they are away, and when they are back:
 * does an outage end for everybody who rests on the key (R-7.2, R-15.4b), and
 * does the availability key serve nobody against what is known now (R-15.4a)?
 * Is a lease in a token that died left for the other customer key? Does every
 * use of the availability key say whose request it was for? */
#include "server/service/ak_audit.h"
#include "server/service/audit.h"

#include "tests/unit/service/world.h"

#include <string.h>
#include <unistd.h>

#define LEASE_MS  60000
#define OTHER_DEP "dep2"
#define OTHER_BOX "bob@contoso.example"

static struct world world;
static struct outcome made;

static int start_with(int64_t ak_lease_ms)
{
    world_start(&world);
    world.settings.ak_lease_ms = ak_lease_ms;
    assert_ok(world_restart(&world));
    world_ready(&world, LEASE_MS, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(0);
}

static int start_ak_lease(void **state)
{
    (void)state;
    return start_with(HF_AK_LEASE_MAX_MS);
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void pass(int64_t ms)
{
    __atomic_add_fetch(&world.now_ms, ms, __ATOMIC_SEQ_CST);
}

static void fail_both(enum hf_status status)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_fail_all(world.customer_fake[i], TOKEN_OP_UNWRAP, status);
    }
}

static void heal_both(void)
{
    for (size_t i = 0; i < 2; i++) {
        token_fake_clear(world.customer_fake[i]);
    }
}

static uint64_t asked(void)
{
    uint64_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        count += token_fake_calls(world.customer_fake[i], TOKEN_OP_UNWRAP);
    }
    return count;
}

static size_t ak_uses(void)
{
    return world_audit_count(&world, AK_AUDIT_ACTIVITY);
}

static const char *unwrap_of(const char *mailbox)
{
    struct outcome out;
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = mailbox,
    };
    world_call(&world, &options, &out);
    return out.status == HF_OK ? "OK" : reason_word(out.problem.reason);
}

/* --- versions ----------------------------------------------------------- */

/* A second version, disabled at once: the DEP goes on resting on the first. */
static void disabled_second_version(size_t token, const char *name)
{
    struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .version = 2,
        .set_enabled = true,
        .enabled = false,
    };
    struct customer_key_view view;
    world_key_version(&world, token, name, 2);
    memcpy(request.name, name, strlen(name));
    assert_ok(customer_keys_update(world.service, &world.admin, &request, &view,
                                   &world.problem));
}

/* Until a call is served without the availability key. */
static bool outage_ends(void)
{
    for (int i = 0; i < 100; i++) {
        size_t before = ak_uses();
        pass(1000);
        usleep(50000);
        assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
        if (ak_uses() == before) {
            return true;
        }
    }
    return false;
}

static void an_outage_ends_though_the_current_version_is_disabled(void **state)
{
    (void)state;
    disabled_second_version(0, "ck1");
    disabled_second_version(1, "ck2");
    fail_both(HF_E_UNREACHABLE);
    for (int i = 0; i < 4; i++) {
        pass(LEASE_MS + 1);
        assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
    }
    heal_both();
    assert_true(outage_ends());
}

/* The other version is another object in the token: one may be away, or
 * refused, while the other is not. */
static void one_versions_health_is_not_the_others(void **state)
{
    struct dep_view view;
    (void)state;
    world_key_version(&world, 0, "ck1", 2);
    world_dep(&world, OTHER_DEP, LEASE_MS, RESIDENCY_TOKEN);
    world_mailbox(&world, OTHER_BOX, OTHER_DEP);
    struct outcome other;
    world_generate(&world, OTHER_BOX, &other);
    token_fake_fail_key(world.customer_fake[0], (const uint8_t *)"ck1", 3,
                        HF_E_DENIED);
    token_fake_fail_key(world.customer_fake[1], (const uint8_t *)"ck2", 3,
                        HF_E_UNREACHABLE);
    pass(LEASE_MS + 1);
    /* on ck1 version 1, and on ck1 version 2 */
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "KEY_ACCESS_DENIED");
    assert_string_equal(unwrap_of(OTHER_BOX), "OK");
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_int_equal(view.keys[0].health.state, KEY_HEALTH_DENIED);
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, OTHER_DEP,
                       &view, &world.problem));
    assert_int_equal(view.keys[0].health.state, KEY_HEALTH_OK);
}

/* --- what is known now (R-15.4a) ---------------------------------------- */

/* Two DEPs on the same keys; the second without a lease, so that each of its
 * calls asks the tokens. The first is served by an AK lease. */
static void ak_lease_in_an_outage(void)
{
    struct outcome other;
    world_dep(&world, OTHER_DEP, 0, RESIDENCY_TOKEN);
    world_mailbox(&world, OTHER_BOX, OTHER_DEP);
    world_generate(&world, OTHER_BOX, &other);
    pass(LEASE_MS + 1);
    fail_both(HF_E_UNREACHABLE);
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
    assert_int_equal(ak_uses(), 1);
}

static void a_refusal_seen_by_another_dep_counts(void **state)
{
    (void)state;
    ak_lease_in_an_outage();
    fail_both(HF_E_DENIED);
    assert_string_equal(unwrap_of(OTHER_BOX), "KEY_ACCESS_DENIED");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(unwrap_of(WORLD_MAILBOX), "KEY_ACCESS_DENIED");
    }
    assert_int_equal(ak_uses(), 1);
}

static void a_refusal_seen_by_a_test_counts(void **state)
{
    struct validation_report report;
    (void)state;
    ak_lease_in_an_outage();
    fail_both(HF_E_DENIED);
    assert_ok(deps_test(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                        &report, &world.problem));
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "KEY_ACCESS_DENIED");
}

/* A key that answers again is asked, though the AK lease lives. */
static void a_recovery_seen_by_another_dep_counts(void **state)
{
    (void)state;
    ak_lease_in_an_outage();
    heal_both();
    assert_string_equal(unwrap_of(OTHER_BOX), "OK");
    uint64_t before = asked();
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
    assert_true(asked() > before);
    /* and has its lease by the customer's key from now on */
    fail_both(HF_E_DENIED);
    assert_string_equal(unwrap_of(OTHER_BOX), "KEY_ACCESS_DENIED");
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
}

/* A damaged copy is its own DEP's: another DEP on the same key knows nothing of
 * it, and the key is well. */
static void a_bad_copy_is_known_for_its_own_dep_alone(void **state)
{
    struct dep_view view;
    (void)state;
    ak_lease_in_an_outage();
    fail_both(HF_E_BAD_BLOB);
    assert_string_equal(unwrap_of(OTHER_BOX), "BLOB_INVALID");
    heal_both();
    assert_string_equal(unwrap_of(WORLD_MAILBOX), "OK");
    assert_ok(deps_get(world.service, &world.admin, WORLD_TENANT, WORLD_DEP,
                       &view, &world.problem));
    assert_int_equal(view.health, HEALTH_HEALTHY);
}

/* --- a lease in a token that died --------------------------------------- */

static enum hf_status wrap_for(const char *mailbox)
{
    static const uint8_t key[HF_KEY_BYTES] = {7};
    struct outcome out;
    const struct call_options wrap = {
        .caller = &world.workload,
        .verb = VERB_WRAP_KEY,
        .mailbox = mailbox,
        .plaintext = key,
    };
    world_call(&world, &wrap, &out);
    return out.status;
}

/* The token whose object the lease is, by which one is asked to seal. */
static size_t token_of_the_lease(const char *mailbox)
{
    uint64_t before = token_fake_calls(world.customer_fake[0], TOKEN_OP_SEAL);
    assert_ok(wrap_for(mailbox));
    return token_fake_calls(world.customer_fake[0], TOKEN_OP_SEAL) > before ? 0
                                                                            : 1;
}

static void nothing_works_in(size_t token)
{
    for (int op = TOKEN_OP_SEAL; op <= TOKEN_OP_HEALTH; op++) {
        token_fake_fail_all(world.customer_fake[token], (enum token_op)op,
                            HF_E_UNREACHABLE);
    }
}

/* The other customer key is fine: nobody needs to wait for the lease to end. */
static void a_wrap_leaves_a_dead_lease(void **state)
{
    (void)state;
    nothing_works_in(token_of_the_lease(WORLD_MAILBOX));
    for (int i = 0; i < 3; i++) {
        assert_ok(wrap_for(WORLD_MAILBOX));
    }
    assert_int_equal(ak_uses(), 0);
}

static void a_generate_leaves_a_dead_lease(void **state)
{
    struct outcome out;
    (void)state;
    world_mailbox(&world, OTHER_BOX, WORLD_DEP);
    nothing_works_in(token_of_the_lease(WORLD_MAILBOX));
    world_generate(&world, OTHER_BOX, &out);
    assert_int_equal(ak_uses(), 0);
}

/* The access succeeds without the move, and the next one moves it: not only
 * when the lease of the new DEP has ended. */
static void a_rewrap_on_access_leaves_a_dead_lease(void **state)
{
    struct outcome out;
    struct mailbox_assign assign = {.tenant = WORLD_TENANT, .dep = OTHER_DEP};
    struct mailbox_view view;
    (void)state;
    world_dep(&world, OTHER_DEP, LEASE_MS, RESIDENCY_TOKEN);
    world_mailbox(&world, OTHER_BOX, OTHER_DEP);
    size_t token = token_of_the_lease(OTHER_BOX);
    memcpy(assign.id, WORLD_MAILBOX, sizeof WORLD_MAILBOX);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    nothing_works_in(token);
    for (int i = 0; i < 2; i++) {
        world_unwrap(&world, &world.workload, INITIATOR_USER, &out);
        assert_ok(out.status);
    }
    assert_int_equal(out.envelope_len, ENVELOPE_KEY_BYTES);
}

/* --- the record of a use ------------------------------------------------ */

#define GIVEN_ID "00000000-0000-4000-8000-00000000000a"
#define USES     3

struct request_ids {
    char texts[USES][HF_ID_TEXT];
    size_t count;
};

static enum hf_status keep_request_id(void *context,
                                      const struct audit_link *link)
{
    static const char name[] = "\"requestId\":\"";
    struct request_ids *ids = context;
    const char *at = memmem(link->body, link->body_len, name, sizeof name - 1);
    if (at != NULL) {
        memcpy(ids->texts[ids->count], at + sizeof name - 1, HF_ID_TEXT - 1);
    }
    ids->count++;
    return HF_OK;
}

/* by the client's id, or by one that is made here; which makes
 * the request no repeat of another. */
static void a_use_is_recorded_with_a_request_id(void **state)
{
    static struct request_ids ids;
    struct outcome out;
    struct audit_query query = {.page = {.size = USES},
                                .tenant = WORLD_TENANT,
                                .activity = AK_AUDIT_ACTIVITY};
    struct call_options unwrap = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .request_id = GIVEN_ID,
    };
    (void)state;
    fail_both(HF_E_UNREACHABLE);
    for (int i = 0; i < USES; i++) {
        pass(LEASE_MS + 1);
        world_call(&world, &unwrap, &out);
        assert_ok(out.status);
        unwrap.request_id = "";
    }
    memset(&ids, 0, sizeof ids);
    assert_ok(audit_list(world.service, &world.auditor, &query, keep_request_id,
                         &ids, &world.problem));
    assert_int_equal(ids.count, USES);
    for (size_t i = 0; i < USES; i++) {
        struct hf_id id;
        assert_ok(id_parse(ids.texts[i], &id));
    }
    assert_string_equal(ids.texts[0], GIVEN_ID);
    assert_string_not_equal(ids.texts[1], GIVEN_ID);
    assert_string_not_equal(ids.texts[2], ids.texts[1]);
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start, stop)
#define AK_LEASE(test)                                                         \
    cmocka_unit_test_setup_teardown(test, start_ak_lease, stop)
    const struct CMUnitTest tests[] = {
        PLAIN(an_outage_ends_though_the_current_version_is_disabled),
        PLAIN(one_versions_health_is_not_the_others),
        PLAIN(a_wrap_leaves_a_dead_lease),
        PLAIN(a_generate_leaves_a_dead_lease),
        PLAIN(a_rewrap_on_access_leaves_a_dead_lease),
        PLAIN(a_use_is_recorded_with_a_request_id),
        AK_LEASE(a_refusal_seen_by_another_dep_counts),
        AK_LEASE(a_refusal_seen_by_a_test_counts),
        AK_LEASE(a_recovery_seen_by_another_dep_counts),
        AK_LEASE(a_bad_copy_is_known_for_its_own_dep_alone),
    };
    return cmocka_run_group_tests_name("service_outage", tests, NULL, NULL);
}
