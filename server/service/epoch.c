#include "server/service/epoch.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/rng.h"

#include "server/service/ledger.h"

#include <stdlib.h>
#include <string.h>

/* One is the rule; two while one replaces the other; more only after the token
 * refused to destroy some. */
#define EPOCHS_IN_TOKEN_MAX 64

/* The nonce makes every attempt an object of its own: one that the token makes
 * after we gave up on it, and then takes back, is never one we count on. */
#define NONCE_BYTES 8

static HF_STATUS value_of(const struct epoch *epoch, struct token_data *out)
{
    uint8_t nonce[NONCE_BYTES];
    struct byte_writer writer = byte_writer_on(out->value, sizeof out->value);
    HF_TRY(rng_fill(rng_system(), nonce, sizeof nonce));
    memset(out->label, 0, sizeof out->label);
    memcpy(out->label, LEDGER_EPOCH_LABEL, sizeof LEDGER_EPOCH_LABEL);
    put_u64(&writer, epoch->counter);
    put_raw(&writer, epoch->root, sizeof epoch->root);
    put_u64(&writer, epoch->audit_index);
    put_raw(&writer, epoch->mac, sizeof epoch->mac);
    put_raw(&writer, nonce, sizeof nonce);
    CHECK(!writer.overrun);
    out->value_len = writer.len;
    return HF_OK;
}

static bool epoch_of(const struct seals *seals, const struct token_data *data,
                     struct epoch *out)
{
    struct byte_reader reader =
        byte_reader_on((struct bytes){data->value, data->value_len});
    out->counter = get_u64(&reader);
    get_raw(&reader, out->root, sizeof out->root);
    out->audit_index = get_u64(&reader);
    get_raw(&reader, out->mac, sizeof out->mac);
    uint8_t nonce[NONCE_BYTES];
    get_raw(&reader, nonce, sizeof nonce);
    return byte_reader_done(&reader) == HF_OK &&
           epoch_check(seals, out) == HF_OK;
}

static HF_STATUS list_token(const struct seals *seals,
                            struct token_data **out_items, size_t *out_count)
{
    struct token_request request = {.op = TOKEN_OP_DATA_LIST};
    struct token_data *items = calloc(EPOCHS_IN_TOKEN_MAX, sizeof *items);
    if (items == NULL) {
        return HF_E_NO_MEMORY;
    }
    request.u.data_list.items = items;
    request.u.data_list.cap = EPOCHS_IN_TOKEN_MAX;
    memcpy(request.u.data_list.label, LEDGER_EPOCH_LABEL,
           sizeof LEDGER_EPOCH_LABEL);
    enum hf_status status = token_call(seals->token, &request);
    if (status != HF_OK) {
        free(items);
        return status;
    }
    *out_items = items;
    *out_count = request.u.data_list.count;
    return HF_OK;
}

HF_STATUS epoch_in_token(const struct seals *seals, struct epoch *out_epoch)
{
    struct token_data *items = NULL;
    size_t count = 0;
    struct epoch newest = {.counter = 0};
    HF_TRY(list_token(seals, &items, &count));
    for (size_t i = 0; i < count; i++) {
        struct epoch epoch;
        if (epoch_of(seals, &items[i], &epoch) &&
            epoch.counter > newest.counter) {
            newest = epoch;
        }
    }
    free(items);
    *out_epoch = newest;
    return HF_OK;
}

struct history_walk {
    const struct seals *seals;
    struct epoch wanted;
    struct epoch newest;
    bool found;
};

static enum hf_status history_step(void *context, const struct epoch *epoch)
{
    struct history_walk *walk = context;
    HF_TRY(epoch_check(walk->seals, epoch));
    if (walk->newest.counter == 0) {
        walk->newest = *epoch;
    }
    if (epoch->counter == walk->wanted.counter &&
        equal_constant_time(epoch->root, walk->wanted.root,
                            sizeof epoch->root)) {
        walk->found = true;
        return HF_E_EXISTS; /* there is no need to go on */
    }
    return HF_OK;
}

