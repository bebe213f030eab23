/* Who may call what: the whole matrix of verbs and roles, for callers of the
 * tenant, of another and of none; N02, N03 and at their root. */
#include "hsm/base/check.h"

#include "server/domain/access.h"

#include "tests/support/unit.h"
#include "tests/unit/domain/access_matrix.h"

#include <string.h>

#define ALL_ROLES ((1u << ROLE_BITS) - 1)

/* These name no tenant. */
static bool is_about_tenants_as_such(int verb)
{
    return verb == VERB_CREATE_TENANT || verb == VERB_LIST_TENANTS ||
           verb == VERB_GET_AVAILABILITY_TOKENS ||
           verb == VERB_ENROLL_AK_MIRROR || verb == VERB_RETIRE_AK_MIRROR;
}

/* Of the tenant for its own people, of the service for the service's. */
static bool is_about_own_records(int verb)
{
    for (size_t i = 0; i < ROLE_BITS; i++) {
        if (access_lists(access_matrix[i].own, access_matrix[i].own_count,
                         verb)) {
            return true;
        }
    }
    return false;
}

static bool is_data_plane(int verb)
{
    return verb == VERB_GENERATE_KEY || verb == VERB_WRAP_KEY ||
           verb == VERB_UNWRAP_KEY || verb == VERB_REWRAP_KEY ||
           verb == VERB_CREATE_SITE_KEY || verb == VERB_UNWRAP_SITE_KEY ||
           verb == VERB_WRAP_BLOB_KEY || verb == VERB_UNWRAP_BLOB_KEY ||
           verb == VERB_RENEW_KEY || verb == VERB_RETIRE_EARLIER_KEYS;
}

static void expect(const struct access_facts *facts, enum reason expected)
{
    enum reason reason = access_decide(facts);
    if (reason != expected) {
        fail_msg("%s by roles %#x, tenant %d, matches %d, named %d, initiator "
                 "%d: %s, not %s",
                 verb_method(facts->verb), facts->roles,
                 (int)facts->caller_has_tenant, (int)facts->tenant_matches,
                 (int)facts->request_has_tenant, (int)facts->initiator,
                 reason_word(reason), reason_word(expected));
    }
}

static void test_callers_of_the_tenant(void **state)
{
    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
            const struct access_row *row = &access_matrix[i];
            const struct access_facts facts = {
                .verb = (enum verb)verb,
                .roles = row->role,
                .caller_has_tenant = true,
                .tenant_matches = true,
                .request_has_tenant = true,
                .initiator = INITIATOR_USER,
            };
            expect(&facts,
                   access_lists(row->of_tenant, row->of_tenant_count, verb)
                       ? REASON_NONE
                       : REASON_ROLE_REQUIRED);
        }
    }
}

/* Nobody of a tenant gets at what belongs to none. */
static void test_callers_of_a_tenant_naming_none(void **state)
{
    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
            for (int matches = 0; matches < 2; matches++) {
                const struct access_facts facts = {
                    .verb = (enum verb)verb,
                    .roles = access_matrix[i].role,
                    .caller_has_tenant = true,
                    .tenant_matches = matches == 1,
                    .initiator = INITIATOR_USER,
                };
                expect(&facts, is_about_tenants_as_such(verb) ||
                                       is_about_own_records(verb)
                                   ? REASON_ROLE_REQUIRED
                                   : REASON_NOT_FOUND);
            }
        }
    }
}

/* N02, N03: the tenant comes before the role, for every role and all at once,
 * and SYSTEM changes nothing. */
static void test_another_tenant_is_not_found(void **state)
{
    (void)state;
    for (int verb = 0; verb <= VERB_COUNT; verb++) {
        for (uint32_t roles = 0; roles <= ALL_ROLES; roles++) {
            const struct access_facts facts = {
                .verb = (enum verb)verb,
                .roles = roles,
                .caller_has_tenant = true,
                .request_has_tenant = true,
                .initiator = roles % 2 == 0 ? INITIATOR_USER : INITIATOR_SYSTEM,
            };
            expect(&facts, REASON_NOT_FOUND);
        }
    }
}

