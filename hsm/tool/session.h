/* session: the token a command works on, found, opened and tested. */
#pragma once

#include "hsm/base/custody.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/admin.h"
#include "hsm/token/ability.h"
#include "hsm/token/token.h"
#include "hsm/tool/tool.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define SESSION_KEYS_MAX 1024

struct session {
    struct token token;
    struct token_profile profile;
    const char *module;
    /* every root key there is */
    struct token_key_report *keys;
    size_t key_count;
    bool has_canary;
    bool has_custody;
    struct custody custody; /* what the token says of itself */
};

/* session_module: --module, or SoftHSM where Debian puts it. HF_E_INVALID
 * (told). */
HF_STATUS session_module(struct tool *tool, const char **out_module);

/* session_find: the token of --token and --serial in the module's list.
 * Returns   HF_OK; told: HF_E_NOT_FOUND; HF_E_INVALID for two of that name;
 *           HF_E_UNREACHABLE. */
HF_STATUS session_find(struct tool *tool, const char *module,
                       struct pkcs11_token_info *out_info);

/* session_state_text: what a token's flags say, in a word or two. */
const char *session_state_text(const struct pkcs11_token_info *info);

/* session_pin: the user PIN; *out_pin stays NULL for a token that asks for it
 * itself (a PIN pad, the vendor's M of N). told, as pin_get. */
HF_STATUS session_pin(struct tool *tool, const struct pkcs11_token_info *info,
                      struct secret **out_pin);

/* session_sync: what was changed beside the token port is on the disk when it
 * returns, where the token's files must be synced. told. */
HF_STATUS session_sync(struct tool *tool, const struct pkcs11_token_info *info);

/* session_open: opens the token as the user, with the self-test, and looks at
 * what is in it. session_open_with: the same with a PIN that is there already.
 *
 * Gives     *out_session, ended by session_close.
 * Returns   HF_OK; else told, as pkcs11_open; HF_E_CORRUPT when the token's
 *           custody label is damaged or there twice. */
HF_STATUS session_open(struct tool *tool, struct session *out_session);
/* session_open_plain: the same without looking at what is in it: keys, canary
 * and custody are not filled. */
HF_STATUS session_open_plain(struct tool *tool, struct session *out_session);
HF_STATUS session_open_with(struct tool *tool, const struct secret *pin,
                            struct session *out_session);
/* session_examine: the whole table of what the token can do (pkcs11_examine);
 * told like session_open. */
HF_STATUS session_examine(struct tool *tool, struct token_profile *out_profile,
                          struct token_findings *out_findings);
void session_close(struct session *session);

/* session_call: one request, told when it fails; what: "make the canary". */
HF_STATUS session_call(struct tool *tool, const struct session *session,
                       struct token_request *request, const char *what);

/* session_generate: a key that has its label for an id, or any. */
HF_STATUS session_generate(struct tool *tool, const struct session *session,
                           const struct token_generate *how);
/* session_named: the first key with this label after *at, or NULL; *at is 0 at
 * first and moves on. */
const struct token_key_report *session_named(const struct session *session,
                                             const char *label, size_t *at);
/* session_canary: makes the canary where it is missing; *out_made tells. */
HF_STATUS session_canary(struct tool *tool, struct session *session,
                         bool *out_made);
