/* Two tokens as one: does one that goes away fail no call, and can
 * one that missed a write ever pass for the newest? */
#include "hsm/base/check.h"

#include "hsm/token/mirrored.h"
#include "hsm/token/names.h"

#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPOCH    "hf-epoch"
#define ATTEMPT  200
#define PATIENCE 20000 /* ms; a machine may be busy */

/* A token that outlives the mirrored one made of it, and may be away. */
struct kept {
    struct token inner;
    struct token_fake *fake;
    atomic_bool away;
};

static struct kept kept[3];
static atomic_int told_away;

static void kept_submit(void *self, struct token_request *const *requests,
                        size_t count)
{
    struct kept *one = self;
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&one->away)) {
            requests[i]->status = HF_E_UNREACHABLE;
            requests[i]->done(requests[i]);
        } else {
            one->inner.port->submit(one->inner.self, &requests[i], 1);
        }
    }
}

static void kept_profile(void *self, struct token_profile *out)
{
    struct kept *one = self;
    token_profile_get(&one->inner, out);
}

static void kept_counters(void *self, struct token_counters *out)
{
    struct kept *one = self;
    token_counters_get(&one->inner, out);
}

static void kept_close(void *self)
{
    (void)self;
}

static const struct token_port kept_port = {
    .submit = kept_submit,
    .profile = kept_profile,
    .counters = kept_counters,
    .close = kept_close,
};

static void make_key(struct kept *in, enum token_purpose purpose,
                     const char *name)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = purpose,
                       .id_len = strlen(name),
                       .report = &report},
    };
    assert_ok(text_copy(request.u.generate.label,
                        sizeof request.u.generate.label, name));
    memcpy(request.u.generate.id, name, strlen(name));
    assert_ok(token_call(&in->inner, &request));
}

static void view_of_all(size_t count)
{
    struct mirror_view view = {.number = 1, .count = count};
    for (size_t i = 0; i < count; i++) {
        struct token_profile profile;
        token_profile_get(&kept[i].inner, &profile);
        assert_ok(text_copy(view.members[i].label, sizeof view.members[i].label,
                            profile.label));
        assert_ok(text_copy(view.members[i].serial,
                            sizeof view.members[i].serial, profile.serial));
    }
    for (size_t i = 0; i < count; i++) {
        assert_ok(mirror_view_write(&kept[i].inner, 0, &view));
    }
}

/* What the ceremony leaves: one MAC key, a signing key each, a view of all. */
static void make_kept(size_t count)
{
    static const char *const serials[] = {"aaaa", "bbbb", "cccc"};
    for (size_t i = 0; i < count; i++) {
        const struct token_fake_settings settings = {
            .label = "service",
            .serial = serials[i],
        };
        atomic_store(&kept[i].away, false);
        assert_ok(token_fake_new(&settings, &kept[i].inner, &kept[i].fake));
        make_key(&kept[i], TOKEN_FOR_AUDIT_SIGNING, TOKEN_NAME_AUDIT_SIGN);
        if (i == 0) {
            make_key(&kept[i], TOKEN_FOR_RECORD_MAC, TOKEN_NAME_RECORD_MAC);
        } else {
            assert_ok(
                token_fake_copy_key(kept[0].fake, kept[i].fake,
                                    (const uint8_t *)TOKEN_NAME_RECORD_MAC,
                                    sizeof TOKEN_NAME_RECORD_MAC - 1));
        }
    }
    view_of_all(count);
}

static int set_up(void **state)
{
    (void)state;
    atomic_store(&told_away, 0);
    make_kept(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(kept); i++) {
        token_close(&kept[i].inner);
    }
    return 0;
}

static void told(void *context, size_t member,
                 const struct mirror_report *report)
{
    (void)context;
    (void)member;
    atomic_fetch_add(&told_away, report->state == MIRROR_AWAY ? 1 : 0);
}

