/* Is a store whose token is lost sealed anew whole, or not at all, whichever
 * call fails? */
#include "hsm/base/check.h"

#include "hsm/sys/log.h"
#include "hsm/sys/signature.h"

#include "hsm/token/names.h"

#include "server/service/checkpoints.h"
#include "server/service/core.h"
#include "server/service/reseal.h"
#include "server/service/sign.h"
#include "server/store/hash.h"

#include "tests/unit/service/mirror_world.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>

#define PEM_BYTES 512
#define LIST_MAX  4

static struct world world;
static struct bytes audit_keys;     /* none */
static struct store_memory *before; /* as the loss left it */
static struct reseal_report report;
static char pems[2][PEM_BYTES];
static uint8_t signatures[2][SIGNATURE_MAX_BYTES];
static size_t signature_lens[2];

static int start(void **state)
{
    (void)state;
    purge_world_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    reseal_report_clear(&report);
    store_memory_free(before);
    before = NULL;
    world_stop(&world);
    return 0;
}

/* --- the loss --------------------------------------------------------------
 */

static void make_key(enum token_purpose purpose, const char *name)
{
    struct token_key_report made;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = purpose,
                       .id_len = strlen(name),
                       .report = &made},
    };
    assert_ok(text_copy(request.u.generate.label,
                        sizeof request.u.generate.label, name));
    memcpy(request.u.generate.id, name, strlen(name));
    assert_ok(token_call(&world.service_token, &request));
}

static void new_token(void)
{
    const struct token_fake_settings settings = {
        .label = "service-2",
        .serial = "00000000000000a9",
        .clock = &world.clock,
    };
    token_close(&world.service_token);
    assert_ok(
        token_fake_new(&settings, &world.service_token, &world.service_fake));
    make_key(TOKEN_FOR_RECORD_MAC, TOKEN_NAME_RECORD_MAC);
    make_key(TOKEN_FOR_AUDIT_SIGNING, TOKEN_NAME_AUDIT_SIGN);
}

static void lose_token(void)
{
    service_stop(world.service);
    world.service = NULL;
    before = store_memory_save(world.memory);
    new_token();
}

static struct reseal_settings settings_of(const char *const *accepted,
                                          size_t count)
{
    struct reseal_settings settings = {
        .service = world.settings,
        .audit_keys = audit_keys,
        .accepted = accepted,
        .accepted_count = count,
    };
    settings.service.store = &world.store;
    return settings;
}

static enum hf_status inspect(const char *const *accepted, size_t count)
{
    const struct reseal_settings settings = settings_of(accepted, count);
    reseal_report_clear(&report);
    return reseal_inspect(&settings, &report, &world.problem);
}

static void put_pem(EVP_PKEY *key, char out[PEM_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    int len = BIO_read(bio, out, PEM_BYTES - 1);
    assert_true(len > 0);
    out[len] = '\0';
    BIO_free(bio);
}

static void sign_report(void)
{
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = world.approver_key[i];
        EVP_MD_CTX *digest = EVP_MD_CTX_new();
        signature_lens[i] = sizeof signatures[i];
        assert_int_equal(
            EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key), 1);
        assert_int_equal(
            EVP_DigestSign(digest, signatures[i], &signature_lens[i],
                           (const uint8_t *)report.json, strlen(report.json)),
            1);
        EVP_MD_CTX_free(digest);
        put_pem(key, pems[i]);
    }
}

static enum hf_status seal(struct reseal_outcome *out)
{
    const struct reseal_settings settings = settings_of(NULL, 0);
    const struct reseal_signature by[2] = {
        {"headquarters", pems[0], {signatures[0], signature_lens[0]}},
        {"escrow",       pems[1], {signatures[1], signature_lens[1]}},
    };
    return reseal_seal(&settings, bytes_of_text(report.json), by, 2, out,
                       &world.problem);
}

static void opens(void)
{
    struct outcome outcome;
    assert_ok(world_restart(&world));
    world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
    assert_ok(outcome.status);
}

/* --- the whole way ---------------------------------------------------------
 */

static void everything_is_verified_and_sealed(void **state)
{
    struct reseal_outcome outcome;
    (void)state;
    lose_token();
    assert_status(world_restart(&world), HF_E_CORRUPT);
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.not_verified, 0);
    assert_true(report.verified > 0 && report.declared > 0);
    sign_report();
    assert_ok(seal(&outcome));
    assert_false(outcome.repeated);
    assert_true(outcome.records > 0);
    assert_ok(seal(&outcome)); /* once more changes nothing */
    assert_true(outcome.repeated);
    opens();
    world_revoke(&world, "ck1", &world.workload); /* changes go on */
    assert_ok(world_restart(&world));
    /* and the token is in use from now on */
    service_stop(world.service);
    world.service = NULL;
    assert_int_not_equal(seal(&outcome), HF_OK);
    assert_ok(world_restart(&world));
}

