/* reason: why a call was not answered with success, as callers see it.
 *
 * One row per reason: the machine-readable word of google.rpc.ErrorInfo (domain
 * "holdfast"), and the canonical code it travels under. Texts for
 * people are written where the facts are known. A reason exists only if a
 * client would act differently; for USER callers none tells which customer key
 * or token failed, and another tenant's things are NOT_FOUND, like
 * missing ones.
 */
#pragma once

/* The canonical codes, with their numbers on the wire (google.rpc.Code). */
enum answer_code {
    ANSWER_OK = 0,
    ANSWER_CANCELLED = 1,
    ANSWER_UNKNOWN = 2,
    ANSWER_INVALID_ARGUMENT = 3,
    ANSWER_DEADLINE_EXCEEDED = 4,
    ANSWER_NOT_FOUND = 5,
    ANSWER_ALREADY_EXISTS = 6,
    ANSWER_PERMISSION_DENIED = 7,
    ANSWER_RESOURCE_EXHAUSTED = 8,
    ANSWER_FAILED_PRECONDITION = 9,
    ANSWER_ABORTED = 10,
    ANSWER_OUT_OF_RANGE = 11,
    ANSWER_UNIMPLEMENTED = 12,
    ANSWER_INTERNAL = 13,
    ANSWER_UNAVAILABLE = 14,
    ANSWER_DATA_LOSS = 15,
    ANSWER_UNAUTHENTICATED = 16,
};

/* word, canonical code */
#define REASON_TABLE(X)                                                        \
    X(NONE, OK)                                                                \
    /* the request */                                                          \
    X(FIELD_INVALID, INVALID_ARGUMENT)                                         \
    X(KEY_TYPE, INVALID_ARGUMENT)             /* R-2.12 */                     \
    X(WORKLOAD_NOT_COVERED, INVALID_ARGUMENT) /* R-15.20 */                    \
    X(REQUEST_ID_REUSED, INVALID_ARGUMENT)    /* other content, same id */     \
    X(NOT_FOUND, NOT_FOUND)                                                    \
    X(NAME_TAKEN, ALREADY_EXISTS)                                              \
    X(ALREADY_REGISTERED, ALREADY_EXISTS)                                      \
    X(METHOD_UNKNOWN, UNIMPLEMENTED)                                           \
    X(REQUEST_TOO_LARGE, RESOURCE_EXHAUSTED)                                   \
    /* the caller */                                                           \
    X(IDENTITY_UNKNOWN, UNAUTHENTICATED)                                       \
    X(ROLE_REQUIRED, PERMISSION_DENIED)                                        \
    X(SYSTEM_NOT_ALLOWED, PERMISSION_DENIED) /* R-6.2 */                       \
    X(KEY_ACCESS_DENIED, PERMISSION_DENIED)  /* table 6-B */                   \
    /* the state of things */                                                  \
    X(VALIDATION_FAILED, FAILED_PRECONDITION) /* R-4.17, with the checks */    \
    X(DEP_LIMIT, RESOURCE_EXHAUSTED)          /* R-3.2; no RetryInfo */        \
    X(AK_TOKEN_FULL, RESOURCE_EXHAUSTED)      /* R-15.5; no RetryInfo */       \
    X(DEP_NOT_ENABLED, FAILED_PRECONDITION)                                    \
    X(DEP_IN_USE, FAILED_PRECONDITION)     /* T3 */                            \
    X(STATE_CONFLICT, FAILED_PRECONDITION) /* R-3.13 */                        \
    X(KEY_OPS, FAILED_PRECONDITION)        /* R-15.3 residency */              \
    X(KEY_DESTROYED, FAILED_PRECONDITION)                                      \
    X(TENANT_DELETED, FAILED_PRECONDITION)   /* R-15.17 */                     \
    X(KEY_RETIRED, FAILED_PRECONDITION)      /* R-15.15 */                     \
    X(KEY_IN_USE, FAILED_PRECONDITION)       /* R-7.13 */                      \
    X(LICENCE_REQUIRED, FAILED_PRECONDITION) /* R-5.8 */                       \
    X(TOKEN_OF_TENANT, NOT_FOUND)            /* R-15.14 */                     \
    X(TEST_TOKEN, FAILED_PRECONDITION)       /* R-4.2 */                       \
    X(SEALS_EXHAUSTED, FAILED_PRECONDITION)  /* crypto.md: 2^31 */             \
    X(OPERATION_NOT_CANCELLABLE, FAILED_PRECONDITION)                          \
    X(KEY_MISMATCH, FAILED_PRECONDITION)         /* R-4.19 */                  \
    X(VALIDATION_REQUIRED, FAILED_PRECONDITION)  /* R-11.8 */                  \
    X(SCENARIO_NOT_ENABLED, FAILED_PRECONDITION) /* R-11.8 */                  \
    X(NOTHING_TO_REFRESH, FAILED_PRECONDITION)   /* R-7.6 */                   \
    X(GENERATION_LIMIT, FAILED_PRECONDITION)                                   \
    X(GEO_NOT_REGISTERED, FAILED_PRECONDITION)     /* R-5.21 */                \
    X(ROLL_IN_PROGRESS, FAILED_PRECONDITION)       /* S5 */                    \
    X(RECOVERY_NOT_ENABLED, FAILED_PRECONDITION)   /* S8 */                    \
    X(SECOND_PERSON_REQUIRED, FAILED_PRECONDITION) /* R-8.6 */                 \
    X(ROLLBACK_UNSUPPORTED, FAILED_PRECONDITION)   /* S10 */                   \
    X(CUSTOMER_KEY_DENIED, FAILED_PRECONDITION)    /* R-9.9 */                 \
    X(KEYS_STILL_USABLE, FAILED_PRECONDITION)      /* T8, R-9.11 */            \
    X(EARLIER_WRAPS, FAILED_PRECONDITION)          /* R-15.15 */               \
    X(HOLD_RUNNING, FAILED_PRECONDITION)           /* R-9.16 */                \
    X(APPROVERS_MISSING, FAILED_PRECONDITION)      /* R-11.2 */                \
    X(APPROVER_REFUSED, PERMISSION_DENIED)         /* R-9.14 */                \
    X(APPROVAL_INVALID, PERMISSION_DENIED)         /* N60 */                   \
    X(ETAG_MISMATCH, ABORTED)                                                  \
    X(CONFLICT, ABORTED) /* lost every race; repeat */                         \
    /* the keys and the service */                                             \
    X(BLOB_INVALID, DATA_LOSS)                                                 \
    X(RECORD_INVALID, DATA_LOSS) /* R-15.7 */                                  \
    X(KEY_UNAVAILABLE, UNAVAILABLE)                                            \
    X(SERVICE_UNAVAILABLE, UNAVAILABLE)                                        \
    X(OVERLOADED, RESOURCE_EXHAUSTED) /* with RetryInfo */                     \
    X(DEADLINE_PASSED, DEADLINE_EXCEEDED)                                      \
    X(CANCELLED, CANCELLED)                                                    \
    X(INTERNAL, INTERNAL)

enum reason {
#define X(word, code) REASON_##word,
    REASON_TABLE(X)
#undef X
        REASON_COUNT
};

const char *reason_word(enum reason reason);
enum answer_code reason_code(enum reason reason);
