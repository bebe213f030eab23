/* Every command as data: what it takes, needs, and shows as help. */
#include "hsm/tool/commands.h"

#include "hsm/tool/options.h"

#include <stddef.h>

#define OPTIONS_CEREMONY                                                       \
    (OPTIONS_MODULE | OPTION_BIT(TOKEN) | OPTION_BIT(LABEL) |                  \
     OPTION_BIT(SERIAL) | OPTION_BIT(SYNC_PATH) | OPTIONS_PIN_HALVES |         \
     OPTIONS_SO_PIN_HALVES | OPTION_BIT(NEW_PIN_HALF_FILE) | OPTIONS_IN_USE |  \
     OPTION_BIT(TRANSCRIPT) | OPTION_BIT(KEY))
#define OPTIONS_CEREMONY_NEEDS                                                 \
    (OPTION_BIT(TOKEN) | OPTION_BIT(TRANSCRIPT) | OPTION_BIT(KEY))

#define PLAN_NOTES                                                             \
    "A plan is a command a line, without --token and PINs:\n"                  \
    "  # contoso's first key\n"                                                \
    "  token init --domain contoso-hq\n"                                       \
    "  key generate --name mailbox-2026\n"                                     \
    "Each custodian types half of each PIN, unseen by the other. The "         \
    "transcript is\nsigned by both --key (custodian new). After an "           \
    "interruption: ceremony resume, or\nceremony undo."
#define WRAP_NOTES                                                             \
    "The package is JSON, and any tool can make it: wrapped_aes_key is the "   \
    "RSA-OAEP, in the\nsuite of the statement, of 32 random bytes under "      \
    "transport_key (base64 of its DER);\nwrapped_private_key the AES-KWP "     \
    "(RFC 5649) of the PKCS#8 in DER under those bytes:\n"                     \
    "  openssl pkeyutl -encrypt -pubin -keyform DER -inkey transport.der "     \
    "\\\n    -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 "        \
    "-in aes.bin\n"                                                            \
    "  openssl enc -id-aes256-wrap-pad -iv A65959A6 -K $(xxd -p -c 64 "        \
    "aes.bin) -in key.der\n"                                                   \
    "openssl takes the key on its command line there: do that on a machine "   \
    "of your own only."
#define VERIFY_NOTES                                                           \
    "Without Holdfast, for P-256 keys (the statement names the transcript's "  \
    "hash):\n"                                                                 \
    "  sha256sum ck1.jsonl; cat ck1.jsonl.statement\n"                         \
    "  openssl dgst -sha256 -verify alice.pub.pem -signature ck1.jsonl.1.sig " \
    "\\\n    ck1.jsonl.statement\n"                                            \
    "and for Ed25519 keys:\n"                                                  \
    "  openssl pkeyutl -verify -pubin -inkey alice.pub.pem -rawin \\\n"        \
    "    -in ck1.jsonl.statement -sigfile ck1.jsonl.1.sig"

