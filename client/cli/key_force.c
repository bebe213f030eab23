#include "client/cli/key_force.h"

#include <string.h>

#define DOCUMENT_MAX_BYTES  4096
#define SIGNATURE_MAX_BYTES 4096

static enum cli_exit read_part(struct cli *cli, const char *path,
                               size_t max_bytes, struct file_data *out)
{
    enum hf_status status = file_read(path, max_bytes, out);
    return status == HF_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
}

static enum cli_exit read_approval(struct cli *cli, const char *text,
                                   struct key_force *force, size_t at)
{
    Holdfast__V1__ForcedChangeApproval *approval = &force->approvals[at];
    const char *file = strchr(text, '=');
    size_t len = file == NULL ? 0 : (size_t)(file - text);
    if (len == 0 || len >= sizeof force->identities[at] || file[1] == '\0') {
        return cli_usage(cli, "--approval is IDENTITY=FILE: a SPIFFE URI and "
                              "the file of a signature");
    }
    memcpy(force->identities[at], text, len);
    force->identities[at][len] = '\0';
    enum cli_exit code =
        read_part(cli, file + 1, SIGNATURE_MAX_BYTES, &force->signatures[at]);
    holdfast__v1__forced_change_approval__init(approval);
    approval->approver = force->identities[at];
    approval->signature = (ProtobufCBinaryData){force->signatures[at].len,
                                                force->signatures[at].bytes};
    force->list[at] = approval;
    return code;
}

enum cli_exit key_force_read(struct cli *cli, const struct args *args,
                             struct key_force *force,
                             Holdfast__V1__ForcedChange **out_message)
{
    const char *path = args_text(args, "force-document");
    size_t count = args_count(args, "approval");
    memset(force, 0, sizeof *force);
    *out_message = NULL;
    if (path == NULL && count == 0) {
        return CLI_OK;
    }
    if (path == NULL || count != KEY_FORCE_APPROVALS) {
        return cli_usage(cli, "--force-document goes with two --approval");
    }
    holdfast__v1__forced_change__init(&force->message);
    enum cli_exit code =
        read_part(cli, path, DOCUMENT_MAX_BYTES, &force->document);
    for (size_t i = 0; code == CLI_OK && i < count; i++) {
        code = read_approval(cli, args_nth(args, "approval", i), force, i);
    }
    force->message.document =
        (ProtobufCBinaryData){force->document.len, force->document.bytes};
    force->message.approvals = force->list;
    force->message.n_approvals = count;
    *out_message = &force->message;
    return code;
}

void key_force_clear(struct key_force *force)
{
    file_data_clear(&force->document);
    for (size_t i = 0; i < KEY_FORCE_APPROVALS; i++) {
        file_data_clear(&force->signatures[i]);
    }
}
