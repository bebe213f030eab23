/* access: who may call what.
 *
 * A table of verb x role. The tenant comes first and elsewhere: a caller of
 * another tenant is told NOT_FOUND before any role is asked (access_decide).
 */
#pragma once

#include "server/domain/reason.h"
#include "server/domain/types.h"

/* Bits.. */
enum role {
    ROLE_TENANT_ADMIN = 1 << 0,
    ROLE_COMPLIANCE_ADMIN = 1 << 1,
    ROLE_EXCHANGE_ADMIN = 1 << 2,
    ROLE_SHAREPOINT_ADMIN = 1 << 3,
    ROLE_VAULT_ADMIN = 1 << 4,
    ROLE_VAULT_CONTRIBUTOR = 1 << 5,
    ROLE_PURGE_APPROVER = 1 << 6,
    ROLE_WORKLOAD_EXCHANGE = 1 << 7,
    ROLE_SYSTEM_WORKLOAD = 1 << 8, /* may say SYSTEM */
    ROLE_OPERATOR = 1 << 9,
    ROLE_AUDITOR = 1 << 10,
    ROLE_WORKLOAD_SHAREPOINT = 1 << 11,
    ROLE_WORKLOAD_M365 = 1 << 12, /* "Microsoft 365 data at rest" */
};
#define ROLE_BITS 13

/* One row per RPC: the verb's word is the method's name. */
#define VERB_TABLE(X)                                                          \
    X(CREATE_TENANT, "CreateTenant")                                           \
    X(GET_TENANT, "GetTenant")                                                 \
    X(LIST_TENANTS, "ListTenants")                                             \
    X(UPDATE_TENANT, "UpdateTenant")                                           \
    X(DELETE_TENANT, "DeleteTenant")                                           \
    X(ENROLL_TOKEN, "EnrollToken")                                             \
    X(GET_TOKEN, "GetToken")                                                   \
    X(LIST_TOKENS, "ListTokens")                                               \
    X(GET_AVAILABILITY_TOKENS, "GetAvailabilityTokens")                        \
    X(ENROLL_AK_MIRROR, "EnrollAkMirror")                                      \
    X(RETIRE_AK_MIRROR, "RetireAkMirror")                                      \
    X(REGISTER_CUSTOMER_KEY, "RegisterCustomerKey")                            \
    X(GET_CUSTOMER_KEY, "GetCustomerKey")                                      \
    X(LIST_CUSTOMER_KEYS, "ListCustomerKeys")                                  \
    X(UPDATE_CUSTOMER_KEY, "UpdateCustomerKey")                                \
    X(VALIDATE_CUSTOMER_KEYS, "ValidateCustomerKeys")                          \
    X(GRANT_CUSTOMER_KEY, "GrantCustomerKey")                                  \
    X(REVOKE_CUSTOMER_KEY, "RevokeCustomerKey")                                \
    X(CREATE_DEP, "CreateDep")                                                 \
    X(GET_DEP, "GetDep")                                                       \
    X(LIST_DEPS, "ListDeps")                                                   \
    X(UPDATE_DEP, "UpdateDep")                                                 \
    X(TEST_DEP, "TestDep")                                                     \
    X(LIST_NOTICES, "ListNotices")                                             \
    X(REGISTER_MAILBOX, "RegisterMailbox")                                     \
    X(UPDATE_MAILBOX, "UpdateMailbox")                                         \
    X(ASSIGN_MAILBOX, "AssignMailbox")                                         \
    X(GET_MAILBOX, "GetMailbox")                                               \
    X(DELETE_RESOURCE, "DeleteResource")                                       \
    X(LIST_MAILBOXES, "ListMailboxes")                                         \
    X(CLAIM_MOVE, "ClaimMove")                                                 \
    X(COMPLETE_MOVE, "CompleteMove")                                           \
    X(FAIL_MOVE, "FailMove")                                                   \
    X(GENERATE_KEY, "GenerateKey")                                             \
    X(WRAP_KEY, "WrapKey")                                                     \
    X(UNWRAP_KEY, "UnwrapKey")                                                 \
    X(REWRAP_KEY, "RewrapKey")                                                 \
    X(RENEW_KEY, "RenewKey")                                                   \
    X(RETIRE_EARLIER_KEYS, "RetireEarlierKeys")                                \
    X(REWRAP_DEP, "RewrapDep")                                                 \
    X(REFRESH_DEP, "RefreshDep")                                               \
    X(REPLACE_DEP_KEYS, "ReplaceDepKeys")                                      \
    X(LIST_KEY_DEPENDANTS, "ListKeyDependants")                                \
    X(ASSIGN_TENANT, "AssignTenant")                                           \
    X(GET_TENANT_ASSIGNMENT, "GetTenantAssignment")                            \
    X(OFFBOARD_TENANT, "OffboardTenant")                                       \
    X(REGISTER_WORKLOAD, "RegisterWorkload")                                   \
    X(SWITCH_WORKLOAD, "SwitchWorkload")                                       \
    X(REPORT_WORKLOAD_PROGRESS, "ReportWorkloadProgress")                      \
    X(GET_WORKLOAD, "GetWorkload")                                             \
    X(LIST_WORKLOADS, "ListWorkloads")                                         \
    X(ROLL_AVAILABILITY_KEY, "RollAvailabilityKey")                            \
    X(SOFT_DELETE_CUSTOMER_KEY, "SoftDeleteCustomerKey")                       \
    X(RECOVER_CUSTOMER_KEY, "RecoverCustomerKey")                              \
    X(LIST_DELETED_CUSTOMER_KEYS, "ListDeletedCustomerKeys")                   \
    X(DRAFT_FORCED_CHANGE, "DraftForcedChange")                                \
    X(BACKUP_CATALOGUE, "BackupCatalogue")                                     \
    X(REBIND_KEYS, "RebindKeys")                                               \
    X(SUBMIT_ONBOARDING_REQUEST, "SubmitOnboardingRequest")                    \
    X(GET_ONBOARDING_REQUEST, "GetOnboardingRequest")                          \
    X(LIST_ONBOARDING_REQUESTS, "ListOnboardingRequests")                      \
    X(ROLL_SERVICE_MANAGED_KEY, "RollServiceManagedKey")                       \
    X(GET_OPERATION, "GetOperation")                                           \
    X(LIST_OPERATIONS, "ListOperations")                                       \
    X(CANCEL_OPERATION, "CancelOperation")                                     \
    X(REGISTER_GEO, "RegisterGeo")                                             \
    X(ROLL_GEO_KEY, "RollGeoKey")                                              \
    X(GET_GEO, "GetGeo")                                                       \
    X(LIST_GEOS, "ListGeos")                                                   \
    X(FLUSH_TIK, "FlushTik")                                                   \
    X(REQUEST_RECOVERY, "RequestRecovery")                                     \
    X(ENABLE_RECOVERY, "EnableRecovery")                                       \
    X(CONFIRM_RECOVERY, "ConfirmRecovery")                                     \
    X(RESTORE_GEO, "RestoreGeo")                                               \
    X(REGISTER_SITE, "RegisterSite")                                           \
    X(GET_SITE, "GetSite")                                                     \
    X(LIST_SITES, "ListSites")                                                 \
    X(CREATE_SITE_KEY, "CreateSiteKey")                                        \
    X(UNWRAP_SITE_KEY, "UnwrapSiteKey")                                        \
    X(WRAP_BLOB_KEY, "WrapBlobKey")                                            \
    X(UNWRAP_BLOB_KEY, "UnwrapBlobKey")                                        \
    X(WATCH_OPERATION, "WatchOperation")                                       \
    X(WAIT_OPERATION, "WaitOperation")                                         \
    X(SET_PURGE_APPROVERS, "SetPurgeApprovers")                                \
    X(LIST_PURGE_APPROVERS, "ListPurgeApprovers")                              \
    X(REQUEST_PURGE, "RequestPurge")                                           \
    X(RENEW_PURGE_DOCUMENT, "RenewPurgeDocument")                              \
    X(CANCEL_PURGE, "CancelPurge")                                             \
    X(APPROVE_PURGE, "ApprovePurge")                                           \
    X(EXECUTE_PURGE, "ExecutePurge")                                           \
    X(PAUSE_PURGE, "PausePurge")                                               \
    X(RESUME_PURGE, "ResumePurge")                                             \
    X(GET_PURGE, "GetPurge")                                                   \
    X(LIST_PURGES, "ListPurges")                                               \
    X(GET_PURGE_CERTIFICATE, "GetPurgeCertificate")                            \
    X(LIST_AUDIT_RECORDS, "ListAuditRecords")                                  \
    X(QUERY_AUDIT_RECORDS, "QueryAuditRecords")                                \
    X(TAIL_AUDIT_RECORDS, "TailAuditRecords")                                  \
    X(LIST_CHECKPOINTS, "ListCheckpoints")

