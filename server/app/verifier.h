/* verifier: the port of server/service/verifier.h by a process of its own:
 * holdfast-hsm, started anew for each question, the PIN by a descriptor. */
#pragma once

#include "server/app/config.h"
#include "server/service/verifier.h"

/* What it is started with; borrowed for its life. */
struct app_verifier {
    char program[CONFIG_PATH_BYTES]; /* "": there is none */
    const struct config *config;
    struct verifier port;
};

/* app_verifier_set: the program that is configured, or that beside this one.
 * False when it cannot be executed: the port is then not to be used. */
bool app_verifier_set(struct app_verifier *verifier,
                      const struct config *config);

#define APP_AK_TOKENS_MAX (CONFIG_AK_MIRRORS_MAX + 2)
/* app_verifier_shut_out: the names of the tokens of availability keys that have
 * no pin_file: nothing can be verified in them, so no purge ends.
 *
 * Returns   how many, borrowed from config. */
size_t app_verifier_shut_out(const struct config *config,
                             const char *out_names[APP_AK_TOKENS_MAX]);
