#include "server/edge/tls.h"

#include "hsm/base/check.h"

#include "server/edge/crl.h"
#include "server/edge/engine/token_key.h"
#include "server/edge/pem.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_DEPTH_MAX 4
#define SECURITY_LEVEL  2 /* keys and signatures of 112 bits and more */
#define GROUPS          "X25519:P-256"

/* Wire form of a list of protocol names: a length, then the name. */
static const unsigned char alpn_h2[] = {2, 'h', '2'};

struct tls_set {
    SSL_CTX *ctx;
    X509_STORE *store; /* the ctx's own, kept for rechecks */
};

static HF_STATUS problem_is(struct tls_problem *problem, const char *file,
                            const char *why)
{
    problem->file = file;
    unsigned long error = ERR_peek_last_error();
    const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);
    if (reason == NULL) {
        snprintf(problem->why, sizeof problem->why, "%s", why);
    } else {
        snprintf(problem->why, sizeof problem->why, "%s: %s", why, reason);
    }
    ERR_clear_error();
    return HF_E_INVALID;
}

/* R: each connection proves its certificate; the time is our clock's. */
static int on_certificate(X509_STORE_CTX *store_ctx, void *unused)
{
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx,
                                          SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_peer *peer = SSL_get_app_data(ssl);
    peer_verify(store_ctx, peer->clock, &peer->verdict);
    return peer->verdict.accepted ? 1 : 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *offered, unsigned int offered_len,
                   void *unused)
{
    (void)ssl;
    (void)unused;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, alpn_h2, sizeof alpn_h2,
                              offered, offered_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A client that offers no protocol at all never reaches on_alpn. */
static int on_hello(SSL *ssl, int *alert, void *unused)
{
    (void)unused;
    const unsigned char *data = NULL;
    size_t len = 0;
    if (SSL_client_hello_get0_ext(
            ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
            &len) != 1) {
        *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static HF_STATUS ctx_new(SSL_CTX **out_ctx)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        ERR_clear_error();
        return HF_E_NO_MEMORY;
    }
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    /* CHECK: constants of ours, which the library knows or does not */
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    /* no ticket, no cache: nobody resumes, everybody proves */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CLEANSE_PLAINTEXT);
    CHECK(SSL_CTX_set_num_tickets(ctx, 0) == 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_max_early_data(ctx, 0) == 1);
    CHECK(SSL_CTX_set_recv_max_early_data(ctx, 0) == 1);
    /* the relay writes what it has, and keeps the rest where it likes */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* one system call a record, not two */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
    SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    *out_ctx = ctx;
    return HF_OK;
}

static void key_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static HF_STATUS key_load(SSL_CTX *ctx, const struct tls_files *files,
                          struct tls_problem *problem)
{
    if (files->key_uri[0] == '\0') {
        return SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) ==
                       1
                   ? HF_OK
                   : problem_is(problem, files->key,
                                "no key in PEM that fits the certificate");
    }
    const struct token_key_source from = {.uri = files->key_uri,
                                          .module = files->key_module,
                                          .pin_file = files->key_pin};
    HF_OWNED(key_freep) EVP_PKEY *key = NULL;
    problem->file = files->key_uri;
    enum hf_status status =
        token_key_load(&from, &key, problem->why, sizeof problem->why);
    if (status != HF_OK) {
        return status == HF_E_NO_MEMORY || status == HF_E_DENIED ? status
                                                                 : HF_E_INVALID;
    }
    problem->file = NULL;
    return SSL_CTX_use_PrivateKey(ctx, key) == 1
               ? HF_OK
               : problem_is(problem, files->key_uri,
                            "the key in the token is not the certificate's");
}

static HF_STATUS own_load(SSL_CTX *ctx, const struct tls_files *files,
                          const struct clock *clock,
                          struct tls_problem *problem)
{
    SSL_CTX_set_default_passwd_cb(ctx, pem_no_password);
    if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1) {
        return problem_is(problem, files->certificate,
                          "no certificate chain in PEM");
    }
    HF_TRY(key_load(ctx, files, problem));
    time_t now = (time_t)(clock_wall_ms(clock) / 1000);
    const X509 *own = SSL_CTX_get0_certificate(ctx);
    if (X509_cmp_time(X509_get0_notBefore(own), &now) >= 0 ||
        X509_cmp_time(X509_get0_notAfter(own), &now) <= 0) {
        return problem_is(problem, files->certificate,
                          "the certificate is not valid now");
    }
    return HF_OK;
}

