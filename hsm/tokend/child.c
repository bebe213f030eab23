#include "hsm/tokend/child.h"

#include "hsm/base/bytes.h"

#include "hsm/sys/secret_file.h"

#include "hsm/tokend/beat.h"
#include "hsm/worker/serve.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Keys of MEMORY residency pass through here, one for each request at most. */
#define SECRET_HEAP_BYTES ((size_t)512 * 1024)
/* Somebody has to come to the token and enter its PIN. */
#define PAD_LIMIT_MS (15 * 60 * 1000)

/* Of the whole process: threads that are lost in the module. */
static atomic_int lost_threads;

static void tell(const struct beat *beat)
{
    ssize_t sent =
        send(CHILD_FD_BEAT, beat, sizeof *beat, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* a parent that is not there ends us, one that is late reads
                   what it has first */
}

/* However long the module takes on other threads. */
static void *beat_main(void *argument)
{
    struct beat alive = {.kind = BEAT_ALIVE};
    struct pollfd parent = {.fd = CHILD_FD_BEAT, .events = POLLIN};
    (void)argument;
    for (;;) {
        int lost = atomic_load(&lost_threads);
        alive.lost = lost > 0 ? (uint32_t)lost : 0;
        tell(&alive);
        if (poll(&parent, 1, BEAT_EVERY_MS) > 0) {
            _exit(1); /* it says nothing, so it is gone */
        }
    }
    return NULL;
}

static bool start_beats(void)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, beat_main, NULL) == 0 &&
                   pthread_detach(thread) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void lane_alive(void *self, const char *lane, bool alive)
{
    (void)self;
    struct beat beat = {.kind = BEAT_LANE};
    if (!alive) {
        snprintf(beat.why, sizeof beat.why,
                 "every thread of the %s lane is lost in the module", lane);
        tell(&beat);
    }
}

static void thread_lost(void *self, bool lost)
{
    (void)self;
    atomic_fetch_add(&lost_threads, lost ? 1 : -1);
}

static void pin_offered(void *self, bool under_way)
{
    const struct beat beat = {.kind = under_way ? BEAT_OFFERED : BEAT_DECIDED};
    (void)self;
    tell(&beat);
}

static void refuse(enum hf_status status, const struct pkcs11_refusal *refusal)
{
    struct beat beat = {
        .kind = BEAT_REFUSED,
        .status = (uint32_t)status,
        .pin_refused = refusal->pin_refused ? 1 : 0,
    };
    snprintf(beat.why, sizeof beat.why, "%s",
             refusal->text[0] != '\0' ? refusal->text : hf_status_text(status));
    tell(&beat);
}

static HF_STATUS open_token(const struct tokend_options *options,
                            struct token *out_token,
                            struct pkcs11_refusal *refusal)
{
    bool pad = options->pin_source == PIN_FROM_PAD;
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    if (!pad) {
        HF_TRY(secret_from_fd(CHILD_FD_PIN, &pin));
    }
    close(CHILD_FD_PIN);
    const struct pkcs11_settings settings = {
        .module_path = options->module,
        .label = options->label,
        .serial = options->serial,
        .pin = pin,
        .sync = options->sync,
        .sync_path = options->sync_path,
        .max_sessions = options->sessions,
        .queue_max = options->queue,
        .open_limit_ms = pad ? PAD_LIMIT_MS : 0,
        .lane_alive = lane_alive,
        .thread_lost = thread_lost,
        .pin_offered = pin_offered,
    };
    return pkcs11_open(&settings, out_token, refusal);
}

int child_run(const struct tokend_options *options)
{
    struct token token = {0};
    struct pkcs11_refusal refusal = {.text = ""};
    const struct beat opened = {.kind = BEAT_OPENED};
    enum hf_status status = secret_heap_start(SECRET_HEAP_BYTES);
    if (status != HF_OK) {
        snprintf(refusal.text, sizeof refusal.text,
                 "%zu KiB of memory for keys cannot be locked: raise "
                 "RLIMIT_MEMLOCK",
                 SECRET_HEAP_BYTES / 1024);
    } else if (!start_beats()) {
        status = HF_E_RESOURCES;
    } else {
        status = open_token(options, &token, &refusal);
    }
    if (status != HF_OK) {
        refuse(status, &refusal);
        _exit(1); /* not through what the module left behind */
    }
    tell(&opened);
    status =
        worker_serve(CHILD_FD_LINK, options->worker, options->queue, &token);
    return status == HF_OK ? 0 : 1;
}
