#include "hsm/worker/control.h"

#include "hsm/base/bytes.h"
#include "hsm/base/text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC_AND_VERSION UINT32_C(0x48465401) /* "HFT", 1 */

/* Both ends run on one machine; what another version sends has another magic
 * or another length. */
struct packet {
    uint32_t magic;
    uint32_t kind;
    uint32_t condition;
    uint32_t status;
    uint32_t worker;
    uint32_t restarts;
    uint64_t refused_pin;
    char why[TOKEN_WHY_BYTES];
};

union descriptor_room {
    struct cmsghdr head;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

static enum hf_status status_of_errno(void)
{
    return errno == EAGAIN || errno == ENOBUFS || errno == EINTR
               ? HF_E_OVERLOAD
               : HF_E_UNREACHABLE;
}

HF_STATUS control_send(int socket, const struct control_message *message,
                       int descriptor)
{
    struct packet packet = {
        .magic = MAGIC_AND_VERSION,
        .kind = (uint32_t)message->kind,
        .condition = (uint32_t)message->state.condition,
        .status = (uint32_t)message->status,
        .worker = message->state.worker,
        .restarts = message->state.restarts,
        .refused_pin = message->refused_pin,
    };
    memcpy(packet.why, message->state.why, sizeof packet.why);
    packet.why[sizeof packet.why - 1] = '\0';
    struct iovec part = {&packet, sizeof packet};
    union descriptor_room room = {.bytes = {0}};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        room.head.cmsg_level = SOL_SOCKET;
        room.head.cmsg_type = SCM_RIGHTS;
        room.head.cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(&room.head), &descriptor, sizeof descriptor);
        head.msg_control = &room;
        head.msg_controllen = sizeof room.bytes;
    }
    return sendmsg(socket, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
               ? status_of_errno()
               : HF_OK;
}

static int descriptor_of(const struct msghdr *head)
{
    int descriptor = -1;
    const struct cmsghdr *first = CMSG_FIRSTHDR(head);
    if (first != NULL && first->cmsg_level == SOL_SOCKET &&
        first->cmsg_type == SCM_RIGHTS &&
        first->cmsg_len == CMSG_LEN(sizeof descriptor)) {
        memcpy(&descriptor, CMSG_DATA(first), sizeof descriptor);
    }
    return descriptor;
}

static bool is_sound(const struct packet *packet, size_t len, int descriptor)
{
    if (len != sizeof *packet || packet->magic != MAGIC_AND_VERSION ||
        packet->kind < CONTROL_STATE || packet->kind > CONTROL_KILL ||
        packet->condition >= TOKEN_CONDITION_COUNT ||
        packet->status >= HF_STATUS_COUNT ||
        memchr(packet->why, 0, sizeof packet->why) == NULL) {
        return false;
    }
    bool worker = packet->kind == CONTROL_WORKER;
    bool one = worker || packet->kind == CONTROL_KILL;
    return worker == (descriptor >= 0) && (!one || packet->worker > 0);
}

HF_STATUS control_receive(int socket, struct control_message *out,
                          int *out_descriptor)
{
    struct packet packet;
    struct iovec part = {&packet, sizeof packet};
    union descriptor_room room = {.bytes = {0}};
    struct msghdr head = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &room,
        .msg_controllen = sizeof room.bytes,
    };
    ssize_t len = recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0) {
        return status_of_errno();
    }
    int descriptor = descriptor_of(&head);
    if (len == 0) {
        return HF_E_UNREACHABLE;
    }
    bool cut = (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    if (cut || !is_sound(&packet, (size_t)len, descriptor)) {
        if (descriptor >= 0) {
            close(descriptor);
        }
        return HF_E_CORRUPT;
    }
    *out = (struct control_message){
        .kind = (enum control_kind)packet.kind,
        .state =
            {
                    .condition = (enum token_condition)packet.condition,
                    .worker = packet.worker,
                    .restarts = packet.restarts,
                    },
        .status = (enum hf_status)packet.status,
        .refused_pin = packet.refused_pin,
    };
    if (text_is_plain(bytes_of_text(packet.why))) {
        memcpy(out->state.why, packet.why, sizeof packet.why);
    }
    *out_descriptor = descriptor;
    return HF_OK;
}
