/* actor: a process that uses two tokens through the token port, as matrix.py
 * tells it: a line in is a command, a line out an answer.
 *
 *   NUMBER OP TOKEN ATTEMPT_MS   ->  NUMBER STATUS MS RV VERDICT [DETAIL]
 *
 * OP is one of ops.c, or load (opens the token), close, objects (session
 * objects alive); TOKEN is a or b. Commands run side by side, each on a thread
 * of its own. The process ends with its input.
 *
 *   actor --prepare MODULE FOLDER     fills both tokens, writes FOLDER/world
 *   actor --enumerate MODULE          what a process sees that has nothing to
 *                                     do with the port: TOKEN KIND NAME
 *   actor MODULE FOLDER TURN [PROGRAM]
 *                                     the TURN-th of its case, from 0: what it
 *                                     makes and destroys is numbered on; each
 *                                     token in a process of its own when
 *                                     PROGRAM (holdfast-tokend) is given
 */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/worker/worker.h"

#include "tests/fault/matrix/enumerate.h"
#include "tests/fault/matrix/ops.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MADE_A_TURN  20
#define OPEN_WAIT_MS 30000
/* as the daemon has it for customers' tokens */
#define LOST_WAIT_MS 1000

static struct {
    struct actor actor;
    const char *module;
    const char *folder;
    const char *program; /* NULL: in this process */
    struct secret *pin;
    pthread_mutex_t lock; /* of standard output */
} me = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct command {
    unsigned number;
    char op[32];
    size_t which;
    int64_t attempt_ms;
};

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

static enum hf_status load_here(size_t which, const char *tokens,
                                struct pkcs11_refusal *refusal)
{
    const struct pkcs11_settings settings = {
        .module_path = me.module,
        .label = world_labels[which],
        .pin = me.pin,
        .sync = PKCS11_SYNC_SYNCFS,
        .sync_path = tokens,
        .clock = clock_system(),
    };
    return pkcs11_open(&settings, &me.actor.token[which], refusal);
}

/* Opened once; then it opens itself, again and again, until that works. */
static enum hf_status load_worker(size_t which, const char *tokens,
                                  struct pkcs11_refusal *refusal)
{
    struct token *token = &me.actor.token[which];
    struct token_state state = {.why = ""};
    char pin_file[512];
    snprintf(pin_file, sizeof pin_file, "%s/pin", me.folder);
    const struct worker_settings settings = {
        .program = me.program,
        .module = me.module,
        .label = world_labels[which],
        .pin_file = pin_file,
        .sync_path = tokens,
        .name = world_labels[which],
        .wait_ms = LOST_WAIT_MS,
        .clock = clock_system(),
        .log_level = LOG_WARN,
    };
    if (token->port == NULL) {
        HF_TRY(worker_open(&settings, token));
    }
    enum hf_status status = worker_token_wait(token, OPEN_WAIT_MS, &state);
    snprintf(refusal->text, sizeof refusal->text, "%.200s", state.why);
    return status;
}

static enum hf_status load(size_t which, struct pkcs11_refusal *refusal)
{
    char tokens[512];
    snprintf(tokens, sizeof tokens, "%s/tokens", me.folder);
    return me.program != NULL ? load_worker(which, tokens, refusal)
                              : load_here(which, tokens, refusal);
}

static bool run_own(const struct command *command, struct op_answer *answer)
{
    struct token *token = &me.actor.token[command->which];
    if (strcmp(command->op, "load") == 0) {
        struct pkcs11_refusal refusal = {.rv = 0};
        answer->status = load(command->which, &refusal);
        answer->rv = refusal.rv;
        snprintf(answer->detail, sizeof answer->detail, "%.100s", refusal.text);
    } else if (strcmp(command->op, "close") == 0) {
        token_close(token);
    } else if (strcmp(command->op, "objects") == 0) {
        struct token_counters counters;
        token_counters_get(token, &counters);
        snprintf(answer->detail, sizeof answer->detail, "%llu",
                 (unsigned long long)counters.objects);
    } else {
        return false;
    }
    return true;
}

static void *command_main(void *argument)
{
    struct command *command = argument;
    struct op_answer answer = {.status = HF_OK, .verdict = "-"};
    int64_t began_ms = now_ms();
    if (!run_own(command, &answer)) {
        op_fn *op = op_find(command->op);
        if (op == NULL) {
            fprintf(stderr, "actor: what is %s?\n", command->op);
            abort();
        }
        op(&me.actor, command->which, command->attempt_ms, &answer);
    }
    pthread_mutex_lock(&me.lock);
    printf("%u %s %lld %#lx %s %s\n", command->number,
           hf_status_name(answer.status), (long long)(now_ms() - began_ms),
           answer.rv, answer.verdict, answer.detail);
    fflush(stdout);
    pthread_mutex_unlock(&me.lock);
    free(command);
    return NULL;
}

static int serve(void)
{
    char line[256];
    char which = 'a';
    char path[512];
    snprintf(path, sizeof path, "%s/world", me.folder);
    if (world_load(&me.actor.world, path) != HF_OK) {
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct command *command = calloc(1, sizeof *command);
        long long attempt_ms = 0;
        pthread_t thread;
        CHECK(command != NULL);
        if (sscanf(line, "%u %31s %c %lld", &command->number, command->op,
                   &which, &attempt_ms) != 4) {
            fprintf(stderr, "actor: not understood: %s\n", line);
            return 1;
        }
        command->which = which == 'b' ? 1 : 0;
        command->attempt_ms = attempt_ms;
        CHECK(pthread_create(&thread, NULL, command_main, command) == 0);
        pthread_detach(thread);
    }
    return 0;
}

static int prepare(void)
{
    struct pkcs11_refusal refusal = {.rv = 0};
    char path[512];
    snprintf(path, sizeof path, "%s/world", me.folder);
    for (size_t i = 0; i < 2; i++) {
        enum hf_status status = load(i, &refusal);
        if (status != HF_OK) {
            fprintf(stderr, "actor: %s: %s\n", hf_status_name(status),
                    refusal.text);
            return 1;
        }
    }
    enum hf_status status = world_make(me.actor.token, &me.actor.world);
    if (status == HF_OK) {
        status = world_save(&me.actor.world, path);
    }
    token_close(&me.actor.token[0]);
    token_close(&me.actor.token[1]);
    return status == HF_OK ? 0 : 1;
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "--enumerate") == 0) {
        return enumerate(argv[2]);
    }
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "actor: see the head of actor.c\n");
        return 2;
    }
    bool preparing = strcmp(argv[1], "--prepare") == 0;
    me.module = argv[preparing ? 2 : 1];
    me.folder = argv[preparing ? 3 : 2];
    if (!preparing) {
        unsigned turn = (unsigned)strtoul(argv[3], NULL, 10);
        me.actor.made = turn * MADE_A_TURN;
        me.actor.destroyed = turn;
        me.program = argc == 5 ? argv[4] : NULL;
    }
    if (secret_heap_start(1 << 18) != HF_OK ||
        secret_new(strlen(WORLD_PIN), &me.pin) != HF_OK) {
        return 1;
    }
    memcpy(secret_writable(me.pin), WORLD_PIN, strlen(WORLD_PIN));
    int code = preparing ? prepare() : serve();
    fflush(stdout);
    /* threads may be in a call that never returns: nothing waits for them */
    _exit(code);
}
