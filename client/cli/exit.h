/* exit: the exit codes of the command, by class, so that a script can decide
 * without reading text. They are part of the interface and never change. */
#pragma once

enum cli_exit {
    CLI_OK = 0,
    CLI_OTHER = 1,       /* anything else, our own trouble included */
    CLI_USAGE = 2,       /* the command line, or the request, is wrong */
    CLI_DENIED = 3,      /* permission denied, or not authenticated */
    CLI_MISSING = 4,     /* not found */
    CLI_CONFLICT = 5,    /* exists already, changed meanwhile, precondition */
    CLI_UNAVAILABLE = 6, /* unavailable, overloaded, deadline passed */
    CLI_DATA_LOSS = 7,   /* damaged: a wrapped key, a message, the chain */
};

#define CLI_EXIT_HELP                                                          \
    "Exit codes: 0 done; 1 other failure; 2 usage or invalid request;\n"       \
    "  3 permission denied; 4 not found; 5 exists, conflict or "               \
    "precondition;\n"                                                          \
    "  6 unavailable, overloaded or too late; 7 data loss\n"