static void a_purge_still_vouches_for_its_tombstones(void **state)
{
    struct purge_view purge;
    struct reseal_outcome outcome;
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, true, &purge);
    lose_token();
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 0);
    sign_report();
    assert_ok(seal(&outcome));
    assert_ok(world_restart(&world)); /* it holds them against the new set */
}

struct first {
    struct record record;
    bool there;
};

struct images {
    struct record records[8];
    size_t count;
};

static enum hf_status keep_first(void *context, const struct record *record)
{
    struct first *first = context;
    if (!first->there) {
        first->record = *record;
        first->there = true;
    }
    return HF_OK;
}

static void a_tombstone_that_is_gone_is_named(void **state)
{
    static struct first first;
    struct purge_view purge;
    struct store_txn *txn = NULL;
    const struct store_page all = {.max = SIZE_MAX};
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, true, &purge);
    lose_token();
    first.there = false;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_list(txn, RECORD_TOMBSTONE, &all, keep_first, &first));
    store_rollbackp(&txn);
    assert_true(first.there);
    assert_true(store_memory_erase(
        world.memory, RECORD_TOMBSTONE,
        (struct bytes){first.record.key, first.record.key_len}));
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 1);
    assert_non_null(strstr(report.json, "not every resource"));
}

static void erase_all(enum record_kind kind)
{
    static struct first first;
    const struct store_page all = {.max = SIZE_MAX};
    do {
        struct store_txn *txn = NULL;
        first.there = false;
        assert_ok(store_begin(&world.store, STORE_READ, &txn));
        assert_ok(store_list(txn, kind, &all, keep_first, &first));
        store_rollbackp(&txn);
    } while (first.there &&
             store_memory_erase(
                 world.memory, kind,
                 (struct bytes){first.record.key, first.record.key_len}));
}

/* What it purged would serve again. */
static void a_purge_that_is_gone_is_missed(void **state)
{
    struct purge_view purge;
    (void)state;
    purge_world_revoke(&world);
    purge_all(&world, WORLD_DEP, true, &purge);
    lose_token();
    erase_all(RECORD_TOMBSTONE);
    erase_all(RECORD_APPROVAL);
    erase_all(RECORD_CERTIFICATE);
    erase_all(RECORD_PURGE);
    assert_ok(inspect(NULL, 0));
    assert_true(report.left > 0);
    assert_non_null(strstr(report.json, "tells of this purge; the store does"));
}

static enum hf_status keep_image(void *context, const struct record *record)
{
    struct images *images = context;
    assert_true(images->count < HF_COUNT(images->records));
    images->records[images->count++] = *record;
    return HF_OK;
}

static void keep_images(enum record_kind kind, struct images *out)
{
    const struct store_page all = {.max = SIZE_MAX};
    struct store_txn *txn = NULL;
    out->count = 0;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_list(txn, kind, &all, keep_image, out));
    store_rollbackp(&txn);
}

static void put_back(const struct images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        store_memory_overwrite(world.memory, &images->records[i]);
    }
}

static void disable_and_delete(const char *name)
{
    struct customer_key_view view;
    struct customer_key_update update = {
        .tenant = WORLD_TENANT, .set_enabled = true, .enabled = false};
    struct customer_key_delete request = {.tenant = WORLD_TENANT,
                                          .confirm = true};
    assert_ok(text_copy(update.name, sizeof update.name, name));
    assert_ok(text_copy(request.name, sizeof request.name, name));
    assert_ok(customer_keys_update(world.service, &world.admin, &update, &view,
                                   &world.problem));
    assert_ok(customer_keys_soft_delete(world.service, &world.admin, &request,
                                        &view, &world.problem));
}