enum verb {
#define X(word, method) VERB_##word,
    VERB_TABLE(X)
#undef X
        VERB_COUNT
};

struct access_facts {
    enum verb verb;
    uint32_t roles;         /* of the caller, enum role bits */
    bool caller_has_tenant; /* false: the service's own people */
    bool tenant_matches;    /* the request names the caller's tenant */
    bool request_has_tenant;
    enum initiator initiator; /* data plane; USER elsewhere */
    /* the role of the workload that the resource belongs to: of the
     * workloads, only that one is let in. 0: not about one workload's thing */
    uint32_t workload;
};

/* access_decide: REASON_NONE when allowed; else, the first that holds:
 *   NOT_FOUND           another tenant's anything; no tenant named where the
 *                       verb is about one
 *   ROLE_REQUIRED       the operator's role counts only for callers without a
 *                       tenant, all others but auditor only for callers of one
 *   SYSTEM_NOT_ALLOWED  SYSTEM without its right, refused and not downgraded
 */
enum reason access_decide(const struct access_facts *facts);

/* access_roles_of: every role that may call it, of tenant and service. */
uint32_t access_roles_of(enum verb verb);
/* access_manages: may one with these roles make, change and assign a DEP of
 * this type? Beside the verb's own row. */
bool access_manages(uint32_t roles, enum dep_type type);
/* access_outlives_tenant: looks at what is left of a tenant that was deleted
 * what happened, and what was destroyed. */
bool access_outlives_tenant(enum verb verb);

/* access_is_denial: must the chain hold this refusal? What is refused
 * by right or role, and what is asked of another tenant and called missing. */
bool access_is_denial(enum reason reason, bool of_another_tenant);
bool access_is_data_plane(enum verb verb);
const char *verb_method(enum verb verb);
/* role_text / role_parse: "tenant-admin", ...; role_parse gives 0 if unknown.
 */
const char *role_text(enum role role);
uint32_t role_parse(const char *text);
/* roles_conflict: vault-contributor with any workload role. */
bool roles_conflict(uint32_t roles);
