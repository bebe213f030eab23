/* envelope_fuzz: whatever a caller sends as a wrapped key, reading it is safe;
 * it is refused in one way, and what is accepted is exactly what encoding its
 * parts makes (N15 to N18).
 *
 *   input = length of the key u8 | envelope
 */
#include "hsm/base/check.h"

#include "server/domain/envelope.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_accepted(struct bytes blob, size_t key_len,
                             const struct envelope *envelope)
{
    uint8_t again[ENVELOPE_HEAD_BYTES + KEY_CHECK_BYTES + UINT8_MAX +
                  HF_GCM_TAG_BYTES];
    size_t check_len =
        envelope->suite == ENVELOPE_SUITE_CHECKED ? KEY_CHECK_BYTES : 0;
    size_t len = 0;
    CHECK(envelope->sealed.data == blob.data + ENVELOPE_HEAD_BYTES + check_len);
    CHECK(envelope->sealed.len == key_len + HF_GCM_TAG_BYTES);
    enum hf_status status =
        envelope_encode(envelope, again, sizeof again, &len);
    if (envelope->sealed.len > HF_SEALED_MAX_BYTES) {
        CHECK(status == HF_E_INVALID); /* longer than any we make */
        return;
    }
    CHECK(status == HF_OK);
    CHECK(bytes_equal((struct bytes){again, len}, blob));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t key_len = data[0];
    struct bytes blob = {data + 1, size - 1};
    struct envelope envelope;
    struct envelope before;
    memset(&envelope, 0xa5, sizeof envelope);
    before = envelope;
    enum hf_status status = envelope_parse(blob, key_len, &envelope);
    if (status == HF_OK) {
        look_at_accepted(blob, key_len, &envelope);
        return 0;
    }
    CHECK(status == HF_E_BAD_BLOB);
    CHECK(memcmp(&before, &envelope, sizeof envelope) == 0);
    return 0;
}
