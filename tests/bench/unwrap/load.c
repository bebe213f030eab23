/* load: a gRPC client that keeps a server busy and measures what it sees.
 *
 * One thread, one connection, one completion queue. Closed loop: so many calls
 * are always outstanding. Open loop (--rate): calls start when they are due,
 * and latency counts from then, so that a server that falls behind is not
 * flattered. Requests come ready-made from a file (length u32, big endian, then
 * the bytes; one after the other) and are picked at random. Prints one JSON
 * object.
 */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUTSTANDING_MAX 1024
#define SAMPLES_MAX     4000000

struct options {
    const char *target;
    const char *ca;
    const char *cert;
    const char *key;
    const char *method;
    const char *requests;
    size_t outstanding;
    double seconds;
    double rate; /* calls a second; 0: closed loop */
};

struct slot {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *request;
    grpc_byte_buffer *reply;
    grpc_status_code status;
    grpc_slice details;
    int64_t due_ns;
    bool busy;
};

struct load {
    struct options options;
    grpc_channel *channel;
    grpc_completion_queue *queue;
    grpc_slice method;
    grpc_slice *requests;
    size_t request_count;
    struct slot slots[OUTSTANDING_MAX];
    size_t busy;
    float *samples_us;
    size_t sample_count;
    uint64_t failed;
    grpc_status_code first_failure;
    size_t reply_bytes;
    uint64_t random;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *must(void *pointer, const char *what)
{
    if (pointer == NULL) {
        fprintf(stderr, "load: %s\n", what);
        exit(1);
    }
    return pointer;
}

static char *read_file(const char *path, size_t *out_len)
{
    FILE *file = must(fopen(path, "rb"), path);
    fseek(file, 0, SEEK_END);
    long len = ftell(file);
    rewind(file);
    char *text = must(calloc((size_t)len + 1, 1), "out of memory");
    if (fread(text, 1, (size_t)len, file) != (size_t)len) {
        must(NULL, path);
    }
    fclose(file);
    *out_len = (size_t)len;
    return text;
}

static void read_requests(struct load *load)
{
    size_t len = 0;
    char *text = read_file(load->options.requests, &len);
    struct byte_reader reader =
        byte_reader_on((struct bytes){(const uint8_t *)text, len});
    load->requests =
        must(calloc(len / 4 + 1, sizeof *load->requests), "out of memory");
    while (reader.at < reader.len && !reader.bad) {
        struct bytes one = get_lp(&reader);
        load->requests[load->request_count++] =
            grpc_slice_from_copied_buffer((const char *)one.data, one.len);
    }
    if (reader.bad || load->request_count == 0) {
        must(NULL, "the file of requests is damaged");
    }
    free(text);
}

static void connect_channel(struct load *load)
{
    size_t len = 0;
    char *ca = read_file(load->options.ca, &len);
    char *cert = read_file(load->options.cert, &len);
    char *key = read_file(load->options.key, &len);
    grpc_ssl_pem_key_cert_pair pair = {key, cert};
    grpc_channel_credentials *credentials =
        grpc_ssl_credentials_create_ex(ca, &pair, NULL, NULL);
    grpc_arg name = {
        .type = GRPC_ARG_STRING,
        .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
        .value.string = (char *)"localhost",
    };
    grpc_channel_args args = {1, &name};
    load->channel =
        grpc_channel_create(load->options.target, credentials, &args);
    grpc_channel_credentials_release(credentials);
    free(ca);
    free(cert);
    free(key);
}

/* xorshift: the same mailboxes in every run */
static uint64_t next_random(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

static void start_call(struct load *load, struct slot *slot, int64_t due_ns)
{
    grpc_slice request =
        load->requests[next_random(load) % load->request_count];
    slot->request = grpc_raw_byte_buffer_create(&request, 1);
    slot->reply = NULL;
    slot->due_ns = due_ns;
    slot->busy = true;
    slot->details = grpc_empty_slice();
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    slot->call = grpc_channel_create_call(
        load->channel, NULL, GRPC_PROPAGATE_DEFAULTS, load->queue, load->method,
        NULL,
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_seconds(20, GPR_TIMESPAN)),
        NULL);
    const grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA            },
        {                                   .op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = slot->request},
        {                                   .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT                                              },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &slot->initial},
        {                                                        .op = GRPC_OP_RECV_MESSAGE,
         .data.recv_message.recv_message = &slot->reply},
        {                                               .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &slot->trailing,
                                        .status = &slot->status,
                                        .status_details = &slot->details}},
    };
    CHECK(grpc_call_start_batch(slot->call, ops, HF_COUNT(ops), slot, NULL) ==
          GRPC_CALL_OK);
    load->busy++;
}

static void finish_call(struct load *load, struct slot *slot, bool counted)
{
    if (slot->status == GRPC_STATUS_OK && slot->reply != NULL) {
        load->reply_bytes = grpc_byte_buffer_length(slot->reply);
        if (counted && load->sample_count < SAMPLES_MAX) {
            load->samples_us[load->sample_count++] =
                (float)(now_ns() - slot->due_ns) / 1000.0f;
        }
    } else {
        if (load->failed++ == 0) {
            load->first_failure = slot->status;
        }
    }
    grpc_byte_buffer_destroy(slot->request);
    if (slot->reply != NULL) {
        grpc_byte_buffer_destroy(slot->reply);
    }
    grpc_slice_unref(slot->details);
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_call_unref(slot->call);
    slot->busy = false;
    load->busy--;
}