static enum hf_status open_of(size_t count, int64_t probe_ms, struct token *out)
{
    struct token members[MIRRORS_MAX];
    struct mirrored_problem problem;
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct token){&kept_port, &kept[i]};
    }
    const struct mirrored_settings settings = {
        .members = members,
        .count = count,
        .mac_key_id = TOKEN_NAME_RECORD_MAC,
        .sign_key_id = TOKEN_NAME_AUDIT_SIGN,
        .data_label = EPOCH,
        .probe_ms = probe_ms,
        .attempt_ms = ATTEMPT,
        .told = told,
    };
    return mirrored_new(&settings, out, &problem);
}

/* Nothing is looked at by itself. */
#define NEVER 3600000

static struct token open_two(void)
{
    struct token token = {0};
    assert_ok(open_of(2, NEVER, &token));
    return token;
}

/* --- calls ---------------------------------------------------------------- */

static enum hf_status mac(const struct token *token, uint8_t out[32])
{
    struct token_request request = {
        .op = TOKEN_OP_MAC,
        .attempt_ms = ATTEMPT,
        .u.mac = {.key = {.type = TOKEN_KEY_GENERIC,
                          .id = TOKEN_NAME_RECORD_MAC,
                          .id_len = sizeof TOKEN_NAME_RECORD_MAC - 1},
                  .in = bytes_of_text("a record")},
    };
    enum hf_status status = token_call(token, &request);
    memcpy(out, request.u.mac.out, 32);
    return status;
}

static enum hf_status find(const struct token *token,
                           struct token_key_report *out)
{
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = {.type = TOKEN_KEY_EC,
                           .id = TOKEN_NAME_AUDIT_SIGN,
                           .id_len = sizeof TOKEN_NAME_AUDIT_SIGN - 1},
                   .report = out},
    };
    return token_call(token, &request);
}

static enum hf_status sign(const struct token *token,
                           const struct token_key *key)
{
    struct token_request request = {.op = TOKEN_OP_SIGN, .u.sign.key = *key};
    return token_call(token, &request);
}

static enum hf_status data(const struct token *token, enum token_op op,
                           uint8_t value)
{
    struct token_data item = {.label = EPOCH, .value = {value}, .value_len = 1};
    struct token_request request = {
        .op = op, .attempt_ms = ATTEMPT, .u.data = &item};
    return token_call(token, &request);
}

/* The highest value there is; 0: none. */
static enum hf_status newest(const struct token *token, uint8_t *out)
{
    struct token_data items[64];
    struct token_request request = {
        .op = TOKEN_OP_DATA_LIST,
        .attempt_ms = ATTEMPT,
        .u.data_list = {.label = EPOCH, .items = items, .cap = 64},
    };
    enum hf_status status = token_call(token, &request);
    *out = 0;
    for (size_t i = 0; status == HF_OK && i < request.u.data_list.count; i++) {
        *out = items[i].value[0] > *out ? items[i].value[0] : *out;
    }
    return status;
}

/* As the ledger does it: the new one durable, then the one before away. */
static enum hf_status advance(const struct token *token, uint8_t to)
{
    enum hf_status status = data(token, TOKEN_OP_DATA_CREATE, to);
    if (status == HF_OK && to > 1) {
        HF_IGNORE(data(token, TOKEN_OP_DATA_DESTROY, (uint8_t)(to - 1)),
                  "the highest counts");
    }
    return status;
}

static enum mirror_state state_of(const struct token *token, size_t i)
{
    struct mirror_report reports[MIRRORS_MAX];
    assert_true(mirrored_reports(token, reports) > i);
    return reports[i].state;
}

static bool becomes(const struct token *token, size_t i,
                    enum mirror_state wanted)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int ms = 0; ms < PATIENCE && state_of(token, i) != wanted; ms++) {
        nanosleep(&pause, NULL);
    }
    return state_of(token, i) == wanted;
}

/* --- one that goes away ----------------------------------------------------
 */

