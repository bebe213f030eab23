#include "hsm/tokend/options.h"

#include "hsm/base/check.h"

#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MB_DEFAULT 256

static const char usage[] =
    "usage: holdfast-tokend --listen PATH --module FILE --token LABEL\n"
    "                       (--pin-file FILE | --activation PATH | --pin-pad)\n"
    "       holdfast-tokend --version | --help\n"
    "\n"
    "Keeps one PKCS#11 token open for holdfastd, in a process that is "
    "replaced\n"
    "when it crashes, hangs or grows. holdfastd starts one for each token by\n"
    "itself; with --listen it waits for a holdfastd (worker_socket in its\n"
    "configuration) that then has no PIN within reach.\n"
    "\n"
    "  --listen PATH      a Unix socket for holdfastd, made with mode 0660\n"
    "  --peer USER        who may connect, beside this user and root\n"
    "  --module FILE      the vendor's PKCS#11 module\n"
    "  --token LABEL      the token; where labels repeat, with\n"
    "  --serial SERIAL    its serial\n"
    "  --name NAME        what the log calls it; default: the label\n"
    "  --pin-file FILE    owner-only; looked at again when it changes\n"
    "  --activation PATH  a Unix socket, by which holdfast-hsm token activate\n"
    "                     brings the PIN\n"
    "  --pin-pad          the token asks for its PIN by itself\n"
    "  --syncfs FOLDER    sync the file system of this folder after each "
    "change\n"
    "                     of the token (SoftHSM)\n"
    "  --sessions N       at most so many; default: what the token allows\n"
    "  --queue N          requests of each lane; default: 1024\n"
    "  --memory-mb N      replace the process when it has grown by so much;\n"
    "                     default: 256; 0: never\n"
    "  --log-level LEVEL  debug, info or warn\n";

enum letter {
    LISTEN = 256,
    PEER,
    MODULE,
    TOKEN,
    SERIAL,
    NAME,
    PIN_FILE,
    ACTIVATION,
    PIN_PAD,
    SYNCFS,
    SESSIONS,
    QUEUE,
    MEMORY_MB,
    LOG_LEVEL,
    FIRST_WORKER,
    REFUSED_PIN,
    CHILD,
    VERSION,
    HELP,
};

static const struct option known[] = {
    {"listen",       required_argument, NULL, LISTEN      },
    {"peer",         required_argument, NULL, PEER        },
    {"module",       required_argument, NULL, MODULE      },
    {"token",        required_argument, NULL, TOKEN       },
    {"serial",       required_argument, NULL, SERIAL      },
    {"name",         required_argument, NULL, NAME        },
    {"pin-file",     required_argument, NULL, PIN_FILE    },
    {"activation",   required_argument, NULL, ACTIVATION  },
    {"pin-pad",      no_argument,       NULL, PIN_PAD     },
    {"syncfs",       required_argument, NULL, SYNCFS      },
    {"sessions",     required_argument, NULL, SESSIONS    },
    {"queue",        required_argument, NULL, QUEUE       },
    {"memory-mb",    required_argument, NULL, MEMORY_MB   },
    {"log-level",    required_argument, NULL, LOG_LEVEL   },
 /* by holdfastd and by the parent, for those they start */
    {"first-worker", required_argument, NULL, FIRST_WORKER},
    {"refused-pin",  required_argument, NULL, REFUSED_PIN },
    {"child",        required_argument, NULL, CHILD       },
    {"version",      no_argument,       NULL, VERSION     },
    {"help",         no_argument,       NULL, HELP        },
    {NULL,           0,                 NULL, 0           },
};

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 20 || text[digits] != '\0') {
        return false;
    }
    *out = strtoull(text, NULL, 10);
    return *out <= max;
}

static bool read_small(const char *text, uint32_t *out)
{
    uint64_t number = 0;
    bool good = read_number(text, UINT32_MAX, &number);
    *out = (uint32_t)number;
    return good;
}

static bool read_user(const char *text, uint32_t *out)
{
    if (read_small(text, out)) {
        return true;
    }
    const struct passwd *user = getpwnam(text);
    if (user != NULL) {
        *out = user->pw_uid;
    }
    return user != NULL;
}

static bool read_level(const char *text, enum log_level *out)
{
    static const struct {
        const char *text;
        enum log_level level;
    } levels[] = {
        {"debug", LOG_DEBUG},
        {"info",  LOG_INFO },
        {"warn",  LOG_WARN },
        {"error", LOG_ERROR},
    };
    for (size_t i = 0; i < HF_COUNT(levels); i++) {
        if (strcmp(levels[i].text, text) == 0) {
            *out = levels[i].level;
            return true;
        }
    }
    return false;
}

/* Of those that are numbers or words; true for all others. */
static bool read_value(int letter, const char *value,
                       struct tokend_options *out)
{
    switch (letter) {
    case PEER:
        out->has_peer = true;
        return read_user(value, &out->peer);
    case SESSIONS:
        return read_small(value, &out->sessions) &&
               (out->sessions == 0 || out->sessions >= PKCS11_SESSIONS_MIN);
    case QUEUE:
        return read_small(value, &out->queue);
    case MEMORY_MB:
        return read_small(value, &out->memory_mb);
    case LOG_LEVEL:
        return read_level(value, &out->log_level);
    case FIRST_WORKER:
        return read_small(value, &out->first_worker) && out->first_worker > 0;
    case REFUSED_PIN:
        return read_number(value, UINT64_MAX, &out->refused_pin);
    case CHILD:
        out->child = true;
        return read_small(value, &out->worker) && out->worker > 0;
    default:
        return true;
    }
}

static void read_source(int letter, const char *value,
                        struct tokend_options *out)
{
    out->sources += 1;
    if (letter == PIN_FILE) {
        out->pin_source = PIN_FROM_FILE;
        out->pin_file = value;
    } else if (letter == ACTIVATION) {
        out->pin_source = PIN_FROM_ACTIVATION;
        out->activation = value;
    } else {
        out->pin_source = PIN_FROM_PAD;
    }
}

static void read_text(int letter, const char *value, struct tokend_options *out)
{
    switch (letter) {
    case LISTEN:
        out->listen = value;
        return;
    case MODULE:
        out->module = value;
        return;
    case TOKEN:
        out->label = value;
        return;
    case SERIAL:
        out->serial = value;
        return;
    case NAME:
        out->name = value;
        return;
    case PIN_FILE:
    case ACTIVATION:
    case PIN_PAD:
        read_source(letter, value, out);
        return;
    case SYNCFS:
        out->sync = PKCS11_SYNC_SYNCFS;
        out->sync_path = value;
        return;
    default:
        return;
    }
}

int options_read(int argc, char **argv, struct tokend_options *out)
{
    *out = (struct tokend_options){.memory_mb = MEMORY_MB_DEFAULT,
                                   .first_worker = 1,
                                   .log_level = LOG_INFO};
    int letter = 0;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (letter == HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (letter == VERSION) {
            printf("holdfast-tokend %s\n", HF_VERSION);
            return 0;
        }
        if (letter == '?' || !read_value(letter, optarg, out)) {
            fputs(usage, stderr);
            return 2;
        }
        read_text(letter, optarg, out);
    }
    if (out->module == NULL || out->label == NULL || out->sources != 1 ||
        optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (out->name == NULL) {
        out->name = out->label;
    }
    return -1;
}
