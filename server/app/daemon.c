/* The daemon's life: options, signals, exit codes. */
#include "hsm/base/check.h"

#include "hsm/sys/log.h"
#include "hsm/sys/secret.h"

#include "server/app/app.h"
#include "server/app/notify.h"
#include "server/app/reseal.h"
#include "server/app/verifier.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_HEAP_BYTES ((size_t)4 * 1024 * 1024)

/* A token of the service's has refused its PIN. Whoever starts the daemon again
 * by himself would have it tried again, until it is locked: the unit does not
 * (RestartPreventExitStatus). */
#define EXIT_PIN_REFUSED 77

static const char usage[] =
    "usage: holdfastd --config FILE [--port-file FILE]\n"
    "       holdfastd --config FILE --check-config\n"
    "       holdfastd --config FILE --reseal-check REPORT [--audit-key FILE]\n"
    "                 [--accept NAME]...\n"
    "       holdfastd --config FILE --reseal REPORT --signature DOMAIN=FILE\n"
    "                 --signature DOMAIN=FILE\n"
    "       holdfastd --version | --help\n"
    "\n"
    "  --config FILE     the YAML file it is set up by\n"
    "  --check-config    say every mistake in the file, start nothing\n"
    "  --port-file FILE  write the port it listens on there once it does\n"
    "\n"
    "After the loss of the service's token, with a new one in the\n"
    "configuration and no daemon running:\n"
    "  --reseal-check REPORT  look at everything in the store as far as it "
    "can\n"
    "                    be verified without the lost token; writes REPORT "
    "(to\n"
    "                    be signed) and REPORT.txt (to be read), changes "
    "nothing\n"
    "  --audit-key FILE  the lost token's public audit keys (PEM), as "
    "published\n"
    "  --accept NAME     take what does not verify all the same\n"
    "  --reseal REPORT   seal everything anew as REPORT says\n"
    "  --signature DOMAIN=FILE  over REPORT, by the custodian of a custody\n"
    "                    domain: openssl dgst -sha256 -sign KEY -out FILE "
    "REPORT\n"
    "\n"
    "SIGHUP reads identities, roles, certificates and the revocation list\n"
    "again; SIGTERM and SIGINT end it after the calls in flight.\n";

struct options {
    const char *config;
    const char *port_file;
    bool check_only;
    struct app_reseal_order reseal;
};

/* -1: go on; else the exit code. */
static int read_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = {
        {"config",       required_argument, NULL, 'c'},
        {"port-file",    required_argument, NULL, 'p'},
        {"check-config", no_argument,       NULL, 'k'},
        {"reseal-check", required_argument, NULL, 'R'},
        {"reseal",       required_argument, NULL, 'r'},
        {"audit-key",    required_argument, NULL, 'a'},
        {"accept",       required_argument, NULL, 'n'},
        {"signature",    required_argument, NULL, 's'},
        {"version",      no_argument,       NULL, 'v'},
        {"help",         no_argument,       NULL, 'h'},
        {NULL,           0,                 NULL, 0  },
    };
    int letter = 0;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 'c':
            out->config = optarg;
            break;
        case 'p':
            out->port_file = optarg;
            break;
        case 'k':
            out->check_only = true;
            break;
        case 'R':
            out->reseal.check = optarg;
            break;
        case 'r':
            out->reseal.report = optarg;
            break;
        case 'a':
            out->reseal.audit_key = optarg;
            break;
        case 'n':
            app_reseal_accept(&out->reseal, optarg);
            break;
        case 's':
            app_reseal_sign(&out->reseal, optarg);
            break;
        case 'v':
            printf("holdfastd %s\n", HF_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    bool both = out->reseal.check != NULL && out->reseal.report != NULL;
    if (out->config == NULL || optind != argc || both || out->reseal.misused) {
        fputs(usage, stderr);
        return 2;
    }
    return -1;
}

static void print_mistakes(const struct config_mistakes *mistakes)
{
    size_t shown = mistakes->count < CONFIG_MISTAKES_MAX ? mistakes->count
                                                         : CONFIG_MISTAKES_MAX;
    for (size_t i = 0; i < shown; i++) {
        fprintf(stderr, "%s\n", mistakes->lines[i]);
    }
    if (mistakes->count > shown) {
        fprintf(stderr, "and %zu more\n", mistakes->count - shown);
    }
}