static void a_token_that_goes_away_fails_no_call(void **state)
{
    static const enum hf_status failures[] = {
        HF_E_UNREACHABLE, HF_E_TIMEOUT,     HF_E_DENIED,
        HF_E_NOT_FOUND,   HF_E_UNCONFIRMED,
    };
    struct token_key_report report;
    uint8_t first[32];
    uint8_t then[32];
    (void)state;
    for (size_t i = 0; i < HF_COUNT(failures); i++) {
        struct token token = open_two();
        assert_ok(mac(&token, first));
        token_fake_fail_all(kept[0].fake, TOKEN_OP_MAC, failures[i]);
        token_fake_fail_all(kept[0].fake, TOKEN_OP_FIND, failures[i]);
        assert_ok(mac(&token, then));
        assert_memory_equal(first, then, sizeof first);
        assert_ok(find(&token, &report));
        assert_ok(sign(&token, &report.key));
        assert_int_equal(state_of(&token, 0), MIRROR_AWAY);
        token_fake_clear(kept[0].fake);
        token_close(&token);
    }
}

static void our_own_trouble_is_not_the_tokens(void **state)
{
    uint8_t out[32];
    (void)state;
    struct token token = open_two();
    token_fake_fail_nth(kept[0].fake, TOKEN_OP_MAC, 1, HF_E_RESOURCES);
    assert_status(mac(&token, out), HF_E_RESOURCES);
    assert_int_equal(state_of(&token, 0), MIRROR_IN_STEP);
    token_close(&token);
}

static void one_that_hangs_is_left_after_one_deadline(void **state)
{
    uint8_t out[32];
    (void)state;
    struct token token = open_two();
    token_fake_delay(kept[0].fake, TOKEN_OP_MAC, 10000);
    assert_ok(mac(&token, out));
    uint64_t asked = token_fake_calls(kept[0].fake, TOKEN_OP_MAC);
    for (int i = 0; i < 20; i++) {
        assert_ok(mac(&token, out));
    }
    assert_int_equal(token_fake_calls(kept[0].fake, TOKEN_OP_MAC), asked);
    token_close(&token);
}

static void all_away_is_what_a_single_one_says(void **state)
{
    uint8_t out[32];
    uint8_t value = 0;
    (void)state;
    struct token token = open_two();
    atomic_store(&kept[0].away, true);
    atomic_store(&kept[1].away, true);
    assert_status(mac(&token, out), HF_E_UNREACHABLE);
    assert_status(newest(&token, &value), HF_E_UNREACHABLE);
    assert_status(advance(&token, 1), HF_E_UNREACHABLE);
    atomic_store(&kept[1].away, false);
    assert_ok(mac(&token, out)); /* at once, before anybody looked */
    assert_ok(advance(&token, 1));
    token_close(&token);
}

static void each_signs_with_its_own_key(void **state)
{
    struct token_key_report a;
    struct token_key_report b;
    (void)state;
    struct token token = open_two();
    assert_ok(find(&token, &a));
    atomic_store(&kept[0].away, true);
    assert_ok(find(&token, &b));
    assert_memory_not_equal(a.key.fingerprint, b.key.fingerprint,
                            sizeof a.key.fingerprint);
    assert_status(sign(&token, &a.key), HF_E_UNREACHABLE);
    assert_ok(sign(&token, &b.key));
    atomic_store(&kept[0].away, false);
    assert_ok(sign(&token, &a.key));
    token_close(&token);
}

static void what_no_mirror_can_do_is_unsupported(void **state)
{
    struct token_request request = {.op = TOKEN_OP_FORGET};
    (void)state;
    struct token token = open_two();
    assert_status(token_call(&token, &request), HF_E_UNSUPPORTED);
    token_close(&token);
}

/* --- R-15.22 ----------------------------------------------------------------
 */

