#include "hsm/tool/options.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include <stdarg.h>
#include <string.h>

#define EVERYWHERE (OPTION_BIT(JSON) | OPTION_BIT(HELP))
/* What a ceremony has for all of its steps. */
#define CEREMONYS                                                              \
    (OPTIONS_TOKEN | OPTIONS_SO_PIN | OPTIONS_IN_USE |                         \
     OPTION_BIT(NEW_PIN_FILE) | OPTION_BIT(NEW_PIN_HALF_FILE) |                \
     OPTION_BIT(DRY_RUN) | OPTION_BIT(JSON) | OPTION_BIT(HELP))

struct option_row {
    const char *name;
    const char *value;
    const char *help;
};

static const struct option_row rows[OPTION_COUNT] = {
#define X(id, name_, value_, help_)                                            \
    [OPTION_##id] = {.name = (name_), .value = (value_), .help = (help_)},
    OPTION_TABLE(X)
#undef X
};

_Static_assert(OPTION_COUNT <= 64, "sets of options are 64 bits");

__attribute__((format(printf, 2, 3))) static enum hf_status
mistake(struct options *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->mistake, sizeof out->mistake, format, args);
    va_end(args);
    return HF_E_INVALID;
}

/* The length of an argument's name: "--name" or "--name=value". */
static size_t name_len(const char *argument)
{
    return strcspn(argument, "=") - 2;
}

static bool is_named(const char *argument, const char *name)
{
    return name_len(argument) == strlen(name) &&
           strncmp(argument + 2, name, strlen(name)) == 0;
}

static enum hf_status unknown(struct options *out, const char *argument)
{
    if (is_named(argument, "pin") || is_named(argument, "so-pin")) {
        return mistake(out,
                       "a PIN is never given on the command line, where "
                       "others can read it: use --%.*s-file or "
                       "--%.*s-fd, or be asked",
                       (int)name_len(argument), argument + 2,
                       (int)name_len(argument), argument + 2);
    }
    return mistake(out, "there is no option %.*s here",
                   (int)name_len(argument) + 2, argument);
}

static bool is_twice(const struct command *command, size_t id)
{
    uint64_t twice = OPTIONS_HALVES;
    twice |= command == NULL ? 0 : command->twice;
    return (twice & 1ull << id) != 0;
}

/* Takes argv[*at] and perhaps the next one. */
static enum hf_status take(int argc, char *const *argv, int *at,
                           struct options *out)
{
    const char *argument = argv[*at];
    size_t id = 0;
    if (strncmp(argument, "--", 2) != 0) {
        return mistake(out, "an option begins with --");
    }
    while (id < OPTION_COUNT && !is_named(argument, rows[id].name)) {
        id += 1;
    }
    uint64_t takes = EVERYWHERE;
    takes |= out->command == NULL ? OPTION_BIT(VERSION) : out->command->takes;
    if (id == OPTION_COUNT || (takes & 1ull << id) == 0) {
        return unknown(out, argument);
    }
    bool second = out->given[id];
    if (second && (!is_twice(out->command, id) || out->second[id] != NULL)) {
        return mistake(out, "--%s is given %s", rows[id].name,
                       out->second[id] == NULL ? "twice" : "three times");
    }
    const char *equals = strchr(argument, '=');
    out->given[id] = true;
    if (rows[id].value == NULL) {
        return equals == NULL
                   ? HF_OK
                   : mistake(out, "--%s takes no value", rows[id].name);
    }
    if (equals == NULL) {
        *at += 1;
    }
    const char *value = equals != NULL ? equals + 1
                        : *at < argc   ? argv[*at]
                                       : NULL;
    *(second ? &out->second[id] : &out->values[id]) = value;
    if (value == NULL || value[0] == '\0') {
        return mistake(out, "--%s needs a value: %s", rows[id].name,
                       rows[id].value);
    }
    return HF_OK;
}

static const struct command *find(const char *group, const char *verb)
{
    for (const struct command *at = commands; at->group != NULL; at++) {
        if (strcmp(at->group, group) == 0 && strcmp(at->verb, verb) == 0) {
            return at;
        }
    }
    return NULL;
}

