#include "server/service/seals.h"

#include "hsm/base/own.h"

#include "server/service/ledger.h"
#include "server/service/mac.h"

#include <string.h>

static HF_STATUS token_mac(const struct seals *seals, struct bytes input,
                           uint8_t out[HF_SHA256_BYTES])
{
    struct token_request request = {
        .op = TOKEN_OP_MAC,
        .attempt_ms = HF_TOKEN_ROOT_DEADLINE_MS,
        .u.mac = {.key = seals->mac_key, .in = input},
    };
    HF_TRY(token_call(seals->token, &request));
    memcpy(out, request.u.mac.out, HF_SHA256_BYTES);
    return HF_OK;
}

/* A subkey is the MAC of its purpose. The input of a record's MAC begins with
 * "HFR1", so neither can be had by asking for the other. */
static HF_STATUS derive(const struct seals *seals, const char *purpose,
                        struct secret **out_key)
{
    HF_OWNED(secret_freep) struct secret *key = NULL;
    HF_TRY(secret_new(HF_SHA256_BYTES, &key));
    HF_TRY(token_mac(seals, bytes_of_text(purpose), secret_writable(key)));
    *out_key = HF_GIVE(key);
    return HF_OK;
}

HF_STATUS seals_open(const struct token *token, struct seals *out)
{
    struct token_key_report report = {0};
    struct seals seals = {
        .token = token,
        .mac_key = {.type = TOKEN_KEY_GENERIC,
                    .id_len = sizeof LEDGER_MAC_KEY_ID - 1},
    };
    memcpy(seals.mac_key.id, LEDGER_MAC_KEY_ID, seals.mac_key.id_len);
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = seals.mac_key, .report = &report},
    };
    HF_TRY(token_call(token, &find));
    enum hf_status status = derive(&seals, "HFD1 row key", &seals.row_key);
    if (status == HF_OK) {
        status = derive(&seals, "HFD1 set key", &seals.set_key);
    }
    if (status == HF_OK) {
        status = derive(&seals, "HFD1 epoch key", &seals.epoch_key);
    }
    if (status != HF_OK) {
        seals_close(&seals);
        return status;
    }
    *out = seals;
    return HF_OK;
}

void seals_close(struct seals *seals)
{
    secret_freep(&seals->row_key);
    secret_freep(&seals->set_key);
    secret_freep(&seals->epoch_key);
}

static HF_STATUS mac_of(const struct seals *seals, const struct record *record,
                        uint8_t out[HF_SHA256_BYTES])
{
    uint8_t input[RECORD_MAC_INPUT_MAX_BYTES];
    size_t len = 0;
    HF_TRY(record_mac_input(record, input, sizeof input, &len));
    struct bytes view = {input, len};
    if (record_kind_is_sealed(record->kind)) {
        return token_mac(seals, view, out);
    }
    return mac_compute(seals->row_key, view, out);
}

HF_STATUS seals_make(const struct seals *seals, struct record *record)
{
    return mac_of(seals, record, record->mac);
}

HF_STATUS seals_check(const struct seals *seals, const struct record *record)
{
    uint8_t mac[HF_SHA256_BYTES];
    if (seals->blind) {
        return HF_OK;
    }
    HF_TRY(mac_of(seals, record, mac));
    return equal_constant_time(mac, record->mac, sizeof mac) ? HF_OK
                                                             : HF_E_CORRUPT;
}

/* The element is not the MAC itself: MACs stand readable in the store, and a
 * sum of known numbers could be met by another set of old ones. */
static HF_STATUS element_of(const struct seals *seals,
                            const struct record *record,
                            uint8_t out[HF_SHA256_BYTES])
{
    uint8_t input[RECORD_KEY_MAX_BYTES + HF_SHA256_BYTES + 16];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    put_u8(&writer, (uint8_t)record->kind);
    put_lp(&writer, record->key, record->key_len);
    put_u64(&writer, record->version);
    put_raw(&writer, record->mac, sizeof record->mac);
    if (writer.overrun) {
        return HF_E_INVALID;
    }
    return mac_compute(seals->set_key, (struct bytes){input, writer.len}, out);
}

HF_STATUS root_add(const struct seals *seals, struct root *root,
                   const struct record *record)
{
    uint8_t element[HF_SHA256_BYTES];
    unsigned carry = 0;
    if (seals->blind) {
        return HF_OK;
    }
    HF_TRY(element_of(seals, record, element));
    for (size_t i = sizeof element; i-- > 0;) {
        unsigned sum = root->bytes[i] + element[i] + carry;
        root->bytes[i] = (uint8_t)sum;
        carry = sum >> 8;
    }
    return HF_OK;
}

HF_STATUS root_take(const struct seals *seals, struct root *root,
                    const struct record *record)
{
    uint8_t element[HF_SHA256_BYTES];
    unsigned borrow = 0;
    HF_TRY(element_of(seals, record, element));
    for (size_t i = sizeof element; i-- > 0;) {
        unsigned difference = 256u + root->bytes[i] - element[i] - borrow;
        root->bytes[i] = (uint8_t)difference;
        borrow = 1 - (difference >> 8);
    }
    return HF_OK;
}

static HF_STATUS epoch_mac(const struct seals *seals, const struct epoch *epoch,
                           uint8_t out[HF_SHA256_BYTES])
{
    uint8_t input[64];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    put_raw(&writer, "HFP1", 4);
    put_u64(&writer, epoch->counter);
    put_raw(&writer, epoch->root, sizeof epoch->root);
    put_u64(&writer, epoch->audit_index);
    return mac_compute(seals->epoch_key, (struct bytes){input, writer.len},
                       out);
}

HF_STATUS epoch_seal(const struct seals *seals, struct epoch *epoch)
{
    return epoch_mac(seals, epoch, epoch->mac);
}

HF_STATUS epoch_check(const struct seals *seals, const struct epoch *epoch)
{
    uint8_t mac[HF_SHA256_BYTES];
    HF_TRY(epoch_mac(seals, epoch, mac));
    return equal_constant_time(mac, epoch->mac, sizeof mac) ? HF_OK
                                                            : HF_E_CORRUPT;
}
