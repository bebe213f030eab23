/* wire: the socket under a TLS session, with a budget.
 *
 * OpenSSL reads on as long as there is something to read, also what never
 * becomes a plain byte (key updates): one client that sends fast enough would
 * keep the loop to itself. So each turn has a budget, and when it is used up
 * the session is told to come again. A read that came short says that the
 * socket is empty, which saves asking; writes raise no signal.
 */
#pragma once

#include "hsm/base/status.h"

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>

#define WIRE_BUDGET_BYTES 131072

struct wire {
    int fd;
    size_t budget; /* still to be read in this turn */
    bool drained;  /* nothing to read until an event */
    bool hup;      /* the end is near: a short read does not mean drained */
    bool ended;    /* the peer closed its way */
};

/* wire_method: how OpenSSL uses a wire. NULL when there is no memory; freed
 * with BIO_meth_free after the last session. */
BIO_METHOD *wire_method(void);

/* wire_under: puts wire (which outlives ssl) under ssl.
 * Returns: HF_OK; HF_E_NO_MEMORY. */
HF_STATUS wire_under(const BIO_METHOD *method, struct wire *wire, SSL *ssl);

/* wire_turn: a new turn, with a full budget. */
void wire_turn(struct wire *wire);

/* wire_event: there may be something to read; hup: the end may be among it. */
void wire_event(struct wire *wire, bool hup);
