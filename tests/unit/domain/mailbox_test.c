/* Assigned and effective; precedence; who may be assigned what. */
#include "hsm/base/check.h"

#include "server/domain/mailbox.h"

#include "tests/support/unit.h"

static const struct dep_ref none = {.generation = 0};
static const struct dep_ref a1 = {{{0xa}}, 1};
static const struct dep_ref a2 = {{{0xa}}, 2};
static const struct dep_ref b1 = {{{0xb}}, 1};
static const struct dep_ref own1 = {{{0xe}}, 1}; /* service-managed */
static const struct dep_ref own2 = {{{0xe}}, 2};

/* M1, M2, M6, M7: effective and wanted make the state. */
static void test_states(void **state)
{
    (void)state;
    const struct {
        bool has_key;
        struct dep_ref effective;
        struct dep_ref wanted;
        enum mailbox_state state;
    } rows[] = {
        {false, none, none, MAILBOX_KEYLESS        },
        {false, none, a1,   MAILBOX_KEYLESS        },
        {false, a1,   b1,   MAILBOX_KEYLESS        },
        {true,  none, a1,   MAILBOX_KEYLESS        },
        {true,  own1, own1, MAILBOX_SERVICE_MANAGED},
        {true,  own1, none, MAILBOX_SERVICE_MANAGED},
        {true,  own1, own2, MAILBOX_REWRAP_PENDING },
        {true,  own1, a1,   MAILBOX_REWRAP_PENDING }, /* M1 */
        {true,  a1,   a1,   MAILBOX_ENCRYPTED      }, /* M2 */
        {true,  a1,   none, MAILBOX_ENCRYPTED      },
        {true,  a1,   a2,   MAILBOX_REWRAP_PENDING }, /* refreshed */
        {true,  a2,   a1,   MAILBOX_ENCRYPTED      }, /* never back */
        {true,  a2,   b1,   MAILBOX_REWRAP_PENDING }, /* M6 */
        {true,  a2,   own1, MAILBOX_REWRAP_PENDING }, /* M7 */
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        const struct mailbox_facts facts = {
            .has_key = rows[i].has_key,
            .effective = rows[i].effective,
            .service_managed = own1.dep,
            .wanted = rows[i].wanted,
        };
        assert_string_equal(mailbox_state_text(mailbox_state_of(&facts)),
                            mailbox_state_text(rows[i].state));
        assert_int_equal(mailbox_needs_rewrap(&facts),
                         rows[i].state == MAILBOX_REWRAP_PENDING);
        struct mailbox_facts purged = facts; /* M8, whatever it was */
        purged.purged = true;
        assert_string_equal(mailbox_state_text(mailbox_state_of(&purged)),
                            "PURGE_MARKED");
    }
}

/* M3, M4, M9: a mailbox that is not encrypted yet is in its move, whatever key
 * it has. */
static void test_states_of_a_move(void **state)
{
    (void)state;
    const struct {
        int move;
        enum mailbox_state state; /* 0: as without */
    } rows[] = {
        {MOVE_NONE,        (enum mailbox_state)0},
        {MOVE_UNENCRYPTED, MAILBOX_NOT_ENCRYPTED},
        {MOVE_ON_ARRIVAL,  MAILBOX_ON_ARRIVAL   },
        {MOVE_QUEUED,      MAILBOX_MOVE_QUEUED  },
        {MOVE_MOVING,      MAILBOX_MOVING       },
        {MOVE_MOVING + 1,  (enum mailbox_state)0},
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        struct mailbox_facts facts = {
            .service_managed = own1.dep,
            .wanted = a1,
            .move = (enum mailbox_move)rows[i].move,
        };
        bool moves = rows[i].state != (enum mailbox_state)0;
        assert_int_equal(mailbox_state_of(&facts),
                         moves ? rows[i].state : MAILBOX_KEYLESS);
        facts.has_key = true;
        facts.effective = a1;
        assert_int_equal(mailbox_state_of(&facts),
                         moves ? rows[i].state : MAILBOX_ENCRYPTED);
    }
}

