#include "tests/support/test_clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static int64_t ahead_ms(void *self)
{
    return atomic_load((const _Atomic int64_t *)self);
}

static int64_t monotonic_ms(void *self)
{
    return clock_monotonic_ms(clock_system()) + ahead_ms(self);
}

static int64_t wall_ms(void *self)
{
    return clock_wall_ms(clock_system()) + ahead_ms(self);
}

const struct clock *test_clock_open(const char *path)
{
    static struct clock clock;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
        return NULL;
    }
    void *shared = MAP_FAILED;
    if (ftruncate(file, sizeof(int64_t)) == 0) {
        shared = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    }
    close(file);
    if (shared == MAP_FAILED) {
        return NULL;
    }
    clock = (struct clock){
        .monotonic_ms = monotonic_ms,
        .wall_ms = wall_ms,
        .self = shared,
    };
    return &clock;
}
