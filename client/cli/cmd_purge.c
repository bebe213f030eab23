/* approvers, purge: how a tenant leaves (specification 9.3). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/operation.h"
#include "client/cli/purge_sign.h"
#include "client/cli/purge_text.h"

#include "holdfast/v1/approval_service.pb-c.h"
#include "holdfast/v1/operation_service.pb-c.h"
#include "holdfast/v1/purge_service.pb-c.h"

#include <stdio.h>
#include <string.h>

#define APPROVERS_MAX      7
#define KEY_FILE_MAX_BYTES 4096
#define FILE_MAX_BYTES     65536

static const struct column approver_columns[] = {
    {"NAME",      "name",                  NULL, COLUMN_TEXT},
    {"APPROVERS", "approvers.identity",    NULL, COLUMN_TEXT},
    {"CALLED",    "approvers.displayName", NULL, COLUMN_TEXT},
    {"SINCE",     "approvers.sinceTime",   NULL, COLUMN_TEXT},
};

static const struct column columns[] = {
    {"PURGE",      "name",          NULL,           COLUMN_LEAF },
    {"DEP",        "depId",         NULL,           COLUMN_TEXT },
    {"TENANT",     "wholeTenant",   NULL,           COLUMN_TEXT },
    {"PHASE",      "phase",         "PURGE_PHASE_", COLUMN_TEXT },
    {"PAUSED",     "paused",        NULL,           COLUMN_TEXT },
    {"MAILBOXES",  "resourceCount", NULL,           COLUMN_RIGHT},
    {"VERSION",    "version",       NULL,           COLUMN_RIGHT},
    {"HOLD UNTIL", "holdUntilTime", NULL,           COLUMN_TEXT },
    {"PURGED",     "purgeTime",     NULL,           COLUMN_TEXT },
};

#define PURGE_METHOD(verb)                                                     \
    {                                                                          \
        "holdfast.v1.PurgeService/" verb, &holdfast__v1__purge__descriptor     \
    }
static const struct cli_method request_method = PURGE_METHOD("RequestPurge");
static const struct cli_method renew_method =
    PURGE_METHOD("RenewPurgeDocument");
static const struct cli_method cancel_method = PURGE_METHOD("CancelPurge");
static const struct cli_method approve_method = PURGE_METHOD("ApprovePurge");
static const struct cli_method pause_method = PURGE_METHOD("PausePurge");
static const struct cli_method resume_method = PURGE_METHOD("ResumePurge");
static const struct cli_method get_method = PURGE_METHOD("GetPurge");
static const struct cli_method execute_method = {
    "holdfast.v1.PurgeService/ExecutePurge",
    &holdfast__v1__operation__descriptor};
static const struct cli_method certificate_method = {
    "holdfast.v1.PurgeService/GetPurgeCertificate",
    &holdfast__v1__purge_certificate__descriptor};
static const struct cli_method set_method = {
    "holdfast.v1.ApprovalService/SetPurgeApprovers",
    &holdfast__v1__purge_approvers__descriptor};
static const struct cli_method list_method = {
    "holdfast.v1.ApprovalService/ListPurgeApprovers",
    &holdfast__v1__purge_approvers__descriptor};

static enum cli_exit show(struct cli *cli, const struct cli_method *method,
                          const ProtobufCMessage *request)
{
    return cli_show(cli, method, request, columns, HF_COUNT(columns));
}

/* --- approvers ------------------------------------------------------------ */

static enum cli_exit show_approvers(struct cli *cli,
                                    const struct cli_method *method,
                                    const ProtobufCMessage *request)
{
    return cli_show(cli, method, request, approver_columns,
                    HF_COUNT(approver_columns));
}

/* One --approver IDENTITY=FILE. */
struct approver {
    Holdfast__V1__PurgeApprover message;
    char identity[512];
    struct file_data key;
};

