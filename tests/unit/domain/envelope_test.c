/* Envelope and context: their bytes for ever, and everything that is refused
 * (N15 to N18). Blobs lie at the end of exact allocations, so that a sanitizer
 * sees one byte too many. */
#include "hsm/base/check.h"

#include "server/domain/envelope.h"

#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

/* Golden: readers keep these suites for ever. */
static const uint8_t golden[ENVELOPE_PLAIN_KEY_BYTES] = {
    'H',  'F',  'E',  '1',  0x01,                   /* head */
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x46, 0x17, /* dep  */
    0x98, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, /*      */
    0x01, 0x02, 0x03, 0x04,                         /* generation */
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,             /* iv */
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab,             /*    */
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, /* sealed */
    0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, /*    */
    0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, /*    */
    0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, /*    */
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, /* tag */
    0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, /*    */
};

/* Suite 2: the same with a key check. */
static const uint8_t golden_checked[ENVELOPE_KEY_BYTES] = {
    'H',  'F',  'E',  '1',  0x02,                   /* head */
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x46, 0x17, /* dep  */
    0x98, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, /*      */
    0x01, 0x02, 0x03, 0x04,                         /* generation */
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,             /* iv */
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab,             /*    */
    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, /* check */
    0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, /*    */
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, /* sealed */
    0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, /*    */
    0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, /*    */
    0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, /*    */
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, /* tag */
    0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, /*    */
};

/* Each suite: an envelope, and where its sealed text begins. */
static const struct golden_suite {
    uint8_t suite;
    struct bytes blob;
    size_t head;
} suites[] = {
    {1, {golden, sizeof golden},                 37},
    {2, {golden_checked, sizeof golden_checked}, 53},
};

static const uint8_t golden_context[CONTEXT_BYTES] = {
    'H',  'F',  'C',  '1',  0x01,                   /* head */
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, /* tenant */
    0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, /*    */
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x46, 0x17, /* dep */
    0x98, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, /*    */
    0x01, 0x02, 0x03, 0x04,                         /* generation */
    0x00, 0x01,                                     /* workload */
    0x01,                                           /* resource type */
    0x02,                                           /* purpose */
    0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, /* resource */
    0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, /*    */
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, /*    */
    0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f, /*    */
};

static struct context golden_context_facts(void)
{
    struct context context = {
        .generation = 0x01020304,
        .workload = WORKLOAD_EXCHANGE,
        .resource_type = RESOURCE_MAILBOX,
        .purpose = PURPOSE_RESOURCE_KEY,
    };
    memcpy(context.tenant.bytes, golden_context + 5, HF_ID_BYTES);
    memcpy(context.dep.bytes, golden_context + 21, HF_ID_BYTES);
    memcpy(context.resource_hash, golden_context + 45, HF_SHA256_BYTES);
    return context;
}

static struct envelope golden_facts(const struct golden_suite *suite)
{
    struct envelope envelope = {
        .suite = suite->suite,
        .generation = 0x01020304,
        .sealed = {suite->blob.data + suite->head, 48},
    };
    memcpy(envelope.dep.bytes, golden + 5, HF_ID_BYTES);
    memcpy(envelope.iv, golden + 25, HF_GCM_IV_BYTES);
    if (suite->suite == ENVELOPE_SUITE_CHECKED) {
        memcpy(envelope.check, golden_checked + 37, KEY_CHECK_BYTES);
    }
    return envelope;
}

/* Parses a copy that ends where the blob ends. */
static enum hf_status parse_copy(const uint8_t *data, size_t len,
                                 size_t key_len, struct envelope *out)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    enum hf_status status = envelope_parse(
        (struct bytes){len == 0 ? NULL : copy, len}, key_len, out);
    if (status == HF_OK) {
        /* a view into the blob, in bounds */
        size_t head = suites[out->suite - 1].head;
        assert_ptr_equal(out->sealed.data, copy + head);
        assert_int_equal(out->sealed.len, len - head);
    }
    out->sealed = BYTES_NONE;
    free(copy);
    return status;
}

static void test_golden_envelopes(void **state)
{
    (void)state;
    assert_int_equal(sizeof golden, 85);
    assert_int_equal(sizeof golden_checked, 101);
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        const struct golden_suite *suite = &suites[i];
        uint8_t out[ENVELOPE_KEY_BYTES] = {0};
        size_t len = 0;
        struct envelope envelope = golden_facts(suite);
        struct envelope parsed;
        assert_ok(envelope_encode(&envelope, out, sizeof out, &len));
        assert_true(bytes_equal((struct bytes){out, len}, suite->blob));
        assert_ok(envelope_parse(suite->blob, HF_KEY_BYTES, &parsed));
        assert_int_equal(parsed.suite, suite->suite);
        assert_true(id_equal(&parsed.dep, &envelope.dep));
        assert_int_equal(parsed.generation, 0x01020304);
        assert_memory_equal(parsed.iv, envelope.iv, sizeof parsed.iv);
        assert_memory_equal(parsed.check, envelope.check, sizeof parsed.check);
        assert_true(bytes_equal(parsed.sealed, envelope.sealed));
    }
}

