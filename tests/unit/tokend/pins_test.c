/* Is a PIN tried once, whoever brings it, and the one that works kept until
 * another has proved right? */
#include "hsm/base/check.h"

#include "hsm/tokend/pins.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char folder[64];
    char path[80];
    struct pins *pins;
};

static struct secret *pin_of(const char *text)
{
    struct secret *pin = NULL;
    assert_ok(secret_new(strlen(text), &pin));
    memcpy(secret_writable(pin), text, strlen(text));
    return pin;
}

static void write_pin(const struct fixture *fixture, const char *text)
{
    char part[96];
    snprintf(part, sizeof part, "%s.part", fixture->path);
    int file = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    assert_int_equal(rename(part, fixture->path), 0);
}

static void begin(struct fixture *fixture, enum pin_source source,
                  uint64_t refused)
{
    assert_ok(pins_new(source, fixture->path, refused, &fixture->pins));
}

static int start(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder,
             "/tmp/holdfast-pins-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/pin", fixture->folder);
    *state = fixture;
    return 0;
}

static int stop(void **state)
{
    struct fixture *fixture = *state;
    pins_free(fixture->pins);
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

/* Which PIN a worker would be given; "-": none. */
static void assert_tries(struct fixture *fixture, const char *text)
{
    const struct secret *pin = NULL;
    if (text[0] == '-') {
        assert_status(pins_to_try(fixture->pins, &pin), HF_E_NOT_FOUND);
        return;
    }
    assert_ok(pins_to_try(fixture->pins, &pin));
    assert_int_equal(secret_len(pin), strlen(text));
    assert_memory_equal(secret_bytes(pin), text, strlen(text));
}

/* Two looks: what is still being written is not read. */
static void look(struct fixture *fixture)
{
    assert_ok(pins_look(fixture->pins, false));
    assert_ok(pins_look(fixture->pins, false));
}

static void a_refused_one_is_not_tried_again(void **state)
{
    struct fixture *fixture = *state;
    write_pin(fixture, "1111\n");
    begin(fixture, PIN_FROM_FILE, 0);
    assert_tries(fixture, "-");
    assert_ok(pins_look(fixture->pins, true));
    assert_true(pins_is_new(fixture->pins));
    assert_tries(fixture, "1111");
    pins_refused(fixture->pins);
    assert_false(pins_is_new(fixture->pins));
    assert_tries(fixture, "-");
    /* written again, with the same PIN in it */
    write_pin(fixture, "1111\n");
    look(fixture);
    assert_false(pins_is_new(fixture->pins));
    assert_status(pins_offer(fixture->pins, pin_of("1111")), HF_E_DENIED);
    write_pin(fixture, "2222\n");
    look(fixture);
    assert_tries(fixture, "2222");
    pins_proved(fixture->pins);
    assert_tries(fixture, "2222");
    pins_undecided(fixture->pins);
    assert_true(pins_have_worked(fixture->pins));
}

static void the_one_that_works_is_kept(void **state)
{
    struct fixture *fixture = *state;
    write_pin(fixture, "1111");
    begin(fixture, PIN_FROM_FILE, 0);
    assert_ok(pins_look(fixture->pins, true));
    assert_tries(fixture, "1111");
    pins_proved(fixture->pins);
    assert_int_equal(pins_refused_file(fixture->pins), 0);
    write_pin(fixture, "2222");
    look(fixture);
    assert_tries(fixture, "2222");
    pins_refused(fixture->pins);
    assert_int_not_equal(pins_refused_file(fixture->pins), 0);
    assert_true(pins_may_work_again(fixture->pins));
    assert_tries(fixture, "1111");
    pins_undecided(fixture->pins);
    /* a failure that says nothing of the PIN leaves it to be tried */
    write_pin(fixture, "3333");
    look(fixture);
    assert_true(pins_is_untried(fixture->pins));
    assert_tries(fixture, "3333");
    pins_undecided(fixture->pins);
    assert_true(pins_is_new(fixture->pins));
    assert_false(pins_is_untried(fixture->pins));
    assert_tries(fixture, "3333");
    pins_proved(fixture->pins);
    assert_int_equal(pins_refused_file(fixture->pins), 0);
    /* the one in use may be refused as well: it was changed in the token */
    assert_tries(fixture, "3333");
    pins_refused(fixture->pins);
    assert_true(pins_have_worked(fixture->pins));
    assert_false(pins_may_work_again(fixture->pins));
    assert_tries(fixture, "-");
}

/* A process that ends inside of the log-in does not say what came of it. */
static void one_that_is_cut_off_is_tried_twice_at_most(void **state)
{
    struct fixture *fixture = *state;
    write_pin(fixture, "1111");
    begin(fixture, PIN_FROM_FILE, 0);
    assert_ok(pins_look(fixture->pins, true));
    assert_tries(fixture, "1111");
    assert_false(pins_cut_off(fixture->pins));
    assert_true(pins_is_new(fixture->pins));
    assert_tries(fixture, "1111");
    pins_undecided(fixture->pins); /* it ended elsewhere: no try */
    assert_tries(fixture, "1111");
    assert_true(pins_cut_off(fixture->pins));
    assert_false(pins_is_new(fixture->pins));
    assert_int_not_equal(pins_refused_file(fixture->pins), 0);
    assert_status(pins_offer(fixture->pins, pin_of("1111")), HF_E_DENIED);
    /* another one has its own two */
    write_pin(fixture, "2222");
    look(fixture);
    assert_tries(fixture, "2222");
    assert_false(pins_cut_off(fixture->pins));
    write_pin(fixture, "3333");
    look(fixture);
    assert_tries(fixture, "3333");
    assert_false(pins_cut_off(fixture->pins));
    assert_tries(fixture, "3333");
    pins_proved(fixture->pins);
    /* one that has worked is not wrong for that */
    for (int i = 0; i < 3; i++) {
        assert_tries(fixture, "3333");
        assert_false(pins_cut_off(fixture->pins));
    }
    assert_true(pins_may_work_again(fixture->pins));
}

static void not_while_it_is_written(void **state)
{
    struct fixture *fixture = *state;
    write_pin(fixture, "1111");
    begin(fixture, PIN_FROM_FILE, 0);
    assert_ok(pins_look(fixture->pins, true));
    assert_tries(fixture, "1111");
    pins_proved(fixture->pins);
    write_pin(fixture, "22");
    assert_ok(pins_look(fixture->pins, false));
    assert_false(pins_is_new(fixture->pins));
    write_pin(fixture, "2222");
    assert_ok(pins_look(fixture->pins, false));
    assert_false(pins_is_new(fixture->pins));
    assert_ok(pins_look(fixture->pins, false));
    assert_tries(fixture, "2222");
    /* another one that comes while it is tried is not mistaken for it */
    write_pin(fixture, "3333");
    look(fixture);
    pins_proved(fixture->pins);
    assert_false(pins_is_new(fixture->pins));
    assert_ok(pins_look(fixture->pins, false));
    assert_tries(fixture, "3333");
}

/* A supervisor that is started anew has not tried anything yet. */
static void known_from_an_earlier_process(void **state)
{
    struct fixture *fixture = *state;
    write_pin(fixture, "1111");
    begin(fixture, PIN_FROM_FILE, 0);
    assert_ok(pins_look(fixture->pins, true));
    assert_tries(fixture, "1111");
    pins_refused(fixture->pins);
    uint64_t mark = pins_refused_file(fixture->pins);
    assert_int_not_equal(mark, 0);
    pins_free(fixture->pins);
    begin(fixture, PIN_FROM_FILE, mark);
    assert_ok(pins_look(fixture->pins, true));
    assert_false(pins_is_new(fixture->pins));
    assert_int_equal(pins_refused_file(fixture->pins), mark);
    write_pin(fixture, "2222");
    look(fixture);
    assert_tries(fixture, "2222");
}

static void a_file_that_is_none(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, PIN_FROM_FILE, 0);
    assert_status(pins_look(fixture->pins, true), HF_E_NOT_FOUND);
    write_pin(fixture, "");
    assert_status(pins_look(fixture->pins, false), HF_E_NOT_FOUND);
    assert_status(pins_look(fixture->pins, false), HF_E_INVALID);
    assert_false(pins_is_new(fixture->pins));
    write_pin(fixture, "1111");
    assert_status(pins_look(fixture->pins, false), HF_E_INVALID);
    assert_ok(pins_look(fixture->pins, false));
    assert_true(pins_is_new(fixture->pins));
}