static void approvers_clear(struct approver *approvers)
{
    for (size_t i = 0; i < APPROVERS_MAX; i++) {
        file_data_clear(&approvers[i].key);
    }
}

static enum cli_exit read_approver(struct cli *cli, const char *text,
                                   struct approver *out)
{
    const char *file = strchr(text, '=');
    size_t len = file == NULL ? 0 : (size_t)(file - text);
    if (len == 0 || len >= sizeof out->identity || file[1] == '\0') {
        return cli_usage(cli, "--approver is IDENTITY=FILE: a SPIFFE URI and "
                              "the file of a public key");
    }
    memcpy(out->identity, text, len);
    out->identity[len] = '\0';
    enum hf_status status = file_read(file + 1, KEY_FILE_MAX_BYTES, &out->key);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", file + 1,
                        file_problem(status));
    }
    holdfast__v1__purge_approver__init(&out->message);
    out->message.identity = out->identity;
    out->message.public_key =
        (ProtobufCBinaryData){out->key.len, out->key.bytes};
    return CLI_OK;
}

static enum cli_exit set_approvers(struct cli *cli, const struct args *args,
                                   struct approver *approvers)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__PurgeApprover *list[APPROVERS_MAX];
    Holdfast__V1__SetPurgeApproversRequest request =
        HOLDFAST__V1__SET_PURGE_APPROVERS_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    request.n_approvers = args_count(args, "approver");
    if (code == CLI_OK && request.n_approvers > APPROVERS_MAX) {
        code = cli_usage(cli, "there are at most %d approvers", APPROVERS_MAX);
    }
    for (size_t i = 0; code == CLI_OK && i < request.n_approvers; i++) {
        code = read_approver(cli, args_nth(args, "approver", i), &approvers[i]);
        list[i] = &approvers[i].message;
    }
    request.parent = parent;
    request.approvers = list;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? show_approvers(cli, &set_method, &request.base)
                          : code;
}

static enum cli_exit run_set(struct cli *cli, const struct args *args)
{
    struct approver approvers[APPROVERS_MAX];
    memset(approvers, 0, sizeof approvers);
    enum cli_exit code = set_approvers(cli, args, approvers);
    approvers_clear(approvers);
    return code;
}

static enum cli_exit run_list_approvers(struct cli *cli,
                                        const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListPurgeApproversRequest request =
        HOLDFAST__V1__LIST_PURGE_APPROVERS_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    (void)args;
    request.parent = parent;
    return code == CLI_OK ? show_approvers(cli, &list_method, &request.base)
                          : code;
}

/* --- ask, look, order ----------------------------------------------------- */

struct words {
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
};

static enum cli_exit take_words(struct cli *cli, const char *collection,
                                struct words *words)
{
    enum cli_exit code =
        cli_name(cli, collection, cli->args->operands[0], words->name);
    return code == CLI_OK ? cli_request_id(cli, words->request_id) : code;
}

static enum cli_exit run_request(struct cli *cli, const struct args *args)
{
    struct words words;
    Holdfast__V1__RequestPurgeRequest request =
        HOLDFAST__V1__REQUEST_PURGE_REQUEST__INIT;
    enum cli_exit code = take_words(cli, "deps", &words);
    request.dep = words.name;
    request.reason = proto_text(args_text(args, "reason"));
    request.contact = proto_text(args_text(args, "contact"));
    request.force = args_flag(args, "force");
    request.confirm = args_flag(args, "confirm");
    request.request_id = words.request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? show(cli, &request_method, &request.base) : code;
}

#define DEFINE_ORDER(run_name, type, lower, method)                            \
    static enum cli_exit run_name(struct cli *cli, const struct args *args)    \
    {                                                                          \
        struct words words;                                                    \
        type request;                                                          \
        enum cli_exit code = take_words(cli, "purges", &words);                \
        lower##__init(&request);                                               \
        request.name = words.name;                                             \
        request.request_id = words.request_id;                                 \
        request.validate_only = args_flag(args, "validate-only");              \
        return code == CLI_OK ? show(cli, &(method), &request.base) : code;    \
    }

