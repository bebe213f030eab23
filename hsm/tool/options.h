/* options: the command line against a table.
 *
 *   holdfast-hsm GROUP VERB [--option value | --option=value | --switch]...
 *
 * What a command takes is data, so that help and parsing cannot disagree.
 * Names are not abbreviated: what a script says must go on meaning the same.
 * No option takes a PIN.
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct tool;

/* name, what to call its value (NULL: a switch), help */
#define OPTION_TABLE(X)                                                        \
    X(MODULE, "module", "PATH",                                                \
      "the PKCS#11 module; default: SoftHSM where Debian puts it")             \
    X(TOKEN, "token", "LABEL", "the token, by its label (or --label)")         \
    X(LABEL, "label", "LABEL", "the same as --token")                          \
    X(SERIAL, "serial", "SERIAL",                                              \
      "the token's serial, where two have one label")                          \
    X(PIN_FILE, "pin-file", "FILE",                                            \
      "the user PIN's file, readable by its owner only")                       \
    X(PIN_FD, "pin-fd", "N", "the user PIN from an open descriptor")           \
    X(SO_PIN_FILE, "so-pin-file", "FILE", "the same for the officer's PIN")    \
    X(SO_PIN_FD, "so-pin-fd", "N", "the same for the officer's PIN")           \
    X(SYNC_PATH, "sync-path", "DIR",                                           \
      "sync this directory's file system after each change; default: "         \
      "SoftHSM's token directory")                                             \
    X(DOMAIN, "domain", "NAME", "the custody domain: in whose hands it is")    \
    X(TEST_ONLY, "test-only", NULL, "never for a production tenant")           \
    X(PROTECTION, "deletion-protection", "KIND",                               \
      "none, soft-delete, soft-delete-purge-protected, token-protected; "      \
      "default none")                                                          \
    X(RETENTION, "retention-days", "N",                                        \
      "how long a deleted key can be brought back; default 0, or 90 with a "   \
      "protection")                                                            \
    X(NAME, "name", "NAME", "the key's name (CKA_LABEL)")                      \
    X(ID, "id", "HEX", "the key's CKA_ID; generate makes one from the time")   \
    X(BITS, "bits", "N", "2048, 3072 or 4096; default 3072")                   \
    X(TYPE, "type", "TYPE", "rsa; nothing else is accepted")                   \
    X(EXTRACTABLE, "extractable", NULL, "refused: root keys stay")             \
    X(RESIDENCY, "residency", "WHERE",                                         \
      "token (default): DEP keys are used in the token only; memory: they "    \
      "may be opened into the service's memory, too")                          \
    X(NEW_VERSION, "new-version", NULL,                                        \
      "one more key under a name that is taken")                               \
    X(TENANT, "tenant", "NAME", "the tenant's name or UUID")                   \
    X(KEY, "key", "FILE", "the custodian's private key (PEM), owner-only")     \
    X(KEY_TYPE, "key-type", "TYPE", "p256 (default) or ed25519")               \
    X(PUBLIC, "public", "FILE", "write the public key (PEM) here as well")     \
    X(OUT, "out", "FILE", "the file to write; never overwritten")              \
    X(LABEL_PREFIX, "label-prefix", "TEXT", "what the labels begin with")      \
    X(ID_PREFIX, "id-prefix", "HEX", "what the CKA_IDs begin with")            \
    X(WRAPPED, "wrapped", "HEX", "a wrapped key that must not open")           \
    X(JSON, "json", NULL, "one JSON object instead of text")                   \
    X(HELP, "help", NULL, "this text")

enum option_id {
#define X(id, name, value, help) OPTION_##id,
    OPTION_TABLE(X)
#undef X
        OPTION_COUNT
};

#define OPTION_BIT(id) (1ull << OPTION_##id)
/* What every command that talks to a module takes, and one that opens a
 * token. */
#define OPTIONS_MODULE (OPTION_BIT(MODULE))
#define OPTIONS_TOKEN                                                          \
    (OPTIONS_MODULE | OPTION_BIT(TOKEN) | OPTION_BIT(LABEL) |                  \
     OPTION_BIT(SERIAL) | OPTION_BIT(PIN_FILE) | OPTION_BIT(PIN_FD) |          \
     OPTION_BIT(SYNC_PATH))

struct command {
    const char *group;
    const char *verb;
    const char *summary;
    const char *example; /* what follows "holdfast-hsm GROUP VERB" */
    uint64_t takes;      /* --json and --help are taken by all */
    uint64_t needs;
    HF_STATUS (*run)(struct tool *tool);
};

/* Ended by an entry without a group. */
extern const struct command commands[];

struct options {
    const struct command *command; /* NULL: none was named */
    const char *values[OPTION_COUNT];
    bool given[OPTION_COUNT];
    char mistake[256];
};

/* options_parse: out points into argv.
 * Returns   HF_OK, also when only help is asked for; HF_E_INVALID with
 *           out->mistake, which never repeats a value. */
HF_STATUS options_parse(int argc, char *const *argv, struct options *out);

/* options_help: of one command, or with NULL of all. */
void options_help(const struct command *command, FILE *to);
