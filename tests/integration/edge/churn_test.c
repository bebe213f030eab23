/* Churn: identities come and go by the thousand, and the name that the backend
 * sees is always the right one's, once, and nobody's afterwards. */
#include "hsm/base/check.h"

#include "tests/integration/edge/world.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS    4
#define PER_THREAD 600

struct churner {
    const struct world *world;
    struct client_how how;
    const char *expected;
    int wrong;
    int failed;
};

static bool line_read(struct client *client, char *out, size_t cap)
{
    size_t len = 0;
    while (len + 1 < cap) {
        char byte = 0;
        if (!client_read(client, &byte, 1)) {
            return false;
        }
        if (byte == '\n') {
            out[len] = '\0';
            return true;
        }
        out[len++] = byte;
    }
    return false;
}

static void *churn(void *argument)
{
    struct churner *self = argument;
    for (int i = 0; i < PER_THREAD; i++) {
        struct client client;
        char line[HF_URI_MAX_BYTES + 2] = "";
        if (!client_connect(&client, self->world, &self->how) ||
            !line_read(&client, line, sizeof line)) {
            self->failed++;
        } else if (strcmp(line, self->expected) != 0) {
            self->wrong++;
        }
        /* every way to go, so that slots come back in every order */
        switch (i % 3) {
        case 0:
            client_kill(&client);
            break;
        case 1:
            SSL_shutdown(client.ssl);
            client_close(&client);
            break;
        default:
            client_close(&client);
            break;
        }
    }
    return NULL;
}

static int text_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void names_are_right_once_and_then_nobodys(void **state)
{
    (void)state;
    static struct world world;
    pthread_t threads[THREADS];
    struct churner churners[THREADS];
    world_new(&world, BACKEND_WHO);
    world_start(&world);
    for (int i = 0; i < THREADS; i++) {
        bool first = i % 2 == 0;
        churners[i] = (struct churner){
            .world = &world,
            .how = {.name = first ? "alice" : "bob"},
            .expected = first ? "spiffe://test/alice" : "spiffe://test/bob",
        };
        CHECK(pthread_create(&threads[i], NULL, churn, &churners[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        assert_int_equal(churners[i].wrong, 0);
        assert_int_equal(churners[i].failed, 0);
    }
    WAIT_FOR(counters_of(&world).open == 0);
    struct backend *backend = &world.backend;
    size_t count = atomic_load(&backend->name_count);
    assert_int_equal(count, THREADS * PER_THREAD);
    for (size_t i = 0; i < count; i++) {
        struct edge_identity who;
        uint64_t id = 0;
        assert_status(edge_lookup(world.edge, backend->names[i], &who),
                      HF_E_NOT_FOUND);
        assert_status(edge_connection(world.edge, backend->names[i], &id),
                      HF_E_NOT_FOUND);
    }
    qsort(backend->names, count, EDGE_PEER_NAME_TEXT, text_order);
    for (size_t i = 1; i < count; i++) {
        assert_string_not_equal(backend->names[i - 1], backend->names[i]);
    }
    world_free(&world);
}

/* All that the registry tells is what the certificate says. */
static void the_identity_is_the_certificates(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client client;
    assert_true(
        client_connect(&client, &world, &(struct client_how){.name = "alice"}));
    assert_true(client_echo(&client, "hello"));
    struct edge_identity who;
    uint64_t id = 0;
    const char *name = world.backend.names[0];
    assert_ok(edge_lookup(world.edge, name, &who));
    assert_ok(edge_connection(world.edge, name, &id));
    assert_true(id != 0 && id == who.connection_id);

    X509 *own = SSL_get_certificate(client.ssl);
    uint8_t digest[HF_SHA256_BYTES];
    unsigned int len = 0;
    assert_int_equal(X509_digest(own, EVP_sha256(), digest, &len), 1);
    assert_memory_equal(who.fingerprint, digest, sizeof digest);
    assert_string_equal(who.uri, "spiffe://test/alice");
    assert_int_equal(strtoull(who.serial, NULL, 16), world.alice_serial);
    int64_t left_ms = who.not_after_ms - clock_wall_ms(clock_system());
    assert_in_range(left_ms, 30 * PKI_DAY_S * 1000 - 60000,
                    30 * PKI_DAY_S * 1000);
    client_close(&client);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_right_once_and_then_nobodys),
        cmocka_unit_test(the_identity_is_the_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
