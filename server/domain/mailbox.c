#include "server/domain/mailbox.h"

#include "server/domain/dep.h"

bool mailbox_needs_rewrap(const struct mailbox_facts *facts)
{
    if (!facts->has_key || id_is_nil(&facts->effective.dep) ||
        id_is_nil(&facts->wanted.dep)) {
        return false;
    }
    /* generations only rise: an older one is never wanted */
    return !id_equal(&facts->effective.dep, &facts->wanted.dep) ||
           facts->effective.generation < facts->wanted.generation;
}

static enum mailbox_state state_by_key(const struct mailbox_facts *facts)
{
    if (!facts->has_key || id_is_nil(&facts->effective.dep)) {
        return MAILBOX_KEYLESS;
    }
    if (mailbox_needs_rewrap(facts)) {
        return MAILBOX_REWRAP_PENDING;
    }
    return id_equal(&facts->effective.dep, &facts->service_managed)
               ? MAILBOX_SERVICE_MANAGED
               : MAILBOX_ENCRYPTED;
}

enum mailbox_state mailbox_state_of(const struct mailbox_facts *facts)
{
    if (facts->purged) {
        return MAILBOX_PURGE_MARKED;
    }
    switch (facts->move) {
    case MOVE_NONE:
        break;
    case MOVE_UNENCRYPTED:
        return MAILBOX_NOT_ENCRYPTED;
    case MOVE_ON_ARRIVAL:
        return MAILBOX_ON_ARRIVAL;
    case MOVE_QUEUED:
        return MAILBOX_MOVE_QUEUED;
    case MOVE_MOVING:
        return MAILBOX_MOVING;
    }
    return state_by_key(facts);
}

enum home home_of(enum resource_type type, bool assigned, bool multi_workload)
{
    if (assigned) {
        return HOME_ASSIGNED;
    }
    return multi_workload && type != RESOURCE_SITE ? HOME_MULTI_WORKLOAD
                                                   : HOME_SERVICE_MANAGED;
}

bool mailbox_is_licensed(enum mailbox_kind kind, bool licensed,
                         bool tenant_licensed)
{
    switch (kind) {
    case MAILBOX_USER:
    case MAILBOX_MAIL_USER:
        return licensed;
    case MAILBOX_GROUP:
    case MAILBOX_PUBLIC_FOLDER:
    case MAILBOX_SHARED:
        return tenant_licensed;
    }
    return false;
}

HF_STATUS mailbox_may_assign(const struct mailbox_assign_facts *facts,
                             enum reason *out_reason)
{
    *out_reason = REASON_NONE;
    if (facts->assigning_none) {
        return HF_OK; /* M7: leaving is always allowed */
    }
    if (facts->dep_type != DEP_TYPE_EXCHANGE_MAILBOX) {
        *out_reason = REASON_NOT_FOUND; /* names are per type */
        return HF_E_NOT_FOUND;
    }
    if (!dep_may_assign(facts->dep_state)) {
        *out_reason = REASON_DEP_NOT_ENABLED;
        return HF_E_PRECONDITION;
    }
    if (!mailbox_is_licensed(facts->kind, facts->licensed,
                             facts->tenant_licensed)) {
        *out_reason = REASON_LICENCE_REQUIRED;
        return HF_E_PRECONDITION;
    }
    return HF_OK;
}

const char *mailbox_state_text(enum mailbox_state state)
{
    switch (state) {
    case MAILBOX_KEYLESS:
        return "KEYLESS";
    case MAILBOX_SERVICE_MANAGED:
        return "SERVICE_MANAGED";
    case MAILBOX_REWRAP_PENDING:
        return "REWRAP_PENDING";
    case MAILBOX_ENCRYPTED:
        return "ENCRYPTED";
    case MAILBOX_NOT_ENCRYPTED:
        return "NOT_ENCRYPTED";
    case MAILBOX_ON_ARRIVAL:
        return "ON_ARRIVAL";
    case MAILBOX_MOVE_QUEUED:
        return "MOVE_QUEUED";
    case MAILBOX_MOVING:
        return "MOVING";
    case MAILBOX_PURGE_MARKED:
        return "PURGE_MARKED";
    }
    return "?";
}

const char *mailbox_kind_text(enum mailbox_kind kind)
{
    switch (kind) {
    case MAILBOX_USER:
        return "USER";
    case MAILBOX_MAIL_USER:
        return "MAIL_USER";
    case MAILBOX_GROUP:
        return "GROUP";
    case MAILBOX_PUBLIC_FOLDER:
        return "PUBLIC_FOLDER";
    case MAILBOX_SHARED:
        return "SHARED";
    }
    return "?";
}
