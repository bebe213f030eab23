/* Can a wrapped key open for what it was not made for, or after it was
 * touched? (R-2.16, R-15.8; hostile tests N02, N06, N07, N10 to N19; appendix
 * B, check 14) Every refusal is alike: no oracle. */
#include "hsm/base/own.h"

#include "server/service/ak_audit.h"
#include "server/service/key_check.h"
#include "server/service/leases.h"
#include "server/service/resources.h"
#include "server/service/rows.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OTHER_MAILBOX "bob@contoso.example"

static struct world world;
static struct outcome made;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_mailbox(&world, OTHER_MAILBOX, WORLD_DEP);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void unwrap(const char *mailbox, const uint8_t *blob, size_t len,
                   struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .mailbox = mailbox,
        .wrapped = blob,
        .wrapped_len = len,
    };
    world_call(&world, &options, out);
}

/* The one answer to every bad envelope. */
static void assert_bad(const char *mailbox, const uint8_t *blob, size_t len)
{
    struct outcome out;
    unwrap(mailbox, blob, len, &out);
    assert_false(out.has_key);
    assert_string_equal(reason_word(out.problem.reason), "BLOB_INVALID");
    assert_string_equal(out.problem.text, "the wrapped key does not open");
    assert_string_equal(out.problem.field, "");
    assert_int_equal(out.problem.retry_ms, 0);
}

static void assert_good(void)
{
    struct outcome out;
    unwrap(WORLD_MAILBOX, made.envelope, made.envelope_len, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, made.key, HF_KEY_BYTES);
}

/* N10, both when the other mailbox has a key of its own and when it has not. */
static void of_one_mailbox_for_another(void **state)
{
    struct outcome other;
    (void)state;
    assert_bad(OTHER_MAILBOX, made.envelope, made.envelope_len);
    world_generate(&world, OTHER_MAILBOX, &other);
    assert_bad(OTHER_MAILBOX, made.envelope, made.envelope_len);
    assert_bad(WORLD_MAILBOX, other.envelope, other.envelope_len);
    assert_good();
}

/* A key for the mailbox, sealed as a wrap of this workload would be: by the
 * same DEP key, and nothing else differs. */
static size_t seal_of(enum workload workload, uint8_t suite,
                      uint8_t out[ENVELOPE_KEY_BYTES])
{
    uint8_t sealed[HF_KEY_BYTES + HF_GCM_TAG_BYTES];
    struct key_binding binding;
    struct secret *key = NULL;
    size_t len = 0;
    struct generation_entry *generation = catalogue_generation(
        catalogue_dep_by_id(&world.service->catalogue, &made.dep), 1);
    assert_non_null(generation);
    struct context context = {
        .tenant = generation->record.tenant,
        .dep = made.dep,
        .generation = 1,
        .workload = (uint16_t)workload,
        .resource_type = RESOURCE_MAILBOX,
        .purpose = PURPOSE_RESOURCE_KEY,
    };
    struct envelope envelope = {
        .suite = suite,
        .dep = made.dep,
        .generation = 1,
        .iv = {(uint8_t)workload},
        .sealed = BYTES_OF(sealed),
    };
    resource_hash(WORLD_MAILBOX, context.resource_hash);
    assert_ok(secret_new(HF_KEY_BYTES, &key));
    memset(secret_writable(key), 9, HF_KEY_BYTES);
    if (suite == ENVELOPE_SUITE_CHECKED) {
        assert_ok(key_check_make(&context, key, envelope.check));
    }
    key_binding_of(&context, &envelope, &binding);
    struct lease *lease = lease_take(generation, world.now_ms, NULL);
    assert_non_null(lease);
    assert_ok(lease_seal(lease, envelope.iv, key_binding_view(&binding),
                         (struct bytes){secret_bytes(key), HF_KEY_BYTES},
                         sealed));
    lease_release(lease);
    secret_free(key);
    assert_ok(envelope_encode(&envelope, out, ENVELOPE_KEY_BYTES, &len));
    return len;
}

