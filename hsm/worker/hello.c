#include "hsm/worker/hello.h"

#include "hsm/base/check.h"

#include "hsm/worker/fields.h"
#include "hsm/worker/frame.h"

#include <string.h>

/* The flags of a profile, in the order they go over. */
#define PROFILE_FLAGS(X)                                                       \
    X(login_required)                                                          \
    X(pin_count_low)                                                           \
    X(pin_final_try)                                                           \
    X(pin_locked)                                                              \
    X(oaep_sha256)                                                             \
    X(oaep_sha1)                                                               \
    X(unwrap_to_object)                                                        \
    X(aes_kwp)                                                                 \
    X(aes_gcm)                                                                 \
    X(hmac_sha256)                                                             \
    X(ecdsa_p256)                                                              \
    X(unwrap_template_honoured)                                                \
    X(destroyable_honoured)                                                    \
    X(hardware)

static void put_profile(struct byte_writer *writer,
                        const struct token_profile *profile)
{
    put_text(writer, profile->label);
    put_text(writer, profile->serial);
    put_text(writer, profile->manufacturer);
    put_text(writer, profile->model);
#define X(field) put_flag(writer, profile->field);
    PROFILE_FLAGS(X)
#undef X
    put_u64(writer, profile->free_private_bytes);
    put_u64(writer, profile->total_private_bytes);
}

static void get_profile(struct byte_reader *reader,
                        struct token_profile *profile)
{
    get_text(reader, profile->label, sizeof profile->label);
    get_text(reader, profile->serial, sizeof profile->serial);
    get_text(reader, profile->manufacturer, sizeof profile->manufacturer);
    get_text(reader, profile->model, sizeof profile->model);
#define X(field) profile->field = get_flag(reader);
    PROFILE_FLAGS(X)
#undef X
    profile->free_private_bytes = get_u64(reader);
    profile->total_private_bytes = get_u64(reader);
}

size_t hello_encode(const struct worker_hello *hello, uint8_t *buffer)
{
    struct frame_writer writer = frame_begin(buffer, FRAME_HELLO);
    put_u32(&writer.bytes, hello->worker);
    put_u8(&writer.bytes, (uint8_t)hello->status);
    put_text(&writer.bytes, hello->why);
    if (hello->status == HF_OK) {
        put_u32(&writer.bytes, hello->queue_max);
        put_profile(&writer.bytes, &hello->profile);
    }
    writer.count = 1;
    return frame_end(&writer);
}

HF_STATUS hello_decode(struct bytes packet, struct worker_hello *out)
{
    struct frame_reader reader;
    struct worker_hello hello = {.worker = 0};
    HF_TRY(frame_open(packet, FRAME_HELLO, &reader));
    hello.worker = get_u32(&reader.bytes);
    uint8_t status = get_u8(&reader.bytes);
    get_text(&reader.bytes, hello.why, sizeof hello.why);
    if (status >= HF_STATUS_COUNT || reader.left != 1 ||
        (status == HF_OK && hello.why[0] != '\0')) {
        return HF_E_CORRUPT;
    }
    hello.status = (enum hf_status)status;
    if (hello.status == HF_OK) {
        hello.queue_max = get_u32(&reader.bytes);
        get_profile(&reader.bytes, &hello.profile);
        /* an open token has a name (token_profile_is_known) */
        if (hello.queue_max == 0 || !token_profile_is_known(&hello.profile)) {
            return HF_E_CORRUPT;
        }
    }
    reader.left = 0;
    HF_TRY(frame_close(&reader));
    *out = hello;
    return HF_OK;
}
