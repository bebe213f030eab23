#include "client/cli/created.h"

#include "client/cli/file.h"

#define PATH_BYTES 4096

enum cli_exit created_write(struct cli *cli, const char *path,
                            struct bytes data, const char *what)
{
    enum hf_status status = file_create(path, data.data, data.len);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
    }
    cli_note(cli, "wrote %s to %s", what, path);
    return CLI_OK;
}

enum cli_exit created_write_part(struct cli *cli, const char *suffix,
                                 struct bytes data, const char *what)
{
    char path[PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s%s", args_text(cli->args, "out"),
                       suffix);
    if (len < 0 || (size_t)len >= sizeof path) {
        return cli_usage(cli, "--out is too long");
    }
    return created_write(cli, path, data, what);
}