/* N12. One of its own, made in the same way, opens: nothing else is wrong with
 * it. */
static void of_one_workload_for_another(void **state)
{
    uint8_t blob[ENVELOPE_KEY_BYTES];
    struct outcome out;
    (void)state;
    for (uint8_t suite = 1; suite <= 2; suite++) {
        size_t len = seal_of(WORKLOAD_EXCHANGE, suite, blob);
        unwrap(WORLD_MAILBOX, blob, len, &out);
        assert_ok(out.status);
        for (int other = 0; other < 8; other++) {
            if (other != WORKLOAD_EXCHANGE) {
                len = seal_of((enum workload)other, suite, blob);
                assert_bad(WORLD_MAILBOX, blob, len);
            }
        }
    }
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
}

/* Suite 1, of versions before: opens for ever, bound as it always was, and what
 * it is wrapped anew in is suite 2. */
static void suite_1_opens_for_ever(void **state)
{
    static uint8_t key[HF_KEY_BYTES];
    uint8_t blob[ENVELOPE_KEY_BYTES];
    struct outcome out;
    (void)state;
    memset(key, 9, sizeof key);
    size_t len = seal_of(WORKLOAD_EXCHANGE, ENVELOPE_SUITE_AES256_GCM, blob);
    assert_int_equal(len, ENVELOPE_PLAIN_KEY_BYTES);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_bad(WORLD_MAILBOX, blob, len);
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    const struct call_options rewrap = {
        .caller = &world.workload,
        .verb = VERB_REWRAP_KEY,
        .wrapped = blob,
        .wrapped_len = len,
    };
    unwrap(WORLD_MAILBOX, blob, len, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, key, sizeof key);
    world_call(&world, &rewrap, &out);
    assert_ok(out.status);
    assert_int_equal(out.envelope_len, ENVELOPE_KEY_BYTES);
    assert_int_equal(out.envelope[4], ENVELOPE_SUITE_CHECKED);
    unwrap(WORLD_MAILBOX, out.envelope, out.envelope_len, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, key, sizeof key);
}

/* A store of before: the stored key in suite 1 opens, hot and not, is renewed,
 * and stays openable as an earlier one, each with its own length. */
static void a_stored_key_of_suite_1_lives_on(void **state)
{
    static struct resource_view view;
    static const uint8_t zero[ENVELOPE_KEY_BYTES];
    uint8_t blob[ENVELOPE_KEY_BYTES] = {0};
    struct outcome out;
    struct tenant_entry *tenant =
        catalogue_tenant(&world.service->catalogue, WORLD_TENANT);
    HF_OWNED(change_freep) struct change *change = NULL;
    struct stamp next;
    (void)state;
    size_t len = seal_of(WORKLOAD_EXCHANGE, ENVELOPE_SUITE_AES256_GCM, blob);
    assert_ok(resource_load(world.service, tenant, RESOURCE_MAILBOX,
                            WORLD_MAILBOX, &view));
    memcpy(view.record.envelope, blob, sizeof blob);
    view.record.envelope_len = len;
    assert_ok(change_new(&change));
    assert_ok(resource_put(&view, change, &next));
    assert_ok(ledger_commit(world.service->ledger, change));
    rows_forget(world.service, &view.record.tenant, RESOURCE_MAILBOX,
                WORLD_MAILBOX);
    for (int i = 0; i < 3; i++) {
        unwrap(WORLD_MAILBOX, NULL, 0, &out);
        assert_ok(out.status);
        assert_int_equal(out.key[0], 9);
    }
    const struct call_options rewrap = {
        .caller = &world.workload,
        .verb = VERB_REWRAP_KEY,
    };
    world_call(&world, &rewrap, &out); /* it is where it should be */
    assert_ok(out.status);
    assert_int_equal(out.envelope_len, len);
    assert_memory_equal(out.envelope, blob, len);
    const struct call_options renew = {
        .caller = &world.workload,
        .verb = VERB_RENEW_KEY,
    };
    world_call(&world, &renew, &out);
    assert_ok(out.status);
    assert_int_equal(out.envelope_len, ENVELOPE_KEY_BYTES);
    assert_int_equal(out.replaced_len, len);
    assert_memory_equal(out.replaced, blob, len);
    assert_memory_equal(out.replaced + len, zero, sizeof blob - len);
    assert_ok(resource_load(world.service, tenant, RESOURCE_MAILBOX,
                            WORLD_MAILBOX, &view));
    assert_int_equal(view.record.earlier[0].envelope_len, len);
    unwrap(WORLD_MAILBOX, view.record.earlier[0].envelope, len, &out);
    assert_ok(out.status);
    assert_int_equal(out.key[0], 9);
}

