#include "server/app/program.h"

#include "hsm/base/bytes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool find_beside(const char *name, char out[CONFIG_PATH_BYTES])
{
    char path[CONFIG_PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0) {
        return false;
    }
    path[len] = '\0';
    char *end = strrchr(path, '/');
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    int written = snprintf(out, CONFIG_PATH_BYTES, "%.480s/%s", path, name);
    return written > 0 && written < CONFIG_PATH_BYTES;
}

bool program_find(const char *configured, const char *name,
                  char out[CONFIG_PATH_BYTES])
{
    out[0] = '\0';
    bool known = configured[0] == '\0'
                     ? find_beside(name, out)
                     : text_copy(out, CONFIG_PATH_BYTES, configured) == HF_OK;
    return known && access(out, X_OK) == 0;
}