static HF_STATUS walk_history(const struct store *store,
                              struct history_walk *walk)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(store, STORE_READ, &txn));
    enum hf_status status = store_epoch_list(txn, SIZE_MAX, history_step, walk);
    return walk->found ? HF_OK : status;
}

/* The first epoch is over no record. With it in the token before the first
 * record is made, a start that was cut short is told from a token that lost
 * what it knew. */
#define FIRST_EPOCH 1

static HF_STATUS make_first(const struct store *store,
                            const struct seals *seals, struct epoch *epoch)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    *epoch = (struct epoch){.counter = FIRST_EPOCH};
    HF_TRY(epoch_seal(seals, epoch));
    HF_TRY(store_begin(store, STORE_WRITE, &txn));
    HF_TRY(store_epoch_append(txn, epoch));
    return store_commit(&txn);
}

HF_STATUS epoch_agree(const struct store *store, const struct seals *seals,
                      struct epoch *out_epoch, struct problem *problem)
{
    struct history_walk walk = {.seals = seals};
    enum hf_status status = epoch_in_token(seals, &walk.wanted);
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    status = walk_history(store, &walk);
    if (status == HF_E_CORRUPT && walk.wanted.counter == 0) {
        return problem_set(problem, REASON_RECORD_INVALID,
                           "the service's token is not the one that vouches "
                           "for this store; if that one is lost for ever, the "
                           "store is sealed anew under this one: holdfastd "
                           "--reseal-check, and the README");
    }
    if (status == HF_E_CORRUPT) {
        return problem_set(problem, REASON_RECORD_INVALID,
                           "an epoch of the store was changed behind the "
                           "service's back: its MAC does not fit");
    }
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    if (walk.wanted.counter == 0 && walk.newest.counter == 0) {
        status = make_first(store, seals, &walk.newest);
        if (status != HF_OK) {
            return problem_of_status(problem, status);
        }
    }
    if (walk.wanted.counter == 0 && walk.newest.counter > FIRST_EPOCH) {
        return problem_set(
            problem, REASON_RECORD_INVALID,
            "the service's token holds no epoch, the store is "
            "at %llu: this is another token, or an earlier state "
            "of it",
            (unsigned long long)walk.newest.counter);
    }
    if (walk.wanted.counter > 0 && !walk.found) {
        return problem_set(problem, REASON_RECORD_INVALID,
                           "the service's token is at epoch %llu, which the "
                           "store does not know (its newest is %llu): the "
                           "store was rolled back, or is another's",
                           (unsigned long long)walk.wanted.counter,
                           (unsigned long long)walk.newest.counter);
    }
    if (walk.newest.counter > walk.wanted.counter) {
        status = epoch_to_token(seals, &walk.newest);
        if (status != HF_OK) {
            return problem_of_status(problem, status);
        }
    }
    *out_epoch = walk.newest;
    return HF_OK;
}

static HF_STATUS data_call(const struct seals *seals, enum token_op op,
                           struct token_data *data)
{
    struct token_request request = {.op = op, .u.data = data};
    return token_call(seals->token, &request);
}

HF_STATUS epoch_to_token(const struct seals *seals, const struct epoch *epoch)
{
    struct token_data value;
    struct token_data *items = NULL;
    size_t count = 0;
    HF_TRY(value_of(epoch, &value));
    HF_TRY(list_token(seals, &items, &count));
    enum hf_status status = data_call(seals, TOKEN_OP_DATA_CREATE, &value);
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct epoch other;
        if (epoch_of(seals, &items[i], &other) &&
            other.counter > epoch->counter) {
            continue;
        }
        /* left behind, it is destroyed the next time; the highest counts */
        HF_IGNORE(data_call(seals, TOKEN_OP_DATA_DESTROY, &items[i]),
                  "an older epoch does no harm");
    }
    free(items);
    return status;
}
