/* peer: is this certificate good, and whose is it?
 *
 * The one place that decides about a client's certificate, for the handshake
 * and again after a reload.
 */
#pragma once

#include "hsm/sys/clock.h"

#include "server/edge/edge.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <stdbool.h>

#define PEER_DETAIL_BYTES  128
#define PEER_SUBJECT_BYTES 256

struct peer_verdict {
    bool accepted;
    bool certificate_seen;
    enum edge_refusal refusal;      /* when not accepted */
    char detail[PEER_DETAIL_BYTES]; /* for the log */
    char subject[PEER_SUBJECT_BYTES];
    struct edge_identity identity; /* when accepted; connection_id is 0 */
    int64_t expires_ms; /* the earliest end of a certificate of the chain */
};

/* peer_verify: chain, purpose, time by clock, revocation, then identity.
 *
 * Takes     ctx set up with the store, the certificate and what came with it;
 *           its error is set when refused.
 * Gives     *out_verdict, complete; its accepted says the result.
 * Threads   the loop's only.
 */
void peer_verify(X509_STORE_CTX *ctx, const struct clock *clock,
                 struct peer_verdict *out_verdict);

/* peer_uri_valid: a SPIFFE ID in its one spelling, HF_URI_MAX_BYTES at most:
 * spiffe://trust-domain/segment/..., no query, port, escapes, empty or dotted
 * segments. len counts every byte, NULs too. */
bool peer_uri_valid(const char *uri, size_t len);
