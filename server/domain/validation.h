/* validation: the checks of a pair of customer keys,
 * all reported together, never only the first.
 *
 * What fails a production tenant and warns any other: a test token,
 * software, less than 90 days of soft delete or no purge protection
 * no licence. What only ever warns: an imported key,
 * a shared token, no purge approvers (R-11.2: a purge waits for them,
 * the data does not), a token that is not protected, except that SHAREPOINT_GEO
 * needs it. Everything else fails everybody.
 *
 * A token that does not answer fails KEY_EXISTS, and what could not be measured
 * is SKIPPED; a round trip is SKIPPED where another check has failed that makes
 * it impossible. So a report that passed has had both round trips.
 */
#pragma once

#include "server/domain/types.h"

/* Stable codes, in the order they are reported. */
#define CHECK_TABLE(X)                                                         \
    X(TWO_CUSTODY_DOMAINS)                                                     \
    X(TWO_TOKENS)                                                              \
    X(DOMAIN_ELIGIBLE)                                                         \
    X(TOKEN_IN_DOMAIN)                                                         \
    X(KEY_EXISTS)                                                              \
    X(KEY_TYPE)                                                                \
    X(KEY_SIZE)                                                                \
    X(KEY_ENABLED)                                                             \
    X(KEY_NO_EXPIRY)                                                           \
    X(KEY_NOT_BEFORE)                                                          \
    X(KEY_NON_EXPORTABLE)                                                      \
    X(KEY_OPS)                                                                 \
    X(PERM_GET)                                                                \
    X(PERM_WRAP)                                                               \
    X(PERM_UNWRAP)                                                             \
    X(SOFT_DELETE_90D)                                                         \
    X(PURGE_PROTECTION)                                                        \
    X(TOKEN_PROTECTED)                                                         \
    X(HSM_BACKED)                                                              \
    X(MECHANISM_PROBE)                                                         \
    X(ROUND_TRIP)                                                              \
    X(TOKEN_SHARED)                                                            \
    X(KEYS_DISTINCT)                                                           \
    X(APPROVERS_RECORDED)                                                      \
    X(LICENCE)                                                                 \
    X(COPY_OPENS) /* of a DEP there is (R-11.10): no check of a pair of keys   \
                   */

enum check_code {
#define X(code) CHECK_##code,
    CHECK_TABLE(X)
#undef X
        CHECK_CODE_COUNT
};
/* those before it are what validation_run reports */
#define VALIDATION_CHECK_COUNT CHECK_COPY_OPENS

enum check_status {
    CHECK_PASS = 1,
    CHECK_FAIL = 2,
    CHECK_WARN = 3,
    CHECK_SKIPPED = 4
};
/* */
enum check_evidence {
    EVIDENCE_MEASURED = 1,
    EVIDENCE_ATTESTED = 2,
    EVIDENCE_DECLARED = 3
};

/* What the key itself is limited to (CKA_ALLOWED_MECHANISMS). */
enum key_mechanisms {
    KEY_MECHANISMS_ANY, /* it is not, or its token does not tell */
    KEY_MECHANISMS_OAEP_ONLY,
    KEY_MECHANISMS_OAEP_TOO,
    KEY_MECHANISMS_NO_OAEP
};

/* What is known of one of the two keys and its token. Unknown is false or
 * zero, and the check then fails or is skipped, with the reason. */
struct key_facts {
    bool reachable; /* the token answered; else measured checks SKIPPED */
    bool exists;
    bool is_rsa;
    uint32_t bits;
    bool deleted; /* soft-deleted or gone */
    bool enabled;
    int64_t not_before_ms;
    int64_t expires_ms;
    bool sensitive;
    bool extractable;
    bool always_sensitive;
    bool never_extractable;
    bool imported;
    enum key_mechanisms mechanisms;
    bool can_unwrap;  /* token residency */
    bool can_decrypt; /* memory residency */
    /* what its token lacks for residency TOKEN, in words; "": nothing */
    char token_lacks[96];
    bool mechanism_ok; /* a wrap suite was found by probing */
    bool round_trip_ok;
    bool has_get;
    bool has_wrap;
    bool has_unwrap;
    struct hf_id key_record; /* to compare the two */
    uint8_t fingerprint[HF_SHA256_BYTES];
    struct hf_id token_record;
    char token_serial[17];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    bool domain_declared; /* the domain is in the configuration */
    bool token_in_domain; /* the enrolment's domain is the token's */
    /* in which the token should be, by who asks; "": not stated */
    char stated_domain[HF_NAME_MAX_BYTES + 1];
    bool test_only;
    bool hardware;
    enum deletion_protection protection;
    uint32_t retention_days;
    bool token_used_by_other_dep;
    int64_t measured_ms;
};

struct validation_facts {
    struct key_facts keys[HF_CUSTOMER_KEYS_PER_DEP];
    enum dep_type dep_type;
    enum residency residency;
    bool production_tenant;
    bool approvers_recorded; /* who may approve a purge */
    bool licensed;
    int64_t now_ms;
};

struct check_result {
    enum check_code code;
    int key; /* 0 or 1; -1: about the pair */
    enum check_status status;
    enum check_evidence evidence;
    int64_t time_ms; /* when it was measured, or looked up */
    char text[160];  /* what was found and what would be right */
};

#define CHECK_RESULTS_MAX (2 * CHECK_CODE_COUNT)

struct validation_report {
    struct check_result results[CHECK_RESULTS_MAX];
    size_t count;
    bool passed; /* no FAIL */
};

/* validation_run: every check that applies, in the order of the table; per-key
 * checks for key 0 then key 1. Test tokens and software keys fail for a
 * production tenant and warn otherwise. */
void validation_run(const struct validation_facts *facts,
                    struct validation_report *out);
const char *check_code_text(enum check_code code);
const char *check_status_text(enum check_status status);
const char *check_evidence_text(enum check_evidence evidence);
