/* The fake token's own promises; that it behaves like a real one is the
 * business of the contract suite. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret.h"

#include "hsm/token/token.h"

#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_ID "root"
#define AK_ID   "ak"
#define MAC_ID  "mac"
#define EC_ID   "sign"
#define WAIT_MS 5000

struct fixture {
    struct token token;
    struct token_fake *fake;
};

static void key_named(struct token_key *key, enum token_key_type type,
                      const char *id)
{
    *key = (struct token_key){.type = type, .id_len = strlen(id)};
    memcpy(key->id, id, key->id_len);
}

static enum hf_status generate(const struct token *token,
                               enum token_purpose purpose, const char *id,
                               struct token_key_report *report)
{
    struct token_request request = {.op = TOKEN_OP_GENERATE};
    struct token_generate *generate = &request.u.generate;
    generate->purpose = purpose;
    generate->bits = purpose == TOKEN_FOR_CUSTOMER_KEY_TOKEN ||
                             purpose == TOKEN_FOR_CUSTOMER_KEY_MEMORY
                         ? 2048
                         : 0;
    generate->id_len = strlen(id);
    memcpy(generate->id, id, generate->id_len);
    memcpy(generate->label, "label", sizeof "label");
    generate->report = report;
    return token_call(token, &request);
}

static int open_with(void **state, bool inline_answers)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct token_fake_settings settings = {.inline_answers =
                                                     inline_answers};
    assert_non_null(fixture);
    assert_ok(secret_heap_start(1 << 18));
    assert_ok(token_fake_new(&settings, &fixture->token, &fixture->fake));
    *state = fixture;
    return 0;
}

static int open_threads(void **state)
{
    return open_with(state, false);
}

static int open_inline(void **state)
{
    return open_with(state, true);
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    token_close(&fixture->token);
    free(fixture);
    return 0;
}

/* A DEP key born here, under the AK and under a customer key. */
static void mint(const struct token *token, const struct token_key_report *root,
                 struct token_mint *mint)
{
    static const char text[] = "commitment";
    *mint = (struct token_mint){.copy_count = 2,
                                .check_aad = bytes_of_text("aad"),
                                .check_text = bytes_of_text(text)};
    mint->copies[0].suite = TOKEN_SUITE_AES_KWP;
    key_named(&mint->copies[0].key, TOKEN_KEY_AES, AK_ID);
    mint->copies[1].suite = TOKEN_SUITE_OAEP_SHA1;
    mint->copies[1].spki = (struct bytes){root->spki, root->spki_len};
    struct token_request request = {.op = TOKEN_OP_MINT, .u.mint = mint};
    assert_ok(token_call(token, &request));
}

static enum hf_status open_check(const struct token *token,
                                 struct token_object object,
                                 const struct token_mint *mint)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    struct token_request request = {.op = TOKEN_OP_OPEN};
    request.u.aead = (struct token_aead){
        .key = object,
        .aad = mint->check_aad,
        .in = {mint->check_sealed, mint->check_sealed_len},
        .out = out,
        .out_cap = sizeof out
    };
    memcpy(request.u.aead.iv, mint->check_iv, HF_GCM_IV_BYTES);
    enum hf_status status = token_call(token, &request);
    if (status == HF_OK) {
        assert_true(bytes_equal((struct bytes){out, request.u.aead.out_len},
                                mint->check_text));
    }
    return status;
}

static enum hf_status unwrap(const struct token *token, enum token_op op,
                             const struct token_key *key,
                             const struct token_mint_copy *copy,
                             struct token_request *request)
{
    *request = (struct token_request){.op = op};
    request->u.unwrap = (struct token_unwrap){
        .key = *key,
        .suite = copy->suite,
        .wrapped = {copy->wrapped, copy->wrapped_len}
    };
    return token_call(token, request);
}

