/* RFC 7512 names: what is accepted, what is refused, and that what is written
 * is read back the same. */
#include "hsm/base/check.h"
#include "hsm/base/pkcs11_uri.h"

#include "tests/support/unit.h"

#include <string.h>

static enum hf_status parse(const char *text, struct pkcs11_uri *out)
{
    const char *why = NULL;
    enum hf_status status = pkcs11_uri_parse(text, out, &why);
    assert_int_equal(status == HF_OK, why == NULL);
    return status;
}

static void every_attribute_is_read(void **state)
{
    (void)state;
    struct pkcs11_uri uri;
    assert_ok(parse("PKCS11:type=private;object=My%20key%3b%c3%a9;"
                    "id=%00%01%fFa;token=A%2fB;serial=0a1b;model=m;"
                    "manufacturer=Acme%20(HK)&Co",
                    &uri));
    assert_string_equal(uri.token, "A/B");
    assert_string_equal(uri.serial, "0a1b");
    assert_string_equal(uri.model, "m");
    assert_string_equal(uri.manufacturer, "Acme (HK)&Co");
    assert_string_equal(uri.object, "My key;\xc3\xa9");
    static const uint8_t id[] = {0, 1, 0xff, 'a'};
    assert_int_equal(uri.id_len, sizeof id);
    assert_memory_equal(uri.id, id, sizeof id);
    assert_int_equal(uri.type, PKCS11_URI_PRIVATE);

    assert_ok(parse("pkcs11:", &uri));
    assert_string_equal(uri.token, "");
    assert_int_equal(uri.id_len, 0);
    assert_int_equal(uri.type, PKCS11_URI_NO_TYPE);
}

static void what_names_nothing_lasting_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "pkcs11",
        "pkcs12:token=a",
        " pkcs11:token=a",
        "token=a",
        /* PINs, modules, slots: wherever they stand */
        "pkcs11:token=a?pin-value=1234",
        "pkcs11:token=a?pin-source=file:/pin",
        "pkcs11:token=a?module-path=/m.so",
        "pkcs11:token=a?",
        "pkcs11:token=a;pin-value=1234",
        "pkcs11:pin-source=file;token=a",
        "pkcs11:slot-id=3;token=a",
        "pkcs11:token=a;slot-description=x",
        "pkcs11:token=a;slot-manufacturer=x",
        "pkcs11:token=a;library-version=3",
        "pkcs11:token=a;x-vendor=1",
        "pkcs11:Token=a",
        /* twice */
        "pkcs11:token=a;token=a",
        "pkcs11:id=%01;token=a;id=%01",
        "pkcs11:type=private;type=private",
        /* form */
        "pkcs11:token",
        "pkcs11:token=",
        "pkcs11:id=",
        "pkcs11:type=",
        "pkcs11:token=a;",
        "pkcs11:;token=a",
        "pkcs11:token=a;;serial=b",
        "pkcs11:token=a b",
        "pkcs11:token=a/b",
        "pkcs11:token=a#b",
        "pkcs11:token=a\"b",
        "pkcs11:token=a\xc3\xa9",
        "pkcs11:token=%",
        "pkcs11:token=%4",
        "pkcs11:token=%4g",
        "pkcs11:token=%g4",
        "pkcs11:type=key",
        "pkcs11:type=Private",
        "pkcs11:type=privat%65",
        /* what must not be in a label */
        "pkcs11:token=a%00",
        "pkcs11:token=a%0ab",
        "pkcs11:token=a%7f",
        "pkcs11:token=%c2%80",
        "pkcs11:token=%ff",
        "pkcs11:object=%c0%af",
        "pkcs11:object=%ed%a0%80",
        "pkcs11:object=%f4%90%80%80",
        "pkcs11:object=%e2%82",
        /* one byte longer than PKCS#11 has it */
        "pkcs11:token=123456789012345678901234567890123",
        "pkcs11:serial=12345678901234567",
        "pkcs11:id=123456789012345678901234567890123",
    };
    for (size_t i = 0; i < HF_COUNT(refused); i++) {
        struct pkcs11_uri uri = {.serial = "untouched"};
        if (parse(refused[i], &uri) != HF_E_INVALID) {
            fail_msg("accepted: %s", refused[i]);
        }
        assert_string_equal(uri.serial, "untouched");
    }
}

static void too_long_is_refused(void **state)
{
    (void)state;
    char text[HF_URI_MAX_BYTES + 2];
    struct pkcs11_uri uri;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "pkcs11:token=", strlen("pkcs11:token="));
    text[sizeof text - 1] = '\0';
    assert_status(parse(text, &uri), HF_E_INVALID);
}

/* A refusal may be logged: it must not repeat what it refuses. */
static void a_refusal_repeats_nothing(void **state)
{
    (void)state;
    struct pkcs11_uri uri;
    const char *why = NULL;
    assert_status(
        pkcs11_uri_parse("pkcs11:token=a?pin-value=98765", &uri, &why),
        HF_E_INVALID);
    assert_null(strstr(why, "98765"));
    assert_status(pkcs11_uri_parse("pkcs11:token=a;98765=x", &uri, &why),
                  HF_E_INVALID);
    assert_null(strstr(why, "98765"));
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct pkcs11_uri uri = {
        .token = "A/B ;\xc3\xa9%",
        .manufacturer = "M&Co",
        .serial = "0a-1b",
        .model = "x~y",
        .id = {0, '?', 'a', 0xff},
        .id_len = 4,
        .object = "a=b",
        .type = PKCS11_URI_SECRET_KEY
    };
    struct pkcs11_uri again;
    char text[HF_URI_MAX_BYTES + 1];
    assert_ok(pkcs11_uri_format(&uri, text, sizeof text));
    assert_string_equal(text,
                        "pkcs11:token=A%2fB%20%3b%c3%a9%25;manufacturer=M%26Co;"
                        "serial=0a-1b;model=x~y;id=%00%3f%61%ff;object=a%3db;"
                        "type=secret-key");
    assert_ok(parse(text, &again));
    assert_memory_equal(&uri, &again, sizeof uri);

    /* it fits exactly, or not at all */
    size_t len = strlen(text);
    assert_ok(pkcs11_uri_format(&uri, text, len + 1));
    assert_status(pkcs11_uri_format(&uri, text, len), HF_E_INVALID);
    uri.object[0] = '\n';
    assert_status(pkcs11_uri_format(&uri, text, sizeof text), HF_E_INVALID);
}

static void every_id_byte_comes_back(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct pkcs11_uri uri = {.id = {(uint8_t)byte}, .id_len = 1};
        struct pkcs11_uri again;
        char text[HF_URI_MAX_BYTES + 1];
        assert_ok(pkcs11_uri_format(&uri, text, sizeof text));
        assert_ok(parse(text, &again));
        assert_int_equal(again.id_len, 1);
        assert_int_equal(again.id[0], byte);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attribute_is_read),
        cmocka_unit_test(what_names_nothing_lasting_is_refused),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(a_refusal_repeats_nothing),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_id_byte_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
