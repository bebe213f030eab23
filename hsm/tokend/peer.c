#include "hsm/tokend/peer.h"

#include "hsm/sys/log.h"

#include "hsm/tokend/beat.h"
#include "hsm/worker/door.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

HF_STATUS peer_open(struct peer *peer, const struct tokend_options *options)
{
    *peer = (struct peer){.options = options, .listener = -1, .control = -1};
    if (options->listen != NULL) {
        return door_open(options->listen, 0660, &peer->listener);
    }
    if (fcntl(PARENT_FD_CONTROL, F_SETFD, FD_CLOEXEC) != 0) {
        fprintf(stderr, "holdfast-tokend: without --listen it is started by "
                        "holdfastd only\n");
        return HF_E_DENIED;
    }
    peer->control = PARENT_FD_CONTROL;
    return HF_OK;
}

static void hang_up(struct peer *peer)
{
    if (peer->control >= 0) {
        close(peer->control);
        peer->control = -1;
    }
}

void peer_close(struct peer *peer)
{
    hang_up(peer);
    if (peer->listener >= 0) {
        close(peer->listener);
        unlink(peer->options->listen);
        peer->listener = -1;
    }
}

void peer_accept(struct peer *peer)
{
    int control = -1;
    uint32_t uid = 0;
    if (door_accept(peer->listener, &control, &uid) != HF_OK) {
        return;
    }
    bool may = uid == 0 || uid == geteuid() ||
               (peer->options->has_peer && uid == peer->options->peer);
    if (!may || peer->control >= 0) {
        log_event(LOG_WARN, "worker.refused_peer",
                  LOG_TEXT("name", peer->options->name), LOG_NUMBER("uid", uid),
                  LOG_TEXT("why", may ? "another one is connected"
                                      : "this user may not connect"));
        close(control);
        return;
    }
    peer->control = control;
    peer->told = false;
}

enum peer_news peer_read(struct peer *peer, uint32_t *out_worker)
{
    struct control_message message;
    int descriptor = -1;
    enum hf_status status =
        control_receive(peer->control, &message, &descriptor);
    if (status == HF_E_OVERLOAD) {
        return PEER_NOTHING;
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (status == HF_OK && message.kind == CONTROL_LOOK) {
        return PEER_LOOK;
    }
    if (status == HF_OK && message.kind == CONTROL_KILL) {
        *out_worker = message.state.worker;
        return PEER_KILL;
    }
    hang_up(peer);
    return PEER_GONE;
}

void peer_tell(struct peer *peer, const struct control_message *state)
{
    peer->state = *state;
    peer->told = false;
}

void peer_flush(struct peer *peer, struct children *children)
{
    if (peer->control < 0) {
        return;
    }
    struct child *serving = children_find(children, CHILD_SERVING);
    if (serving != NULL && serving->link >= 0) {
        const struct control_message message = {
            .kind = CONTROL_WORKER,
            .state = {.worker = serving->number},
        };
        if (control_send(peer->control, &message, serving->link) != HF_OK) {
            return; /* at the next turn, or never */
        }
        close(serving->link);
        serving->link = -1;
    }
    if (!peer->told) {
        peer->told = control_send(peer->control, &peer->state, -1) == HF_OK;
    }
}