/* What the cipher binds: of suite 1 the context alone, as it always was; of
 * suite 2 the context of that suite and the check. */
static void test_golden_bindings(void **state)
{
    (void)state;
    struct key_binding binding;
    struct context context = golden_context_facts();
    struct envelope envelope = golden_facts(&suites[0]);
    key_binding_of(&context, &envelope, &binding);
    assert_true(
        bytes_equal(key_binding_view(&binding), BYTES_OF(golden_context)));
    envelope = golden_facts(&suites[1]);
    key_binding_of(&context, &envelope, &binding);
    assert_int_equal(binding.len, 93);
    assert_memory_equal(binding.bytes, golden_context, 4);
    assert_int_equal(binding.bytes[4], 2);
    assert_memory_equal(binding.bytes + 5, golden_context + 5, 72);
    assert_memory_equal(binding.bytes + 77, golden_checked + 37, 16);
}

static void test_golden_context(void **state)
{
    (void)state;
    uint8_t out[CONTEXT_BYTES];
    struct context context = golden_context_facts();
    context_encode(&context, ENVELOPE_SUITE_AES256_GCM, out);
    assert_memory_equal(out, golden_context, sizeof out);
    context.purpose = PURPOSE_COMMITMENT;
    context_encode(&context, ENVELOPE_SUITE_AES256_GCM, out);
    assert_int_equal(out[44], 1);
    context.workload = (enum workload)0xabcd; /* two bytes, big endian */
    context_encode(&context, ENVELOPE_SUITE_AES256_GCM, out);
    assert_int_equal(out[41], 0xab);
    assert_int_equal(out[42], 0xcd);
}

/* whatever differs makes another context. */
static void test_context_binds_everything(void **state)
{
    (void)state;
    uint8_t out[CONTEXT_BYTES];
    for (size_t i = 0; i < sizeof(struct context); i++) {
        struct context context = golden_context_facts();
        uint8_t raw[sizeof context];
        memcpy(raw, &context, sizeof raw);
        raw[i] ^= 0x01;
        memcpy(&context, raw, sizeof raw);
        context_encode(&context, ENVELOPE_SUITE_AES256_GCM, out);
        /* enums are stored in 1 or 2 of their 4 bytes (little endian here):
         * the flips above those are numbers that no enum has */
        bool above = (i >= offsetof(struct context, workload) + 2 &&
                      i < offsetof(struct context, resource_type)) ||
                     (i > offsetof(struct context, resource_type) &&
                      i < offsetof(struct context, purpose)) ||
                     (i > offsetof(struct context, purpose) &&
                      i < offsetof(struct context, resource_hash));
        assert_int_equal(memcmp(out, golden_context, sizeof out) == 0, above);
    }
}

/* N16: every truncation, and 1 to 64 bytes behind. */
static void test_other_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        const struct bytes blob = suites[i].blob;
        uint8_t longer[ENVELOPE_KEY_BYTES + 64] = {0};
        struct envelope parsed;
        memcpy(longer, blob.data, blob.len);
        for (size_t len = 0; len <= blob.len + 64; len++) {
            assert_status(parse_copy(longer, len, HF_KEY_BYTES, &parsed),
                          len == blob.len ? HF_OK : HF_E_BAD_BLOB);
        }
    }
}

/* The length of the key is the caller's to say, never the blob's. */
static void test_other_key_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        0, 1, 16, 31, 33, 48, 85, 64, SIZE_MAX - 68, SIZE_MAX - 52, SIZE_MAX};
    struct envelope parsed;
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        const struct bytes blob = suites[i].blob;
        size_t head = suites[i].head;
        for (size_t j = 0; j < HF_COUNT(lengths); j++) {
            assert_status(parse_copy(blob.data, blob.len, lengths[j], &parsed),
                          HF_E_BAD_BLOB);
        }
        assert_ok(parse_copy(blob.data, head + HF_GCM_TAG_BYTES, 0, &parsed));
        assert_ok(parse_copy(blob.data, head + 17, 1, &parsed));
    }
}

/* N15, N17: magic and suite are refused; selectors, iv and check are read as
 * they stand, and so never as what they were. */
