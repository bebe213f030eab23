/* What a server, a file or a person may hand to the client: the trailer of a
 * rich error, a sealed message, words. The first byte says which. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/message_file.h"
#include "client/cli/values.h"
#include "client/lib/error.h"
#include "client/lib/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_trailer(const uint8_t *data, size_t size)
{
    struct hf_error error = {0};
    error_from_status(&error, HF_CODE_ABORTED, "m", data, size);
    CHECK(error.code == HF_CODE_ABORTED);
    CHECK(error.metadata_count <= ERROR_METADATA_MAX);
    CHECK(error.violation_count <= ERROR_VIOLATIONS_MAX);
    CHECK(error.check_count <= ERROR_CHECKS_MAX);
    CHECK(strlen(error.reason) <= ERROR_TEXT_MAX_BYTES);
    CHECK(error.retry_delay_ms >= -1);
    hf_error_free(&error);
}

/* Nobody has the key, so nothing opens. */
static void try_message(const uint8_t *data, size_t size)
{
    static struct hf_secret *key;
    static const uint8_t bytes[HF_RESOURCE_KEY_BYTES] = {7};
    if (key == NULL) {
        CHECK(hf_secret_new(bytes, sizeof bytes, &key) == HF_CODE_OK);
    }
    const struct message_context context = {
        .key = key, .mailbox = "tenants/t/mailboxes/m", .name = "n"};
    struct file_data plain = {0};
    CHECK(message_open(&context,
                       (struct file_data){(uint8_t *)(uintptr_t)data, size},
                       &plain) == HF_E_BAD_BLOB);
}

static void try_words(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct file_data decoded = {0};
    int64_t number = 0;
    CHECK(text != NULL);
    if (base64_decode(text, strlen(text), &decoded) == HF_OK) {
        char *again = base64_encode(decoded.bytes, decoded.len);
        CHECK(again != NULL && strlen(again) == strlen(text));
        free(again);
        file_data_clear(&decoded);
    }
    if (number_parse(text, -5, 500, &number) == HF_OK) {
        CHECK(number >= -5 && number <= 500);
    }
    HF_IGNORE(time_parse(text, &number), "only that it survives");
    size_t before = strlen(text);
    text_clean(text);
    CHECK(strlen(text) <= before);
    for (const char *at = text; *at != '\0'; at++) {
        CHECK((unsigned char)*at >= ' ' && *at != 0x7f);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        try_trailer(data + 1, size - 1);
        break;
    case 1:
        try_message(data + 1, size - 1);
        break;
    default:
        try_words(data + 1, size - 1);
        break;
    }
    return 0;
}
