/* The registry: names are exact, given once, and safe to look up meanwhile. */
#include "hsm/base/check.h"

#include "server/edge/registry.h"

#include "tests/support/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct registry *fresh(size_t capacity, size_t per_identity_max)
{
    struct registry *registry = NULL;
    assert_ok(
        registry_new(capacity, per_identity_max, rng_system(), &registry));
    return registry;
}

static struct edge_identity identity(const char *uri)
{
    struct edge_identity who = {.not_after_ms = 1};
    snprintf(who.uri, sizeof who.uri, "%s", uri);
    return who;
}

/* As the backend's gRPC would spell the bound address. */
static void name_of(const struct registry *registry, uint64_t id,
                    char out[EDGE_PEER_NAME_TEXT])
{
    struct sockaddr_un address;
    socklen_t len = 0;
    registry_address(registry, id, &address, &len);
    assert_int_equal(address.sun_path[0], '\0');
    size_t used = len - offsetof(struct sockaddr_un, sun_path) - 1;
    int wrote = snprintf(out, EDGE_PEER_NAME_TEXT, "unix-abstract:%.*s",
                         (int)used, address.sun_path + 1);
    assert_int_equal(wrote, EDGE_PEER_NAME_TEXT - 1);
}

static void a_name_is_known_while_it_is_open(void **state)
{
    (void)state;
    struct registry *registry = fresh(8, 8);
    struct edge_identity alice = identity("spiffe://t/alice");
    struct edge_identity found;
    uint64_t id = 0;
    uint64_t seen = 0;
    char name[EDGE_PEER_NAME_TEXT];
    assert_ok(registry_add(registry, &alice, &id));
    name_of(registry, id, name);
    assert_ok(registry_find(registry, name, &found));
    assert_string_equal(found.uri, alice.uri);
    assert_int_equal(found.connection_id, id);
    assert_int_equal(found.not_after_ms, 1);
    assert_ok(registry_find_id(registry, name, &seen));
    assert_int_equal(seen, id);
    registry_remove(registry, id);
    assert_status(registry_find(registry, name, &found), HF_E_NOT_FOUND);
    assert_status(registry_find_id(registry, name, &seen), HF_E_NOT_FOUND);
    registry_free(registry);
}

static void only_the_exact_name_is_known(void **state)
{
    (void)state;
    struct registry *registry = fresh(8, 8);
    struct registry *other = fresh(8, 8);
    struct edge_identity alice = identity("spiffe://t/alice");
    struct edge_identity found;
    uint64_t id = 0;
    char name[EDGE_PEER_NAME_TEXT];
    char changed[EDGE_PEER_NAME_TEXT + 8];
    assert_ok(registry_add(registry, &alice, &id));
    name_of(registry, id, name);

    for (size_t at = 0; at < strlen(name); at++) {
        for (int bit = 0; bit < 7; bit++) {
            snprintf(changed, sizeof changed, "%s", name);
            changed[at] = (char)(changed[at] ^ (1 << bit));
            assert_status(registry_find(registry, changed, &found),
                          HF_E_NOT_FOUND);
        }
        snprintf(changed, sizeof changed, "%.*s", (int)at, name);
        assert_status(registry_find(registry, changed, &found), HF_E_NOT_FOUND);
    }
    snprintf(changed, sizeof changed, "%s0", name);
    assert_status(registry_find(registry, changed, &found), HF_E_NOT_FOUND);
    snprintf(changed, sizeof changed, "%s", name);
    for (char *at = changed + 14; *at != '\0'; at++) { /* upper-case hex */
        *at = (char)(*at >= 'a' && *at <= 'f' ? *at - 'a' + 'A' : *at);
    }
    if (strcmp(changed, name) != 0) {
        assert_status(registry_find(registry, changed, &found), HF_E_NOT_FOUND);
    }
    static const char *const foreign[] = {"",
                                          "unix:",
                                          "unix-abstract:",
                                          "ipv4:127.0.0.1:1",
                                          "unix:/run/x",
                                          "fd:7",
                                          "unix-abstract:hf-"};
    for (size_t i = 0; i < HF_COUNT(foreign); i++) {
        assert_status(registry_find(registry, foreign[i], &found),
                      HF_E_NOT_FOUND);
    }
    /* the same id of another edge, or of this one before a restart */
    assert_ok(registry_add(other, &alice, &id));
    name_of(other, id, changed);
    assert_ok(registry_find(other, changed, &found));
    assert_status(registry_find(registry, changed, &found), HF_E_NOT_FOUND);
    registry_free(other);
    registry_free(registry);
}

