/* custody_fuzz: what names tokens and says whose they are, as it comes from
 * requests, configurations and tokens: RFC 7512 URIs, a custodian's statement,
 * a token's custody label. What is accepted is written back as the same bytes
 * (statements: one text for one meaning) or the same name (URIs).
 *
 *   input = the text
 */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/custody.h"
#include "hsm/base/enrolment.h"
#include "hsm/base/pkcs11_uri.h"
#include "hsm/base/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_enrolment(struct bytes text)
{
    struct enrolment enrolment;
    uint8_t again[ENROLMENT_MAX_BYTES];
    size_t len = 0;
    if (enrolment_parse(text, &enrolment) == HF_OK) {
        CHECK(enrolment_encode(&enrolment, again, &len) == HF_OK);
        CHECK(bytes_equal((struct bytes){again, len}, text));
    }
}

static void look_at_custody(struct bytes text)
{
    struct custody custody;
    uint8_t again[CUSTODY_MAX_BYTES];
    size_t len = 0;
    if (custody_parse(text, &custody) == HF_OK) {
        CHECK(custody_encode(&custody, again, &len) == HF_OK);
        CHECK(bytes_equal((struct bytes){again, len}, text));
    }
}

/* Escapes of what need not be escaped make the written form longer or shorter
 * than the read one; the name is the same. */
static void look_at_uri(const char *text)
{
    struct pkcs11_uri uri;
    struct pkcs11_uri back;
    const char *why = NULL;
    char again[4 * HF_URI_MAX_BYTES];
    if (pkcs11_uri_parse(text, &uri, &why) != HF_OK) {
        CHECK(why != NULL);
        return;
    }
    CHECK(text_is_plain(bytes_of_text(text)) && strchr(text, '?') == NULL);
    CHECK(pkcs11_uri_format(&uri, again, sizeof again) == HF_OK);
    if (strlen(again) <= HF_URI_MAX_BYTES) {
        CHECK(pkcs11_uri_parse(again, &back, &why) == HF_OK);
        CHECK(bytes_equal((struct bytes){(const uint8_t *)&uri, sizeof uri},
                          (struct bytes){(const uint8_t *)&back, sizeof back}));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    look_at_uri(text);
    look_at_enrolment((struct bytes){(const uint8_t *)text, size});
    look_at_custody((struct bytes){(const uint8_t *)text, size});
    free(text);
    return 0;
}
