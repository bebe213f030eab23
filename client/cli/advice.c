#include "client/cli/advice.h"

#include "hsm/base/check.h"

#include <string.h>

enum cli_exit advice_exit(const struct hf_error *error)
{
    switch (error->code) {
    case HF_CODE_OK:
        return CLI_OK;
    case HF_CODE_INVALID_ARGUMENT:
    case HF_CODE_OUT_OF_RANGE:
        return CLI_USAGE;
    case HF_CODE_PERMISSION_DENIED:
    case HF_CODE_UNAUTHENTICATED:
        return CLI_DENIED;
    case HF_CODE_NOT_FOUND:
        return CLI_MISSING;
    case HF_CODE_ALREADY_EXISTS:
    case HF_CODE_FAILED_PRECONDITION:
    case HF_CODE_ABORTED:
        return CLI_CONFLICT;
    case HF_CODE_RESOURCE_EXHAUSTED:
        /* without RetryInfo a limit was reached, and waiting does not help */
        return error->retry_delay_ms >= 0 ? CLI_UNAVAILABLE : CLI_CONFLICT;
    case HF_CODE_UNAVAILABLE:
    case HF_CODE_DEADLINE_EXCEEDED:
        return CLI_UNAVAILABLE;
    case HF_CODE_DATA_LOSS:
        return CLI_DATA_LOSS;
    case HF_CODE_CANCELLED:
    case HF_CODE_UNKNOWN:
    case HF_CODE_UNIMPLEMENTED:
    case HF_CODE_INTERNAL:
        break;
    }
    return CLI_OTHER;
}

/* reason, advice */
#define ADVICE_TABLE(X)                                                        \
    X(FIELD_INVALID, "correct the fields named and try again")                 \
    X(KEY_TYPE, "generate an RSA key of 2048, 3072 or 4096 bits with "         \
                "\"holdfast-hsm key generate\"")                               \
    X(WORKLOAD_NOT_COVERED, "choose a workload that this DEP type covers")     \
    X(REQUEST_ID_REUSED, "leave --request-id out, or choose a new one")        \
    X(NOT_FOUND,                                                               \
      "check the name and --tenant; the list command shows what there is")     \
    X(NAME_TAKEN, "choose another name; the list command shows what there is") \
    X(ALREADY_REGISTERED, "nothing to do, or choose another name")             \
    X(METHOD_UNKNOWN, "server and command are of different versions; use "     \
                      "those of one release")                                  \
    X(REQUEST_TOO_LARGE, "send less at a time")                                \
    X(IDENTITY_UNKNOWN, "ask the operator to enter this certificate's "        \
                        "identity in the server's configuration")              \
    X(ROLE_REQUIRED, "use a profile that has the role (--as NAME), or ask "    \
                     "the operator for it")                                    \
    X(SYSTEM_NOT_ALLOWED,                                                      \
      "use --initiator user, or a certificate with the system-workload role")  \
    X(KEY_ACCESS_DENIED, "the customer has withdrawn access to this key; an "  \
                         "administrator sees more in \"holdfast status\"")     \
    X(VALIDATION_FAILED, "mend what failed above and try again; \"holdfast "   \
                         "key validate\" repeats the checks")                  \
    X(DEP_LIMIT, "disable a DEP that is not in use")                           \
    X(AK_TOKEN_FULL, "ask the operator of the server to make room")            \
    X(DEP_NOT_ENABLED, "enable it with \"holdfast dep update DEP --enable\"")  \
    X(DEP_IN_USE, "assign its mailboxes to another DEP first")                 \
    X(STATE_CONFLICT, "look at the present state with the get command")        \
    X(KEY_OPS, "this key does not allow the residency asked for; use "         \
               "--residency token, or another key")                            \
    X(KEY_DESTROYED,                                                           \
      "its availability key was destroyed; this cannot be undone")             \
    X(KEY_RETIRED, "encrypt with the key of now (\"holdfast unwrap\" without " \
                   "--wrapped); this one was given up")                        \
    X(TENANT_DELETED, "this cannot be undone; \"holdfast purge list\" and "    \
                      "\"holdfast audit\" show what happened")                 \
    X(EARLIER_WRAPS, "cancel the purge and give the mailboxes new keys "       \
                     "(\"holdfast mailbox renew-key\"), or have the "          \
                     "approvers accept the list")                              \
    X(KEY_IN_USE, "a DEP still uses this key; see \"holdfast dep list\"")      \
    X(LICENCE_REQUIRED,                                                        \
      "mailboxes of people are registered with --licensed; the others count "  \
      "on a licensed tenant")                                                  \
    X(TOKEN_OF_TENANT,                                                         \
      "enrol the token for this tenant first (\"holdfast token enroll\")")     \
    X(TEST_TOKEN, "a production tenant needs keys in hardware tokens")         \
    X(SEALS_EXHAUSTED, "this generation of the DEP key has wrapped as many "   \
                       "keys as it may; a new generation is needed")           \
    X(ETAG_MISMATCH,                                                           \
      "somebody changed it meanwhile: get it again and decide anew")           \
    X(CONFLICT, "somebody changed it meanwhile: try again")                    \
    X(BLOB_INVALID,                                                            \
      "this is not the wrapped key of this mailbox, or it is damaged; use "    \
      "the stored one (leave --wrapped out) or a backup")                      \
    X(RECORD_INVALID, "the server's record is damaged; call the operator")     \
    X(KEY_UNAVAILABLE, "the keys cannot be reached just now; try again soon")  \
    X(SERVICE_UNAVAILABLE, "try again soon; if it lasts, call the operator")   \
    X(OVERLOADED, "try again soon, with fewer calls at a time")                \
    X(DEADLINE_PASSED, "try again with a longer --timeout")                    \
    X(CLIENT_SETTINGS,                                                         \
      "see \"holdfast --help\" on --target, --cert, --key, --ca and --as")     \
    X(CLIENT_RESPONSE, "server and command do not speak the same contract; "   \
                       "check --target and the versions")

