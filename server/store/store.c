#include "server/store/store.h"

#include "hsm/base/check.h"

#include "server/store/adapter.h"
#include "server/store/hash.h"

#include <string.h>

/* Versions, indexes and counters are signed 64-bit in every backend. */
#define NUMBER_MAX ((uint64_t)INT64_MAX)

struct kind {
    enum record_kind kind;
    enum { SEALED, ROW } mac;
};

static const struct kind kinds[] = {
#define X(word, number, mac) {RECORD_##word, mac},
    RECORD_KIND_TABLE(X)
#undef X
};

static const struct kind *kind_of(int number)
{
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if ((int)kinds[i].kind == number) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool record_kind_is_known(int kind)
{
    return kind_of(kind) != NULL;
}

bool record_kind_is_sealed(enum record_kind kind)
{
    const struct kind *found = kind_of((int)kind);
    CHECK(found != NULL);
    return found->mac == SEALED;
}

enum record_kind record_kind_at(size_t index)
{
    return index < HF_COUNT(kinds) ? kinds[index].kind : (enum record_kind)0;
}

static bool kind_is_known(enum record_kind kind)
{
    return record_kind_is_known((int)kind);
}

static bool key_is_possible(struct bytes key)
{
    return key.data != NULL && key.len > 0 && key.len <= RECORD_KEY_MAX_BYTES;
}

static bool record_is_possible(const struct record *record)
{
    return kind_is_known(record->kind) && record->key_len > 0 &&
           record->key_len <= RECORD_KEY_MAX_BYTES && record->version > 0 &&
           record->version <= NUMBER_MAX &&
           record->body_len <= RECORD_BODY_MAX_BYTES;
}

static struct bytes key_of(const struct record *record)
{
    return (struct bytes){record->key, record->key_len};
}

static bool starts_with(struct bytes key, struct bytes prefix)
{
    return key.len >= prefix.len &&
           bytes_equal((struct bytes){key.data, prefix.len}, prefix);
}

/* A transaction belongs to the thread that began it, and inside a listing only
 * store_get is possible: the backends' cursors promise nothing more. */
static void check_use(const struct store_txn *txn)
{
    CHECK(txn != NULL);
    CHECK(pthread_equal(txn->owner, pthread_self()));
}

static void check_write(const struct store_txn *txn)
{
    check_use(txn);
    CHECK(txn->mode == STORE_WRITE);
    CHECK(!txn->listing);
}

/* After trouble of our own a backend may already have undone half of the
 * transaction: nothing of it may be committed any more. */
static enum hf_status remember(struct store_txn *txn, enum hf_status status)
{
    enum hf_class class = hf_status_class(status);
    if (class == HF_CLASS_OURS || class == HF_CLASS_BROKEN) {
        txn->failed = status;
    }
    return status;
}

HF_STATUS store_begin(const struct store *store, enum store_mode mode,
                      struct store_txn **out_txn)
{
    CHECK(store != NULL && store->port != NULL && out_txn != NULL);
    CHECK(mode == STORE_READ || mode == STORE_WRITE);
    struct store_txn *txn = NULL;
    HF_TRY(store->port->begin(store->self, mode, &txn));
    CHECK(txn != NULL);
    *txn = (struct store_txn){
        .port = store->port,
        .mode = mode,
        .owner = pthread_self(),
        .failed = HF_OK,
    };
    *out_txn = txn;
    return HF_OK;
}

HF_STATUS store_get(struct store_txn *txn, enum record_kind kind,
                    struct bytes key, struct record *out_record)
{
    check_use(txn);
    CHECK(out_record != NULL);
    HF_TRY(txn->failed);
    if (!kind_is_known(kind) || !key_is_possible(key)) {
        return HF_E_INVALID;
    }
    struct record found;
    HF_TRY(remember(txn, txn->port->get(txn, kind, key, &found)));
    if (!record_is_possible(&found) || found.kind != kind ||
        !bytes_equal(key_of(&found), key)) {
        return HF_E_CORRUPT;
    }
    *out_record = found;
    return HF_OK;
}

HF_STATUS store_put(struct store_txn *txn, const struct record *record)
{
    check_write(txn);
    CHECK(record != NULL);
    HF_TRY(txn->failed);
    if (!record_is_possible(record)) {
        return HF_E_INVALID;
    }
    return remember(txn, txn->port->put(txn, record));
}

HF_STATUS store_remove(struct store_txn *txn, enum record_kind kind,
                       struct bytes key, uint64_t version)
{
    check_write(txn);
    HF_TRY(txn->failed);
    if (!kind_is_known(kind) || !key_is_possible(key) || version == 0 ||
        version > NUMBER_MAX) {
        return HF_E_INVALID;
    }
    return remember(txn, txn->port->remove(txn, kind, key, version));
}

/* What a listing may show: checked once, here, for every backend. */
struct record_watch {
    enum record_kind kind;
    struct bytes prefix;
    size_t left;
    uint8_t last[RECORD_KEY_MAX_BYTES]; /* keys rise from here */
    size_t last_len;
    store_record_fn *each;
    void *context;
    bool refused; /* the callback ended it; no trouble of the store's */
};

static enum hf_status record_seen(void *context, const struct record *record)
{
    struct record_watch *watch = context;
    struct bytes last = {watch->last, watch->last_len};
    if (watch->left == 0 || !record_is_possible(record) ||
        record->kind != watch->kind ||
        !starts_with(key_of(record), watch->prefix) ||
        bytes_order(key_of(record), last) <= 0) {
        return HF_E_CORRUPT;
    }
    watch->left--;
    memcpy(watch->last, record->key, record->key_len);
    watch->last_len = record->key_len;
    enum hf_status status = watch->each(watch->context, record);
    watch->refused = status != HF_OK;
    return status;
}

static bool page_is_possible(const struct store_page *page)
{
    return page->prefix.len <= RECORD_KEY_MAX_BYTES &&
           page->after.len <= RECORD_KEY_MAX_BYTES &&
           (page->prefix.len == 0 || page->prefix.data != NULL) &&
           (page->after.len == 0 || page->after.data != NULL);
}

HF_STATUS store_list(struct store_txn *txn, enum record_kind kind,
                     const struct store_page *page, store_record_fn *each,
                     void *context)
{
    check_use(txn);
    CHECK(page != NULL && each != NULL && !txn->listing);
    HF_TRY(txn->failed);
    if (!kind_is_known(kind) || !page_is_possible(page)) {
        return HF_E_INVALID;
    }
    if (page->max == 0) {
        return HF_OK;
    }
    struct record_watch watch = {
        .kind = kind,
        .prefix = page->prefix,
        .left = page->max,
        .each = each,
        .context = context,
    };
    if (page->after.len > 0) {
        memcpy(watch.last, page->after.data, page->after.len);
        watch.last_len = page->after.len;
    }
    txn->listing = true;
    enum hf_status status =
        txn->port->list(txn, kind, page, record_seen, &watch);
    txn->listing = false;
    return watch.refused ? status : remember(txn, status);
}

HF_STATUS store_count(struct store_txn *txn, enum record_kind kind,
                      struct bytes prefix, uint64_t *out_count)
{
    check_use(txn);
    CHECK(out_count != NULL && !txn->listing);
    HF_TRY(txn->failed);
    if (!kind_is_known(kind) || prefix.len > RECORD_KEY_MAX_BYTES ||
        (prefix.len > 0 && prefix.data == NULL)) {
        return HF_E_INVALID;
    }
    return remember(txn, txn->port->count(txn, kind, prefix, out_count));
}

HF_STATUS store_audit_append(struct store_txn *txn, struct audit_link *link)
{
    check_write(txn);
    CHECK(link != NULL);
    HF_TRY(txn->failed);
    if (link->body_len == 0 || link->body_len > RECORD_BODY_MAX_BYTES ||
        link->time_ms < 0) {
        return HF_E_INVALID;
    }
    return remember(txn, txn->port->audit_append(txn, link));
}

struct audit_watch {
    const struct hf_id *tenant;
    uint64_t at_least;
    size_t left;
    store_audit_fn *each;
    void *context;
    bool refused;
};

static enum hf_status audit_seen(void *context, const struct audit_link *link)
{
    struct audit_watch *watch = context;
    if (watch->left == 0 || link->index < watch->at_least ||
        link->body_len > RECORD_BODY_MAX_BYTES ||
        (watch->tenant != NULL && !id_equal(watch->tenant, &link->tenant))) {
        return HF_E_CORRUPT;
    }
    watch->left--;
    watch->at_least = link->index + 1;
    enum hf_status status = watch->each(watch->context, link);
    watch->refused = status != HF_OK;
    return status;
}

HF_STATUS store_audit_list(struct store_txn *txn, const struct hf_id *tenant,
                           uint64_t from_index, size_t max,
                           store_audit_fn *each, void *context)
{
    check_use(txn);
    CHECK(each != NULL && !txn->listing);
    HF_TRY(txn->failed);
    if (max == 0 || from_index > NUMBER_MAX) {
        return HF_OK;
    }
    struct audit_watch watch = {
        .tenant = tenant,
        .at_least = from_index > 0 ? from_index : 1,
        .left = max,
        .each = each,
        .context = context,
    };
    txn->listing = true;
    enum hf_status status = txn->port->audit_list(txn, tenant, watch.at_least,
                                                  max, audit_seen, &watch);
    txn->listing = false;
    return watch.refused ? status : remember(txn, status);
}

HF_STATUS store_epoch_append(struct store_txn *txn, const struct epoch *epoch)
{
    check_write(txn);
    CHECK(epoch != NULL);
    HF_TRY(txn->failed);
    if (epoch->counter == 0 || epoch->counter > NUMBER_MAX ||
        epoch->audit_index > NUMBER_MAX) {
        return HF_E_INVALID;
    }
    return remember(txn, txn->port->epoch_append(txn, epoch));
}

struct epoch_watch {
    uint64_t below; /* 0: none seen yet */
    size_t left;
    store_epoch_fn *each;
    void *context;
    bool refused;
};

static enum hf_status epoch_seen(void *context, const struct epoch *epoch)
{
    struct epoch_watch *watch = context;
    if (watch->left == 0 || epoch->counter == 0 ||
        (watch->below > 0 && epoch->counter != watch->below - 1)) {
        return HF_E_CORRUPT;
    }
    watch->left--;
    watch->below = epoch->counter;
    enum hf_status status = watch->each(watch->context, epoch);
    watch->refused = status != HF_OK;
    return status;
}

HF_STATUS store_epoch_list(struct store_txn *txn, size_t max,
                           store_epoch_fn *each, void *context)
{
    check_use(txn);
    CHECK(each != NULL && !txn->listing);
    HF_TRY(txn->failed);
    if (max == 0) {
        return HF_OK;
    }
    struct epoch_watch watch = {.left = max, .each = each, .context = context};
    txn->listing = true;
    enum hf_status status = txn->port->epoch_list(txn, max, epoch_seen, &watch);
    txn->listing = false;
    return watch.refused ? status : remember(txn, status);
}

HF_STATUS store_commit(struct store_txn **txn)
{
    CHECK(txn != NULL);
    check_use(*txn);
    CHECK(!(*txn)->listing);
    struct store_txn *ending = HF_GIVE(*txn);
    enum hf_status failed = ending->failed;
    if (failed != HF_OK) {
        ending->port->rollback(ending);
        return failed;
    }
    return ending->port->commit(ending);
}

void store_rollbackp(struct store_txn **txn)
{
    if (*txn == NULL) {
        return;
    }
    check_use(*txn);
    struct store_txn *ending = HF_GIVE(*txn);
    ending->port->rollback(ending);
}

uint64_t store_writes(const struct store *store)
{
    CHECK(store != NULL && store->port != NULL);
    return store->port->writes(store->self);
}

void store_close(struct store *store)
{
    if (store == NULL || store->port == NULL) {
        return;
    }
    store->port->close(store->self);
    *store = (struct store){0};
}
