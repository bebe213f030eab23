#include "hsm/worker/activation.h"

#include "hsm/base/bytes.h"
#include "hsm/base/text.h"

#include "hsm/sys/secret_file.h"

#include "hsm/worker/door.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC_AND_VERSION UINT32_C(0x48465001) /* "HFP", 1 */
#define ANSWER_MS         60000

struct question {
    uint32_t magic;
    uint32_t len;
    uint8_t pin[SECRET_FILE_MAX_BYTES + 1];
};

struct reply {
    uint32_t magic;
    uint32_t status;
    char why[TOKEN_WHY_BYTES];
};

/* In locked memory, as the PIN itself. */
static HF_STATUS ask(int socket, const struct secret *pin)
{
    HF_OWNED(secret_freep) struct secret *packed = NULL;
    size_t len = secret_len(pin);
    if (len > SECRET_FILE_MAX_BYTES) {
        return HF_E_INVALID;
    }
    HF_TRY(secret_new(sizeof(struct question), &packed));
    struct question *question = (struct question *)secret_writable(packed);
    question->magic = MAGIC_AND_VERSION;
    question->len = (uint32_t)len;
    memcpy(question->pin, secret_bytes(pin), len);
    ssize_t sent = send(socket, question, sizeof *question, MSG_NOSIGNAL);
    return sent == (ssize_t)sizeof *question ? HF_OK : HF_E_UNREACHABLE;
}

static HF_STATUS hear(int socket, struct activation_answer *out)
{
    struct reply reply;
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    int ready = poll(&wait, 1, ANSWER_MS);
    if (ready <= 0) {
        return ready == 0 ? HF_E_TIMEOUT : HF_E_UNREACHABLE;
    }
    ssize_t len = recv(socket, &reply, sizeof reply, MSG_DONTWAIT);
    if (len <= 0) {
        return HF_E_UNREACHABLE;
    }
    if (len != (ssize_t)sizeof reply || reply.magic != MAGIC_AND_VERSION ||
        reply.status >= HF_STATUS_COUNT ||
        memchr(reply.why, 0, sizeof reply.why) == NULL ||
        !text_is_plain(bytes_of_text(reply.why))) {
        return HF_E_CORRUPT;
    }
    out->status = (enum hf_status)reply.status;
    memcpy(out->why, reply.why, sizeof out->why);
    return HF_OK;
}

HF_STATUS activation_bring(const char *path, const struct secret *pin,
                           struct activation_answer *out)
{
    int socket = -1;
    uint32_t uid = 0;
    HF_TRY(door_knock(path, &socket, &uid));
    /* a PIN goes to who may have it, not to whoever made a socket there: root,
     * who brings it to the user of a service, looks whose place it is */
    bool may = uid == geteuid() || uid == 0 ||
               (geteuid() == 0 && door_is_of(path, uid));
    enum hf_status status = may ? HF_OK : HF_E_DENIED;
    if (status == HF_OK) {
        status = ask(socket, pin);
    }
    if (status == HF_OK) {
        status = hear(socket, out);
    }
    close(socket);
    return status;
}

HF_STATUS activation_take(int socket, struct secret **out_pin)
{
    HF_OWNED(secret_freep) struct secret *packed = NULL;
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    HF_TRY(secret_new(sizeof(struct question), &packed));
    struct question *question = (struct question *)secret_writable(packed);
    ssize_t len =
        recv(socket, question, sizeof *question, MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0) {
        return errno == EAGAIN || errno == EINTR ? HF_E_OVERLOAD
                                                 : HF_E_UNREACHABLE;
    }
    if (len == 0) {
        return HF_E_UNREACHABLE;
    }
    if (len != (ssize_t)sizeof *question ||
        question->magic != MAGIC_AND_VERSION || question->len == 0 ||
        question->len > SECRET_FILE_MAX_BYTES) {
        return HF_E_CORRUPT;
    }
    HF_TRY(secret_new(question->len, &pin));
    memcpy(secret_writable(pin), question->pin, question->len);
    *out_pin = HF_GIVE(pin);
    return HF_OK;
}

void activation_reply(int socket, const struct activation_answer *answer)
{
    struct reply reply = {.magic = MAGIC_AND_VERSION,
                          .status = (uint32_t)answer->status};
    snprintf(reply.why, sizeof reply.why, "%s", answer->why);
    ssize_t sent =
        send(socket, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* who has hung up looks at the token's state instead */
}