static void both_roots_open_the_same_key(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_key_report root;
    struct token_key_report ak;
    struct token_mint minted;
    struct token_request request;
    assert_ok(generate(token, TOKEN_FOR_CUSTOMER_KEY_TOKEN, ROOT_ID, &root));
    assert_ok(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &ak));
    assert_status(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &ak),
                  HF_E_EXISTS);
    mint(token, &root, &minted);

    assert_ok(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request));
    struct token_object object = request.u.unwrap.object;
    assert_ok(open_check(token, object, &minted));
    assert_ok(
        unwrap(token, TOKEN_OP_UNWRAP, &ak.key, &minted.copies[0], &request));
    assert_ok(open_check(token, request.u.unwrap.object, &minted));

    minted.copies[0].wrapped[7] ^= 1;
    minted.copies[1].wrapped[7] ^= 1;
    assert_status(
        unwrap(token, TOKEN_OP_UNWRAP, &ak.key, &minted.copies[0], &request),
        HF_E_BAD_BLOB);
    assert_status(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request),
        HF_E_BAD_BLOB);
    minted.check_sealed[0] ^= 1;
    assert_status(open_check(token, object, &minted), HF_E_BAD_BLOB);
}

/* */
static void purposes_are_kept_apart(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_key_report root;
    struct token_key_report memory;
    struct token_key_report ak;
    struct token_mint minted;
    struct token_request request;
    assert_ok(generate(token, TOKEN_FOR_CUSTOMER_KEY_TOKEN, ROOT_ID, &root));
    assert_ok(
        generate(token, TOKEN_FOR_CUSTOMER_KEY_MEMORY, "memory", &memory));
    assert_ok(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &ak));
    mint(token, &root, &minted);
    assert_status(
        unwrap(token, TOKEN_OP_DECRYPT, &root.key, &minted.copies[1], &request),
        HF_E_DENIED);
    assert_status(
        unwrap(token, TOKEN_OP_DECRYPT, &ak.key, &minted.copies[0], &request),
        HF_E_UNSUPPORTED);
    struct token_key_report flags = root;
    flags.can_unwrap = false;
    assert_ok(token_fake_edit_key(fixture->fake, root.key.id, root.key.id_len,
                                  &flags));
    assert_status(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request),
        HF_E_DENIED);
    flags.can_unwrap = true;
    assert_ok(token_fake_edit_key(fixture->fake, root.key.id, root.key.id_len,
                                  &flags));
    mint(token, &memory, &minted);
    assert_ok(unwrap(token, TOKEN_OP_DECRYPT, &memory.key, &minted.copies[1],
                     &request));
    assert_int_equal(secret_len(request.u.unwrap.secret), HF_KEY_BYTES);
    secret_free(request.u.unwrap.secret);
    /* another key's blob of the right length */
    assert_status(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request),
        HF_E_BAD_BLOB);
}

static void destroyed_and_replaced_keys_are_not_found(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_key_report ak;
    struct token_key_report ec;
    struct token_key_report other;
    assert_ok(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &ak));
    assert_ok(generate(token, TOKEN_FOR_AUDIT_SIGNING, EC_ID, &ec));
    struct token_request destroy = {.op = TOKEN_OP_DESTROY,
                                    .u.destroy.key = ak.key};
    assert_ok(token_call(token, &destroy));
    assert_ok(token_call(token, &destroy));
    struct token_request find = {
        .op = TOKEN_OP_FIND, .u.find = {.key = ak.key, .report = &other}
    };
    assert_status(token_call(token, &find), HF_E_NOT_FOUND);

    /* the same id, another pair */
    assert_ok(token_fake_delete_key(fixture->fake, (const uint8_t *)EC_ID,
                                    strlen(EC_ID)));
    assert_ok(generate(token, TOKEN_FOR_AUDIT_SIGNING, EC_ID, &other));
    struct token_request sign = {.op = TOKEN_OP_SIGN, .u.sign.key = ec.key};
    assert_status(token_call(token, &sign), HF_E_NOT_FOUND);
    sign.u.sign.key = other.key;
    assert_ok(token_call(token, &sign));
}

