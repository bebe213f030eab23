#include "client/cli/advice.h"

#include "hsm/base/check.h"

#include "client/cli/words.h"

#include <stdio.h>
#include <string.h>

#define WORDS_BYTES  80
#define ADVICE_BYTES 320

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

/* command ("": any), reason, advice: the first that fits. The words of operands
 * and options (DEP) stand for what was typed. */
#define ADVICE_TABLE(X)                                                        \
    X("", KEY_TYPE,                                                            \
      "generate an RSA key of 2048, 3072 or 4096 bits with "                   \
      "\"holdfast-hsm key generate\"")                                         \
    X("", WORKLOAD_NOT_COVERED,                                                \
      "choose a workload that this DEP type covers; \"holdfast workload "      \
      "list\" shows them")                                                     \
    X("", REQUEST_ID_REUSED, "leave --request-id out, or choose a new one")    \
    X("key register", NAME_TAKEN,                                              \
      "choose another name; \"holdfast key deleted\" shows whether a "         \
      "deleted key has it, which \"holdfast key recover KEY\" brings back")    \
    X("geo register", ALREADY_REGISTERED,                                      \
      "\"holdfast geo roll GEO\" changes one of its keys, \"holdfast geo "     \
      "get GEO\" shows them")                                                  \
    X("mailbox generate-key", ALREADY_REGISTERED,                              \
      "\"holdfast unwrap MAILBOX\" opens it, \"holdfast mailbox "              \
      "renew-key MAILBOX\" gives it a new one")                                \
    X("site create-key", ALREADY_REGISTERED,                                   \
      "\"holdfast site unwrap-key SITE\" opens it")                            \
    X("", METHOD_UNKNOWN,                                                      \
      "server and command are of different versions; use those of one "        \
      "release")                                                               \
    X("", REQUEST_TOO_LARGE, "send less at a time")                            \
    X("", IDENTITY_UNKNOWN,                                                    \
      "ask the operator to enter this certificate's identity in the "          \
      "server's configuration (identities)")                                   \
    X("", ROLE_REQUIRED,                                                       \
      "use a profile that has the role (--as NAME), or ask the operator "      \
      "for it")                                                                \
    X("", SYSTEM_NOT_ALLOWED,                                                  \
      "use --initiator user, or a certificate with the system-workload "       \
      "role")                                                                  \
    X("", KEY_ACCESS_DENIED,                                                   \
      "the customer has withdrawn access to this key; an administrator "       \
      "sees more in \"holdfast status\"")                                      \
    X("", VALIDATION_FAILED,                                                   \
      "mend what failed above and try again; \"holdfast key validate\" "       \
      "repeats the checks")                                                    \
    X("", DEP_LIMIT,                                                           \
      "\"holdfast dep list\" shows them; disable one that is not in use "      \
      "with \"holdfast dep update OTHER --disable\"")                          \
    X("", AK_TOKEN_FULL,                                                       \
      "ask the operator of the server to make room; an operator sees how "     \
      "full it is in \"holdfast ak-token list\"")                              \
    X("", DEP_NOT_ENABLED,                                                     \
      "enable it with \"holdfast dep update DEP --enable\"")                   \
    X("purge execute", DEP_IN_USE,                                             \
      "have an administrator move them with \"holdfast dep rewrap DEP "        \
      "--wait\", then type this again")                                        \
    X("", DEP_IN_USE,                                                          \
      "\"holdfast mailbox list --dep DEP\" shows its mailboxes, "              \
      "\"holdfast mailbox assign MAILBOX --dep OTHER\" assigns one to "        \
      "another DEP")                                                           \
    X("mailbox complete-move", STATE_CONFLICT,                                 \
      "\"holdfast mailbox get MAILBOX\" shows which claim holds it, "          \
      "\"holdfast mailbox claim-move\" takes the next one")                    \
    X("mailbox fail-move", STATE_CONFLICT,                                     \
      "\"holdfast mailbox get MAILBOX\" shows which claim holds it")           \
    X("purge cancel", STATE_CONFLICT,                                          \
      "\"holdfast purge show PURGE\" shows its phase; once approved, "         \
      "\"holdfast purge pause PURGE\" stops it before its hold is over")       \
    X("", KEY_OPS,                                                             \
      "this key does not allow the residency asked for; use --residency "      \
      "token, or another key")                                                 \
    X("", KEY_DESTROYED,                                                       \
      "its availability key was destroyed; this cannot be undone")             \
    X("", KEY_RETIRED,                                                         \
      "encrypt with the key of now (\"holdfast unwrap MAILBOX\" without "      \
      "--wrapped); this one was given up")                                     \
    X("", TENANT_DELETED,                                                      \
      "this cannot be undone; \"holdfast purge list\" and \"holdfast "         \
      "audit list\" show what happened")                                       \
    X("purge request", EARLIER_WRAPS,                                          \
      "\"holdfast mailbox renew-key MAILBOX\" gives a mailbox a new key; "     \
      "purge earlier DEPs first")                                              \
    X("", EARLIER_WRAPS,                                                       \
      "\"holdfast purge document PURGE --accept-earlier-wraps\" names "        \
      "them. Either the approvers accept them with \"holdfast purge "          \
      "approve PURGE --accept-earlier-wraps\", or \"holdfast purge renew "     \
      "PURGE\", \"holdfast purge cancel PURGE\", and each mailbox gets a "     \
      "new key with \"holdfast mailbox renew-key MAILBOX\"")                   \
    X("", KEY_IN_USE,                                                          \
      "\"holdfast key dependants KEY\" names them; \"holdfast dep "            \
      "refresh DEP\" and \"holdfast dep rewrap DEP\" move them; to end "       \
      "access at once, \"holdfast key revoke KEY --identity URI\"")            \
    X("", LICENCE_REQUIRED,                                                    \
      "\"holdfast mailbox update MAILBOX --licensed\", if its owner has "      \
      "the licence; an operator licenses the whole tenant with "               \
      "\"holdfast tenant update TENANT --licensed yes\"")                      \
    X("", TOKEN_OF_TENANT,                                                     \
      "enrol the token for this tenant first (\"holdfast token enroll\")")     \
    X("", TEST_TOKEN, "a production tenant needs keys in hardware tokens")     \
    X("", SEALS_EXHAUSTED,                                                     \
      "this generation of the DEP key has wrapped as many keys as it "         \
      "may; \"holdfast dep refresh DEP\" makes a new one, once a "             \
      "customer key has a new version (\"holdfast key register\")")            \
    X("", OPERATION_NOT_CANCELLABLE,                                           \
      "\"holdfast operation wait OPERATION\" stays until it has ended")        \
    X("", KEY_MISMATCH,                                                        \
      "\"holdfast key get KEY\" shows the fingerprint that was "               \
      "registered, \"holdfast-hsm key list\" what the token holds")            \
    X("", VALIDATION_REQUIRED,                                                 \
      "type \"holdfast onboarding validate\" with the same words first")       \
    X("", SCENARIO_NOT_ENABLED,                                                \
      "\"holdfast onboarding validate\" with the same keys and workload, "     \
      "then \"holdfast onboarding enable\", then this again")                  \
    X("geo roll", NOTHING_TO_REFRESH,                                          \
      "give another key or version: --customer-key KEY:VERSION")               \
    X("", NOTHING_TO_REFRESH,                                                  \
      "make a new version in its token (\"holdfast-hsm key generate\"), "      \
      "register it under the name of the key (\"holdfast key "                 \
      "register\"), then type this again")                                     \
    X("", GENERATION_LIMIT,                                                    \
      "\"holdfast dep create\" makes a new DEP, \"holdfast mailbox "           \
      "assign MAILBOX --dep OTHER\" moves a mailbox there")                    \
    X("", GEO_NOT_REGISTERED,                                                  \
      "\"holdfast geo register GEO\" brings it under two customer keys; "      \
      "\"holdfast geo list\" shows those there are")                           \
    X("", ROLL_IN_PROGRESS,                                                    \
      "\"holdfast operation list\" shows it, \"holdfast operation wait "       \
      "OPERATION\" stays until it has ended")                                  \
    X("", RECOVERY_NOT_ENABLED,                                                \
      "\"holdfast geo request-recovery GEO\" by the customer, \"holdfast "     \
      "geo enable-recovery GEO\" and \"holdfast geo confirm-recovery "         \
      "GEO\" by two operators; \"holdfast geo get GEO\" shows how far it "     \
      "is")                                                                    \
    X("ak-token retire", SECOND_PERSON_REQUIRED,                               \
      "\"holdfast ak-token list\" shows how many have said so; another "       \
      "operator types this one")                                               \
    X("", SECOND_PERSON_REQUIRED,                                              \
      "\"holdfast geo get GEO\" shows who took which step; somebody else "     \
      "types this one")                                                        \
    X("", ROLLBACK_UNSUPPORTED,                                                \
      "it stays registered; \"holdfast tenant delete\" is the way out")        \
    X("", CUSTOMER_KEY_DENIED,                                                 \
      "let the keys work until it has ended: \"holdfast key update KEY "       \
      "--enable\", \"holdfast key grant KEY --identity URI\"")                 \
    X("", KEYS_STILL_USABLE,                                                   \
      "\"holdfast dep list\" names its keys, \"holdfast key get KEY\" "        \
      "who may use one; end each with \"holdfast key revoke KEY "              \
      "--identity URI\". For a token that is gone for ever, ask with "         \
      "\"holdfast purge request DEP --force\"")                                \
    X("", HOLD_RUNNING, "\"holdfast purge show PURGE\" shows until when")      \
    X("", APPROVERS_MISSING,                                                   \
      "\"holdfast approvers list\" shows who there is; name all of them "      \
      "at once: \"holdfast approvers set --approver IDENTITY=FILE "            \
      "--approver IDENTITY=FILE\"")                                            \
    X("purge execute", APPROVER_REFUSED,                                       \
      "another operator types this; \"holdfast purge show PURGE\" shows "      \
      "who asked and who approved")                                            \
    X("", APPROVER_REFUSED,                                                    \
      "\"holdfast approvers list\" shows who may; a new one counts for "       \
      "what is asked for afterwards")                                          \
    X("key update", APPROVAL_INVALID,                                          \
      "\"holdfast key force-document KEY --change disable --out FILE\" "       \
      "drafts it again, \"holdfast key force-sign\" signs it")                 \
    X("key delete", APPROVAL_INVALID,                                          \
      "\"holdfast key force-document KEY --change soft-delete --out "          \
      "FILE\" drafts it again, \"holdfast key force-sign\" signs it")          \
    X("", APPROVAL_INVALID,                                                    \
      "\"holdfast purge document PURGE --out FILE\" fetches what is to "       \
      "be signed now; if it is too old, \"holdfast purge renew PURGE\" "       \
      "makes a new one")                                                       \
    X("", CONFLICT, "somebody changed it meanwhile: try again")                \
    X("", BLOB_INVALID,                                                        \
      "this is not the wrapped key of this mailbox, or it is damaged; "        \
      "use the stored one (leave --wrapped out) or a backup")                  \
    X("", RECORD_INVALID, "the server's record is damaged; call the operator") \
    X("", KEY_UNAVAILABLE,                                                     \
      "the keys cannot be reached just now; try again soon; an "               \
      "administrator sees which token it is in \"holdfast status\"")           \
    X("", SERVICE_UNAVAILABLE,                                                 \
      "try again soon; if it lasts, call the operator")                        \
    X("", OVERLOADED, "try again soon, with fewer calls at a time")            \
    X("", DEADLINE_PASSED, "try again with a longer --timeout")                \
    X("", CLIENT_SETTINGS,                                                     \
      "see \"holdfast --help\" on --target, --cert, --key, --ca and --as")     \
    X("", CLIENT_RESPONSE,                                                     \
      "server and command do not speak the same contract; check --target "     \
      "and the versions")

