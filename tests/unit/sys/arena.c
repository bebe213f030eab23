#include "tests/unit/sys/arena.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mapping {
    uintptr_t from;
    uintptr_t to;
    bool closed; /* ---p */
};

/* A line that begins a mapping: from-to rights ... */
static bool read_mapping(const char *line, struct mapping *out)
{
    unsigned long from = 0;
    unsigned long to = 0;
    char rights[5] = "";
    if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3) {
        return false;
    }
    *out = (struct mapping){from, to, strncmp(rights, "---", 3) == 0};
    return true;
}

struct arena arena_of(const void *address)
{
    uintptr_t wanted = (uintptr_t)address;
    struct arena arena = {0};
    struct mapping now = {0};
    bool closed_before = false;
    bool closed_after = false;
    char line[1024];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps) != NULL) {
        struct mapping last = now;
        if (read_mapping(line, &now)) {
            if (now.from <= wanted && wanted < now.to) {
                arena.from = now.from;
                arena.to = now.to;
                closed_before = last.closed && last.to == now.from;
            }
            if (arena.to != 0 && now.from == arena.to) {
                closed_after = now.closed;
            }
        } else if (now.from == arena.from && arena.to != 0 &&
                   strncmp(line, "VmFlags:", 8) == 0) {
            arena.locked = strstr(line, " lo") != NULL;
            arena.not_dumped = strstr(line, " dd") != NULL;
        }
    }
    fclose(smaps);
    assert_true(arena.to > arena.from);
    arena.guarded = closed_before && closed_after;
    return arena;
}

bool arena_holds(const struct arena *arena, const void *bytes, size_t len)
{
    size_t all = arena->to - arena->from;
    uint8_t *copy = malloc(all);
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_non_null(copy);
    assert_true(memory >= 0);
    assert_int_equal(pread(memory, copy, all, (off_t)arena->from), all);
    close(memory);
    bool found = memmem(copy, all, bytes, len) != NULL;
    free(copy);
    return found;
}