static void dropped_objects_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_key_report root;
    struct token_key_report ak;
    struct token_mint minted;
    struct token_request request;
    assert_ok(generate(token, TOKEN_FOR_CUSTOMER_KEY_TOKEN, ROOT_ID, &root));
    assert_ok(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &ak));
    mint(token, &root, &minted);
    assert_ok(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request));
    struct token_object stale = request.u.unwrap.object;
    token_fake_drop_objects(fixture->fake);
    assert_status(open_check(token, stale, &minted), HF_E_PRECONDITION);
    assert_ok(
        unwrap(token, TOKEN_OP_UNWRAP, &root.key, &minted.copies[1], &request));
    assert_ok(open_check(token, request.u.unwrap.object, &minted));
    assert_status(open_check(token, stale, &minted), HF_E_PRECONDITION);
    /* a live handle of another generation */
    assert_status(open_check(token,
                             (struct token_object){
                                 .handle = request.u.unwrap.object.handle,
                                 .generation = stale.generation},
                             &minted),
                  HF_E_PRECONDITION);
    struct token_request forget = {.op = TOKEN_OP_FORGET,
                                   .u.forget = request.u.unwrap.object};
    assert_ok(token_call(token, &forget));
    assert_status(open_check(token, forget.u.forget, &minted),
                  HF_E_PRECONDITION);
}

static void faults_come_when_they_are_told(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_request health = {.op = TOKEN_OP_HEALTH};
    token_fake_fail_nth(fixture->fake, TOKEN_OP_HEALTH, 2, HF_E_UNREACHABLE);
    assert_ok(token_call(token, &health));
    assert_status(token_call(token, &health), HF_E_UNREACHABLE);
    assert_ok(token_call(token, &health));
    token_fake_fail_all(fixture->fake, TOKEN_OP_HEALTH, HF_E_DENIED);
    assert_status(token_call(token, &health), HF_E_DENIED);
    assert_status(token_call(token, &health), HF_E_DENIED);
    token_fake_clear(fixture->fake);
    assert_ok(token_call(token, &health));
    assert_int_equal(token_fake_calls(fixture->fake, TOKEN_OP_HEALTH), 6);

    struct token_key_report report;
    token_fake_fail_nth(fixture->fake, TOKEN_OP_GENERATE, 1, HF_E_TIMEOUT);
    assert_status(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &report),
                  HF_E_TIMEOUT);
    assert_int_equal(token_fake_keys(fixture->fake), 0);
    token_fake_lose_nth(fixture->fake, TOKEN_OP_GENERATE, 1, HF_E_TIMEOUT);
    assert_status(generate(token, TOKEN_FOR_AVAILABILITY_KEY, AK_ID, &report),
                  HF_E_TIMEOUT);
    assert_int_equal(token_fake_keys(fixture->fake), 1);

    struct token_request find = {.op = TOKEN_OP_FIND, .u.find.report = &report};
    key_named(&find.u.find.key, TOKEN_KEY_AES, AK_ID);
    token_fake_fail_key(fixture->fake, (const uint8_t *)AK_ID, strlen(AK_ID),
                        HF_E_UNCONFIRMED);
    assert_status(token_call(token, &find), HF_E_UNCONFIRMED);
    token_fake_clear(fixture->fake);
    assert_ok(token_call(token, &find));
}

static void slow_and_expired_calls_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    struct token_request health = {.op = TOKEN_OP_HEALTH, .attempt_ms = 20};
    token_fake_delay(fixture->fake, TOKEN_OP_HEALTH, 10000);
    assert_status(token_call(&fixture->token, &health), HF_E_TIMEOUT);
    token_fake_delay(fixture->fake, TOKEN_OP_HEALTH, 0);
    health.drop_dead_ms = 1;
    assert_status(token_call(&fixture->token, &health), HF_E_EXPIRED);
    assert_int_equal(token_fake_calls(fixture->fake, TOKEN_OP_HEALTH), 1);
    struct token_counters counters;
    token_counters_get(&fixture->token, &counters);
    assert_int_equal(counters.root_ops, 1);
    assert_int_equal(counters.refused, 1);
}

struct answer {
    pthread_mutex_t lock;
    int count;
};

static void count_answer(struct token_request *request)
{
    struct answer *answer = request->owner;
    pthread_mutex_lock(&answer->lock);
    answer->count += 1;
    pthread_mutex_unlock(&answer->lock);
}

