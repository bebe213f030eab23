#include "client/lib/transport.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "client/lib/error.h"
#include "client/lib/message.h"
#include "client/lib/pem_file.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DETAILS_KEY              "grpc-status-details-bin"
#define RECONNECT_BACKOFF_MIN_MS 100
#define RECONNECT_BACKOFF_MAX_MS 1000
#define CONNECT_MAX_MS           5000
#define METADATA_MAX_BYTES       (64 << 10)
#define USER_AGENT               "holdfast-c"

/* How long the last client of the process waits for gRPC's threads to end.
 * Nothing calls off the timer of a lost connection's next attempt: it is waited
 * for, with its jitter of a fifth and some patience on a busy machine. */
#define TEARDOWN_WAIT_MS 10000 /* for the slowest machine; it ends before */
#define TEARDOWN_STEP_MS 2
_Static_assert(TEARDOWN_WAIT_MS > RECONNECT_BACKOFF_MAX_MS * 6 / 5, "jitter");

struct transport {
    grpc_channel *channel;
};

/* How many are open in this process: gRPC is the process's, too. */
static _Atomic size_t open_count;

static void log_nothing(gpr_log_func_args *args)
{
    (void)args;
}

/* --- opening ------------------------------------------------------------- */

static grpc_arg number_arg(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER,
        .key = (char *)(uintptr_t)key, /* gRPC reads it only */
        .value.integer = value,
    };
}

static grpc_arg text_arg(const char *key, const char *value)
{
    return (grpc_arg){
        .type = GRPC_ARG_STRING,
        .key = (char *)(uintptr_t)key,
        .value.string = (char *)(uintptr_t)value,
    };
}

static grpc_channel *make_channel(const struct hf_settings *settings,
                                  grpc_channel_credentials *credentials)
{
    grpc_arg args[] = {
        /* retry.h decides, with the request id; buffered copies of requests
         * that hold keys are not wanted either */
        number_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        /* a proxy named in the environment has no business in this path */
        number_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        number_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        number_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        number_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   RECONNECT_BACKOFF_MIN_MS),
        /* in spite of its name: how long making a connection may take */
        number_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MAX_MS),
        number_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_BACKOFF_MAX_MS),
        number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_MAX_BYTES),
        number_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_MAX_BYTES),
        text_arg(GRPC_ARG_PRIMARY_USER_AGENT_STRING, USER_AGENT),
        text_arg(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, settings->server_name),
    };
    size_t count = HF_COUNT(args);
    if (settings->server_name == NULL) {
        count--; /* the last one */
    }
    const grpc_channel_args list = {.num_args = count, .args = args};
    return grpc_channel_create(settings->target, credentials, &list);
}

static enum hf_code connect_with(const struct hf_settings *settings,
                                 const struct pem_files *files,
                                 struct transport *transport,
                                 struct hf_error *error)
{
    grpc_ssl_pem_key_cert_pair pair = {
        .private_key = (const char *)secret_bytes(files->key),
        .cert_chain = (const char *)files->certificate,
    };
    grpc_channel_credentials *credentials = grpc_ssl_credentials_create_ex(
        (const char *)files->ca, &pair, NULL, NULL);
    if (credentials == NULL) {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "the certificates cannot be used");
    }
    transport->channel = make_channel(settings, credentials);
    grpc_channel_credentials_release(credentials);
    if (transport->channel == NULL) {
        return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS",
                         "the target cannot be used");
    }
    return HF_CODE_OK;
}

enum hf_code transport_open(const struct hf_settings *settings,
                            struct transport **out_transport,
                            struct hf_error *error)
{
    HF_OWNED(pem_files_clear) struct pem_files files = {0};
    enum hf_code code = pem_files_read(settings, &files, error);
    if (code != HF_CODE_OK) {
        return code;
    }
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL) {
        return error_set(error, HF_CODE_RESOURCE_EXHAUSTED, "CLIENT_RESOURCES",
                         "out of memory");
    }
    if (!settings->transport_log) {
        gpr_set_log_function(log_nothing);
    }
    grpc_init();
    open_count++;
    code = connect_with(settings, &files, transport, error);
    if (code != HF_CODE_OK) {
        transport_close(transport);
        return code;
    }
    *out_transport = transport;
    return HF_CODE_OK;
}

/* await_teardown: gRPC takes a channel down behind our back. A program that
 * returns from main meanwhile would have OpenSSL cleaned up under threads that
 * still use it. */
static void await_teardown(void)
{
    const struct timespec step = {.tv_nsec = TEARDOWN_STEP_MS * 1000000};
    for (int waited_ms = 0;
         waited_ms < TEARDOWN_WAIT_MS && grpc_is_initialized() != 0;
         waited_ms += TEARDOWN_STEP_MS) {
        (void)nanosleep(&step, NULL);
    }
}

