#include "client/cli/args.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <string.h>

const struct option global_options[] = {
    {"target",      "HOST:PORT", "the server (HOLDFAST_TARGET)",                 false, false},
    {"cert",        "FILE",      "our certificate, PEM (HOLDFAST_CERT)",         false, false},
    {"key",         "FILE",      "its private key, PEM (HOLDFAST_KEY)",          false, false},
    {"ca",          "FILE",      "whom we trust, PEM (HOLDFAST_CA)",             false, false},
    {"server-name", "NAME",
     "the name in the server's certificate (HOLDFAST_SERVER_NAME)",              false,
     false                                                                                   },
    {"tenant",      "TENANT",    "the tenant (HOLDFAST_TENANT)",                 false, false},
    {"as",          "NAME",      "the profile $HOLDFAST_HOME/client/NAME.json",  false, false},
    {"config",      "FILE",      "a profile file (HOLDFAST_CONFIG)",             false, false},
    {"timeout",     "SECONDS",   "for each call, default 10 (HOLDFAST_TIMEOUT)",
     false,                                                                             false},
    {"json",        NULL,        "one JSON document instead of tables",          false, false},
    {"version",     NULL,        "of this command",                              false, false},
    {"help",        NULL,        "this page",                                    false, false},
};
const size_t global_option_count = HF_COUNT(global_options);

static enum hf_status mistake(struct args *args, const char *what,
                              const char *word)
{
    (void)snprintf(args->mistake, sizeof args->mistake, "%s: %.150s", what,
                   word);
    return HF_E_INVALID;
}

/* --- which command -------------------------------------------------------- */