DEFINE_ORDER(run_renew, Holdfast__V1__RenewPurgeDocumentRequest,
             holdfast__v1__renew_purge_document_request, renew_method)
DEFINE_ORDER(run_cancel, Holdfast__V1__CancelPurgeRequest,
             holdfast__v1__cancel_purge_request, cancel_method)
DEFINE_ORDER(run_pause, Holdfast__V1__PausePurgeRequest,
             holdfast__v1__pause_purge_request, pause_method)
DEFINE_ORDER(run_resume, Holdfast__V1__ResumePurgeRequest,
             holdfast__v1__resume_purge_request, resume_method)

static enum cli_exit run_execute(struct cli *cli, const struct args *args)
{
    struct words words;
    Holdfast__V1__ExecutePurgeRequest request =
        HOLDFAST__V1__EXECUTE_PURGE_REQUEST__INIT;
    enum cli_exit code = take_words(cli, "purges", &words);
    request.name = words.name;
    request.confirm = args_flag(args, "confirm");
    request.request_id = words.request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? operation_order(cli, &execute_method, &request.base)
                          : code;
}

static enum cli_exit run_show(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__GetPurgeRequest request =
        HOLDFAST__V1__GET_PURGE_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], name);
    request.name = name;
    return code == CLI_OK ? show(cli, &get_method, &request.base) : code;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListPurgesRequest request =
        HOLDFAST__V1__LIST_PURGES_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    (void)args;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.PurgeService/ListPurges",
                   &holdfast__v1__list_purges_response__descriptor},
        .request = &request.base,
        .items = "purges",
    };
    return code == CLI_OK
               ? cli_show_list(cli, &list, columns, HF_COUNT(columns))
               : code;
}

/* --- document, approve ---------------------------------------------------- */

/* The purge as it is now; freed with hf_message_free. */
static enum cli_exit fetch(struct cli *cli, char *name,
                           Holdfast__V1__Purge **out)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *reply = NULL;
    Holdfast__V1__GetPurgeRequest request =
        HOLDFAST__V1__GET_PURGE_REQUEST__INIT;
    request.name = name;
    enum cli_exit code =
        cli_ask(cli, &get_method, &request.base, &reply, &error);
    if (code != CLI_OK) {
        return cli_error(cli, &error);
    }
    *out = (Holdfast__V1__Purge *)reply;
    return CLI_OK;
}

static ProtobufCBinaryData document_of(const Holdfast__V1__Purge *purge,
                                       bool accepting)
{
    CHECK(purge != NULL);
    return accepting ? purge->accepting_document : purge->document;
}

static enum cli_exit write_out(struct cli *cli, const char *path,
                               ProtobufCBinaryData data)
{
    enum hf_status status = file_create(path, data.data, data.len);
    return status == HF_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
}

static enum cli_exit run_document(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__Purge *purge = NULL;
    const char *path = args_text(args, "out");
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], name);
    if (code == CLI_OK) {
        code = fetch(cli, name, &purge);
    }
    if (code != CLI_OK) {
        return code;
    }
    CHECK(purge != NULL);
    ProtobufCBinaryData text =
        document_of(purge, args_flag(args, "accept-earlier-wraps"));
    if (text.len == 0) {
        code = cli_fail(cli, CLI_CONFLICT,
                        "this purge has no document to sign any more");
    } else if (path != NULL) {
        code = write_out(cli, path, text);
    } else {
        bool written = fwrite(text.data, 1, text.len, cli->out) == text.len &&
                       fflush(cli->out) == 0;
        code = written ? CLI_OK : CLI_OTHER;
    }
    hf_message_free(&purge->base);
    return code;
}

