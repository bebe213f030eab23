/* Limits: time-outs, caps, descriptors that run out, a log that strangers
 * cannot fill, and settings that make no sense. */
#include "hsm/base/check.h"

#include "tests/integration/edge/world.h"
#include "tests/support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct client_how alice = {.name = "alice"};
static const struct client_how bob = {.name = "bob"};

static uint64_t failed(const struct world *world, enum edge_refusal why)
{
    return counters_of(world).handshakes_failed[why];
}

/* True when the other side closed within the harness's limit. */
static bool tcp_ended(int fd)
{
    char byte = 0;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void slow_handshakes_are_cut_off(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world.settings.handshake_timeout_ms = 300;
    world_start(&world);
    int silent = tcp_connect(world.port);
    int drip = tcp_connect(world.port);
    assert_true(silent >= 0 && drip >= 0);
    int64_t start_ms = now_ms();
    /* the head of a handshake record that says 512 bytes follow, which come
     * one by one: progress does not buy time */
    static const uint8_t head[] = {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3};
    size_t sent = 0;
    char byte = 0;
    while (recv(drip, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
        assert_true(now_ms() - start_ms < 1000);
        send(drip, sent < sizeof head ? &head[sent] : &head[1], 1,
             MSG_NOSIGNAL);
        sent++;
        sleep_ms(20);
    }
    assert_true(tcp_ended(silent));
    assert_in_range(now_ms() - start_ms, 250, 1000);
    assert_int_equal(failed(&world, EDGE_REFUSED_TIMEOUT), 2);
    close(silent);
    close(drip);
    const char *why = NULL;
    assert_true(client_served(&world, &alice, &why));
    world_free(&world);
}

static void idle_connections_are_closed_and_busy_ones_are_not(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world.settings.idle_timeout_ms = 300;
    world_start(&world);
    struct client busy;
    struct client idle;
    assert_true(client_connect(&busy, &world, &alice));
    assert_true(client_connect(&idle, &world, &bob));
    assert_true(client_echo(&idle, "once"));
    for (int i = 0; i < 12; i++) {
        assert_true(client_echo(&busy, "again"));
        sleep_ms(50);
    }
    const char *how = NULL;
    assert_true(client_ended(&idle, &how));
    assert_int_equal(counters_of(&world).closed_idle, 1);
    assert_true(client_echo(&busy, "still here"));
    client_close(&idle);
    client_close(&busy);
    world_free(&world);
}

static void a_certificate_that_ends_ends_its_connection(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    pki_issue(world.ca,
              &(struct pki_leaf){.uris = {"spiffe://test/short"},
                                 .not_after_s = 3600},
              world.dir, "short");
    world_start(&world);
    struct client brief;
    struct client lasting;
    assert_true(
        client_connect(&brief, &world, &(struct client_how){.name = "short"}));
    assert_true(client_connect(&lasting, &world, &alice));
    assert_true(client_echo(&brief, "before"));
    assert_true(client_echo(&lasting, "before"));
    atomic_store(&world.wall_ahead_ms, 3700 * 1000);
    int64_t start_ms = now_ms();
    const char *how = NULL;
    assert_true(client_ended(&brief, &how));
    assert_in_range(now_ms() - start_ms, 0, 2000);
    assert_int_equal(counters_of(&world).closed_expired, 1);
    assert_true(client_echo(&lasting, "after"));
    client_close(&brief);
    client_close(&lasting);
    world_free(&world);
}

static void over_the_cap_is_closed_at_once(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world.settings.connections_max = 2;
    world.settings.connections_per_identity_max = 2;
    world_start(&world);
    struct client one;
    struct client two;
    assert_true(client_connect(&one, &world, &alice));
    assert_true(client_connect(&two, &world, &bob));
    assert_true(client_echo(&one, "hello") && client_echo(&two, "hello"));
    for (int i = 0; i < 10; i++) {
        int64_t start_ms = now_ms();
        int fd = tcp_connect(world.port);
        assert_true(tcp_ended(fd));
        assert_in_range(now_ms() - start_ms, 0, 500);
        close(fd);
    }
    assert_int_equal(counters_of(&world).refused_cap, 10);
    assert_int_equal(counters_of(&world).open, 2);
    assert_true(client_echo(&one, "still") && client_echo(&two, "here"));
    client_close(&one);
    WAIT_FOR(counters_of(&world).open == 1);
    const char *why = NULL;
    assert_true(client_served(&world, &alice, &why));
    client_close(&two);
    world_free(&world);
}

static void one_identity_cannot_take_all(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world.settings.connections_per_identity_max = 2;
    world_start(&world);
    struct client first;
    struct client second;
    const char *why = NULL;
    assert_true(client_connect(&first, &world, &alice));
    assert_true(client_connect(&second, &world, &alice));
    assert_true(client_echo(&first, "hi") && client_echo(&second, "hi"));
    assert_false(client_served(&world, &alice, &why));
    assert_string_equal(why, "close");
    WAIT_FOR(counters_of(&world).refused_identity_cap == 1);
    assert_int_equal(world.backend.name_count, 2);
    assert_true(client_served(&world, &bob, &why));
    client_close(&first);
    WAIT_FOR(counters_of(&world).open == 1);
    assert_true(client_served(&world, &alice, &why));
    client_close(&second);
    world_free(&world);
}

static void a_missing_backend_is_an_orderly_end(void **state)
{
    (void)state;
    static struct world world;
    char path[PKI_PATH_BYTES];
    world_new(&world, BACKEND_ECHO);
    pki_path(path, world.dir, "nothing.sock");
    world.settings.backend_path = path;
    world_start(&world);
    const char *why = NULL;
    assert_false(client_served(&world, &alice, &why));
    assert_string_equal(why, "close");
    WAIT_FOR(counters_of(&world).backend_failed == 1);
    WAIT_FOR(counters_of(&world).open == 0);
    world_free(&world);
}

/* --- running out of descriptors, in a process of its own */

/* What the child tells, read by the parent while both run. */
struct told {
    char dir[PKI_PATH_BYTES];
    _Atomic int port; /* not 0: ready */
    _Atomic uint64_t accepted;
    _Atomic uint64_t open;
    _Atomic uint64_t accept_paused;
    _Atomic uint64_t backend_failed;
    _Atomic uint64_t reached; /* connections that the backend ever saw */
    _Atomic uint64_t cpu_us;  /* of the whole process */
    _Atomic int quit;
};

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Lowers the limit so that count descriptors are free. */
static void descriptors_leave(int count)
{
    int free_ones[32];
    CHECK(count <= 32);
    for (int i = 0; i < count; i++) {
        free_ones[i] = dup(STDERR_FILENO); /* the lowest that is free */
        CHECK(free_ones[i] >= 0);
    }
    struct rlimit limit = {0};
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)free_ones[count - 1] + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < count; i++) {
        CHECK(close(free_ones[i]) == 0);
    }
}

