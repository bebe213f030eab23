#include "hsm/base/bytes.h"
#include "hsm/base/mechanisms.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "tests/fakes/token_fake_crypto.h"
#include "tests/fakes/token_fake_state.h"

#include <openssl/rand.h>

#include <string.h>

struct purpose_rule {
    enum token_key_type type;
    bool unwrap;
    bool decrypt;
    bool wrap;
    bool sign;
    bool destroyable;
    bool unwrap_template;
};

/* crypto.md */
static const struct purpose_rule rules[] = {
    [TOKEN_FOR_CUSTOMER_KEY_TOKEN] = {.type = TOKEN_KEY_RSA,
                                      .unwrap = true,
                                      .unwrap_template = true                        },
    [TOKEN_FOR_CUSTOMER_KEY_MEMORY] = {.type = TOKEN_KEY_RSA,
                                      .unwrap = true,
                                      .decrypt = true,
                                      .unwrap_template = true},
    [TOKEN_FOR_AVAILABILITY_KEY] = {.type = TOKEN_KEY_AES,
                                      .unwrap = true,
                                      .wrap = true,
                                      .destroyable = true},
    [TOKEN_FOR_RECORD_MAC] = {.type = TOKEN_KEY_GENERIC,
                                      .sign = true,
                                      .destroyable = true},
    [TOKEN_FOR_AUDIT_SIGNING] = {.type = TOKEN_KEY_EC,
                                      .sign = true,
                                      .destroyable = true     },
    [TOKEN_FOR_CANARY] = {.type = TOKEN_KEY_RSA,
                                      .unwrap = true,
                                      .decrypt = true,
                                      .destroyable = true},
    [TOKEN_FOR_TRANSPORT_PAIR] = {.type = TOKEN_KEY_RSA,
                                      .unwrap = true,
                                      .destroyable = true                          },
    [TOKEN_FOR_AVAILABILITY_PAIR] = {.type = TOKEN_KEY_RSA,
                                      .unwrap = true,
                                      .destroyable = true},
};

static struct bytes id_of(const struct token_key *key)
{
    return (struct bytes){key->id, key->id_len};
}

static bool fingerprint_matches(const struct token_key *asked,
                                const struct token_key *there)
{
    static const uint8_t any[HF_SHA256_BYTES];
    return bytes_equal(BYTES_OF(asked->fingerprint), BYTES_OF(any)) ||
           bytes_equal(BYTES_OF(asked->fingerprint),
                       BYTES_OF(there->fingerprint));
}

struct fake_key *fake_key_at(struct token_fake *fake, const uint8_t *id,
                             size_t id_len)
{
    for (size_t i = 0; i < fake->key_count; i++) {
        if (bytes_equal(id_of(&fake->keys[i].report.key),
                        (struct bytes){id, id_len})) {
            return &fake->keys[i];
        }
    }
    return NULL;
}

HF_STATUS fake_key_add(struct token_fake *fake, const struct fake_key *key)
{
    if (fake_key_at(fake, key->report.key.id, key->report.key.id_len) != NULL) {
        return HF_E_EXISTS;
    }
    if (fake->key_count == FAKE_KEYS_MAX) {
        return HF_E_LIMIT;
    }
    fake->keys[fake->key_count] = *key;
    fake->key_count += 1;
    return HF_OK;
}

void fake_key_drop(struct token_fake *fake, struct fake_key *key)
{
    EVP_PKEY_free(key->pair);
    wipe(key->secret, sizeof key->secret);
    fake->key_count -= 1;
    *key = fake->keys[fake->key_count];
}

void fake_key_release(struct fake_key *key)
{
    EVP_PKEY_free(key->pair);
    wipe(key->secret, sizeof key->secret);
}