static struct slot *idle_slot(struct load *load)
{
    size_t count =
        load->options.rate > 0 ? OUTSTANDING_MAX : load->options.outstanding;
    for (size_t i = 0; i < count; i++) {
        if (!load->slots[i].busy) {
            return &load->slots[i];
        }
    }
    return NULL;
}

static gpr_timespec wait_until(int64_t due_ns)
{
    int64_t wait_ns = due_ns - now_ns();
    return gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC),
        gpr_time_from_nanos(wait_ns > 0 ? wait_ns : 0, GPR_TIMESPAN));
}

static void take_events(struct load *load, int64_t until_ns, bool counted)
{
    gpr_timespec deadline = wait_until(until_ns);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(load->queue, deadline, NULL);
        if (event.type != GRPC_OP_COMPLETE) {
            return;
        }
        finish_call(load, event.tag, counted);
        if (load->options.rate <= 0) {
            start_call(load, event.tag, now_ns());
        }
        deadline = wait_until(load->options.rate > 0 ? 0 : until_ns);
        if (load->options.rate <= 0 && now_ns() >= until_ns) {
            return;
        }
    }
}

static void run_closed(struct load *load, int64_t end_ns, bool counted)
{
    while (load->busy < load->options.outstanding) {
        start_call(load, must(idle_slot(load), "no slot"), now_ns());
    }
    take_events(load, end_ns, counted);
}

static void run_open(struct load *load, int64_t end_ns, bool counted)
{
    int64_t step_ns = (int64_t)(1e9 / load->options.rate);
    int64_t due_ns = now_ns();
    while (due_ns < end_ns) {
        while (due_ns <= now_ns()) {
            struct slot *slot = idle_slot(load);
            if (slot == NULL) {
                break; /* the wait shows in the latency of what is due */
            }
            start_call(load, slot, due_ns);
            due_ns += step_ns;
        }
        take_events(load, due_ns, counted);
    }
}

static void drain(struct load *load)
{
    double rate = load->options.rate;
    load->options.rate = 1; /* start nothing more */
    while (load->busy > 0) {
        grpc_event event = grpc_completion_queue_next(
            load->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        finish_call(load, event.tag, false);
    }
    load->options.rate = rate;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct load *load, double part)
{
    if (load->sample_count == 0) {
        return 0;
    }
    return (double)
        load->samples_us[(size_t)(part * (double)(load->sample_count - 1))];
}

static void print_result(const struct load *load, double seconds)
{
    printf("{\"calls\": %zu, \"seconds\": %.3f, \"calls_per_s\": %.0f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"failed\": %llu, "
           "\"first_failure\": %d, \"reply_bytes\": %zu}\n",
           load->sample_count, seconds, (double)load->sample_count / seconds,
           percentile(load, 0.5), percentile(load, 0.99),
           (unsigned long long)load->failed, (int)load->first_failure,
           load->reply_bytes);
}

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        {"target",      required_argument, NULL, 't'},
        {"ca",          required_argument, NULL, 'a'},
        {"cert",        required_argument, NULL, 'c'},
        {"key",         required_argument, NULL, 'k'},
        {"method",      required_argument, NULL, 'm'},
        {"requests",    required_argument, NULL, 'r'},
        {"outstanding", required_argument, NULL, 'o'},
        {"seconds",     required_argument, NULL, 's'},
        {"rate",        required_argument, NULL, 'R'},
        {NULL,          0,                 NULL, 0  },
    };
    int option = 0;
    *options = (struct options){.outstanding = 64, .seconds = 3};
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (option) {
        case 't':
            options->target = optarg;
            break;
        case 'a':
            options->ca = optarg;
            break;
        case 'c':
            options->cert = optarg;
            break;
        case 'k':
            options->key = optarg;
            break;
        case 'm':
            options->method = optarg;
            break;
        case 'r':
            options->requests = optarg;
            break;
        case 'o':
            options->outstanding = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options->seconds = strtod(optarg, NULL);
            break;
        case 'R':
            options->rate = strtod(optarg, NULL);
            break;
        default:
            exit(2);
        }
    }
    if (options->target == NULL || options->ca == NULL ||
        options->cert == NULL || options->key == NULL ||
        options->method == NULL || options->requests == NULL ||
        options->outstanding == 0 || options->outstanding > OUTSTANDING_MAX) {
        must(NULL, "needs --target --ca --cert --key --method --requests, and "
                   "--outstanding of at most 1024");
    }
}

int main(int argc, char **argv)
{
    struct load *load = must(calloc(1, sizeof *load), "out of memory");
    parse(argc, argv, &load->options);
    load->random = 88172645463325252u;
    load->samples_us =
        must(calloc(SAMPLES_MAX, sizeof *load->samples_us), "out of memory");
    grpc_init();
    read_requests(load);
    connect_channel(load);
    load->queue = grpc_completion_queue_create_for_next(NULL);
    load->method = grpc_slice_from_static_string(load->options.method);
    int64_t part_ns = (int64_t)(load->options.seconds * 1e9);
    /* a fifth of the time warms up and is not counted */
    int64_t start_ns = now_ns() + part_ns / 5;
    int64_t end_ns = start_ns + part_ns;
    if (load->options.rate > 0) {
        run_open(load, start_ns, false);
        start_ns = now_ns();
        run_open(load, end_ns, true);
    } else {
        run_closed(load, start_ns, false);
        start_ns = now_ns();
        run_closed(load, end_ns, true);
    }
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    drain(load);
    qsort(load->samples_us, load->sample_count, sizeof *load->samples_us,
          by_value);
    print_result(load, seconds);
    grpc_completion_queue_shutdown(load->queue);
    grpc_channel_destroy(load->channel);
    return load->failed == 0 ? 0 : 1;
}