static _Noreturn void child_run(struct told *told, int descriptors)
{
    static struct world world;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed stops nothing */
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    snprintf(told->dir, sizeof told->dir, "%s", world.dir);
    descriptors_leave(descriptors);
    atomic_store(&told->port, world.port);
    while (!atomic_load(&told->quit)) {
        struct edge_counters counters = counters_of(&world);
        atomic_store(&told->accepted, counters.accepted);
        atomic_store(&told->open, counters.open);
        atomic_store(&told->accept_paused, counters.accept_paused);
        atomic_store(&told->backend_failed, counters.backend_failed);
        atomic_store(&told->reached, world.backend.name_count);
        atomic_store(&told->cpu_us, cpu_us());
        sleep_ms(10);
    }
    /* the clean-up needs a descriptor to read the folder */
    struct rlimit limit = {0};
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 1024 ? limit.rlim_max : 1024;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    world_free(&world);
    exit(0);
}

/* A world whose edge lives in another process. */
struct far {
    struct told *told;
    pid_t pid;
    struct world world; /* dir and port only */
};

static void far_start(struct far *far, int descriptors)
{
    *far = (struct far){0};
    far->told = mmap(NULL, sizeof *far->told, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(far->told != MAP_FAILED);
    far->pid = fork();
    assert_true(far->pid >= 0);
    if (far->pid == 0) {
        child_run(far->told, descriptors);
    }
    WAIT_FOR(atomic_load(&far->told->port) != 0);
    snprintf(far->world.dir, sizeof far->world.dir, "%s", far->told->dir);
    far->world.port = (uint16_t)atomic_load(&far->told->port);
}

static void far_stop(struct far *far)
{
    int how = 0;
    atomic_store(&far->told->quit, 1);
    assert_int_equal(waitpid(far->pid, &how, 0), far->pid);
    assert_int_equal(how, 0);
    munmap(far->told, sizeof *far->told);
}

static void accepting_resumes_by_itself(void **state)
{
    (void)state;
    enum { FREE = 24, STRANGERS = 60 };
    struct far far;
    far_start(&far, FREE);
    const char *why = NULL;
    assert_true(client_served(&far.world, &alice, &why));
    WAIT_FOR(atomic_load(&far.told->open) == 0);

    int strangers[STRANGERS];
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = tcp_connect(far.world.port);
        assert_true(strangers[i] >= 0);
    }
    WAIT_FOR(atomic_load(&far.told->accept_paused) > 0);
    /* it does not spin meanwhile: neither often, nor costly */
    uint64_t pauses = atomic_load(&far.told->accept_paused);
    uint64_t used_us = atomic_load(&far.told->cpu_us);
    sleep_ms(1000);
    pauses = atomic_load(&far.told->accept_paused) - pauses;
    used_us = atomic_load(&far.told->cpu_us) - used_us;
    assert_in_range(pauses, 1, 20);
    assert_in_range(used_us, 0, 150000);
    assert_true(atomic_load(&far.told->open) < STRANGERS);

    /* they leave; nobody kicks it: no new connection, no signal */
    for (int i = 0; i < STRANGERS; i++) {
        close(strangers[i]);
    }
    WAIT_FOR(atomic_load(&far.told->accepted) == STRANGERS + 1);
    WAIT_FOR(atomic_load(&far.told->open) == 0);
    assert_true(client_served(&far.world, &alice, &why));
    far_stop(&far);
}