static void test_every_bit_of_the_head(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        const struct bytes golden_blob = suites[i].blob;
        struct envelope before;
        assert_ok(parse_copy(golden_blob.data, golden_blob.len, HF_KEY_BYTES,
                             &before));
        for (size_t bit = 0; bit < 8 * suites[i].head; bit++) {
            uint8_t blob[ENVELOPE_KEY_BYTES];
            struct envelope parsed;
            memcpy(blob, golden_blob.data, golden_blob.len);
            blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum hf_status status =
                parse_copy(blob, golden_blob.len, HF_KEY_BYTES, &parsed);
            if (bit / 8 < 5) {
                assert_status(status, HF_E_BAD_BLOB);
                continue;
            }
            assert_ok(status);
            bool same =
                id_equal(&parsed.dep, &before.dep) &&
                parsed.generation == before.generation &&
                memcmp(parsed.iv, before.iv, sizeof parsed.iv) == 0 &&
                memcmp(parsed.check, before.check, sizeof parsed.check) == 0;
            assert_false(same);
        }
    }
}

static void test_every_other_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        for (int suite = 0; suite < 256; suite++) {
            uint8_t blob[ENVELOPE_KEY_BYTES];
            struct envelope parsed;
            memcpy(blob, suites[i].blob.data, suites[i].blob.len);
            blob[4] = (uint8_t)suite;
            assert_status(
                parse_copy(blob, suites[i].blob.len, HF_KEY_BYTES, &parsed),
                suite == suites[i].suite ? HF_OK : HF_E_BAD_BLOB);
        }
    }
    uint8_t out[ENVELOPE_KEY_BYTES];
    size_t len = 0;
    struct envelope unknown = golden_facts(&suites[1]);
    unknown.suite = 3;
    assert_status(envelope_encode(&unknown, out, sizeof out, &len),
                  HF_E_INVALID);
}

static void test_refused_leaves_out_alone(void **state)
{
    (void)state;
    struct envelope out = golden_facts(&suites[0]);
    const struct envelope before = out;
    assert_status(envelope_parse(BYTES_NONE, HF_KEY_BYTES, &out),
                  HF_E_BAD_BLOB);
    assert_status(envelope_parse(BYTES_OF(golden_context), 24, &out),
                  HF_E_BAD_BLOB); /* the right length, another thing */
    assert_memory_equal(&out, &before, sizeof out);
}

/* What does not fit is not begun. */
static void check_encode_limits(const struct golden_suite *suite, uint8_t *out)
{
    static const uint8_t sealed[HF_SEALED_MAX_BYTES + 1];
    size_t longest = suite->head + HF_SEALED_MAX_BYTES;
    struct envelope envelope = golden_facts(suite);
    size_t len = 7;
    for (size_t cap = 0; cap < suite->blob.len; cap++) {
        memset(out, 0x5a, ENVELOPE_MAX_BYTES + 1);
        assert_status(envelope_encode(&envelope, out, cap, &len), HF_E_INVALID);
        assert_int_equal(len, 7);
        assert_int_equal(out[0], 0x5a);
    }
    assert_ok(envelope_encode(&envelope, out, suite->blob.len + 1, &len));
    assert_int_equal(len, suite->blob.len);
    assert_int_equal(out[suite->blob.len], 0x5a);
    envelope.sealed = (struct bytes){sealed, HF_SEALED_MAX_BYTES};
    assert_ok(envelope_encode(&envelope, out, longest, &len));
    assert_int_equal(len, longest);
    envelope.sealed.len++;
    assert_status(envelope_encode(&envelope, out, longest + 1, &len),
                  HF_E_INVALID);
    envelope.sealed = (struct bytes){sealed, SIZE_MAX}; /* no overflow */
    assert_status(envelope_encode(&envelope, out, longest, &len), HF_E_INVALID);
    envelope.sealed = BYTES_NONE;
    assert_ok(envelope_encode(&envelope, out, suite->head, &len));
    assert_int_equal(len, suite->head);
}

static void test_encode_limits(void **state)
{
    (void)state;
    uint8_t *out = malloc(ENVELOPE_MAX_BYTES + 1);
    assert_non_null(out);
    for (size_t i = 0; i < HF_COUNT(suites); i++) {
        check_encode_limits(&suites[i], out);
    }
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_envelopes),
        cmocka_unit_test(test_golden_bindings),
        cmocka_unit_test(test_golden_context),
        cmocka_unit_test(test_context_binds_everything),
        cmocka_unit_test(test_other_lengths),
        cmocka_unit_test(test_other_key_lengths),
        cmocka_unit_test(test_every_bit_of_the_head),
        cmocka_unit_test(test_every_other_suite),
        cmocka_unit_test(test_refused_leaves_out_alone),
        cmocka_unit_test(test_encode_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