static void held_calls_wait_and_do_not_stop_others(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct token_request kept = {
        .op = TOKEN_OP_HEALTH, .done = count_answer, .owner = &answer};
    struct token_request *batch[] = {&kept};
    token_fake_hold(fixture->fake, TOKEN_OP_HEALTH);
    token_submit(&fixture->token, batch, 1);
    assert_true(
        token_fake_wait_held(fixture->fake, TOKEN_OP_HEALTH, 1, WAIT_MS));
    struct token_key_report reports[2];
    struct token_request list = {
        .op = TOKEN_OP_LIST, .u.list = {.reports = reports, .cap = 2}
    };
    assert_ok(token_call(&fixture->token, &list));
    assert_int_equal(answer.count, 0);
    token_fake_release(fixture->fake, TOKEN_OP_HEALTH);
    assert_int_equal(answer.count, 1);
    assert_ok(kept.status);

    token_fake_hold(fixture->fake, TOKEN_OP_HEALTH);
    token_submit(&fixture->token, batch, 1);
    token_close(&fixture->token);
    assert_int_equal(answer.count, 2);
    assert_status(kept.status, HF_E_CANCELLED);
}

static void a_full_lane_refuses(void **state)
{
    (void)state;
    const struct token_fake_settings settings = {.queue_max = 1};
    struct token token;
    struct token_fake *fake = NULL;
    struct answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct token_request requests[4];
    struct token_request *batch[4];
    assert_ok(token_fake_new(&settings, &token, &fake));
    token_fake_delay(fake, TOKEN_OP_HEALTH, 100);
    for (size_t i = 0; i < HF_COUNT(requests); i++) {
        requests[i] = (struct token_request){
            .op = TOKEN_OP_HEALTH, .done = count_answer, .owner = &answer};
        batch[i] = &requests[i];
    }
    token_submit(&token, batch, HF_COUNT(batch));
    assert_status(requests[3].status, HF_E_OVERLOAD);
    token_close(&token);
    assert_int_equal(answer.count, HF_COUNT(batch));
}

static void mac_keys_and_data_objects(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = &fixture->token;
    struct token_key_report report;
    assert_ok(generate(token, TOKEN_FOR_RECORD_MAC, MAC_ID, &report));
    struct token_request one = {.op = TOKEN_OP_MAC};
    one.u.mac =
        (struct token_mac){.key = report.key, .in = bytes_of_text("one")};
    struct token_request two = one;
    two.u.mac.in = bytes_of_text("two");
    assert_ok(token_call(token, &one));
    assert_ok(token_call(token, &two));
    assert_false(bytes_equal(BYTES_OF(one.u.mac.out), BYTES_OF(two.u.mac.out)));

    struct token_data item = {.label = "epoch", .value_len = 3};
    struct token_data found[2];
    struct token_request create = {.op = TOKEN_OP_DATA_CREATE, .u.data = &item};
    struct token_request list = {.op = TOKEN_OP_DATA_LIST};
    list.u.data_list =
        (struct token_data_list){.label = "epoch", .items = found, .cap = 2};
    for (uint8_t i = 0; i < 3; i++) {
        item.value[0] = i;
        assert_ok(token_call(token, &create));
    }
    assert_status(token_call(token, &list), HF_E_LIMIT);
    struct token_request destroy = {.op = TOKEN_OP_DATA_DESTROY,
                                    .u.data = &item};
    assert_ok(token_call(token, &destroy));
    assert_ok(token_call(token, &destroy));
    assert_ok(token_call(token, &list));
    assert_int_equal(list.u.data_list.count, 2);
}

int main(void)
{
#define WITH(test, open) cmocka_unit_test_setup_teardown(test, open, close_all)
    const struct CMUnitTest tests[] = {
        WITH(both_roots_open_the_same_key, open_threads),
        WITH(purposes_are_kept_apart, open_inline),
        WITH(destroyed_and_replaced_keys_are_not_found, open_inline),
        WITH(dropped_objects_are_refused, open_threads),
        WITH(faults_come_when_they_are_told, open_threads),
        WITH(slow_and_expired_calls_are_told_apart, open_threads),
        WITH(held_calls_wait_and_do_not_stop_others, open_threads),
        WITH(mac_keys_and_data_objects, open_threads),
        cmocka_unit_test(a_full_lane_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