static const struct {
    const char *command;
    const char *reason;
    const char *advice;
} by_reason[] = {
#define X(command, reason, advice) {command, #reason, advice},
    ADVICE_TABLE(X)
#undef X
};

/* What shows a thing of this group, and all of them. */
static const struct {
    const char *command; /* its first words */
    const char *look;
    const char *list;
} by_group[] = {
    {"tenant assign",   "tenant assignment",        "tenant assignment"},
    {"tenant offboard", "tenant assignment",        "tenant assignment"},
    {"tenant",          "tenant get TENANT",        "tenant list"      },
    {"token",           "token get TOKEN",          "token list"       },
    {"onboarding",      "onboarding list",          "onboarding list"  },
    {"key",             "key get KEY",              "key list"         },
    {"dep",             "dep get DEP",              "dep list"         },
    {"mailbox",         "mailbox get MAILBOX",      "mailbox list"     },
    {"unwrap",          "mailbox get MAILBOX",      "mailbox list"     },
    {"wrap",            "mailbox get MAILBOX",      "mailbox list"     },
    {"rewrap",          "mailbox get MAILBOX",      "mailbox list"     },
    {"workload",        "workload get WORKLOAD",    "workload list"    },
    {"operation",       "operation show OPERATION", "operation list"   },
    {"ak-token",        "ak-token list",            "ak-token list"    },
    {"approvers",       "approvers list",           "approvers list"   },
    {"purge request",   "purge list",               "dep list"         },
    {"purge",           "purge show PURGE",         "purge list"       },
    {"geo",             "geo get GEO",              "geo list"         },
    {"site",            "site get SITE",            "site list"        },
    {"blob",            "site get SITE",            "site list"        },
    {"notice",          "notice list",              "notice list"      },
};