static void test_the_services_own_people(void **state)
{
    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
            const struct access_row *row = &access_matrix[i];
            struct access_facts facts = {
                .verb = (enum verb)verb,
                .roles = row->role,
                .request_has_tenant = true,
                .initiator = INITIATOR_USER,
            };
            bool on_tenants =
                access_lists(row->of_service, row->of_service_count, verb);
            expect(&facts, on_tenants ? REASON_NONE : REASON_ROLE_REQUIRED);
            facts.tenant_matches = true; /* of no tenant all the same */
            expect(&facts, on_tenants ? REASON_NONE : REASON_ROLE_REQUIRED);
            facts.request_has_tenant = false;
            enum reason expected = REASON_NOT_FOUND;
            if (is_about_tenants_as_such(verb)) {
                expected = on_tenants ? REASON_NONE : REASON_ROLE_REQUIRED;
            } else if (is_about_own_records(verb)) {
                expected = access_lists(row->own, row->own_count, verb)
                               ? REASON_NONE
                               : REASON_ROLE_REQUIRED;
            }
            expect(&facts, expected);
        }
    }
}

/* No role and no known role: nothing. */
static void test_without_a_role(void **state)
{
    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        for (int bits = 0; bits < 4; bits++) {
            const struct access_facts facts = {
                .verb = (enum verb)verb,
                .roles = (bits & 1) == 0 ? 0 : ~ALL_ROLES,
                .caller_has_tenant = (bits & 2) != 0,
                .tenant_matches = true,
                .request_has_tenant = true,
                .initiator = INITIATOR_USER,
            };
            expect(&facts, REASON_ROLE_REQUIRED);
        }
    }
}

/* More roles allow what each of them allows, and nothing besides. */
static void test_roles_add_up(void **state)
{
    (void)state;
    for (uint32_t roles = 0; roles <= ALL_ROLES; roles++) {
        for (int verb = 0; verb < VERB_COUNT; verb++) {
            bool allowed = false;
            for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
                const struct access_row *row = &access_matrix[i];
                allowed = allowed || ((roles & (uint32_t)row->role) != 0 &&
                                      access_lists(row->of_tenant,
                                                   row->of_tenant_count, verb));
            }
            const struct access_facts facts = {
                .verb = (enum verb)verb,
                .roles = roles,
                .caller_has_tenant = true,
                .tenant_matches = true,
                .request_has_tenant = true,
                .initiator = INITIATOR_USER,
            };
            expect(&facts, allowed ? REASON_NONE : REASON_ROLE_REQUIRED);
        }
    }
}

/* refused, not downgraded; unset means USER. */
static void test_initiators(void **state)
{
    (void)state;
    static const int initiators[] = {0, INITIATOR_USER, INITIATOR_SYSTEM, 3,
                                     -1};
    static const uint32_t roles[] = {
        ROLE_WORKLOAD_EXCHANGE,
        ROLE_SYSTEM_WORKLOAD,
        ROLE_WORKLOAD_EXCHANGE | ROLE_SYSTEM_WORKLOAD,
        ROLE_TENANT_ADMIN,
        ROLE_TENANT_ADMIN | ROLE_SYSTEM_WORKLOAD,
    };
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        for (size_t r = 0; r < HF_COUNT(roles); r++) {
            for (size_t i = 0; i < HF_COUNT(initiators); i++) {
                struct access_facts facts = {
                    .verb = (enum verb)verb,
                    .roles = roles[r],
                    .caller_has_tenant = true,
                    .tenant_matches = true,
                    .request_has_tenant = true,
                    .initiator = INITIATOR_USER,
                };
                enum reason as_user = access_decide(&facts);
                bool may =
                    initiators[i] == 0 || initiators[i] == INITIATOR_USER ||
                    (initiators[i] == INITIATOR_SYSTEM && is_data_plane(verb) &&
                     (roles[r] & ROLE_SYSTEM_WORKLOAD) != 0);
                facts.initiator = (enum initiator)initiators[i];
                expect(&facts, as_user != REASON_NONE || may
                                   ? as_user
                                   : REASON_SYSTEM_NOT_ALLOWED);
            }
        }
    }
}