static void an_epoch_is_in_both_before_it_is_acknowledged(void **state)
{
    uint8_t value = 0;
    (void)state;
    struct token token = open_two();
    for (uint8_t epoch = 1; epoch <= 3; epoch++) {
        assert_ok(advance(&token, epoch));
        for (size_t i = 0; i < 2; i++) {
            assert_ok(newest(&kept[i].inner, &value));
            assert_int_equal(value, epoch);
        }
    }
    token_close(&token);
}

/* Of two in step the other one may have gone on alone. */
static void one_alone_of_two_in_step_does_not_start(void **state)
{
    (void)state;
    struct token token = open_two();
    assert_ok(advance(&token, 1));
    token_close(&token);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&kept[i].away, true);
        assert_status(open_of(2, NEVER, &token), HF_E_PRECONDITION);
        atomic_store(&kept[i].away, false);
    }
    assert_ok(open_of(2, NEVER, &token));
    token_close(&token);
}

static void one_that_missed_a_write_never_passes_for_the_newest(void **state)
{
    uint8_t value = 0;
    (void)state;
    struct token token = open_two();
    assert_ok(advance(&token, 1));
    atomic_store(&kept[0].away, true);
    assert_ok(advance(&token, 2)); /* a service goes on with one */
    token_close(&token);
    assert_ok(open_of(2, NEVER, &token)); /* and starts with it */
    assert_ok(newest(&token, &value));
    assert_int_equal(value, 2);
    token_close(&token);
    atomic_store(&kept[0].away, false); /* the stale one alone does not */
    atomic_store(&kept[1].away, true);
    assert_status(open_of(2, NEVER, &token), HF_E_PRECONDITION);
    struct mirror_name missing;
    assert_status(mirror_view_check_alone(&kept[0].inner, 0, &missing),
                  HF_E_PRECONDITION); /* nor when it is named alone */
    assert_string_equal(missing.serial, "bbbb");
    assert_ok(mirror_view_check_alone(&kept[1].inner, 0, &missing));
}

static void one_that_comes_back_is_brought_up_to_date(void **state)
{
    struct token token;
    uint8_t value = 0;
    (void)state;
    assert_ok(open_of(2, 20, &token));
    assert_ok(advance(&token, 1));
    atomic_store(&kept[0].away, true);
    assert_true(becomes(&token, 0, MIRROR_AWAY)); /* without any call */
    assert_ok(advance(&token, 2));
    assert_ok(advance(&token, 3));
    atomic_store(&kept[0].away, false);
    assert_true(becomes(&token, 0, MIRROR_IN_STEP));
    assert_true(atomic_load(&told_away) > 0);
    assert_ok(newest(&kept[0].inner, &value));
    assert_int_equal(value, 3);
    /* and from then on neither starts alone */
    token_close(&token);
    atomic_store(&kept[1].away, true);
    assert_status(open_of(2, NEVER, &token), HF_E_PRECONDITION);
}

static void an_earlier_state_of_a_token_is_not_in_step(void **state)
{
    struct mirror_view old;
    struct token token;
    uint8_t value = 0;
    (void)state;
    assert_ok(open_of(2, 20, &token));
    assert_ok(mirror_view_read(&kept[0].inner, 0, &old));
    assert_ok(advance(&token, 1));
    atomic_store(&kept[0].away, true);
    assert_ok(advance(&token, 2));
    atomic_store(&kept[0].away, false);
    assert_true(becomes(&token, 0, MIRROR_IN_STEP));
    /* its directory is put back, too quickly to be missed */
    struct mirror_view now;
    struct token_data object;
    assert_ok(mirror_view_read(&kept[0].inner, 0, &now));
    mirror_view_encode(&now, &object);
    struct token_request destroy = {.op = TOKEN_OP_DATA_DESTROY,
                                    .u.data = &object};
    assert_ok(token_call(&kept[0].inner, &destroy));
    assert_ok(mirror_view_write(&kept[0].inner, 0, &old));
    assert_ok(data(&kept[0].inner, TOKEN_OP_DATA_DESTROY, 2));
    assert_ok(data(&kept[0].inner, TOKEN_OP_DATA_CREATE, 1));
    for (int i = 0; i < PATIENCE && value != 2; i++) {
        const struct timespec pause = {.tv_nsec = 1000000};
        assert_ok(newest(&kept[0].inner, &value));
        nanosleep(&pause, NULL);
    }
    assert_int_equal(value, 2);
    assert_true(becomes(&token, 0, MIRROR_IN_STEP));
    token_close(&token);
}