static HF_STATUS clients_load(struct tls_set *set,
                              const struct tls_files *files,
                              const struct clock *clock,
                              struct tls_problem *problem)
{
    STACK_OF(X509) *roots = NULL;
    enum hf_status status = pem_certificates(files->client_ca, &roots);
    if (status != HF_OK) {
        return status == HF_E_NO_MEMORY
                   ? status
                   : problem_is(problem, files->client_ca,
                                "no CA certificates in PEM");
    }
    X509_STORE *store = set->store;
    for (int i = 0; i < sk_X509_num(roots); i++) {
        X509 *root = sk_X509_value(roots, i);
        if (X509_check_ca(root) != 1) {
            status = problem_is(problem, files->client_ca,
                                "holds a certificate that is not a CA");
            break;
        }
        if (X509_STORE_add_cert(store, root) != 1 ||
            SSL_CTX_add_client_CA(set->ctx, root) != 1) {
            status = HF_E_NO_MEMORY;
            break;
        }
    }
    if (status == HF_OK && strcmp(files->crl, EDGE_CRL_NONE) != 0) {
        /* Without a list in the store this flag refuses every certificate:
         * whatever is wrong with the file, it fails closed. */
        X509_STORE_set_flags(store,
                             X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        const char *why = NULL;
        status = crl_load(files->crl, roots, clock, store, &why);
        if (status == HF_E_INVALID) {
            HF_IGNORE(problem_is(problem, files->crl, why),
                      "the caller decides: the set accepts nobody");
            status = HF_OK;
        }
    }
    sk_X509_pop_free(roots, X509_free);
    ERR_clear_error();
    return status;
}

HF_STATUS tls_set_load(const struct tls_files *files, const struct clock *clock,
                       struct tls_set **out_set,
                       struct tls_problem *out_problem)
{
    *out_problem = (struct tls_problem){0};
    ERR_clear_error();
    HF_OWNED(tls_set_freep) struct tls_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(ctx_new(&set->ctx));
    set->store = SSL_CTX_get_cert_store(set->ctx);
    HF_TRY(own_load(set->ctx, files, clock, out_problem));
    HF_TRY(clients_load(set, files, clock, out_problem));
    *out_set = HF_GIVE(set);
    return HF_OK;
}

void tls_set_free(struct tls_set *set)
{
    if (set != NULL) {
        SSL_CTX_free(set->ctx);
        free(set);
    }
}

HF_STATUS tls_session_new(const struct tls_set *set, struct tls_peer *peer,
                          SSL **out_ssl)
{
    SSL *ssl = SSL_new(set->ctx);
    if (ssl == NULL) {
        ERR_clear_error();
        return HF_E_NO_MEMORY;
    }
    SSL_set_app_data(ssl, peer);
    SSL_set_accept_state(ssl);
    *out_ssl = ssl;
    return HF_OK;
}

/* A refusal that the certificate callback did not decide. */
static void refused_elsewhere(int ssl_error, struct peer_verdict *verdict)
{
    unsigned long error = ERR_peek_error();
    const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);
    verdict->refusal = EDGE_REFUSED_PROTOCOL;
    if (error != 0 && ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        verdict->refusal = EDGE_REFUSED_NO_CERTIFICATE;
    } else if (verdict->certificate_seen) {
        /* its certificate was good: the proof that it has the key was not */
        verdict->refusal = EDGE_REFUSED_UNTRUSTED;
    }
    if (reason == NULL) {
        reason = ssl_error == SSL_ERROR_SYSCALL ? "connection lost"
                                                : "handshake failed";
    }
    snprintf(verdict->detail, sizeof verdict->detail, "%s", reason);
}

enum tls_step tls_handshake(SSL *ssl, struct tls_peer *peer)
{
    ERR_clear_error();
    int result = SSL_do_handshake(ssl);
    if (result == 1) {
        /* only on_certificate accepts; whatever led around it is refused */
        if (!peer->verdict.accepted) {
            peer->verdict.refusal = EDGE_REFUSED_NO_CERTIFICATE;
            return TLS_REFUSED;
        }
        return TLS_ACCEPTED;
    }
    int error = SSL_get_error(ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return TLS_WAITING;
    }
    struct peer_verdict *verdict = &peer->verdict;
    if (!verdict->certificate_seen || verdict->accepted) {
        refused_elsewhere(error, verdict);
    }
    verdict->accepted = false;
    ERR_clear_error();
    return TLS_REFUSED;
}

HF_STATUS tls_recheck(const struct tls_set *set, SSL *ssl,
                      const struct clock *clock,
                      struct peer_verdict *out_verdict)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    CHECK(leaf != NULL);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL ||
        X509_STORE_CTX_init(ctx, set->store, leaf,
                            SSL_get_peer_cert_chain(ssl)) != 1 ||
        X509_STORE_CTX_set_default(ctx, "ssl_client") != 1) {
        X509_STORE_CTX_free(ctx);
        ERR_clear_error();
        return HF_E_NO_MEMORY;
    }
    X509_STORE_CTX_set_depth(ctx, CHAIN_DEPTH_MAX);
    peer_verify(ctx, clock, out_verdict);
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return HF_OK;
}
