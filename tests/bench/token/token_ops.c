/* token_ops: what a bare token does a second, straight through the module,
 * through the port in this process, and through a worker process, on one
 * machine in one run.
 *
 * Prints one JSON object; for each of these, NAME_per_s and NAME_cpu_us (of all
 * threads, the submitter's and the worker's too):
 *   open_direct        AES-GCM open of 32 bytes under a session key, one
 *                      thread, C_DecryptInit and C_Decrypt in a loop
 *   open_port_1        the same by the port, one outstanding at a time
 *   open_port_16       16 submitted together, the next 16 when all are answered
 *   open_port_64       and 64
 *   open_worker_N      as open_port_N, the token in a process of its own
 *   unwrap_3072_direct RSA-3072 OAEP, C_UnwrapKey and C_DestroyObject
 *   unwrap_3072_port   UNWRAP and FORGET, one outstanding at a time
 *   unwrap_3072_worker the same in a process of its own
 * and open_port_cost_us: open_port_64_cpu_us less open_direct_cpu_us;
 * open_worker_ratio_N: open_worker_N_cpu_us by open_port_N_cpu_us.
 */
#include "hsm/base/check.h"

#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/pkcs11/public_key.h"

#include "tests/support/softhsm.h"
#include "tests/support/spawned_worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUND_S   1.0
#define BATCH_MAX 64

struct bench {
    struct token token;
    pid_t worker; /* 0: the token is in this process */
    struct token_key_report root;
    uint8_t blob[HF_RSA_MAX_BYTES];
    size_t blob_len;
    struct token_object object;
    uint8_t sealed[HF_SEALED_MAX_BYTES];
    size_t sealed_len;
};

static void need(enum hf_status status, const char *what)
{
    if (status != HF_OK) {
        fprintf(stderr, "token_ops: %s: %s\n", what, hf_status_text(status));
        exit(1);
    }
}

static double seconds_of(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Operations a second, and processor time for each: of all threads of this
 * process and of the worker, so that it holds on a busy machine too. */
struct speed {
    double per_s;
    double cpu_us;
};

struct stopwatch {
    clockid_t worker; /* CLOCK_PROCESS_CPUTIME_ID: none */
    double began_s;
    double began_cpu_s;
};

static double cpu_seconds(clockid_t worker)
{
    double own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    return worker == CLOCK_PROCESS_CPUTIME_ID ? own : own + seconds_of(worker);
}

static struct stopwatch stopwatch_start(pid_t worker)
{
    struct stopwatch watch = {.worker = CLOCK_PROCESS_CPUTIME_ID};
    if (worker != 0 && clock_getcpuclockid(worker, &watch.worker) != 0) {
        fputs("token_ops: no clock of the worker\n", stderr);
        exit(1);
    }
    watch.began_s = seconds_of(CLOCK_MONOTONIC);
    watch.began_cpu_s = cpu_seconds(watch.worker);
    return watch;
}

static bool is_running(const struct stopwatch *watch)
{
    return seconds_of(CLOCK_MONOTONIC) - watch->began_s < ROUND_S;
}

static struct speed stopwatch_stop(const struct stopwatch *watch, size_t done)
{
    double took_s = seconds_of(CLOCK_MONOTONIC) - watch->began_s;
    double cpu_s = cpu_seconds(watch->worker) - watch->began_cpu_s;
    return (struct speed){
        .per_s = (double)done / took_s,
        .cpu_us = cpu_s * 1e6 / (double)done,
    };
}

struct gather {
    pthread_mutex_t lock;
    pthread_cond_t all;
    size_t missing;
};

static void arrive(struct token_request *request)
{
    struct gather *gather = request->owner;
    pthread_mutex_lock(&gather->lock);
    gather->missing -= 1;
    if (gather->missing == 0) {
        pthread_cond_signal(&gather->all);
    }
    pthread_mutex_unlock(&gather->lock);
}

static void open_batch(const struct bench *bench, size_t batch)
{
    struct token_request requests[BATCH_MAX];
    struct token_request *pointers[BATCH_MAX] = {NULL};
    uint8_t out[BATCH_MAX][HF_SEALED_MAX_BYTES];
    struct gather gather = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .all = PTHREAD_COND_INITIALIZER,
                            .missing = batch};
    for (size_t i = 0; i < batch; i++) {
        requests[i] = (struct token_request){
            .op = TOKEN_OP_OPEN,
            .done = arrive,
            .owner = &gather,
            .u.aead = {.key = bench->object,
                       .in = {bench->sealed, bench->sealed_len},
                       .out = out[i],
                       .out_cap = sizeof out[i]},
        };
        memset(requests[i].u.aead.iv, 1, HF_GCM_IV_BYTES);
        pointers[i] = &requests[i];
    }
    token_submit(&bench->token, pointers, batch);
    pthread_mutex_lock(&gather.lock);
    while (gather.missing > 0) {
        pthread_cond_wait(&gather.all, &gather.lock);
    }
    pthread_mutex_unlock(&gather.lock);
    for (size_t i = 0; i < batch; i++) {
        need(requests[i].status, "open");
    }
}

