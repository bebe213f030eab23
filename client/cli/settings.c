#include "client/cli/settings.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/file.h"
#include "client/cli/values.h"

#include <jansson.h>

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PROFILE_MAX_BYTES (64u << 10)
#define TIMEOUT_MAX_S     86400
#define MILLISECONDS      1000

static const struct {
    const char *option;
    const char *environment;
    const char *member;
    bool is_file;
} words[SETTING_COUNT] = {
    [SETTING_TARGET] = {"target",      "HOLDFAST_TARGET",      "target",  false},
    [SETTING_CERT] = {"cert",        "HOLDFAST_CERT",        "cert",    true },
    [SETTING_KEY] = {"key",         "HOLDFAST_KEY",         "key",     true },
    [SETTING_CA] = {"ca",          "HOLDFAST_CA",          "ca",      true },
    [SETTING_SERVER_NAME] = {"server-name", "HOLDFAST_SERVER_NAME",
                        "server_name",                                    false},
    [SETTING_TENANT] = {"tenant",      "HOLDFAST_TENANT",      "tenant",  false},
    [SETTING_TIMEOUT] = {"timeout",     "HOLDFAST_TIMEOUT",     "timeout", false},
};

__attribute__((format(printf, 2, 3))) static enum hf_status
mistake(struct settings *settings, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(settings->mistake, sizeof settings->mistake, format, list);
    va_end(list);
    return HF_E_INVALID;
}

void settings_clear(struct settings *settings)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        free(settings->values[i]);
        settings->values[i] = NULL;
    }
}

/* fill: keeps what an earlier place said. */
static enum hf_status fill(struct settings *settings, enum setting which,
                           const char *text)
{
    if (text == NULL || settings->values[which] != NULL) {
        return HF_OK;
    }
    settings->values[which] = strdup(text);
    return settings->values[which] != NULL ? HF_OK : HF_E_NO_MEMORY;
}

/* --- profiles ------------------------------------------------------------- */

/* line_of: the line on which a member of this name is first written. */
static int line_of(const char *text, const char *member)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", member);
    const char *found = strstr(text, quoted);
    int line = 1;
    for (const char *at = text; found != NULL && at < found; at++) {
        line += *at == '\n' ? 1 : 0;
    }
    return line;
}

static enum setting setting_of(const char *member)
{
    enum setting which = SETTING_TARGET;
    while (which < SETTING_COUNT && strcmp(words[which].member, member) != 0) {
        which++;
    }
    return which;
}

/* fill_file: relative to the folder of the profile. */
static enum hf_status fill_file(struct settings *settings, enum setting which,
                                const char *profile, const char *file)
{
    const char *slash = strrchr(profile, '/');
    if (file[0] == '/' || slash == NULL) {
        return fill(settings, which, file);
    }
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%.*s/%s", (int)(slash - profile),
                       profile, file);
    if (len < 0 || (size_t)len >= sizeof path) {
        return mistake(settings, "%s: the path of \"%s\" is too long", profile,
                       words[which].member);
    }
    return fill(settings, which, path);
}

static enum hf_status take_member(struct settings *settings, const char *path,
                                  const char *text, const char *member,
                                  const json_t *value)
{
    enum setting which = setting_of(member);
    int line = line_of(text, member);
    if (which == SETTING_COUNT) {
        return mistake(settings,
                       "%s:%d: \"%.40s\" is not known here; expected target, "
                       "cert, key, ca, tenant, server_name or timeout",
                       path, line, member);
    }
    if (which == SETTING_TIMEOUT && json_is_integer(value)) {
        char number[24];
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
                       json_integer_value(value));
        return fill(settings, which, number);
    }
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return mistake(settings,
                       "%s:%d: \"%s\" must be a text that is not "
                       "empty",
                       path, line, member);
    }
    return words[which].is_file
               ? fill_file(settings, which, path, json_string_value(value))
               : fill(settings, which, json_string_value(value));
}

static void json_freep(json_t **value)
{
    json_decref(*value);
}

static enum hf_status take_profile(struct settings *settings, const char *path,
                                   const char *text)
{
    json_error_t where;
    HF_OWNED(json_freep)
    json_t *profile = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (profile == NULL) {
        return mistake(settings, "%s:%d: %s", path, where.line, where.text);
    }
    if (!json_is_object(profile)) {
        return mistake(settings, "%s:1: expected a JSON object", path);
    }
    const char *member = NULL;
    json_t *value = NULL;
    json_object_foreach(profile, member, value)
    {
        HF_TRY(take_member(settings, path, text, member, value));
    }
    return HF_OK;
}

