/* The relay: every byte, both ways, bounded; and how connections end. */
#include "tests/integration/edge/world.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)
/* What sockets may hold on the way: send and receive buffers of the kernel
 * (they grow to some MiB), far below what is sent in these tests. */
#define ON_THE_WAY_MAX (24 * MIB)
#define QUICK_MS       80 /* "tens of milliseconds" */

static const struct client_how alice = {.name = "alice"};

static void bytes_arrive_both_ways_at_once(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 1000, 16384, 16385, 65536};
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        uint64_t len = pieces[i] < 100 ? 5000 : 8 * MIB + 1;
        assert_true(client_exchange(&client, len, pieces[i]));
        total += len;
    }
    client_close(&client);
    WAIT_FOR(counters_of(&world).open == 0);
    assert_int_equal(counters_of(&world).bytes_in, total);
    assert_int_equal(counters_of(&world).bytes_out, total);
    world_free(&world);
}

static void a_client_that_reads_nothing_stops_its_backend(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_SOURCE);
    world.backend.source_bytes = 64 * MIB;
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    uint64_t before = 0;
    uint64_t after = 1;
    while (before != after) {
        before = atomic_load(&world.backend.sourced);
        sleep_ms(200);
        after = atomic_load(&world.backend.sourced);
    }
    assert_true(after > 0 && after < ON_THE_WAY_MAX);

    uint8_t data[8192];
    uint8_t expected[sizeof data];
    for (uint64_t at = 0; at < 64 * MIB; at += sizeof data) {
        assert_true(client_read(&client, data, sizeof data));
        pattern_fill(expected, sizeof expected, at);
        assert_memory_equal(data, expected, sizeof data);
    }
    const char *how = NULL;
    assert_true(client_ended(&client, &how));
    assert_string_equal(how, "close");
    client_close(&client);
    world_free(&world);
}

static void a_backend_that_reads_nothing_stops_its_client(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_SINK);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    uint64_t sent = client_push(&client, 0, 64 * MIB);
    assert_true(sent > 0 && sent < ON_THE_WAY_MAX);
    assert_int_equal(atomic_load(&world.backend.sunk), 0);

    atomic_store(&world.backend.sink_go, true);
    WAIT_FOR((sent = client_push(&client, sent, 64 * MIB)) == 64 * MIB);
    /* half-close: our end is told, the answer still comes */
    assert_int_equal(SSL_shutdown(client.ssl), 0);
    WAIT_FOR(atomic_load(&world.backend.sunk) == 64 * MIB);
    WAIT_FOR(atomic_load(&world.backend.open) == 0);
    uint64_t answer = 0;
    WAIT_FOR(client_read(&client, &answer, sizeof answer));
    assert_int_equal(answer, 64 * MIB);
    client_close(&client);
    world_free(&world);
}

static void a_half_closed_client_gets_the_rest(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    char back[10] = "";
    assert_true(client_write(&client, "last words", 10));
    assert_int_equal(SSL_shutdown(client.ssl), 0); /* ours sent */
    assert_true(client_read(&client, back, sizeof back));
    assert_memory_equal(back, "last words", 10);
    assert_int_equal(SSL_shutdown(client.ssl), 1); /* theirs came */
    client_close(&client);
    WAIT_FOR(counters_of(&world).open == 0);
    world_free(&world);
}

/* The backend closes while the client still sends: its last words arrive, and
 * the end is an orderly one, not a reset that destroys them. */
static void the_backend_has_the_last_word(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_GOODBYE);
    world_start(&world);
    for (int i = 0; i < 20; i++) {
        struct client client;
        char word[3] = "";
        const char *how = NULL;
        assert_true(client_connect(&client, &world, &alice));
        /* more than the relay takes before it notices */
        assert_int_equal(client_push(&client, 0, MIB), MIB);
        assert_true(client_read(&client, word, sizeof word));
        assert_memory_equal(word, "bye", 3);
        assert_true(client_ended(&client, &how));
        assert_string_equal(how, "close");
        client_close(&client);
    }
    WAIT_FOR(counters_of(&world).open == 0);
    world_free(&world);
}

/* A client that lingers after our goodbye, and even goes on sending, is not
 * waited for. */
static void goodbye_is_not_for_ever(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_GOODBYE);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    char word[3] = "";
    const char *how = NULL;
    assert_true(client_read(&client, word, sizeof word));
    assert_true(client_ended(&client, &how));
    assert_int_equal(counters_of(&world).open, 1);
    int64_t start_ms = now_ms();
    while (counters_of(&world).open > 0) {
        assert_true(now_ms() - start_ms < 3000);
        send(client.fd, "noise", 5, MSG_NOSIGNAL);
        sleep_ms(5);
    }
    client_close(&client);
    world_free(&world);
}

enum death { BY_RESET, BY_CLOSE };

/* True when the backend's end was closed quickly. */
static bool die(struct world *world, enum death how)
{
    struct client client;
    assert_true(client_connect(&client, world, &alice));
    assert_true(client_write(&client, "call", 4));
    WAIT_FOR(atomic_load(&world->backend.open) == 1 &&
             counters_of(world).bytes_in % 4 == 0 &&
             counters_of(world).bytes_in > 0);
    char name[EDGE_PEER_NAME_TEXT];
    snprintf(name, sizeof name, "%s",
             world->backend.names[world->backend.name_count - 1]);
    struct edge_identity who;
    assert_ok(edge_lookup(world->edge, name, &who));

    int64_t killed_ms = now_ms();
    if (how == BY_RESET) {
        client_kill(&client);
    } else {
        client_close(&client); /* FIN, without close_notify */
    }
    WAIT_FOR(atomic_load(&world->backend.open) == 0);
    /* a late call of it is nobody's */
    assert_status(edge_lookup(world->edge, name, &who), HF_E_NOT_FOUND);
    return atomic_load(&world->backend.last_end_ms) - killed_ms <= QUICK_MS;
}

static void a_killed_client_ends_its_backend_quickly(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_SILENT);
    world_start(&world);
    int resets = 0;
    int closes = 0;
    for (int i = 0; i < 10; i++) {
        resets += die(&world, BY_RESET);
        closes += die(&world, BY_CLOSE);
    }
    /* most, for a machine that does something else as well */
    assert_in_range(resets, 6, 10);
    assert_in_range(closes, 6, 10);
    world_free(&world);
}

/* Also when the relay waits for the backend and reads nothing. */
static void a_killed_client_is_noticed_behind_back_pressure(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_SINK);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    assert_true(client_push(&client, 0, 64 * MIB) < 64 * MIB);
    int64_t killed_ms = now_ms();
    client_kill(&client);
    WAIT_FOR(counters_of(&world).open == 0);
    assert_in_range(now_ms() - killed_ms, 0, 10 * QUICK_MS);
    atomic_store(&world.backend.sink_go, true);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_both_ways_at_once),
        cmocka_unit_test(a_client_that_reads_nothing_stops_its_backend),
        cmocka_unit_test(a_backend_that_reads_nothing_stops_its_client),
        cmocka_unit_test(a_half_closed_client_gets_the_rest),
        cmocka_unit_test(the_backend_has_the_last_word),
        cmocka_unit_test(goodbye_is_not_for_ever),
        cmocka_unit_test(a_killed_client_ends_its_backend_quickly),
        cmocka_unit_test(a_killed_client_is_noticed_behind_back_pressure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
