/* settings: which server, as whom. From four places, the first that says
 * something wins: options, a profile named by an option, the environment, a
 * profile named in the environment.
 *
 * A profile is a JSON object with the keys target, cert, key, ca, tenant,
 * server_name and timeout (seconds). File names in it are relative to its own
 * folder. Anything else in it is a mistake, reported with file and line.
 */
#pragma once

#include "hsm/base/status.h"

#include "client/cli/args.h"

#include <stddef.h>
#include <stdint.h>

enum setting {
    SETTING_TARGET,
    SETTING_CERT,
    SETTING_KEY,
    SETTING_CA,
    SETTING_SERVER_NAME,
    SETTING_TENANT,
    SETTING_TIMEOUT, /* seconds, as text */
    SETTING_COUNT,
};

struct settings {
    char *values[SETTING_COUNT]; /* NULL: nobody said */
    char mistake[512];
};

/* Where the environment comes from: getenv, but for tests. */
typedef const char *environment_fn(const char *name);

/* settings_load: Gives *settings, cleared with settings_clear. Returns HF_OK,
 * HF_E_INVALID or HF_E_IO, with settings->mistake set. */
HF_STATUS settings_load(const struct args *args, environment_fn *environment,
                        struct settings *settings);
/* settings_add_profile: fills what is still empty from a profile file. */
HF_STATUS settings_add_profile(struct settings *settings, const char *path);
void settings_clear(struct settings *settings);

/* settings_timeout_ms: 0 when nobody said. HF_E_INVALID with mistake. */
HF_STATUS settings_timeout_ms(struct settings *settings, int64_t *out_ms);