/* The profiles beside one that is not there: "; there are: admin, auditor". */
static void list_beside(const char *path, char *out, size_t size)
{
    char folder[PATH_MAX];
    size_t len = 0;
    const char *slash = strrchr(path, '/');
    out[0] = '\0';
    if (slash == NULL || (size_t)(slash - path) >= sizeof folder) {
        return;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        if (dot != NULL && strcmp(dot, ".json") == 0 && len < size) {
            int more = snprintf(
                out + len, size - len, "%s%.*s",
                len > 0 ? ", " : "; there are: ", (int)(dot - names[i]->d_name),
                names[i]->d_name);
            len += more > 0 ? (size_t)more : 0;
        }
        free(names[i]);
    }
    free(names);
}

HF_STATUS settings_add_profile(struct settings *settings, const char *path)
{
    HF_OWNED(file_data_clear) struct file_data data = {0};
    enum hf_status status = file_read(path, PROFILE_MAX_BYTES, &data);
    if (status != HF_OK) {
        char others[256] = "";
        if (status == HF_E_NOT_FOUND) {
            list_beside(path, others, sizeof others);
        }
        (void)mistake(settings, "profile %s: %s%s", path, file_problem(status),
                      others);
        return status;
    }
    return take_profile(settings, path, (const char *)data.bytes);
}

static enum hf_status add_named(struct settings *settings, const char *name,
                                environment_fn *environment)
{
    if (name == NULL) {
        return HF_OK;
    }
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        return mistake(settings, "a profile is named by one word, not \"%s\"",
                       name);
    }
    const char *home = environment("HOLDFAST_HOME");
    const char *state = environment("XDG_STATE_HOME");
    const char *user = environment("HOME");
    char path[PATH_MAX];
    int len = 0;
    if (home != NULL && home[0] != '\0') {
        len = snprintf(path, sizeof path, "%s/client/%s.json", home, name);
    } else if (state != NULL && state[0] != '\0') {
        len = snprintf(path, sizeof path, "%s/holdfast/client/%s.json", state,
                       name);
    } else {
        len = snprintf(path, sizeof path,
                       "%s/.local/state/holdfast/client/%s.json",
                       user != NULL ? user : "", name);
    }
    if (len < 0 || (size_t)len >= sizeof path) {
        return mistake(settings, "the path of profile %s is too long", name);
    }
    return settings_add_profile(settings, path);
}

static enum hf_status add_file(struct settings *settings, const char *path)
{
    return path != NULL ? settings_add_profile(settings, path) : HF_OK;
}

HF_STATUS settings_load(const struct args *args, environment_fn *environment,
                        struct settings *settings)
{
    *settings = (struct settings){0};
    for (enum setting i = SETTING_TARGET; i < SETTING_COUNT; i++) {
        HF_TRY(fill(settings, i, args_global(args, words[i].option)));
    }
    HF_TRY(add_file(settings, args_global(args, "config")));
    HF_TRY(add_named(settings, args_global(args, "as"), environment));
    for (enum setting i = SETTING_TARGET; i < SETTING_COUNT; i++) {
        const char *text = environment(words[i].environment);
        if (text != NULL && text[0] != '\0') {
            HF_TRY(fill(settings, i, text));
        }
    }
    if (args_global(args, "config") != NULL ||
        args_global(args, "as") != NULL) {
        return HF_OK;
    }
    HF_TRY(add_file(settings, environment("HOLDFAST_CONFIG")));
    return add_named(settings, environment("HOLDFAST_PROFILE"), environment);
}

HF_STATUS settings_timeout_ms(struct settings *settings, int64_t *out_ms)
{
    const char *text = settings->values[SETTING_TIMEOUT];
    int64_t seconds = 0;
    if (text == NULL) {
        *out_ms = 0;
        return HF_OK;
    }
    if (number_parse(text, 1, TIMEOUT_MAX_S, &seconds) != HF_OK) {
        return mistake(settings, "timeout is 1 to %d seconds, not \"%.40s\"",
                       TIMEOUT_MAX_S, text);
    }
    *out_ms = seconds * MILLISECONDS;
    return HF_OK;
}
