/* purge: the signed record of what was destroyed: fetched, and verified by
 * anybody, offline. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/created.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/purge.h"
#include "client/cli/purge_sign.h"
#include "client/cli/purge_text.h"

#include <stdio.h>

#define FILE_MAX_BYTES 65536

static const struct cli_method certificate_method = {
    "holdfast.v1.PurgeService/GetPurgeCertificate",
    &holdfast__v1__purge_certificate__descriptor};

static enum cli_exit
write_certificate(struct cli *cli,
                  const Holdfast__V1__PurgeCertificate *certificate)
{
    struct file_data pem = {NULL, 0};
    enum cli_exit code =
        created_write_part(cli, ".txt",
                           (struct bytes){certificate->certificate.data,
                                          certificate->certificate.len},
                           "the certificate");
    if (code == CLI_OK) {
        code = created_write_part(cli, ".sig",
                                  (struct bytes){certificate->signature.data,
                                                 certificate->signature.len},
                                  "its signature");
    }
    if (code == CLI_OK &&
        purge_key_to_pem((struct bytes){certificate->public_key.data,
                                        certificate->public_key.len},
                         &pem) != HF_OK) {
        code = cli_fail(cli, CLI_OTHER, "the public key cannot be written");
    }
    if (code == CLI_OK) {
        code =
            created_write_part(cli, ".pem", (struct bytes){pem.bytes, pem.len},
                               "the public key that came with it");
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
    code = write_certificate(cli, certificate);
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

PURGE_COMMAND(certificate_command, "certificate",
              "Fetch the signed record of what was destroyed.", "PURGE",
              certificate_options,
              "holdfast --as auditor purge certificate PURGE --out mail-purge",
              run_certificate);
PURGE_COMMAND(verify_command, "verify",
              "Check the signed record of a destruction, offline.", NULL,
              verify_options,
              "holdfast purge verify --certificate mail-purge.txt --signature "
              "mail-purge.sig --public-key holdfast-audit.pem --dep mail",
              run_verify);

static const struct command *const commands[] = {&certificate_command,
                                                 &verify_command};
const struct command_set commands_of_purge_verify = {commands,
                                                     HF_COUNT(commands)};