/* Of what there is no such ("no such DEP"), and what shows those there are. */
static const struct {
    const char *thing;
    const char *list;
} by_thing[] = {
    {"DEP",                "dep list"       },
    {"multi-workload DEP", "dep list"       },
    {"customer key",       "key list"       },
    {"geo",                "geo list"       },
    {"mailbox",            "mailbox list"   },
    {"onboarding request", "onboarding list"},
    {"operation",          "operation list" },
    {"purge",              "purge list"     },
    {"site",               "site list"      },
    {"tenant",             "tenant list"    },
    {"token",              "token list"     },
    {"workload",           "workload list"  },
};

static bool is_reason(const struct hf_error *error, const char *reason)
{
    return error->reason != NULL && strcmp(error->reason, reason) == 0;
}

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

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void words_of_command(const struct args *args, char out[WORDS_BYTES])
{
    const struct command *command = args != NULL ? args->command : NULL;
    (void)snprintf(
        out, WORDS_BYTES, "%s%s%s", command != NULL ? command->group : "",
        command != NULL && command->verb != NULL ? " " : "",
        command != NULL && command->verb != NULL ? command->verb : "");
}

/* A field of the request, as an option or an operand of the command. */
static void advise_on_field(const struct hf_error *error,
                            const struct args *args, const char *words,
                            char out[ADVICE_BYTES])
{
    char field[FIELD_WORDS_BYTES] = "";
    const struct option *option =
        error->violation_count == 1 && args != NULL
            ? words_of_field(args->command, error->violations[0].field, field)
            : NULL;
    if (option != NULL && option->value == NULL &&
        !args_flag(args, field + 2)) {
        (void)snprintf(out, ADVICE_BYTES,
                       "if that is what you want, type it again with %s",
                       field);
    } else {
        (void)snprintf(out, ADVICE_BYTES,
                       "correct the fields named and try again; \"holdfast "
                       "%s%s--help\" says what they are",
                       words, words[0] != '\0' ? " " : "");
    }
}