void transport_close(struct transport *transport)
{
    if (transport == NULL) {
        return;
    }
    if (transport->channel != NULL) {
        grpc_channel_destroy(transport->channel);
    }
    grpc_shutdown();
    if (--open_count == 0) {
        await_teardown();
    }
    free(transport);
}

/* --- one attempt --------------------------------------------------------- */

static gpr_timespec in_ms(int64_t wait_ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
}

/* Everything that gRPC fills in, freed together. */
struct exchange {
    grpc_completion_queue *queue;
    grpc_call *call;
    grpc_byte_buffer *request;
    grpc_byte_buffer *response;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice message;
};

static void exchange_clear(struct exchange *exchange)
{
    if (exchange->call != NULL) {
        grpc_call_unref(exchange->call);
    }
    grpc_byte_buffer_destroy(exchange->request);
    grpc_byte_buffer_destroy(exchange->response);
    grpc_metadata_array_destroy(&exchange->initial);
    grpc_metadata_array_destroy(&exchange->trailing);
    grpc_slice_unref(exchange->message);
    grpc_completion_queue_shutdown(exchange->queue);
    /* a pluck queue has nothing left once the one batch was plucked */
    grpc_completion_queue_destroy(exchange->queue);
}

/* wiped_slice: gRPC's own reference to the request; its memory is wiped when
 * the last reference goes, which may be after the call. */
static grpc_slice wiped_slice(struct bytes from)
{
    void *copy = wiped_alloc(from.len);
    CHECK(copy != NULL); /* requests are bounded (message_pack) */
    memcpy(copy, from.data, from.len);
    return grpc_slice_new_with_user_data(copy, from.len, wiped_free, copy);
}

static void exchange_prepare(struct transport *transport,
                             const struct attempt *attempt,
                             struct exchange *exchange)
{
    grpc_metadata_array_init(&exchange->initial);
    grpc_metadata_array_init(&exchange->trailing);
    exchange->message = grpc_empty_slice();
    exchange->queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_slice body = attempt->request.len > 0 ? wiped_slice(attempt->request)
                                               : grpc_empty_slice();
    exchange->request = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    gpr_timespec deadline = attempt->deadline_ms == INT64_MAX
                                ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                                : in_ms(attempt->deadline_ms);
    grpc_slice path = grpc_slice_from_copied_string(attempt->path);
    exchange->call = grpc_channel_create_call(
        transport->channel, NULL, GRPC_PROPAGATE_DEFAULTS, exchange->queue,
        path, NULL, deadline, NULL);
    grpc_slice_unref(path);
}

/* exchange_run: false when gRPC refused the batch, which it never should. */
static bool exchange_run(struct exchange *exchange)
{
    const grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA                },
        {                                   .op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = exchange->request},
        {                                   .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT                                                  },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata =
             &exchange->initial},
        {                                                            .op = GRPC_OP_RECV_MESSAGE,
         .data.recv_message.recv_message = &exchange->response},
        {                                                   .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client =
             {
                 .trailing_metadata = &exchange->trailing,
                 .status = &exchange->status,
                 .status_details = &exchange->message,
             }},
    };
    grpc_call_error refused = grpc_call_start_batch(
        exchange->call, ops, HF_COUNT(ops), exchange, NULL);
    if (refused != GRPC_CALL_OK) {
        return false;
    }
    /* the call's own deadline ends the wait */
    (void)grpc_completion_queue_pluck(
        exchange->queue, exchange, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    return true;
}

static void exchange_error(const struct exchange *exchange,
                           struct hf_error *error)
{
    struct bytes details = BYTES_NONE;
    for (size_t i = 0; i < exchange->trailing.count; i++) {
        const grpc_metadata *item = &exchange->trailing.metadata[i];
        if (grpc_slice_str_cmp(item->key, DETAILS_KEY) == 0) {
            details = (struct bytes){GRPC_SLICE_START_PTR(item->value),
                                     GRPC_SLICE_LENGTH(item->value)};
        }
    }
    char *message = grpc_slice_to_c_string(exchange->message);
    error_from_status(error, (int)exchange->status, message, details.data,
                      details.len);
    gpr_free(message);
}

/* gather: the response in one piece; what gRPC received is wiped behind it. */
static bool gather(grpc_byte_buffer *from, uint8_t **out_data, size_t *out_len)
{
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, from) != 1) {
        return false; /* compressed, and does not open */
    }
    size_t cap = grpc_byte_buffer_length(reader.buffer_out);
    uint8_t *data = cap <= MESSAGE_MAX_BYTES ? wiped_alloc(cap) : NULL;
    struct byte_writer writer = byte_writer_on(data, data != NULL ? cap : 0);
    grpc_slice *piece = NULL;
    while (data != NULL && grpc_byte_buffer_reader_peek(&reader, &piece) == 1) {
        put_raw(&writer, GRPC_SLICE_START_PTR(*piece),
                GRPC_SLICE_LENGTH(*piece));
        wipe(GRPC_SLICE_START_PTR(*piece), GRPC_SLICE_LENGTH(*piece));
    }
    grpc_byte_buffer_reader_destroy(&reader);
    if (data == NULL || writer.overrun) {
        wiped_free(data);
        return false;
    }
    *out_data = data;
    *out_len = writer.len;
    return true;
}

