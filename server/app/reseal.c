#include "server/app/reseal.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"

#include "server/app/tokens.h"
#include "server/service/reseal.h"
#include "server/store/sqlite/sqlite_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS_MAX_BYTES     65536
#define SIGNATURE_MAX_FILE 4096
#define CUSTOMERS_WAIT_MS  60000
#define EXIT_DONE          0
#define EXIT_FAILED        1
#define EXIT_NOT_VERIFIED  3
#define PATH_BYTES         (CONFIG_PATH_BYTES + 8)

struct ceremony {
    const struct config *config;
    const struct app_reseal_order *order;
    struct app_tokens tokens;
    struct store store;
    bool store_is_open;
    struct reseal_settings settings;
    uint8_t *keys; /* the audit keys */
};

void app_reseal_accept(struct app_reseal_order *order, const char *name)
{
    order->misused =
        order->misused || order->accepted_count == APP_RESEAL_NAMES_MAX;
    if (!order->misused) {
        order->accepted[order->accepted_count++] = name;
    }
}

void app_reseal_sign(struct app_reseal_order *order, const char *signature)
{
    order->misused =
        order->misused || order->signature_count == APP_RESEAL_SIGNATURES_MAX;
    if (!order->misused) {
        order->signatures[order->signature_count++] = signature;
    }
}

static HF_STATUS complain(const char *what, const char *why)
{
    fprintf(stderr, "holdfastd: %s: %s\n", what, why);
    return HF_E_INVALID;
}

/* --- files ---------------------------------------------------------------- */

static HF_STATUS read_file(const char *path, size_t max, uint8_t **out,
                           size_t *out_len)
{
    FILE *file = fopen(path, "re");
    uint8_t *bytes = file != NULL ? malloc(max + 1) : NULL;
    if (file == NULL || bytes == NULL) {
        enum hf_status status = complain(path, strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return status;
    }
    size_t len = fread(bytes, 1, max + 1, file);
    bool good = ferror(file) == 0 && len <= max;
    fclose(file);
    if (!good) {
        free(bytes);
        return complain(path, "it cannot be read, or is too long");
    }
    *out = bytes;
    *out_len = len;
    return HF_OK;
}

/* Never over another one. */
static HF_STATUS write_file(const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return complain(path, strerror(errno));
    }
    FILE *file = fdopen(fd, "w");
    bool good = file != NULL && fwrite(text, 1, len, file) == len &&
                fflush(file) == 0 && fsync(fd) == 0;
    good = (file != NULL ? fclose(file) : close(fd)) == 0 && good;
    return good ? HF_OK : complain(path, strerror(errno));
}

/* --- what it works on ----------------------------------------------------- */

static HF_STATUS open_store(struct ceremony *ceremony)
{
    const struct sqlite_settings settings = {.path = ceremony->config->store};
    if (access(settings.path, R_OK | W_OK) != 0) {
        return complain(settings.path, strerror(errno));
    }
    enum hf_status status = sqlite_store_open(&settings, &ceremony->store);
    if (status != HF_OK) {
        return complain(settings.path,
                        status == HF_E_CONFLICT
                            ? "it is held by another process: end holdfastd"
                            : hf_status_text(status));
    }
    ceremony->store_is_open = true;
    return HF_OK;
}

/* What cannot be seen cannot be verified: here there is time. */
static void wait_for_customers(const struct app_tokens *tokens)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    struct token_profile profile;
    int64_t until_ms = clock_monotonic_ms(clock_system()) + CUSTOMERS_WAIT_MS;
    for (size_t i = 0; i < tokens->count; i++) {
        token_profile_get(&tokens->customers[i], &profile);
        while (!token_profile_is_known(&profile) &&
               clock_monotonic_ms(clock_system()) < until_ms) {
            nanosleep(&pause, NULL);
            token_profile_get(&tokens->customers[i], &profile);
        }
    }
}

static HF_STATUS begin(struct ceremony *ceremony)
{
    struct app_failure why = {.text = ""};
    const struct config *config = ceremony->config;
    const struct app_reseal_order *order = ceremony->order;
    size_t len = 0;
    if (order->audit_key != NULL) {
        HF_TRY(
            read_file(order->audit_key, KEYS_MAX_BYTES, &ceremony->keys, &len));
    }
    HF_TRY(open_store(ceremony));
    if (app_tokens_open(config, clock_system(), &ceremony->tokens, &why) !=
        HF_OK) {
        return complain("tokens", why.text);
    }
    wait_for_customers(&ceremony->tokens);
    ceremony->settings = (struct reseal_settings){
        .service =
            {
                      .store = &ceremony->store,
                      .clock = clock_system(),
                      .rng = rng_system(),
                      .service_token = &ceremony->tokens.service,
                      .ak_token = &ceremony->tokens.ak,
                      .sharepoint_ak_token = config->has_sharepoint_ak
                                           ? &ceremony->tokens.sharepoint_ak
                                           : NULL,
                      .sharepoint_ak_shared = config->sharepoint_ak_shared,
                      .ak_token_name = config_ak_name(config, false),
                      .sharepoint_ak_token_name = config_ak_name(config, true),
                      .ak_mirrors = ceremony->tokens.configured_mirrors,
                      .ak_mirror_count = ceremony->tokens.mirror_count,
                      .tokens = ceremony->tokens.configured,
                      .token_count = ceremony->tokens.count,
                      .attempt_ms = config->limits.attempt_timeout_ms,
                      },
        .audit_keys = {ceremony->keys, len},
        .accepted = order->accepted,
        .accepted_count = order->accepted_count,
    };
    return HF_OK;
}

