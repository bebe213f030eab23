/* chain_end: the last link of the audit chain in the store. */
#pragma once

#include "server/store/store.h"

/* chain_end: *out is all zero for an empty chain. */
HF_STATUS chain_end(struct store_txn *txn, struct audit_link *out);
