#include "server/domain/access.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

static const char *const methods[VERB_COUNT] = {
#define X(word, method) [VERB_##word] = method,
    VERB_TABLE(X)
#undef X
};

/* Who may call what; '.' is no. A caller of a tenant stands in the first twelve
 * columns, and only for things of its tenant:
 *
 *   T tenant-admin       every administrative verb that is not the operator's;
 *                        never the data plane
 *   C compliance-admin   multi-workload DEPs (access_manages)
 *   S sharepoint-admin   looks at DEPs
 *   P purge-approver     looks at DEPs and purges; signs a purge, pauses it
 *   E exchange-admin     mailbox DEPs, mailboxes and their assignments
 *   V vault-admin        registers and validates customer keys; does not change
 *                        or grant them
 *   v vault-contributor  grants, revokes, changes, deletes, recovers customer
 *                        keys
 *   W workload-exchange  the data plane of mailboxes, its mailboxes and their
 *                        moves
 *   F workload-sharepoint, M workload-m365   the same for sites and files, and
 *                        for the workloads of multi-workload DEPs
 *   Y system-workload    the data plane, as SYSTEM too
 *   A auditor            reads everything of its tenant, changes nothing
 *
 * The service's own people, who are of no tenant, stand in the last two:
 *
 *   O operator           tenants, enrolment; sees DEPs, never customer keys;
 *                        elevation is not ours to give
 *   a auditor            the service's own records
 */
#define COLUMNS_OF_TENANT  12
#define COLUMNS_OF_SERVICE 2

#define COLUMNS            (COLUMNS_OF_TENANT + COLUMNS_OF_SERVICE)

static const uint32_t columns[COLUMNS] = {
    ROLE_TENANT_ADMIN,     ROLE_COMPLIANCE_ADMIN,  ROLE_EXCHANGE_ADMIN,
    ROLE_SHAREPOINT_ADMIN, ROLE_VAULT_ADMIN,       ROLE_VAULT_CONTRIBUTOR,
    ROLE_PURGE_APPROVER,   ROLE_WORKLOAD_EXCHANGE, ROLE_WORKLOAD_SHAREPOINT,
    ROLE_WORKLOAD_M365,    ROLE_SYSTEM_WORKLOAD,   ROLE_AUDITOR,
    ROLE_OPERATOR,         ROLE_AUDITOR,
};

/* What the verb is about. */
enum subject {
    SUBJECT_SERVICE, /* tenants as such */
    SUBJECT_TENANT,  /* something of the tenant that the request names */
    /* of the tenant for its own people, of the service for the service's; none
     * gets at the other's */
    SUBJECT_OWN,
};

struct row {
    enum subject subject;
    char allowed[COLUMNS + 1];
};

