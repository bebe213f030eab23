/* checkpoints: the heads of the audit chains, signed by the audit key in the
 * service's token, so that who holds a checkpoint and the public key
 * finds out, without this service, whether what came before was cut, edited or
 * reordered.
 *
 *   the scheduler asks  --due-->  one on the slow lane: head read, signed,
 *   (domain/checkpoint)           recorded; one at a time
 *
 * One that the token or the store prevented is an alert in the log and tried
 * again; no caller ever waits for one. What is signed is plain text
 * (hsm/base/statement.h), which `openssl dgst -sha256 -verify` checks alone:
 *
 *   holdfast-checkpoint-v1
 *   audit_index=...        the last record of the chain in the store
 *   audit_hash=...         and its hash
 *   spool=...              UUID of the spool of routine use, or "none"
 *   spool_records=...      how many records it has had
 *   spool_hash=...         and the hash of the last
 *   key=...                SHA-256 of the public key (SubjectPublicKeyInfo)
 *   signed_at=...
 */
#pragma once

#include "server/service/core.h"
#include "server/service/sign.h"
#include "server/store/record.h"

/* checkpoints_open: the newest is held against the chain.
 * Returns   HF_OK; HF_E_CORRUPT with *problem when the chain is shorter than
 *           what was signed, or another; the store's failures. */
HF_STATUS checkpoints_open(struct service *service, struct problem *problem);
/* checkpoints_close: no job of it runs any more. NULL-safe. */
void checkpoints_close(struct checkpoints *checkpoints);

/* checkpoints_last: the newest, at the start; all zero: there is none. */
const struct checkpoint_record *checkpoints_last(const struct service *service);

/* checkpoints_round: has one made when it is due; by the scheduler. */
void checkpoints_round(struct service *service, int64_t now_ms);
/* checkpoints_end: the last one, when everything else has ended. Nothing for a
 * service that has not got as far as checkpoints_open. */
void checkpoints_end(struct service *service);
/* checkpoints_make: one now, unless the newest covers all there is. Not beside
 * another. Blocks: a token operation and a transaction. */
HF_STATUS checkpoints_make(struct service *service);

#define CHECKPOINT_TEXT_BYTES 640
/* checkpoint_text: what is signed. */
HF_STATUS checkpoint_text(const struct checkpoint_record *record,
                          uint8_t out[CHECKPOINT_TEXT_BYTES], size_t *out_len);
struct checkpoint_view {
    struct checkpoint_record record;
    uint8_t text[CHECKPOINT_TEXT_BYTES]; /* as signed */
    size_t text_len;
};

#define CHECKPOINT_KEYS_MAX 8
struct checkpoint_list {
    struct checkpoint_view *views; /* the caller's */
    size_t cap;
    size_t count;
    struct signer keys[CHECKPOINT_KEYS_MAX]; /* of those who signed */
    size_t key_count;
    char next[PAGE_TOKEN_BYTES];
};
/* checkpoints_list: newest first. Whoever may list audit records. */
HF_STATUS checkpoints_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct checkpoint_list *out,
                           struct problem *problem);
