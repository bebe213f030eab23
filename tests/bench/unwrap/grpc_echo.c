/* grpc_echo: the outside reference of the bench: gRPC-core's own listener with
 * its own TLS and mandatory client certificates, one polling thread, a
 * registered method with its payload, and a reply of a fixed size. Nothing of
 * Holdfast is in it.
 */
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTED          256
#define REPLY_BYTES_MAX 4096

struct call {
    grpc_call *call;
    grpc_byte_buffer *request;
    grpc_metadata_array metadata;
    gpr_timespec deadline;
    grpc_byte_buffer *reply;
    int cancelled;
    int answering;
};

static grpc_server *server;
static grpc_completion_queue *queue;
static void *method;
static grpc_slice reply_slice;
static volatile sig_atomic_t stopping;

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 65536);
    if (file == NULL || text == NULL || fread(text, 1, 65535, file) == 0) {
        fprintf(stderr, "grpc_echo: cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

static void post(struct call *call)
{
    memset(call, 0, sizeof *call);
    grpc_metadata_array_init(&call->metadata);
    grpc_server_request_registered_call(server, method, &call->call,
                                        &call->deadline, &call->metadata,
                                        &call->request, queue, queue, call);
}

static void answer(struct call *call)
{
    call->reply = grpc_raw_byte_buffer_create(&reply_slice, 1);
    const grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA                    },
        { .op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = call->reply},
        {           .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
         .data.send_status_from_server.status = GRPC_STATUS_OK},
        {   .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
         .data.recv_close_on_server.cancelled = &call->cancelled},
    };
    call->answering = 1;
    grpc_call_start_batch(call->call, ops, sizeof ops / sizeof ops[0], call,
                          NULL);
}

static void finish(struct call *call)
{
    grpc_byte_buffer_destroy(call->reply);
    grpc_byte_buffer_destroy(call->request);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_unref(call->call);
    post(call);
}

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

int main(int argc, char **argv)
{
    static struct call calls[POSTED];
    static char reply[REPLY_BYTES_MAX];
    if (argc != 6) {
        fprintf(stderr, "usage: grpc_echo CA CERT KEY PATH REPLY-BYTES\n");
        return 2;
    }
    size_t reply_bytes = strtoul(argv[5], NULL, 10);
    if (reply_bytes > sizeof reply) {
        return 2;
    }
    signal(SIGTERM, stop);
    grpc_init();
    reply_slice = grpc_slice_from_copied_buffer(reply, reply_bytes);
    queue = grpc_completion_queue_create_for_next(NULL);
    server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(server, queue, NULL);
    method = grpc_server_register_method(
        server, argv[4], NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_ssl_pem_key_cert_pair pair = {read_file(argv[3]), read_file(argv[2])};
    grpc_server_credentials *credentials =
        grpc_ssl_server_credentials_create_ex(
            read_file(argv[1]), &pair, 1,
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, NULL);
    int port = grpc_server_add_http2_port(server, "127.0.0.1:0", credentials);
    grpc_server_start(server);
    for (size_t i = 0; i < POSTED; i++) {
        post(&calls[i]);
    }
    printf("%d\n", port);
    fflush(stdout);
    while (!stopping) {
        grpc_event event = grpc_completion_queue_next(
            queue,
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                         gpr_time_from_millis(100, GPR_TIMESPAN)),
            NULL);
        if (event.type != GRPC_OP_COMPLETE || !event.success) {
            continue;
        }
        struct call *call = event.tag;
        if (call->answering) {
            finish(call);
        } else {
            answer(call);
        }
    }
    return 0; /* the process ends with what is posted */
}