/* N13, N14, N15, N17, N19: every bit. */
static void every_single_bit(void **state)
{
    (void)state;
    for (size_t byte = 0; byte < made.envelope_len; byte++) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t blob[ENVELOPE_KEY_BYTES];
            memcpy(blob, made.envelope, sizeof blob);
            blob[byte] ^= (uint8_t)(1u << bit);
            assert_bad(WORLD_MAILBOX, blob, sizeof blob);
        }
    }
    assert_good();
    assert_int_equal(world_audit_count(&world, AK_AUDIT_ACTIVITY), 0);
}

/* N16: every truncation, and 1 to 64 bytes more. A length of 0 asks for the
 * stored key and is no truncation. */
static void every_length(void **state)
{
    uint8_t blob[ENVELOPE_KEY_BYTES + 64];
    (void)state;
    memset(blob, 0, sizeof blob);
    memcpy(blob, made.envelope, made.envelope_len);
    for (size_t len = 1; len <= sizeof blob; len++) {
        if (len != made.envelope_len) {
            assert_bad(WORLD_MAILBOX, blob, len);
        }
    }
}

/* N19: iv of one envelope, the rest of another, same mailbox and key. */
static void spliced(void **state)
{
    struct outcome wrapped;
    uint8_t key[HF_KEY_BYTES];
    (void)state;
    memset(key, 7, sizeof key);
    const struct call_options wrap = {
        .caller = &world.workload,
        .verb = VERB_WRAP_KEY,
        .plaintext = key,
    };
    world_call(&world, &wrap, &wrapped);
    assert_ok(wrapped.status);
    uint8_t blob[ENVELOPE_KEY_BYTES];
    memcpy(blob, made.envelope, sizeof blob);
    memcpy(blob + ENVELOPE_HEAD_BYTES - HF_GCM_IV_BYTES,
           wrapped.envelope + ENVELOPE_HEAD_BYTES - HF_GCM_IV_BYTES,
           HF_GCM_IV_BYTES);
    assert_bad(WORLD_MAILBOX, blob, sizeof blob);
    struct outcome opened;
    unwrap(WORLD_MAILBOX, wrapped.envelope, wrapped.envelope_len, &opened);
    assert_ok(opened.status);
    assert_memory_equal(opened.key, key, sizeof key);
}

/* N13, N14: another DEP and another generation that exist, named in the head.
 */
static void another_dep_in_the_head(void **state)
{
    struct outcome other;
    struct outcome out;
    (void)state;
    world_dep(&world, "dep2", 60000, RESIDENCY_TOKEN);
    world_mailbox(&world, "carol@contoso.example", "dep2");
    world_generate(&world, "carol@contoso.example", &other);
    uint8_t blob[ENVELOPE_KEY_BYTES];
    memcpy(blob, made.envelope, sizeof blob);
    memcpy(blob + 5, other.envelope + 5, HF_ID_BYTES);
    assert_bad(WORLD_MAILBOX, blob, sizeof blob);
    unwrap(WORLD_MAILBOX, other.envelope, other.envelope_len, &out);
    assert_string_equal(reason_word(out.problem.reason), "BLOB_INVALID");
}

/* N02, N11: another tenant's identity, mailbox and DEP look missing: the same
 * bytes as for a thing that never was. */
