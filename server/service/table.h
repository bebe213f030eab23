/* table: a hash table from bytes to pointers, for what the service keeps in
 * memory. Keys are borrowed from the values they lead to and must stay in place
 * while they are in the table. Hashing is keyed at random, so that a caller who
 * chooses names cannot choose collisions. Not thread safe.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

struct table;

HF_STATUS table_new(struct table **out_table);
void table_free(struct table *table); /* not the values */
void *table_get(const struct table *table, struct bytes key);
/* table_put: replaces what was under the key. HF_OK or HF_E_NO_MEMORY. */
HF_STATUS table_put(struct table *table, struct bytes key, void *value);
void *table_remove(struct table *table, struct bytes key);
size_t table_count(const struct table *table);
/* table_each: in no order; the callback must not change the table. */
typedef void table_each_fn(void *context, void *value);
void table_each(const struct table *table, table_each_fn *each, void *context);
