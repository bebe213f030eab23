/* Format HFM1: what is sealed opens to the same, and nothing else opens. */
#include "client/cli/message_file.h"

#include "tests/support/unit.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#define MAILBOX "tenants/t/mailboxes/m"
#define NAME    "1700000000.M1P2.host:2,S"
#define TEXT    "From: a@example.org\n\nHello.\n"

static struct hf_secret *key;
static struct hf_secret *other_key;

static int make_keys(void **state)
{
    (void)state;
    uint8_t bytes[HF_RESOURCE_KEY_BYTES];
    memset(bytes, 0x42, sizeof bytes);
    assert_int_equal(hf_secret_new(bytes, sizeof bytes, &key), HF_CODE_OK);
    bytes[31] ^= 1;
    assert_int_equal(hf_secret_new(bytes, sizeof bytes, &other_key),
                     HF_CODE_OK);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    hf_secret_free(key);
    hf_secret_free(other_key);
    return 0;
}

static struct message_context context_of(const char *mailbox, const char *name)
{
    return (struct message_context){
        .key = key, .mailbox = mailbox, .name = name};
}

static struct file_data data_of(const char *text)
{
    return (struct file_data){(uint8_t *)(uintptr_t)text, strlen(text)};
}

static struct file_data seal(const char *text)
{
    struct file_data sealed = {0};
    const struct message_context context = context_of(MAILBOX, NAME);
    assert_ok(message_seal(&context, data_of(text), &sealed));
    return sealed;
}

static void refuse(const struct message_context *context,
                   struct file_data sealed)
{
    struct file_data plain = {0};
    assert_status(message_open(context, sealed, &plain), HF_E_BAD_BLOB);
    assert_null(plain.bytes);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a", TEXT};
    for (size_t i = 0; i < 3; i++) {
        struct file_data plain = {0};
        struct file_data sealed = seal(texts[i]);
        const struct message_context context = context_of(MAILBOX, NAME);
        assert_int_equal(sealed.len, strlen(texts[i]) + MESSAGE_FILE_OVERHEAD);
        assert_ok(message_open(&context, sealed, &plain));
        assert_int_equal(plain.len, strlen(texts[i]));
        assert_string_equal((const char *)plain.bytes, texts[i]);
        file_data_clear(&plain);
        file_data_clear(&sealed);
    }
}

/* The format as its header draws it, opened with OpenSSL alone. */
static void test_the_drawing_is_the_format(void **state)
{
    (void)state;
    static const uint8_t aad[] = "HFM1\0\0\0\x15" MAILBOX "\0\0\0\x14"
                                 "1700000000.M1P2.host";
    uint8_t plain[sizeof TEXT];
    int len = 0;
    struct file_data sealed = seal(TEXT);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    assert_memory_equal(sealed.bytes, "HFM1", 4);
    assert_int_equal(EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL,
                                        hf_secret_bytes(key), sealed.bytes + 4),
                     1);
    assert_int_equal(EVP_DecryptUpdate(cipher, NULL, &len, aad, sizeof aad - 1),
                     1);
    assert_int_equal(EVP_DecryptUpdate(cipher, plain, &len, sealed.bytes + 16,
                                       sizeof TEXT - 1),
                     1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, 16,
                                         sealed.bytes + sealed.len - 16),
                     1);
    assert_int_equal(EVP_DecryptFinal_ex(cipher, plain + len, &len), 1);
    assert_memory_equal(plain, TEXT, sizeof TEXT - 1);
    EVP_CIPHER_CTX_free(cipher);
    file_data_clear(&sealed);
}

static void test_every_bit(void **state)
{
    (void)state;
    struct file_data sealed = seal(TEXT);
    const struct message_context context = context_of(MAILBOX, NAME);
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refuse(&context, sealed);
        sealed.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    file_data_clear(&sealed);
}

static void test_every_truncation(void **state)
{
    (void)state;
    struct file_data sealed = seal(TEXT);
    const struct message_context context = context_of(MAILBOX, NAME);
    for (size_t len = 0; len < sealed.len; len++) {
        /* a block of its own, so that reading past its end is seen */
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, sealed.bytes, len);
        refuse(&context, (struct file_data){copy, len});
        free(copy);
    }
    file_data_clear(&sealed);
}

static void test_trailing_bytes(void **state)
{
    (void)state;
    struct file_data sealed = seal(TEXT);
    const struct message_context context = context_of(MAILBOX, NAME);
    for (size_t more = 1; more <= 64; more++) {
        uint8_t *copy = calloc(1, sealed.len + more);
        assert_non_null(copy);
        memcpy(copy, sealed.bytes, sealed.len);
        refuse(&context, (struct file_data){copy, sealed.len + more});
        free(copy);
    }
    file_data_clear(&sealed);
}

static void test_bound_to_mailbox_name_and_key(void **state)
{
    (void)state;
    struct file_data sealed = seal(TEXT);
    struct message_context context = context_of("tenants/t/mailboxes/n", NAME);
    refuse(&context, sealed);
    context = context_of(MAILBOX, "1700000000.M1P2.hosts:2,S");
    refuse(&context, sealed);
    /* the same letters, split elsewhere between mailbox and name */
    context = context_of(MAILBOX "1", "700000000.M1P2.host");
    refuse(&context, sealed);
    context = context_of(MAILBOX, NAME);
    context.key = other_key;
    refuse(&context, sealed);
    file_data_clear(&sealed);
}

static void test_flags_are_not_bound(void **state)
{
    (void)state;
    static const char *const names[] = {"1700000000.M1P2.host",
                                        "1700000000.M1P2.host:2,",
                                        "1700000000.M1P2.host:2,RS"};
    struct file_data sealed = seal(TEXT);
    for (size_t i = 0; i < 3; i++) {
        struct file_data plain = {0};
        const struct message_context context = context_of(MAILBOX, names[i]);
        assert_ok(message_open(&context, sealed, &plain));
        file_data_clear(&plain);
    }
    file_data_clear(&sealed);
}

static void test_never_the_same_iv(void **state)
{
    (void)state;
    struct file_data first = seal(TEXT);
    struct file_data second = seal(TEXT);
    assert_memory_not_equal(first.bytes + 4, second.bytes + 4, 12);
    assert_memory_not_equal(first.bytes + 16, second.bytes + 16, 16);
    file_data_clear(&first);
    file_data_clear(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_the_drawing_is_the_format),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_trailing_bytes),
        cmocka_unit_test(test_bound_to_mailbox_name_and_key),
        cmocka_unit_test(test_flags_are_not_bound),
        cmocka_unit_test(test_never_the_same_iv),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
