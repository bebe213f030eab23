/* Views, bounded writing and reading, hex and text: every length at its edge.
 * Buffers are exactly as long as they say, so that a sanitizer sees one byte
 * too many. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "tests/support/unit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 0xa5

/* One of each, in the order the writer's functions are declared. */
static const uint8_t message[] = {
    0x01,                                           /* u8   */
    0x23, 0x45,                                     /* u16  */
    0x67, 0x89, 0xab, 0xcd,                         /* u32  */
    0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, /* u64  */
    'r',  'a',  'w',                                /* raw  */
    0x00, 0x00, 0x00, 0x02, 0x00, 0xff,             /* lp   */
    0x00, 0x00, 0x00, 0x04, 't',  'e',  'x',  't',  /* text */
    0x00, 0x00, 0x00, 0x00,                         /* ""   */
};

static void write_message(struct byte_writer *writer)
{
    static const uint8_t two[] = {0x00, 0xff};
    put_u8(writer, 0x01);
    put_u16(writer, 0x2345);
    put_u32(writer, 0x6789abcd);
    put_u64(writer, 0xef0123456789abcd);
    put_raw(writer, "raw", 3);
    put_lp(writer, two, sizeof two);
    put_text(writer, "text");
    put_text(writer, "");
}

static HF_STATUS read_message(struct bytes from)
{
    struct byte_reader reader = byte_reader_on(from);
    char text[5] = "";
    char empty[1] = "x";
    char raw[3] = "";
    bool same = get_u8(&reader) == 0x01;
    same = get_u16(&reader) == 0x2345 && same;
    same = get_u32(&reader) == 0x6789abcd && same;
    same = get_u64(&reader) == 0xef0123456789abcd && same;
    get_raw(&reader, raw, sizeof raw);
    struct bytes two = get_lp(&reader);
    get_text(&reader, text, sizeof text);
    get_text(&reader, empty, sizeof empty);
    enum hf_status done = byte_reader_done(&reader);
    if (done == HF_OK) {
        assert_true(same);
        assert_memory_equal(raw, "raw", 3);
        assert_int_equal(two.len, 2);
        assert_int_equal(two.data[0], 0x00);
        assert_int_equal(two.data[1], 0xff);
        assert_string_equal(text, "text");
        assert_string_equal(empty, "");
    }
    return done;
}

static void test_writer_is_exact(void **state)
{
    (void)state;
    uint8_t *data = malloc(sizeof message);
    struct byte_writer writer = byte_writer_on(data, sizeof message);
    write_message(&writer);
    assert_false(writer.overrun);
    assert_int_equal(writer.len, sizeof message);
    assert_memory_equal(data, message, sizeof message);
    put_raw(&writer, NULL, 0);
    assert_false(writer.overrun);
    put_u8(&writer, 0);
    assert_true(writer.overrun);
    free(data);
}

static void test_writer_stops_at_every_shorter_cap(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < sizeof message; cap++) {
        uint8_t data[sizeof message + 8];
        memset(data, GUARD, sizeof data);
        struct byte_writer writer = byte_writer_on(data, cap);
        write_message(&writer);
        assert_true(writer.overrun);
        assert_true(writer.len <= cap);
        assert_memory_equal(data, message, writer.len);
        for (size_t i = writer.len; i < sizeof data; i++) {
            assert_int_equal(data[i], GUARD);
        }
    }
}

static void test_writer_remembers_the_overrun(void **state)
{
    (void)state;
    uint8_t data[4];
    struct byte_writer writer = byte_writer_on(data, sizeof data);
    put_u64(&writer, 1);
    assert_true(writer.overrun);
    put_u8(&writer, 1); /* would fit, but what came before is missing */
    assert_true(writer.overrun);
    assert_int_equal(writer.len, 0);
}

