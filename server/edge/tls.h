/* tls: one loaded set of certificate, key, client CAs and revocation lists,
 * and the handshake made with it.
 *
 * A set never changes once loaded; a reload makes another. A connection keeps
 * what it needs of its set alive by itself.
 */
#pragma once

#include "server/edge/edge.h"
#include "server/edge/peer.h"
#include "server/edge/wire.h"

#include <openssl/ssl.h>

struct tls_files {
    char certificate[EDGE_PATH_MAX_BYTES + 1];
    char key[EDGE_PATH_MAX_BYTES + 1]; /* "": in a token, by key_uri */
    char key_uri[HF_URI_MAX_BYTES + 1];
    char key_module[EDGE_PATH_MAX_BYTES + 1];
    char key_pin[EDGE_PATH_MAX_BYTES + 1]; /* the PIN's file */
    char client_ca[EDGE_PATH_MAX_BYTES + 1];
    char crl[EDGE_PATH_MAX_BYTES + 1]; /* or EDGE_CRL_NONE */
};

/* What is wrong with a file, for the log; file is NULL when nothing is. */
struct tls_problem {
    const char *file; /* points into the tls_files */
    char why[160];
};

struct tls_set;

/* tls_set_load: reads and checks all the files.
 *
 * Gives     *out_set, freed with tls_set_free; *out_problem, always.
 * Returns   HF_OK; HF_E_INVALID with the problem; HF_E_DENIED with it, where
 *           the key's token refuses the PIN; HF_E_NO_MEMORY. With HF_OK
 *           and a problem the revocation list is unusable and this set accepts
 *           nobody.
 * Blocks    for reading small files.
 * Threads   safe from any thread.
 */
HF_STATUS tls_set_load(const struct tls_files *files, const struct clock *clock,
                       struct tls_set **out_set,
                       struct tls_problem *out_problem);
void tls_set_free(struct tls_set *set);
HF_DEFINE_FREEP(struct tls_set, tls_set)

/* What a handshake looks at and leaves behind; outlives the SSL's handshake. */
struct tls_peer {
    const struct clock *clock;
    struct peer_verdict verdict;
};

/* tls_session_new: a server's session, its wire still to be put under it.
 *
 * Gives     *out_ssl, freed with SSL_free.
 * Returns   HF_OK; HF_E_NO_MEMORY.
 */
HF_STATUS tls_session_new(const struct tls_set *set, struct tls_peer *peer,
                          SSL **out_ssl);

enum tls_step { TLS_WAITING, TLS_ACCEPTED, TLS_REFUSED };

/* tls_handshake: goes on as far as the socket lets it.
 *
 * Gives     peer->verdict, complete when the step is not TLS_WAITING.
 */
enum tls_step tls_handshake(SSL *ssl, struct tls_peer *peer);

/* tls_recheck: the verdict on a connected client by another set. */
HF_STATUS tls_recheck(const struct tls_set *set, SSL *ssl,
                      const struct clock *clock,
                      struct peer_verdict *out_verdict);
