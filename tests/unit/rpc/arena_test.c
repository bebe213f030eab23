/* The memory of a request: capped, in order, wiped before it is given back.
 * free() itself is asked what it is given (linked with --wrap=free). */
#include "hsm/base/bytes.h"

#include "server/rpc/arena.h"

#include "tests/support/unit.h"

#include <malloc.h>
#include <string.h>

#define CAP ((size_t)64 * 1024)

static const uint8_t *watched; /* bytes that no freed block may hold */
static size_t watched_len;
static size_t found_in_freed;
static size_t freed;

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    if (block != NULL && watched != NULL) {
        freed++;
        size_t size = malloc_usable_size(block);
        if (memmem(block, size, watched, watched_len) != NULL) {
            found_in_freed++;
        }
    }
    __real_free(block);
}

static void test_hands_out_zeroed_aligned_pieces(void **state)
{
    (void)state;
    static struct rpc_arena arena;
    rpc_arena_init(&arena, CAP);
    uint8_t *last = NULL;
    for (size_t len = 1; len < 300; len++) {
        uint8_t *piece = rpc_arena_alloc(&arena, len);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(piece[i], 0);
        }
        memset(piece, 0xa5, len);
        if (last != NULL) {
            assert_int_equal(last[len - 2], 0xa5); /* not overlapped */
        }
        last = piece;
    }
    rpc_arena_reset(&arena, CAP);
}

static void test_cap_is_exact(void **state)
{
    (void)state;
    static struct rpc_arena arena;
    rpc_arena_init(&arena, 1000);
    assert_non_null(rpc_arena_alloc(&arena, 600));
    assert_non_null(rpc_arena_alloc(&arena, 400));
    assert_false(arena.refused);
    assert_null(rpc_arena_alloc(&arena, 1));
    assert_true(arena.refused);
    assert_string_equal(rpc_arena_text(&arena, "%s", "text"), "");
    rpc_arena_reset(&arena, 1000);
    assert_false(arena.refused);
    assert_non_null(rpc_arena_alloc(&arena, 1000));
    rpc_arena_reset(&arena, SIZE_MAX);
    assert_null(rpc_arena_alloc(&arena, SIZE_MAX - 100));
    rpc_arena_reset(&arena, 1000);
}

static void test_reset_wipes_everything(void **state)
{
    (void)state;
    static const uint8_t pattern[] = "a key that must not stay behind!";
    static struct rpc_arena arena;
    rpc_arena_init(&arena, CAP);
    size_t pieces = 0;
    while (arena.total + 10000 < CAP) {
        uint8_t *piece = rpc_arena_alloc(&arena, 100);
        assert_non_null(piece);
        memcpy(piece, pattern, sizeof pattern);
        pieces++;
    }
    uint8_t *large = rpc_arena_alloc(&arena, 9000); /* a block of its own */
    assert_non_null(large);
    memcpy(large + 8000, pattern, sizeof pattern);
    assert_true(pieces * 100 > 4 * sizeof arena.inline_bytes);
    watched = pattern;
    watched_len = sizeof pattern;
    rpc_arena_reset(&arena, CAP);
    watched = NULL;
    assert_true(freed > 3);
    assert_int_equal(found_in_freed, 0);
    assert_null(memmem(&arena, sizeof arena, pattern, sizeof pattern));
}

static void test_is_what_protobuf_c_asks(void **state)
{
    (void)state;
    static struct rpc_arena arena;
    rpc_arena_init(&arena, 200);
    ProtobufCAllocator *allocator = &arena.allocator;
    void *piece = allocator->alloc(allocator->allocator_data, 64);
    assert_non_null(piece);
    allocator->free(allocator->allocator_data, piece);
    assert_null(allocator->alloc(allocator->allocator_data, 200));
    assert_true(arena.refused);
    rpc_arena_reset(&arena, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_out_zeroed_aligned_pieces),
        cmocka_unit_test(test_cap_is_exact),
        cmocka_unit_test(test_reset_wipes_everything),
        cmocka_unit_test(test_is_what_protobuf_c_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