/* One descriptor for TCP, one for our end of the Unix socket, and then none
 * for the end of gRPC, whose listener would never recover: it is not asked. */
static void the_last_descriptors_are_not_spent_on_the_backend(void **state)
{
    (void)state;
    struct far far;
    far_start(&far, 2);
    const char *why = NULL;
    assert_false(client_served(&far.world, &alice, &why));
    WAIT_FOR(atomic_load(&far.told->backend_failed) == 1);
    sleep_ms(50);
    assert_int_equal(atomic_load(&far.told->reached), 0);
    far_stop(&far);

    far_start(&far, 3);
    assert_true(client_served(&far.world, &alice, &why));
    far_stop(&far);
}

/* --- the log */

static size_t lines_of(int fd, size_t *out_sum_suppressed)
{
    static char text[1 << 20];
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    assert_true(got >= 0);
    text[got] = '\0';
    size_t lines = 0;
    *out_sum_suppressed = 0;
    const char *key = "\"suppressed\":";
    for (char *at = strstr(text, key); at != NULL; at = strstr(at + 1, key)) {
        lines++;
        *out_sum_suppressed += strtoul(at + strlen(key), NULL, 10);
    }
    return lines;
}

static void strangers_cannot_flood_the_log(void **state)
{
    (void)state;
    enum { STRANGERS = 400 };
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    FILE *log = tmpfile();
    assert_non_null(log);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
    int64_t start_ms = now_ms();
    for (int i = 0; i < STRANGERS; i++) {
        int fd = tcp_connect(world.port);
        send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        close(fd);
    }
    bool all = false;
    for (int i = 0; i < 1000 && !all; i++) {
        sleep_ms(5);
        all = failed(&world, EDGE_REFUSED_PROTOCOL) == STRANGERS;
    }
    int64_t took_ms = now_ms() - start_ms;
    sleep_ms(150); /* another line may be written then, with the count */
    const char *why = NULL;
    bool served = client_served(&world, &(struct client_how){0}, &why);
    WAIT_FOR(failed(&world, EDGE_REFUSED_NO_CERTIFICATE) == 1);
    sleep_ms(20);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    size_t suppressed = 0;
    size_t lines = lines_of(fileno(log), &suppressed);
    fclose(log);
    assert_true(all);
    assert_false(served);
    assert_in_range(lines, 2, 22 + (size_t)took_ms / 100);
    assert_int_equal(lines + suppressed, STRANGERS + 1);
    world_free(&world);
}

