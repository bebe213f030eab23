/* key_find: which key a command means. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

/* key_find: that of --id, which is of --name where both are given; or the
 * newest of --name. told: HF_E_INVALID, HF_E_NOT_FOUND. */
HF_STATUS key_find_check(struct tool *tool); /* the words alone; told */
HF_STATUS key_find(struct tool *tool, const struct session *session,
                   const struct token_key_report **out_key);

struct bytes key_id_of(const struct token_key *key);
/* key_id_wanted: of --id; *out_len is 0 where it is not given. told. */
HF_STATUS key_id_wanted(struct tool *tool, uint8_t *out, size_t cap,
                        size_t *out_len);
/* key_newest: the version of a name whose id is the last in order; key_with_id.
 * Both give NULL for none. */
const struct token_key_report *key_newest(const struct session *session,
                                          const char *name);
const struct token_key_report *key_with_id(const struct session *session,
                                           struct bytes id);
/* key_alone_check: a token finds what it destroys or renames by its id alone:
 * has no other key this one's? told: HF_E_CONFLICT. */
size_t key_count_with_id(const struct session *session, struct bytes id);
HF_STATUS key_alone_check(struct tool *tool, const struct session *session,
                          const struct token_key_report *key);
/* key_name_check: told: HF_E_INVALID; HF_E_DENIED for one of Holdfast's own. */
HF_STATUS key_name_check(struct tool *tool, const char *name);
/* key_is_services: one that the service itself lives on. A pair can be one:
 * customers' names never begin with TOKEN_NAME_AVAILABILITY. */
bool key_is_services(const struct token_key_report *key);
/* key_token_check: is the token a customer's? told. */
HF_STATUS key_token_check(struct tool *tool, const struct session *session);
/* key_serve_check: can it serve a key of this residency? A token without
 * C_UnwrapKey or AES-GCM serves residency MEMORY only. told: HF_E_UNSUPPORTED.
 */
HF_STATUS key_serve_check(struct tool *tool, const struct session *session,
                          bool memory);