static void test_length_that_no_prefix_can_say(void **state)
{
    (void)state;
    uint8_t data[8] = {0};
    struct byte_writer writer = byte_writer_on(data, sizeof data);
    put_lp(&writer, data, (size_t)UINT32_MAX + 1);
    assert_true(writer.overrun);
    assert_int_equal(writer.len, 0);
}

static void test_reader_reads_what_was_written(void **state)
{
    (void)state;
    assert_ok(read_message(BYTES_OF(message)));
}

static void test_reader_refuses_every_other_length(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof message + 4; len++) {
        uint8_t *data = calloc(1, len + 1);
        uint8_t *exact = malloc(len > 0 ? len : 1);
        memcpy(data, message, len < sizeof message ? len : sizeof message);
        memcpy(exact, data, len);
        enum hf_status wanted = len == sizeof message ? HF_OK : HF_E_CORRUPT;
        assert_status(read_message((struct bytes){exact, len}), wanted);
        free(exact);
        free(data);
    }
}

static void test_reader_of_nothing(void **state)
{
    (void)state;
    struct byte_reader reader = byte_reader_on(BYTES_NONE);
    get_raw(&reader, NULL, 0);
    assert_ok(byte_reader_done(&reader));
    assert_int_equal(get_u8(&reader), 0);
    assert_status(byte_reader_done(&reader), HF_E_CORRUPT);
}

static void test_reader_stays_bad(void **state)
{
    (void)state;
    static const uint8_t data[] = {1, 2};
    struct byte_reader reader = byte_reader_on(BYTES_OF(data));
    get_raw(&reader, NULL, 0);
    assert_int_equal(get_u32(&reader), 0);
    assert_int_equal(get_u8(&reader), 0);
    assert_int_equal(get_u16(&reader), 0);
    assert_status(byte_reader_done(&reader), HF_E_CORRUPT);
}

static void test_length_prefix_that_cannot_be(void **state)
{
    static const uint8_t lengths[][4] = {
        {0x00, 0x00, 0x00, 0x03}, /* one more than there is */
        {0x00, 0x01, 0x00, 0x00},
        {0x7f, 0xff, 0xff, 0xff},
        {0xff, 0xff, 0xff, 0xff},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(lengths); i++) {
        uint8_t data[6] = {0, 0, 0, 0, 'a', 'b'};
        char text[64] = "before";
        memcpy(data, lengths[i], 4);
        struct byte_reader reader = byte_reader_on(BYTES_OF(data));
        struct bytes view = get_lp(&reader);
        assert_null(view.data);
        assert_int_equal(view.len, 0);
        assert_status(byte_reader_done(&reader), HF_E_CORRUPT);
        reader = byte_reader_on(BYTES_OF(data));
        get_text(&reader, text, sizeof text);
        assert_string_equal(text, "");
        assert_status(byte_reader_done(&reader), HF_E_CORRUPT);
    }
}

static void test_text_must_fit_and_hold_no_nul(void **state)
{
    (void)state;
    uint8_t data[8] = {0, 0, 0, 4, 'a', 'b', 'c', 'd'};
    for (size_t cap = 1; cap <= 6; cap++) {
        char out[6] = "xxxxx";
        struct byte_reader reader = byte_reader_on(BYTES_OF(data));
        get_text(&reader, out, cap);
        assert_string_equal(out, cap > 4 ? "abcd" : "");
        assert_status(byte_reader_done(&reader),
                      cap > 4 ? HF_OK : HF_E_CORRUPT);
    }
    for (size_t at = 4; at < 8; at++) {
        char out[8] = "xxxxx";
        uint8_t cut[8];
        memcpy(cut, data, sizeof cut);
        cut[at] = 0;
        struct byte_reader reader = byte_reader_on(BYTES_OF(cut));
        get_text(&reader, out, sizeof out);
        assert_string_equal(out, "");
        assert_status(byte_reader_done(&reader), HF_E_CORRUPT);
    }
}

