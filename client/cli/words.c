#include "client/cli/words.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* verb of the contract, the command that makes it */
#define VERB_TABLE(X)                                                          \
    X(AssignMailbox, "mailbox assign")                                         \
    X(AssignTenant, "tenant assign")                                           \
    X(ApprovePurge, "purge approve")                                           \
    X(BackupCatalogue, "catalogue backup")                                     \
    X(CancelOperation, "operation cancel")                                     \
    X(CancelPurge, "purge cancel")                                             \
    X(ClaimMove, "mailbox claim-move")                                         \
    X(CompleteMove, "mailbox complete-move")                                   \
    X(ConfirmRecovery, "geo confirm-recovery")                                 \
    X(CreateDep, "dep create")                                                 \
    X(CreateSiteKey, "site create-key")                                        \
    X(CreateTenant, "tenant create")                                           \
    X(DeleteResource, "mailbox delete")                                        \
    X(DeleteTenant, "tenant delete")                                           \
    X(DraftForcedChange, "key force-document")                                 \
    X(EnableRecovery, "geo enable-recovery")                                   \
    X(EnrollAkMirror, "ak-token enroll")                                       \
    X(EnrollToken, "token enroll")                                             \
    X(ExecutePurge, "purge execute")                                           \
    X(FailMove, "mailbox fail-move")                                           \
    X(FlushTik, "geo flush")                                                   \
    X(GenerateKey, "mailbox generate-key")                                     \
    X(GetAvailabilityTokens, "ak-token list")                                  \
    X(GetCustomerKey, "key get")                                               \
    X(GetDep, "dep get")                                                       \
    X(GetGeo, "geo get")                                                       \
    X(GetMailbox, "mailbox get")                                               \
    X(GetOnboardingRequest, "onboarding get")                                  \
    X(GetOperation, "operation show")                                          \
    X(GetPurge, "purge show")                                                  \
    X(GetPurgeCertificate, "purge certificate")                                \
    X(GetSite, "site get")                                                     \
    X(GetTenant, "tenant get")                                                 \
    X(GetTenantAssignment, "tenant assignment")                                \
    X(GetToken, "token get")                                                   \
    X(GetWorkload, "workload get")                                             \
    X(GrantCustomerKey, "key grant")                                           \
    X(ListAuditRecords, "audit list")                                          \
    X(ListCheckpoints, "audit checkpoints")                                    \
    X(ListCustomerKeys, "key list")                                            \
    X(ListDeletedCustomerKeys, "key deleted")                                  \
    X(ListDeps, "dep list")                                                    \
    X(ListGeos, "geo list")                                                    \
    X(ListKeyDependants, "key dependants")                                     \
    X(ListMailboxes, "mailbox list")                                           \
    X(ListNotices, "notice list")                                              \
    X(ListOnboardingRequests, "onboarding list")                               \
    X(ListOperations, "operation list")                                        \
    X(ListPurgeApprovers, "approvers list")                                    \
    X(ListPurges, "purge list")                                                \
    X(ListSites, "site list")                                                  \
    X(ListTenants, "tenant list")                                              \
    X(ListTokens, "token list")                                                \
    X(ListWorkloads, "workload list")                                          \
    X(OffboardTenant, "tenant offboard")                                       \
    X(PausePurge, "purge pause")                                               \
    X(QueryAuditRecords, "audit query")                                        \
    X(RebindKeys, "token rebind")                                              \
    X(RecoverCustomerKey, "key recover")                                       \
    X(RefreshDep, "dep refresh")                                               \
    X(RegisterCustomerKey, "key register")                                     \
    X(RegisterGeo, "geo register")                                             \
    X(RegisterMailbox, "mailbox register")                                     \
    X(RegisterSite, "site register")                                           \
    X(RegisterWorkload, "workload register")                                   \
    X(RenewKey, "mailbox renew-key")                                           \
    X(RenewPurgeDocument, "purge renew")                                       \
    X(ReplaceDepKeys, "dep replace")                                           \
    X(ReportWorkloadProgress, "workload report")                               \
    X(RequestPurge, "purge request")                                           \
    X(RequestRecovery, "geo request-recovery")                                 \
    X(RestoreGeo, "geo restore")                                               \
    X(ResumePurge, "purge resume")                                             \
    X(RetireAkMirror, "ak-token retire")                                       \
    X(RetireEarlierKeys, "mailbox retire-keys")                                \
    X(RevokeCustomerKey, "key revoke")                                         \
    X(RewrapDep, "dep rewrap")                                                 \
    X(RewrapKey, "rewrap")                                                     \
    X(RollAvailabilityKey, "dep roll-availability-key")                        \
    X(RollGeoKey, "geo roll")                                                  \
    X(RollServiceManagedKey, "tenant roll-service-managed-key")                \
    X(SetPurgeApprovers, "approvers set")                                      \
    X(SoftDeleteCustomerKey, "key delete")                                     \
    X(SubmitOnboardingRequest, "onboarding validate")                          \
    X(SwitchWorkload, "workload switch")                                       \
    X(TailAuditRecords, "audit tail")                                          \
    X(TestDep, "dep test")                                                     \
    X(UnwrapBlobKey, "blob unwrap")                                            \
    X(UnwrapKey, "unwrap")                                                     \
    X(UnwrapSiteKey, "site unwrap-key")                                        \
    X(UpdateCustomerKey, "key update")                                         \
    X(UpdateDep, "dep update")                                                 \
    X(UpdateMailbox, "mailbox update")                                         \
    X(UpdateTenant, "tenant update")                                           \
    X(ValidateCustomerKeys, "key validate")                                    \
    X(WaitOperation, "operation wait")                                         \
    X(WatchOperation, "operation wait")                                        \
    X(WrapBlobKey, "blob wrap")                                                \
    X(WrapKey, "wrap")

