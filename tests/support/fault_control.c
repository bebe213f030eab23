#include "tests/support/fault_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

HF_STATUS fault_control_start(const char *folder, const char *real_module,
                              struct fault_control *out)
{
    int len = snprintf(out->file, sizeof out->file, "%s/faults", folder);
    snprintf(out->log, sizeof out->log, "%s.log", out->file);
    if (len < 0 || (size_t)len >= sizeof out->file ||
        setenv("HF_FAULT_MODULE", real_module, 1) != 0 ||
        setenv("HF_FAULT_CONTROL", out->file, 1) != 0) {
        return HF_E_IO;
    }
    return fault_control_clear(out);
}

HF_STATUS fault_control_set(const struct fault_control *control,
                            const char *rules)
{
    char beside[sizeof control->file + 8];
    snprintf(beside, sizeof beside, "%s.new", control->file);
    FILE *file = fopen(beside, "we");
    if (file == NULL) {
        return HF_E_IO;
    }
    int written = fputs(rules, file);
    int closed = fclose(file);
    /* another file with another inode: the shim cannot miss the change */
    if (written < 0 || closed != 0 || rename(beside, control->file) != 0) {
        return HF_E_IO;
    }
    return HF_OK;
}

HF_STATUS fault_control_clear(const struct fault_control *control)
{
    return fault_control_set(control, "");
}

size_t fault_control_logged(const struct fault_control *control,
                            const char *token, const char *function)
{
    FILE *file = fopen(control->log, "re");
    size_t count = 0;
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *name = strrchr(line, ' ');
        if (name == NULL) {
            continue;
        }
        *name = '\0';
        bool fits = (token == NULL || strcmp(token, line) == 0) &&
                    strcmp(function, name + 1) == 0;
        count += fits ? 1 : 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

void fault_control_forget(const struct fault_control *control)
{
    unlink(control->log);
}

const char *fault_control_shim(void)
{
    static char path[4096];
    const char *named = getenv("HF_FAULT_SHIM");
    const char *build = getenv("HF_BUILD");
    if (named != NULL) {
        return named;
    }
    snprintf(path, sizeof path, "%s/tests/fault/shim/libhf_fault_shim.so",
             build != NULL ? build : ".");
    return path;
}