/* --- between attempts ----------------------------------------------------
 *
 * gRPC has no thread of its own that reads sockets: a connection gets further
 * only while somebody waits on a queue. A channel that has lost its connection
 * answers attempts at once, without waiting, so a pause that merely slept
 * would leave it as it is and every further attempt would fail unasked.
 */

void transport_pause(struct transport *transport, int64_t wait_ms)
{
    const gpr_timespec end = in_ms(wait_ms);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    bool over = false;
    while (!over) {
        grpc_connectivity_state now =
            grpc_channel_check_connectivity_state(transport->channel, 1);
        grpc_channel_watch_connectivity_state(transport->channel, now, end,
                                              queue, transport);
        grpc_event event = grpc_completion_queue_pluck(
            queue, transport, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        over = event.success == 0; /* no change until the end */
    }
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
}

enum hf_code transport_attempt(struct transport *transport,
                               const struct attempt *attempt,
                               uint8_t **out_response, size_t *out_len,
                               struct hf_error *error)
{
    HF_OWNED(exchange_clear) struct exchange exchange = {0};
    exchange_prepare(transport, attempt, &exchange);
    if (!exchange_run(&exchange)) {
        return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESOURCES",
                         "the call could not be started");
    }
    if (exchange.status != GRPC_STATUS_OK) {
        exchange_error(&exchange, error);
        return error->code;
    }
    if (exchange.response == NULL ||
        !gather(exchange.response, out_response, out_len)) {
        return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESPONSE",
                         "the service answered without a readable message");
    }
    return HF_CODE_OK;
}

/* --- streams ------------------------------------------------------------- */

static bool start_ops(struct exchange *exchange, const grpc_op *ops,
                      size_t count, void *tag)
{
    return grpc_call_start_batch(exchange->call, ops, count, tag, NULL) ==
           GRPC_CALL_OK;
}

static void await(struct exchange *exchange, void *tag)
{
    (void)grpc_completion_queue_pluck(
        exchange->queue, tag, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

/* The request and, as a batch of its own, how it will end. */
static bool stream_start(struct exchange *exchange)
{
    const grpc_op begin[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA                },
        {                                   .op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = exchange->request},
        {                                   .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT                                                  },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata =
             &exchange->initial},
    };
    const grpc_op end = {
        .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
        .data.recv_status_on_client =
            {
                                         .trailing_metadata = &exchange->trailing,
                                         .status = &exchange->status,
                                         .status_details = &exchange->message,
                                         },
    };
    return start_ops(exchange, begin, HF_COUNT(begin), exchange) &&
           start_ops(exchange, &end, 1, &exchange->status);
}

enum sunk { SUNK_MORE, SUNK_END, SUNK_ENOUGH, SUNK_UNREADABLE };

/* One message, if there is another. */
static enum sunk sink_one(struct exchange *exchange,
                          const struct transport_sink *sink)
{
    const grpc_op read = {
        .op = GRPC_OP_RECV_MESSAGE,
        .data.recv_message.recv_message = &exchange->response,
    };
    HF_OWNED(wiped_freep) uint8_t *data = NULL;
    size_t len = 0;
    CHECK(start_ops(exchange, &read, 1, &exchange->response));
    await(exchange, &exchange->response);
    if (exchange->response == NULL) {
        return SUNK_END;
    }
    bool readable = gather(exchange->response, &data, &len);
    grpc_byte_buffer_destroy(exchange->response);
    exchange->response = NULL;
    if (!readable) {
        return SUNK_UNREADABLE;
    }
    return sink->each(sink->context, data, len) ? SUNK_MORE : SUNK_ENOUGH;
}

enum hf_code transport_stream(struct transport *transport,
                              const struct attempt *attempt,
                              const struct transport_sink *sink,
                              struct hf_error *error)
{
    HF_OWNED(exchange_clear) struct exchange exchange = {0};
    enum sunk sunk = SUNK_MORE;
    exchange_prepare(transport, attempt, &exchange);
    CHECK(stream_start(&exchange)); /* a new call takes both */
    while (sunk == SUNK_MORE) {
        sunk = sink_one(&exchange, sink);
    }
    if (sunk != SUNK_END) {
        (void)grpc_call_cancel(exchange.call, NULL);
    }
    await(&exchange, &exchange);
    await(&exchange, &exchange.status);
    if (sunk == SUNK_UNREADABLE) {
        return error_set(error, HF_CODE_INTERNAL, "CLIENT_RESPONSE",
                         "the service answered without a readable message");
    }
    if (sunk == SUNK_END && exchange.status != GRPC_STATUS_OK) {
        exchange_error(&exchange, error);
        return error->code;
    }
    return HF_CODE_OK;
}