/* --label is another word for --token. */
static enum hf_status settle(struct options *out)
{
    if (out->given[OPTION_LABEL]) {
        if (out->given[OPTION_TOKEN]) {
            return mistake(out, "--label and --token are the same");
        }
        out->given[OPTION_TOKEN] = true;
        out->values[OPTION_TOKEN] = out->values[OPTION_LABEL];
    }
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        if ((out->command->needs & 1ull << id) != 0 && !out->given[id]) {
            return mistake(out, "--%s %s is needed", rows[id].name,
                           rows[id].value);
        }
        if (is_twice(out->command, id) && out->given[id] &&
            out->second[id] == NULL) {
            return mistake(out, "--%s is given once for each custodian: twice",
                           rows[id].name);
        }
    }
    return HF_OK;
}

static enum hf_status parse(int argc, char *const *argv, struct options *out)
{
    int at = 1;
    if (argc > 2 && argv[1][0] != '-') {
        out->command = find(argv[1], argv[2]);
        at = out->command == NULL ? 1 : 3;
    }
    if (out->command == NULL && argc > 1 && argv[1][0] != '-') {
        for (int i = 2; i < argc; i++) {
            out->given[OPTION_HELP] |= strcmp(argv[i], "--help") == 0;
        }
        return out->given[OPTION_HELP]
                   ? HF_OK
                   : mistake(out, "there is no such command");
    }
    for (; at < argc; at++) {
        HF_TRY(take(argc, argv, &at, out));
    }
    if (out->given[OPTION_HELP] || out->given[OPTION_VERSION]) {
        return HF_OK;
    }
    return out->command == NULL ? mistake(out, "no command given")
                                : settle(out);
}

HF_STATUS options_parse(int argc, char *const *argv, struct options *out)
{
    *out = (struct options){0};
    enum hf_status status = parse(argc, argv, out);
    /* a program that asked for JSON gets its mistakes so, too */
    for (int i = 1; status != HF_OK && i < argc; i++) {
        out->given[OPTION_JSON] |= strcmp(argv[i], "--json") == 0;
    }
    return status;
}

HF_STATUS options_step(size_t count, char *const *words, struct options *out)
{
    *out = (struct options){0};
    out->command = count < 2 ? NULL : find(words[0], words[1]);
    if (out->command == NULL || !out->command->is_step) {
        return mistake(out, "this is no step of a ceremony");
    }
    for (int at = 2; at < (int)count; at++) {
        HF_TRY(take((int)count, words, &at, out));
    }
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        if ((CEREMONYS & 1ull << id) != 0 && out->given[id]) {
            return mistake(out, "--%s is the ceremony's, not a step's",
                           rows[id].name);
        }
        if ((out->command->needs & 1ull << id) != 0 && !out->given[id] &&
            (CEREMONYS & 1ull << id) == 0) {
            return mistake(out, "--%s %s is needed", rows[id].name,
                           rows[id].value);
        }
    }
    return HF_OK;
}

static void help_all(FILE *to)
{
    fputs("usage: holdfast-hsm GROUP VERB [OPTION...]\n\n"
          "Tokens and root keys, for the operator of a PKCS#11 module.\n\n",
          to);
    for (const struct command *at = commands; at->group != NULL; at++) {
        fprintf(to, "  %-9s %-14s %s\n", at->group, at->verb, at->summary);
    }
    fputs("\nEvery command has --help, with an example, and --json; the steps "
          "of a "
          "ceremony, and\nceremony start itself, have --dry-run. holdfast-hsm "
          "--version says which one this is.\n"
          "PINs come from an owner-only file, a descriptor, or the terminal; "
          "never from the\ncommand line or the environment.\n\n"
          "Exit codes: 0 done, also when it was done before; 1 other failure; "
          "2 usage;\n  3 refused; 4 not found; 5 conflict; 6 unreachable.\n",
          to);
}

void options_help(const struct command *command, FILE *to)
{
    if (command == NULL) {
        help_all(to);
        return;
    }
    fprintf(to, "usage: holdfast-hsm %s %s [OPTION...]\n\n%s.\n\n",
            command->group, command->verb, command->summary);
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        if (((command->takes | EVERYWHERE) & 1ull << id) == 0) {
            continue;
        }
        char left[48];
        snprintf(left, sizeof left, "--%s %s", rows[id].name,
                 rows[id].value == NULL ? "" : rows[id].value);
        fprintf(to, "  %-27s %s%s%s\n", left, rows[id].help,
                (command->needs & 1ull << id) != 0 ? " (needed)" : "",
                (command->twice & 1ull << id) != 0 ? " (twice)" : "");
    }
    fprintf(to, "\nExample:\n  holdfast-hsm %s %s %s\n", command->group,
            command->verb, command->example);
    if (command->notes != NULL) {
        fprintf(to, "\n%s\n", command->notes);
    }
}
