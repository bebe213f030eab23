#include "server/service/table.h"

#include "hsm/base/own.h"

#include <openssl/rand.h>

#include <stdlib.h>

#define FIRST_BUCKETS 64

struct node {
    struct node *next;
    uint64_t hash;
    struct bytes key;
    void *value;
};

struct table {
    uint64_t seed[2];
    struct node **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein): OpenSSL has only the keyed-MAC form,
 * whose set-up costs more than the whole look-up. */
static uint64_t hash_of(const struct table *table, struct bytes key)
{
    uint64_t v[4] = {
        table->seed[0] ^ 0x736f6d6570736575ull,
        table->seed[1] ^ 0x646f72616e646f6dull,
        table->seed[0] ^ 0x6c7967656e657261ull,
        table->seed[1] ^ 0x7465646279746573ull,
    };
    uint64_t word = 0;
    for (size_t i = 0; i < key.len; i++) {
        word |= (uint64_t)key.data[i] << (8 * (i % 8));
        if (i % 8 == 7) {
            v[3] ^= word;
            sip_round(v);
            v[0] ^= word;
            word = 0;
        }
    }
    word |= (uint64_t)(key.len & 0xff) << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

HF_STATUS table_new(struct table **out_table)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        return HF_E_NO_MEMORY;
    }
    table->buckets = calloc(FIRST_BUCKETS, sizeof *table->buckets);
    table->bucket_count = FIRST_BUCKETS;
    if (table->buckets == NULL ||
        RAND_bytes((unsigned char *)table->seed, sizeof table->seed) != 1) {
        table_free(table);
        return HF_E_NO_MEMORY;
    }
    *out_table = table;
    return HF_OK;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; table->buckets != NULL && i < table->bucket_count; i++) {
        struct node *node = table->buckets[i];
        while (node != NULL) {
            struct node *next = node->next;
            free(node);
            node = next;
        }
    }
    free(table->buckets);
    free(table);
}

/* the link that points to the key's node, or the end of its bucket */
static struct node **link_of(const struct table *table, struct bytes key,
                             uint64_t hash)
{
    struct node **link = &table->buckets[hash & (table->bucket_count - 1)];
    while (*link != NULL &&
           ((*link)->hash != hash || !bytes_equal((*link)->key, key))) {
        link = &(*link)->next;
    }
    return link;
}

void *table_get(const struct table *table, struct bytes key)
{
    struct node *node = *link_of(table, key, hash_of(table, key));
    return node == NULL ? NULL : node->value;
}

/* without memory it stays as it is: slower, not wrong */
static void grow(struct table *table)
{
    size_t bucket_count = table->bucket_count * 2;
    struct node **buckets = calloc(bucket_count, sizeof *buckets);
    if (buckets == NULL) {
        return;
    }
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct node *node = table->buckets[i];
        while (node != NULL) {
            struct node *next = node->next;
            struct node **head = &buckets[node->hash & (bucket_count - 1)];
            node->next = *head;
            *head = node;
            node = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = bucket_count;
}

HF_STATUS table_put(struct table *table, struct bytes key, void *value)
{
    uint64_t hash = hash_of(table, key);
    struct node **link = link_of(table, key, hash);
    if (*link != NULL) {
        (*link)->key = key;
        (*link)->value = value;
        return HF_OK;
    }
    struct node *node = malloc(sizeof *node);
    if (node == NULL) {
        return HF_E_NO_MEMORY;
    }
    *node = (struct node){.hash = hash, .key = key, .value = value};
    *link = node;
    table->count++;
    if (table->count > table->bucket_count) {
        grow(table);
    }
    return HF_OK;
}

void *table_remove(struct table *table, struct bytes key)
{
    struct node **link = link_of(table, key, hash_of(table, key));
    struct node *node = *link;
    if (node == NULL) {
        return NULL;
    }
    void *value = node->value;
    *link = node->next;
    free(node);
    table->count--;
    return value;
}

size_t table_count(const struct table *table)
{
    return table->count;
}

void table_each(const struct table *table, table_each_fn *each, void *context)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct node *node = table->buckets[i]; node != NULL;
             node = node->next) {
            each(context, node->value);
        }
    }
}