static void another_tenants_things_look_missing(void **state)
{
    struct outcome there;
    struct outcome nowhere;
    struct caller eve = world.workload;
    struct dep_view dep;
    struct problem of_other;
    struct problem of_none;
    (void)state;
    world_tenant(&world, "fabrikam");
    snprintf(eve.tenant, sizeof eve.tenant, "fabrikam");
    struct call_options options = {
        .caller = &eve,
        .verb = VERB_UNWRAP_KEY,
        .wrapped = made.envelope,
        .wrapped_len = made.envelope_len,
    };
    world_call(&world, &options, &there);
    options.tenant = "nobody";
    world_call(&world, &options, &nowhere);
    assert_int_equal(there.problem.reason, nowhere.problem.reason);
    assert_string_equal(there.problem.text, nowhere.problem.text);
    assert_string_equal(reason_word(there.problem.reason), "NOT_FOUND");
    options.tenant = "fabrikam";
    world_call(&world, &options, &there);
    options.mailbox = "nobody@fabrikam.example";
    world_call(&world, &options, &nowhere);
    assert_string_equal(there.problem.text, nowhere.problem.text);
    struct caller admin = world.admin;
    snprintf(admin.tenant, sizeof admin.tenant, "fabrikam");
    assert_status(
        deps_get(world.service, &admin, "fabrikam", WORLD_DEP, &dep, &of_other),
        HF_E_NOT_FOUND);
    assert_status(
        deps_get(world.service, &admin, "fabrikam", "no-such", &dep, &of_none),
        HF_E_NOT_FOUND);
    assert_string_equal(of_other.text, of_none.text);
}

/* N06: registering, granting and validating another tenant's token and keys. */
static void another_tenants_token_and_keys_look_missing(void **state)
{
    struct caller admin = world.admin;
    struct customer_key_register register_key = {
        .tenant = "fabrikam",
        .name = "stolen",
        .token = "t1",
        .uri = "pkcs11:token=t1;id=%63%6b%31",
    };
    struct customer_key_grant grant = {
        .tenant = "fabrikam",
        .name = "ck1",
        .permissions = PERMISSION_UNWRAP,
    };
    struct customer_key_validate validate = {
        .tenant = "fabrikam",
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
    };
    struct customer_key_view view;
    struct validation_report report;
    (void)state;
    world_tenant(&world, "fabrikam");
    snprintf(admin.tenant, sizeof admin.tenant, "fabrikam");
    snprintf(grant.identity, sizeof grant.identity, "spiffe://eve/eve");
    assert_status(customer_keys_register(world.service, &admin, &register_key,
                                         &view, &world.problem),
                  HF_E_NOT_FOUND);
    assert_status(customer_keys_grant(world.service, &admin, &grant, &view,
                                      &world.problem),
                  HF_E_NOT_FOUND);
    assert_status(customer_keys_validate(world.service, &admin, &validate,
                                         &report, &world.problem),
                  HF_E_NOT_FOUND);
}

/* A token belongs to one tenant, whatever its custodian signs. */
static void a_token_is_enrolled_once(void **state)
{
    struct token_enroll request = {.tenant = "fabrikam", .name = "t1"};
    struct token_view view;
    const uint8_t garbage[] = "holdfast-enrolment-v1\n";
    (void)state;
    world_tenant(&world, "fabrikam");
    request.statement = BYTES_OF(garbage);
    request.signature = BYTES_OF(garbage);
    assert_status(tokens_enroll(world.service, &world.operator_, &request,
                                &view, &world.problem),
                  HF_E_INVALID);
    assert_string_equal(world.problem.field, "signature");
}

/* N07 at the data plane is in main_job_test.c; here what a cancelled call does:
 * nothing. */
static void a_cancelled_call_has_no_effect(void **state)
{
    struct outcome out;
    struct mailbox_view view;
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_GENERATE_KEY,
        .mailbox = OTHER_MAILBOX,
        .cancelled = true,
    };
    (void)state;
    world_call(&world, &options, &out);
    assert_string_equal(reason_word(out.problem.reason), "CANCELLED");
    assert_false(out.has_key);
    assert_ok(mailboxes_get(world.service, &world.admin, WORLD_TENANT,
                            OTHER_MAILBOX, &view, &world.problem));
    assert_int_equal(view.state, MAILBOX_KEYLESS);
}