/* --- the beginning and the end */

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static struct world world;
    struct edge *edge = NULL;
    world_new(&world, BACKEND_ECHO);
    char longer[EDGE_PATH_MAX_BYTES + 2];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    const struct edge_settings good = world.settings;
#define REFUSED(change, expected)                                              \
    do {                                                                       \
        struct edge_settings bad = good;                                       \
        bad.change;                                                            \
        assert_status(edge_start(&bad, &edge), (expected));                    \
        assert_null(edge);                                                     \
    } while (0)
    REFUSED(clock = NULL, HF_E_INVALID);
    REFUSED(listen_address = NULL, HF_E_INVALID);
    REFUSED(listen_address = "localhost", HF_E_INVALID);
    REFUSED(listen_address = "[::1]", HF_E_INVALID);
    REFUSED(listen_address = "192.0.2.1", HF_E_UNREACHABLE);
    REFUSED(backend_path = NULL, HF_E_INVALID);
    REFUSED(backend_path = "", HF_E_INVALID);
    REFUSED(backend_path = longer, HF_E_INVALID);
    REFUSED(certificate_path = NULL, HF_E_INVALID);
    REFUSED(certificate_path = longer, HF_E_INVALID);
    REFUSED(certificate_path = world.crl, HF_E_INVALID);
    REFUSED(key_path = world.certificate, HF_E_INVALID);
    REFUSED(client_ca_path = world.certificate, HF_E_INVALID); /* not a CA */
    REFUSED(client_ca_path = "/nonexistent", HF_E_INVALID);
    REFUSED(handshake_timeout_ms = 0, HF_E_INVALID);
    REFUSED(idle_timeout_ms = -1, HF_E_INVALID);
    REFUSED(idle_timeout_ms = EDGE_TIMEOUT_MAX_MS + 1, HF_E_INVALID);
    REFUSED(connections_max = 0, HF_E_INVALID);
    REFUSED(connections_max = EDGE_CONNECTIONS_MAX + 1, HF_E_INVALID);
    REFUSED(connections_per_identity_max = 0, HF_E_INVALID);
    REFUSED(connections_per_identity_max = good.connections_max + 1,
            HF_E_INVALID);
#undef REFUSED
    world_start(&world);
    world_free(&world);
}

static void it_listens_on_ipv6_too(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world.settings.listen_address = "::1";
    world_start(&world);
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(world.port),
        .sin6_addr = in6addr_loopback,
    };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    WAIT_FOR(counters_of(&world).open == 1);
    close(fd);
    WAIT_FOR(failed(&world, EDGE_REFUSED_PROTOCOL) == 1);
    world_free(&world);
}

static void drain_lets_the_old_go_on_and_stop_ends_them(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client client;
    assert_true(client_connect(&client, &world, &alice));
    assert_true(client_echo(&client, "before"));
    edge_drain(world.edge);
    assert_int_equal(tcp_connect(world.port), -1);
    assert_true(client_echo(&client, "after"));
    edge_drain(world.edge); /* twice is once */

    struct edge_identity who;
    const char *name = world.backend.names[0];
    assert_ok(edge_lookup(world.edge, name, &who));
    edge_stop(world.edge);
    assert_status(edge_lookup(world.edge, name, &who), HF_E_NOT_FOUND);
    const char *how = NULL;
    assert_true(client_ended(&client, &how));
    assert_status(edge_reload(world.edge), HF_E_PRECONDITION);
    edge_drain(world.edge);
    edge_stop(world.edge);
    client_close(&client);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_handshakes_are_cut_off),
        cmocka_unit_test(idle_connections_are_closed_and_busy_ones_are_not),
        cmocka_unit_test(a_certificate_that_ends_ends_its_connection),
        cmocka_unit_test(over_the_cap_is_closed_at_once),
        cmocka_unit_test(one_identity_cannot_take_all),
        cmocka_unit_test(a_missing_backend_is_an_orderly_end),
        cmocka_unit_test(accepting_resumes_by_itself),
        cmocka_unit_test(the_last_descriptors_are_not_spent_on_the_backend),
        cmocka_unit_test(strangers_cannot_flood_the_log),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
        cmocka_unit_test(it_listens_on_ipv6_too),
        cmocka_unit_test(drain_lets_the_old_go_on_and_stop_ends_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