/* The same bytes as in the file that was read before. */
static enum cli_exit check_reviewed(struct cli *cli, const char *path,
                                    ProtobufCBinaryData text)
{
    HF_OWNED(file_data_clear) struct file_data reviewed = {NULL, 0};
    enum hf_status status = file_read(path, FILE_MAX_BYTES, &reviewed);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
    }
    return bytes_equal((struct bytes){reviewed.bytes, reviewed.len},
                       (struct bytes){text.data, text.len})
               ? CLI_OK
               : cli_fail(cli, CLI_CONFLICT,
                          "%s is not the document to be signed now: fetch it "
                          "again, and read it",
                          path);
}

/* Nobody signs what is no document of this purge, or what he has not seen. */
static enum cli_exit check_document(struct cli *cli, const struct args *args,
                                    const struct purge_signing *signing,
                                    ProtobufCBinaryData text)
{
    const char *reviewed = args_text(args, "document");
    if (text.len == 0) {
        return cli_fail(cli, CLI_CONFLICT,
                        "this purge has no document to sign any more");
    }
    if (purge_document_check((struct bytes){text.data, text.len}, signing) !=
        HF_OK) {
        return cli_fail(cli, CLI_OTHER,
                        "what the service would have signed is not the "
                        "document of this purge");
    }
    if (reviewed != NULL) {
        return check_reviewed(cli, reviewed, text);
    }
    if (args_text(args, "key") == NULL) {
        return CLI_OK; /* it was signed elsewhere */
    }
    bool written = fwrite(text.data, 1, text.len, cli->err) == text.len;
    if (!written || !args_flag(args, "confirm")) {
        return cli_usage(cli, "this is what you would sign: give --confirm if "
                              "you agree, or --document with what you have "
                              "read before");
    }
    return CLI_OK;
}

/* What is signed here is what was fetched; what was signed elsewhere is read.
 */
static enum cli_exit take_signature(struct cli *cli, const struct args *args,
                                    ProtobufCBinaryData text,
                                    struct file_data *out)
{
    const char *key = args_text(args, "key");
    const char *signature = args_text(args, "signature");
    if ((key == NULL) == (signature == NULL)) {
        return cli_usage(cli, "give --key, to sign here, or --signature, made "
                              "elsewhere");
    }
    enum hf_status status =
        key == NULL ? file_read(signature, KEY_FILE_MAX_BYTES, out)
                    : purge_sign(key, (struct bytes){text.data, text.len}, out);
    return status == HF_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s",
                          key == NULL ? signature : key, file_problem(status));
}

static enum cli_exit approve(struct cli *cli, const struct args *args,
                             struct words *words,
                             const Holdfast__V1__Purge *purge,
                             struct file_data *signature)
{
    Holdfast__V1__ApprovePurgeRequest request =
        HOLDFAST__V1__APPROVE_PURGE_REQUEST__INIT;
    CHECK(purge != NULL);
    request.accept_earlier_wraps = args_flag(args, "accept-earlier-wraps");
    const struct purge_signing signing = {
        .object = words->name,
        .version = purge->version,
        .accepts_earlier_wraps = request.accept_earlier_wraps != 0,
    };
    ProtobufCBinaryData text =
        document_of(purge, signing.accepts_earlier_wraps);
    enum cli_exit code = check_document(cli, args, &signing, text);
    if (code == CLI_OK) {
        code = take_signature(cli, args, text, signature);
    }
    request.name = words->name;
    request.version = purge->version;
    request.signature = (ProtobufCBinaryData){signature->len, signature->bytes};
    request.request_id = words->request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? show(cli, &approve_method, &request.base) : code;
}

static enum cli_exit run_approve(struct cli *cli, const struct args *args)
{
    struct words words;
    struct file_data signature = {NULL, 0};
    Holdfast__V1__Purge *purge = NULL;
    enum cli_exit code = take_words(cli, "purges", &words);
    if (code == CLI_OK) {
        code = fetch(cli, words.name, &purge);
    }
    if (code != CLI_OK) {
        return code;
    }
    code = approve(cli, args, &words, purge, &signature);
    file_data_clear(&signature);
    hf_message_free(&purge->base);
    return code;
}

