#include "server/rpc/arena.h"

#include "hsm/sys/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN       (_Alignof(max_align_t))
#define CHUNK_BYTES 8192

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) uint8_t bytes[];
};

static void *allocate(void *self, size_t size)
{
    return rpc_arena_alloc(self, size);
}

static void release(void *self, void *pointer)
{
    /* everything ends together, in rpc_arena_reset */
    (void)self;
    (void)pointer;
}

void rpc_arena_init(struct rpc_arena *arena, size_t cap_bytes)
{
    arena->allocator = (ProtobufCAllocator){
        .alloc = allocate,
        .free = release,
        .allocator_data = arena,
    };
    arena->chunks = NULL;
    arena->used = 0;
    arena->total = 0;
    arena->cap_bytes = cap_bytes;
    arena->refused = false;
    memset(arena->inline_bytes, 0, sizeof arena->inline_bytes);
}

static struct arena_chunk *chunk_for(struct rpc_arena *arena, size_t len)
{
    struct arena_chunk *first = arena->chunks;
    if (first != NULL && first->size - first->used >= len) {
        return first;
    }
    size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
    struct arena_chunk *chunk = calloc(1, sizeof *chunk + size);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->size = size;
    chunk->next = first;
    arena->chunks = chunk;
    return chunk;
}

void *rpc_arena_alloc(struct rpc_arena *arena, size_t len)
{
    if (len > arena->cap_bytes - arena->total) {
        arena->refused = true;
        return NULL;
    }
    size_t rounded = (len + ALIGN - 1) & ~(ALIGN - 1);
    void *out = NULL;
    if (rounded <= sizeof arena->inline_bytes - arena->used) {
        out = arena->inline_bytes + arena->used;
        arena->used += rounded;
    } else {
        struct arena_chunk *chunk = chunk_for(arena, rounded);
        if (chunk == NULL) {
            arena->refused = true;
            return NULL;
        }
        out = chunk->bytes + chunk->used;
        chunk->used += rounded;
    }
    arena->total += len;
    return out;
}

char *rpc_arena_text(struct rpc_arena *arena, const char *format, ...)
{
    static char empty[1] = "";
    va_list values;
    va_start(values, format);
    int len = vsnprintf(NULL, 0, format, values);
    va_end(values);
    if (len < 0) {
        return empty;
    }
    char *out = rpc_arena_alloc(arena, (size_t)len + 1);
    if (out == NULL) {
        return empty;
    }
    va_start(values, format);
    vsnprintf(out, (size_t)len + 1, format, values);
    va_end(values);
    return out;
}

void rpc_arena_reset(struct rpc_arena *arena, size_t cap_bytes)
{
    struct arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        wipe(chunk->bytes, chunk->used);
        free(chunk);
        chunk = next;
    }
    arena->chunks = NULL;
    wipe(arena->inline_bytes, arena->used);
    arena->used = 0;
    arena->total = 0;
    arena->cap_bytes = cap_bytes;
    arena->refused = false;
}