static HF_STATUS load(const char *path, struct config **out)
{
    struct config_mistakes *mistakes = calloc(1, sizeof *mistakes);
    if (mistakes == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = config_load(path, out, mistakes);
    print_mistakes(mistakes);
    free(mistakes);
    return status;
}

/* Whole or not at all: a reader never sees a part of it. */
static bool write_port_file(const char *path, uint16_t port)
{
    char part[CONFIG_PATH_BYTES + 8];
    int len = snprintf(part, sizeof part, "%s.part", path);
    if (len < 0 || (size_t)len >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    char text[8];
    int digits = snprintf(text, sizeof text, "%u\n", port);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, text, (size_t)digits) == digits;
    written = close(fd) == 0 && written;
    if (!written || rename(part, path) != 0) {
        unlink(part);
        return false;
    }
    return true;
}

/* Blocked before the first thread is made, so that every thread inherits it
 * and sigwait alone receives them. */
static void block_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGHUP);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGINT);
    CHECK(pthread_sigmask(SIG_BLOCK, out, NULL) == 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static void wait_for_end(struct app *app, const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0) {
            continue;
        }
        if (number != SIGHUP) {
            log_event(LOG_INFO, "server.stopping",
                      LOG_NUMBER("signal", number));
            return;
        }
        notify_manager("RELOADING=1");
        app_reload(app);
        notify_manager("READY=1");
    }
}

static bool prepare_process(void)
{
    umask(0077);
    if (secret_heap_start(SECRET_HEAP_BYTES) != HF_OK) {
        fprintf(stderr,
                "holdfastd: %zu KiB of memory for keys cannot be locked: raise "
                "RLIMIT_MEMLOCK (ulimit -l, or LimitMEMLOCK= in the unit)\n",
                SECRET_HEAP_BYTES / 1024);
        return false;
    }
    if (process_harden() != HF_OK) {
        fprintf(stderr, "holdfastd: core dumps cannot be switched off\n");
        return false;
    }
    return true;
}

static int serve(const struct options *options, struct config *config,
                 const struct app_extras *extras, const sigset_t *signals)
{
    struct app *app = NULL;
    struct app_failure failure = {.text = ""};
    log_level_set(config->log_level);
    enum hf_status status = app_start(config, extras, &app, &failure);
    if (status != HF_OK) {
        fprintf(stderr, "holdfastd: %s\n",
                failure.text[0] != '\0' ? failure.text
                                        : hf_status_text(status));
        return status == HF_E_DENIED ? EXIT_PIN_REFUSED : 1;
    }
    if (options->port_file != NULL &&
        !write_port_file(options->port_file, app_port(app))) {
        fprintf(stderr, "holdfastd: the port file %s: %s\n", options->port_file,
                strerror(errno));
        app_stop(app);
        return 1;
    }
    log_event(LOG_INFO, "server.ready", LOG_TEXT("version", HF_VERSION),
              LOG_TEXT("address", app_config(app)->listen_address),
              LOG_NUMBER("port", app_port(app)), LOG_NUMBER("pid", getpid()));
    notify_manager("READY=1");
    wait_for_end(app, signals);
    notify_manager("STOPPING=1");
    app_stop(app);
    log_event(LOG_INFO, "server.stopped", LOG_TEXT("version", HF_VERSION));
    return 0;
}

/* No mistake: a service that purges nothing can do without. */
static void tell_shut_out(const struct config *config, const char *path)
{
    const char *names[APP_AK_TOKENS_MAX];
    size_t count = app_verifier_shut_out(config, names);
    for (size_t i = 0; i < count; i++) {
        printf("%s: the token %s of availability keys has no pin_file: no "
               "purge ends, for another process verifies it there with that "
               "PIN\n",
               path, names[i]);
    }
}

int app_main(int argc, char **argv, const struct app_extras *extras)
{
    struct options options = {.check_only = false};
    int code = read_options(argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    struct config *config = NULL;
    enum hf_status status = load(options.config, &config);
    if (status != HF_OK) {
        if (status == HF_E_NO_MEMORY) {
            fprintf(stderr, "holdfastd: out of memory\n");
        }
        return 1;
    }
    if (options.check_only) {
        printf("%s: ok\n", options.config);
        tell_shut_out(config, options.config);
        config_free(config);
        return 0;
    }
    sigset_t signals;
    block_signals(&signals);
    if (!prepare_process()) {
        config_free(config);
        return 1;
    }
    if (options.reseal.check != NULL || options.reseal.report != NULL) {
        log_level_set(config->log_level);
        code = app_reseal(config, &options.reseal);
        config_free(config);
        return code;
    }
    return serve(&options, config, extras, &signals);
}
