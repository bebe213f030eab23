/* The fake keeps the port's promises too. */
#include "tests/contract/store/store_contract.h"
#include "tests/fakes/store_memory.h"

static void *disk_new(void)
{
    return store_memory_new();
}

static enum hf_status open_it(void *disk, struct store *out_store)
{
    return store_memory_open(disk, out_store);
}

static void disk_free(void *disk)
{
    store_memory_free(disk);
}

int main(void)
{
    static const struct store_maker maker = {
        .name = "memory",
        .disk_new = disk_new,
        .open = open_it,
        .disk_free = disk_free,
    };
    return contract_records_run(&maker) + contract_chain_run(&maker) +
           contract_txn_run(&maker) + contract_random_run(&maker);
}