static void test_no_such_verb(void **state)
{
    (void)state;
    const int none[] = {VERB_COUNT, -1};
    for (size_t i = 0; i < HF_COUNT(none); i++) {
        const struct access_facts facts = {
            .verb = (enum verb)none[i],
            .roles = ALL_ROLES,
            .caller_has_tenant = true,
            .tenant_matches = true,
            .request_has_tenant = true,
        };
        expect(&facts, REASON_ROLE_REQUIRED);
        assert_int_equal(access_roles_of((enum verb)none[i]), 0);
        assert_string_equal(verb_method((enum verb)none[i]), "?");
        assert_false(access_is_data_plane((enum verb)none[i]));
    }
}

/* what looks, and nothing else. */
static void test_what_outlives_a_tenant(void **state)
{
    (void)state;
    static const enum verb looking[] = {
        VERB_GET_TENANT,           VERB_GET_PURGE,
        VERB_LIST_PURGES,          VERB_GET_PURGE_CERTIFICATE,
        VERB_LIST_PURGE_APPROVERS, VERB_GET_OPERATION,
        VERB_LIST_OPERATIONS,      VERB_WATCH_OPERATION,
        VERB_WAIT_OPERATION,       VERB_LIST_AUDIT_RECORDS,
        VERB_QUERY_AUDIT_RECORDS,  VERB_TAIL_AUDIT_RECORDS,
    };
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        assert_int_equal(access_outlives_tenant((enum verb)verb),
                         access_lists(looking, HF_COUNT(looking), verb));
    }
}

static void test_roles_of_a_verb(void **state)
{
    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        uint32_t roles = 0;
        for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
            const struct access_row *row = &access_matrix[i];
            if (access_lists(row->of_tenant, row->of_tenant_count, verb) ||
                access_lists(row->of_service, row->of_service_count, verb) ||
                access_lists(row->own, row->own_count, verb)) {
                roles |= (uint32_t)row->role;
            }
        }
        assert_int_equal(access_roles_of((enum verb)verb), roles);
        assert_true(roles != 0);
        assert_int_equal(access_is_data_plane((enum verb)verb),
                         is_data_plane(verb));
    }
}

/* of the workloads only the one that a thing belongs to, for every verb
 * and every set of roles; the others' roles count for nothing. */
static void test_a_thing_of_one_workload(void **state)
{
    (void)state;
    static const uint32_t workloads[] = {
        ROLE_WORKLOAD_EXCHANGE, ROLE_WORKLOAD_SHAREPOINT, ROLE_WORKLOAD_M365};
    for (uint32_t roles = 0; roles <= ALL_ROLES; roles++) {
        for (size_t w = 0; w < HF_COUNT(workloads); w++) {
            uint32_t others = 0;
            for (size_t i = 0; i < HF_COUNT(workloads); i++) {
                others |= i == w ? 0 : workloads[i];
            }
            for (int verb = 0; verb < VERB_COUNT; verb++) {
                struct access_facts facts = {
                    .verb = (enum verb)verb,
                    .roles = roles & ~others,
                    .caller_has_tenant = true,
                    .tenant_matches = true,
                    .request_has_tenant = true,
                    .initiator = INITIATOR_USER,
                };
                enum reason expected = access_decide(&facts);
                facts.roles = roles;
                facts.workload = workloads[w];
                if (access_decide(&facts) != expected) {
                    expect(&facts, expected);
                }
            }
        }
    }
}

/* who may make and change DEPs of which type; roles add up. */
static void test_types_that_a_role_manages(void **state)
{
    (void)state;
    static const struct {
        int type;
        uint32_t roles;
    } manage[] = {
        {DEP_TYPE_EXCHANGE_MAILBOX, ROLE_TENANT_ADMIN | ROLE_EXCHANGE_ADMIN  },
        {DEP_TYPE_MULTI_WORKLOAD,   ROLE_TENANT_ADMIN | ROLE_COMPLIANCE_ADMIN},
        {DEP_TYPE_SHAREPOINT_GEO,   ROLE_TENANT_ADMIN | ROLE_SHAREPOINT_ADMIN},
        {DEP_TYPE_SERVICE_MANAGED,  0                                        },
        {0,                         0                                        },
        {5,                         0                                        },
    };
    for (uint32_t roles = 0; roles <= ALL_ROLES; roles++) {
        for (size_t i = 0; i < HF_COUNT(manage); i++) {
            assert_int_equal(
                access_manages(roles, (enum dep_type)manage[i].type),
                (roles & manage[i].roles) != 0);
        }
    }
}

