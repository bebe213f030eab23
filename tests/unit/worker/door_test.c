/* Whose is the place at which a PIN is asked for? */
#include "hsm/base/check.h"

#include "hsm/worker/door.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_folder_that_one_user_writes(void **state)
{
    char folder[] = "/tmp/holdfast-door-XXXXXX";
    char path[sizeof folder + 8];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pin", folder);
    uint32_t own = geteuid();
    assert_true(door_is_of(path, own));
    assert_false(door_is_of(path, own + 1));
    static const struct {
        mode_t mode;
        bool of_one;
    } cases[] = {
        {0700,  true },
        {0755,  true },
        {0770,  false},
        {0777,  false},
        {01777, false}
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        assert_int_equal(chmod(folder, cases[i].mode), 0);
        assert_int_equal(door_is_of(path, own), cases[i].of_one);
    }
    rmdir(folder);
    assert_false(door_is_of(path, own)); /* is not there */
}

static void other_forms_of_a_path(void **state)
{
    char before[512];
    char folder[] = "/tmp/holdfast-door-XXXXXX";
    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_true(door_is_of("pin", geteuid()));
    assert_int_equal(chmod(folder, 0777), 0);
    assert_false(door_is_of("pin", geteuid()));
    assert_int_equal(chdir(before), 0);
    rmdir(folder);
    struct stat root;
    assert_int_equal(stat("/", &root), 0);
    assert_int_equal(door_is_of("/pin", root.st_uid),
                     (root.st_mode & 022) == 0);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_false(door_is_of(longest, geteuid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_one_user_writes),
        cmocka_unit_test(other_forms_of_a_path),
    };
    return cmocka_run_group_tests_name("worker_door", tests, NULL, NULL);
}