static struct speed open_by_port(const struct bench *bench, size_t batch)
{
    struct stopwatch watch = stopwatch_start(bench->worker);
    size_t done = 0;
    while (is_running(&watch)) {
        open_batch(bench, batch);
        done += batch;
    }
    return stopwatch_stop(&watch, done);
}

static struct token_object unwrap(const struct bench *bench)
{
    struct token_request request = {
        .op = TOKEN_OP_UNWRAP,
        .u.unwrap = {.key = bench->root.key,
                     .suite = TOKEN_SUITE_OAEP_SHA1,
                     .wrapped = {bench->blob, bench->blob_len}},
    };
    need(token_call(&bench->token, &request), "unwrap");
    return request.u.unwrap.object;
}

static struct speed unwrap_by_port(struct bench *bench)
{
    struct stopwatch watch = stopwatch_start(bench->worker);
    size_t done = 0;
    while (is_running(&watch)) {
        struct token_object object = unwrap(bench);
        struct token_request forget = {.op = TOKEN_OP_FORGET,
                                       .u.forget = object};
        need(token_call(&bench->token, &forget), "forget");
        done += 1;
    }
    return stopwatch_stop(&watch, done);
}

/* The module itself, in a session of our own beside the port's. */
struct direct {
    struct p11_module *module;
    CK_FUNCTION_LIST *calls;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE root;
    CK_OBJECT_HANDLE key;
};

static void must(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "token_ops: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static void direct_start(struct direct *direct, const struct bench *bench)
{
    CK_RV rv = CKR_OK;
    need(p11_module_open(softhsm_module(), &direct->module, &rv), "module");
    direct->calls = p11_module_calls(direct->module);
    CK_SLOT_ID slots[8];
    CK_ULONG count = HF_COUNT(slots);
    must(direct->calls->C_GetSlotList(CK_TRUE, slots, &count), "slots");
    /* the first one: the only one that is initialised */
    must(direct->calls->C_OpenSession(slots[0],
                                      CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                      NULL, &direct->session),
         "session");
    CK_OBJECT_CLASS class_ = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE filter[] = {
        {CKA_CLASS, &class_,                    sizeof class_         },
        {CKA_ID,    (void *)bench->root.key.id, bench->root.key.id_len},
    };
    must(direct->calls->C_FindObjectsInit(direct->session, filter,
                                          HF_COUNT(filter)),
         "search");
    must(
        direct->calls->C_FindObjects(direct->session, &direct->root, 1, &count),
        "search");
    must(direct->calls->C_FindObjectsFinal(direct->session), "search");
    direct->key = bench->object.handle & ((UINT64_C(1) << 56) - 1);
}

static struct speed open_direct(const struct direct *direct,
                                const struct bench *bench)
{
    uint8_t iv[HF_GCM_IV_BYTES];
    memset(iv, 1, sizeof iv);
    CK_GCM_PARAMS gcm = {.pIv = iv,
                         .ulIvLen = sizeof iv,
                         .ulIvBits = sizeof iv * 8,
                         .ulTagBits = HF_GCM_TAG_BYTES * 8};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof gcm};
    struct stopwatch watch = stopwatch_start(0);
    size_t done = 0;
    while (is_running(&watch)) {
        for (size_t i = 0; i < BATCH_MAX; i++) {
            uint8_t out[HF_SEALED_MAX_BYTES];
            CK_ULONG len = sizeof out;
            must(direct->calls->C_DecryptInit(direct->session, &mechanism,
                                              direct->key),
                 "C_DecryptInit");
            must(direct->calls->C_Decrypt(direct->session,
                                          (CK_BYTE *)bench->sealed,
                                          bench->sealed_len, out, &len),
                 "C_Decrypt");
        }
        done += BATCH_MAX;
    }
    return stopwatch_stop(&watch, done);
}

