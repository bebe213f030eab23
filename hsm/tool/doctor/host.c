/* What can be seen before a module is loaded. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/tool/doctor/diagnosis.h"
#include "hsm/tool/session.h"
#include "hsm/tool/softhsm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MEMLOCK_BYTES (4u << 20)
/* 2025-01-01: before Holdfast was written */
#define CLOCK_MIN_MS 1735689600000ll
/* What stands at the beginning of an ELF file: which machine it is for. */
#define ELF_BYTES   20
#define ELF_CLASS   4
#define ELF_MACHINE 18

static void look_at_limits(struct diagnosis *out)
{
    struct rlimit limit = {0};
    char now[CLOCK_UTC_TEXT];
    int64_t wall_ms = clock_wall_ms(clock_system());
    if (wall_ms < CLOCK_MIN_MS) {
        clock_format_utc(wall_ms, now);
        diagnosis_add(out, FINDING_CLOCK, "timedatectl status",
                      "the clock says %s: ids of keys, certificates and audit "
                      "rest on it",
                      now);
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < MEMLOCK_BYTES) {
        diagnosis_add(out, FINDING_MEMLOCK, "ulimit -l 4096",
                      "this user may lock %llu kB of memory; the service needs "
                      "4096",
                      (unsigned long long)limit.rlim_cur / 1024);
    }
}

static bool read_elf(const char *path, uint8_t out[ELF_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && read(fd, out, ELF_BYTES) == ELF_BYTES &&
                bytes_equal((struct bytes){out, 4}, bytes_of_text("\x7f"
                                                                  "ELF"));
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static void look_at_module(const char *path, struct diagnosis *out)
{
    uint8_t its[ELF_BYTES];
    uint8_t ours[ELF_BYTES];
    if (access(path, R_OK) != 0) {
        diagnosis_add(out, FINDING_MODULE_MISSING,
                      errno == ENOENT ? "find / -name '*pkcs11*.so' -o -name "
                                        "'libsofthsm2.so'"
                                      : "ls -lL with the module's path",
                      "the module %s %s", path,
                      errno == ENOENT ? "is not there"
                                      : "cannot be read by this user");
        return;
    }
    if (!read_elf(path, its)) {
        diagnosis_add(out, FINDING_MODULE_LOAD, NULL,
                      "%s is no shared library: is it the vendor's PKCS#11 "
                      "module, or a file beside it?",
                      path);
        return;
    }
    if (read_elf("/proc/self/exe", ours) &&
        (its[ELF_CLASS] != ours[ELF_CLASS] ||
         its[ELF_MACHINE] != ours[ELF_MACHINE])) {
        diagnosis_add(out, FINDING_MODULE_ARCHITECTURE, "uname -m",
                      "%s is for another processor than this program: ask the "
                      "vendor for the %zu-bit module of this machine",
                      path, 8 * sizeof(void *));
    }
}

static void look_at_directory(const char *path, struct diagnosis *out)
{
    struct stat info = {0};
    struct statvfs disk = {0};
    if (stat(path, &info) != 0) {
        /* an empty one would be taken for it, and new tokens made in it */
        diagnosis_add(out, FINDING_SOFTHSM_DIR,
                      "findmnt; ls -ld its parent folder",
                      "SoftHSM's token directory %s is not there: was it "
                      "moved, or its file system not mounted? Bring it back or "
                      "mount it; do not make a new one",
                      path);
        return;
    }
    if (access(path, R_OK | W_OK | X_OK) != 0) {
        diagnosis_add(out, FINDING_SOFTHSM_DIR, "ls -ld the directory; id",
                      "SoftHSM's token directory %s belongs to user %u, and "
                      "this one (%u) may not use it: SoftHSM then shows no "
                      "token at all",
                      path, (unsigned)info.st_uid, (unsigned)geteuid());
        return;
    }
    if (info.st_uid != geteuid()) {
        diagnosis_add(out, FINDING_SOFTHSM_OWNER,
                      "run holdfast-hsm as the service's own user",
                      "the token directory %s belongs to user %u, not to this "
                      "one (%u): what is made now the service may not be able "
                      "to read",
                      path, (unsigned)info.st_uid, (unsigned)geteuid());
    }
    if (statvfs(path, &disk) == 0 &&
        (disk.f_bavail == 0 || (disk.f_files > 0 && disk.f_favail == 0))) {
        diagnosis_add(out, FINDING_DISK_FULL, "df -h -i the directory",
                      "the file system of %s is full: SoftHSM then loses what "
                      "it writes",
                      path);
    }
}

static void look_at_softhsm(struct diagnosis *out)
{
    char path[PATH_MAX];
    const char *named = getenv("SOFTHSM2_CONF");
    if (softhsm_token_dir(path, sizeof path) != HF_OK) {
        diagnosis_add(out, FINDING_SOFTHSM_CONF,
                      "export SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf",
                      "SoftHSM's configuration %s is not there, cannot be read "
                      "by this user, or names no directories.tokendir",
                      named == NULL ? "/etc/softhsm/softhsm2.conf" : named);
        return;
    }
    look_at_directory(path, out);
}

void doctor_host(const struct tool *tool, struct diagnosis *out)
{
    struct tool asked = *tool;
    const char *module = NULL;
    look_at_limits(out);
    if (session_module(&asked, &module) != HF_OK) {
        diagnosis_add(out, FINDING_MODULE_MISSING,
                      "apt-get install softhsm2, or give --module PATH",
                      "no module is named, and SoftHSM is not where it usually "
                      "is");
        return;
    }
    look_at_module(module, out);
    if (strstr(module, "softhsm") != NULL) {
        look_at_softhsm(out);
    }
}