/* clang-format off */
static const struct row table[VERB_COUNT] = {
    /*                                             TCESVvPWFMYAOa */
    [VERB_CREATE_TENANT] =         {SUBJECT_SERVICE, "............O."},
    [VERB_GET_TENANT] =            {SUBJECT_TENANT,  "TCESVvPWFMYAO."},
    [VERB_LIST_TENANTS] =          {SUBJECT_SERVICE, "............O."},
    [VERB_UPDATE_TENANT] =         {SUBJECT_TENANT,  "............O."},
    [VERB_DELETE_TENANT] =         {SUBJECT_TENANT,  "T............."},

    [VERB_ENROLL_TOKEN] =          {SUBJECT_TENANT,  "............O."},
    [VERB_GET_TOKEN] =             {SUBJECT_TENANT,  "TCESV......AO."},
    [VERB_LIST_TOKENS] =           {SUBJECT_TENANT,  "TCESV......AO."},
    [VERB_GET_AVAILABILITY_TOKENS] = {SUBJECT_SERVICE, "............O."},
    [VERB_ENROLL_AK_MIRROR] =      {SUBJECT_SERVICE, "............O."},
    [VERB_RETIRE_AK_MIRROR] =      {SUBJECT_SERVICE, "............O."},

    [VERB_REGISTER_CUSTOMER_KEY] = {SUBJECT_TENANT,  "T...V........."},
    [VERB_GET_CUSTOMER_KEY] =      {SUBJECT_TENANT,  "T.ESVv.....A.."},
    [VERB_LIST_CUSTOMER_KEYS] =    {SUBJECT_TENANT,  "T.ESVv.....A.."},
    [VERB_UPDATE_CUSTOMER_KEY] =   {SUBJECT_TENANT,  "T....v........"},
    [VERB_VALIDATE_CUSTOMER_KEYS] ={SUBJECT_TENANT,  "T...V........."},
    [VERB_GRANT_CUSTOMER_KEY] =    {SUBJECT_TENANT,  "T....v........"},
    [VERB_REVOKE_CUSTOMER_KEY] =   {SUBJECT_TENANT,  "T....v........"},
    [VERB_LIST_KEY_DEPENDANTS] =   {SUBJECT_TENANT,  "TCESVv.....A.."},
    [VERB_BACKUP_CATALOGUE] =      {SUBJECT_TENANT,  "T...V......A.."},
    [VERB_REBIND_KEYS] =           {SUBJECT_TENANT,  "............O."},
    [VERB_SUBMIT_ONBOARDING_REQUEST] = {SUBJECT_TENANT, "TCE..........."},
    [VERB_GET_ONBOARDING_REQUEST] = {SUBJECT_TENANT, "TCE........AO."},
    [VERB_LIST_ONBOARDING_REQUESTS] = {SUBJECT_TENANT, "TCE........AO."},
    [VERB_SOFT_DELETE_CUSTOMER_KEY] = {SUBJECT_TENANT, "T....v........"},
    [VERB_DRAFT_FORCED_CHANGE] =   {SUBJECT_TENANT,  "T....v........"},
    [VERB_RECOVER_CUSTOMER_KEY] =  {SUBJECT_TENANT,  "T....v........"},
    [VERB_LIST_DELETED_CUSTOMER_KEYS] = {SUBJECT_TENANT, "T.ESVv.....A.."},

    [VERB_CREATE_DEP] =            {SUBJECT_TENANT,  "TCE..........."},
    [VERB_GET_DEP] =               {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_LIST_DEPS] =             {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_UPDATE_DEP] =            {SUBJECT_TENANT,  "TCE..........."},
    [VERB_TEST_DEP] =              {SUBJECT_TENANT,  "TCES.........."},
    [VERB_LIST_NOTICES] =          {SUBJECT_TENANT,  "T..........A.."},

    [VERB_REGISTER_MAILBOX] =      {SUBJECT_TENANT,  "T.E....W......"},
    [VERB_UPDATE_MAILBOX] =        {SUBJECT_TENANT,  "T.E....W......"},
    [VERB_ASSIGN_MAILBOX] =        {SUBJECT_TENANT,  "T.E..........."},
    [VERB_GET_MAILBOX] =           {SUBJECT_TENANT,  "T.E....W...A.."},
    [VERB_DELETE_RESOURCE] =       {SUBJECT_TENANT,  "T............."},
    [VERB_LIST_MAILBOXES] =        {SUBJECT_TENANT,  "T.E........A.."},
    [VERB_CLAIM_MOVE] =            {SUBJECT_TENANT,  ".......W......"},
    [VERB_COMPLETE_MOVE] =         {SUBJECT_TENANT,  ".......W......"},
    [VERB_FAIL_MOVE] =             {SUBJECT_TENANT,  ".......W......"},

    [VERB_GENERATE_KEY] =          {SUBJECT_TENANT,  ".......W.MY..."},
    [VERB_WRAP_KEY] =              {SUBJECT_TENANT,  ".......W.MY..."},
    [VERB_UNWRAP_KEY] =            {SUBJECT_TENANT,  ".......W.MY..."},
    [VERB_REWRAP_KEY] =            {SUBJECT_TENANT,  ".......W.MY..."},
    [VERB_RENEW_KEY] =             {SUBJECT_TENANT,  ".......W.M...."},
    [VERB_RETIRE_EARLIER_KEYS] =   {SUBJECT_TENANT,  ".......W.M...."},

    [VERB_REWRAP_DEP] =            {SUBJECT_TENANT,  "TCE..........."},
    [VERB_REFRESH_DEP] =           {SUBJECT_TENANT,  "TCE..........."},
    [VERB_REPLACE_DEP_KEYS] =      {SUBJECT_TENANT,  "TCE..........."},
    [VERB_ASSIGN_TENANT] =         {SUBJECT_TENANT,  "TC............"},
    [VERB_GET_TENANT_ASSIGNMENT] = {SUBJECT_TENANT,  "TCE........AO."},
    [VERB_OFFBOARD_TENANT] =       {SUBJECT_TENANT,  "............O."},
    [VERB_REGISTER_WORKLOAD] =     {SUBJECT_TENANT,  "TC.....W.M...."},
    [VERB_SWITCH_WORKLOAD] =       {SUBJECT_TENANT,  "TC............"},
    [VERB_REPORT_WORKLOAD_PROGRESS]={SUBJECT_TENANT, ".......W.M...."},
    [VERB_GET_WORKLOAD] =          {SUBJECT_TENANT,  "TC.....W.M.AO."},
    [VERB_LIST_WORKLOADS] =        {SUBJECT_TENANT,  "TC.....W.M.AO."},

    [VERB_ROLL_AVAILABILITY_KEY] = {SUBJECT_TENANT,  "............O."},
    [VERB_ROLL_SERVICE_MANAGED_KEY]={SUBJECT_TENANT, "............O."},
    [VERB_GET_OPERATION] =         {SUBJECT_TENANT,  "TCES.......AO."},
    [VERB_LIST_OPERATIONS] =       {SUBJECT_TENANT,  "TCES.......AO."},
    [VERB_CANCEL_OPERATION] =      {SUBJECT_TENANT,  "TCES........O."},

    [VERB_WATCH_OPERATION] =       {SUBJECT_TENANT,  "TCES.......AO."},
    [VERB_WAIT_OPERATION] =        {SUBJECT_TENANT,  "TCES.......AO."},
    [VERB_SET_PURGE_APPROVERS] =   {SUBJECT_TENANT,  "T............."},
    [VERB_LIST_PURGE_APPROVERS] =  {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_REQUEST_PURGE] =         {SUBJECT_TENANT,  "T.E..........."},
    [VERB_RENEW_PURGE_DOCUMENT] =  {SUBJECT_TENANT,  "T.E..........."},
    [VERB_CANCEL_PURGE] =          {SUBJECT_TENANT,  "T.E..........."},
    [VERB_APPROVE_PURGE] =         {SUBJECT_TENANT,  "......P......."},
    [VERB_EXECUTE_PURGE] =         {SUBJECT_TENANT,  "............O."},
    [VERB_PAUSE_PURGE] =           {SUBJECT_TENANT,  "T.....P......."},
    [VERB_RESUME_PURGE] =          {SUBJECT_TENANT,  "......P......."},
    [VERB_GET_PURGE] =             {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_LIST_PURGES] =           {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_GET_PURGE_CERTIFICATE] = {SUBJECT_TENANT,  "TCES..P....AO."},
    [VERB_REGISTER_GEO] =          {SUBJECT_TENANT,  "T..S.........."},
    [VERB_ROLL_GEO_KEY] =          {SUBJECT_TENANT,  "T..S.........."},
    [VERB_GET_GEO] =               {SUBJECT_TENANT,  "T..S.......AO."},
    [VERB_LIST_GEOS] =             {SUBJECT_TENANT,  "T..S.......AO."},
    [VERB_FLUSH_TIK] =             {SUBJECT_TENANT,  "T..S.........."},
    [VERB_REQUEST_RECOVERY] =      {SUBJECT_TENANT,  "T..S.........."},
    [VERB_ENABLE_RECOVERY] =       {SUBJECT_TENANT,  "............O."},
    [VERB_CONFIRM_RECOVERY] =      {SUBJECT_TENANT,  "............O."},
    [VERB_RESTORE_GEO] =           {SUBJECT_TENANT,  "T..S.........."},
    [VERB_REGISTER_SITE] =         {SUBJECT_TENANT,  "T..S....F....."},
    [VERB_GET_SITE] =              {SUBJECT_TENANT,  "T..S....F..A.."},
    [VERB_LIST_SITES] =            {SUBJECT_TENANT,  "T..S.......A.."},

    [VERB_CREATE_SITE_KEY] =       {SUBJECT_TENANT,  "........F.Y..."},
    [VERB_UNWRAP_SITE_KEY] =       {SUBJECT_TENANT,  "........F.Y..."},
    [VERB_WRAP_BLOB_KEY] =         {SUBJECT_TENANT,  "........F.Y..."},
    [VERB_UNWRAP_BLOB_KEY] =       {SUBJECT_TENANT,  "........F.Y..."},

    [VERB_LIST_AUDIT_RECORDS] =    {SUBJECT_OWN,     "T..........AOa"},
    [VERB_QUERY_AUDIT_RECORDS] =   {SUBJECT_OWN,     "T..........AOa"},
    [VERB_TAIL_AUDIT_RECORDS] =    {SUBJECT_OWN,     "T..........AOa"},
    [VERB_LIST_CHECKPOINTS] =      {SUBJECT_OWN,     "T..........AOa"},
};
/* clang-format on */

