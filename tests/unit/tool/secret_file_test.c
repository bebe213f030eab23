/* PINs come in from owner-only files and descriptors, and from nowhere else. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/secret_file.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char folder[] = "/tmp/holdfast-pin-XXXXXX";
static char path[sizeof folder + 8];

static int make_folder(void **state)
{
    (void)state;
    assert_ok(secret_heap_start(1 << 16));
    assert_non_null(mkdtemp(folder));
    assert_true(snprintf(path, sizeof path, "%s/pin", folder) > 0);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(struct bytes content, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.data, content.len), content.len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect(struct bytes content, const char *secret_text)
{
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    write_file(content, 0600);
    if (secret_text == NULL) {
        assert_status(secret_from_file(path, &secret), HF_E_INVALID);
        assert_null(secret);
        return;
    }
    assert_ok(secret_from_file(path, &secret));
    assert_int_equal(secret_len(secret), strlen(secret_text));
    assert_memory_equal(secret_bytes(secret), secret_text, strlen(secret_text));
}

static void one_line_is_the_secret(void **state)
{
    (void)state;
    expect(bytes_of_text("1234"), "1234");
    expect(bytes_of_text("1234\n"), "1234");
    expect(bytes_of_text("1234\r\n"), "1234");
    expect(bytes_of_text(" 12 34 "), " 12 34 ");
    expect(bytes_of_text(""), NULL);
    expect(bytes_of_text("\n"), NULL);
    expect(bytes_of_text("\r\n"), NULL);
    expect(bytes_of_text("1234\n\n"), NULL);
    expect(bytes_of_text("1234\n5678\n"), NULL);
    expect((struct bytes){(const uint8_t *)"12\0004", 4}, NULL);
}

static void length_has_a_bound(void **state)
{
    (void)state;
    char text[SECRET_FILE_MAX_BYTES + 16];
    memset(text, 'x', sizeof text);
    text[SECRET_FILE_MAX_BYTES] = '\0';
    expect(bytes_of_text(text), text);
    for (size_t more = 1; more < 8; more++) {
        struct bytes longer = {(const uint8_t *)text,
                               SECRET_FILE_MAX_BYTES + more};
        text[SECRET_FILE_MAX_BYTES] = 'x';
        expect(longer, NULL);
    }
}

static void others_must_not_read_it(void **state)
{
    (void)state;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610,
                                        0601, 0660, 0666, 0777, 0440};
    for (size_t i = 0; i < HF_COUNT(open_modes); i++) {
        struct secret *secret = NULL;
        write_file(bytes_of_text("1234"), open_modes[i]);
        assert_status(secret_from_file(path, &secret), HF_E_PRECONDITION);
        assert_null(secret);
    }
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    write_file(bytes_of_text("1234"), 0400);
    assert_ok(secret_from_file(path, &secret));
}

/* Only root can give a file away. */
static void it_must_be_ours(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    struct secret *secret = NULL;
    write_file(bytes_of_text("1234"), 0600);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_status(secret_from_file(path, &secret), HF_E_PRECONDITION);
}

static void only_regular_files(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    assert_status(secret_from_file(folder, &secret), HF_E_PRECONDITION);
    unlink(path);
    assert_status(secret_from_file(path, &secret), HF_E_NOT_FOUND);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody ever writes to it */
    assert_status(secret_from_file(path, &secret), HF_E_PRECONDITION);
}

static void descriptors_are_read_to_the_end(void **state)
{
    (void)state;
    int ends[2];
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "12", 2), 2);
    assert_int_equal(write(ends[1], "34\n", 3), 3);
    close(ends[1]);
    assert_ok(secret_from_fd(ends[0], &secret));
    assert_int_equal(secret_len(secret), 4);
    close(ends[0]);
    struct secret *none = NULL;
    assert_status(secret_from_fd(ends[0], &none), HF_E_INVALID);
}

/* On a terminal of its own; ends with 0 when it was given "1234". */
static void ask_in_child(void)
{
    struct secret *secret = NULL;
    bool good = secret_from_terminal("PIN: ", &secret) == HF_OK &&
                secret_len(secret) == 4 &&
                memcmp(secret_bytes(secret), "1234", 4) == 0;
    _exit(good ? 0 : 1);
}

static pid_t ask_on(int *out_screen, int *out_terminal)
{
    char shown[64] = "";
    size_t len = 0;
    pid_t child = forkpty(out_screen, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        ask_in_child();
    }
    *out_terminal = open(ptsname(*out_screen), O_RDWR | O_NOCTTY);
    assert_true(*out_terminal >= 0);
    while (strstr(shown, "PIN: ") == NULL) {
        ssize_t got = read(*out_screen, shown + len, sizeof shown - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
    }
    return child;
}

static void the_echo_comes_back(void **state)
{
    (void)state;
    static const int signals[] = {0, SIGTERM, SIGHUP};
    for (size_t i = 0; i < HF_COUNT(signals); i++) {
        struct termios now = {0};
        int screen = -1;
        int terminal = -1;
        int ended = 0;
        pid_t child = ask_on(&screen, &terminal);
        assert_int_equal(tcgetattr(terminal, &now), 0);
        assert_int_equal(now.c_lflag & ECHO, 0);
        assert_int_equal(kill(child, signals[i]), 0);
        assert_int_equal(write(screen, "1234\n", 5), 5);
        assert_int_equal(waitpid(child, &ended, 0), child);
        /* the signal still ends it */
        assert_int_equal(WIFSIGNALED(ended) ? WTERMSIG(ended) : 0, signals[i]);
        assert_true(signals[i] != 0 || WEXITSTATUS(ended) == 0);
        assert_int_equal(tcgetattr(terminal, &now), 0);
        assert_int_not_equal(now.c_lflag & ECHO, 0);
        close(terminal);
        close(screen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_is_the_secret),
        cmocka_unit_test(length_has_a_bound),
        cmocka_unit_test(others_must_not_read_it),
        cmocka_unit_test(it_must_be_ours),
        cmocka_unit_test(only_regular_files),
        cmocka_unit_test(descriptors_are_read_to_the_end),
        cmocka_unit_test(the_echo_comes_back),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
