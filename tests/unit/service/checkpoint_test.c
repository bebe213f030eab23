/* Are the heads of the audit chain signed in time, so that anybody finds out
 * what was done to it, and is nothing lost while they cannot be (R-15.24,
 * N40)? */
#include "hsm/base/check.h"

#include "hsm/sys/signature.h"

#include "server/domain/checkpoint.h"

#include "server/service/audit.h"
#include "server/service/checkpoints.h"
#include "server/service/core.h"
#include "server/store/hash.h"

#include "tests/unit/service/world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 2000
#define TRIES    5000

static struct world world;

static int start(void **state)
{
    (void)state;
    world_start(&world);
    world.settings.checkpoints = true;
    assert_ok(world_restart(&world));
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    return 0;
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

#define LIST_MAX 50
static struct checkpoint_view views[LIST_MAX];

static struct checkpoint_list list_all(void)
{
    const struct page_request page = {.size = LIST_MAX};
    struct checkpoint_list list = {.views = views, .cap = LIST_MAX};
    assert_ok(checkpoints_list(world.service, &world.auditor, WORLD_TENANT,
                               &page, &list, &world.problem));
    return list;
}

static uint64_t signed_index(void)
{
    struct checkpoint_list list = list_all();
    return list.count == 0 ? 0 : views[0].record.audit_index;
}

/* Time goes on until the newest checkpoint covers all that is chained now; the
 * service may chain more by itself. */
static void wait_until_covered(void)
{
    uint64_t end = ledger_last_index(world.service->ledger);
    for (int i = 0; i < TRIES && signed_index() < end; i++) {
        pass(1000);
        usleep(PAUSE_US);
    }
    assert_true(signed_index() >= end);
}

static void one_more_record(void)
{
    world_grant(&world, "ck1", &world.stranger, PERMISSION_GET);
    world_revoke(&world, "ck1", &world.stranger);
}

static void assert_good(const struct checkpoint_list *list,
                        const struct checkpoint_view *view)
{
    assert_ok(signature_verify(
        (struct bytes){list->keys[0].public_key, list->keys[0].public_key_len},
        (struct bytes){view->text, view->text_len},
        (struct bytes){view->record.signature, view->record.signature_len}));
}

static enum hf_status keep(void *context, const struct audit_link *link)
{
    *(struct audit_link *)context = *link;
    return HF_OK;
}

static void link_at(uint64_t index, struct audit_link *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    assert_ok(store_begin(&world.store, STORE_READ, &txn));
    assert_ok(store_audit_list(txn, NULL, index, 1, keep, out));
    assert_int_equal(out->index, index);
}

static void it_says_what_was_chained_and_its_signature_is_good(void **state)
{
    char expected[CHECKPOINT_TEXT_BYTES + 1];
    char hash[2 * HF_SHA256_BYTES + 1];
    char zero[2 * HF_SHA256_BYTES + 1];
    char key[2 * HF_SHA256_BYTES + 1];
    uint8_t fingerprint[HF_SHA256_BYTES];
    struct audit_link last;
    (void)state;
    wait_until_covered();
    struct checkpoint_list list = list_all();
    const struct checkpoint_view *newest = &views[0];
    link_at(newest->record.audit_index, &last);
    assert_ok(sha256(
        (struct bytes){list.keys[0].public_key, list.keys[0].public_key_len},
        fingerprint));
    hex_encode(last.hash, sizeof last.hash, hash, sizeof hash);
    hex_encode(fingerprint, sizeof fingerprint, key, sizeof key);
    memset(zero, '0', sizeof zero - 1);
    zero[sizeof zero - 1] = '\0';
    int len = snprintf(expected, sizeof expected,
                       "holdfast-checkpoint-v1\naudit_index=%llu\n"
                       "audit_hash=%s\nspool=none\nspool_records=0\n"
                       "spool_hash=%s\nkey=%s\nsigned_at=",
                       (unsigned long long)last.index, hash, zero, key);
    assert_true((size_t)len < newest->text_len);
    assert_memory_equal(newest->text, expected, (size_t)len);
    assert_good(&list, newest);
    views[0].text[60] ^= 1;
    assert_status(
        signature_verify((struct bytes){list.keys[0].public_key,
                                        list.keys[0].public_key_len},
                         (struct bytes){newest->text, newest->text_len},
                         (struct bytes){newest->record.signature,
                                        newest->record.signature_len}),
        HF_E_DENIED);
}

/* Nothing is signed again while nothing happens. */
static void what_is_covered_is_not_signed_again(void **state)
{
    struct service_counters before;
    struct service_counters after;
    uint64_t end = 0;
    (void)state;
    do { /* until nothing was chained by itself meanwhile */
        wait_until_covered();
        end = signed_index();
        service_counters_get(world.service, &before);
        for (int i = 0; i < 4; i++) {
            pass(CHECKPOINT_MS);
            usleep(250000); /* longer than a tick of the scheduler */
        }
        service_counters_get(world.service, &after);
    } while (ledger_last_index(world.service->ledger) != end);
    assert_int_equal(after.checkpoints, before.checkpoints);
    one_more_record();
    wait_until_covered();
    service_counters_get(world.service, &after);
    assert_true(after.checkpoints > before.checkpoints);
}

/* While the token does not sign: everything else goes on, and it is tried until
 * it does. */
static void a_token_that_does_not_sign_delays_it_and_nothing_else(void **state)
{
    struct outcome outcome;
    (void)state;
    world_generate(&world, WORLD_MAILBOX, &outcome);
    assert_ok(outcome.status);
    wait_until_covered();
    token_fake_fail_all(world.service_fake, TOKEN_OP_SIGN, HF_E_UNREACHABLE);
    uint64_t covered = signed_index();
    one_more_record();
    for (int i = 0; i < 4; i++) {
        pass(CHECKPOINT_MS);
        usleep(250000);
        world_unwrap(&world, &world.workload, INITIATOR_USER, &outcome);
        assert_ok(outcome.status);
    }
    assert_int_equal(signed_index(), covered);
    token_fake_fail_all(world.service_fake, TOKEN_OP_SIGN, HF_OK);
    wait_until_covered();
    assert_true(signed_index() > covered);
}

/* A stop leaves nothing uncovered, and the next start goes on behind it. */
static void a_stop_signs_the_last_and_a_start_goes_on(void **state)
{
    (void)state;
    one_more_record();
    uint64_t end = ledger_last_index(world.service->ledger);
    assert_ok(world_restart(&world));
    assert_int_equal(ledger_last_index(world.service->ledger), end);
    assert_int_equal(signed_index(), end);
    one_more_record();
    wait_until_covered();
    struct checkpoint_list list = list_all();
    assert_true(list.count >= 2);
    for (size_t i = 0; i < list.count; i++) {
        assert_good(&list, &views[i]);
        assert_true(i == 0 || views[i].record.audit_index <
                                  views[i - 1].record.audit_index);
    }
}

static void pages(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        one_more_record();
        wait_until_covered();
    }
    struct checkpoint_list whole = list_all();
    uint64_t wanted[LIST_MAX];
    for (size_t i = 0; i < whole.count; i++) {
        wanted[i] = views[i].record.audit_index;
    }
    struct page_request page = {.size = 1};
    for (size_t i = 0; i < whole.count; i++) {
        struct checkpoint_list one = {.views = views, .cap = 1};
        assert_ok(checkpoints_list(world.service, &world.operator_, "", &page,
                                   &one, &world.problem));
        assert_int_equal(one.count, 1);
        assert_int_equal(views[0].record.audit_index, wanted[i]);
        assert_int_equal(one.next[0] == '\0', i + 1 == whole.count);
        memcpy(page.token, one.next, sizeof page.token);
    }
    memcpy(page.token, "zz", 3);
    struct checkpoint_list none = {.views = views, .cap = 1};
    assert_status(checkpoints_list(world.service, &world.auditor, WORLD_TENANT,
                                   &page, &none, &world.problem),
                  HF_E_INVALID);
    assert_string_equal(world.problem.field, "page_token");
    assert_status(checkpoints_list(world.service, &world.workload, WORLD_TENANT,
                                   &page, &none, &world.problem),
                  HF_E_DENIED);
}

