#include "client/lib/client.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/ids.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"
#include "hsm/sys/secret.h"

#include "client/lib/error.h"
#include "client/lib/message.h"
#include "client/lib/retry.h"
#include "client/lib/transport.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_HEAP_BYTES (128u << 10)
#define METHOD_MAX_BYTES  160

static pthread_once_t heap_once = PTHREAD_ONCE_INIT;
static enum hf_status heap_status = HF_E_RESOURCES;

static void heap_start(void)
{
    heap_status = secret_heap_start(SECRET_HEAP_BYTES);
}

static bool heap_ready(void)
{
    return pthread_once(&heap_once, heap_start) == 0 && heap_status == HF_OK;
}

/* --- secrets: struct hf_secret is struct secret, seen from outside -------- */

enum hf_code hf_secret_new(const void *bytes, size_t len,
                           struct hf_secret **out_secret)
{
    struct secret *secret = NULL;
    if (!heap_ready()) {
        return HF_CODE_RESOURCE_EXHAUSTED;
    }
    enum hf_status status = secret_new(len, &secret);
    if (status != HF_OK) {
        return status == HF_E_INVALID ? HF_CODE_INVALID_ARGUMENT
                                      : HF_CODE_RESOURCE_EXHAUSTED;
    }
    struct byte_writer writer = byte_writer_on(secret_writable(secret), len);
    put_raw(&writer, bytes, len);
    *out_secret = (struct hf_secret *)secret;
    return HF_CODE_OK;
}

const uint8_t *hf_secret_bytes(const struct hf_secret *secret)
{
    return secret_bytes((const struct secret *)secret);
}

size_t hf_secret_len(const struct hf_secret *secret)
{
    return secret_len((const struct secret *)secret);
}

void hf_secret_free(struct hf_secret *secret)
{
    secret_free((struct secret *)secret);
}

enum hf_code hf_request_id(char out_text[HF_REQUEST_ID_TEXT])
{
    _Static_assert(HF_REQUEST_ID_TEXT == HF_ID_TEXT, "a UUID");
    struct hf_id id;
    if (rng_id(rng_system(), &id) != HF_OK) {
        return HF_CODE_INTERNAL;
    }
    id_format(&id, out_text);
    return HF_CODE_OK;
}

/* --- the client ------------------------------------------------------------
 */

enum hf_code hf_client_open(const struct hf_settings *settings,
                            struct hf_client **out_client,
                            struct hf_error *error)
{
    if (settings->target == NULL || settings->target[0] == '\0') {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "no target (host:port) is named");
    }
    if (settings->deadline_ms < 0 ||
        settings->deadline_ms > CLIENT_DEADLINE_MAX_MS) {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "the deadline is out of range (1 ms to 24 hours)");
    }
    if (!heap_ready()) {
        return error_set(error, HF_CODE_RESOURCE_EXHAUSTED, "CLIENT_RESOURCES",
                         "memory for keys cannot be locked; raise "
                         "RLIMIT_MEMLOCK (ulimit -l)");
    }
    struct hf_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return error_set(error, HF_CODE_RESOURCE_EXHAUSTED, "CLIENT_RESOURCES",
                         "out of memory");
    }
    client->deadline_ms = settings->deadline_ms > 0
                              ? settings->deadline_ms
                              : CLIENT_DEADLINE_DEFAULT_MS;
    enum hf_code code = transport_open(settings, &client->transport, error);
    if (code != HF_CODE_OK) {
        hf_client_close(client);
        return code;
    }
    *out_client = client;
    return HF_CODE_OK;
}

void hf_client_close(struct hf_client *client)
{
    if (client != NULL) {
        transport_close(client->transport);
        free(client);
    }
}

/* --- calls, repeated --------------------------------------------------------
 */

/* random_word: spreads pauses. Without randomness the pause is only less well
 * spread, so that is no reason to fail a call. */
static uint32_t random_word(void)
{
    uint32_t word = UINT32_MAX / 2;
    HF_IGNORE(rng_fill(rng_system(), &word, sizeof word),
              "a fixed pause is as correct");
    return word;
}

/* again: after an attempt that failed: the pause is made, and what is left is
 * the next one's deadline. */
static bool again(struct hf_client *client, unsigned attempts, int64_t end_ms,
                  struct hf_error *error)
{
    const struct clock *clock = clock_system();
    int64_t wait_ms = 0;
    const struct retry_facts facts = {
        .code = error->code,
        .retry_delay_ms = error->retry_delay_ms,
        .attempts = attempts,
        .left_ms = end_ms - clock_monotonic_ms(clock),
        .random = random_word(),
    };
    error->attempts = attempts;
    if (!retry_next(&facts, &wait_ms)) {
        return false;
    }
    transport_pause(client->transport, wait_ms);
    /* not if it slept longer than asked for */
    return end_ms > clock_monotonic_ms(clock);
}

/* run: attempts until one succeeds, is not worth repeating, or time is up.
 * error is never NULL here. */