static const struct row *row_of(enum verb verb)
{
    return (unsigned)verb < VERB_COUNT ? &table[verb] : NULL;
}

static uint32_t roles_in(const struct row *row, size_t from, size_t to)
{
    uint32_t roles = 0;
    for (size_t i = from; i < to; i++) {
        if (row->allowed[i] != '.') {
            roles |= columns[i];
        }
    }
    return roles;
}

/* A workload gets at what is its own, and at nobody else's. */
static uint32_t roles_of_other_workloads(uint32_t workload)
{
    const uint32_t all =
        ROLE_WORKLOAD_EXCHANGE | ROLE_WORKLOAD_SHAREPOINT | ROLE_WORKLOAD_M365;
    return workload == 0 ? 0 : all & ~workload;
}

/* Which roles suffice for this caller: none for a service's own role in the
 * hands of a tenant's caller, and the other way round. */
static uint32_t sufficient_roles(const struct row *row,
                                 const struct access_facts *facts)
{
    if (row->subject == SUBJECT_OWN &&
        facts->caller_has_tenant != facts->request_has_tenant) {
        return 0;
    }
    uint32_t roles = facts->caller_has_tenant
                         ? roles_in(row, 0, COLUMNS_OF_TENANT)
                         : roles_in(row, COLUMNS_OF_TENANT, COLUMNS);
    return roles & ~roles_of_other_workloads(facts->workload);
}

