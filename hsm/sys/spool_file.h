/* spool_file: the bytes of the spool of routine use, for who writes
 * them and for who checks them without a server.
 *
 * A spool is a folder of segments, "%016x.spool" by number from 1, each a run
 * of frames and then zeros (the file has its full size from the beginning):
 *
 *   frame = length of the body u32 | body | hash 32          big endian
 *   hash  = SHA-256(hash of the frame before 32 | length | body)
 *
 * The first frame of a segment is its header, the others are records. The chain
 * goes on from segment to segment: a header tells the hash it goes on from,
 * which of the first segment of all is zero. A writer never goes on in a file
 * of before: each start begins a segment, and says in what state it found the
 * one before. The length is written last, so that a frame that a crash
 * interrupted has none.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/ids.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_NAME_BYTES      24 /* "0000000000000001.spool" */
#define SPOOL_BODY_MAX_BYTES  2048
#define SPOOL_FRAME_MAX_BYTES (4 + SPOOL_BODY_MAX_BYTES + HF_SHA256_BYTES)

/* What a segment ends in. */
enum spool_end {
    SPOOL_END_CLEAN = 1,
    /* frames that were not yet on the disk, or not yet whole, at a crash: at
     * most what was not synced */
    SPOOL_END_TORN = 2,
    SPOOL_END_DAMAGED = 3, /* a whole frame that is not the one written */
};

struct spool_header {
    struct hf_id spool;
    uint64_t segment;
    uint64_t oldest; /* segments before it may be gone */
    uint64_t first;  /* number of the next record */
    int64_t time_ms;
    uint8_t previous[HF_SHA256_BYTES];
    enum spool_end before; /* how the segment before it ended */
    uint64_t left_bytes;   /* and how much behind its last good frame */
};

/* Texts are borrowed; "" when there is none. */
struct spool_record {
    uint64_t number; /* from 1, through all segments */
    int64_t time_ms;
    const char *method;
    const char *object; /* resource name */
    const char *blob;
    const char *actor; /* identity */
    const char *request_id;
    uint8_t initiator; /* as in the contract: 1 USER, 2 SYSTEM */
    uint8_t purpose;
    struct hf_id dep; /* what opened or wrapped it */
    uint32_t generation;
};

/* A chain as its writer goes along it: the hash of the last frame, and what
 * the next one is made with, so that an append allocates nothing. */
struct spool_chain {
    uint8_t hash[HF_SHA256_BYTES];
    void *digest;
};
HF_STATUS spool_chain_open(struct spool_chain *chain);
void spool_chain_close(struct spool_chain *chain);
/* spool_put_header, spool_put_record: the next frame at to, which is all zero
 * and has SPOOL_FRAME_MAX_BYTES. Gives its length; 0 for a record that does not
 * fit, with nothing written and the chain as it was. */
size_t spool_put_header(uint8_t *to, const struct spool_header *header,
                        struct spool_chain *chain);
size_t spool_put_record(uint8_t *to, const struct spool_record *record,
                        struct spool_chain *chain);

/* spool_name: of a segment. spool_number: 0 for a name that is none. */
void spool_name(uint64_t segment, char out[SPOOL_NAME_BYTES]);
uint64_t spool_number(const char *name);

/* What a segment was found to be. */
struct spool_segment {
    bool begun; /* false: no header, nothing else; prepared, not used */
    struct spool_header header;
    uint64_t last; /* number of the last good record; header.first - 1: none */
    uint8_t hash[HF_SHA256_BYTES]; /* of the last good frame */
    enum spool_end end;
    size_t used; /* up to the end of the last good frame */
    size_t left; /* from there to the last byte that is not zero */
};
/* Called with each good record, and the hash of its frame. Anything but HF_OK
 * ends the reading and is returned. */
typedef enum hf_status spool_record_fn(void *context,
                                       const struct spool_record *record,
                                       const uint8_t hash[HF_SHA256_BYTES]);
/* spool_read: any bytes at all. each may be NULL.
 *
 * Returns   HF_OK with *out; HF_E_CORRUPT when there is no good header, though
 *           something; HF_E_NO_MEMORY; what each said.
 */
HF_STATUS spool_read(struct bytes file, spool_record_fn *each, void *context,
                     struct spool_segment *out);