static void another_mac_key_is_refused(void **state)
{
    uint8_t out[32];
    struct token token;
    (void)state;
    token = open_two();
    assert_ok(advance(&token, 1));
    atomic_store(&kept[1].away, true);
    assert_ok(advance(&token, 2));
    token_close(&token);
    atomic_store(&kept[1].away, false);
    assert_ok(token_fake_delete_key(kept[1].fake,
                                    (const uint8_t *)TOKEN_NAME_RECORD_MAC,
                                    sizeof TOKEN_NAME_RECORD_MAC - 1));
    make_key(&kept[1], TOKEN_FOR_RECORD_MAC, TOKEN_NAME_RECORD_MAC);
    assert_ok(open_of(2, NEVER, &token));
    assert_int_equal(state_of(&token, 1), MIRROR_REFUSED);
    atomic_store(&kept[0].away, true);
    assert_status(mac(&token, out), HF_E_UNREACHABLE);
    token_close(&token);
}

static void tokens_that_went_on_without_each_other_are_refused(void **state)
{
    struct mirror_view view;
    struct token token;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct token_profile profile;
        token_profile_get(&kept[i].inner, &profile);
        view = (struct mirror_view){.number = 2, .count = 1};
        assert_ok(text_copy(view.members[0].serial,
                            sizeof view.members[0].serial, profile.serial));
        assert_ok(mirror_view_write(&kept[i].inner, 0, &view));
    }
    assert_status(open_of(2, NEVER, &token), HF_E_CONFLICT);
}

static void one_that_went_on_by_itself_is_not_overwritten(void **state)
{
    struct mirror_view view = {.number = 2, .count = 1};
    struct token_profile profile;
    struct token token;
    uint8_t value = 0;
    (void)state;
    assert_ok(open_of(2, 20, &token));
    assert_ok(advance(&token, 1));
    atomic_store(&kept[0].away, true);
    assert_ok(advance(&token, 2));
    token_profile_get(&kept[0].inner, &profile);
    assert_ok(text_copy(view.members[0].serial, sizeof view.members[0].serial,
                        profile.serial));
    assert_ok(mirror_view_write(&kept[0].inner, 0, &view));
    assert_ok(data(&kept[0].inner, TOKEN_OP_DATA_CREATE, 9));
    atomic_store(&kept[0].away, false);
    assert_true(becomes(&token, 0, MIRROR_REFUSED));
    const struct timespec rounds = {.tv_nsec = 100000000};
    nanosleep(&rounds, NULL);
    assert_int_equal(state_of(&token, 0), MIRROR_REFUSED);
    assert_ok(newest(&kept[0].inner, &value));
    assert_int_equal(value, 9);
    assert_ok(newest(&token, &value)); /* the other serves on */
    assert_int_equal(value, 2);
    token_close(&token);
}

static void tokens_without_a_view_are_no_mirrors(void **state)
{
    struct token_data object;
    struct mirror_view view;
    struct token token;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mirror_view_read(&kept[i].inner, 0, &view));
        mirror_view_encode(&view, &object);
        struct token_request destroy = {.op = TOKEN_OP_DATA_DESTROY,
                                        .u.data = &object};
        assert_ok(token_call(&kept[i].inner, &destroy));
    }
    assert_status(open_of(2, NEVER, &token), HF_E_PRECONDITION);
}

/* --- call n fails -----------------------------------------------------------
 */

struct damage {
    size_t tokens;
    size_t token;
    enum token_op op;
    bool lost; /* it took effect, the answer did not come */
    size_t nth;
};

