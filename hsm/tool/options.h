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
#include <stddef.h>
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
    X(PIN_HALF_FILE, "pin-half-file", "FILE",                                  \
      "one custodian's half of the user PIN; twice, first half first")         \
    X(PIN_HALF_FD, "pin-half-fd", "N", "the same from open descriptors")       \
    X(SO_PIN_HALF_FILE, "so-pin-half-file", "FILE",                            \
      "the same for the officer's PIN")                                        \
    X(SO_PIN_HALF_FD, "so-pin-half-fd", "N", "the same for the officer's PIN") \
    X(NEW_PIN_FILE, "new-pin-file", "FILE", "the new PIN's file")              \
    X(NEW_PIN_HALF_FILE, "new-pin-half-file", "FILE",                          \
      "a half of the new PIN; twice, first half first")                        \
    X(PIN_HALVES, "pin-halves", NULL,                                          \
      "two custodians type half of each PIN, unseen by the other")             \
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
    X(NAME, "name", "NAME", "the key's name (CKA_LABEL); the ceremony's")      \
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
    X(PUBLIC, "public", "FILE",                                                \
      "a public key (PEM): custodian new writes it, verify reads it")          \
    X(OUT, "out", "FILE", "the file to write; never overwritten")              \
    X(LABEL_PREFIX, "label-prefix", "TEXT", "what the labels begin with")      \
    X(ID_PREFIX, "id-prefix", "HEX", "what the CKA_IDs begin with")            \
    X(WRAPPED, "wrapped", "HEX", "a wrapped key that must not open")           \
    X(WHO, "who", "WHO", "whose PIN: user (default) or officer")               \
    X(NEW_NAME, "new-name", "NAME", "what the key is to be called")            \
    X(FINGERPRINT, "public-key-sha256", "HEX",                                 \
      "the key's fingerprint, as its owner told it by another way")            \
    X(IN, "in", "FILE", "the file to read")                                    \
    X(PREPARED, "prepared", "FILE", "what key import-prepare wrote")           \
    X(SOURCE, "source", "FILE", "the key to bring in (PEM), owner-only")       \
    X(MANIFEST, "manifest", "FILE", "what token backup wrote of the keys")     \
    X(IN_USE, "in-use", "FILE",                                                \
      "what holdfast catalogue backup wrote within the hour (FILE beside its " \
      ".sig): the keys that are in use; without it both custodians must "      \
      "confirm")                                                               \
    X(IN_USE_PUBLIC, "in-use-public", "FILE",                                  \
      "the service's audit key (PEM), which signed it")                        \
    X(PLAN, "plan", "FILE",                                                    \
      "the steps, a command a line, without --token and PIN options")          \
    X(TRANSCRIPT, "transcript", "FILE", "what happens is written here")        \
    X(SOCKET, "socket", "PATH", "where the service takes the token's PIN")     \
    X(TRY_PIN, "try-pin", NULL, "try the PIN, once")                           \
    X(DRY_RUN, "dry-run", NULL, "say what would be done, and change nothing")  \
    X(VERSION, "version", NULL, "which version this is")                       \
    X(MIRROR, "mirror", "LABEL", "the token that mirrors it, by its label")    \
    X(MIRROR_MODULE, "mirror-module", "PATH",                                  \
      "the mirror's PKCS#11 module; default: the same")                        \
    X(MIRROR_PIN_FILE, "mirror-pin-file", "FILE",                              \
      "the mirror's user PIN, in an owner-only file")                          \
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
     OPTION_BIT(SERIAL) | OPTIONS_PIN | OPTION_BIT(SYNC_PATH))
#define OPTIONS_PIN                                                            \
    (OPTION_BIT(PIN_FILE) | OPTION_BIT(PIN_FD) | OPTIONS_PIN_HALVES)
#define OPTIONS_PIN_HALVES                                                     \
    (OPTION_BIT(PIN_HALF_FILE) | OPTION_BIT(PIN_HALF_FD) |                     \
     OPTION_BIT(PIN_HALVES))
#define OPTIONS_SO_PIN                                                         \
    (OPTION_BIT(SO_PIN_FILE) | OPTION_BIT(SO_PIN_FD) | OPTIONS_SO_PIN_HALVES)
/* --pin-halves comes with the user PIN's. */
#define OPTIONS_SO_PIN_HALVES                                                  \
    (OPTION_BIT(SO_PIN_HALF_FILE) | OPTION_BIT(SO_PIN_HALF_FD))
#define OPTIONS_IN_USE (OPTION_BIT(IN_USE) | OPTION_BIT(IN_USE_PUBLIC))
/* Halves of a PIN come from two custodians, each in a file of their own. */
#define OPTIONS_HALVES                                                         \
    (OPTION_BIT(PIN_HALF_FILE) | OPTION_BIT(PIN_HALF_FD) |                     \
     OPTION_BIT(SO_PIN_HALF_FILE) | OPTION_BIT(SO_PIN_HALF_FD) |               \
     OPTION_BIT(NEW_PIN_HALF_FILE))

/* How a ceremony takes a step of this command back. */
enum step_undo {
    STEP_MAKES_NOTHING,
    STEP_MAKES_KEY,   /* destroys the key with its --id */
    STEP_MAKES_TOKEN, /* empties the token */
    STEP_STAYS,       /* cannot, and says so */
};

struct command {
    const char *group;
    const char *verb;
    const char *summary;
    const char *example; /* what follows "holdfast-hsm GROUP VERB" */
    const char *notes;   /* what more --help says, or NULL */
    uint64_t takes;      /* --json and --help are taken by all */
    uint64_t needs;
    uint64_t twice; /* what must be given twice; halves of PINs always are */
    bool is_step;   /* may stand in a ceremony's plan */
    enum step_undo undo; /* a key's step gets its --id when it begins */
    HF_STATUS (*run)(struct tool *tool);
};

/* Ended by an entry without a group. */
extern const struct command commands[];

struct options {
    const struct command *command; /* NULL: none was named */
    const char *values[OPTION_COUNT];
    const char *second[OPTION_COUNT]; /* of what is given twice */
    bool given[OPTION_COUNT];
    char mistake[256];
};

/* options_parse: out points into argv.
 * Returns   HF_OK, also when only help is asked for; HF_E_INVALID with
 *           out->mistake, which never repeats a value. */
HF_STATUS options_parse(int argc, char *const *argv, struct options *out);

/* options_step: a ceremony's step: "GROUP VERB [OPTION...]" as words. No option
 * that names a token or a PIN is accepted: the ceremony has them. As above; out
 * points into words. */
#define OPTIONS_STEP_WORDS_MAX 32
HF_STATUS options_step(size_t count, char *const *words, struct options *out);

/* options_help: of one command, or with NULL of all. */
void options_help(const struct command *command, FILE *to);