/* SYSTEM is for the data plane, and for who holds the right to it. */
static bool initiator_is_allowed(const struct access_facts *facts)
{
    if (facts->initiator == INITIATOR_USER || facts->initiator == 0) {
        return true;
    }
    return facts->initiator == INITIATOR_SYSTEM &&
           access_is_data_plane(facts->verb) &&
           (facts->roles & ROLE_SYSTEM_WORKLOAD) != 0;
}

enum reason access_decide(const struct access_facts *facts)
{
    const struct row *row = row_of(facts->verb);
    if (facts->caller_has_tenant && facts->request_has_tenant &&
        !facts->tenant_matches) {
        return REASON_NOT_FOUND;
    }
    if (row == NULL) {
        return REASON_ROLE_REQUIRED;
    }
    if (row->subject == SUBJECT_TENANT && !facts->request_has_tenant) {
        return REASON_NOT_FOUND;
    }
    if ((facts->roles & sufficient_roles(row, facts)) == 0) {
        return REASON_ROLE_REQUIRED;
    }
    return initiator_is_allowed(facts) ? REASON_NONE
                                       : REASON_SYSTEM_NOT_ALLOWED;
}

uint32_t access_roles_of(enum verb verb)
{
    const struct row *row = row_of(verb);
    return row == NULL ? 0 : roles_in(row, 0, COLUMNS);
}

