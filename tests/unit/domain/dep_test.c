/* The life of a DEP: every state, event, type and guard; names. */
#include "hsm/base/check.h"

#include "server/domain/dep.h"

#include "tests/support/unit.h"

#include <string.h>

#define STATE_COUNT 6

/* T1 to T11 as the specification has them; what is not here is refused
 * (R-3.13).
 */
static const struct {
    enum dep_state from;
    enum dep_event event;
    enum dep_state to;
    enum dep_effect effect;
    bool has_limit;   /* */
    bool must_unused; /* T3 */
} table[] = {
  /* clang-format off */
    {DEP_NONE,            DEP_EV_CREATE,          DEP_ENABLED,         DEP_FX_MAKE_KEYS,      true,  false}, /* T1 */
    {DEP_NONE,            DEP_EV_CREATE_DISABLED, DEP_DISABLED,        DEP_FX_MAKE_KEYS,      true,  false}, /* T2 */
    {DEP_ENABLED,         DEP_EV_DISABLE,         DEP_DISABLED,        DEP_FX_END_LEASES,     false, true }, /* T3 */
    {DEP_DISABLED,        DEP_EV_ENABLE,          DEP_ENABLED,         DEP_FX_REVALIDATE,     true,  false}, /* T4 */
    {DEP_ENABLED,         DEP_EV_REFRESH,         DEP_ENABLED,         DEP_FX_NEW_GENERATION, false, false}, /* T5 */
    {DEP_ENABLED,         DEP_EV_REPLACE,         DEP_ENABLED,         DEP_FX_NEW_GENERATION, false, false}, /* T6 */
    {DEP_ENABLED,         DEP_EV_UPDATED,         DEP_ENABLED,         DEP_FX_NONE,           false, false}, /* T7 */
    {DEP_DISABLED,        DEP_EV_UPDATED,         DEP_DISABLED,        DEP_FX_NONE,           false, false},
    {DEP_PURGE_REQUESTED, DEP_EV_UPDATED,         DEP_PURGE_REQUESTED, DEP_FX_NONE,           false, false},
    {DEP_PURGING,         DEP_EV_UPDATED,         DEP_PURGING,         DEP_FX_NONE,           false, false},
    {DEP_PURGED,          DEP_EV_UPDATED,         DEP_PURGED,          DEP_FX_NONE,           false, false},
    {DEP_ENABLED,         DEP_EV_REQUEST_PURGE,   DEP_PURGE_REQUESTED, DEP_FX_END_LEASES,     false, false}, /* T8 */
    {DEP_DISABLED,        DEP_EV_REQUEST_PURGE,   DEP_PURGE_REQUESTED, DEP_FX_END_LEASES,     false, false},
    {DEP_PURGE_REQUESTED, DEP_EV_CANCEL_PURGE,    DEP_ENABLED,         DEP_FX_END_LEASES,     false, false}, /* T9 */
    {DEP_PURGE_REQUESTED, DEP_EV_EXECUTE_PURGE,   DEP_PURGING,         DEP_FX_END_LEASES,     false, false}, /* T10 */
    {DEP_PURGING,         DEP_EV_PURGED,          DEP_PURGED,          DEP_FX_END_LEASES,     false, false}, /* T11 */
  /* clang-format on */
};

static const int types[] = {DEP_TYPE_EXCHANGE_MAILBOX,
                            DEP_TYPE_MULTI_WORKLOAD,
                            DEP_TYPE_SHAREPOINT_GEO,
                            DEP_TYPE_SERVICE_MANAGED,
                            0,
                            5};

/* a mailbox DEP alone has a purge. */
static bool has_event(int type, int event)
{
    return type == DEP_TYPE_EXCHANGE_MAILBOX ||
           (type == DEP_TYPE_MULTI_WORKLOAD && event <= DEP_EV_UPDATED) ||
           (type == DEP_TYPE_SERVICE_MANAGED &&
            (event == DEP_EV_CREATE || event == DEP_EV_REFRESH ||
             event == DEP_EV_UPDATED));
}

