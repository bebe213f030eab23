/* token_ops: what a bare token does a second in this process, straight through
 * the module and through the port, on one machine in one run.
 *
 * Prints one JSON object; for each of these, NAME_per_s and NAME_cpu_us (of all
 * threads, the submitter's too):
 *   open_direct        AES-GCM open of 32 bytes under a session key, one
 * thread, C_DecryptInit and C_Decrypt in a loop open_port_1        the same by
 * the port, one outstanding at a time open_port_16       16 submitted together,
 * the next 16 when all are answered open_port_64       and 64
 *   unwrap_3072_direct RSA-3072 OAEP, C_UnwrapKey and C_DestroyObject
 *   unwrap_3072_port   UNWRAP and FORGET, one outstanding at a time
 * and open_port_cost_us: open_port_64_cpu_us less open_direct_cpu_us.
 */
#include "hsm/base/check.h"

#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/pkcs11.h"
#include "hsm/pkcs11/public_key.h"

#include "tests/support/softhsm.h"

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
 * process, so that it holds on a busy machine too. */
struct speed {
    double per_s;
    double cpu_us;
};

struct stopwatch {
    double began_s;
    double began_cpu_s;
};

static struct stopwatch stopwatch_start(void)
{
    return (struct stopwatch){
        .began_s = seconds_of(CLOCK_MONOTONIC),
        .began_cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID),
    };
}

static bool is_running(const struct stopwatch *watch)
{
    return seconds_of(CLOCK_MONOTONIC) - watch->began_s < ROUND_S;
}

static struct speed stopwatch_stop(const struct stopwatch *watch, size_t done)
{
    double took_s = seconds_of(CLOCK_MONOTONIC) - watch->began_s;
    double cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - watch->began_cpu_s;
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
    struct token_request *pointers[BATCH_MAX];
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
    struct stopwatch watch = stopwatch_start();
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
    struct stopwatch watch = stopwatch_start();
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
    struct stopwatch watch = stopwatch_start();
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
    struct stopwatch watch = stopwatch_start();
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

static void bench_start(struct bench *bench, const struct softhsm *softhsm)
{
    static const uint8_t key[HF_KEY_BYTES] = {1, 2, 3};
    struct secret *pin = NULL;
    struct pkcs11_refusal refusal;
    need(secret_new(6, &pin), "pin");
    memcpy(secret_writable(pin), "123456", 6);
    struct pkcs11_settings settings = {.module_path = softhsm_module(),
                                       .label = "bench",
                                       .pin = pin,
                                       .sync = PKCS11_SYNC_SYNCFS,
                                       .sync_path = softhsm->tokens,
                                       .clock = clock_system()};
    need(pkcs11_open(&settings, &bench->token, &refusal), refusal.text);
    secret_free(pin);
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

int main(void)
{
    static struct bench bench;
    struct softhsm softhsm;
    struct direct direct = {.module = NULL};
    need(secret_heap_start(1 << 18), "secret heap");
    need(softhsm_start(&softhsm), "SoftHSM");
    need(softhsm_add_token(&softhsm, "bench", "123456", "654321"), "token");
    bench_start(&bench, &softhsm);
    direct_start(&direct, &bench);

    struct speed straight = open_direct(&direct, &bench);
    struct speed one = open_by_port(&bench, 1);
    struct speed sixteen = open_by_port(&bench, 16);
    struct speed full = open_by_port(&bench, 64);
    struct speed root_straight = unwrap_direct(&direct, &bench);
    struct speed root = unwrap_by_port(&bench);
    print_speed("{", "open_direct", &straight);
    print_speed(", ", "open_port_1", &one);
    print_speed(", ", "open_port_16", &sixteen);
    print_speed(", ", "open_port_64", &full);
    print_speed(", ", "unwrap_3072_direct", &root_straight);
    print_speed(", ", "unwrap_3072_port", &root);
    printf(", \"open_port_cost_us\": %.2f}\n", full.cpu_us - straight.cpu_us);

    must(direct.calls->C_CloseSession(direct.session), "close");
    p11_module_release(direct.module);
    token_close(&bench.token);
    softhsm_stop(&softhsm);
    return 0;
}