static void a_slot_is_reused_and_its_name_is_not(void **state)
{
    (void)state;
    enum { TIMES = 10000 };
    struct registry *registry = fresh(1, 1);
    struct edge_identity alice = identity("spiffe://t/alice");
    struct edge_identity found;
    char first[EDGE_PEER_NAME_TEXT] = "";
    uint64_t last = 0;
    for (int i = 0; i < TIMES; i++) {
        uint64_t id = 0;
        assert_ok(registry_add(registry, &alice, &id));
        assert_true(id > last); /* only ever up */
        last = id;
        if (i == 0) {
            name_of(registry, id, first);
        } else {
            assert_status(registry_find(registry, first, &found),
                          HF_E_NOT_FOUND);
        }
        registry_remove(registry, id);
    }
    registry_free(registry);
}

static void room_is_bounded_in_all_and_for_each(void **state)
{
    (void)state;
    struct registry *registry = fresh(4, 2);
    struct edge_identity alice = identity("spiffe://t/alice");
    struct edge_identity bob = identity("spiffe://t/bob");
    struct edge_identity carol = identity("spiffe://t/carol");
    uint64_t ids[4];
    uint64_t more = 0;
    assert_ok(registry_add(registry, &alice, &ids[0]));
    assert_ok(registry_add(registry, &alice, &ids[1]));
    assert_status(registry_add(registry, &alice, &more), HF_E_LIMIT);
    assert_ok(registry_add(registry, &bob, &ids[2]));
    assert_ok(registry_add(registry, &bob, &ids[3]));
    assert_status(registry_add(registry, &carol, &more), HF_E_OVERLOAD);
    registry_remove(registry, ids[0]);
    assert_ok(registry_add(registry, &carol, &ids[0]));
    assert_status(registry_add(registry, &alice, &more), HF_E_OVERLOAD);
    registry_remove(registry, ids[3]);
    assert_ok(registry_add(registry, &alice, &ids[3]));
    registry_free(registry);
}

/* --- one thread adds and removes, others look up */

enum { READERS = 3, SLOTS = 16, ROUNDS = 60000, RECENT = 64 };

struct shared {
    struct registry *registry;
    _Atomic uint64_t recent[RECENT]; /* ids, odd or even sequence */
    atomic_bool done;
    _Atomic uint64_t found;
    _Atomic uint64_t wrong;
};

/* Of the identity filed under id: everything in it says the same number. */
static struct edge_identity marked(uint64_t number)
{
    struct edge_identity who = {.not_after_ms = (int64_t)number};
    snprintf(who.uri, sizeof who.uri, "spiffe://t/%llu",
             (unsigned long long)number);
    snprintf(who.serial, sizeof who.serial, "%016llx",
             (unsigned long long)number);
    return who;
}

static void *reader_main(void *argument)
{
    struct shared *shared = argument;
    char name[EDGE_PEER_NAME_TEXT];
    size_t at = 0;
    while (!atomic_load(&shared->done)) {
        uint64_t id = atomic_load(&shared->recent[at++ % RECENT]);
        if (id == 0) {
            continue;
        }
        struct sockaddr_un address;
        socklen_t len = 0;
        registry_address(shared->registry, id, &address, &len);
        snprintf(name, sizeof name, "unix-abstract:%.52s",
                 address.sun_path + 1);
        struct edge_identity who;
        if (registry_find(shared->registry, name, &who) != HF_OK) {
            continue;
        }
        atomic_fetch_add(&shared->found, 1);
        struct edge_identity right = marked((uint64_t)who.not_after_ms);
        if (who.connection_id != id || strcmp(who.uri, right.uri) != 0 ||
            strcmp(who.serial, right.serial) != 0) {
            atomic_fetch_add(&shared->wrong, 1);
        }
    }
    return NULL;
}

static void readers_never_see_half_an_identity(void **state)
{
    (void)state;
    static struct shared shared;
    pthread_t readers[READERS];
    uint64_t open[SLOTS] = {0};
    shared.registry = fresh(SLOTS, 1);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_create(&readers[i], NULL, reader_main, &shared) == 0);
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (open[i % SLOTS] != 0) {
            registry_remove(shared.registry, open[i % SLOTS]);
        }
        struct edge_identity who = marked(i);
        assert_ok(registry_add(shared.registry, &who, &open[i % SLOTS]));
        atomic_store(&shared.recent[i % RECENT], open[i % SLOTS]);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_join(readers[i], NULL) == 0);
    }
    assert_int_equal(atomic_load(&shared.wrong), 0);
    assert_true(atomic_load(&shared.found) > 0);
    registry_free(shared.registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_known_while_it_is_open),
        cmocka_unit_test(only_the_exact_name_is_known),
        cmocka_unit_test(a_slot_is_reused_and_its_name_is_not),
        cmocka_unit_test(room_is_bounded_in_all_and_for_each),
        cmocka_unit_test(readers_never_see_half_an_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
