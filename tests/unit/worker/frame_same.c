#include "tests/unit/worker/frame_same.h"

#include "hsm/base/check.h"

#include "hsm/sys/secret.h"

#include "tests/support/unit.h"

#include <string.h>

static void same_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(bytes_equal(a, b));
}

static void same_key(const struct token_key *a, const struct token_key *b)
{
    assert_int_equal(a->type, b->type);
    same_bytes((struct bytes){a->id, a->id_len},
               (struct bytes){b->id, b->id_len});
    assert_memory_equal(a->fingerprint, b->fingerprint, HF_SHA256_BYTES);
}

static void same_object(const struct token_object *a,
                        const struct token_object *b)
{
    assert_true(a->handle == b->handle && a->generation == b->generation);
}

static void same_data(const struct token_data *a, const struct token_data *b)
{
    assert_string_equal(a->label, b->label);
    same_bytes((struct bytes){a->value, a->value_len},
               (struct bytes){b->value, b->value_len});
}

static void same_mint(const struct token_mint *a, const struct token_mint *b)
{
    assert_int_equal(a->source.suite, b->source.suite);
    if (a->source.suite != TOKEN_SUITE_NONE) {
        same_key(&a->source.key, &b->source.key);
        same_bytes(a->source.wrapped, b->source.wrapped);
        same_bytes((struct bytes){a->check_sealed, a->check_sealed_len},
                   (struct bytes){b->check_sealed, b->check_sealed_len});
    }
    assert_int_equal(a->copy_count, b->copy_count);
    for (size_t i = 0; i < a->copy_count; i++) {
        assert_int_equal(a->copies[i].suite, b->copies[i].suite);
        if (a->copies[i].suite == TOKEN_SUITE_AES_KWP) {
            same_key(&a->copies[i].key, &b->copies[i].key);
        } else {
            same_bytes(a->copies[i].spki, b->copies[i].spki);
        }
    }
    assert_memory_equal(a->check_iv, b->check_iv, HF_GCM_IV_BYTES);
    same_bytes(a->check_aad, b->check_aad);
    same_bytes(a->check_text, b->check_text);
}

/* What is asked; the results of b need not be there. */
void same_question(const struct token_request *a, const struct token_request *b)
{
    assert_int_equal(a->op, b->op);
    assert_true(a->drop_dead_ms == b->drop_dead_ms);
    assert_true(a->attempt_ms == b->attempt_ms);
    switch (a->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        same_object(&a->u.aead.key, &b->u.aead.key);
        assert_memory_equal(a->u.aead.iv, b->u.aead.iv, HF_GCM_IV_BYTES);
        same_bytes(a->u.aead.aad, b->u.aead.aad);
        same_bytes(a->u.aead.in, b->u.aead.in);
        break;
    case TOKEN_OP_MAC:
        same_key(&a->u.mac.key, &b->u.mac.key);
        same_bytes(a->u.mac.in, b->u.mac.in);
        break;
    case TOKEN_OP_FIND:
        same_key(&a->u.find.key, &b->u.find.key);
        assert_int_equal(a->u.find.tentative, b->u.find.tentative);
        break;
    case TOKEN_OP_LIST:
        assert_string_equal(a->u.list.label_prefix, b->u.list.label_prefix);
        same_bytes(
            (struct bytes){a->u.list.id_prefix, a->u.list.id_prefix_len},
            (struct bytes){b->u.list.id_prefix, b->u.list.id_prefix_len});
        assert_int_equal(a->u.list.cap, b->u.list.cap);
        break;
    case TOKEN_OP_GENERATE:
        assert_int_equal(a->u.generate.purpose, b->u.generate.purpose);
        assert_int_equal(a->u.generate.bits, b->u.generate.bits);
        assert_string_equal(a->u.generate.label, b->u.generate.label);
        same_bytes((struct bytes){a->u.generate.id, a->u.generate.id_len},
                   (struct bytes){b->u.generate.id, b->u.generate.id_len});
        break;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        assert_int_equal(a->u.unwrap.suite, b->u.unwrap.suite);
        same_key(&a->u.unwrap.key, &b->u.unwrap.key);
        same_bytes(a->u.unwrap.wrapped, b->u.unwrap.wrapped);
        break;
    case TOKEN_OP_MINT:
        same_mint(a->u.mint, b->u.mint);
        break;
    case TOKEN_OP_SIGN:
        same_key(&a->u.sign.key, &b->u.sign.key);
        assert_memory_equal(a->u.sign.digest, b->u.sign.digest,
                            HF_SHA256_BYTES);
        break;
    case TOKEN_OP_DESTROY:
        same_key(&a->u.destroy.key, &b->u.destroy.key);
        break;
    case TOKEN_OP_FORGET:
        same_object(&a->u.forget, &b->u.forget);
        break;
    case TOKEN_OP_DATA_LIST:
        assert_string_equal(a->u.data_list.label, b->u.data_list.label);
        assert_int_equal(a->u.data_list.cap, b->u.data_list.cap);
        break;
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        same_data(a->u.data, b->u.data);
        break;
    case TOKEN_OP_HEALTH:
        break;
    }
}

