#include "server/edge/registry.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS    16
#define SLOT_MASK    ((UINT64_C(1) << SLOT_BITS) - 1)
#define LOCKS        64 /* a lock per slot modulo this: readers rarely meet */
#define RANDOM_BYTES 16
#define SCHEME       "unix-abstract:"
#define SCHEME_LEN   (sizeof SCHEME - 1)
#define ID_DIGITS    16

_Static_assert(EDGE_CONNECTIONS_MAX <= SLOT_MASK + 1, "a slot fits its bits");
_Static_assert(SCHEME_LEN + 3 + 2 * RANDOM_BYTES + 1 + ID_DIGITS + 1 ==
                   EDGE_PEER_NAME_TEXT,
               "the header states the length of a name");

struct slot {
    _Atomic uint64_t id; /* 0: free; read without the lock by find_id */
    struct edge_identity who;
};

struct registry {
    struct slot *slots;
    uint64_t *uri_hashes; /* 0: free; dense, for counting one identity */
    uint32_t *free_slots;
    size_t free_count;
    size_t capacity;
    size_t per_identity_max;
    uint64_t sequence;
    char prefix[EDGE_PEER_NAME_TEXT]; /* all of a name but the id */
    size_t prefix_len;
    pthread_mutex_t locks[LOCKS];
};

HF_STATUS registry_new(size_t capacity, size_t per_identity_max,
                       const struct rng *rng, struct registry **out_registry)
{
    CHECK(capacity >= 1 && capacity <= EDGE_CONNECTIONS_MAX);
    CHECK(per_identity_max >= 1);
    uint8_t random[RANDOM_BYTES] = {0};
    HF_TRY(rng_fill(rng, random, sizeof random));

    struct registry *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        CHECK(pthread_mutex_init(&made->locks[i], NULL) == 0);
    }
    HF_OWNED(registry_freep) struct registry *registry = made;
    registry->slots = calloc(capacity, sizeof *registry->slots);
    registry->uri_hashes = calloc(capacity, sizeof *registry->uri_hashes);
    registry->free_slots = calloc(capacity, sizeof *registry->free_slots);
    if (registry->slots == NULL || registry->uri_hashes == NULL ||
        registry->free_slots == NULL) {
        return HF_E_NO_MEMORY;
    }
    registry->capacity = capacity;
    registry->per_identity_max = per_identity_max;
    for (size_t i = 0; i < capacity; i++) {
        registry->free_slots[i] = (uint32_t)(capacity - 1 - i);
    }
    registry->free_count = capacity;

    char digits[2 * RANDOM_BYTES + 1];
    hex_encode(random, sizeof random, digits, sizeof digits);
    snprintf(registry->prefix, sizeof registry->prefix, SCHEME "hf-%s-",
             digits);
    registry->prefix_len = strlen(registry->prefix);
    *out_registry = HF_GIVE(registry);
    return HF_OK;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL) {
        return;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&registry->locks[i]);
    }
    free(registry->slots);
    free(registry->uri_hashes);
    free(registry->free_slots);
    free(registry);
}

/* FNV-1a; only narrows the search, the text decides. Never 0. */
static uint64_t hash_of(const char *uri)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = uri; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return hash | 1;
}

static size_t count_of(const struct registry *registry, const char *uri,
                       uint64_t hash)
{
    size_t count = 0;
    for (size_t i = 0; i < registry->capacity; i++) {
        if (registry->uri_hashes[i] == hash &&
            strcmp(registry->slots[i].who.uri, uri) == 0) {
            count++;
        }
    }
    return count;
}

HF_STATUS registry_add(struct registry *registry,
                       const struct edge_identity *identity, uint64_t *out_id)
{
    uint64_t hash = hash_of(identity->uri);
    if (count_of(registry, identity->uri, hash) >= registry->per_identity_max) {
        return HF_E_LIMIT;
    }
    if (registry->free_count == 0) {
        return HF_E_OVERLOAD;
    }
    registry->free_count--;
    uint32_t index = registry->free_slots[registry->free_count];
    registry->sequence++;
    uint64_t id = (registry->sequence << SLOT_BITS) | index;

    struct slot *slot = &registry->slots[index];
    registry->uri_hashes[index] = hash;
    pthread_mutex_t *lock = &registry->locks[index % LOCKS];
    pthread_mutex_lock(lock);
    slot->who = *identity;
    slot->who.connection_id = id;
    atomic_store_explicit(&slot->id, id, memory_order_release);
    pthread_mutex_unlock(lock);
    *out_id = id;
    return HF_OK;
}

void registry_remove(struct registry *registry, uint64_t id)
{
    size_t index = (size_t)(id & SLOT_MASK);
    CHECK(index < registry->capacity);
    struct slot *slot = &registry->slots[index];
    pthread_mutex_t *lock = &registry->locks[index % LOCKS];
    pthread_mutex_lock(lock);
    CHECK(atomic_load_explicit(&slot->id, memory_order_relaxed) == id);
    atomic_store_explicit(&slot->id, 0, memory_order_release);
    pthread_mutex_unlock(lock);
    registry->uri_hashes[index] = 0;
    registry->free_slots[registry->free_count] = (uint32_t)index;
    registry->free_count++;
}

void registry_address(const struct registry *registry, uint64_t id,
                      struct sockaddr_un *out_address, socklen_t *out_len)
{
    *out_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* the leading NUL of sun_path makes the name abstract */
    int len = snprintf(out_address->sun_path + 1,
                       sizeof out_address->sun_path - 1, "%s%016llx",
                       registry->prefix + SCHEME_LEN, (unsigned long long)id);
    CHECK(len == EDGE_PEER_NAME_TEXT - 1 - (int)SCHEME_LEN);
    *out_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/* Only the one spelling that registry_address writes is a name: lower case,
 * full width. */
static bool id_read(const char *digits, uint64_t *out_id)
{
    uint64_t id = 0;
    for (size_t i = 0; i < ID_DIGITS; i++) {
        char digit = digits[i];
        if (digit >= '0' && digit <= '9') {
            id = (id << 4) | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            id = (id << 4) | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *out_id = id;
    return true;
}

HF_STATUS registry_find_id(const struct registry *registry,
                           const char *peer_name, uint64_t *out_id)
{
    uint64_t id = 0;
    if (strlen(peer_name) != EDGE_PEER_NAME_TEXT - 1 ||
        strncmp(peer_name, registry->prefix, registry->prefix_len) != 0 ||
        !id_read(peer_name + registry->prefix_len, &id) || id == 0 ||
        (id & SLOT_MASK) >= registry->capacity) {
        return HF_E_NOT_FOUND;
    }
    const struct slot *slot = &registry->slots[id & SLOT_MASK];
    if (atomic_load_explicit(&slot->id, memory_order_acquire) != id) {
        return HF_E_NOT_FOUND;
    }
    *out_id = id;
    return HF_OK;
}

HF_STATUS registry_find(struct registry *registry, const char *peer_name,
                        struct edge_identity *out_identity)
{
    uint64_t id = 0;
    HF_TRY(registry_find_id(registry, peer_name, &id));
    size_t index = (size_t)(id & SLOT_MASK);
    const struct slot *slot = &registry->slots[index];
    pthread_mutex_t *lock = &registry->locks[index % LOCKS];
    pthread_mutex_lock(lock);
    /* looked at again: it may have closed, and the slot gone to another */
    bool found = atomic_load_explicit(&slot->id, memory_order_relaxed) == id;
    if (found) {
        *out_identity = slot->who;
    }
    pthread_mutex_unlock(lock);
    return found ? HF_OK : HF_E_NOT_FOUND;
}
