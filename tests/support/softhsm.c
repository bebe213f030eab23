#include "tests/support/softhsm.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *softhsm_module(void)
{
    static const char *const places[] = {
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    };
    const char *named = getenv("HF_SOFTHSM_MODULE");
    if (named != NULL) {
        return named;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], R_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

static HF_STATUS write_conf(const struct softhsm *softhsm)
{
    FILE *file = fopen(softhsm->conf, "we");
    if (file == NULL) {
        return HF_E_IO;
    }
    int written = fprintf(file,
                          "directories.tokendir = %s\n"
                          "objectstore.backend = file\n"
                          "log.level = ERROR\n",
                          softhsm->tokens);
    int closed = fclose(file);
    return written > 0 && closed == 0 ? HF_OK : HF_E_IO;
}

HF_STATUS softhsm_start(struct softhsm *out)
{
    *out = (struct softhsm){.folder = ""};
    const char *parent = getenv("TMPDIR");
    if (softhsm_module() == NULL) {
        return HF_E_UNSUPPORTED;
    }
    int len = snprintf(out->folder, sizeof out->folder, "%s/holdfast-XXXXXX",
                       parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    if (len < 0 || (size_t)len >= sizeof out->folder ||
        mkdtemp(out->folder) == NULL) {
        return HF_E_IO;
    }
    snprintf(out->conf, sizeof out->conf, "%s/softhsm2.conf", out->folder);
    snprintf(out->tokens, sizeof out->tokens, "%s/tokens", out->folder);
    if (mkdir(out->tokens, 0700) != 0 || write_conf(out) != HF_OK ||
        setenv("SOFTHSM2_CONF", out->conf, 1) != 0) {
        softhsm_stop(out);
        return HF_E_IO;
    }
    return HF_OK;
}

int softhsm_run(const char *const argv[], int quiet)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (quiet) {
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                         O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
                                         O_WRONLY, 0);
    }
    pid_t child = -1;
    int failed = posix_spawnp(&child, argv[0], &actions, NULL,
                              (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    int status = -1;
    if (failed != 0 || waitpid(child, &status, 0) != child ||
        !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

HF_STATUS softhsm_add_token(const struct softhsm *softhsm, const char *label,
                            const char *pin, const char *so_pin)
{
    (void)softhsm; /* through SOFTHSM2_CONF */
    const char *const argv[] = {"softhsm2-util",
                                "--init-token",
                                "--free",
                                "--label",
                                label,
                                "--pin",
                                pin,
                                "--so-pin",
                                so_pin,
                                NULL};
    return softhsm_run(argv, 1) == 0 ? HF_OK : HF_E_IO;
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void softhsm_stop(struct softhsm *softhsm)
{
    if (softhsm->folder[0] != '\0') {
        nftw(softhsm->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    *softhsm = (struct softhsm){.folder = ""};
}