/* Whole, so that a field that does not go over is seen. */
static void same_report(const struct token_key_report *a,
                        const struct token_key_report *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

static void same_minted(const struct token_mint *a, const struct token_mint *b)
{
    for (size_t i = 0; i < a->copy_count; i++) {
        same_bytes(
            (struct bytes){a->copies[i].wrapped, a->copies[i].wrapped_len},
            (struct bytes){b->copies[i].wrapped, b->copies[i].wrapped_len});
    }
    same_bytes((struct bytes){a->check_sealed, a->check_sealed_len},
               (struct bytes){b->check_sealed, b->check_sealed_len});
}

void same_answer(const struct token_request *a, const struct token_request *b,
                 uint32_t worker)
{
    switch (a->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        same_bytes((struct bytes){a->u.aead.out, a->u.aead.out_len},
                   (struct bytes){b->u.aead.out, b->u.aead.out_len});
        break;
    case TOKEN_OP_MAC:
        assert_memory_equal(a->u.mac.out, b->u.mac.out, HF_SHA256_BYTES);
        break;
    case TOKEN_OP_FIND:
        same_report(a->u.find.report, b->u.find.report);
        break;
    case TOKEN_OP_GENERATE:
        same_report(a->u.generate.report, b->u.generate.report);
        break;
    case TOKEN_OP_LIST:
        assert_int_equal(a->u.list.count, b->u.list.count);
        for (size_t i = 0; i < a->u.list.count; i++) {
            same_report(&a->u.list.reports[i], &b->u.list.reports[i]);
        }
        break;
    case TOKEN_OP_UNWRAP:
        assert_true(a->u.unwrap.object.handle == b->u.unwrap.object.handle);
        assert_true((a->u.unwrap.object.generation | (uint64_t)worker << 32) ==
                    b->u.unwrap.object.generation);
        break;
    case TOKEN_OP_DECRYPT:
        assert_true(secret_equal(a->u.unwrap.secret, b->u.unwrap.secret));
        break;
    case TOKEN_OP_MINT:
        same_minted(a->u.mint, b->u.mint);
        break;
    case TOKEN_OP_SIGN:
        assert_memory_equal(a->u.sign.signature, b->u.sign.signature, 64);
        break;
    case TOKEN_OP_DATA_LIST:
        assert_int_equal(a->u.data_list.count, b->u.data_list.count);
        for (size_t i = 0; i < a->u.data_list.count; i++) {
            same_data(&a->u.data_list.items[i], &b->u.data_list.items[i]);
        }
        break;
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_FORGET:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
    case TOKEN_OP_HEALTH:
        break;
    }
}

static void set_u32(uint8_t *at, uint32_t value)
{
    struct byte_writer writer = byte_writer_on(at, 4);
    put_u32(&writer, value);
}

static uint32_t u32_at(const uint8_t *at)
{
    struct byte_reader reader = byte_reader_on((struct bytes){at, 4});
    return get_u32(&reader);
}

size_t for_each_wrong_length(const struct frame_case *made, uint8_t *bytes,
                             size_t len, void (*try)(size_t len))
{
    size_t found = 0;
    for (size_t at = 4; at + 4 <= len; at++) {
        uint32_t value = u32_at(bytes + at);
        bool is_length = false;
        for (size_t i = 0; i < made->length_count; i++) {
            is_length = is_length || (value > 1 && made->lengths[i] == value);
        }
        if (!is_length) {
            continue;
        }
        const uint32_t wrong[] = {value + 1,   value - 1,  0,
                                  value << 24, 0x7fffffff, UINT32_MAX};
        found += 1;
        for (size_t i = 0; i < HF_COUNT(wrong); i++) {
            if (wrong[i] != value) {
                set_u32(bytes + at, wrong[i]);
                try(len);
            }
        }
        set_u32(bytes + at, value);
    }
    return found;
}
