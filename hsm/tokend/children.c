#include "hsm/tokend/children.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/text.h"

#include "hsm/sys/log.h"

#include "hsm/tokend/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A heart beats every 100 ms. On a busy machine under a sanitizer a thread may
 * well not run for a second. */
#define SILENT_MS       1500
#define FIRST_SILENT_MS 15000
/* pkcs11_open gives up after 30 s by itself; whoever stands at a PIN pad may
 * take as long as child.c says */
#define OPENING_MS     35000
#define PAD_OPENING_MS (16 * 60 * 1000)
#define WEIGH_MS       1000
/* More than a heart says in the time that the parent may be late: one that does
 * not stop keeps nobody else waiting. */
#define HEARD_MAX 256
/* How long a call may go on after its deadline, before the worker counts as
 * worn: a module may be slow at times. */
#define LOST_MS 3000
/* The longest key lease, and a little. */
#define DRAIN_MS (HF_KEY_LEASE_MAX_MS + 60000)

void children_set_up(struct children *children,
                     const struct tokend_options *options, int argc,
                     char **argv, const struct children_owner *owner)
{
    *children = (struct children){
        .options = options,
        .argc = argc,
        .argv = argv,
        .owner = *owner,
        .next_number = options->first_worker,
    };
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        children->at[i].beat = -1;
        children->at[i].link = -1;
    }
}

struct child *children_find(struct children *children, enum child_role role)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children->at[i].role == role) {
            return &children->at[i];
        }
    }
    return NULL;
}

bool children_are_gone(const struct children *children)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children->at[i].role != CHILD_NONE) {
            return false;
        }
    }
    return true;
}

HF_STATUS children_start(struct children *children, const struct secret *pin,
                         int64_t now_ms)
{
    CHECK(children_find(children, CHILD_NEWEST) == NULL);
    struct child *child = children_find(children, CHILD_NONE);
    if (child == NULL) {
        return HF_E_LIMIT;
    }
    struct started started;
    const struct start start = {
        .argc = children->argc,
        .argv = children->argv,
        .number = children->next_number,
        .pin = pin,
    };
    HF_TRY(start_worker(&start, &started));
    *child = (struct child){
        .role = CHILD_NEWEST,
        .pid = started.pid,
        .number = children->next_number,
        .beat = started.beat,
        .link = started.link,
        .started_ms = now_ms,
        .role_ms = now_ms,
    };
    children->next_number += 1;
    log_event(
        LOG_DEBUG, "worker.started", LOG_TEXT("name", children->options->name),
        LOG_NUMBER("worker", child->number), LOG_NUMBER("pid", child->pid));
    return HF_OK;
}

static void set_role(struct child *child, enum child_role role, int64_t now_ms)
{
    child->role = role;
    child->role_ms = now_ms;
}

void children_promote(struct children *children, int64_t now_ms)
{
    struct child *before = children_find(children, CHILD_SERVING);
    struct child *newest = children_find(children, CHILD_NEWEST);
    CHECK(newest != NULL);
    if (before != NULL) {
        set_role(before, CHILD_DRAINING, now_ms);
        if (before->link >= 0) { /* nobody ever had it */
            close(before->link);
            before->link = -1;
        }
    }
    set_role(newest, CHILD_SERVING, now_ms);
}

static void tell(struct children *children, struct child *child,
                 enum child_event event, const struct beat *beat,
                 const char *why)
{
    children->owner.happened(children->owner.self, child, event, beat, why);
}

static void close_both(struct child *child)
{
    if (child->beat >= 0) {
        close(child->beat);
        child->beat = -1;
    }
    if (child->link >= 0) {
        close(child->link);
        child->link = -1;
    }
}

/* Its role is over; the owner hears it first. */
static void part(struct children *children, struct child *child)
{
    if (child->role != CHILD_ENDING) {
        tell(children, child, CHILD_GONE, NULL, NULL);
    }
    child->role = CHILD_ENDING;
    close_both(child);
}

void children_kill(struct children *children, struct child *child,
                   const char *why)
{
    if (child->role == CHILD_ENDING) {
        return;
    }
    log_event(LOG_ERROR, "worker.killed",
              LOG_TEXT("name", children->options->name),
              LOG_NUMBER("worker", child->number),
              LOG_NUMBER("pid", child->pid), LOG_TEXT("why", why));
    kill(child->pid, SIGKILL);
    part(children, child);
}

void children_kill_all(struct children *children)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &children->at[i];
        if (child->role != CHILD_NONE) {
            kill(child->pid, SIGKILL);
            child->role = CHILD_ENDING;
            close_both(child);
        }
    }
}

