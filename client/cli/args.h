/* args: the command line, read against a table.
 *
 *   holdfast [GLOBAL OPTIONS] GROUP [VERB] [OPTIONS] [OPERANDS]
 *
 * Options are long, "--name value" or "--name=value"; global ones may stand
 * anywhere; "--" ends them. What a command takes is data (struct command), so
 * that --help, parsing and the tests cannot disagree.
 */
#pragma once

#include "hsm/base/status.h"

#include "client/cli/exit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cli;
struct args;

struct option {
    const char *name;  /* without the dashes */
    const char *value; /* what to call the value in help; NULL: a switch */
    const char *help;
    bool required;
    bool repeatable;
};

#define OPERANDS_MAX 3

struct command {
    const char *group;
    const char *verb; /* NULL: the group is the command */
    const char *summary;
    const char *operands; /* words; "[NAME]" may be left out; NULL: none */
    const struct option *options;
    size_t option_count;
    const char *example;
    enum cli_exit (*run)(struct cli *cli, const struct args *args);
};

/* The table of one file. */
struct command_set {
    const struct command *const *commands;
    size_t count;
};

#define GIVEN_MAX 64

struct given {
    const struct option *option;
    const char *value; /* NULL of a switch */
};

struct args {
    const struct command *command; /* NULL: none was named */
    const char *group;             /* the group named; NULL: none there is */
    const char *operands[OPERANDS_MAX];
    size_t operand_count;
    struct given given[GIVEN_MAX];
    size_t given_count;
    bool help;
    bool version;      /* of the program; asked for like help */
    char mistake[256]; /* why parsing failed, for people */
};

extern const struct option global_options[];
extern const size_t global_option_count;

/* args_parse: out_args points into argv.
 *
 * Returns   HF_OK, also when only help is asked for; HF_E_INVALID with
 *           out_args->mistake set.
 */
HF_STATUS args_parse(const struct command_set *sets, size_t set_count, int argc,
                     char *const *argv, struct args *out_args);

/* args_text: the value given, or NULL. args_flag: whether a switch was
 * given. args_nth: the n-th value of a repeatable option, or NULL.
 * args_count: how often it was given. An option that neither the command nor
 * the globals have is our own bug (CHECK). */
const char *args_text(const struct args *args, const char *name);
bool args_flag(const struct args *args, const char *name);
const char *args_nth(const struct args *args, const char *name, size_t n);
size_t args_count(const struct args *args, const char *name);

/* args_global: the value of a global option, also where the command has one of
 * the same name ("dep create --key" is not the private key's file). */
const char *args_global(const struct args *args, const char *name);

/* args_help: the page for what was named: everything, a group or a command. */
void args_help(const struct command_set *sets, size_t set_count,
               const struct args *args, FILE *to);
