/* arena: what the kernel says about the memory around an address, and the
 * memory itself read past the program (so that freed memory may be looked at).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uintptr_t from;
    uintptr_t to;
    bool locked;     /* VmFlags lo: never swapped out          */
    bool not_dumped; /* VmFlags dd: left out of core files     */
    bool guarded;    /* no access to the pages on either side  */
};

/* arena_of: the mapping that holds address, from /proc/self/smaps; fails the
 * test when there is none. */
struct arena arena_of(const void *address);

/* arena_holds: whether the mapping holds these bytes anywhere. */
bool arena_holds(const struct arena *arena, const void *bytes, size_t len);