/* The commands that show what is there; false for a group that has none. */
static bool advise_to_look(const struct hf_error *error,
                           const struct args *args, const char *words,
                           char out[ADVICE_BYTES])
{
    static const char none[] = "no such ";
    const char *look = NULL;
    const char *list = NULL;
    for (size_t i = 0; look == NULL && i < HF_COUNT(by_group); i++) {
        if (begins(words, by_group[i].command)) {
            look = by_group[i].look;
            list = by_group[i].list;
        }
    }
    if (args != NULL && args->operand_count > 0 &&
        begins(args->operands[0], "workloads/")) {
        look = list = "workload list";
    }
    for (size_t i = 0; i < HF_COUNT(by_thing); i++) {
        if (error->message != NULL && begins(error->message, none) &&
            begins(error->message + sizeof none - 1, by_thing[i].thing)) {
            list = by_thing[i].list;
        }
    }
    if (error->code == HF_CODE_NOT_FOUND && list != NULL) {
        (void)snprintf(out, ADVICE_BYTES,
                       "check the name and --tenant; \"holdfast %s\" shows "
                       "what there is",
                       list);
    } else if (is_reason(error, "NAME_TAKEN") && list != NULL) {
        (void)snprintf(out, ADVICE_BYTES,
                       "choose another name; \"holdfast %s\" shows what there "
                       "is",
                       list);
    } else if (look != NULL) {
        (void)snprintf(out, ADVICE_BYTES, "\"holdfast %s\" shows how it is now",
                       look);
    }
    return look != NULL;
}

static bool is_about_what_is_there(const struct hf_error *error)
{
    return error->code == HF_CODE_NOT_FOUND || is_reason(error, "NAME_TAKEN") ||
           is_reason(error, "ALREADY_REGISTERED") ||
           is_reason(error, "STATE_CONFLICT") ||
           is_reason(error, "ETAG_MISMATCH");
}

char *advice_text(const struct hf_error *error, const struct args *args)
{
    char words[WORDS_BYTES];
    char built[ADVICE_BYTES] = "";
    const char *advice = NULL;
    words_of_command(args, words);
    for (size_t i = 0; advice == NULL && i < HF_COUNT(by_reason); i++) {
        bool fits = by_reason[i].command[0] == '\0' ||
                    strcmp(by_reason[i].command, words) == 0;
        advice = fits && is_reason(error, by_reason[i].reason)
                     ? by_reason[i].advice
                     : NULL;
    }
    if (advice == NULL && is_reason(error, "FIELD_INVALID")) {
        advise_on_field(error, args, words, built);
    } else if (advice == NULL && is_about_what_is_there(error) &&
               !advise_to_look(error, args, words, built)) {
        (void)snprintf(built, sizeof built,
                       "look at it with the get or list command");
    }
    advice = built[0] != '\0' ? built : advice;
    advice = advice != NULL ? advice : by_code(error->code);
    return advice != NULL ? words_filled(advice, args) : NULL;
}