/* --- certificate ---------------------------------------------------------- */

static enum cli_exit write_part(struct cli *cli, const char *prefix,
                                const char *suffix, ProtobufCBinaryData data)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s%s", prefix, suffix);
    if (len < 0 || (size_t)len >= sizeof path) {
        return cli_usage(cli, "--out is too long");
    }
    return write_out(cli, path, data);
}

static enum cli_exit
write_certificate(struct cli *cli, const char *prefix,
                  const Holdfast__V1__PurgeCertificate *certificate)
{
    struct file_data pem = {NULL, 0};
    enum cli_exit code =
        write_part(cli, prefix, ".txt", certificate->certificate);
    if (code == CLI_OK) {
        code = write_part(cli, prefix, ".sig", certificate->signature);
    }
    if (code == CLI_OK &&
        purge_key_to_pem((struct bytes){certificate->public_key.data,
                                        certificate->public_key.len},
                         &pem) != HF_OK) {
        code = cli_fail(cli, CLI_OTHER, "the public key cannot be written");
    }
    if (code == CLI_OK) {
        code = write_part(cli, prefix, ".pem",
                          (ProtobufCBinaryData){pem.len, pem.bytes});
    }
    file_data_clear(&pem);
    return code;
}

static enum cli_exit run_certificate(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *reply = NULL;
    Holdfast__V1__GetPurgeCertificateRequest request =
        HOLDFAST__V1__GET_PURGE_CERTIFICATE_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], name);
    request.name = name;
    if (code != CLI_OK) {
        return code;
    }
    code = cli_ask(cli, &certificate_method, &request.base, &reply, &error);
    if (code != CLI_OK) {
        return cli_error(cli, &error);
    }
    const Holdfast__V1__PurgeCertificate *certificate =
        (const Holdfast__V1__PurgeCertificate *)reply;
    code = write_certificate(cli, args_text(args, "out"), certificate);
    if (code == CLI_OK) {
        (void)fwrite(certificate->certificate.data, 1,
                     certificate->certificate.len,
                     cli->json ? cli->err : cli->out);
    }
    hf_message_free(reply);
    return code;
}

static enum cli_exit say_verified(struct cli *cli, struct bytes text,
                                  const struct purge_certificate_facts *facts)
{
    bool written = false;
    if (!cli->json) {
        written = fwrite(text.data, 1, text.len, cli->out) == text.len &&
                  fprintf(cli->err, "The signature is good.\n") > 0;
    } else {
        HF_OWNED(json_freep)
        json_t *line =
            json_pack("{s:b,s:s,s:s,s:s,s:s,s:s}", "verified", 1, "tenant",
                      facts->tenant, "purge", facts->object, "dep", facts->dep,
                      "depName", facts->dep_name, "purgedAt", facts->purged_at);
        written = line != NULL &&
                  json_dumpf(line, cli->out, JSON_COMPACT) == 0 &&
                  fputc('\n', cli->out) != EOF;
    }
    return written && fflush(cli->out) == 0 ? CLI_OK : CLI_OTHER;
}