static bool group_exists(const struct command_set *sets, size_t set_count,
                         const char *group)
{
    for (size_t s = 0; s < set_count; s++) {
        for (size_t c = 0; c < sets[s].count; c++) {
            if (strcmp(sets[s].commands[c]->group, group) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* find_command: by group and verb; a command without a verb fits any verb,
 * which then is its first operand. */
static const struct command *find_command(const struct command_set *sets,
                                          size_t set_count, const char *group,
                                          const char *verb)
{
    for (size_t s = 0; s < set_count; s++) {
        for (size_t c = 0; c < sets[s].count; c++) {
            const struct command *command = sets[s].commands[c];
            bool fits = command->verb == NULL ||
                        (verb != NULL && strcmp(command->verb, verb) == 0);
            if (strcmp(command->group, group) == 0 && fits) {
                return command;
            }
        }
    }
    return NULL;
}

static const struct option *option_among(const struct option *options,
                                         size_t count, const char *name,
                                         size_t name_len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == name_len &&
            strncmp(options[i].name, name, name_len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

/* find_option: the command's own first: "key create --key" is its own. */
static const struct option *find_option(const struct command *command,
                                        const char *name, size_t name_len)
{
    const struct option *found = NULL;
    if (command != NULL) {
        found = option_among(command->options, command->option_count, name,
                             name_len);
    }
    if (found == NULL) {
        found =
            option_among(global_options, global_option_count, name, name_len);
    }
    return found;
}

/* --- reading -------------------------------------------------------------- */

struct reader {
    char *const *argv;
    int argc;
    int at;
    bool options_ended;
};

static bool is_option(const struct reader *reader)
{
    const char *word = reader->argv[reader->at];
    return !reader->options_ended && word[0] == '-' && word[1] != '\0';
}

static size_t count_of(const struct args *args, const struct option *option)
{
    size_t count = 0;
    for (size_t i = 0; i < args->given_count; i++) {
        count += args->given[i].option == option ? 1 : 0;
    }
    return count;
}

static enum hf_status keep(struct args *args, const struct option *option,
                           const char *value)
{
    if (!option->repeatable && count_of(args, option) > 0) {
        return mistake(args, "given twice", option->name);
    }
    if (args->given_count == GIVEN_MAX) {
        return mistake(args, "too many options, at", option->name);
    }
    args->given[args->given_count++] = (struct given){option, value};
    return HF_OK;
}

/* read_option: the word at hand, and its value if that is the next word. */
static enum hf_status read_option(struct reader *reader, struct args *args)
{
    const char *word = reader->argv[reader->at++];
    if (strcmp(word, "--") == 0) {
        reader->options_ended = true;
        return HF_OK;
    }
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        args->help = true;
        return HF_OK;
    }
    if (strncmp(word, "--", 2) != 0) {
        return mistake(args, "options are written in full, like --json, not",
                       word);
    }
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t name_len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct option *option = find_option(args->command, name, name_len);
    if (option == NULL) {
        return mistake(args, "unknown option", word);
    }
    if (option->value == NULL) {
        return equals == NULL ? keep(args, option, NULL)
                              : mistake(args, "takes no value", word);
    }
    if (equals != NULL) {
        return keep(args, option, equals + 1);
    }
    if (reader->at == reader->argc) {
        return mistake(args, "needs a value", word);
    }
    return keep(args, option, reader->argv[reader->at++]);
}

static enum hf_status read_command(struct reader *reader, struct args *args,
                                   const struct command_set *sets,
                                   size_t set_count)
{
    while (reader->at < reader->argc && is_option(reader)) {
        HF_TRY(read_option(reader, args));
    }
    if (reader->at == reader->argc) {
        return HF_OK;
    }
    const char *group = reader->argv[reader->at++];
    if (!group_exists(sets, set_count, group)) {
        return mistake(args, "unknown command", group);
    }
    args->group = group;
    const char *verb =
        reader->at < reader->argc ? reader->argv[reader->at] : NULL;
    args->command = find_command(sets, set_count, args->group, verb);
    if (args->command != NULL && args->command->verb != NULL) {
        reader->at++;
    }
    if (args->command == NULL && verb != NULL && !is_option(reader)) {
        return mistake(args, "unknown command",
                       verb); /* the group is known, the verb is not */
    }
    return HF_OK;
}

/* operand_word: the n-th word of what a command takes; false behind the last.
 */
static bool operand_word(const struct command *command, size_t n, char out[32])
{
    const char *at = command->operands != NULL ? command->operands : "";
    for (;;) {
        size_t len = strcspn(at, " ");
        if (n == 0 || len == 0) {
            (void)snprintf(out, 32, "%.*s", (int)len, at);
            return len > 0;
        }
        n--;
        at += len;
        at += *at == ' ' ? 1 : 0;
    }
}

static enum hf_status read_rest(struct reader *reader, struct args *args)
{
    while (reader->at < reader->argc) {
        if (is_option(reader)) {
            HF_TRY(read_option(reader, args));
            continue;
        }
        const char *word = reader->argv[reader->at++];
        char expected[32];
        if (args->command == NULL || args->operand_count == OPERANDS_MAX ||
            !operand_word(args->command, args->operand_count, expected)) {
            return mistake(args, "one word too many", word);
        }
        args->operands[args->operand_count++] = word;
    }
    return HF_OK;
}

static enum hf_status check_complete(struct args *args)
{
    const struct command *command = args->command;
    char expected[32];
    if (operand_word(command, args->operand_count, expected) &&
        expected[0] != '[') {
        return mistake(args, "missing", expected);
    }
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option *option = &command->options[i];
        if (option->required && count_of(args, option) == 0) {
            return mistake(args, "missing option", option->name);
        }
    }
    return HF_OK;
}

HF_STATUS args_parse(const struct command_set *sets, size_t set_count, int argc,
                     char *const *argv, struct args *out_args)
{
    *out_args = (struct args){0};
    struct reader reader = {.argv = argv, .argc = argc, .at = 1};
    HF_TRY(read_command(&reader, out_args, sets, set_count));
    HF_TRY(read_rest(&reader, out_args));
    /* "key update --version 2" has one of its own */
    const struct option *version = option_among(
        global_options, global_option_count, "version", strlen("version"));
    out_args->version = count_of(out_args, version) > 0;
    if (out_args->help || out_args->version) {
        return HF_OK;
    }
    if (out_args->group == NULL) {
        return mistake(out_args, "no command given", "holdfast COMMAND ...");
    }
    if (out_args->command == NULL) {
        return mistake(out_args, "a command of this group is missing",
                       out_args->group);
    }
    return check_complete(out_args);
}

/* --- asking --------------------------------------------------------------- */

static const struct option *own_option(const struct args *args,
                                       const char *name)
{
    const struct option *option =
        find_option(args->command, name, strlen(name));
    CHECK(option != NULL);
    return option;
}

const char *args_nth(const struct args *args, const char *name, size_t n)
{
    const struct option *option = own_option(args, name);
    for (size_t i = 0; i < args->given_count; i++) {
        if (args->given[i].option != option) {
            continue;
        }
        if (n == 0) {
            return args->given[i].value;
        }
        n--;
    }
    return NULL;
}

size_t args_count(const struct args *args, const char *name)
{
    return count_of(args, own_option(args, name));
}

const char *args_text(const struct args *args, const char *name)
{
    return args_nth(args, name, 0);
}

bool args_flag(const struct args *args, const char *name)
{
    return args_count(args, name) > 0;
}

const char *args_global(const struct args *args, const char *name)
{
    const struct option *option =
        option_among(global_options, global_option_count, name, strlen(name));
    CHECK(option != NULL);
    for (size_t i = 0; i < args->given_count; i++) {
        if (args->given[i].option == option) {
            return args->given[i].value;
        }
    }
    return NULL;
}

/* --- help ----------------------------------------------------------------- */

#define COMMAND_WORDS_BYTES 80

static void print_options(const char *title, const struct option *options,
                          size_t count, FILE *to)
{
    if (count == 0) {
        return;
    }
    (void)fprintf(to, "\n%s\n", title);
    for (size_t i = 0; i < count; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", options[i].name,
                       options[i].value != NULL ? " " : "",
                       options[i].value != NULL ? options[i].value : "");
        (void)fprintf(to, "  %-26s %s%s%s\n", left, options[i].help,
                      options[i].required ? " (required)" : "",
                      options[i].repeatable ? " (may be repeated)" : "");
    }
}

/* "dep create"; its length. */
static int command_words(const struct command *command, char *out, size_t cap)
{
    return snprintf(out, cap, "%s%s%s", command->group,
                    command->verb != NULL ? " " : "",
                    command->verb != NULL ? command->verb : "");
}

static bool is_of_group(const struct command *command, const char *group)
{
    return group == NULL || strcmp(command->group, group) == 0;
}

/* So wide that the longest of them fits. */
static int words_width(const struct command_set *sets, size_t set_count,
                       const char *group)
{
    char words[COMMAND_WORDS_BYTES];
    int width = 0;
    for (size_t s = 0; s < set_count; s++) {
        for (size_t c = 0; c < sets[s].count; c++) {
            const struct command *command = sets[s].commands[c];
            int len = command_words(command, words, sizeof words);
            if (is_of_group(command, group) && len > width) {
                width = len;
            }
        }
    }
    return width;
}

static void help_overview(const struct command_set *sets, size_t set_count,
                          const char *group, FILE *to)
{
    (void)fprintf(to, "usage: holdfast [OPTIONS] %s ...\n\n%s\n",
                  group != NULL ? group : "COMMAND",
                  group != NULL ? "Commands:"
                                : "The command of the Holdfast key service.\n"
                                  "\nCommands:");
    int width = words_width(sets, set_count, group);
    for (size_t s = 0; s < set_count; s++) {
        for (size_t c = 0; c < sets[s].count; c++) {
            const struct command *command = sets[s].commands[c];
            char words[COMMAND_WORDS_BYTES];
            (void)command_words(command, words, sizeof words);
            if (is_of_group(command, group)) {
                (void)fprintf(to, "  %-*s  %s\n", width, words,
                              command->summary);
            }
        }
    }
}

static void help_command(const struct command *command, FILE *to)
{
    (void)fprintf(to, "usage: holdfast %s%s%s", command->group,
                  command->verb != NULL ? " " : "",
                  command->verb != NULL ? command->verb : "");
    if (command->operands != NULL) {
        (void)fprintf(to, " %s", command->operands);
    }
    (void)fprintf(to, "%s\n\n%s\n",
                  command->option_count > 0 ? " [OPTIONS]" : "",
                  command->summary);
    print_options("Options:", command->options, command->option_count, to);
    (void)fprintf(to, "\nExample:\n  %s\n", command->example);
}

void args_help(const struct command_set *sets, size_t set_count,
               const struct args *args, FILE *to)
{
    if (args->command != NULL) {
        help_command(args->command, to);
    } else {
        help_overview(sets, set_count, args->group, to);
    }
    print_options("Options of every command:", global_options,
                  global_option_count, to);
    (void)fprintf(to,
                  "\nAn option wins over a profile named on the command line, "
                  "that over the\nenvironment, that over a profile named in "
                  "it (HOLDFAST_PROFILE, HOLDFAST_CONFIG).\n\n%s",
                  CLI_EXIT_HELP);
    if (args->command == NULL) {
        (void)fprintf(to, "\nholdfast COMMAND --help says more.\n");
    }
}