static struct speed unwrap_direct(const struct direct *direct,
                                  const struct bench *bench)
{
    CK_RSA_PKCS_OAEP_PARAMS oaep = {.hashAlg = CKM_SHA_1,
                                    .mgf = CKG_MGF1_SHA1,
                                    .source = CKZ_DATA_SPECIFIED};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};
    CK_OBJECT_CLASS class_ = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE lease[] = {
        {CKA_CLASS,       &class_, sizeof class_},
        {CKA_KEY_TYPE,    &type,   sizeof type  },
        {CKA_TOKEN,       &no,     sizeof no    },
        {CKA_SENSITIVE,   &yes,    sizeof yes   },
        {CKA_EXTRACTABLE, &no,     sizeof no    },
        {CKA_DECRYPT,     &yes,    sizeof yes   },
    };
    struct stopwatch watch = stopwatch_start(0);
    size_t done = 0;
    while (is_running(&watch)) {
        CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
        must(direct->calls->C_UnwrapKey(direct->session, &mechanism,
                                        direct->root, (CK_BYTE *)bench->blob,
                                        bench->blob_len, lease, HF_COUNT(lease),
                                        &object),
             "C_UnwrapKey");
        must(direct->calls->C_DestroyObject(direct->session, object),
             "C_DestroyObject");
        done += 1;
    }
    return stopwatch_stop(&watch, done);
}

static void make_root(struct bench *bench)
{
    static const uint8_t key[HF_KEY_BYTES] = {1, 2, 3};
    struct token_request generate = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_CUSTOMER_KEY_TOKEN,
                       .bits = 3072,
                       .label = "bench root",
                       .id = {1},
                       .id_len = 1,
                       .report = &bench->root},
    };
    need(token_call(&bench->token, &generate), "generate");
    need(
        p11_oaep_encrypt((struct bytes){bench->root.spki, bench->root.spki_len},
                         TOKEN_SUITE_OAEP_SHA1, BYTES_OF(key), bench->blob,
                         &bench->blob_len),
        "wrap");
    bench->object = unwrap(bench);
}

/* In this process, and in the worker's. */
static HF_STATUS open_token(const char *sync_path, size_t queue_max,
                            struct token *out)
{
    struct secret *pin = NULL;
    struct pkcs11_refusal refusal;
    need(secret_new(6, &pin), "pin");
    memcpy(secret_writable(pin), "123456", 6);
    struct pkcs11_settings settings = {.module_path = softhsm_module(),
                                       .label = "bench",
                                       .pin = pin,
                                       .sync = PKCS11_SYNC_SYNCFS,
                                       .sync_path = sync_path,
                                       .queue_max = (uint32_t)queue_max,
                                       .clock = clock_system()};
    enum hf_status status = pkcs11_open(&settings, out, &refusal);
    if (status != HF_OK) {
        fprintf(stderr, "token_ops: %s\n", refusal.text);
    }
    secret_free(pin);
    return status;
}