static const struct {
    const char *verb;
    const char *command;
} by_verb[] = {
#define X(verb, command) {#verb, command},
    VERB_TABLE(X)
#undef X
};

/* Fields whose option has another name. */
static const struct {
    const char *field;
    const char *option;
} by_field[] = {
    {"parent",                "tenant"        },
    {"access.system_purpose", "purpose"       },
    {"plaintext_key",         "key-file"      },
    {"wrapped_key",           "wrapped"       },
    {"claim_seconds",         "for"           },
    {"mailbox",               "renew"         },
    {"move_priority",         "priority"      },
    {"filter.from_time",      "since"         },
    {"filter.until_time",     "until"         },
    {"from_index",            "from"          },
    {"window",                "window-hours"  },
    {"key",                   "customer-key"  },
    {"done_count",            "done"          },
    {"total_count",           "total"         },
    {"item_count",            "items"         },
    {"expire_time",           "expires"       },
    {"not_before_time",       "not-before"    },
    {"approvers.public_key",  "approver"      },
    {"force.document",        "force-document"},
    {"force.approvals",       "approval"      },
    {"signature",             "statement"     },
    {"dep_id",                "name"          },
};

/* --- verbs ---------------------------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '_' || c == '-';
}

static const char *command_of(const char *word, size_t len)
{
    for (size_t i = 0; i < HF_COUNT(by_verb); i++) {
        if (strlen(by_verb[i].verb) == len &&
            strncmp(by_verb[i].verb, word, len) == 0) {
            return by_verb[i].command;
        }
    }
    return NULL;
}

static void text_freep(char **text)
{
    free(*text);
}

static void closep(FILE **to)
{
    if (*to != NULL) {
        (void)fclose(*to);
        *to = NULL;
    }
}

/* One word of a text, within a quoted command or not. */
struct word {
    const char *text;
    size_t len;
    bool quoted;
};
typedef void (*write_fn)(FILE *to, const struct word *word, const void *with);

/* each_word: text again, where write has put every word. */
static char *each_word(const char *text, write_fn write, const void *with)
{
    bool quoted = false;
    HF_OWNED(text_freep) char *out = NULL;
    size_t size = 0;
    HF_OWNED(closep) FILE *to = open_memstream(&out, &size);
    if (to == NULL) {
        return NULL;
    }
    while (*text != '\0') {
        size_t len = 0;
        while (is_word(text[len])) {
            len++;
        }
        if (len == 0) {
            quoted = *text == '"' ? !quoted : quoted;
            (void)fputc(*text++, to);
            continue;
        }
        const struct word word = {text, len, quoted};
        write(to, &word, with);
        text += len;
    }
    bool bad = ferror(to) != 0;
    closep(&to);
    return bad ? NULL : HF_GIVE(out);
}

static void write_verb(FILE *to, const struct word *word, const void *with)
{
    const char *command = command_of(word->text, word->len);
    (void)with;
    if (command != NULL) {
        (void)fprintf(to, "\"holdfast %s\"", command);
    } else {
        (void)fwrite(word->text, 1, word->len, to);
    }
}

char *words_of_text(const char *text)
{
    return each_word(text, write_verb, NULL);
}

/* --- fields --------------------------------------------------------------- */

static const struct option *option_named(const struct command *command,
                                         const char *name, size_t len)
{
    for (size_t i = 0; i < command->option_count; i++) {
        const char *have = command->options[i].name;
        if (strlen(have) != len) {
            continue;
        }
        size_t same = 0;
        while (same < len && (have[same] == name[same] ||
                              (have[same] == '-' && name[same] == '_'))) {
            same++;
        }
        if (same == len) {
            return &command->options[i];
        }
    }
    return NULL;
}

/* "customer_keys" are given one by one, with --customer-key. */
static const struct option *option_like(const struct command *command,
                                        const char *name, size_t len)
{
    const struct option *option = option_named(command, name, len);
    return option == NULL && len > 1 && name[len - 1] == 's'
               ? option_named(command, name, len - 1)
               : option;
}

