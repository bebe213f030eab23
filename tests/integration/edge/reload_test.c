/* Reload: new files without a restart, all of them or none, and connections
 * that they no longer allow are closed. */
#include "hsm/base/check.h"

#include "tests/integration/edge/world.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct client_how alice = {.name = "alice"};
static const struct client_how bob = {.name = "bob"};

static void revoke_alice(struct world *world)
{
    struct pki_crl list = {.serials = {world->alice_serial}, .count = 1};
    pki_crl_write(world->ca, &list, world->dir, "crl.pem");
}

static void the_newly_revoked_are_closed_and_no_one_else(void **state)
{
    (void)state;
    enum { EACH = 25 };
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client alices[EACH];
    struct client bobs[EACH];
    for (int i = 0; i < EACH; i++) {
        assert_true(client_connect(&alices[i], &world, &alice));
        assert_true(client_connect(&bobs[i], &world, &bob));
        assert_true(client_echo(&alices[i], "a"));
        assert_true(client_echo(&bobs[i], "b"));
    }
    /* the same files again change nothing */
    assert_ok(edge_reload(world.edge));
    for (int i = 0; i < EACH; i++) {
        assert_true(client_echo(&alices[i], "a"));
    }
    revoke_alice(&world);
    int64_t start_ms = now_ms();
    assert_ok(edge_reload(world.edge));
    for (int i = 0; i < EACH; i++) {
        const char *how = NULL;
        assert_true(client_ended(&alices[i], &how));
        client_close(&alices[i]);
    }
    assert_in_range(now_ms() - start_ms, 0, 2000);
    assert_int_equal(counters_of(&world).closed_reload, EACH);
    const char *why = NULL;
    assert_false(client_served(&world, &alice, &why));
    for (int i = 0; i < EACH; i++) {
        assert_true(client_echo(&bobs[i], "b"));
        client_close(&bobs[i]);
    }
    world_free(&world);
}

/* Connected by TCP before the reload, and shows its certificate after it. */
static void a_handshake_across_a_reload_is_judged_by_the_new_set(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    int fds[2];
    for (int i = 0; i < 2; i++) {
        fds[i] = tcp_connect(world.port);
        WAIT_FOR(counters_of(&world).open == (uint64_t)i + 1);
    }
    revoke_alice(&world);
    assert_ok(edge_reload(world.edge));
    static const char *const names[] = {"alice", "bob"};
    for (int i = 0; i < 2; i++) {
        struct client client;
        struct client_how how = {.name = names[i]};
        client_prepare(&client, &world, &how, fds[i]);
        bool served =
            SSL_connect(client.ssl) == 1 && client_echo(&client, "hello");
        assert_int_equal(served, i == 1);
        client_close(&client);
    }
    struct edge_counters counters = counters_of(&world);
    assert_int_equal(counters.handshakes_failed[EDGE_REFUSED_REVOKED], 1);
    assert_int_equal(counters.handshakes_ok, 1);
    world_free(&world);
}

static void another_ca_takes_over(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct pki_ca *next = pki_ca_new("Next root", NULL);
    pki_issue(next, &(struct pki_leaf){.uris = {"spiffe://test/new"}},
              world.dir, "new");
    struct client_how new = {.name = "new"};
    const char *why = NULL;
    struct client old;
    assert_true(client_connect(&old, &world, &alice));
    assert_true(client_echo(&old, "hello"));
    assert_false(client_served(&world, &new, &why));

    /* both, for a while: each with its list */
    pki_ca_write(next, world.dir, "next.pem");
    pki_append(world.dir, "ca.pem", "next.pem");
    assert_status(edge_reload(world.edge), HF_E_INVALID); /* no list of next */
    assert_false(client_served(&world, &new, &why));
    pki_crl_write(next, &(struct pki_crl){0}, world.dir, "nextcrl.pem");
    pki_append(world.dir, "crl.pem", "nextcrl.pem");
    assert_ok(edge_reload(world.edge));
    assert_true(client_served(&world, &new, &why));
    assert_true(client_served(&world, &alice, &why));
    assert_true(client_echo(&old, "still here"));

    pki_ca_write(next, world.dir, "ca.pem");
    assert_ok(edge_reload(world.edge));
    const char *how = NULL;
    assert_true(client_ended(&old, &how));
    assert_true(client_served(&world, &new, &why));
    assert_false(client_served(&world, &alice, &why));
    client_close(&old);
    pki_ca_free(next);
    world_free(&world);
}

