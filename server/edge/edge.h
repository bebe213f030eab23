/* edge: the listener of our own, in front of gRPC-core.
 *
 *   client --TLS 1.3, client certificate--> edge --Unix socket--> gRPC-core
 *
 * It accepts, proves who the peer is, and relays the plain stream to a
 * gRPC-core server that listens on a private Unix socket. It knows bytes,
 * connections and certificates, and no gRPC type. The rpc layer asks it who is
 * behind a connection.
 *
 * Who is behind a call: the edge binds its own end of the Unix socket to an
 * abstract name before it connects and files the identity under that name
 * before it connects. The name holds 128 random bits of this edge and a number
 * that is never given twice, so it is never reused. gRPC-core 1.51.1 reports
 * it, measured, as the peer of a call (grpc_call_get_peer, 0.015 us, no
 * percent-encoding because the name has only letters, digits and dashes):
 *
 *   unix-abstract:hf-<32 hex digits>-<16 hex digits>
 *
 * Hand exactly that string to edge_lookup. Once the connection is closed the
 * name is unknown: late calls of it fail closed.
 *
 * A certificate is accepted only if its chain verifies to the client CA file,
 * it is valid now, carries clientAuth as extended key usage, is not a CA, is
 * not revoked, and holds exactly one URI as subject alternative name, which is
 * a SPIFFE ID (other kinds of names may stand beside it and mean nothing here).
 * Revocation fails closed: without a current list, signed by the right issuer,
 * for every CA of the chain nobody is accepted. The list file holds one PEM
 * list for each CA; a list that ends while the process runs refuses new
 * connections and leaves those that are open. Its signature is verified with
 * each handshake, so a list of many thousand entries costs. Each connection
 * proves its certificate: there is no resumption and no early data. A
 * connection is closed when a certificate of its chain ends, and after
 * edge_reload when it no longer verifies.
 *
 * It may not: parse HTTP/2, know a role, or keep plain bytes longer than it
 * takes to pass them on.
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "hsm/sys/clock.h"

#include <stddef.h>
#include <stdint.h>

/* crl_path of a deployment that decided to check no revocation. */
#define EDGE_CRL_NONE               "none"

#define EDGE_PATH_MAX_BYTES         512 /* of a file, without the NUL */
#define EDGE_SERIAL_TEXT            41  /* 20 bytes as hex and the NUL */
#define EDGE_CONNECTIONS_MAX        65536
#define EDGE_PEER_NAME_TEXT         67 /* the whole peer string and the NUL */
#define EDGE_TIMEOUT_MAX_MS         (24 * 3600 * 1000)
#define EDGE_LISTEN_ADDRESS_BYTES   64
#define EDGE_BACKEND_PATH_MAX_BYTES 107 /* sun_path */

struct edge;

struct edge_settings {
    const char *listen_address;   /* an IPv4 or IPv6 literal, no brackets */
    uint16_t listen_port;         /* 0: any free one, see edge_port */
    const char *backend_path;     /* Unix socket of gRPC, in a 0700 directory */
    const char *certificate_path; /* PEM, own certificate first */
    const char *key_path;         /* PEM; NULL: the key is in a token */
    /* engine/token_key.h; NULL with key_path */
    const char *key_uri;
    const char *key_module;
    const char *key_pin_path;
    const char *client_ca_path;   /* PEM, the roots that clients chain to */
    const char *crl_path;         /* PEM, or EDGE_CRL_NONE */
    int64_t handshake_timeout_ms; /* 1 to EDGE_TIMEOUT_MAX_MS */
    int64_t idle_timeout_ms;      /* no byte either way for so long: closed */
    uint32_t connections_max;     /* 1 to EDGE_CONNECTIONS_MAX */
    uint32_t connections_per_identity_max; /* 1 to connections_max */
    const struct clock *clock;             /* outlives the edge */
};

/* Who is behind a connection. */
struct edge_identity {
    uint64_t connection_id;         /* never given twice by one edge; never 0 */
    char uri[HF_URI_MAX_BYTES + 1]; /* the SPIFFE ID */
    char serial[EDGE_SERIAL_TEXT];  /* of the certificate, lower-case hex */
    uint8_t fingerprint[HF_SHA256_BYTES]; /* SHA-256 of its DER */
    int64_t not_after_ms;                 /* wall time, Unix epoch */
};

/* Why a handshake was refused: name in the log and in the counters. */
#define EDGE_REFUSAL_TABLE(X)                                                  \
    X(EDGE_REFUSED_NO_CERTIFICATE, no_certificate)                             \
    X(EDGE_REFUSED_EXPIRED, expired)     /* or not yet valid            */     \
    X(EDGE_REFUSED_UNTRUSTED, untrusted) /* chain, signature, CA        */     \
    X(EDGE_REFUSED_PURPOSE, purpose)     /* no clientAuth, or a CA      */     \
    X(EDGE_REFUSED_REVOKED, revoked)                                           \
    X(EDGE_REFUSED_CRL, crl)           /* no usable list: fails closed  */     \
    X(EDGE_REFUSED_IDENTITY, identity) /* not exactly one SPIFFE ID     */     \
    X(EDGE_REFUSED_PROTOCOL, protocol) /* version, ALPN, alert, gone    */     \
    X(EDGE_REFUSED_TIMEOUT, timeout)

