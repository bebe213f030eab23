/* Is what was written to a spool read again, and is what a crash left told from
 * what somebody did to it? */
#include "hsm/sys/spool_file.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define FILE_BYTES 16384

static uint8_t file[FILE_BYTES];
static size_t ends[16]; /* of each frame: header, then records */
static size_t frames;

static int start(void **state)
{
    struct spool_chain chain;
    struct spool_header header = {
        .spool = {{1, 2, 3}},
        .segment = 7,
        .oldest = 5,
        .first = 100,
        .time_ms = 1800000000000,
        .before = SPOOL_END_TORN,
        .left_bytes = 9,
    };
    size_t used = 0;
    (void)state;
    memset(file, 0, sizeof file);
    memset(header.previous, 0xab, sizeof header.previous);
    assert_ok(spool_chain_open(&chain));
    memcpy(chain.hash, header.previous, sizeof chain.hash);
    frames = 0;
    used += spool_put_header(file, &header, &chain);
    ends[frames++] = used;
    for (uint64_t i = 0; i < 5; i++) {
        char object[64];
        snprintf(object, sizeof object, "tenants/t/mailboxes/m%u", (unsigned)i);
        const struct spool_record record = {
            .number = 100 + i,
            .time_ms = 1800000000000 + (int64_t)i,
            .method = "UnwrapKey",
            .object = object,
            .blob = "",
            .actor = "spiffe://x/y",
            .request_id = "",
            .initiator = 1,
            .dep = {{9}},
            .generation = 3,
        };
        used += spool_put_record(file + used, &record, &chain);
        ends[frames++] = used;
    }
    spool_chain_close(&chain);
    return 0;
}

static struct spool_segment read_file(size_t len)
{
    struct spool_segment segment;
    assert_ok(spool_read((struct bytes){file, len}, NULL, NULL, &segment));
    return segment;
}

static enum hf_status look(void *context, const struct spool_record *record,
                           const uint8_t hash[HF_SHA256_BYTES])
{
    uint64_t *next = context;
    char object[64];
    (void)hash;
    assert_int_equal(record->number, *next);
    snprintf(object, sizeof object, "tenants/t/mailboxes/m%u",
             (unsigned)(*next - 100));
    assert_string_equal(record->object, object);
    assert_string_equal(record->method, "UnwrapKey");
    assert_string_equal(record->actor, "spiffe://x/y");
    assert_int_equal(record->generation, 3);
    (*next)++;
    return HF_OK;
}

static void what_was_written_is_read(void **state)
{
    uint64_t next = 100;
    struct spool_segment segment;
    (void)state;
    assert_ok(spool_read(BYTES_OF(file), look, &next, &segment));
    assert_int_equal(next, 105);
    assert_true(segment.begun);
    assert_int_equal(segment.end, SPOOL_END_CLEAN);
    assert_int_equal(segment.last, 104);
    assert_int_equal(segment.used, ends[frames - 1]);
    assert_int_equal(segment.left, 0);
    assert_int_equal(segment.header.segment, 7);
    assert_int_equal(segment.header.oldest, 5);
    assert_int_equal(segment.header.first, 100);
    assert_int_equal(segment.header.before, SPOOL_END_TORN);
    assert_int_equal(segment.header.left_bytes, 9);
    /* with and without zeros behind */
    assert_int_equal(read_file(ends[frames - 1]).end, SPOOL_END_CLEAN);
}

/* Every moment of the last append, as a killed process leaves it: what is
 * written, in the order it is written, and then zeros. */
static void a_torn_tail_is_no_tampering(void **state)
{
    (void)state;
    uint8_t whole[FILE_BYTES];
    memcpy(whole, file, sizeof whole);
    size_t from = ends[frames - 2];
    size_t to = ends[frames - 1];
    /* the number of the record begins with seven zeros */
    for (size_t done = 8; done < to - from - 4; done++) {
        memset(file + from, 0, to - from);
        memcpy(file + from + 4, whole + from + 4, done); /* no length yet */
        struct spool_segment segment = read_file(sizeof file);
        assert_int_equal(segment.end, SPOOL_END_TORN);
        assert_int_equal(segment.last, 103);
        assert_int_equal(segment.used, from);
    }
    /* a file that was cut short */
    memcpy(file, whole, sizeof file);
    for (size_t len = from + 4; len < to; len++) {
        assert_int_equal(read_file(len).end, SPOOL_END_TORN);
        assert_int_equal(read_file(len).last, 103);
    }
    /* a page that never reached the disk */
    memset(file + from + 40, 0, 64);
    assert_int_equal(read_file(sizeof file).end, SPOOL_END_TORN);
    memcpy(file, whole, sizeof file);
    memset(file + to - 40, 0, 40);
    assert_int_equal(read_file(sizeof file).end, SPOOL_END_TORN);
}