/* Whoever starts afterwards, with whichever tokens are there, refuses or knows
 * the last that was acknowledged. */
static void whoever_starts_knows(size_t tokens, uint8_t acknowledged)
{
    for (unsigned there = 1; there < 1u << tokens; there++) {
        struct token token = {0};
        uint8_t value = 0;
        for (size_t i = 0; i < tokens; i++) {
            atomic_store(&kept[i].away, (there & 1u << i) == 0);
        }
        if (open_of(tokens, NEVER, &token) == HF_OK) {
            assert_ok(newest(&token, &value));
            assert_true(value >= acknowledged);
            token_close(&token);
        } else {
            assert_int_not_equal(there, (1u << tokens) - 1);
        }
    }
}

static bool go_through(const struct damage *damage)
{
    struct token token = {0};
    uint8_t acknowledged = 0;
    tear_down(NULL);
    make_kept(damage->tokens);
    assert_ok(open_of(damage->tokens, NEVER, &token));
    struct token_fake *hurt = kept[damage->token].fake;
    uint64_t before = token_fake_calls(hurt, damage->op);
    if (damage->lost) {
        token_fake_lose_nth(hurt, damage->op, damage->nth, HF_E_TIMEOUT);
    } else {
        token_fake_fail_nth(hurt, damage->op, damage->nth, HF_E_UNREACHABLE);
    }
    for (uint8_t epoch = 1; epoch <= 4; epoch++) {
        if (epoch == 3) { /* another one goes away in the middle */
            atomic_store(&kept[(damage->token + 1) % damage->tokens].away,
                         true);
        }
        if (advance(&token, epoch) == HF_OK) {
            acknowledged = epoch;
        }
    }
    bool reached = token_fake_calls(hurt, damage->op) - before >= damage->nth;
    token_close(&token);
    token_fake_clear(hurt);
    assert_true(acknowledged >= 2); /* one of them was always there */
    whoever_starts_knows(damage->tokens, acknowledged);
    return reached;
}

static void whichever_call_fails_no_start_forgets_an_epoch(void **state)
{
    static const enum token_op ops[] = {
        TOKEN_OP_DATA_LIST, TOKEN_OP_DATA_CREATE, TOKEN_OP_DATA_DESTROY};
    (void)state;
    for (size_t tokens = 2; tokens <= 3; tokens++) {
        for (size_t i = 0; i < HF_COUNT(ops) * 2 * tokens; i++) {
            struct damage damage = {
                .tokens = tokens,
                .token = i % tokens,
                .op = ops[i / tokens % HF_COUNT(ops)],
                .lost = i / tokens / HF_COUNT(ops) == 1,
                .nth = 1,
            };
            while (go_through(&damage)) {
                damage.nth++;
            }
            assert_true(damage.nth > 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_token_that_goes_away_fails_no_call),
        TEST(our_own_trouble_is_not_the_tokens),
        TEST(one_that_hangs_is_left_after_one_deadline),
        TEST(all_away_is_what_a_single_one_says),
        TEST(each_signs_with_its_own_key),
        TEST(what_no_mirror_can_do_is_unsupported),
        TEST(an_epoch_is_in_both_before_it_is_acknowledged),
        TEST(one_alone_of_two_in_step_does_not_start),
        TEST(one_that_missed_a_write_never_passes_for_the_newest),
        TEST(one_that_comes_back_is_brought_up_to_date),
        TEST(an_earlier_state_of_a_token_is_not_in_step),
        TEST(another_mac_key_is_refused),
        TEST(tokens_that_went_on_without_each_other_are_refused),
        TEST(one_that_went_on_by_itself_is_not_overwritten),
        TEST(tokens_without_a_view_are_no_mirrors),
        TEST(whichever_call_fails_no_start_forgets_an_epoch),
#undef TEST
    };
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("token_mirrored", tests, NULL, NULL);
}