static void test_order_and_equality(void **state)
{
    /* strictly rising */
    static const struct bytes rising[] = {
        {NULL,                    0},
        {(const uint8_t *)"\0",   1},
        {(const uint8_t *)"\0\0", 2},
        {(const uint8_t *)"a",    1},
        {(const uint8_t *)"aa",   2},
        {(const uint8_t *)"ab",   2},
        {(const uint8_t *)"b",    1},
        {(const uint8_t *)"\x7f", 1},
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\xff", 1},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rising); i++) {
        for (size_t k = 0; k < HF_COUNT(rising); k++) {
            int wanted = i < k ? -1 : i > k;
            assert_int_equal(bytes_order(rising[i], rising[k]), wanted);
            assert_int_equal(bytes_equal(rising[i], rising[k]), wanted == 0);
        }
    }
    assert_int_equal(bytes_of_text("four").len, 4);
    assert_true(bytes_equal(bytes_of_text(""), BYTES_NONE));
}

static void test_hex_both_ways(void **state)
{
    (void)state;
    uint8_t all[256];
    uint8_t back[256];
    char text[2 * sizeof all + 1];
    size_t len = 0;
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    hex_encode(all, sizeof all, text, sizeof text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102", 6);
    assert_memory_equal(text + 506, "fdfeff", 6);
    assert_ok(hex_decode(text, back, sizeof back, &len));
    assert_int_equal(len, sizeof all);
    assert_memory_equal(all, back, sizeof all);
    for (size_t i = 0; text[i] != '\0'; i++) {
        text[i] = (char)toupper((unsigned char)text[i]);
    }
    assert_ok(hex_decode(text, back, sizeof back, &len));
    assert_memory_equal(all, back, sizeof all);
    hex_encode(all, 0, text, 1);
    assert_string_equal(text, "");
    assert_ok(hex_decode("", back, 0, &len));
    assert_int_equal(len, 0);
}

static void test_hex_refuses_the_rest_and_leaves_outputs(void **state)
{
    (void)state;
    uint8_t out[4] = {GUARD, GUARD, GUARD, GUARD};
    size_t len = 77;
    for (int c = 1; c < 256; c++) {
        for (size_t at = 0; at < 4; at++) {
            char text[] = "1234";
            text[at] = (char)c;
            if (isxdigit(c) == 0) {
                assert_status(hex_decode(text, out, 4, &len), HF_E_INVALID);
            }
        }
    }
    assert_status(hex_decode("123", out, 4, &len), HF_E_INVALID);
    assert_status(hex_decode("1234567890", out, 4, &len), HF_E_INVALID);
    assert_status(hex_decode("12", out, 0, &len), HF_E_INVALID);
    assert_int_equal(len, 77);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], GUARD);
    }
}

static void test_text_copy_fits_or_leaves(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= 6; cap++) {
        char out[8] = "before";
        bool fits = cap > 4;
        assert_status(text_copy(out, cap, "four"), fits ? HF_OK : HF_E_INVALID);
        assert_string_equal(out, fits ? "four" : "before");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_is_exact),
        cmocka_unit_test(test_writer_stops_at_every_shorter_cap),
        cmocka_unit_test(test_writer_remembers_the_overrun),
        cmocka_unit_test(test_length_that_no_prefix_can_say),
        cmocka_unit_test(test_reader_reads_what_was_written),
        cmocka_unit_test(test_reader_refuses_every_other_length),
        cmocka_unit_test(test_reader_of_nothing),
        cmocka_unit_test(test_reader_stays_bad),
        cmocka_unit_test(test_length_prefix_that_cannot_be),
        cmocka_unit_test(test_text_must_fit_and_hold_no_nul),
        cmocka_unit_test(test_order_and_equality),
        cmocka_unit_test(test_hex_both_ways),
        cmocka_unit_test(test_hex_refuses_the_rest_and_leaves_outputs),
        cmocka_unit_test(test_text_copy_fits_or_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
