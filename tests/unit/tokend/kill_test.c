/* Does the supervisor end the worker that holdfastd names, and no other? */
#include "hsm/base/check.h"

#include "hsm/tokend/parent_inside.h"

#include "tests/support/unit.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct tokend_options options = {.name = "east",
                                              .pin_source = PIN_FROM_PAD};

struct fixture {
    struct parent parent;
    int holdfastd; /* its end */
};

static struct fixture fixture;

/* A process that ends by nothing but a kill. */
static struct child *add(size_t at, enum child_role role, uint32_t number)
{
    struct child *child = &fixture.parent.children.at[at];
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    assert_true(pid > 0);
    *child = (struct child){
        .role = role, .pid = pid, .number = number, .beat = -1, .link = -1};
    return child;
}

static int start(void **state)
{
    const struct children_owner owner = {parent_happened, &fixture.parent};
    int ends[2];
    (void)state;
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fixture = (struct fixture){
        .parent =
            {.options = &options,
                     .state = SUP_SERVING,
                     .peer = {.options = &options, .listener = -1, .control = ends[0]},
                     .caller = {.options = &options, .listener = -1, .socket = -1}},
        .holdfastd = ends[1],
    };
    assert_ok(pins_new(PIN_FROM_PAD, NULL, 0, &fixture.parent.pins));
    children_set_up(&fixture.parent.children, &options, 0, NULL, &owner);
    return 0;
}

static int stop(void **state)
{
    struct children *children = &fixture.parent.children;
    (void)state;
    children_kill_all(children);
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children->at[i].role != CHILD_NONE) {
            assert_int_equal(waitpid(children->at[i].pid, NULL, 0),
                             children->at[i].pid);
        }
    }
    pins_free(fixture.parent.pins);
    peer_close(&fixture.parent.peer);
    close(fixture.holdfastd);
    return 0;
}

static void say(enum control_kind kind, uint32_t worker)
{
    const struct control_message message = {.kind = kind,
                                            .state = {.worker = worker}};
    assert_ok(control_send(fixture.holdfastd, &message, -1));
}

static void only_what_is_said_is_heard(void **state)
{
    struct peer *peer = &fixture.parent.peer;
    uint32_t worker = 0;
    (void)state;
    assert_int_equal(peer_read(peer, &worker), PEER_NOTHING);
    say(CONTROL_KILL, 7);
    say(CONTROL_LOOK, 0);
    assert_int_equal(peer_read(peer, &worker), PEER_KILL);
    assert_int_equal(worker, 7);
    assert_int_equal(peer_read(peer, &worker), PEER_LOOK);
    assert_int_equal(peer_read(peer, &worker), PEER_NOTHING);
    say(CONTROL_KILL, 0); /* of no worker */
    assert_int_equal(peer_read(peer, &worker), PEER_GONE);
    assert_int_equal(peer->control, -1);
}

static void the_one_that_serves_is_replaced(void **state)
{
    struct parent *parent = &fixture.parent;
    (void)state;
    struct child *draining = add(0, CHILD_DRAINING, 6);
    struct child *serving = add(1, CHILD_SERVING, 7);
    parent_kill(parent, 5); /* gone long ago */
    assert_int_equal(draining->role, CHILD_DRAINING);
    assert_int_equal(serving->role, CHILD_SERVING);
    parent_kill(parent, 6);
    assert_int_equal(draining->role, CHILD_ENDING);
    assert_int_equal(serving->role, CHILD_SERVING);
    assert_int_equal(parent->state, SUP_SERVING);
    parent_kill(parent, 7);
    assert_int_equal(serving->role, CHILD_ENDING);
    assert_int_equal(parent->state, SUP_PAUSED);
    assert_int_equal(parent->restarts, 1);
    parent_kill(parent, 7); /* asked for twice */
    assert_int_equal(parent->restarts, 1);
    int status = 0;
    assert_int_equal(waitpid(serving->pid, &status, 0), serving->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    serving->role = CHILD_NONE;
}

/* Of those holdfastd cannot know. */
static void one_that_was_not_given_away_goes_on(void **state)
{
    struct parent *parent = &fixture.parent;
    (void)state;
    struct child *newest = add(0, CHILD_NEWEST, 8);
    struct child *serving = add(1, CHILD_SERVING, 7);
    serving->link = dup(fixture.holdfastd);
    parent_kill(parent, 8);
    parent_kill(parent, 7);
    assert_int_equal(newest->role, CHILD_NEWEST);
    assert_int_equal(serving->role, CHILD_SERVING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_said_is_heard, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_one_that_serves_is_replaced, start,
                                        stop),
        cmocka_unit_test_setup_teardown(one_that_was_not_given_away_goes_on,
                                        start, stop),
    };
    assert_ok(secret_heap_start((size_t)64 * 1024));
    return cmocka_run_group_tests_name("tokend_kill", tests, NULL, NULL);
}