/* T5, T6, T7 and: what key_update becomes, or why not. */
static enum reason expected_update(const struct dep_facts *facts, int event,
                                   enum key_update *update)
{
    bool begins = event == DEP_EV_REFRESH || event == DEP_EV_REPLACE;
    *update = facts->key_update;
    if (!begins && event != DEP_EV_UPDATED) {
        return REASON_NONE;
    }
    if (begins != (facts->key_update == KEY_UPDATE_NONE)) {
        return REASON_STATE_CONFLICT;
    }
    if (event == DEP_EV_REFRESH && !facts->newer_version &&
        facts->type != DEP_TYPE_SERVICE_MANAGED) {
        return REASON_NOTHING_TO_REFRESH;
    }
    if (begins && facts->generation >= 256) {
        return REASON_GENERATION_LIMIT;
    }
    *update = event == DEP_EV_REFRESH   ? KEY_UPDATE_REFRESHING
              : event == DEP_EV_REPLACE ? KEY_UPDATE_REPLACING
                                        : KEY_UPDATE_NONE;
    return REASON_NONE;
}

static void expect(const struct dep_facts *facts, int event)
{
    enum hf_status status = HF_E_PRECONDITION;
    enum reason reason = REASON_STATE_CONFLICT;
    struct dep_step next = {DEP_PURGED, DEP_FX_NONE, KEY_UPDATE_REPLACING};
    for (size_t i = 0; i < HF_COUNT(table); i++) {
        enum key_update update = KEY_UPDATE_NONE;
        if (table[i].from != facts->state || (int)table[i].event != event ||
            !has_event((int)facts->type, event)) {
            continue;
        }
        if (table[i].must_unused && facts->assigned_count > 0) {
            reason = REASON_DEP_IN_USE;
        } else if (table[i].has_limit && facts->active_count >= 50 &&
                   facts->type == DEP_TYPE_EXCHANGE_MAILBOX) {
            status = HF_E_LIMIT;
            reason = REASON_DEP_LIMIT;
        } else {
            reason = expected_update(facts, event, &update);
        }
        if (reason == REASON_NONE) {
            status = HF_OK;
            next = (struct dep_step){table[i].to, table[i].effect, update};
        }
    }
    struct dep_step step = {DEP_PURGED, DEP_FX_NONE, KEY_UPDATE_REPLACING};
    enum reason got = REASON_INTERNAL;
    assert_status(dep_next(facts, (enum dep_event)event, &step, &got), status);
    assert_string_equal(reason_word(got), reason_word(reason));
    assert_int_equal(step.next, next.next); /* untouched when refused */
    assert_int_equal(step.effect, next.effect);
    assert_int_equal(step.key_update, next.key_update);
}

/* Every guard against every other; a key_update that cannot be as well. */
static void expect_with_guards(struct dep_facts facts, int event)
{
    static const uint32_t assigned[] = {0, 1, UINT32_MAX};
    static const uint32_t active[] = {0, 49, 50, 51, UINT32_MAX};
    static const uint32_t generations[] = {1, 255, 256};
    for (size_t n = 0; n < 15; n++) {
        facts.assigned_count = assigned[n % 3];
        facts.active_count = active[n / 3];
        for (int update = 0; update <= KEY_UPDATE_REPLACING + 1; update++) {
            facts.key_update = (enum key_update)update;
            for (size_t i = 0; i < 2 * HF_COUNT(generations); i++) {
                facts.generation = generations[i / 2];
                facts.newer_version = i % 2 == 1;
                expect(&facts, event);
            }
        }
    }
}

static void test_every_state_and_event(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(types); i++) {
        for (int from = -1; from <= STATE_COUNT; from++) {
            for (int event = -1; event <= DEP_EVENT_COUNT; event++) {
                const struct dep_facts facts = {
                    .type = (enum dep_type)types[i],
                    .state = (enum dep_state)from,
                    .before = DEP_ENABLED,
                };
                expect_with_guards(facts, event);
            }
        }
    }
}

static void test_key_update_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"NONE", "REFRESHING", "REPLACING", "?"};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        assert_string_equal(key_update_text((enum key_update)i), texts[i]);
    }
}

/* Appendix B, check 2: the 51st fails; one disabled, it succeeds. */
static void test_fifty(void **state)
{
    (void)state;
    uint32_t active = 0;
    struct dep_facts facts = {.type = DEP_TYPE_EXCHANGE_MAILBOX};
    struct dep_step step;
    enum reason reason;
    for (int i = 0; i < 50; i++) {
        facts.active_count = active;
        assert_ok(dep_next(&facts, DEP_EV_CREATE, &step, &reason));
        active += dep_counts_as_active(step.next) ? 1 : 0;
    }
    facts.active_count = active;
    assert_status(dep_next(&facts, DEP_EV_CREATE, &step, &reason), HF_E_LIMIT);
    facts.state = DEP_ENABLED;
    assert_ok(dep_next(&facts, DEP_EV_DISABLE, &step, &reason));
    active -= dep_counts_as_active(step.next) ? 0 : 1;
    facts.state = DEP_NONE;
    facts.active_count = active;
    assert_ok(dep_next(&facts, DEP_EV_CREATE, &step, &reason));
    facts.state = DEP_DISABLED; /* and enabling the other is the 51st again */
    facts.active_count = active + 1;
    assert_status(dep_next(&facts, DEP_EV_ENABLE, &step, &reason), HF_E_LIMIT);
}