HF_STATUS fake_key_borrow(struct token_fake *fake,
                          const struct token_key *asked, struct fake_key *out)
{
    enum hf_status status = HF_E_NOT_FOUND;
    pthread_mutex_lock(&fake->lock);
    const struct fake_key *key = fake_key_at(fake, asked->id, asked->id_len);
    if (key != NULL && key->report.key.type == asked->type &&
        fingerprint_matches(asked, &key->report.key)) {
        *out = *key;
        status = HF_OK;
        if (out->pair != NULL && EVP_PKEY_up_ref(out->pair) != 1) {
            out->pair = NULL;
            status = HF_E_INTERNAL;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

HF_STATUS fake_find(struct token_fake *fake, struct token_find *find)
{
    HF_OWNED(fake_key_release) struct fake_key key = {0};
    enum hf_status status = fake_key_borrow(fake, &find->key, &key);
    if (status == HF_E_NOT_FOUND && find->tentative) {
        return HF_E_UNCONFIRMED;
    }
    if (status == HF_E_NOT_FOUND) {
        pthread_mutex_lock(&fake->lock);
        fake->confirmed += 1;
        pthread_mutex_unlock(&fake->lock);
    }
    HF_TRY(status);
    *find->report = key.report;
    return HF_OK;
}

HF_STATUS fake_list(struct token_fake *fake, struct token_list *list)
{
    enum hf_status status = HF_OK;
    size_t count = 0;
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->key_count && status == HF_OK; i++) {
        const struct token_key_report *report = &fake->keys[i].report;
        if (!token_list_wants(list, &report->key, report->label)) {
            continue;
        }
        if (count == list->cap) {
            status = HF_E_LIMIT;
        } else {
            list->reports[count++] = *report;
        }
    }
    if (status == HF_OK) {
        list->count = count;
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

static bool bits_are_sound(const struct token_generate *generate)
{
    switch (generate->purpose) {
    case TOKEN_FOR_CUSTOMER_KEY_TOKEN:
    case TOKEN_FOR_CUSTOMER_KEY_MEMORY:
        return generate->bits == 2048 || generate->bits == 3072 ||
               generate->bits == 4096;
    case TOKEN_FOR_CANARY:
        return generate->bits == 0 || generate->bits == 2048;
    case TOKEN_FOR_AVAILABILITY_PAIR:
        return generate->bits == 2048;
    case TOKEN_FOR_TRANSPORT_PAIR:
        return generate->bits == 3072;
    case TOKEN_FOR_AVAILABILITY_KEY:
    case TOKEN_FOR_RECORD_MAC:
    case TOKEN_FOR_AUDIT_SIGNING:
        return generate->bits == 0;
    }
    return false;
}

static enum hf_status material_make(struct fake_key *key, uint32_t bits)
{
    switch (key->report.key.type) {
    case TOKEN_KEY_RSA:
        key->report.bits = bits == 0 ? HF_RSA_MIN_BITS : bits;
        HF_TRY(fake_rsa_new(key->report.bits, &key->pair));
        return fake_public_part(key->pair, &key->report);
    case TOKEN_KEY_EC:
        key->report.bits = 256;
        HF_TRY(fake_ec_new(&key->pair));
        return fake_public_part(key->pair, &key->report);
    case TOKEN_KEY_AES:
    case TOKEN_KEY_GENERIC:
        key->report.bits = 8 * HF_KEY_BYTES;
        return RAND_priv_bytes(key->secret, HF_KEY_BYTES) == 1 ? HF_OK
                                                               : HF_E_INTERNAL;
    }
    return HF_E_INTERNAL;
}

HF_STATUS fake_generate(struct token_fake *fake,
                        struct token_generate *generate)
{
    if (!bits_are_sound(generate)) {
        return HF_E_INVALID;
    }
    const struct purpose_rule *rule = &rules[generate->purpose];
    HF_OWNED(fake_key_release)
    struct fake_key key = {
        .report = {.key = {.type = rule->type, .id_len = generate->id_len},
                   .sensitive = true,
                   .always_sensitive = true,
                   .never_extractable = true,
                   .local = true,
                   .can_unwrap = rule->unwrap,
                   .can_decrypt = rule->decrypt,
                   .can_wrap = rule->wrap,
                   .can_sign = rule->sign,
                   .destroyable =
                       rule->destroyable || fake->settings.destroyable_ignored,
                   .unwrap_template = rule->unwrap_template,
                   .mechanisms = rule->type == TOKEN_KEY_RSA
                                     ? TOKEN_MECHANISM_RSA_OAEP
                                     : 0}
    };
    memcpy(key.report.key.id, generate->id, generate->id_len);
    memcpy(key.report.label, generate->label, sizeof key.report.label);
    pthread_mutex_lock(&fake->lock);
    bool taken = fake_key_at(fake, generate->id, generate->id_len) != NULL;
    pthread_mutex_unlock(&fake->lock);
    if (taken) {
        return HF_E_EXISTS; /* before a slow generation in vain */
    }
    HF_TRY(material_make(&key, generate->bits));
    struct token_key_report report = key.report;
    pthread_mutex_lock(&fake->lock);
    enum hf_status status = fake_key_add(fake, &key);
    if (status == HF_OK) {
        key.pair = NULL; /* the token's now */
        *generate->report = report;
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

HF_STATUS fake_destroy(struct token_fake *fake, const struct token_key *asked)
{
    enum hf_status status = HF_OK;
    pthread_mutex_lock(&fake->lock);
    struct fake_key *key = fake_key_at(fake, asked->id, asked->id_len);
    if (key != NULL && key->report.key.type == asked->type &&
        fingerprint_matches(asked, &key->report.key)) {
        if (key->report.destroyable) {
            fake_key_drop(fake, key);
        } else {
            status = HF_E_DENIED;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

static bool data_is(const struct token_data *item,
                    const struct token_data *asked)
{
    return bytes_equal(bytes_of_text(item->label),
                       bytes_of_text(asked->label)) &&
           bytes_equal((struct bytes){item->value, item->value_len},
                       (struct bytes){asked->value, asked->value_len});
}

HF_STATUS fake_data_list(struct token_fake *fake, struct token_data_list *list)
{
    enum hf_status status = HF_OK;
    size_t count = 0;
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->data_count; i++) {
        if (!bytes_equal(bytes_of_text(fake->data[i].label),
                         bytes_of_text(list->label))) {
            continue;
        }
        if (count == list->cap) {
            status = HF_E_LIMIT;
            break;
        }
        list->items[count] = fake->data[i];
        count += 1;
    }
    if (status == HF_OK) {
        list->count = count;
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

HF_STATUS fake_data_create(struct token_fake *fake,
                           const struct token_data *item)
{
    enum hf_status status = HF_E_LIMIT;
    pthread_mutex_lock(&fake->lock);
    if (fake->data_count < FAKE_DATA_MAX) {
        fake->data[fake->data_count] = *item;
        fake->data_count += 1;
        status = HF_OK;
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

HF_STATUS fake_data_destroy(struct token_fake *fake,
                            const struct token_data *item)
{
    pthread_mutex_lock(&fake->lock);
    for (size_t i = fake->data_count; i > 0; i--) {
        if (data_is(&fake->data[i - 1], item)) {
            fake->data_count -= 1;
            fake->data[i - 1] = fake->data[fake->data_count];
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return HF_OK;
}