/* The same request id again gives the same key; other content is refused;
 * without one a second GenerateKey is refused. */
static void a_repeat_does_nothing_twice(void **state)
{
    struct outcome first;
    struct outcome again;
    struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_GENERATE_KEY,
        .mailbox = OTHER_MAILBOX,
        .request_id = "00000000-0000-4000-8000-000000000002",
    };
    (void)state;
    world_call(&world, &options, &first);
    assert_ok(first.status);
    world_call(&world, &options, &again);
    assert_ok(again.status);
    assert_memory_equal(first.key, again.key, HF_KEY_BYTES);
    assert_memory_equal(first.envelope, again.envelope, ENVELOPE_KEY_BYTES);
    options.mailbox = WORLD_MAILBOX;
    world_call(&world, &options, &again);
    assert_string_equal(reason_word(again.problem.reason), "REQUEST_ID_REUSED");
    options.mailbox = OTHER_MAILBOX;
    options.request_id = NULL;
    world_call(&world, &options, &again);
    assert_string_equal(reason_word(again.problem.reason),
                        "ALREADY_REGISTERED");
}

/* refused, not downgraded. */
static void system_needs_the_role(void **state)
{
    struct outcome out;
    (void)state;
    world_unwrap(&world, &world.workload, INITIATOR_SYSTEM, &out);
    assert_string_equal(reason_word(out.problem.reason), "SYSTEM_NOT_ALLOWED");
    assert_false(out.has_key);
}

/* Making sure that a key is missing may cost every lease of a module: neither
 * registering nor validating asks for that. */
static void nobody_has_a_missing_key_confirmed(void **state)
{
    struct customer_key_view view;
    struct validation_report report;
    struct customer_key_register request = {
        .tenant = WORLD_TENANT,
        .name = "ghost",
        .uri = "pkcs11:id=%99",
    };
    struct customer_key_validate validate = {
        .tenant = WORLD_TENANT,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN
    };
    (void)state;
    memcpy(request.token, world.configured[0].name,
           strlen(world.configured[0].name));
    memcpy(validate.identity, world.workload.identity,
           sizeof validate.identity);
    for (int i = 0; i < 3; i++) {
        assert_true(customer_keys_register(world.service, &world.admin,
                                           &request, &view,
                                           &world.problem) != HF_OK);
        assert_string_equal(reason_word(world.problem.reason), "NOT_FOUND");
    }
    assert_ok(token_fake_delete_key(world.customer_fake[0],
                                    (const uint8_t *)"ck1", 3));
    assert_ok(customer_keys_validate(world.service, &world.admin, &validate,
                                     &report, &world.problem));
    assert_false(report.passed);
    assert_int_equal(token_fake_confirmed(world.customer_fake[0]), 0);
}

int main(void)
{
#define HOSTILE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        HOSTILE(of_one_mailbox_for_another),
        HOSTILE(of_one_workload_for_another),
        HOSTILE(suite_1_opens_for_ever),
        HOSTILE(a_stored_key_of_suite_1_lives_on),
        HOSTILE(every_single_bit),
        HOSTILE(every_length),
        HOSTILE(spliced),
        HOSTILE(another_dep_in_the_head),
        HOSTILE(another_tenants_things_look_missing),
        HOSTILE(another_tenants_token_and_keys_look_missing),
        HOSTILE(a_token_is_enrolled_once),
        HOSTILE(a_cancelled_call_has_no_effect),
        HOSTILE(a_repeat_does_nothing_twice),
        HOSTILE(system_needs_the_role),
        HOSTILE(nobody_has_a_missing_key_confirmed),
    };
    return cmocka_run_group_tests_name("service_hostile", tests, NULL, NULL);
}
