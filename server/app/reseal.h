/* reseal: holdfastd --reseal-check and --reseal: the offline ceremony after the
 * loss of the service's token (server/service/reseal.h). It holds the store's
 * lock, so no service runs beside it. */
#pragma once

#include "server/app/config.h"

#define APP_RESEAL_NAMES_MAX      256
#define APP_RESEAL_SIGNATURES_MAX 2

struct app_reseal_order {
    const char *check;  /* the report to write; NULL: not asked */
    const char *report; /* the one that was signed; NULL: not asked */
    const char *audit_key;
    const char *accepted[APP_RESEAL_NAMES_MAX];
    size_t accepted_count;
    /* CUSTODY-DOMAIN=FILE */
    const char *signatures[APP_RESEAL_SIGNATURES_MAX];
    size_t signature_count;
    bool misused; /* more of something than there may be */
};

/* app_reseal_takes: one more --accept or --signature. */
void app_reseal_accept(struct app_reseal_order *order, const char *name);
void app_reseal_sign(struct app_reseal_order *order, const char *signature);

/* app_reseal: the exit code: 0 done (a check: it may be sealed), 1 it could not
 * be done, 3 a check: something does not verify and was not accepted. Says why
 * on standard error. The configuration is the caller's. */
int app_reseal(const struct config *config,
               const struct app_reseal_order *order);
