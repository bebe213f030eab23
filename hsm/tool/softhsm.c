#include "hsm/tool/softhsm.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_CONF "/etc/softhsm/softhsm2.conf"
#define USER_CONF   ".config/softhsm2/softhsm2.conf"
#define SETTING     "directories.tokendir"

bool softhsm_is(const char *manufacturer)
{
    return strncmp(manufacturer, "SoftHSM", strlen("SoftHSM")) == 0;
}

static void file_close(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

/* The file is the operator's own: it is only read. */
static FILE *open_configuration(void)
{
    const char *named = getenv("SOFTHSM2_CONF");
    if (named != NULL) {
        return fopen(named, "re");
    }
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    if (home != NULL &&
        snprintf(path, sizeof path, "%s/" USER_CONF, home) < PATH_MAX) {
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            return file;
        }
    }
    return fopen(SYSTEM_CONF, "re");
}

static char *skip_blanks(char *at)
{
    return at + strspn(at, " \t");
}

/* The value of "directories.tokendir = VALUE", or NULL. */
static const char *value_of(char *line)
{
    line[strcspn(line, "#\r\n")] = '\0';
    char *at = skip_blanks(line);
    if (strncmp(at, SETTING, strlen(SETTING)) != 0) {
        return NULL;
    }
    at = skip_blanks(at + strlen(SETTING));
    if (*at != '=') {
        return NULL;
    }
    at = skip_blanks(at + 1);
    for (size_t len = strlen(at);
         len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'); len--) {
        at[len - 1] = '\0';
    }
    return *at == '\0' ? NULL : at;
}

HF_STATUS softhsm_token_dir(char *out, size_t cap)
{
    HF_OWNED(file_close) FILE *file = open_configuration();
    char line[PATH_MAX + 64];
    if (file == NULL) {
        return HF_E_NOT_FOUND;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        const char *value = value_of(line);
        if (value != NULL) {
            return text_copy(out, cap, value) == HF_OK ? HF_OK : HF_E_LIMIT;
        }
    }
    return HF_E_NOT_FOUND;
}

/* 8c1e2b3a-....-....-SSSS-SSSSSSSSSSSS: the serial is the end of a UUID. */
static bool is_named_after(const char *name, const char *serial)
{
    size_t len = strlen(name);
    size_t at = strlen(serial);
    while (len > 0 && at > 0) {
        len -= 1;
        if (name[len] == '-') {
            continue;
        }
        at -= 1;
        if (name[len] != serial[at]) {
            return false;
        }
    }
    return at == 0;
}

HF_STATUS softhsm_folder_of(const char *serial, char *out, size_t cap)
{
    char folder[PATH_MAX];
    size_t found = 0;
    HF_TRY(softhsm_token_dir(folder, sizeof folder));
    DIR *dir = opendir(folder);
    if (dir == NULL || serial[0] == '\0') {
        if (dir != NULL) {
            closedir(dir);
        }
        return HF_E_NOT_FOUND;
    }
    bool fits = true;
    for (struct dirent *entry = readdir(dir); entry != NULL;
         entry = readdir(dir)) {
        if (is_named_after(entry->d_name, serial)) {
            int len = snprintf(out, cap, "%s/%s", folder, entry->d_name);
            fits = fits && len > 0 && (size_t)len < cap;
            found += 1;
        }
    }
    closedir(dir);
    if (!fits) {
        return HF_E_LIMIT;
    }
    return found == 1 ? HF_OK : HF_E_NOT_FOUND;
}