static const struct option *option_of(const struct command *command,
                                      const char *field)
{
    const char *dot = strrchr(field, '.');
    const char *leaf = dot != NULL ? dot + 1 : field;
    const struct option *option = option_like(command, leaf, strlen(leaf));
    if (option == NULL) {
        option = option_like(command, field, strcspn(field, "."));
    }
    for (size_t i = 0; option == NULL && i < HF_COUNT(by_field); i++) {
        if (strcmp(by_field[i].field, field) == 0 ||
            strcmp(by_field[i].field, leaf) == 0) {
            option = option_named(command, by_field[i].option,
                                  strlen(by_field[i].option));
        }
    }
    return option;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* operand_of: "MAILBOX" for mailbox_id, mailbox.name, name, resource. */
static bool operand_of(const struct command *command, const char *field,
                       char out[FIELD_WORDS_BYTES])
{
    const char *at = command->operands != NULL ? command->operands : "";
    size_t first = strcspn(at, " ");
    const char *dot = strrchr(field, '.');
    const char *leaf = dot != NULL ? dot + 1 : field;
    bool is_the_thing = strcmp(leaf, "name") == 0 ||
                        strcmp(leaf, "resource") == 0 || ends_with(leaf, "_id");
    for (size_t len = first; len > 0; len = strcspn(at, " ")) {
        if (strncasecmp(at, field, len) == 0 &&
            (field[len] == '\0' || strcmp(field + len, "_id") == 0)) {
            (void)snprintf(out, FIELD_WORDS_BYTES, "%.*s", (int)len, at);
            return true;
        }
        at += len;
        at += *at == ' ' ? 1 : 0;
    }
    if (first > 0 && is_the_thing) {
        (void)snprintf(out, FIELD_WORDS_BYTES, "%.*s", (int)first,
                       command->operands);
    }
    return first > 0 && is_the_thing;
}

const struct option *words_of_field(const struct command *command,
                                    const char *field,
                                    char out[FIELD_WORDS_BYTES])
{
    const struct option *option = NULL;
    /* "dep update DEP --name NAME": the name of what it is about is DEP */
    bool is_name = strcmp(field, "name") == 0 || ends_with(field, ".name");
    if (command != NULL && !(is_name && operand_of(command, field, out))) {
        option = option_of(command, field);
    }
    if (option != NULL) {
        (void)snprintf(out, FIELD_WORDS_BYTES, "--%s", option->name);
    } else if (command != NULL && strcmp(field, "parent") == 0) {
        (void)snprintf(out, FIELD_WORDS_BYTES, "--tenant");
    } else if (command == NULL || !operand_of(command, field, out)) {
        (void)snprintf(out, FIELD_WORDS_BYTES, "%.64s", field);
    }
    return option;
}

/* --- what was typed --------------------------------------------------------
 */

/* plain: stands on a command line as it is. */
static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (!is_word(*at) && strchr(".@/:+=,%", *at) == NULL) {
            return false;
        }
    }
    return text[0] != '\0' && text[0] != '-';
}

static const char *typed_operand(const struct args *args, const char *word,
                                 size_t len)
{
    const char *at =
        args->command->operands != NULL ? args->command->operands : "";
    for (size_t n = 0; n < args->operand_count; n++) {
        at += *at == '[' ? 1 : 0;
        size_t have = strcspn(at, " ]");
        if (have == len && strncmp(at, word, len) == 0) {
            return args->operands[n];
        }
        at += strcspn(at, " ");
        at += *at == ' ' ? 1 : 0;
    }
    return NULL;
}

static const char *typed_value(const struct args *args, const char *word,
                               size_t len)
{
    for (size_t i = 0; i < args->given_count; i++) {
        const struct given *given = &args->given[i];
        bool is_own = option_named(args->command, given->option->name,
                                   strlen(given->option->name)) != NULL;
        if (is_own && given->value != NULL &&
            strlen(given->option->name) == len &&
            strncasecmp(given->option->name, word, len) == 0) {
            return given->value;
        }
    }
    return NULL;
}

static void write_typed(FILE *to, const struct word *word, const void *with)
{
    const struct args *args = with;
    const char *typed = NULL;
    bool is_place = word->quoted && args != NULL && args->command != NULL;
    for (size_t i = 0; i < word->len; i++) {
        is_place = is_place && isupper((unsigned char)word->text[i]) != 0;
    }
    if (is_place) {
        typed = typed_operand(args, word->text, word->len);
        typed =
            typed != NULL ? typed : typed_value(args, word->text, word->len);
    }
    if (typed != NULL && is_plain(typed)) {
        (void)fputs(typed, to);
    } else {
        (void)fwrite(word->text, 1, word->len, to);
    }
}

char *words_filled(const char *sentence, const struct args *args)
{
    return each_word(sentence, write_typed, args);
}