/* N40, on the service's own side: it does not start on a chain that is not the
 * one it signed. */
static void a_chain_that_is_not_the_signed_one_stops_the_start(void **state)
{
    (void)state;
    struct audit_link last;
    one_more_record();
    assert_ok(world_restart(&world));
    link_at(signed_index(), &last);
    world.settings.checkpoints = false;
    assert_ok(world_restart(&world));
    struct audit_link forged = last;
    forged.body[forged.body_len - 2] ^= 1;
    assert_ok(audit_link_hash(&forged, forged.hash));
    assert_true(store_memory_overwrite_audit(world.memory, &forged));
    assert_status(world_restart(&world), HF_E_CORRUPT);
    assert_int_equal(world.problem.reason, REASON_RECORD_INVALID);
    assert_non_null(strstr(world.problem.text, "audit chain"));
    assert_true(store_memory_overwrite_audit(world.memory, &last));
    assert_ok(world_restart(&world));
    store_memory_cut_audit(world.memory, last.index - 1);
    assert_status(world_restart(&world), HF_E_CORRUPT);
    assert_non_null(strstr(world.problem.text, "audit chain"));
}

static enum hf_status ignore(void *context, const struct audit_link *link)
{
    (void)context;
    (void)link;
    return HF_OK;
}

struct whole {
    uint64_t last;
    uint64_t digests;
    uint64_t own;
    uint8_t hash[HF_SHA256_BYTES];
};