static enum cli_exit verify(struct cli *cli, const struct args *args,
                            struct file_data parts[3])
{
    static const char *const names[] = {"certificate", "signature",
                                        "public-key"};
    for (size_t i = 0; i < 3; i++) {
        const char *path = args_text(args, names[i]);
        enum hf_status status = file_read(path, FILE_MAX_BYTES, &parts[i]);
        if (status != HF_OK) {
            return cli_fail(cli, CLI_OTHER, "%s: %s", path,
                            file_problem(status));
        }
    }
    struct bytes text = {parts[0].bytes, parts[0].len};
    if (purge_verify((struct bytes){parts[2].bytes, parts[2].len}, text,
                     (struct bytes){parts[1].bytes, parts[1].len}) != HF_OK) {
        return cli_fail(cli, CLI_CONFLICT,
                        "the signature is not this key's over this text");
    }
    /* the key signs other texts too */
    struct purge_certificate_facts facts;
    if (purge_certificate_read(text, &facts) != HF_OK) {
        return cli_fail(cli, CLI_CONFLICT,
                        "the text is no certificate of a purge, whoever "
                        "signed it");
    }
    if (!purge_certificate_is_of(&facts, args_text(args, "purge"),
                                 args_text(args, "dep"))) {
        return cli_fail(cli, CLI_CONFLICT,
                        "it is the certificate of %s, of the DEP %s (%s)",
                        facts.object, facts.dep, facts.dep_name);
    }
    return say_verified(cli, text, &facts);
}

static enum cli_exit run_verify(struct cli *cli, const struct args *args)
{
    struct file_data parts[3] = {
        {NULL, 0},
        {NULL, 0},
        {NULL, 0}
    };
    enum cli_exit code = verify(cli, args, parts);
    for (size_t i = 0; i < 3; i++) {
        file_data_clear(&parts[i]);
    }
    return code;
}

/* -------------------------------------------------------------------------- */

