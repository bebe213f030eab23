/* Tables 6-A and 6-B, whole: every status, every pair in both orders, every
 * initiator, state of the availability key, type of DEP, purge requested or
 * not. The tables below are written from the specification, not from the code.
 */
#include "hsm/base/check.h"

#include "server/domain/fallback.h"

#include "tests/support/unit.h"

#define OK       ATTEMPT_OK
#define DEN      ATTEMPT_DENIED
#define TRA      ATTEMPT_TRANSIENT
#define BAD      ATTEMPT_BAD_BLOB
#define MIS      ATTEMPT_MISSING
#define OURS     ATTEMPT_OURS

#define AK       REASON_NONE
#define REFUSED  REASON_KEY_ACCESS_DENIED
#define OUTAGE   REASON_KEY_UNAVAILABLE
#define DAMAGED  REASON_BLOB_INVALID
#define TROUBLE  REASON_SERVICE_UNAVAILABLE
#define OUR_BUG  REASON_INTERNAL
#define NO_ALERT false
#define ALERT    true

/* One unordered pair. What USER and SYSTEM get; and what they get where the
 * availability key may not be used (SharePoint; USER after a purge request). */
struct row {
    enum attempt a;
    enum attempt b;
    enum reason user;
    enum reason system;
    enum reason user_without;
    enum reason system_without;
    bool alert;
};