static void entered_by_hand(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, PIN_FROM_ACTIVATION, 0);
    assert_ok(pins_look(fixture->pins, true));
    assert_tries(fixture, "-");
    assert_ok(pins_offer(fixture->pins, pin_of("1111")));
    assert_tries(fixture, "1111");
    assert_status(pins_offer(fixture->pins, pin_of("2222")), HF_E_CONFLICT);
    pins_refused(fixture->pins);
    assert_int_equal(pins_refused_file(fixture->pins), 0);
    assert_status(pins_offer(fixture->pins, pin_of("1111")), HF_E_DENIED);
    assert_ok(pins_offer(fixture->pins, pin_of("2222")));
    assert_tries(fixture, "2222");
    pins_proved(fixture->pins);
    assert_status(pins_offer(fixture->pins, pin_of("2222")), HF_E_EXISTS);
}

static void a_pad_needs_none(void **state)
{
    struct fixture *fixture = *state;
    const struct secret *pin = NULL;
    begin(fixture, PIN_FROM_PAD, 0);
    assert_ok(pins_to_try(fixture->pins, &pin));
    assert_null(pin);
    pins_refused(fixture->pins); /* whoever stood there may try again */
    assert_ok(pins_to_try(fixture->pins, &pin));
    assert_null(pin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refused_one_is_not_tried_again, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_one_that_works_is_kept, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            one_that_is_cut_off_is_tried_twice_at_most, start, stop),
        cmocka_unit_test_setup_teardown(not_while_it_is_written, start, stop),
        cmocka_unit_test_setup_teardown(known_from_an_earlier_process, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_file_that_is_none, start, stop),
        cmocka_unit_test_setup_teardown(entered_by_hand, start, stop),
        cmocka_unit_test_setup_teardown(a_pad_needs_none, start, stop),
    };
    assert_ok(secret_heap_start((size_t)64 * 1024));
    return cmocka_run_group_tests_name("tokend_pins", tests, NULL, NULL);
}