/* Each byte of each record, changed: the record before is the last good one,
 * and a frame that is whole is no crash. */
static void an_edited_record_is_damage(void **state)
{
    size_t damaged = 0;
    (void)state;
    for (size_t frame = 1; frame < frames; frame++) {
        for (size_t at = ends[frame - 1]; at < ends[frame]; at++) {
            file[at] ^= 0x5a;
            struct spool_segment segment = read_file(sizeof file);
            assert_true(segment.end != SPOOL_END_CLEAN);
            assert_int_equal(segment.last, 99 + frame - 1);
            assert_int_equal(segment.used, ends[frame - 1]);
            bool length = at < ends[frame - 1] + 4;
            assert_true(length || segment.end == SPOOL_END_DAMAGED);
            damaged += segment.end == SPOOL_END_DAMAGED ? 1 : 0;
            file[at] ^= 0x5a;
        }
    }
    assert_true(damaged > 0);
}

static void a_record_taken_out_or_moved_is_damage(void **state)
{
    (void)state;
    uint8_t whole[FILE_BYTES];
    memcpy(whole, file, sizeof whole);
    memmove(file + ends[1], file + ends[2], sizeof file - ends[2]);
    assert_int_equal(read_file(sizeof file).end, SPOOL_END_DAMAGED);
    assert_int_equal(read_file(sizeof file).last, 100);
    memcpy(file, whole, sizeof file);
    size_t len = ends[2] - ends[1];
    assert_int_equal(len, ends[3] - ends[2]);
    memcpy(file + ends[1], whole + ends[2], len);
    memcpy(file + ends[2], whole + ends[1], len);
    assert_int_equal(read_file(sizeof file).end, SPOOL_END_DAMAGED);
    assert_int_equal(read_file(sizeof file).last, 100);
}

static void a_header_that_is_none_is_no_segment(void **state)
{
    struct spool_segment segment;
    (void)state;
    for (size_t at = 0; at < ends[0]; at++) {
        file[at] ^= 1;
        assert_status(spool_read(BYTES_OF(file), NULL, NULL, &segment),
                      HF_E_CORRUPT);
        assert_false(segment.begun);
        file[at] ^= 1;
    }
    memset(file, 0, sizeof file);
    assert_ok(spool_read(BYTES_OF(file), NULL, NULL, &segment));
    assert_false(segment.begun);
    assert_ok(spool_read(BYTES_NONE, NULL, NULL, &segment));
    assert_false(segment.begun);
}

static void a_record_that_is_too_long_is_not_written(void **state)
{
    char object[SPOOL_BODY_MAX_BYTES + 1];
    struct spool_chain chain;
    struct spool_chain before;
    static uint8_t to[SPOOL_FRAME_MAX_BYTES];
    static const uint8_t nothing[SPOOL_FRAME_MAX_BYTES];
    (void)state;
    assert_ok(spool_chain_open(&chain));
    before = chain;
    memset(object, 'o', sizeof object - 1);
    object[sizeof object - 1] = '\0';
    const struct spool_record record = {.number = 1,
                                        .method = "",
                                        .object = object,
                                        .blob = "",
                                        .actor = "",
                                        .request_id = ""};
    assert_int_equal(spool_put_record(to, &record, &chain), 0);
    assert_memory_equal(to, nothing, sizeof to);
    assert_memory_equal(chain.hash, before.hash, sizeof chain.hash);
    spool_chain_close(&chain);
}

static void names(void **state)
{
    static const char *const none[] = {"",
                                       "1.spool",
                                       "000000000000000g.spool",
                                       "0000000000000001.spoo",
                                       "0000000000000001.spoolx",
                                       "0000000000000000.spool",
                                       "000000000000000A.spool"};
    char name[SPOOL_NAME_BYTES];
    (void)state;
    spool_name(0xabc, name);
    assert_string_equal(name, "0000000000000abc.spool");
    assert_int_equal(spool_number(name), 0xabc);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(spool_number(none[i]), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        CASE(what_was_written_is_read),
        CASE(a_torn_tail_is_no_tampering),
        CASE(an_edited_record_is_damage),
        CASE(a_record_taken_out_or_moved_is_damage),
        CASE(a_header_that_is_none_is_no_segment),
        CASE(a_record_that_is_too_long_is_not_written),
        CASE(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