static const struct row table_6b[] = {
  /* the rows of the table */
    {TRA,  TRA,  AK,      AK,      OUTAGE,  OUTAGE,  NO_ALERT},
    {DEN,  DEN,  REFUSED, AK,      REFUSED, REFUSED, NO_ALERT},
    {DEN,  TRA,  REFUSED, AK,      REFUSED, REFUSED, NO_ALERT},
    {BAD,  BAD,  DAMAGED, DAMAGED, DAMAGED, DAMAGED, ALERT   },
    {BAD,  TRA,  OUTAGE,  AK,      OUTAGE,  OUTAGE,  ALERT   },
    {BAD,  DEN,  REFUSED, AK,      REFUSED, REFUSED, ALERT   },
 /* missing, not confirmed: USER as DENIED, SYSTEM as TRANSIENT */
    {MIS,  MIS,  REFUSED, AK,      REFUSED, OUTAGE,  NO_ALERT},
    {MIS,  DEN,  REFUSED, AK,      REFUSED, REFUSED, NO_ALERT},
    {MIS,  TRA,  REFUSED, AK,      REFUSED, OUTAGE,  NO_ALERT},
    {MIS,  BAD,  REFUSED, AK,      REFUSED, OUTAGE,  ALERT   },
 /* above all others */
    {OURS, OURS, TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
    {OURS, TRA,  TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
    {OURS, DEN,  TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
    {OURS, BAD,  TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
    {OURS, MIS,  TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
    {OURS, OK,   TROUBLE, TROUBLE, TROUBLE, TROUBLE, ALERT   },
 /* a key opened: to ask at all is a bug, and never ends in the AK */
    {OK,   OK,   OUR_BUG, OUR_BUG, OUR_BUG, OUR_BUG, ALERT   },
    {OK,   DEN,  OUR_BUG, OUR_BUG, OUR_BUG, OUR_BUG, ALERT   },
    {OK,   TRA,  OUR_BUG, OUR_BUG, OUR_BUG, OUR_BUG, ALERT   },
    {OK,   BAD,  OUR_BUG, OUR_BUG, OUR_BUG, OUR_BUG, ALERT   },
    {OK,   MIS,  OUR_BUG, OUR_BUG, OUR_BUG, OUR_BUG, ALERT   },
};

static const struct row *row_of(enum attempt a, enum attempt b)
{
    const struct row *found = NULL;
    for (size_t i = 0; i < HF_COUNT(table_6b); i++) {
        const struct row *row = &table_6b[i];
        if ((row->a == a && row->b == b) || (row->a == b && row->b == a)) {
            assert_null(found);
            found = row;
        }
    }
    assert_non_null(found);
    return found;
}

static void expect(const struct fallback_facts *facts, enum reason reason,
                   bool alert)
{
    struct fallback_verdict verdict = fallback_decide(facts);
    bool use_ak = reason == AK;
    if (verdict.use_ak != use_ak || verdict.reason != reason ||
        verdict.alert != alert ||
        verdict.outage !=
            (use_ak && facts->results[0] == TRA && facts->results[1] == TRA)) {
        fail_msg("%s + %s, initiator %d, type %d, ak %d, purge %d: got "
                 "ak %d %s alert %d, not ak %d %s alert %d",
                 attempt_text(facts->results[0]),
                 attempt_text(facts->results[1]), (int)facts->initiator,
                 (int)facts->dep_type, (int)facts->ak_state,
                 (int)facts->purge_requested, (int)verdict.use_ak,
                 reason_word(verdict.reason), (int)verdict.alert, (int)use_ak,
                 reason_word(reason), (int)alert);
    }
}

/* What is asked of every pair, in both orders. */
typedef void pair_fn(const struct row *row, struct fallback_facts facts);

static void for_every_pair(pair_fn *look)
{
    for (int a = 0; a < ATTEMPT_COUNT; a++) {
        for (int b = 0; b < ATTEMPT_COUNT; b++) {
            look(row_of((enum attempt)a, (enum attempt)b),
                 (struct fallback_facts){
                     .results = {(enum attempt)a, (enum attempt)b},
                     .initiator = INITIATOR_USER,
                     .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
                     .ak_state = AK_ACTIVE,
            });
        }
    }
}

/* both types alike; while the AK is rolled it serves on. */
static void look_at_table(const struct row *row, struct fallback_facts facts)
{
    const enum dep_type types[] = {DEP_TYPE_EXCHANGE_MAILBOX,
                                   DEP_TYPE_MULTI_WORKLOAD};
    const enum ak_state states[] = {AK_ACTIVE, AK_ROLLING};
    for (size_t i = 0; i < 4; i++) {
        facts.dep_type = types[i / 2];
        facts.ak_state = states[i % 2];
        facts.initiator = INITIATOR_USER;
        expect(&facts, row->user, row->alert);
        facts.initiator = INITIATOR_SYSTEM;
        expect(&facts, row->system, row->alert);
    }
}

static void test_table_6b(void **state)
{
    (void)state;
    assert_int_equal(HF_COUNT(table_6b),
                     ATTEMPT_COUNT * (ATTEMPT_COUNT + 1) / 2);
    for_every_pair(look_at_table);
}

/* unset means USER, and so does what nobody knows. */
static void look_at_initiators(const struct row *row,
                               struct fallback_facts facts)
{
    const int not_system[] = {0, 3, -1};
    for (size_t i = 0; i < HF_COUNT(not_system); i++) {
        facts.initiator = (enum initiator)not_system[i];
        expect(&facts, row->user, row->alert);
    }
}

static void test_unset_is_user(void **state)
{
    (void)state;
    for_every_pair(look_at_initiators);
}

/* from the request on USER never gets it, SYSTEM does. */
static void look_after_purge_request(const struct row *row,
                                     struct fallback_facts facts)
{
    facts.purge_requested = true;
    expect(&facts, row->user_without, row->alert);
    facts.initiator = INITIATOR_SYSTEM;
    expect(&facts, row->system, row->alert);
}

static void test_purge_requested(void **state)
{
    (void)state;
    for_every_pair(look_after_purge_request);
}

/* beyond the limit USER gets what an outage is without an availability
 * key; SYSTEM is not limited, and no limit is none however long it lasts. */
static void look_at_limit(const struct row *row, struct fallback_facts facts)
{
    static const struct {
        int64_t limit_ms;
        int64_t outage_ms;
        bool reached;
    } cases[] = {
        {0,     0,         false},
        {0,     INT64_MAX, false},
        {60000, 0,         false},
        {60000, 59999,     false},
        {60000, 60000,     true },
        {60000, INT64_MAX, true },
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        facts.limit_ms = cases[i].limit_ms;
        facts.outage_ms = cases[i].outage_ms;
        facts.initiator = INITIATOR_USER;
        expect(&facts, cases[i].reached ? row->user_without : row->user,
               row->alert);
        facts.initiator = INITIATOR_SYSTEM;
        expect(&facts, row->system, row->alert);
    }
}

static void test_limit_of_an_outage(void **state)
{
    (void)state;
    for_every_pair(look_at_limit);
}

/* SharePoint never: a service-managed DEP has none; and a
 * type or a state that nobody knows is no reason to use it. */
static void look_without_ak(const struct row *row, struct fallback_facts facts)
{
    const int types[] = {DEP_TYPE_SHAREPOINT_GEO, DEP_TYPE_SERVICE_MANAGED, 0,
                         5};
    const int no_states[] = {0, 4};
    for (size_t i = 0; i < HF_COUNT(types) + HF_COUNT(no_states); i++) {
        bool by_type = i < HF_COUNT(types);
        facts.dep_type =
            by_type ? (enum dep_type)types[i] : DEP_TYPE_EXCHANGE_MAILBOX;
        facts.ak_state =
            by_type ? AK_ACTIVE : (enum ak_state)no_states[i - HF_COUNT(types)];
        facts.initiator = INITIATOR_USER;
        expect(&facts, row->user_without, row->alert);
        facts.initiator = INITIATOR_SYSTEM;
        expect(&facts, row->system_without, row->alert);
    }
}

static void test_where_there_is_no_ak(void **state)
{
    (void)state;
    for_every_pair(look_without_ak);
}

/* "any, AK in state DESTROYED", for either initiator and every type; only our
 * own trouble stands above it. */
static void look_after_destruction(const struct row *row,
                                   struct fallback_facts facts)
{
    bool ours = row->user == TROUBLE || row->user == OUR_BUG;
    facts.ak_state = AK_DESTROYED;
    for (int type = DEP_TYPE_EXCHANGE_MAILBOX; type <= DEP_TYPE_SERVICE_MANAGED;
         type++) {
        for (int purge = 0; purge < 2; purge++) {
            facts.dep_type = (enum dep_type)type;
            facts.purge_requested = purge == 1;
            facts.initiator = INITIATOR_USER;
            expect(&facts, ours ? row->user : REASON_KEY_DESTROYED, row->alert);
            facts.initiator = INITIATOR_SYSTEM;
            expect(&facts, ours ? row->system : REASON_KEY_DESTROYED,
                   row->alert);
        }
    }
}

static void test_destroyed(void **state)
{
    (void)state;
    for_every_pair(look_after_destruction);
}

/* A result out of range is a bug in either place. */
static void test_no_such_result(void **state)
{
    (void)state;
    const int none[] = {ATTEMPT_COUNT, -1, 1000};
    for (size_t i = 0; i < HF_COUNT(none); i++) {
        for (int initiator = 0; initiator < 3; initiator++) {
            struct fallback_facts facts = {
                .results = {(enum attempt)none[i], TRA},
                .initiator = (enum initiator)initiator,
                .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
                .ak_state = AK_ACTIVE,
            };
            expect(&facts, OUR_BUG, ALERT);
            facts.results[0] = TRA;
            facts.results[1] = (enum attempt)none[i];
            expect(&facts, OUR_BUG, ALERT);
        }
    }
}

/* Table 6-A, as far as the port has decided it: everything that the
 * port does not promise is our own trouble. */
static const enum attempt table_6a[HF_STATUS_COUNT] = {
    [HF_OK] = OK,
    [HF_E_DENIED] = DEN,
    [HF_E_NOT_FOUND] = DEN,
    [HF_E_UNCONFIRMED] = MIS,
    [HF_E_UNREACHABLE] = TRA,
    [HF_E_TIMEOUT] = TRA,
    [HF_E_BAD_BLOB] = BAD,
    /* ours */
    [HF_E_INVALID] = OURS,
    [HF_E_PRECONDITION] = OURS,
    [HF_E_LIMIT] = OURS,
    [HF_E_UNSUPPORTED] = OURS,
    [HF_E_EXISTS] = OURS,
    [HF_E_CONFLICT] = OURS,
    [HF_E_CANCELLED] = OURS,
    [HF_E_EXPIRED] = OURS,
    [HF_E_OVERLOAD] = OURS,
    [HF_E_NO_MEMORY] = OURS,
    [HF_E_RESOURCES] = OURS,
    [HF_E_MISUSE] = OURS,
    [HF_E_CORRUPT] = OURS,
    [HF_E_IO] = OURS,
    [HF_E_INTERNAL] = OURS,
};

static void test_table_6a(void **state)
{
    (void)state;
    for (int status = 0; status < HF_STATUS_COUNT; status++) {
        assert_string_equal(attempt_text(attempt_of((enum hf_status)status)),
                            attempt_text(table_6a[status]));
    }
    assert_int_equal(attempt_of(HF_STATUS_COUNT), OURS);
    assert_int_equal(attempt_of((enum hf_status) - 1), OURS);
    assert_int_equal(attempt_of((enum hf_status)1000), OURS);
}

/* "any row saying use AK, AK store itself failing": UNAVAILABLE:
 * UNAVAILABLE or RESOURCE_EXHAUSTED, whatever our own trouble is. */
static void test_failing_ak(void **state)
{
    (void)state;
    for (int i = 0; i <= HF_STATUS_COUNT; i++) {
        enum hf_status status = (enum hf_status)i;
        enum reason expected = OUTAGE;
        if (status == HF_E_OVERLOAD) {
            expected = REASON_OVERLOADED;
        } else if (status == HF_E_CANCELLED || status == HF_E_EXPIRED ||
                   status == HF_E_NO_MEMORY || status == HF_E_RESOURCES ||
                   status == HF_E_MISUSE) {
            expected = TROUBLE;
        }
        assert_string_equal(reason_word(fallback_on_ak_failure(status)),
                            reason_word(expected));
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[ATTEMPT_COUNT] = {
        [OK] = "OK",        [DEN] = "DENIED",  [TRA] = "TRANSIENT",
        [BAD] = "BAD_BLOB", [MIS] = "MISSING", [OURS] = "OURS",
    };
    for (int i = 0; i < ATTEMPT_COUNT; i++) {
        assert_string_equal(attempt_text((enum attempt)i), texts[i]);
    }
    assert_string_equal(attempt_text(ATTEMPT_COUNT), "?");
    assert_string_equal(attempt_text((enum attempt) - 1), "?");
}

/* */
static void test_health(void **state)
{
    (void)state;
    for (int a = 0; a < ATTEMPT_COUNT; a++) {
        for (int b = 0; b < ATTEMPT_COUNT; b++) {
            enum attempt ck1 = (enum attempt)a;
            enum attempt ck2 = (enum attempt)b;
            enum dep_health expected = HEALTH_UNHEALTHY;
            if (ck1 == OK && ck2 == OK) {
                expected = HEALTH_HEALTHY;
            } else if (ck1 == OK || ck2 == OK) {
                expected = HEALTH_DEGRADED;
            } else if (ck1 == TRA && ck2 == TRA) {
                expected = HEALTH_FALLBACK;
            }
            assert_int_equal(dep_health_of(ck1, ck2, AK_ACTIVE), expected);
            assert_int_equal(dep_health_of(ck1, ck2, AK_ROLLING), expected);
            assert_int_equal(dep_health_of(ck1, ck2, AK_DESTROYED),
                             HEALTH_DESTROYED);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_6a),
        cmocka_unit_test(test_table_6b),
        cmocka_unit_test(test_unset_is_user),
        cmocka_unit_test(test_purge_requested),
        cmocka_unit_test(test_limit_of_an_outage),
        cmocka_unit_test(test_where_there_is_no_ak),
        cmocka_unit_test(test_destroyed),
        cmocka_unit_test(test_no_such_result),
        cmocka_unit_test(test_failing_ak),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