bool access_manages(uint32_t roles, enum dep_type type)
{
    uint32_t sufficient = 0;
    switch (type) {
    case DEP_TYPE_EXCHANGE_MAILBOX:
        sufficient = ROLE_TENANT_ADMIN | ROLE_EXCHANGE_ADMIN;
        break;
    case DEP_TYPE_MULTI_WORKLOAD:
        sufficient = ROLE_TENANT_ADMIN | ROLE_COMPLIANCE_ADMIN;
        break;
    case DEP_TYPE_SHAREPOINT_GEO:
        sufficient = ROLE_TENANT_ADMIN | ROLE_SHAREPOINT_ADMIN;
        break;
    case DEP_TYPE_SERVICE_MANAGED:
        break; /* the service's alone */
    }
    return (roles & sufficient) != 0;
}

bool access_is_denial(enum reason reason, bool of_another_tenant)
{
    return reason_code(reason) == ANSWER_PERMISSION_DENIED ||
           (reason == REASON_NOT_FOUND && of_another_tenant);
}

bool access_outlives_tenant(enum verb verb)
{
    static const enum verb verbs[] = {
        VERB_GET_TENANT,           VERB_GET_PURGE,
        VERB_LIST_PURGES,          VERB_GET_PURGE_CERTIFICATE,
        VERB_LIST_PURGE_APPROVERS, VERB_GET_OPERATION,
        VERB_LIST_OPERATIONS,      VERB_WATCH_OPERATION,
        VERB_WAIT_OPERATION,       VERB_LIST_AUDIT_RECORDS,
        VERB_QUERY_AUDIT_RECORDS,  VERB_TAIL_AUDIT_RECORDS,
    };
    for (size_t i = 0; i < HF_COUNT(verbs); i++) {
        if (verbs[i] == verb) {
            return true;
        }
    }
    return false;
}

bool access_is_data_plane(enum verb verb)
{
    static const enum verb verbs[] = {
        VERB_GENERATE_KEY,        VERB_WRAP_KEY,        VERB_UNWRAP_KEY,
        VERB_REWRAP_KEY,          VERB_CREATE_SITE_KEY, VERB_UNWRAP_SITE_KEY,
        VERB_WRAP_BLOB_KEY,       VERB_UNWRAP_BLOB_KEY, VERB_RENEW_KEY,
        VERB_RETIRE_EARLIER_KEYS,
    };
    for (size_t i = 0; i < HF_COUNT(verbs); i++) {
        if (verbs[i] == verb) {
            return true;
        }
    }
    return false;
}

const char *verb_method(enum verb verb)
{
    return (unsigned)verb < VERB_COUNT ? methods[verb] : "?";
}

static const char *const role_texts[ROLE_BITS] = {
    "tenant-admin",     "compliance-admin",  "exchange-admin",
    "sharepoint-admin", "vault-admin",       "vault-contributor",
    "purge-approver",   "workload-exchange", "system-workload",
    "operator",         "auditor",           "workload-sharepoint",
    "workload-m365",
};
_Static_assert(ROLE_WORKLOAD_M365 == 1 << (ROLE_BITS - 1), "one text per bit");

const char *role_text(enum role role)
{
    for (size_t i = 0; i < ROLE_BITS; i++) {
        if ((uint32_t)role == 1u << i) {
            return role_texts[i];
        }
    }
    return "?";
}

uint32_t role_parse(const char *text)
{
    for (size_t i = 0; i < ROLE_BITS; i++) {
        if (bytes_equal(bytes_of_text(text), bytes_of_text(role_texts[i]))) {
            return 1u << i;
        }
    }
    return 0;
}

bool roles_conflict(uint32_t roles)
{
    return (roles & ROLE_VAULT_CONTRIBUTOR) != 0 &&
           (roles & (ROLE_WORKLOAD_EXCHANGE | ROLE_WORKLOAD_SHAREPOINT |
                     ROLE_WORKLOAD_M365 | ROLE_SYSTEM_WORKLOAD)) != 0;
}
