#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "hsm/pkcs11/inside.h"

#include <fcntl.h>
#include <unistd.h>

#define LOG_LINES_A_SECOND 5

struct p11_work p11_work_begin(struct p11_token *token)
{
    return (struct p11_work){
        .token = token, .session = CK_INVALID_HANDLE, .kind = RV_FINAL};
}

/* How many lines were left out so far, or -1: not this one either. */
static int64_t may_log(struct p11_token *token)
{
    int64_t second = clock_monotonic_ms(token->clock) / 1000;
    int64_t dropped = -1;
    pthread_mutex_lock(&token->lock);
    if (token->log_second != second) {
        token->log_second = second;
        token->log_count = 0;
    }
    if (token->log_count < LOG_LINES_A_SECOND) {
        token->log_count += 1;
        dropped = token->log_dropped;
        token->log_dropped = 0;
    } else {
        token->log_dropped += 1;
    }
    pthread_mutex_unlock(&token->lock);
    return dropped;
}

void p11_log(struct p11_work *work, const char *event, enum hf_status status)
{
    /* without a code of the module the status has said everything */
    if (work->rv == CKR_OK) {
        return;
    }
    int64_t dropped = may_log(work->token);
    if (dropped < 0) {
        return;
    }
    struct rv_meaning meaning = rv_meaning(work->rv);
    /* table 6-A: an unknown code is TRANSIENT plus an alert */
    log_event(
        meaning.known ? LOG_INFO : LOG_WARN,
        meaning.known ? event : "token.unknown_code",
        LOG_TEXT("token", work->token->label),
        LOG_TEXT("function", work->function != NULL ? work->function : "?"),
        LOG_TEXT("code", meaning.name), LOG_NUMBER("rv", work->rv),
        LOG_TEXT("status", hf_status_name(status)),
        LOG_NUMBER("lines_left_out", dropped));
}

bool p11_descriptors_left(struct p11_token *token)
{
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        p11_module_stale(token->module);
        return false;
    }
    close(descriptor);
    return true;
}