static void the_server_shows_its_new_certificate(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct pki_leaf leaf = {
        .common_name = "second", .dns = "localhost", .usage = PKI_SERVER};
    uint64_t serial = pki_issue(world.ca, &leaf, world.dir, "server");
    assert_ok(edge_reload(world.edge));
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    X509 *shown = SSL_get0_peer_certificate(client.ssl);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(shown)), serial);
    client_close(&client);
    world_free(&world);
}

enum damage { GONE, EMPTY, GARBAGE, OF_ANOTHER, OUT_OF_DATE };

static void damage_do(struct world *world, const char *file, enum damage how)
{
    char path[PKI_PATH_BYTES];
    pki_path(path, world->dir, file);
    bool is_list = strcmp(file, "crl.pem") == 0;
    struct pki_leaf late = {
        .not_before_s = -7200, .not_after_s = -60, .usage = PKI_SERVER};
    struct pki_crl old = {.last_update_s = -7200, .next_update_s = -60};
    switch (how) {
    case GONE:
        CHECK(unlink(path) == 0);
        return;
    case EMPTY:
        pki_text_write(world->dir, file, "");
        return;
    case GARBAGE:
        pki_text_write(world->dir, file, "-----BEGIN CERTIFICATE-----\nMIIB\n");
        return;
    case OF_ANOTHER: /* a leaf where a CA, a key or a list should be */
        pki_text_write(world->dir, file, "");
        pki_append(world->dir, file, is_list ? "ca.pem" : "alice.crt");
        return;
    case OUT_OF_DATE:
        if (is_list) {
            pki_crl_write(world->ca, &old, world->dir, file);
        } else {
            pki_issue(world->ca, &late, world->dir, "server");
        }
        return;
    }
}

static void a_bad_file_keeps_the_old_set(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum damage how;
    } damages[] = {
        {"server.crt", GONE       },
        {"server.crt", EMPTY      },
        {"server.crt", GARBAGE    },
        {"server.crt", OF_ANOTHER }, /* does not fit the key */
        {"server.crt", OUT_OF_DATE},
        {"server.key", GONE       },
        {"server.key", EMPTY      },
        {"server.key", OF_ANOTHER },
        {"ca.pem",     GONE       },
        {"ca.pem",     EMPTY      },
        {"ca.pem",     GARBAGE    },
        {"ca.pem",     OF_ANOTHER },
        {"crl.pem",    GONE       },
        {"crl.pem",    EMPTY      },
        {"crl.pem",    GARBAGE    },
        {"crl.pem",    OF_ANOTHER },
        {"crl.pem",    OUT_OF_DATE},
    };
    for (size_t i = 0; i < HF_COUNT(damages); i++) {
        static struct world world;
        world_new(&world, BACKEND_ECHO);
        world_start(&world);
        struct client client;
        const char *why = NULL;
        assert_true(client_connect(&client, &world, &alice));
        assert_true(client_echo(&client, "hello"));
        damage_do(&world, damages[i].file, damages[i].how);
        enum hf_status status = edge_reload(world.edge);
        if (status != HF_E_INVALID) {
            fail_msg("%s, damage %d: %s", damages[i].file, (int)damages[i].how,
                     hf_status_name(status));
        }
        assert_true(client_echo(&client, "still here"));
        assert_true(client_served(&world, &bob, &why));
        assert_false(client_served(&world, &(struct client_how){0}, &why));
        assert_int_equal(counters_of(&world).closed_reload, 0);
        client_close(&client);
        world_free(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newly_revoked_are_closed_and_no_one_else),
        cmocka_unit_test(a_handshake_across_a_reload_is_judged_by_the_new_set),
        cmocka_unit_test(another_ca_takes_over),
        cmocka_unit_test(the_server_shows_its_new_certificate),
        cmocka_unit_test(a_bad_file_keeps_the_old_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