const struct command commands[] = {
    {.group = "token",
     .verb = "init",
     .summary = "Initialise a free slot: PINs, canary key, custody label",
     .example = "--label contoso-ck1 --domain contoso-hq "
                "--so-pin-file so.pin --pin-file user.pin", .takes = OPTIONS_TOKEN | OPTIONS_SO_PIN | OPTION_BIT(DRY_RUN) |
              OPTION_BIT(DOMAIN) | OPTION_BIT(TEST_ONLY) |
              OPTION_BIT(PROTECTION) | OPTION_BIT(RETENTION),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(DOMAIN),
     .is_step = true,
     .undo = STEP_MAKES_TOKEN,
     .run = cmd_token_init},
    {.group = "token",
     .verb = "change-pin",
     .summary = "Change the user PIN, or the officer's; the new one is proved",
     .example = "--token contoso-ck1 --who user --pin-half-file a.pin "
                "--pin-half-file b.pin --new-pin-half-file a.new "
                "--new-pin-half-file b.new", .takes = OPTIONS_TOKEN | OPTIONS_SO_PIN | OPTION_BIT(WHO) |
              OPTION_BIT(NEW_PIN_FILE) | OPTION_BIT(NEW_PIN_HALF_FILE) |
              OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(WHO),
     .is_step = true,
     .undo = STEP_STAYS,
     .run = cmd_token_change_pin},
    {.group = "token",
     .verb = "erase",
     .summary = "Empty a token of customer keys, when nothing depends on them",
     .example = "--token contoso-ck1 --pin-file user.pin --so-pin-file so.pin "
                "--in-use contoso.json --in-use-public audit.pem", .takes =
         OPTIONS_TOKEN | OPTIONS_SO_PIN | OPTIONS_IN_USE | OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_erase},
    {.group = "token",
     .verb = "list",
     .summary = "List the tokens of a module; needs no PIN",
     .example = "--module /usr/lib/softhsm/libsofthsm2.so",
     .takes = OPTIONS_MODULE,
     .run = cmd_token_list},
    {.group = "token",
     .verb = "show",
     .summary = "Show a token: custody, canary, keys, capacity",
     .example = "--token contoso-ck1 --pin-file user.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_show},
    {.group = "token",
     .verb = "test",
     .summary = "Try everything Holdfast asks of a token and say what it can "
                "serve", .example = "--token contoso-ck1 --pin-file user.pin --json",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_test},
    {.group = "token",
     .verb = "activate",
     .summary = "Bring the PIN to a running service that waits for it",
     .example = "--token contoso-ck1 --socket "
                "/var/lib/holdfast/contoso-ck1.activation", .notes =
         "For a token whose configuration says pin: activation. The PIN is "
         "tried once, and kept in locked memory until that process ends.", .takes = OPTION_BIT(TOKEN) | OPTION_BIT(LABEL) | OPTIONS_PIN |
              OPTION_BIT(SOCKET),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(SOCKET),
     .run = cmd_token_activate},
    {.group = "token",
     .verb = "backup",
     .summary = "Write which keys a token holds; of SoftHSM, copy it as well",
     .example = "--token contoso-ck1 --manifest ck1.manifest.json --out "
                "ck1.backup --pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(MANIFEST) | OPTION_BIT(OUT) |
              OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(MANIFEST),
     .is_step = true,
     .undo = STEP_STAYS,
     .run = cmd_token_backup},
    {.group = "token",
     .verb = "check-restored",
     .summary = "Check a restored token by the fingerprints of its keys",
     .example = "--token contoso-ck1 --manifest ck1.manifest.json --pin-file "
                "user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(MANIFEST),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(MANIFEST),
     .is_step = true,
     .undo = STEP_MAKES_NOTHING,
     .run = cmd_token_check_restored},
    {.group = "token",
     .verb = "doctor",
     .summary = "Say what is wrong with a token, and what to type next",
     .example = "--token contoso-ck1 --try-pin --pin-file user.pin",
     .notes = "No PIN is tried without --try-pin, then once, and never where "
              "few tries are\nleft. Exit code 0: no fault; else that of the "
              "first one.", .takes = OPTIONS_TOKEN | OPTION_BIT(TRY_PIN),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_token_doctor},
    {.group = "token",
     .verb = "enroll",
     .summary = "Sign the statement that gives a token to a tenant",
     .example = "--token contoso-ck1 --tenant contoso --domain contoso-hq "
                "--key custodian.pem --out ck1.enrolment.json "
                "--pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(TENANT) | OPTION_BIT(DOMAIN) |
              OPTION_BIT(KEY) | OPTION_BIT(OUT),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(TENANT) | OPTION_BIT(DOMAIN) |
              OPTION_BIT(KEY) | OPTION_BIT(OUT),
     .run = cmd_token_enroll},
    {.group = "key",
     .verb = "generate",
     .summary = "Generate a customer key that never leaves its token",
     .example = "--token contoso-ck1 --name mailbox-2026 --pin-file user.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTION_BIT(BITS) | OPTION_BIT(TYPE) | OPTION_BIT(EXTRACTABLE) |
              OPTION_BIT(RESIDENCY) | OPTION_BIT(NEW_VERSION) |
              OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NAME),
     .is_step = true,
     .undo = STEP_MAKES_KEY,
     .run = cmd_key_generate},
    {.group = "key",
     .verb = "roll",
     .summary = "Generate a new version of a key; the old one stays",
     .example = "--token contoso-ck1 --name mailbox-2026 --pin-file user.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTION_BIT(BITS) | OPTION_BIT(RESIDENCY) | OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NAME),
     .is_step = true,
     .undo = STEP_MAKES_KEY,
     .run = cmd_key_roll},
    {.group = "key",
     .verb = "rename",
     .summary = "Give a key another name, where its token allows that",
     .example = "--token contoso-ck1 --name mailbox-2025 --new-name old "
                "--pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTION_BIT(NEW_NAME) | OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NEW_NAME),
     .is_step = true,
     .undo = STEP_STAYS,
     .run = cmd_key_rename},
    {.group = "key",
     .verb = "destroy",
     .summary = "Destroy a version of a key that nothing depends on",
     .example = "--token contoso-ck1 --id 0102 --pin-file user.pin --in-use "
                "contoso.json --in-use-public audit.pem", .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTIONS_IN_USE | OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(ID),
     .is_step = true,
     .undo = STEP_STAYS,
     .run = cmd_key_destroy},
    {.group = "key",
     .verb = "import-prepare",
     .summary = "Make a transport key in the token, for a customer's own key",
     .example = "--token contoso-ck1 --key custodian.pem --out prepared.json "
                "--pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(KEY) | OPTION_BIT(OUT) |
              OPTION_BIT(ID) | OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(KEY) | OPTION_BIT(OUT),
     .is_step = true,
     .undo = STEP_MAKES_KEY,
     .run = cmd_key_import_prepare},
    {.group = "key",
     .verb = "import-wrap",
     .summary = "Wrap a key for its token, offline, on its owner's machine",
     .example = "--prepared prepared.json --public custodian.pub.pem --source "
                "my-key.pem --out package.json", .notes = WRAP_NOTES,
     .takes = OPTION_BIT(PREPARED) | OPTION_BIT(PUBLIC) | OPTION_BIT(SOURCE) |
              OPTION_BIT(OUT),
     .needs = OPTION_BIT(PREPARED) | OPTION_BIT(PUBLIC) | OPTION_BIT(SOURCE) |
              OPTION_BIT(OUT),
     .run = cmd_key_import_wrap},
    {.group = "key",
     .verb = "import",
     .summary = "Unwrap a customer's own key inside the token",
     .example = "--token contoso-ck1 --name mailbox-own --in package.json "
                "--public-key-sha256 HEX --pin-file user.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID) |
              OPTION_BIT(IN) | OPTION_BIT(FINGERPRINT) | OPTION_BIT(RESIDENCY) |
              OPTION_BIT(DRY_RUN),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NAME) | OPTION_BIT(IN) |
              OPTION_BIT(FINGERPRINT),
     .is_step = true,
     .undo = STEP_MAKES_KEY,
     .run = cmd_key_import},
    {.group = "key",
     .verb = "list",
     .summary = "List the keys of a token",
     .example = "--token contoso-ck1 --pin-file user.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_key_list},
    {.group = "key",
     .verb = "show",
     .summary = "Show a key: URI, fingerprint, attributes",
     .example = "--token contoso-ck1 --name mailbox-2026 --pin-file user.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_key_show},
    {.group = "service",
     .verb = "init",
     .summary = "Prepare the service's own token: record MAC and audit keys",
     .example = "--token holdfast-service --pin-file service.pin",
     .takes = OPTIONS_TOKEN | OPTION_BIT(MIRROR) | OPTION_BIT(MIRROR_MODULE) |
              OPTION_BIT(MIRROR_PIN_FILE),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_service_init},
    {.group = "service",
     .verb = "forget-mirror",
     .summary = "Let a token go on without a mirror that is lost for ever",
     .example = "--token holdfast-service-b --mirror holdfast-service "
                "--pin-file service-b.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(MIRROR),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(MIRROR),
     .run = cmd_service_forget_mirror},
    {.group = "ak",
     .verb = "init",
     .summary = "Prepare a token for availability keys",
     .example = "--token holdfast-ak --pin-file ak.pin",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_ak_init},
    {.group = "ak",
     .verb = "verify-absent",
     .summary = "Verify that no availability key of this name is there, and "
                "that none opens the copy", .example = "--token holdfast-ak --label-prefix hf-ak:UUID: --id-prefix "
                "HEX --id HEX --wrapped HEX --pin-file ak.pin", .takes = OPTIONS_TOKEN | OPTION_BIT(LABEL_PREFIX) | OPTION_BIT(ID_PREFIX) |
              OPTION_BIT(ID) | OPTION_BIT(WRAPPED),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(LABEL_PREFIX) |
              OPTION_BIT(ID_PREFIX) | OPTION_BIT(ID) | OPTION_BIT(WRAPPED),
     .run = cmd_ak_verify_absent},
    {.group = "key",
     .verb = "public",
     .summary = "List the public keys of a token, as PEM with --json; needs no "
                "PIN", .example = "--token contoso-ck1 --json",
     .takes = OPTIONS_MODULE | OPTION_BIT(TOKEN) | OPTION_BIT(LABEL) |
              OPTION_BIT(SERIAL),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_key_public},
    {.group = "cert",
     .verb = "list",
     .summary = "List the certificates of a token, as PEM with --json; needs "
                "no PIN", .example = "--token contoso-ck1",
     .takes = OPTIONS_MODULE | OPTION_BIT(TOKEN) | OPTION_BIT(LABEL) |
              OPTION_BIT(SERIAL),
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_cert_list},
    {.group = "tls",
     .verb = "init",
     .summary = "Make the server's TLS key in a token of its own",
     .example = "--token holdfast-tls --pin-file tls.pin --json",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = cmd_tls_init},
    {.group = "custodian",
     .verb = "new",
     .summary = "Make a custodian's signing key, in an owner-only file",
     .example = "--out custodian.pem --public custodian.pub.pem",
     .takes = OPTION_BIT(OUT) | OPTION_BIT(PUBLIC) | OPTION_BIT(KEY_TYPE),
     .needs = OPTION_BIT(OUT),
     .run = cmd_custodian_new},
    {.group = "ceremony",
     .verb = "start",
     .summary = "Two custodians do a plan's steps to one token, on record",
     .example = "--name \"first keys of contoso\" --plan contoso.plan "
                "--token contoso-ck1 --transcript ck1.jsonl --key alice.pem "
                "--key bob.pem", .notes = PLAN_NOTES,
     .takes = OPTIONS_CEREMONY | OPTION_BIT(NAME) | OPTION_BIT(PLAN) |
              OPTION_BIT(DRY_RUN),
     .needs = OPTIONS_CEREMONY_NEEDS | OPTION_BIT(NAME) | OPTION_BIT(PLAN),
     .twice = OPTION_BIT(KEY),
     .run = cmd_ceremony_start},
    {.group = "ceremony",
     .verb = "resume",
     .summary = "Go on with a ceremony that was interrupted",
     .example = "--token contoso-ck1 --transcript ck1.jsonl --key alice.pem "
                "--key bob.pem", .takes = OPTIONS_CEREMONY,
     .needs = OPTIONS_CEREMONY_NEEDS,
     .twice = OPTION_BIT(KEY),
     .run = cmd_ceremony_resume},
    {.group = "ceremony",
     .verb = "undo",
     .summary = "Take back what an interrupted ceremony made, nothing else",
     .example = "--token contoso-ck1 --transcript ck1.jsonl --key alice.pem "
                "--key bob.pem", .takes = OPTIONS_CEREMONY,
     .needs = OPTIONS_CEREMONY_NEEDS,
     .twice = OPTION_BIT(KEY),
     .run = cmd_ceremony_undo},
    {.group = "ceremony",
     .verb = "status",
     .summary = "Show how far a ceremony is; needs no token",
     .example = "--transcript ck1.jsonl",
     .takes = OPTION_BIT(TRANSCRIPT),
     .needs = OPTION_BIT(TRANSCRIPT),
     .run = cmd_ceremony_status},
    {.group = "ceremony",
     .verb = "verify",
     .summary = "Verify a transcript and both signatures, offline",
     .example = "--transcript ck1.jsonl --public alice.pub.pem --public "
                "bob.pub.pem", .notes = VERIFY_NOTES,
     .takes = OPTION_BIT(TRANSCRIPT) | OPTION_BIT(PUBLIC),
     .needs = OPTION_BIT(TRANSCRIPT) | OPTION_BIT(PUBLIC),
     .twice = OPTION_BIT(PUBLIC),
     .run = cmd_ceremony_verify},
    {.group = NULL                                                               },
};