static void follow(struct whole *whole, uint64_t index,
                   const uint8_t previous[HF_SHA256_BYTES],
                   const uint8_t hash[HF_SHA256_BYTES])
{
    assert_int_equal(index, whole->last + 1);
    assert_memory_equal(previous, whole->hash, HF_SHA256_BYTES);
    whole->last = index;
    memcpy(whole->hash, hash, HF_SHA256_BYTES);
}

static enum hf_status own(void *context, const struct audit_link *link)
{
    struct whole *whole = context;
    whole->own++;
    follow(whole, link->index, link->previous, link->hash);
    return HF_OK;
}

static enum hf_status digest(void *context, const struct audit_digest *digest)
{
    struct whole *whole = context;
    struct audit_link link;
    uint8_t content[HF_SHA256_BYTES];
    whole->digests++;
    link_at(digest->index, &link);
    assert_ok(audit_content_hash(&link, content));
    assert_memory_equal(digest->content, content, sizeof content);
    follow(whole, digest->index, digest->previous, digest->hash);
    return HF_OK;
}

/* Whoever may read one tenant's records can follow the chain through all. */
static void the_chain_has_no_gap_for_anybody(void **state)
{
    const struct caller *readers[] = {&world.auditor, &world.operator_};
    (void)state;
    world_tenant(&world, "fabrikam");
    for (size_t i = 0; i < HF_COUNT(readers); i++) {
        struct whole whole = {.last = 0};
        struct audit_reading reading = {
            .verb = VERB_QUERY_AUDIT_RECORDS,
            .each_digest = digest,
            .max = 7,
            .more = true,
        };
        if (i == 0) {
            memcpy(reading.tenant, WORLD_TENANT, sizeof WORLD_TENANT);
        }
        while (reading.more) {
            assert_ok(audit_read(world.service, readers[i], &reading, own,
                                 &whole, &world.problem));
        }
        assert_int_equal(whole.last, ledger_last_index(world.service->ledger));
        assert_true(whole.own > 0);
        assert_true(whole.digests > 0);
    }
    /* and without asking for them nobody is told of another's */
    struct audit_reading reading = {.verb = VERB_QUERY_AUDIT_RECORDS,
                                    .max = SIZE_MAX};
    assert_ok(audit_read(world.service, &world.operator_, &reading, ignore,
                         NULL, &world.problem));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(it_says_what_was_chained_and_its_signature_is_good),
        CASE(what_is_covered_is_not_signed_again),
        CASE(a_token_that_does_not_sign_delays_it_and_nothing_else),
        CASE(a_stop_signs_the_last_and_a_start_goes_on),
        CASE(pages),
        CASE(a_chain_that_is_not_the_signed_one_stops_the_start),
        CASE(the_chain_has_no_gap_for_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
