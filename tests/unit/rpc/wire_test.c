/* Well-formedness, against a second opinion: code points for UTF-8, protobuf-c
 * for messages. */
#include "server/rpc/arena.h"
#include "server/rpc/wire.h"
#include "server/service/problem.h"

#include "tests/support/unit.h"

#include <holdfast/v1/customer_key_service.pb-c.h>
#include <holdfast/v1/dep_service.pb-c.h>
#include <holdfast/v1/key_service.pb-c.h>
#include <string.h>

/* RFC 3629 by decoding: the length, or 0. */
static size_t decode(const uint8_t *p, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80           ? 1
                 : (p[0] >> 5) == 0x6  ? 2
                 : (p[0] >> 4) == 0xe  ? 3
                 : (p[0] >> 3) == 0x1e ? 4
                                       : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    uint32_t value = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (p[i] & 0x3f);
    }
    if (value < least[len] || value > 0x10ffff ||
        (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *out = value;
    return len;
}

static bool reference(const uint8_t *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        uint32_t value = 0;
        size_t step = decode(p + at, len - at, &value);
        if (step == 0 || value == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

static void test_utf8_every_three_bytes(void **state)
{
    (void)state;
    size_t good = 0;
    for (uint32_t n = 0; n < 1u << 24; n++) {
        const uint8_t text[] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                (uint8_t)n};
        bool is = wire_is_utf8((struct bytes){text, 3});
        if (is != reference(text, 3)) {
            fail_msg("%06x", n);
        }
        good += is ? 1 : 0;
    }
    assert_true(good > 100000);
}

static void test_utf8_four_bytes(void **state)
{
    (void)state;
    static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0x8f,
                                    0x90, 0xbf, 0xc0, 0xff};
    for (uint32_t n = 0; n < 1u << 16; n++) {
        for (size_t i = 0; i < 64; i++) {
            const uint8_t text[] = {(uint8_t)(n >> 8), (uint8_t)n, tails[i / 8],
                                    tails[i % 8]};
            for (size_t len = 0; len <= 4; len++) {
                assert_int_equal(wire_is_utf8((struct bytes){text, len}),
                                 reference(text, len));
            }
        }
    }
}

static uint64_t random_state = 88172645463325252u;
static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

/* A message of each shape: nested, repeated, packed, enums, bytes. */
static size_t sample(const ProtobufCMessage *message, uint8_t out[512])
{
    size_t len = protobuf_c_message_get_packed_size(message);
    assert_true(len < 512);
    return protobuf_c_message_pack(message, out);
}

struct shape {
    const ProtobufCMessageDescriptor *type;
    uint8_t bytes[512];
    size_t len;
};

static void make_shapes(struct shape shapes[3])
{
    char box[] = "tenants/acme/mailboxes/alice";
    char id[] = "11111111-2222-4333-8444-555555555555";
    uint8_t blob[85] = {1};
    Holdfast__V1__AccessContext access = HOLDFAST__V1__ACCESS_CONTEXT__INIT;
    access.initiator = HOLDFAST__V1__INITIATOR__INITIATOR_SYSTEM;
    access.request_id = id;
    Holdfast__V1__UnwrapKeyRequest unwrap =
        HOLDFAST__V1__UNWRAP_KEY_REQUEST__INIT;
    unwrap.resource = box;
    unwrap.wrapped_key = (ProtobufCBinaryData){sizeof blob, blob};
    unwrap.access = &access;
    Holdfast__V1__Permission permissions[] = {
        HOLDFAST__V1__PERMISSION__PERMISSION_GET,
        HOLDFAST__V1__PERMISSION__PERMISSION_WRAP};
    Holdfast__V1__GrantCustomerKeyRequest grant =
        HOLDFAST__V1__GRANT_CUSTOMER_KEY_REQUEST__INIT;
    grant.name = box;
    grant.permissions = permissions;
    grant.n_permissions = 2;
    Google__Protobuf__Duration lease = GOOGLE__PROTOBUF__DURATION__INIT;
    lease.seconds = -5;
    char *keys[] = {box, id};
    Holdfast__V1__CreateDepRequest create =
        HOLDFAST__V1__CREATE_DEP_REQUEST__INIT;
    create.parent = box;
    create.customer_keys = keys;
    create.n_customer_keys = 2;
    create.key_lease = &lease;
    create.disabled = 1;
    const ProtobufCMessage *messages[] = {&unwrap.base, &grant.base,
                                          &create.base};
    for (size_t i = 0; i < 3; i++) {
        shapes[i].type = messages[i]->descriptor;
        shapes[i].len = sample(messages[i], shapes[i].bytes);
    }
}

static bool unpacks(const struct shape *shape, const uint8_t *bytes, size_t len)
{
    static struct rpc_arena arena;
    rpc_arena_init(&arena, (size_t)1 << 20);
    bool ok = protobuf_c_message_unpack(shape->type, &arena.allocator, len,
                                        bytes) != NULL;
    rpc_arena_reset(&arena, 0);
    return ok;
}

/* What passes can be unpacked; what was well-formed passes. */
static void test_agrees_with_protobuf_c(void **state)
{
    (void)state;
    struct shape shapes[3];
    make_shapes(shapes);
    size_t passed = 0;
    for (size_t n = 0; n < 300000; n++) {
        const struct shape *shape = &shapes[n % 3];
        uint8_t bytes[600];
        memcpy(bytes, shape->bytes, shape->len);
        size_t len = shape->len;
        struct problem problem = {.reason = REASON_NONE};
        uint32_t changes = random_below(4);
        for (uint32_t i = 0; i < changes; i++) {
            bytes[random_below((uint32_t)len)] = (uint8_t)random_below(256);
        }
        if (random_below(4) == 0) {
            len = random_below((uint32_t)len);
        }
        bool fine = wire_check(shape->type, (struct bytes){bytes, len},
                               &problem) == HF_OK;
        passed += fine ? 1 : 0;
        if (fine) {
            assert_true(unpacks(shape, bytes, len));
        } else {
            assert_int_equal(problem.reason, REASON_FIELD_INVALID);
            assert_true(changes > 0 || len < shape->len);
        }
    }
    assert_true(passed > 30000);
}

static void test_unknown_fields_are_not_entered(void **state)
{
    (void)state;
    uint8_t bytes[200];
    size_t len = 0;
    for (size_t i = 0; i < 50; i++) {
        bytes[len++] = 0x7a; /* field 15 */
        bytes[len] = (uint8_t)(98 - 2 * i);
        len++;
    }
    struct problem problem = {.reason = REASON_NONE};
    assert_ok(wire_check(&holdfast__v1__unwrap_key_request__descriptor,
                         (struct bytes){bytes, len}, &problem));
}

static void test_next_takes_no_more_than_there_is(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2000000; n++) {
        uint8_t bytes[16];
        size_t len = 1 + random_below(sizeof bytes);
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)random_below(n % 2 == 0 ? 256 : 32);
        }
        struct bytes rest = {bytes, len};
        struct wire_field field;
        while (rest.len > 0 && wire_next(&rest, &field) == HF_OK) {
            assert_true(field.number > 0);
            assert_true(rest.data >= bytes && rest.len <= len &&
                        rest.data + rest.len == bytes + len);
            assert_true(field.type != 2 || field.bytes.len <= len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_every_three_bytes),
        cmocka_unit_test(test_utf8_four_bytes),
        cmocka_unit_test(test_agrees_with_protobuf_c),
        cmocka_unit_test(test_unknown_fields_are_not_entered),
        cmocka_unit_test(test_next_takes_no_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
