#include "server/edge/wire.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

static bool is_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int wire_read(BIO *bio, char *data, int len)
{
    struct wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (wire->drained || wire->budget == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got = recv(wire->fd, data, (size_t)len, 0);
    if (got > 0) {
        size_t used = (size_t)got;
        wire->budget -= used < wire->budget ? used : wire->budget;
        wire->drained = got < len && !wire->hup;
        return (int)got;
    }
    if (got < 0 && is_later(errno)) {
        wire->drained = errno != EINTR;
        BIO_set_retry_read(bio);
        return -1;
    }
    wire->ended = got == 0;
    return (int)got;
}

static int wire_write(BIO *bio, const char *data, int len)
{
    const struct wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(wire->fd, data, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && is_later(errno)) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static long wire_ctrl(BIO *bio, int order, long number, void *argument)
{
    (void)number;
    (void)argument;
    const struct wire *wire = BIO_get_data(bio);
    switch (order) {
    case BIO_CTRL_FLUSH:
        return 1; /* nothing is kept here */
    case BIO_CTRL_EOF:
        return wire->ended ? 1 : 0;
    default:
        return 0;
    }
}

BIO_METHOD *wire_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire");
    if (method == NULL || BIO_meth_set_read(method, wire_read) != 1 ||
        BIO_meth_set_write(method, wire_write) != 1 ||
        BIO_meth_set_ctrl(method, wire_ctrl) != 1) {
        BIO_meth_free(method);
        ERR_clear_error();
        return NULL;
    }
    return method;
}

HF_STATUS wire_under(const BIO_METHOD *method, struct wire *wire, SSL *ssl)
{
    BIO *bio = BIO_new(method);
    if (bio == NULL) {
        ERR_clear_error();
        return HF_E_NO_MEMORY;
    }
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return HF_OK;
}

void wire_turn(struct wire *wire)
{
    wire->budget = WIRE_BUDGET_BYTES;
}

void wire_event(struct wire *wire, bool hup)
{
    wire->drained = false;
    wire->hup = wire->hup || hup;
}
