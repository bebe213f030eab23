/* The real adapter keeps the port's promises. */
#include "tests/contract/store/sqlite_disk.h"
#include "tests/contract/store/store_contract.h"

static void *disk_new(void)
{
    return sqlite_disk_new();
}

static enum hf_status open_it(void *disk, struct store *out_store)
{
    return sqlite_disk_open(disk, out_store);
}

static void disk_free(void *disk)
{
    sqlite_disk_free(disk);
}

int main(void)
{
    static const struct store_maker maker = {
        .name = "sqlite",
        .disk_new = disk_new,
        .open = open_it,
        .disk_free = disk_free,
    };
    return contract_records_run(&maker) + contract_chain_run(&maker) +
           contract_txn_run(&maker) + contract_random_run(&maker);
}