/* The same token and root, a session key of its own. */
static void worker_start(struct bench *worker, const struct bench *bench,
                         const struct softhsm *softhsm)
{
    const struct spawned_settings settings = {.what = softhsm->tokens};
    *worker = *bench;
    need(spawned_worker_open(&settings, &worker->token), "worker");
    worker->worker = spawned_worker_pid(&worker->token);
    worker->object = unwrap(worker);
}

static void bench_start(struct bench *bench, const struct softhsm *softhsm)
{
    static const uint8_t key[HF_KEY_BYTES] = {1, 2, 3};
    need(open_token(softhsm->tokens, 0, &bench->token), "open");
    make_root(bench);
    struct token_request seal = {
        .op = TOKEN_OP_SEAL,
        .u.aead = {.key = bench->object,
                   .in = BYTES_OF(key),
                   .out = bench->sealed,
                   .out_cap = sizeof bench->sealed},
    };
    memset(seal.u.aead.iv, 1, HF_GCM_IV_BYTES);
    need(token_call(&bench->token, &seal), "seal");
    bench->sealed_len = seal.u.aead.out_len;
}

static void print_speed(const char *before, const char *name,
                        const struct speed *speed)
{
    printf("%s\"%s_per_s\": %.0f, \"%s_cpu_us\": %.2f", before, name,
           speed->per_s, name, speed->cpu_us);
}

static void print_ratio(const char *name, const struct speed *worker,
                        const struct speed *port)
{
    printf(", \"%s\": %.2f", name, worker->cpu_us / port->cpu_us);
}

/* Interleaved, so that what else the machine does meets both. */
static void compare_opens(const struct bench *bench, const struct bench *worker,
                          double straight_cpu_us)
{
    static const struct {
        size_t batch;
        const char *port;
        const char *worker;
        const char *ratio;
    } rounds[] = {
        {1,  "open_port_1",  "open_worker_1",  "open_worker_ratio_1" },
        {16, "open_port_16", "open_worker_16", "open_worker_ratio_16"},
        {64, "open_port_64", "open_worker_64", "open_worker_ratio_64"},
    };
    for (size_t i = 0; i < HF_COUNT(rounds); i++) {
        struct speed here = open_by_port(bench, rounds[i].batch);
        struct speed there = open_by_port(worker, rounds[i].batch);
        print_speed(", ", rounds[i].port, &here);
        print_speed(", ", rounds[i].worker, &there);
        print_ratio(rounds[i].ratio, &there, &here);
        if (rounds[i].batch == BATCH_MAX) {
            printf(", \"open_port_cost_us\": %.2f",
                   here.cpu_us - straight_cpu_us);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static struct bench in_worker;
    struct softhsm softhsm;
    struct direct direct = {.module = NULL};
    int worker = spawned_worker_main(argc, argv, open_token);
    if (worker >= 0) {
        return worker;
    }
    need(secret_heap_start(1 << 18), "secret heap");
    need(softhsm_start(&softhsm), "SoftHSM");
    need(softhsm_add_token(&softhsm, "bench", "123456", "654321"), "token");
    bench_start(&bench, &softhsm);
    worker_start(&in_worker, &bench, &softhsm);
    direct_start(&direct, &bench);

    struct speed straight = open_direct(&direct, &bench);
    print_speed("{", "open_direct", &straight);
    compare_opens(&bench, &in_worker, straight.cpu_us);
    struct speed root_straight = unwrap_direct(&direct, &bench);
    struct speed root = unwrap_by_port(&bench);
    struct speed root_worker = unwrap_by_port(&in_worker);
    print_speed(", ", "unwrap_3072_direct", &root_straight);
    print_speed(", ", "unwrap_3072_port", &root);
    print_speed(", ", "unwrap_3072_worker", &root_worker);
    printf("}\n");

    must(direct.calls->C_CloseSession(direct.session), "close");
    p11_module_release(direct.module);
    token_close(&in_worker.token);
    token_close(&bench.token);
    softhsm_stop(&softhsm);
    return 0;
}
