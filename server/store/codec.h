/* codec: one list of fields for both directions.
 *
 * A record type states its fields once, in a function that is run to write them
 * and run again to read them, so that encoder and decoder cannot drift apart.
 * A value that cannot be is remembered and turns the result into HF_E_INVALID
 * (ours, when writing) or HF_E_CORRUPT (stored, when reading). Inside
 * server/store only.
 */
#pragma once

#include "server/store/record.h"

struct codec {
    bool writing;
    bool refused;
    uint8_t format; /* of the body: being written, or found */
    struct byte_writer writer;
    struct byte_reader reader;
    uint8_t scratch[RECORD_BODY_MAX_BYTES]; /* the body being written */
};

/* codec_to_write: ready for the fields of a body of this format.
 * codec_to_read: of this format or an older one: stores of before stay
 * readable. A field that came with format n is coded if codec->format >= n; the
 * reader leaves it as it is for older bodies, so that its zero must be what
 * such a record means. The codec must stay where it is until its end. */
void codec_to_write(struct codec *codec, uint8_t format);
void codec_to_read(struct codec *codec, enum record_kind kind, uint8_t newest,
                   const struct record *from);

/* codec_written: HF_OK and out's kind, key and body; HF_E_INVALID and out
 * untouched. codec_read: HF_OK when all was read, in range, and the record's
 * key is the one its fields call for; else HF_E_CORRUPT. */
HF_STATUS codec_written(const struct codec *codec, enum record_kind kind,
                        const struct record_key *key, struct record *out);
HF_STATUS codec_read(const struct codec *codec, const struct record *from,
                     const struct record_key *key);

void code_u32(struct codec *codec, uint32_t *value);
void code_u64(struct codec *codec, uint64_t *value);
/* code_time: milliseconds, never negative. */
void code_time(struct codec *codec, int64_t *value_ms);
void code_bool(struct codec *codec, bool *value);
/* code_choice: a value from first to last, one byte; returns it. */
int code_choice(struct codec *codec, int value, int first, int last);
void code_raw(struct codec *codec, void *data, size_t len);
void code_id(struct codec *codec, struct hf_id *id);
/* code_own_id: one that names the record, so never nil. */
void code_own_id(struct codec *codec, struct hf_id *id);
void code_text(struct codec *codec, char *text, size_t cap);
/* code_bytes: length first; at most cap. */
void code_bytes(struct codec *codec, uint8_t *data, size_t *len, size_t cap);
void code_dep_ref(struct codec *codec, struct dep_ref *ref);
/* code_suite: an enum token_suite; the store does not include the token's port,
 * a test holds the two together. */
#define RECORD_SUITE_LAST 3
void code_suite(struct codec *codec, uint8_t *suite);
/* code_refuse_unless: a rule between fields. */
void code_refuse_unless(struct codec *codec, bool holds);