/* every type, with and without each. */
static void test_precedence(void **state)
{
    (void)state;
    const struct {
        enum resource_type type;
        bool assigned;
        bool multi;
        enum home home;
    } rows[] = {
        {RESOURCE_MAILBOX,  true,  true,  HOME_ASSIGNED       },
        {RESOURCE_MAILBOX,  true,  false, HOME_ASSIGNED       },
        {RESOURCE_MAILBOX,  false, true,  HOME_MULTI_WORKLOAD },
        {RESOURCE_MAILBOX,  false, false, HOME_SERVICE_MANAGED},
        {RESOURCE_WORKLOAD, true,  true,  HOME_ASSIGNED       },
        {RESOURCE_WORKLOAD, true,  false, HOME_ASSIGNED       },
        {RESOURCE_WORKLOAD, false, true,  HOME_MULTI_WORKLOAD },
        {RESOURCE_WORKLOAD, false, false, HOME_SERVICE_MANAGED},
        {RESOURCE_SITE,     true,  true,  HOME_ASSIGNED       },
        {RESOURCE_SITE,     true,  false, HOME_ASSIGNED       },
        {RESOURCE_SITE,     false, true,  HOME_SERVICE_MANAGED},
        {RESOURCE_SITE,     false, false, HOME_SERVICE_MANAGED},
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        assert_int_equal(home_of(rows[i].type, rows[i].assigned, rows[i].multi),
                         rows[i].home);
    }
}

/* every kind; who needs a licence of his own, and who lives on
 * the tenant's. */
static bool licence_is_enough(int kind, bool own, bool tenants)
{
    switch (kind) {
    case MAILBOX_USER:
    case MAILBOX_MAIL_USER:
        return own;
    case MAILBOX_GROUP:
    case MAILBOX_PUBLIC_FOLDER:
    case MAILBOX_SHARED:
        return tenants;
    default:
        return false;
    }
}

static void expect(const struct mailbox_assign_facts *facts)
{
    enum reason expected = REASON_NONE;
    enum hf_status status = HF_OK;
    enum reason reason = REASON_INTERNAL;
    if (facts->assigning_none) {
        status = HF_OK; /* whatever else holds */
    } else if (facts->dep_type != DEP_TYPE_EXCHANGE_MAILBOX) {
        expected = REASON_NOT_FOUND;
        status = HF_E_NOT_FOUND;
    } else if (facts->dep_state != DEP_ENABLED) {
        expected = REASON_DEP_NOT_ENABLED;
        status = HF_E_PRECONDITION;
    } else if (!licence_is_enough((int)facts->kind, facts->licensed,
                                  facts->tenant_licensed)) {
        expected = REASON_LICENCE_REQUIRED;
        status = HF_E_PRECONDITION;
    }
    assert_status(mailbox_may_assign(facts, &reason), status);
    assert_string_equal(reason_word(reason), reason_word(expected));
}

static void test_assigning(void **state)
{
    (void)state;
    for (int kind = 0; kind <= MAILBOX_SHARED + 1; kind++) {
        for (int type = 0; type <= DEP_TYPE_SERVICE_MANAGED + 1; type++) {
            for (int dep = 0; dep <= DEP_PURGED + 1; dep++) {
                for (unsigned bits = 0; bits < 8; bits++) {
                    const struct mailbox_assign_facts facts = {
                        .kind = (enum mailbox_kind)kind,
                        .licensed = (bits & 1) != 0,
                        .tenant_licensed = (bits & 2) != 0,
                        .assigning_none = (bits & 4) != 0,
                        .dep_type = (enum dep_type)type,
                        .dep_state = (enum dep_state)dep,
                    };
                    expect(&facts);
                }
            }
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const states[] = {"?",
                                         "KEYLESS",
                                         "SERVICE_MANAGED",
                                         "REWRAP_PENDING",
                                         "ENCRYPTED",
                                         "NOT_ENCRYPTED",
                                         "ON_ARRIVAL",
                                         "MOVE_QUEUED",
                                         "MOVING",
                                         "PURGE_MARKED",
                                         "?"};
    static const char *const kinds[] = {
        "?", "USER", "MAIL_USER", "GROUP", "PUBLIC_FOLDER", "SHARED", "?"};
    for (size_t i = 0; i < HF_COUNT(states); i++) {
        assert_string_equal(mailbox_state_text((enum mailbox_state)i),
                            states[i]);
    }
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        assert_string_equal(mailbox_kind_text((enum mailbox_kind)i), kinds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_states_of_a_move),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_assigning),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
