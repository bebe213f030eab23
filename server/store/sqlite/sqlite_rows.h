/* sqlite_rows: the port's calls inside a transaction, by table. Inside the
 * adapter only; contracts stand in store.h. */
#pragma once

#include "server/store/adapter.h"

HF_STATUS sqlite_record_get(struct store_txn *txn, enum record_kind kind,
                            struct bytes key, struct record *out_record);
HF_STATUS sqlite_record_put(struct store_txn *txn, const struct record *record);
HF_STATUS sqlite_record_remove(struct store_txn *txn, enum record_kind kind,
                               struct bytes key, uint64_t version);
HF_STATUS sqlite_record_list(struct store_txn *txn, enum record_kind kind,
                             const struct store_page *page,
                             store_record_fn *each, void *context);
HF_STATUS sqlite_record_count(struct store_txn *txn, enum record_kind kind,
                              struct bytes prefix, uint64_t *out_count);
HF_STATUS sqlite_audit_append(struct store_txn *txn, struct audit_link *link);
HF_STATUS sqlite_audit_list(struct store_txn *txn, const struct hf_id *tenant,
                            uint64_t from_index, size_t max,
                            store_audit_fn *each, void *context);
HF_STATUS sqlite_epoch_append(struct store_txn *txn, const struct epoch *epoch);
HF_STATUS sqlite_epoch_list(struct store_txn *txn, size_t max,
                            store_epoch_fn *each, void *context);
