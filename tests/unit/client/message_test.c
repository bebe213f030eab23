/* Memory of messages: wiped before it is given back, bounded while it grows.
 *
 * The linker lets every free of our own code pass through __wrap_free first,
 * which looks at what is about to be given back. */
#include "client/lib/holdfast.h"
#include "client/lib/message.h"

#include "holdfast/v1/key_service.pb-c.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

#define KEY "this key must not outlive its use"

/* volatile: the compiler knows what free is, and that it counts nothing */
static volatile size_t freed_with_key;
static volatile size_t freed;

size_t malloc_usable_size(void *data);
void __real_free(void *data);
void __wrap_free(void *data);

void __wrap_free(void *data)
{
    if (data != NULL) {
        freed++;
        size_t len = malloc_usable_size(data);
        if (memmem(data, len, KEY, 12) != NULL) {
            freed_with_key++;
        }
    }
    __real_free(data);
}

static Holdfast__V1__GenerateKeyResponse message_with_key(void)
{
    Holdfast__V1__GenerateKeyResponse message =
        HOLDFAST__V1__GENERATE_KEY_RESPONSE__INIT;
    message.plaintext_key.data = (uint8_t *)(uintptr_t)KEY;
    message.plaintext_key.len = sizeof KEY - 1;
    return message;
}

static void test_the_watch_sees(void **state)
{
    (void)state;
    char *copy = strdup(KEY);
    assert_string_equal(copy, KEY); /* else the compiler drops both */
    freed_with_key = 0;
    free(copy);
    assert_int_equal(freed_with_key, 1);
}

static void test_wiped(void **state)
{
    (void)state;
    Holdfast__V1__GenerateKeyResponse message = message_with_key();
    uint8_t *packed = NULL;
    size_t len = 0;
    ProtobufCMessage *again = NULL;
    assert_ok(message_pack(&message.base, &packed, &len));
    assert_non_null(memmem(packed, len, KEY, sizeof KEY - 1));
    assert_ok(message_unpack(&holdfast__v1__generate_key_response__descriptor,
                             packed, len, &again));
    const Holdfast__V1__GenerateKeyResponse *response =
        (const Holdfast__V1__GenerateKeyResponse *)again;
    assert_int_equal(response->plaintext_key.len, sizeof KEY - 1);
    assert_memory_equal(response->plaintext_key.data, KEY, sizeof KEY - 1);
    freed = 0;
    freed_with_key = 0;
    hf_message_free(again);
    wiped_free(packed);
    assert_true(freed >= 3);
    assert_int_equal(freed_with_key, 0);
}

static void test_wiped_when_it_fails_half_way(void **state)
{
    (void)state;
    Holdfast__V1__GenerateKeyResponse message = message_with_key();
    uint8_t *packed = NULL;
    size_t len = 0;
    message.dep = (char *)(uintptr_t) "behind the key";
    assert_ok(message_pack(&message.base, &packed, &len));
    freed_with_key = 0;
    for (size_t cut = 1; cut < len; cut++) {
        ProtobufCMessage *again = NULL;
        enum hf_status status =
            message_unpack(&holdfast__v1__generate_key_response__descriptor,
                           packed, cut, &again);
        if (status == HF_OK) {
            hf_message_free(again); /* cut between two fields */
        } else {
            assert_status(status, HF_E_CORRUPT);
        }
    }
    wiped_free(packed);
    assert_int_equal(freed_with_key, 0);
}

static void test_a_small_body_cannot_grow_without_end(void **state)
{
    (void)state;
    /* 4 MiB of unknown fields of one byte each: 24 times that in memory */
    static uint8_t body[MESSAGE_MAX_BYTES];
    for (size_t i = 0; i + 1 < sizeof body; i += 2) {
        body[i] = 15 << 3; /* field 15, varint */
        body[i + 1] = 0;
    }
    ProtobufCMessage *message = NULL;
    assert_status(
        message_unpack(&holdfast__v1__generate_key_response__descriptor, body,
                       sizeof body, &message),
        HF_E_CORRUPT);
    assert_null(message);
}

static void test_too_large_to_send(void **state)
{
    (void)state;
    Holdfast__V1__WrapKeyRequest message = HOLDFAST__V1__WRAP_KEY_REQUEST__INIT;
    uint8_t *packed = NULL;
    size_t len = 0;
    message.plaintext_key.len = MESSAGE_MAX_BYTES;
    message.plaintext_key.data = calloc(1, MESSAGE_MAX_BYTES);
    assert_non_null(message.plaintext_key.data);
    assert_status(message_pack(&message.base, &packed, &len), HF_E_LIMIT);
    assert_null(packed);
    free(message.plaintext_key.data);
}

static void test_null_is_nothing(void **state)
{
    (void)state;
    hf_message_free(NULL);
    wiped_free(NULL);
    assert_null(wiped_alloc(SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_watch_sees),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_wiped_when_it_fails_half_way),
        cmocka_unit_test(test_a_small_body_cannot_grow_without_end),
        cmocka_unit_test(test_too_large_to_send),
        cmocka_unit_test(test_null_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
