/* diagnosis: what is wrong with a token, and the next command to type: for a
 * person at three in the morning. Looking never makes it worse: no PIN is tried
 * unless it is asked for, then once, and never where few tries are left. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

#include <stdbool.h>
#include <stddef.h>

enum severity {
    SEVERITY_NOTE,    /* as it is: nothing to do            */
    SEVERITY_WARNING, /* serves, and will hurt one day      */
    SEVERITY_FAULT,   /* does not serve, or must not        */
};

/* code, name, severity, what it means for the exit code */
#define FINDING_TABLE(X)                                                       \
    X(FINDING_CLOCK, "clock", WARNING, HF_OK)                                  \
    X(FINDING_MEMLOCK, "memlock", WARNING, HF_OK)                              \
    X(FINDING_MODULE_MISSING, "module_missing", FAULT, HF_E_NOT_FOUND)         \
    X(FINDING_MODULE_ARCHITECTURE, "module_architecture", FAULT,               \
      HF_E_UNREACHABLE)                                                        \
    X(FINDING_MODULE_LOAD, "module_not_loadable", FAULT, HF_E_UNREACHABLE)     \
    X(FINDING_SOFTHSM_CONF, "softhsm_configuration", FAULT, HF_E_NOT_FOUND)    \
    X(FINDING_SOFTHSM_DIR, "softhsm_directory", FAULT, HF_E_UNREACHABLE)       \
    X(FINDING_SOFTHSM_OWNER, "softhsm_owner", WARNING, HF_OK)                  \
    X(FINDING_DISK_FULL, "disk_full", FAULT, HF_E_UNREACHABLE)                 \
    X(FINDING_TOKEN_MISSING, "token_missing", FAULT, HF_E_NOT_FOUND)           \
    X(FINDING_TOKEN_TWICE, "token_twice", FAULT, HF_E_INVALID)                 \
    X(FINDING_PIN_NEVER_SET, "pin_never_set", FAULT, HF_E_DENIED)              \
    X(FINDING_PIN_LOCKED, "pin_locked", FAULT, HF_E_DENIED)                    \
    X(FINDING_PIN_FINAL_TRY, "pin_final_try", FAULT, HF_E_DENIED)              \
    X(FINDING_PIN_COUNT_LOW, "pin_count_low", WARNING, HF_OK)                  \
    X(FINDING_SO_PIN, "officer_pin", WARNING, HF_OK)                           \
    X(FINDING_PIN_NOT_TRIED, "pin_not_tried", NOTE, HF_OK)                     \
    X(FINDING_PIN_REFUSED, "pin_refused", FAULT, HF_E_DENIED)                  \
    X(FINDING_WRITE_PROTECTED, "write_protected", WARNING, HF_OK)              \
    X(FINDING_SESSIONS, "no_sessions", FAULT, HF_E_UNREACHABLE)                \
    X(FINDING_SELF_TEST, "self_test", FAULT, HF_E_DENIED)                      \
    X(FINDING_NOT_OPENED, "not_opened", FAULT, HF_E_UNREACHABLE)               \
    X(FINDING_CANARY_MISSING, "canary_missing", WARNING, HF_OK)                \
    X(FINDING_CANARY_SILENT, "canary_silent", FAULT, HF_E_UNREACHABLE)         \
    X(FINDING_CUSTODY_MISSING, "custody_missing", WARNING, HF_OK)              \
    X(FINDING_CUSTODY_DAMAGED, "custody_damaged", FAULT, HF_E_DENIED)          \
    X(FINDING_SAME_ID, "same_id", FAULT, HF_E_CONFLICT)                        \
    X(FINDING_VERSIONS, "versions", NOTE, HF_OK)                               \
    X(FINDING_EXTRACTABLE, "extractable", FAULT, HF_E_DENIED)                  \
    X(FINDING_IMPORTED, "imported", NOTE, HF_OK)                               \
    X(FINDING_NO_TEMPLATE, "no_unwrap_template", WARNING, HF_OK)               \
    X(FINDING_IMPORT_OPEN, "import_unfinished", WARNING, HF_OK)

enum finding_code {
#define X(code, name, severity, status) code,
    FINDING_TABLE(X)
#undef X
        FINDING_COUNT
};

struct finding {
    enum finding_code code;
    char text[320];
    char next[200]; /* the next command to type; empty for none */
};

#define FINDINGS_MAX 64
struct diagnosis {
    struct finding findings[FINDINGS_MAX];
    size_t count; /* what does not fit any more is not worth reading */
};

/* diagnosis_add: one finding. next may be NULL. */
__attribute__((format(printf, 4, 5))) void
diagnosis_add(struct diagnosis *diagnosis, enum finding_code code,
              const char *next, const char *format, ...);
const char *finding_name(enum finding_code code);
enum severity finding_severity(enum finding_code code);
/* diagnosis_status: of the first fault; HF_OK without one. */
enum hf_status diagnosis_status(const struct diagnosis *diagnosis);
bool diagnosis_has_fault(const struct diagnosis *diagnosis);

/* The parts of a look, from the outside in. doctor_host: clock, limits, the
 * module's file, SoftHSM's configuration. doctor_token: the token of --token,
 * and what is in it. */
void doctor_host(const struct tool *tool, struct diagnosis *out);
void doctor_token(struct tool *tool, struct diagnosis *out);

/* text_distance: how many letters two names are apart (Levenshtein); case does
 * not count. Names longer than 64 bytes are far from all. */
size_t text_distance(const char *a, const char *b);