static const struct {
    const char *reason;
    const char *advice;
} by_reason[] = {
#define X(reason, advice) {#reason, advice},
    ADVICE_TABLE(X)
#undef X
};

static const char *by_code(enum hf_code code)
{
    switch (code) {
    case HF_CODE_UNAVAILABLE:
        return "check that the server runs, --target, and that --ca and "
               "--cert fit it";
    case HF_CODE_DEADLINE_EXCEEDED:
        return "try again with a longer --timeout; the change may or may not "
               "have been made";
    case HF_CODE_UNIMPLEMENTED:
        return "the server does not have this call; check --target and the "
               "versions";
    case HF_CODE_UNAUTHENTICATED:
    case HF_CODE_PERMISSION_DENIED:
        return "use a profile that has the role (--as NAME), or ask the "
               "operator for it";
    case HF_CODE_INTERNAL:
    case HF_CODE_UNKNOWN:
    case HF_CODE_DATA_LOSS:
        return "call the operator; the server's log says more";
    case HF_CODE_OK:
    case HF_CODE_CANCELLED:
    case HF_CODE_INVALID_ARGUMENT:
    case HF_CODE_NOT_FOUND:
    case HF_CODE_ALREADY_EXISTS:
    case HF_CODE_RESOURCE_EXHAUSTED:
    case HF_CODE_FAILED_PRECONDITION:
    case HF_CODE_ABORTED:
    case HF_CODE_OUT_OF_RANGE:
        break;
    }
    return NULL;
}

const char *advice_text(const struct hf_error *error)
{
    for (size_t i = 0; i < HF_COUNT(by_reason); i++) {
        if (error->reason != NULL &&
            strcmp(error->reason, by_reason[i].reason) == 0) {
            return by_reason[i].advice;
        }
    }
    return by_code(error->code);
}
