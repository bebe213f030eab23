/* The wire: a turn ends though there is always more to read. */
#include "hsm/base/check.h"

#include "server/edge/wire.h"

#include "tests/support/unit.h"

#include <openssl/bio.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    BIO_METHOD *method;
    SSL_CTX *ctx;
    SSL *ssl; /* only to hold the wire */
    struct wire wire;
    int far;
};

static void pair_new(struct pair *pair)
{
    int fds[2];
    *pair = (struct pair){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    pair->far = fds[1];
    pair->wire.fd = fds[0];
    pair->method = wire_method();
    pair->ctx = SSL_CTX_new(TLS_server_method());
    pair->ssl = SSL_new(pair->ctx);
    assert_non_null(pair->ssl);
    assert_ok(wire_under(pair->method, &pair->wire, pair->ssl));
}

static void pair_free(struct pair *pair)
{
    SSL_free(pair->ssl);
    SSL_CTX_free(pair->ctx);
    BIO_meth_free(pair->method);
    close(pair->wire.fd);
    close(pair->far);
}

static void fill(struct pair *pair)
{
    static const uint8_t zeros[4096];
    while (send(pair->far, zeros, sizeof zeros, MSG_NOSIGNAL) > 0) {
    }
}

static void a_turn_ends_though_there_is_more(void **state)
{
    (void)state;
    struct pair pair;
    uint8_t data[16384];
    pair_new(&pair);
    BIO *bio = SSL_get_rbio(pair.ssl);
    for (int turn = 0; turn < 3; turn++) {
        size_t total = 0;
        int got = 0;
        wire_turn(&pair.wire);
        fill(&pair);
        wire_event(&pair.wire, false);
        while ((got = BIO_read(bio, data, sizeof data)) > 0) {
            total += (size_t)got;
            assert_true(total < WIRE_BUDGET_BYTES + sizeof data);
            fill(&pair); /* a client that is always faster */
            wire_event(&pair.wire, false);
        }
        assert_true(BIO_should_read(bio));
        assert_false(pair.wire.drained); /* come again without an event */
        assert_true(total >= WIRE_BUDGET_BYTES);
    }
    pair_free(&pair);
}

static void a_short_read_says_empty_unless_the_end_is_near(void **state)
{
    (void)state;
    struct pair pair;
    uint8_t data[100];
    pair_new(&pair);
    BIO *bio = SSL_get_rbio(pair.ssl);
    wire_turn(&pair.wire);
    assert_int_equal(send(pair.far, "abc", 3, 0), 3);
    assert_int_equal(BIO_read(bio, data, sizeof data), 3);
    assert_true(pair.wire.drained);
    /* not asked again before an event, though there is something */
    assert_int_equal(send(pair.far, "def", 3, 0), 3);
    assert_int_equal(BIO_read(bio, data, sizeof data), -1);
    assert_true(BIO_should_read(bio));
    wire_event(&pair.wire, true);
    shutdown(pair.far, SHUT_WR);
    assert_int_equal(BIO_read(bio, data, sizeof data), 3);
    assert_false(pair.wire.drained);
    assert_int_equal(BIO_read(bio, data, sizeof data), 0);
    assert_false(BIO_should_retry(bio));
    assert_true(BIO_eof(bio));
    pair_free(&pair);
}

/* In this process SIGPIPE has its default: to end it. */
static void a_write_to_a_closed_peer_raises_no_signal(void **state)
{
    (void)state;
    struct pair pair;
    pair_new(&pair);
    BIO *bio = SSL_get_wbio(pair.ssl);
    close(pair.far);
    pair.far = open("/dev/null", O_RDONLY);
    assert_int_equal(BIO_write(bio, "x", 1), -1);
    assert_false(BIO_should_retry(bio));
    pair_free(&pair);
}

static void a_full_socket_says_later(void **state)
{
    (void)state;
    struct pair pair;
    static uint8_t zeros[65536];
    pair_new(&pair);
    BIO *bio = SSL_get_wbio(pair.ssl);
    int wrote = 0;
    for (int i = 0; i < 1000 && wrote >= 0; i++) {
        wrote = BIO_write(bio, zeros, sizeof zeros);
    }
    assert_int_equal(wrote, -1);
    assert_true(BIO_should_write(bio));
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_ends_though_there_is_more),
        cmocka_unit_test(a_short_read_says_empty_unless_the_end_is_near),
        cmocka_unit_test(a_write_to_a_closed_peer_raises_no_signal),
        cmocka_unit_test(a_full_socket_says_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