/* A few of VERB_TABLE's words, and that no two are alike. */
static void test_methods(void **state)
{
    (void)state;
    assert_string_equal(verb_method(VERB_CREATE_TENANT), "CreateTenant");
    assert_string_equal(verb_method(VERB_UNWRAP_KEY), "UnwrapKey");
    assert_string_equal(verb_method(VERB_LIST_AUDIT_RECORDS),
                        "ListAuditRecords");
    for (int a = 0; a < VERB_COUNT; a++) {
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(verb_method((enum verb)a),
                                    verb_method((enum verb)b));
        }
    }
}

/* every reason, of the own tenant and of another. */
static void test_denials(void **state)
{
    (void)state;
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        bool refused = reason == REASON_ROLE_REQUIRED ||
                       reason == REASON_SYSTEM_NOT_ALLOWED ||
                       reason == REASON_KEY_ACCESS_DENIED ||
                       reason == REASON_APPROVER_REFUSED ||
                       reason == REASON_APPROVAL_INVALID;
        assert_int_equal(access_is_denial((enum reason)reason, false), refused);
        assert_int_equal(access_is_denial((enum reason)reason, true),
                         refused || reason == REASON_NOT_FOUND);
    }
}

static void test_role_texts(void **state)
{
    (void)state;
    static const char *const none[] = {"",        "tenant",   "tenant-admins",
                                       "Auditor", "auditor ", "?"};
    for (size_t i = 0; i < HF_COUNT(access_matrix); i++) {
        assert_int_equal(access_matrix[i].role, 1u << i);
        assert_string_equal(role_text(access_matrix[i].role),
                            access_matrix[i].text);
        assert_int_equal(role_parse(access_matrix[i].text),
                         access_matrix[i].role);
    }
    for (size_t i = 0; i < HF_COUNT(none); i++) {
        assert_int_equal(role_parse(none[i]), 0);
    }
    assert_string_equal(role_text((enum role)0), "?");
    assert_string_equal(role_text((enum role)3), "?");
    assert_string_equal(role_text((enum role)(1 << ROLE_BITS)), "?");
}

/* every set of roles. */
static void test_conflicts(void **state)
{
    (void)state;
    for (uint32_t roles = 0; roles <= ALL_ROLES; roles++) {
        bool contributor = (roles & ROLE_VAULT_CONTRIBUTOR) != 0;
        bool workload = (roles & ROLE_WORKLOAD_EXCHANGE) != 0 ||
                        (roles & ROLE_WORKLOAD_SHAREPOINT) != 0 ||
                        (roles & ROLE_WORKLOAD_M365) != 0 ||
                        (roles & ROLE_SYSTEM_WORKLOAD) != 0;
        assert_int_equal(roles_conflict(roles), contributor && workload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers_of_the_tenant),
        cmocka_unit_test(test_callers_of_a_tenant_naming_none),
        cmocka_unit_test(test_another_tenant_is_not_found),
        cmocka_unit_test(test_the_services_own_people),
        cmocka_unit_test(test_without_a_role),
        cmocka_unit_test(test_roles_add_up),
        cmocka_unit_test(test_initiators),
        cmocka_unit_test(test_no_such_verb),
        cmocka_unit_test(test_what_outlives_a_tenant),
        cmocka_unit_test(test_roles_of_a_verb),
        cmocka_unit_test(test_a_thing_of_one_workload),
        cmocka_unit_test(test_types_that_a_role_manages),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_denials),
        cmocka_unit_test(test_role_texts),
        cmocka_unit_test(test_conflicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