static const struct option approver_options[] = {
    {"approver", "IDENTITY=FILE",
     "one approver: a SPIFFE URI, and the file of their public key (PEM); "
     "again for each; none: nobody", false, true},
    OPTIONS_OF_A_CHANGE,
};
static const struct option request_options[] = {
    {"reason",  "TEXT", "why",                                         true,  false},
    {"contact", "TEXT", "who is to be asked",                          true,  false},
    {"force",   NULL,
     "a token is gone for ever: keys that cannot be asked do not hinder it, "
     "and "
     "two approvers are needed",                                       false, false},
    {"confirm", NULL,
     "yes: at its end nothing below the DEP can be opened by anybody", false,
     false                                                                         },
    OPTIONS_OF_A_CHANGE,
};
static const struct option plain_options[] = {OPTIONS_OF_A_CHANGE};
static const struct option document_options[] = {
    {"accept-earlier-wraps", NULL,   "the one that accepts them",           false, false},
    {"out",                  "FILE", "write it here instead of showing it", false, false},
};
static const struct option approve_options[] = {
    {"key",                  "FILE", "your private key (PEM): the document is signed here",
     false,                                                                                        false},
    {"signature",            "FILE", "a signature made elsewhere over the document",        false,
     false                                                                                              },
    {"document",             "FILE",
     "the document as you have read it: it must be the same",                               false, false},
    {"confirm",              NULL,   "yes: you agree to the document that is shown",        false,
     false                                                                                              },
    {"accept-earlier-wraps", NULL,
     "the earlier wraps named in it stay, and you accept that",                             false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option execute_options[] = {
    {"confirm", NULL,
     "yes: after the hold nothing below the DEP can be opened by anybody", false, false},
    OPTIONS_OF_AN_OPERATION,
};
static const struct option certificate_options[] = {
    {"out", "PREFIX", "write PREFIX.txt, PREFIX.sig and PREFIX.pem", true,
     false},
};
static const struct option verify_options[] = {
    {"certificate", "FILE",  "the text",                 true,  false},
    {"signature",   "FILE",  "the signature (DER)",      true,  false},
    {"public-key",  "FILE",
     "the service's audit key (PEM or DER), from a place you trust: not the "
     "one that came with the certificate",               true,  false},
    {"purge",       "PURGE", "it must be of this purge", false, false},
    {"dep",         "DEP",   "it must be of this DEP",   false, false},
};

#define COMMAND(variable, group_, verb_, summary_, operands_, options_,        \
                example_, run_)                                                \
    static const struct command variable = {                                   \
        .group = (group_),                                                     \
        .verb = (verb_),                                                       \
        .summary = (summary_),                                                 \
        .operands = (operands_),                                               \
        .options = (options_),                                                 \
        .option_count = HF_COUNT(options_),                                    \
        .example = (example_),                                                 \
        .run = (run_),                                                         \
    }

COMMAND(set_command, "approvers", "set",
        "Name everybody who may approve a purge, from now on.", NULL,
        approver_options,
        "holdfast --as admin approvers set --approver "
        "spiffe://contoso.example/ada=ada.pem",
        run_set);
static const struct command list_approvers_command = {
    .group = "approvers",
    .verb = "list",
    .summary = "List who may approve a purge.",
    .example = "holdfast --as admin approvers list",
    .run = run_list_approvers,
};
COMMAND(request_command, "purge", "request",
        "Ask for the end of a mailbox DEP whose customer keys are out of use.",
        "DEP", request_options,
        "holdfast --as admin purge request mail --reason 'we leave' --contact "
        "ciso@contoso.example --confirm",
        run_request);
COMMAND(renew_command, "purge", "renew",
        "Make a new document to be signed; approvals of the last one are void.",
        "PURGE", plain_options, "holdfast --as admin purge renew PURGE",
        run_renew);
COMMAND(cancel_command, "purge", "cancel",
        "Take a request back, while nobody has approved it.", "PURGE",
        plain_options, "holdfast --as admin purge cancel PURGE", run_cancel);
COMMAND(document_command, "purge", "document",
        "Show what an approver signs, byte for byte.", "PURGE",
        document_options,
        "holdfast --as ada purge document PURGE --out purge.txt", run_document);
COMMAND(approve_command, "purge", "approve",
        "Approve a purge by your signature over its document.", "PURGE",
        approve_options,
        "holdfast --as ada purge approve PURGE --key ada.key --document "
        "purge.txt",
        run_approve);
COMMAND(execute_command, "purge", "execute",
        "Begin the end, as an operator: after the hold there is no way back.",
        "PURGE", execute_options,
        "holdfast --as operator --tenant contoso purge execute PURGE --confirm",
        run_execute);
COMMAND(pause_command, "purge", "pause", "Stop a purge before or in its hold.",
        "PURGE", plain_options, "holdfast --as admin purge pause PURGE",
        run_pause);
COMMAND(resume_command, "purge", "resume",
        "Let a paused purge go on, as an approver.", "PURGE", plain_options,
        "holdfast --as ada purge resume PURGE", run_resume);
static const struct command show_command = {
    .group = "purge",
    .verb = "show",
    .summary = "Show a purge.",
    .operands = "PURGE",
    .example = "holdfast --as admin purge show PURGE",
    .run = run_show,
};
static const struct command list_command = {
    .group = "purge",
    .verb = "list",
    .summary = "List the purges of the tenant.",
    .example = "holdfast --as admin purge list",
    .run = run_list,
};
COMMAND(certificate_command, "purge", "certificate",
        "Fetch the signed record of what was destroyed.", "PURGE",
        certificate_options,
        "holdfast --as auditor purge certificate PURGE --out mail-purge",
        run_certificate);
COMMAND(verify_command, "purge", "verify",
        "Check the signed record of a destruction, offline.", NULL,
        verify_options,
        "holdfast purge verify --certificate mail-purge.txt --signature "
        "mail-purge.sig --public-key holdfast-audit.pem --dep mail",
        run_verify);

static const struct command *const commands[] = {
    &set_command,         &list_approvers_command, &request_command,
    &renew_command,       &cancel_command,         &document_command,
    &approve_command,     &execute_command,        &pause_command,
    &resume_command,      &show_command,           &list_command,
    &certificate_command, &verify_command,
};
const struct command_set commands_of_purge = {commands, HF_COUNT(commands)};