static void end(struct ceremony *ceremony)
{
    app_tokens_close(&ceremony->tokens);
    if (ceremony->store_is_open) {
        store_close(&ceremony->store);
    }
    free(ceremony->keys);
}

/* --- the check ------------------------------------------------------------ */

static HF_STATUS write_report(const char *path,
                              const struct reseal_report *report)
{
    char text[PATH_BYTES];
    int len = snprintf(text, sizeof text, "%s.txt", path);
    if (len < 0 || (size_t)len >= sizeof text) {
        return complain(path, "too long");
    }
    HF_TRY(write_file(path, report->json));
    return write_file(text, report->summary);
}

static int check(struct ceremony *ceremony)
{
    struct reseal_report report;
    struct problem problem = {.text = ""};
    const char *path = ceremony->order->check;
    enum hf_status status =
        reseal_inspect(&ceremony->settings, &report, &problem);
    if (status != HF_OK) {
        HF_IGNORE(complain("the store", problem.text), "it is said");
        return EXIT_FAILED;
    }
    if (write_report(path, &report) != HF_OK) {
        reseal_report_clear(&report);
        return EXIT_FAILED;
    }
    printf("%s: %llu verified, %llu declared, %llu not verified, %llu of them "
           "not accepted\n",
           path, (unsigned long long)report.verified,
           (unsigned long long)report.declared,
           (unsigned long long)report.not_verified,
           (unsigned long long)report.left);
    bool good = report.left == 0;
    reseal_report_clear(&report);
    return good ? EXIT_DONE : EXIT_NOT_VERIFIED;
}

/* --- the sealing ---------------------------------------------------------- */

static const struct config_domain *domain_of(const struct config *config,
                                             const char *order, size_t len)
{
    for (size_t i = 0; i < config->domain_count; i++) {
        const char *name = config->domains[i].name;
        if (strlen(name) == len && strncmp(name, order, len) == 0) {
            return &config->domains[i];
        }
    }
    return NULL;
}

static HF_STATUS read_signature(const struct ceremony *ceremony, size_t i,
                                struct reseal_signature *out, uint8_t **bytes)
{
    const char *order = ceremony->order->signatures[i];
    const char *equals = strchr(order, '=');
    const struct config_domain *domain =
        equals == NULL
            ? NULL
            : domain_of(ceremony->config, order, (size_t)(equals - order));
    if (domain == NULL) {
        return complain(order, "CUSTODY-DOMAIN=FILE is expected, of a domain "
                               "of the configuration");
    }
    out->custody_domain = domain->name;
    out->public_key = domain->pem;
    size_t len = 0;
    HF_TRY(read_file(equals + 1, SIGNATURE_MAX_FILE, bytes, &len));
    out->signature = (struct bytes){*bytes, len};
    return HF_OK;
}

static HF_STATUS seal(const struct ceremony *ceremony, struct bytes report,
                      uint8_t *files[APP_RESEAL_SIGNATURES_MAX])
{
    struct reseal_signature signatures[APP_RESEAL_SIGNATURES_MAX];
    struct reseal_outcome outcome;
    struct problem problem = {.text = ""};
    size_t count = ceremony->order->signature_count;
    for (size_t i = 0; i < count; i++) {
        HF_TRY(read_signature(ceremony, i, &signatures[i], &files[i]));
    }
    enum hf_status status = reseal_seal(&ceremony->settings, report, signatures,
                                        count, &outcome, &problem);
    if (status != HF_OK) {
        return complain(status == HF_E_TIMEOUT ? "it is not done yet"
                                               : "nothing was sealed",
                        problem.text);
    }
    printf("%s under the token of the configuration: %llu records, epoch "
           "%llu\n",
           outcome.repeated ? "it was sealed already" : "sealed anew",
           (unsigned long long)outcome.records,
           (unsigned long long)outcome.epoch);
    return HF_OK;
}

static int carry_out(const struct ceremony *ceremony)
{
    uint8_t *files[APP_RESEAL_SIGNATURES_MAX] = {NULL};
    uint8_t *report = NULL;
    size_t len = 0;
    enum hf_status status = read_file(ceremony->order->report,
                                      RESEAL_REPORT_MAX_BYTES, &report, &len);
    if (status == HF_OK) {
        status = seal(ceremony, (struct bytes){report, len}, files);
    }
    for (size_t i = 0; i < APP_RESEAL_SIGNATURES_MAX; i++) {
        free(files[i]);
    }
    free(report);
    return status == HF_OK ? EXIT_DONE : EXIT_FAILED;
}

int app_reseal(const struct config *config,
               const struct app_reseal_order *order)
{
    struct ceremony *ceremony = calloc(1, sizeof *ceremony);
    int code = EXIT_FAILED;
    if (ceremony == NULL) {
        HF_IGNORE(complain("reseal", "out of memory"), "it is said");
        return code;
    }
    ceremony->config = config;
    ceremony->order = order;
    if (begin(ceremony) == HF_OK) {
        code = order->check != NULL ? check(ceremony) : carry_out(ceremony);
    }
    end(ceremony);
    free(ceremony);
    return code;
}