/* A customer withdrew a key; whoever writes to the store gives it back. */
static void a_withdrawal_that_is_undone_is_named(void **state)
{
    static struct images keys;
    static struct images versions;
    (void)state;
    world_key(&world, WORLD_TENANT, 0, "ck9", TOKEN_FOR_CUSTOMER_KEY_TOKEN);
    keep_images(RECORD_CUSTOMER_KEY, &keys);
    keep_images(RECORD_KEY_VERSION, &versions);
    disable_and_delete("ck9");
    lose_token();
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 0);
    assert_non_null(strstr(report.json, "\"what\": \"customer key version\""));
    put_back(&versions);
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 1);
    assert_non_null(strstr(report.json, "whether it is enabled"));
    put_back(&keys);
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 2);
    assert_non_null(strstr(report.json, "tells of another state"));
}

/* What was signed is not among what people have to believe. */
static void what_was_signed_is_told_from_what_is_not(void **state)
{
    static struct checkpoint_view views[LIST_MAX];
    static char pem[PEM_BYTES];
    uint8_t digest[HF_SHA256_BYTES];
    char key_text[2 * HF_SHA256_BYTES + 1];
    struct checkpoint_list list = {.views = views, .cap = LIST_MAX};
    const struct page_request page = {.size = LIST_MAX};
    (void)state;
    assert_ok(checkpoints_make(world.service));
    assert_ok(checkpoints_list(world.service, &world.auditor, WORLD_TENANT,
                               &page, &list, &world.problem));
    const uint8_t *der = list.keys[0].public_key;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)list.keys[0].public_key_len);
    put_pem(key, pem);
    EVP_PKEY_free(key);
    lose_token();
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 0);
    assert_non_null(strstr(report.json, "\"what\": \"grant\""));
    assert_non_null(strstr(report.json, "\"audit\": \"unsigned\""));
    assert_null(strstr(report.json, "\"audit\": \"signed\""));
    audit_keys = bytes_of_text(pem);
    assert_ok(sha256(audit_keys, digest));
    hex_encode(digest, sizeof digest, key_text, sizeof key_text);
    assert_null(strstr(report.json, key_text));
    assert_ok(inspect(NULL, 0));
    assert_non_null(strstr(report.json, key_text));
    assert_non_null(strstr(report.summary, key_text));
    audit_keys = (struct bytes){.len = 0};
    assert_int_equal(report.left, 0);
    assert_null(strstr(report.json, "\"what\": \"grant\""));
    assert_non_null(strstr(report.json, "\"audit\": \"signed\""));
}

static int start_mirrored(void **state)
{
    (void)state;
    mirror_world_start(&world);
    mirror_enroll(&world, "m1");
    world_ready(&world, 0, RESIDENCY_TOKEN);
    return 0;
}

static void tokens_of_availability_keys_are_looked_at(void **state)
{
    (void)state;
    lose_token();
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 0);
    assert_non_null(strstr(report.json, "with their transport pair\": 2"));
    /* another token under the name, and one that nobody configured */
    world.mirrors[M1].token = &world.mirror[M2];
    assert_ok(inspect(NULL, 0));
    assert_true(report.left > 0);
    assert_non_null(strstr(report.json, "another than the enrolled one"));
    world.settings.ak_mirror_count = 0;
    assert_ok(inspect(NULL, 0));
    assert_non_null(strstr(report.json, "names no such token"));
}

static void a_token_of_availability_keys_that_is_gone_is_missed(void **state)
{
    (void)state;
    lose_token();
    erase_all(RECORD_AK_TOKEN);
    assert_ok(inspect(NULL, 0));
    assert_non_null(strstr(report.json, "tells of this token; the store does"));
}

/* Who can write to the store could have made this up: it is for people. */
static void a_retirement_is_declared(void **state)
{
    (void)state;
    for (unsigned who = 1; who <= 3; who++) {
        assert_ok(mirror_try_retire(&world, "m1", who, "shredded, 4711"));
    }
    lose_token();
    assert_ok(inspect(NULL, 0));
    assert_int_equal(report.left, 0);
    assert_non_null(strstr(report.json, "retired availability token"));
    assert_non_null(strstr(report.json, "shredded, 4711"));
}