static enum hf_code run(struct hf_client *client, struct attempt *attempt,
                        uint8_t **out_response, size_t *out_len,
                        struct hf_error *error)
{
    const struct clock *clock = clock_system();
    int64_t end_ms = clock_monotonic_ms(clock) + attempt->deadline_ms;
    for (unsigned attempts = 1;; attempts++) {
        enum hf_code code = transport_attempt(client->transport, attempt,
                                              out_response, out_len, error);
        if (code == HF_CODE_OK || !again(client, attempts, end_ms, error)) {
            return code;
        }
        attempt->deadline_ms = end_ms - clock_monotonic_ms(clock);
        if (attempt->deadline_ms <= 0) {
            return code;
        }
    }
}

static enum hf_code unpack(const struct hf_unary *unary, const uint8_t *data,
                           size_t len, ProtobufCMessage **out_response,
                           struct hf_error *error)
{
    if (message_unpack(unary->response, data, len, out_response) != HF_OK) {
        return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESPONSE",
                         "the answer of the service cannot be read");
    }
    return HF_CODE_OK;
}

/* A call's path and its request's bytes. */
struct packed {
    char path[METHOD_MAX_BYTES];
    uint8_t *request; /* for wiped_free */
    size_t len;
};

static void packed_clear(struct packed *packed)
{
    wiped_free(packed->request);
}

static enum hf_code pack(const struct hf_unary *unary, struct packed *out,
                         struct hf_error *error)
{
    int written = snprintf(out->path, sizeof out->path, "/%s", unary->method);
    CHECK(written > 0 && (size_t)written < sizeof out->path);
    if (message_pack(unary->request, &out->request, &out->len) != HF_OK) {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "the request is larger than 4 MiB");
    }
    return HF_CODE_OK;
}

static enum hf_code call_with(struct hf_client *client,
                              const struct hf_unary *unary,
                              ProtobufCMessage **out_response,
                              struct hf_error *error)
{
    HF_OWNED(packed_clear) struct packed packed = {.request = NULL};
    enum hf_code code = pack(unary, &packed, error);
    if (code != HF_CODE_OK) {
        return code;
    }
    struct attempt attempt = {
        .path = packed.path,
        .request = {packed.request, packed.len},
        .deadline_ms =
            unary->deadline_ms > 0 ? unary->deadline_ms : client->deadline_ms,
    };
    HF_OWNED(wiped_freep) uint8_t *response = NULL;
    size_t response_len = 0;
    code = run(client, &attempt, &response, &response_len, error);
    if (code != HF_CODE_OK) {
        return code;
    }
    return unpack(unary, response, response_len, out_response, error);
}

enum hf_code hf_call(struct hf_client *client, const struct hf_unary *unary,
                     ProtobufCMessage **out_response, struct hf_error *error)
{
    struct hf_error unwanted = {0};
    enum hf_code code = call_with(client, unary, out_response,
                                  error != NULL ? error : &unwanted);
    if (code == HF_CODE_OK && error != NULL) {
        hf_error_free(error); /* of an attempt that was repeated */
    }
    hf_error_free(&unwanted);
    return code;
}

/* --- streams ---------------------------------------------------------------
 */

struct unpacking {
    const struct hf_unary *call;
    hf_message_fn *each;
    void *context;
    bool any; /* a message came: nothing is repeated by itself any more */
    bool unreadable;
};

static bool unpack_one(void *context, const uint8_t *data, size_t len)
{
    struct unpacking *to = context;
    ProtobufCMessage *message = NULL;
    to->any = true;
    if (message_unpack(to->call->response, data, len, &message) != HF_OK) {
        to->unreadable = true;
        return false;
    }
    bool more = to->each(to->context, message);
    hf_message_free(message);
    return more;
}

static enum hf_code run_stream(struct hf_client *client,
                               const struct attempt *attempt,
                               struct unpacking *to, struct hf_error *error)
{
    const struct transport_sink sink = {unpack_one, to};
    int64_t end_ms = clock_monotonic_ms(clock_system()) + client->deadline_ms;
    for (unsigned attempts = 1;; attempts++) {
        enum hf_code code =
            transport_stream(client->transport, attempt, &sink, error);
        if (to->unreadable) {
            return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESPONSE",
                             "the answer of the service cannot be read");
        }
        if (code == HF_CODE_OK || to->any ||
            !again(client, attempts, end_ms, error)) {
            return code;
        }
    }
}

enum hf_code hf_stream(struct hf_client *client, const struct hf_unary *call,
                       hf_message_fn *each, void *context,
                       struct hf_error *error)
{
    HF_OWNED(packed_clear) struct packed packed = {.request = NULL};
    HF_OWNED(hf_error_free) struct hf_error unwanted = {0};
    struct hf_error *to = error != NULL ? error : &unwanted;
    struct unpacking unpacking = {
        .call = call, .each = each, .context = context};
    enum hf_code code = pack(call, &packed, to);
    if (code != HF_CODE_OK) {
        return code;
    }
    const struct attempt attempt = {
        .path = packed.path,
        .request = {packed.request, packed.len},
        .deadline_ms = call->deadline_ms > 0 ? call->deadline_ms : INT64_MAX,
    };
    code = run_stream(client, &attempt, &unpacking, to);
    if (code == HF_CODE_OK && error != NULL) {
        hf_error_free(error); /* of an attempt that was repeated */
    }
    return code;
}
