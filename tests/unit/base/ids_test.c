/* Identifiers: one text form, and nothing else is read as one. */
#include "hsm/base/check.h"
#include "hsm/base/ids.h"

#include "tests/support/unit.h"

#include <ctype.h>
#include <string.h>

static const struct hf_id sample = {
    {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb,
     0xcc, 0xdd, 0xee, 0xff}
};
static const char sample_text[] = "00112233-4455-6677-8899-aabbccddeeff";

static void test_format_and_parse(void **state)
{
    (void)state;
    char text[HF_ID_TEXT];
    struct hf_id id = {{0}};
    id_format(&sample, text);
    assert_string_equal(text, sample_text);
    assert_int_equal(strlen(text) + 1, HF_ID_TEXT);
    assert_ok(id_parse(text, &id));
    assert_true(id_equal(&id, &sample));
    assert_ok(id_parse("00112233-4455-6677-8899-AABBccDDEEFF", &id));
    assert_true(id_equal(&id, &sample));
}

static void test_each_position_refuses_other_characters(void **state)
{
    (void)state;
    for (size_t at = 0; at < HF_ID_TEXT - 1; at++) {
        for (int c = 1; c < 256; c++) {
            char text[HF_ID_TEXT];
            struct hf_id id = sample;
            memcpy(text, sample_text, sizeof text);
            text[at] = (char)c;
            bool good = sample_text[at] == '-' ? c == '-' : isxdigit(c) != 0;
            assert_status(id_parse(text, &id), good ? HF_OK : HF_E_INVALID);
            if (!good) {
                assert_true(id_equal(&id, &sample)); /* untouched */
            }
        }
    }
}

static void test_other_forms_are_refused(void **state)
{
    static const char *const others[] = {
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233445566778899aabbccddeeff",
        "{00112233-4455-6677-8899-aabbccddeef}",
        "0011-2233-4455-6677-8899-aabbccddeeff",
        " 0112233-4455-6677-8899-aabbccddeeff",
        "0x112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddee\xc3\xbf",
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        struct hf_id id = sample;
        assert_status(id_parse(others[i], &id), HF_E_INVALID);
        assert_true(id_equal(&id, &sample));
    }
}

static void test_random_becomes_version_4(void **state)
{
    (void)state;
    for (int fill = 0; fill < 256; fill++) {
        uint8_t random[HF_ID_BYTES];
        memset(random, fill, sizeof random);
        struct hf_id id = id_from_random(random);
        assert_int_equal(id.bytes[6] >> 4, 4);
        assert_int_equal(id.bytes[8] >> 6, 2);
        assert_int_equal(id.bytes[6] & 0x0f, fill & 0x0f);
        assert_int_equal(id.bytes[8] & 0x3f, fill & 0x3f);
        for (size_t i = 0; i < HF_ID_BYTES; i++) {
            assert_true(i == 6 || i == 8 || id.bytes[i] == fill);
        }
        assert_false(id_is_nil(&id));
    }
}

static void test_equality_sees_every_bit(void **state)
{
    (void)state;
    const struct hf_id nil = {{0}};
    assert_true(id_is_nil(&nil));
    assert_true(id_equal(&sample, &sample));
    for (size_t bit = 0; bit < 8 * HF_ID_BYTES; bit++) {
        struct hf_id other = sample;
        struct hf_id nearly = nil;
        other.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        nearly.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(id_equal(&other, &sample));
        assert_false(id_is_nil(&nearly));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_and_parse),
        cmocka_unit_test(test_each_position_refuses_other_characters),
        cmocka_unit_test(test_other_forms_are_refused),
        cmocka_unit_test(test_random_becomes_version_4),
        cmocka_unit_test(test_equality_sees_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