static void what_was_not_signed_is_not_sealed(void **state)
{
    struct reseal_outcome outcome;
    (void)state;
    lose_token();
    assert_ok(inspect(NULL, 0));
    sign_report();
    signatures[1][signature_lens[1] - 1] ^= 1;
    assert_int_not_equal(seal(&outcome), HF_OK);
    sign_report();
    report.json[strlen(report.json) - 2] = ' ';
    assert_int_not_equal(seal(&outcome), HF_OK);
    assert_ok(inspect(NULL, 0));
    sign_report();
    memcpy(pems[1], pems[0], sizeof pems[1]); /* one person twice */
    memcpy(signatures[1], signatures[0], sizeof signatures[1]);
    signature_lens[1] = signature_lens[0];
    assert_int_not_equal(seal(&outcome), HF_OK);
    /* a store that is not the one that was looked at */
    sign_report();
    struct store_txn *txn = NULL;
    struct audit_link link = {.body_len = 2, .body = "{}"};
    assert_ok(store_begin(&world.store, STORE_WRITE, &txn));
    assert_ok(store_audit_append(txn, &link));
    assert_ok(store_commit(&txn));
    assert_int_not_equal(seal(&outcome), HF_OK);
    store_memory_restore(world.memory, before);
    /* another token than the report is about */
    new_token();
    assert_int_not_equal(seal(&outcome), HF_OK);
    assert_status(world_restart(&world), HF_E_CORRUPT);
}

/* N21: nor does the ceremony bring the store of before the ceremony back. */
static void a_token_in_use_takes_no_other_store(void **state)
{
    struct reseal_outcome outcome;
    (void)state;
    lose_token();
    assert_ok(inspect(NULL, 0));
    sign_report();
    assert_ok(seal(&outcome));
    store_memory_restore(world.memory, before);
    assert_ok(inspect(NULL, 0));
    sign_report();
    assert_status(seal(&outcome), HF_E_PRECONDITION);
    assert_status(world_restart(&world), HF_E_CORRUPT);
}

/* --- call n fails ----------------------------------------------------------
 */

static void begin_again(void)
{
    store_memory_restore(world.memory, before);
    new_token();
    assert_ok(inspect(NULL, 0));
    sign_report();
}

/* It says that nothing happened, or that it is to be repeated; and repeated it
 * is whole. */
static void then_it_is_repeated(enum hf_status first)
{
    struct reseal_outcome outcome;
    if (first != HF_OK) {
        assert_ok(seal(&outcome));
    }
    opens();
    service_stop(world.service);
    world.service = NULL;
}

static void whichever_call_of_the_store_fails(void **state)
{
    struct reseal_outcome outcome;
    bool failed = true;
    (void)state;
    lose_token();
    for (uint64_t n = 1; failed; n++) {
        begin_again();
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, n, HF_E_OVERLOAD);
        enum hf_status status = seal(&outcome);
        failed = store_memory_failed(world.memory);
        store_memory_fail_at(world.memory, STORE_MEMORY_ANY, 0, HF_OK);
        assert_true(failed == (status != HF_OK));
        then_it_is_repeated(status);
    }
}

static void whichever_call_of_the_token_fails(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_DATA_LIST,
                                        TOKEN_OP_DATA_CREATE, TOKEN_OP_MAC};
    struct reseal_outcome outcome;
    (void)state;
    lose_token();
    for (size_t i = 0; i < 2 * HF_COUNT(ops); i++) {
        enum token_op op = ops[i / 2];
        enum hf_status status = HF_E_UNREACHABLE;
        for (size_t n = 1; status != HF_OK; n += op == TOKEN_OP_MAC ? 7 : 1) {
            begin_again();
            uint64_t calls = token_fake_calls(world.service_fake, op);
            if (i % 2 == 0) {
                token_fake_fail_nth(world.service_fake, op, n,
                                    HF_E_UNREACHABLE);
            } else {
                token_fake_lose_nth(world.service_fake, op, n, HF_E_TIMEOUT);
            }
            status = seal(&outcome);
            bool met = token_fake_calls(world.service_fake, op) - calls >= n;
            assert_true(met == (status != HF_OK));
            token_fake_clear(world.service_fake);
            then_it_is_repeated(status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
        TEST(everything_is_verified_and_sealed),
        TEST(a_purge_still_vouches_for_its_tombstones),
        TEST(a_tombstone_that_is_gone_is_named),
        TEST(a_purge_that_is_gone_is_missed),
        TEST(a_withdrawal_that_is_undone_is_named),
        TEST(what_was_signed_is_told_from_what_is_not),
        TEST(what_was_not_signed_is_not_sealed),
        TEST(a_token_in_use_takes_no_other_store),
        TEST(whichever_call_of_the_store_fails),
        TEST(whichever_call_of_the_token_fails),
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_mirrored, stop)
        TEST(tokens_of_availability_keys_are_looked_at),
        TEST(a_token_of_availability_keys_that_is_gone_is_missed),
        TEST(a_retirement_is_declared),
#undef TEST
    };
    log_level_set(LOG_ERROR);
    if (secret_heap_start(1 << 20) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("service_reseal", tests, NULL, NULL);
}