static void tell_end(const struct children *children, const struct child *child,
                     int status)
{
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (child->role == CHILD_ENDING || child->role == CHILD_DRAINING || good) {
        return;
    }
    log_event(
        LOG_ERROR, "worker.ended", LOG_TEXT("name", children->options->name),
        LOG_NUMBER("worker", child->number), LOG_NUMBER("pid", child->pid),
        LOG_NUMBER("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
        LOG_NUMBER("code", WIFEXITED(status) ? WEXITSTATUS(status) : 0));
}

static void look_at_process(struct children *children, struct child *child)
{
    int status = 0;
    pid_t pid = 0;
    do {
        pid = waitpid(child->pid, &status, WNOHANG | WUNTRACED);
    } while (pid < 0 && errno == EINTR);
    if (pid != child->pid) {
        return;
    }
    if (WIFSTOPPED(status)) {
        children_kill(children, child, "it was stopped");
        return;
    }
    /* what it said last comes before its end */
    children_hear(children, child, child->beat_ms);
    tell_end(children, child, status);
    part(children, child);
    *child = (struct child){.beat = -1, .link = -1};
}

void children_reap(struct children *children)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children->at[i].role != CHILD_NONE) {
            look_at_process(children, &children->at[i]);
        }
    }
}

static bool is_sound(const struct beat *beat, ssize_t len)
{
    return len == (ssize_t)sizeof *beat && beat->status < HF_STATUS_COUNT &&
           memchr(beat->why, 0, sizeof beat->why) != NULL &&
           text_is_plain(bytes_of_text(beat->why));
}

/* The worker runs a module that nobody here trusts. */
static void take(struct children *children, struct child *child,
                 const struct beat *beat)
{
    switch ((enum beat_kind)beat->kind) {
    case BEAT_ALIVE:
        child->lost_ms = beat->lost == 0       ? 0
                         : child->lost_ms == 0 ? child->beat_ms
                                               : child->lost_ms;
        return;
    case BEAT_OPENED:
        if (child->role == CHILD_NEWEST) {
            tell(children, child, CHILD_OPENED, beat, NULL);
        }
        return;
    case BEAT_REFUSED:
        if (child->role == CHILD_NEWEST && beat->status != HF_OK) {
            child->role = CHILD_ENDING; /* no news when it has ended */
            kill(child->pid, SIGKILL);  /* which it does not do if it lies */
            tell(children, child, CHILD_REFUSED, beat, NULL);
        }
        return;
    case BEAT_OFFERED:
    case BEAT_DECIDED:
        child->offered = beat->kind == BEAT_OFFERED;
        return;
    case BEAT_LANE:
        children_kill(children, child, beat->why);
        return;
    }
}

void children_hear(struct children *children, struct child *child,
                   int64_t now_ms)
{
    struct beat beat;
    for (size_t i = 0; i < HEARD_MAX && child->beat >= 0; i++) {
        ssize_t len = recv(child->beat, &beat, sizeof beat, MSG_DONTWAIT);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            return;
        }
        if (len == 0) { /* its end is told by the kernel, or by silence */
            close(child->beat);
            child->beat = -1;
            return;
        }
        if (is_sound(&beat, len)) {
            child->beat_ms = now_ms;
            take(children, child, &beat);
        }
    }
}

/* Resident pages, in KiB; 0: not told. */
static uint64_t resident_kb(pid_t pid)
{
    char path[32];
    char text[128];
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    ssize_t len = read(file, text, sizeof text - 1);
    close(file);
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    const char *second = strchr(text, ' ');
    uint64_t pages = second != NULL ? strtoull(second + 1, NULL, 10) : 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void weigh(struct children *children, struct child *child,
                  int64_t now_ms)
{
    if (now_ms - child->weighed_ms < WEIGH_MS) {
        return;
    }
    child->weighed_ms = now_ms;
    uint64_t now_kb = resident_kb(child->pid);
    uint64_t limit_kb = (uint64_t)children->options->memory_mb * 1024;
    if (child->first_kb == 0) {
        child->first_kb = now_kb;
    } else if (limit_kb > 0 && now_kb > child->first_kb + limit_kb) {
        tell(children, child, CHILD_WORN, NULL, "it has grown too large");
    }
}

static const char *fault_of(const struct children *children,
                            const struct child *child, int64_t now_ms)
{
    bool pad = children->options->pin_source == PIN_FROM_PAD;
    int64_t silent_ms =
        now_ms - (child->beat_ms > 0 ? child->beat_ms : child->started_ms);
    if (silent_ms > (child->beat_ms > 0 ? SILENT_MS : FIRST_SILENT_MS)) {
        return "it gave no sign of life";
    }
    if (child->role == CHILD_NEWEST &&
        now_ms - child->started_ms > (pad ? PAD_OPENING_MS : OPENING_MS)) {
        return "its token was not open in time";
    }
    if (child->role == CHILD_DRAINING && now_ms - child->role_ms > DRAIN_MS) {
        return "what was begun in it should have ended";
    }
    return NULL;
}

void children_watch(struct children *children, int64_t before_ms,
                    int64_t now_ms)
{
    int64_t late_ms = now_ms - before_ms - BEAT_EVERY_MS;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &children->at[i];
        if (child->role == CHILD_NONE || child->role == CHILD_ENDING) {
            continue;
        }
        if (late_ms > BEAT_EVERY_MS && child->beat_ms > 0) {
            child->beat_ms += late_ms;
        }
        const char *fault = fault_of(children, child, now_ms);
        if (fault != NULL) {
            children_kill(children, child, fault);
        } else if (child->role == CHILD_SERVING) {
            weigh(children, child, now_ms);
            if (child->lost_ms > 0 && now_ms - child->lost_ms > LOST_MS) {
                tell(children, child, CHILD_WORN, NULL,
                     "a call in its module does not return");
            }
        }
    }
}
