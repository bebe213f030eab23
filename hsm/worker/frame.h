/* frame: what a link and its worker say to each other.
 *
 *   packet   = version u8 | kind u8 | count u16 | entries
 *   requests = { number u64 | op u8 | drop_dead_ms u64 | attempt_ms u32
 *                | body }
 *   replies  = counters 5 * u64
 *              { number u64 | op u8 | status u8 | more u8 | rv u64 | body }
 *   hello    = see hello.h
 *
 * One packet is one SOCK_SEQPACKET message of at most FRAME_PACKET_MAX bytes
 * and holds 1 to TOKEN_BATCH_MAX entries. Numbers big endian (hsm/base/bytes).
 * A body is there in every request, and in replies with HF_OK; the reply to a
 * LIST or DATA_LIST may come in several entries, all but the last with `more`.
 *
 * Nobody believes the other: every length, enum and flag is checked when it is
 * read, a reply is read against its own request (it cannot be longer than that
 * one's buffers, nor of another kind), and nothing may be left over. What
 * cannot be is HF_E_CORRUPT and ends the conversation.
 *
 * Packets hold plaintext keys (SEAL, OPEN, DECRYPT): whoever has a packet wipes
 * it after use. A PIN is never in one.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION    1
#define FRAME_PACKET_MAX 65536

enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_REQUESTS = 2,
    FRAME_REPLIES = 3,
};

/* --- packets -------------------------------------------------------------- */

struct frame_writer {
    struct byte_writer bytes;
    size_t count; /* entries */
};

/* frame_begin: a packet in buffer, FRAME_PACKET_MAX bytes. */
struct frame_writer frame_begin(uint8_t *buffer, enum frame_kind kind);
/* frame_end: writes the count; returns the packet's length. */
size_t frame_end(struct frame_writer *writer);

struct frame_reader {
    struct byte_reader bytes;
    size_t left; /* entries */
};

/* frame_open: HF_OK; HF_E_CORRUPT for another version, kind, or no entry. */
HF_STATUS frame_open(struct bytes packet, enum frame_kind kind,
                     struct frame_reader *out);
/* frame_close: HF_E_CORRUPT unless everything was read. */
HF_STATUS frame_close(const struct frame_reader *reader);

/* --- requests ------------------------------------------------------------- */

/* frame_request_put: HF_OK; HF_E_LIMIT: the packet is full, it is as it was;
 * HF_E_INVALID: a request that no token could understand (an enum or a text
 * that is none). Of an object's generation the lower half is sent. */
HF_STATUS frame_request_put(struct frame_writer *writer, uint64_t number,
                            const struct token_request *request);

/* What a request that was read points into; a list's items are not in it. */
struct frame_room {
    union {
        struct {
            uint8_t aad[HF_CONTEXT_MAX_BYTES];
            uint8_t in[TOKEN_MAC_MAX_BYTES];
            uint8_t out[HF_SEALED_MAX_BYTES];
        } data;
        struct {
            struct token_key_report report;
            uint8_t wrapped[HF_RSA_MAX_BYTES];
            struct token_mint mint;
            uint8_t spki[TOKEN_MINT_COPIES_MAX][HF_SPKI_MAX_BYTES];
            uint8_t aad[HF_CONTEXT_MAX_BYTES];
            uint8_t text[HF_SEALED_MAX_BYTES];
            struct token_data data;
        } root;
    } u;
};

/* frame_request_get: number and request, its pointers into room; a LIST has its
 * cap and no array yet. HF_OK; HF_E_CORRUPT. */
HF_STATUS frame_request_get(struct frame_reader *reader, uint64_t *number,
                            struct token_request *request,
                            struct frame_room *room);
/* frame_peek_op: the op of the next entry, of requests as of replies. */
HF_STATUS frame_peek_op(const struct frame_reader *reader, enum token_op *op);

/* --- replies -------------------------------------------------------------- */

void frame_counters_put(struct frame_writer *writer,
                        const struct token_counters *counters);
void frame_counters_get(struct frame_reader *reader,
                        struct token_counters *counters);

/* frame_reply_put: the answer that stands in the request. free_bytes: what a
 * HEALTH tells. *listed: items of a list sent so far, 0 at first.
 * HF_OK; HF_E_LIMIT: the packet is full, go on in the next one (part of a list
 * may be in this one). */
HF_STATUS frame_reply_put(struct frame_writer *writer, uint64_t number,
                          const struct token_request *request,
                          uint64_t free_bytes, size_t *listed);

struct frame_reply_head {
    uint64_t number;
    enum token_op op;
    enum hf_status status;
    bool more;
    unsigned long rv;
};
HF_STATUS frame_reply_head_get(struct frame_reader *reader,
                               struct frame_reply_head *out);

/* frame_reply_get: the body, into the request it answers; status and rv too.
 *
 * Takes     head, as read just before; worker: the upper half of an object's
 *           generation; *listed: items of a list that came so far.
 * Gives     *free_bytes for a HEALTH; the request is answered unless
 *           head->more.
 * Returns   HF_OK; HF_E_CORRUPT: not an answer to this request.
 */
HF_STATUS frame_reply_get(struct frame_reader *reader,
                          const struct frame_reply_head *head, uint32_t worker,
                          struct token_request *request, size_t *listed,
                          uint64_t *free_bytes);

/* What is kept of a request that was answered without its reply. */
struct frame_late {
    enum token_op op;
    size_t in_len; /* of SEAL and OPEN; of the text of a MINT */
    size_t copies; /* of a MINT */
    size_t cap;    /* of a list */
    size_t listed; /* items that came so far */
};
struct frame_late frame_late_of(const struct token_request *request,
                                size_t listed);
/* frame_reply_drop: as frame_reply_get, for nobody. *out_object: the result of
 * an UNWRAP that was HF_OK, else the handle is 0. */
HF_STATUS frame_reply_drop(struct frame_reader *reader,
                           const struct frame_reply_head *head, uint32_t worker,
                           struct frame_late *late,
                           struct token_object *out_object);
