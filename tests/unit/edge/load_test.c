/* The relay's shared buffer: nothing that passed stays in it, in either
 * direction, whether the sink took it, kept us waiting, or was gone. */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "server/edge/relay.h"
#include "server/edge/tls.h"

#include "tests/support/pki.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "an opened key that must not stay"

struct bench {
    char dir[PKI_PATH_BYTES];
    struct tls_set *set;
    struct tls_peer peer;
    BIO_METHOD *method;
    SSL *server;
    struct wire wire;
    SSL_CTX *client_ctx;
    SSL *client;
    int tcp[2];     /* ours, the client's */
    int backend[2]; /* ours, gRPC's */
    struct relay relay;
    uint8_t load[RELAY_LOAD_BYTES];
};

static void files_make(struct bench *bench, struct tls_files *files)
{
    struct pki_ca *ca = pki_ca_new("Test root", NULL);
    pki_dir_new(bench->dir);
    pki_ca_write(ca, bench->dir, "ca.pem");
    pki_issue(ca, &(struct pki_leaf){.dns = "x", .usage = PKI_SERVER},
              bench->dir, "server");
    pki_issue(ca, &(struct pki_leaf){.uris = {"spiffe://t/a"}}, bench->dir,
              "a");
    pki_path(files->certificate, bench->dir, "server.crt");
    pki_path(files->key, bench->dir, "server.key");
    pki_path(files->client_ca, bench->dir, "ca.pem");
    snprintf(files->crl, sizeof files->crl, "%s", EDGE_CRL_NONE);
    pki_ca_free(ca);
}

static void client_make(struct bench *bench)
{
    char path[PKI_PATH_BYTES];
    bench->client_ctx = SSL_CTX_new(TLS_client_method());
    pki_path(path, bench->dir, "a.crt");
    CHECK(SSL_CTX_use_certificate_chain_file(bench->client_ctx, path) == 1);
    pki_path(path, bench->dir, "a.key");
    CHECK(SSL_CTX_use_PrivateKey_file(bench->client_ctx, path,
                                      SSL_FILETYPE_PEM) == 1);
    bench->client = SSL_new(bench->client_ctx);
    CHECK(SSL_set_alpn_protos(bench->client, (const uint8_t *)"\2h2", 3) == 0);
    CHECK(SSL_set_fd(bench->client, bench->tcp[1]) == 1);
}

static void bench_new(struct bench *bench)
{
    struct tls_files files = {0};
    struct tls_problem problem;
    *bench = (struct bench){.peer.clock = clock_system()};
    int kind = SOCK_STREAM | SOCK_NONBLOCK;
    CHECK(socketpair(AF_UNIX, kind, 0, bench->tcp) == 0);
    CHECK(socketpair(AF_UNIX, kind, 0, bench->backend) == 0);
    files_make(bench, &files);
    client_make(bench);
    assert_ok(tls_set_load(&files, clock_system(), &bench->set, &problem));
    assert_ok(tls_session_new(bench->set, &bench->peer, &bench->server));
    bench->method = wire_method();
    bench->wire.fd = bench->tcp[0];
    assert_ok(wire_under(bench->method, &bench->wire, bench->server));
    enum tls_step step = TLS_WAITING;
    for (int i = 0; i < 10 && step == TLS_WAITING; i++) {
        SSL_connect(bench->client);
        wire_turn(&bench->wire);
        wire_event(&bench->wire, false);
        step = tls_handshake(bench->server, &bench->peer);
    }
    assert_int_equal(step, TLS_ACCEPTED);
    relay_start(&bench->relay, bench->server, &bench->wire, bench->backend[0]);
    memset(bench->load, 0, sizeof bench->load);
}

static void bench_free(struct bench *bench)
{
    relay_end(&bench->relay);
    SSL_free(bench->server);
    SSL_free(bench->client);
    SSL_CTX_free(bench->client_ctx);
    tls_set_free(bench->set);
    BIO_meth_free(bench->method);
    for (int i = 0; i < 2; i++) {
        close(bench->tcp[i]);
        close(bench->backend[i]);
    }
    pki_dir_remove(bench->dir);
}

static void expect_nothing_left(const struct bench *bench)
{
    for (size_t i = 0; i < sizeof bench->load; i++) {
        assert_int_equal(bench->load[i], 0);
    }
}

static void say(struct bench *bench)
{
    wire_event(&bench->wire, false);
    assert_int_equal(SSL_write(bench->client, SECRET, sizeof SECRET),
                     sizeof SECRET);
}

static void what_passed_is_gone(void **state)
{
    (void)state;
    static struct bench bench;
    char back[sizeof SECRET] = "";
    bench_new(&bench);
    say(&bench);
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_WAIT);
    assert_int_equal(recv(bench.backend[1], back, sizeof back, 0), sizeof back);
    assert_string_equal(back, SECRET);
    expect_nothing_left(&bench);

    assert_int_equal(send(bench.backend[1], SECRET, sizeof SECRET, 0),
                     sizeof SECRET);
    bench.relay.backend_in = true;
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_WAIT);
    assert_int_equal(SSL_read(bench.client, back, sizeof back), sizeof back);
    assert_string_equal(back, SECRET);
    expect_nothing_left(&bench);
    bench_free(&bench);
}

static void what_is_held_or_lost_is_gone_too(void **state)
{
    (void)state;
    static struct bench bench;
    char back[sizeof SECRET] = "";
    bench_new(&bench);
    bench.relay.backend_out = false; /* as after a full socket */
    say(&bench);
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_WAIT);
    assert_int_equal(bench.relay.up.held_len, sizeof SECRET);
    expect_nothing_left(&bench);
    bench.relay.backend_out = true;
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_WAIT);
    assert_null(bench.relay.up.held);
    assert_int_equal(recv(bench.backend[1], back, sizeof back, 0), sizeof back);
    assert_string_equal(back, SECRET);

    close(bench.backend[1]); /* gRPC is gone: nowhere to put it */
    bench.backend[1] = dup(bench.tcp[0]);
    say(&bench);
    bench.relay.backend_in = true;
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_FINISHED);
    expect_nothing_left(&bench);
    bench_free(&bench);
}

static void a_broken_record_leaves_nothing_of_those_before(void **state)
{
    (void)state;
    static struct bench bench;
    bench_new(&bench);
    say(&bench);
    assert_int_equal(send(bench.tcp[1], "no record", 9, 0), 9);
    assert_int_equal(relay_turn(&bench.relay, bench.load), RELAY_BROKEN);
    expect_nothing_left(&bench);
    bench_free(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passed_is_gone),
        cmocka_unit_test(what_is_held_or_lost_is_gone_too),
        cmocka_unit_test(a_broken_record_leaves_nothing_of_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
