/* A folder is copied whole or not at all, and what is there is another's unless
 * an interrupted call can have made it: then it is looked at. */
#include "hsm/base/bytes.h"

#include "hsm/tool/backup/folder.h"
#include "hsm/tool/file.h"

#include "tests/support/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/holdfast-folder-XXXXXX";

static const char *at(const char *name)
{
    static char paths[4][sizeof top + 32];
    static size_t next;
    char *path = paths[next++ % 4];
    assert_true(snprintf(path, sizeof paths[0], "%s/%s", top, name) > 0);
    return path;
}

static void put(const char *name, const char *text)
{
    unlink(at(name));
    assert_ok(file_create(at(name), 0600, bytes_of_text(text)));
}

static void drop(const char *folder)
{
    static const char *const files[] = {"a", "b", "c"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[32];
        assert_true(snprintf(name, sizeof name, "%s/%s", folder, files[i]) > 0);
        unlink(at(name));
    }
    rmdir(at(folder));
}

static int prepare(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    assert_int_equal(mkdir(at("from"), 0700), 0);
    put("from/a", "counted.one");
    put("from/b", "counted.two");
    return 0;
}

static int finish(void **state)
{
    (void)state;
    drop("from");
    drop("to");
    drop("to.part");
    return rmdir(top);
}

static enum hf_status copy(bool resumed)
{
    size_t files = 0;
    enum hf_status status = folder_copy(at("from"), at("to"), resumed, &files);
    assert_int_equal(files, status == HF_OK ? 2 : files);
    return status;
}

static void what_is_there_is_anothers(void **state)
{
    (void)state;
    drop("to");
    assert_ok(copy(false));
    assert_true(file_holds(at("to/a"), bytes_of_text("counted.one")));
    assert_true(file_holds(at("to/b"), bytes_of_text("counted.two")));
    assert_status(copy(false), HF_E_EXISTS);
}

static void a_copy_is_taken_for_ours_when_it_is_one(void **state)
{
    (void)state;
    drop("to");
    assert_ok(copy(false));
    assert_ok(copy(true));
    put("to/a", "counted.ONE"); /* another token's */
    assert_status(copy(true), HF_E_EXISTS);
    put("to/a", "counted.one.more");
    assert_status(copy(true), HF_E_EXISTS);
    put("to/a", "COUNTED.one"); /* a log-in does that */
    assert_ok(copy(true));
    put("to/c", "more");
    assert_status(copy(true), HF_E_EXISTS);
    unlink(at("to/c"));
    unlink(at("to/b"));
    assert_status(copy(true), HF_E_EXISTS);
    unlink(at("to/a"));
    assert_status(copy(true), HF_E_EXISTS); /* an empty folder is no backup */
    assert_int_equal(rmdir(at("to")), 0);
    put("to", "a file");
    assert_status(copy(true), HF_E_EXISTS);
    assert_true(file_holds(at("to"), bytes_of_text("a file")));
    unlink(at("to"));
}

static void a_part_goes_only_after_an_interruption(void **state)
{
    (void)state;
    drop("to");
    assert_int_equal(mkdir(at("to.part"), 0700), 0);
    put("to.part/c", "of somebody");
    assert_status(copy(false), HF_E_EXISTS);
    assert_true(file_holds(at("to.part/c"), bytes_of_text("of somebody")));
    assert_ok(copy(true));
    assert_int_not_equal(access(at("to.part"), F_OK), 0);
    assert_int_not_equal(access(at("to/c"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_anothers),
        cmocka_unit_test(a_copy_is_taken_for_ours_when_it_is_one),
        cmocka_unit_test(a_part_goes_only_after_an_interruption),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