enum edge_refusal {
#define X(code, name) code,
    EDGE_REFUSAL_TABLE(X)
#undef X
        EDGE_REFUSAL_COUNT
};

/* Since edge_start, but for open. */
struct edge_counters {
    uint64_t accepted;      /* TCP connections                             */
    uint64_t handshakes_ok; /* accepted certificates                       */
    uint64_t handshakes_failed[EDGE_REFUSAL_COUNT];
    uint64_t open;        /* now: handshaking, relaying or closing        */
    uint64_t refused_cap; /* over connections_max: closed at once         */
    uint64_t refused_identity_cap; /* over connections_per_identity_max    */
    uint64_t backend_failed; /* gRPC's socket could not be reached         */
    uint64_t accept_paused;  /* times that accepting stopped for want of
                                descriptors or memory                      */
    uint64_t closed_idle;
    uint64_t closed_expired; /* certificate ended while connected          */
    uint64_t closed_reload;  /* no longer verified after edge_reload       */
    uint64_t bytes_in;       /* plain bytes, client to gRPC                */
    uint64_t bytes_out;
};

/* edge_refusal_name: "revoked" and so on. */
const char *edge_refusal_name(enum edge_refusal refusal);

/* edge_start: reads the files, listens and starts the one thread.
 *
 * Takes     settings: copied, but for the clock. SIGPIPE is never raised. Each
 *           connection takes three descriptors (TCP, Unix, gRPC's own end):
 *           connections_max is lowered, with a log line, to what RLIMIT_NOFILE
 *           leaves, because gRPC's listener never accepts again once it ran
 *           out of descriptors.
 * Gives     *out_edge, freed with edge_free; untouched on failure.
 * Returns   HF_OK. HF_E_INVALID for a setting out of range or a certificate,
 *           key or CA file that cannot be used (the log names the file and
 *           why). HF_E_DENIED when the key's token refuses the PIN: whoever
 *           starts again tries it again. HF_E_UNREACHABLE when the address
 * cannot be bound. HF_E_RESOURCES, HF_E_NO_MEMORY. A revocation list that
 * cannot be used is no failure here: it is logged and every handshake is
 *           refused until edge_reload finds a good one.
 */
HF_STATUS edge_start(const struct edge_settings *settings,
                     struct edge **out_edge);

/* edge_port: the port it listens on. Threads: safe from any thread. */
uint16_t edge_port(const struct edge *edge);

/* edge_reload: reads certificate, key, CA and revocation list again.
 *
 * On success new handshakes use the new set, and connections that do not
 * verify against it are closed, a few at a time, oldest set first.
 *
 * Returns   HF_OK; HF_E_INVALID when any of the files is bad, the list is
 *           missing or out of date, or lacks one of the CAs (the old set stays
 *           in use; the log names the file and why); HF_E_DENIED
 *           as edge_start, and the same; HF_E_NO_MEMORY;
 *           HF_E_PRECONDITION after edge_stop.
 * Blocks    for reading the files and one turn of the loop.
 * Threads   safe from any thread.
 */
HF_STATUS edge_reload(struct edge *edge);

/* edge_drain: stops listening; connections go on until they end by themselves.
 * Threads: safe from any thread. */
void edge_drain(struct edge *edge);

/* edge_stop: closes every connection and joins the thread. Lookups then find
 * nothing. Twice is once. Not from two threads at a time. */
void edge_stop(struct edge *edge);

/* edge_free: as edge_stop, then frees. No other call may run or follow: free
 * it after the gRPC server is gone. */
void edge_free(struct edge *edge);
HF_DEFINE_FREEP(struct edge, edge)

/* edge_lookup: who is behind the call whose peer string this is.
 *
 * Takes     peer_name as grpc_call_get_peer gives it.
 * Returns   HF_OK; HF_E_NOT_FOUND for anything but the name of a connection
 *           that is open now.
 * Blocks    no (one short uncontended lock, a copy).
 * Threads   safe from any thread, until edge_free.
 */
HF_STATUS edge_lookup(struct edge *edge, const char *peer_name,
                      struct edge_identity *out_identity);

/* edge_connection: only the connection's id, for a caller that keeps what it
 * decided about a connection: no lock, no copy.
 *
 * Returns   as edge_lookup: HF_OK proves that the connection is open now.
 * Threads   safe from any thread, until edge_free.
 */
HF_STATUS edge_connection(const struct edge *edge, const char *peer_name,
                          uint64_t *out_connection_id);

/* edge_counters: each is exact, together they are a moment's blur.
 * Threads: safe from any thread. */
void edge_counters(const struct edge *edge, struct edge_counters *out_counters);
