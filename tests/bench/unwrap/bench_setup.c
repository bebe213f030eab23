/* bench_setup: makes mailboxes under a DEP and writes one UnwrapKeyRequest for
 * each to a file that load reads.
 *
 * usage: bench_setup TARGET PKI-DIR TENANT DEP PREFIX COUNT OUT
 */
#include "client/lib/holdfast.h"

#include "holdfast/v1/assignment_service.pb-c.h"
#include "holdfast/v1/key_service.pb-c.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS    8
#define NAME_BYTES 256
#define PACKED_MAX 1024

struct work {
    struct hf_client *admin;
    struct hf_client *workload;
    const char *tenant;
    const char *dep;
    const char *prefix;
    size_t count;
    size_t next;
    pthread_mutex_t lock;
    uint8_t (*packed)[PACKED_MAX];
    size_t *packed_len;
};

static void check(enum hf_code code, const struct hf_error *error,
                  const char *what)
{
    if (code != HF_CODE_OK) {
        fprintf(stderr, "bench_setup: %s: %s %s %s\n", what, hf_code_text(code),
                error->reason, error->message);
        exit(1);
    }
}

static void call(struct hf_client *client, const char *method,
                 const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *reply, const char *what)
{
    struct hf_error error = {0};
    ProtobufCMessage *message = NULL;
    const struct hf_unary unary = {
        .method = method,
        .request = request,
        .response = reply,
    };
    check(hf_call(client, &unary, &message, &error), &error, what);
    hf_message_free(message);
}

static void make_mailbox(const struct work *work, size_t i)
{
    char parent[NAME_BYTES];
    char id[NAME_BYTES];
    char name[2 * NAME_BYTES];
    char dep[NAME_BYTES];
    snprintf(parent, sizeof parent, "tenants/%s", work->tenant);
    snprintf(id, sizeof id, "%s%06zu@contoso.example", work->prefix, i);
    snprintf(name, sizeof name, "tenants/%s/mailboxes/%s", work->tenant, id);
    snprintf(dep, sizeof dep, "tenants/%s/deps/%s", work->tenant, work->dep);
    Holdfast__V1__RegisterMailboxRequest register_mailbox =
        HOLDFAST__V1__REGISTER_MAILBOX_REQUEST__INIT;
    register_mailbox.parent = parent;
    register_mailbox.mailbox_id = id;
    register_mailbox.licensed = 1;
    call(work->admin, "holdfast.v1.AssignmentService/RegisterMailbox",
         &register_mailbox.base, &holdfast__v1__mailbox__descriptor,
         "RegisterMailbox");
    Holdfast__V1__AssignMailboxRequest assign =
        HOLDFAST__V1__ASSIGN_MAILBOX_REQUEST__INIT;
    assign.name = name;
    assign.dep = dep;
    call(work->admin, "holdfast.v1.AssignmentService/AssignMailbox",
         &assign.base, &holdfast__v1__mailbox__descriptor, "AssignMailbox");
    const struct hf_key_request generate = {.resource = name};
    struct hf_key_answer answer = {0};
    struct hf_error error = {0};
    check(hf_generate_key(work->workload, &generate, &answer, &error), &error,
          "GenerateKey");
    Holdfast__V1__AccessContext context = HOLDFAST__V1__ACCESS_CONTEXT__INIT;
    Holdfast__V1__UnwrapKeyRequest unwrap =
        HOLDFAST__V1__UNWRAP_KEY_REQUEST__INIT;
    context.initiator = HOLDFAST__V1__INITIATOR__INITIATOR_USER;
    context.workload = HOLDFAST__V1__WORKLOAD__WORKLOAD_EXCHANGE;
    context.request_id = (char *)"00000000-0000-4000-8000-000000000000";
    unwrap.resource = name;
    unwrap.wrapped_key.data = answer.wrapped_key;
    unwrap.wrapped_key.len = answer.wrapped_len;
    unwrap.access = &context;
    work->packed_len[i] =
        holdfast__v1__unwrap_key_request__pack(&unwrap, work->packed[i]);
    hf_key_answer_clear(&answer);
}

static void *run(void *argument)
{
    struct work *work = argument;
    for (;;) {
        pthread_mutex_lock(&work->lock);
        size_t i = work->next++;
        pthread_mutex_unlock(&work->lock);
        if (i >= work->count) {
            return NULL;
        }
        make_mailbox(work, i);
    }
}

static struct hf_client *open_as(const char *target, const char *pki,
                                 const char *who)
{
    char ca[NAME_BYTES];
    char cert[NAME_BYTES];
    char key[NAME_BYTES];
    struct hf_client *client = NULL;
    struct hf_error error = {0};
    snprintf(ca, sizeof ca, "%s/ca.pem", pki);
    snprintf(cert, sizeof cert, "%s/%s.pem", pki, who);
    snprintf(key, sizeof key, "%s/%s.key", pki, who);
    const struct hf_settings settings = {
        .target = target,
        .ca_file = ca,
        .certificate_file = cert,
        .key_file = key,
        .server_name = "localhost",
        .deadline_ms = 60000,
    };
    check(hf_client_open(&settings, &client, &error), &error, "open");
    return client;
}

static void write_requests(const struct work *work, const char *path)
{
    FILE *out = fopen(path, "wb");
    if (out == NULL) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < work->count; i++) {
        size_t len = work->packed_len[i];
        const uint8_t head[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16),
                                 (uint8_t)(len >> 8), (uint8_t)len};
        fwrite(head, 1, sizeof head, out);
        fwrite(work->packed[i], 1, len, out);
    }
    if (fclose(out) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    if (argc != 8) {
        fprintf(stderr, "usage: bench_setup TARGET PKI-DIR TENANT DEP PREFIX "
                        "COUNT OUT\n");
        return 2;
    }
    struct work work = {
        .admin = open_as(argv[1], argv[2], "admin"),
        .workload = open_as(argv[1], argv[2], "workload"),
        .tenant = argv[3],
        .dep = argv[4],
        .prefix = argv[5],
        .count = strtoul(argv[6], NULL, 10),
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    work.packed = calloc(work.count, sizeof *work.packed);
    work.packed_len = calloc(work.count, sizeof *work.packed_len);
    if (work.packed == NULL || work.packed_len == NULL) {
        return 1;
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, run, &work);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    write_requests(&work, argv[7]);
    hf_client_close(work.admin);
    hf_client_close(work.workload);
    free(work.packed);
    free(work.packed_len);
    return 0;
}