/* T9: back to what it was, whichever that was. */
static void test_cancel_gives_back(void **state)
{
    (void)state;
    static const enum dep_state before[] = {DEP_ENABLED, DEP_DISABLED};
    for (size_t i = 0; i < HF_COUNT(before); i++) {
        struct dep_facts facts = {.type = DEP_TYPE_EXCHANGE_MAILBOX,
                                  .state = before[i]};
        struct dep_step step;
        enum reason reason;
        assert_ok(dep_next(&facts, DEP_EV_REQUEST_PURGE, &step, &reason));
        facts.before = facts.state;
        facts.state = step.next;
        assert_ok(dep_next(&facts, DEP_EV_CANCEL_PURGE, &step, &reason));
        assert_int_equal(step.next, before[i]);
    }
}

/* */
static void test_rights(void **state)
{
    (void)state;
    static const struct {
        int state;
        bool active;
        bool assign;
        bool wrap;
        bool unwrap;
        const char *text;
    } rows[] = {
        {DEP_NONE,            false, false, false, false, "NONE"           },
        {DEP_ENABLED,         true,  true,  true,  true,  "ENABLED"        },
        {DEP_DISABLED,        false, false, false, true,  "DISABLED"       },
        {DEP_PURGE_REQUESTED, true,  false, false, true,  "PURGE_REQUESTED"},
        {DEP_PURGING,         true,  false, false, true,  "PURGING"        },
        {DEP_PURGED,          false, false, false, false, "PURGED"         },
        {STATE_COUNT,         false, false, false, false, "?"              },
        {-1,                  false, false, false, false, "?"              },
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        enum dep_state it = (enum dep_state)rows[i].state;
        assert_int_equal(dep_counts_as_active(it), rows[i].active);
        assert_int_equal(dep_may_assign(it), rows[i].assign);
        assert_int_equal(dep_may_wrap(it), rows[i].wrap);
        assert_int_equal(dep_may_unwrap(it), rows[i].unwrap);
        assert_string_equal(dep_state_text(it), rows[i].text);
    }
}

static void test_type_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"?",
                                        "EXCHANGE_MAILBOX",
                                        "MULTI_WORKLOAD",
                                        "SHAREPOINT_GEO",
                                        "SERVICE_MANAGED",
                                        "?"};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        assert_string_equal(dep_type_text((enum dep_type)i), texts[i]);
    }
}

/* */
static void test_names(void **state)
{
    (void)state;
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    char name[HF_NAME_MAX_BYTES + 2] = "";
    assert_false(name_is_valid(""));
    for (int c = 1; c < 256; c++) {
        bool fits = strchr(allowed, c) != NULL;
        const char one[] = {(char)c, '\0'};
        const char last[] = {'a', (char)c, '\0'};
        assert_int_equal(name_is_valid(one), fits);
        assert_int_equal(name_is_valid(last), fits);
    }
    for (size_t len = 1; len <= HF_NAME_MAX_BYTES + 1; len++) {
        name[len - 1] = 'n';
        assert_int_equal(name_is_valid(name), len <= 64);
    }
    assert_true(name_is_valid("Contoso-EU_2.mailboxes"));
    assert_false(name_is_valid("two words"));
}

static void test_folding(void **state)
{
    (void)state;
    char out[HF_NAME_MAX_BYTES + 1] = "x";
    char longest[HF_NAME_MAX_BYTES + 2];
    memset(longest, 'Q', sizeof longest);
    longest[HF_NAME_MAX_BYTES] = '\0';
    name_fold("", out);
    assert_string_equal(out, "");
    name_fold("AbcXYZ-019_.zA@[`{", out);
    assert_string_equal(out, "abcxyz-019_.za@[`{");
    name_fold(longest, out);
    assert_int_equal(strlen(out), HF_NAME_MAX_BYTES);
    assert_int_equal(out[HF_NAME_MAX_BYTES - 1], 'q');
    longest[HF_NAME_MAX_BYTES] = 'Q';
    longest[HF_NAME_MAX_BYTES + 1] = '\0';
    name_fold(longest, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_key_update_texts),
        cmocka_unit_test(test_fifty),
        cmocka_unit_test(test_cancel_gives_back),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_type_texts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_folding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
