/* types: the words the rules share. Numbers are stored and bound into
 * associated data: never reuse one.
 */
#pragma once

#include "hsm/base/ids.h"
#include "hsm/base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dep_type {
    DEP_TYPE_EXCHANGE_MAILBOX = 1,
    DEP_TYPE_MULTI_WORKLOAD = 2,
    DEP_TYPE_SHAREPOINT_GEO = 3,
    DEP_TYPE_SERVICE_MANAGED = 4, /* built in, not listed */
};

enum dep_state {
    DEP_NONE = 0,
    DEP_ENABLED = 1,
    DEP_DISABLED = 2,
    DEP_PURGE_REQUESTED = 3,
    DEP_PURGING = 4,
    DEP_PURGED = 5,
};

/* Whether resources are on their way to a newer generation. */
enum key_update {
    KEY_UPDATE_NONE = 0,
    KEY_UPDATE_REFRESHING = 1, /* new versions of the keys it has */
    KEY_UPDATE_REPLACING = 2,  /* another pair of keys */
};

enum ak_state {
    AK_NONE = 0,
    AK_ACTIVE = 1,
    AK_ROLLING = 2,
    AK_DESTROYED = 3,
};

enum residency {
    RESIDENCY_TOKEN = 1,
    RESIDENCY_MEMORY = 2,
};

enum initiator {
    INITIATOR_USER = 1, /* unset means USER */
    INITIATOR_SYSTEM = 2,
};

/* The hierarchy a resource belongs to: rows of the workload catalogue
 * follow as 16-bit numbers of their own. */
enum workload {
    WORKLOAD_EXCHANGE = 1,
    WORKLOAD_SHAREPOINT = 2,
};

/* What has a key of its own below a DEP key or TIK. */
enum resource_type {
    RESOURCE_MAILBOX = 1,
    RESOURCE_WORKLOAD = 2, /* a workload of a multi-workload DEP */
    RESOURCE_SITE = 3,     /* a SharePoint site, under a TIK     */
};

/* Purpose of a wrap, bound into its context. */
enum wrap_purpose {
    PURPOSE_COMMITMENT = 1,   /* the DEP key's key commitment */
    PURPOSE_RESOURCE_KEY = 2, /* DEP key over a resource key */
    PURPOSE_SITE_KEY = 3,     /* TIK over a site key         */
    PURPOSE_BLOB_KEY = 4,     /* site key over a blob key    */
};

/* Which of a DEP's roots. */
enum root_slot { ROOT_CK1 = 0, ROOT_CK2 = 1, ROOT_AK = 2 };
#define ROOT_SLOTS 3

/* What an administrator may give a workload identity on a customer key
 * . A bit set. */
enum permission {
    PERMISSION_GET = 1,
    PERMISSION_WRAP = 2,
    PERMISSION_UNWRAP = 4,
};

/* */
enum deletion_protection {
    PROTECTION_NONE = 1,
    PROTECTION_SOFT_DELETE = 2,
    PROTECTION_SOFT_DELETE_PURGE_PROTECTED = 3,
    PROTECTION_TOKEN_PROTECTED = 4, /* purge protected and token protected */
};

enum mailbox_kind { /* */
                    MAILBOX_USER = 1,
                    MAILBOX_MAIL_USER = 2,
                    MAILBOX_GROUP = 3,
                    MAILBOX_PUBLIC_FOLDER = 4,
                    MAILBOX_SHARED = 5,
};
