#include "hsm/tokend/caller.h"

#include "hsm/sys/log.h"

#include "hsm/worker/activation.h"
#include "hsm/worker/door.h"

#include <stdio.h>
#include <unistd.h>

HF_STATUS caller_open(struct caller *caller,
                      const struct tokend_options *options)
{
    *caller = (struct caller){.options = options, .listener = -1, .socket = -1};
    return options->activation == NULL
               ? HF_OK
               : door_open(options->activation, 0600, &caller->listener);
}

static void hang_up(struct caller *caller)
{
    if (caller->socket >= 0) {
        close(caller->socket);
    }
    caller->socket = -1;
    caller->asked = false;
}

void caller_close(struct caller *caller)
{
    hang_up(caller);
    if (caller->listener >= 0) {
        close(caller->listener);
        unlink(caller->options->activation);
        caller->listener = -1;
    }
}

void caller_accept(struct caller *caller)
{
    int socket = -1;
    uint32_t uid = 0;
    if (door_accept(caller->listener, &socket, &uid) != HF_OK) {
        return;
    }
    if (uid != 0 && uid != geteuid()) {
        log_event(LOG_WARN, "token.activation_refused",
                  LOG_TEXT("name", caller->options->name),
                  LOG_NUMBER("uid", uid));
        close(socket);
        return;
    }
    if (caller->asked) { /* his PIN is being tried, and he wants to know */
        const struct activation_answer busy = {
            HF_E_CONFLICT, "another PIN is being tried just now"};
        activation_reply(socket, &busy);
        close(socket);
        return;
    }
    hang_up(caller); /* one who says nothing keeps nobody out */
    caller->socket = socket;
}

HF_STATUS caller_hear(struct caller *caller, struct secret **out_pin)
{
    if (caller->asked) { /* there is nothing more to say: he has gone */
        hang_up(caller);
        return HF_E_UNREACHABLE;
    }
    enum hf_status status = activation_take(caller->socket, out_pin);
    if (status == HF_OK) {
        caller->asked = true;
    } else if (status != HF_E_OVERLOAD) {
        hang_up(caller);
    }
    return status;
}

void caller_tell(struct caller *caller, enum hf_status status, const char *why)
{
    if (!caller->asked) {
        return;
    }
    struct activation_answer answer = {.status = status};
    snprintf(answer.why, sizeof answer.why, "%s", why);
    activation_reply(caller->socket, &answer);
    hang_up(caller);
}
