#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "tests/fakes/token_fake.h"
#include "tests/fakes/token_fake_crypto.h"
#include "tests/fakes/token_fake_state.h"

#include <string.h>
#include <time.h>

static void set_nth(struct token_fake *fake, enum token_op op, size_t n,
                    enum hf_status status, bool takes_effect)
{
    CHECK(n > 0 && status != HF_OK);
    pthread_mutex_lock(&fake->lock);
    fake->faults[op].nth = status;
    fake->faults[op].nth_in = n;
    fake->faults[op].nth_takes_effect = takes_effect;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_fail_nth(struct token_fake *fake, enum token_op op, size_t n,
                         enum hf_status status)
{
    set_nth(fake, op, n, status, false);
}

void token_fake_lose_nth(struct token_fake *fake, enum token_op op, size_t n,
                         enum hf_status status)
{
    set_nth(fake, op, n, status, true);
}

void token_fake_fail_all(struct token_fake *fake, enum token_op op,
                         enum hf_status status)
{
    pthread_mutex_lock(&fake->lock);
    fake->faults[op].all = status;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_fail_key(struct token_fake *fake, const uint8_t *id,
                         size_t id_len, enum hf_status status)
{
    CHECK(id_len <= sizeof fake->fault_key.id);
    pthread_mutex_lock(&fake->lock);
    memcpy(fake->fault_key.id, id, id_len);
    fake->fault_key.id_len = id_len;
    fake->fault_key_status = status;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_lie(struct token_fake *fake, bool lies)
{
    pthread_mutex_lock(&fake->lock);
    fake->lies = lies;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_clear(struct token_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < HF_COUNT(fake->faults); i++) {
        fake->faults[i].all = HF_OK;
        fake->faults[i].nth_in = 0;
        fake->faults[i].delay_ms = 0;
    }
    fake->fault_key_status = HF_OK;
    fake->lies = false;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_delay(struct token_fake *fake, enum token_op op,
                      int64_t delay_ms)
{
    pthread_mutex_lock(&fake->lock);
    fake->faults[op].delay_ms = delay_ms;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_hold(struct token_fake *fake, enum token_op op)
{
    pthread_mutex_lock(&fake->lock);
    fake->faults[op].hold = true;
    pthread_mutex_unlock(&fake->lock);
}

/* Lock held. */
static size_t held_count(const struct token_fake *fake, enum token_op op)
{
    size_t count = 0;
    for (const struct token_request *at = fake->held.first; at != NULL;
         at = at->link) {
        count += at->op == op ? 1 : 0;
    }
    return count;
}

size_t token_fake_held(struct token_fake *fake, enum token_op op)
{
    pthread_mutex_lock(&fake->lock);
    size_t count = held_count(fake, op);
    pthread_mutex_unlock(&fake->lock);
    return count;
}

bool token_fake_wait_held(struct token_fake *fake, enum token_op op,
                          size_t count, int64_t timeout_ms)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec += 1;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&fake->lock);
    int waited = 0;
    while (held_count(fake, op) < count && waited == 0) {
        waited =
            pthread_cond_timedwait(&fake->held_changed, &fake->lock, &until);
    }
    bool there = held_count(fake, op) >= count;
    pthread_mutex_unlock(&fake->lock);
    return there;
}

void token_fake_release(struct token_fake *fake, enum token_op op)
{
    struct fake_queue freed = {0};
    struct fake_queue kept = {0};
    pthread_mutex_lock(&fake->lock);
    fake->faults[op].hold = false;
    for (struct token_request *at = fake_queue_pop(&fake->held); at != NULL;
         at = fake_queue_pop(&fake->held)) {
        fake_queue_add(at->op == op ? &freed : &kept, at);
    }
    fake->held = kept;
    pthread_mutex_unlock(&fake->lock);
    for (struct token_request *at = fake_queue_pop(&freed); at != NULL;
         at = fake_queue_pop(&freed)) {
        fake_answer(fake, at, false);
    }
}

void token_fake_drop_objects(struct token_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    wipe(fake->objects, fake->object_count * sizeof *fake->objects);
    fake->object_count = 0;
    fake->generation += 1;
    pthread_mutex_unlock(&fake->lock);
}

HF_STATUS token_fake_delete_key(struct token_fake *fake, const uint8_t *id,
                                size_t id_len)
{
    pthread_mutex_lock(&fake->lock);
    struct fake_key *key = fake_key_at(fake, id, id_len);
    if (key != NULL) {
        fake_key_drop(fake, key);
    }
    pthread_mutex_unlock(&fake->lock);
    return key == NULL ? HF_E_NOT_FOUND : HF_OK;
}

HF_STATUS token_fake_edit_key(struct token_fake *fake, const uint8_t *id,
                              size_t id_len,
                              const struct token_key_report *flags)
{
    pthread_mutex_lock(&fake->lock);
    struct fake_key *key = fake_key_at(fake, id, id_len);
    if (key != NULL) {
        struct token_key_report edited = *flags;
        struct token_key_report *there = &key->report;
        edited.key = there->key;
        edited.bits = there->bits;
        if (edited.label[0] == '\0') {
            memcpy(edited.label, there->label, sizeof edited.label);
        }
        memcpy(edited.spki, there->spki, sizeof edited.spki);
        edited.spki_len = there->spki_len;
        *there = edited;
    }
    pthread_mutex_unlock(&fake->lock);
    return key == NULL ? HF_E_NOT_FOUND : HF_OK;
}

HF_STATUS token_fake_import_ec(struct token_fake *fake, const char *label,
                               const uint8_t *id, size_t id_len)
{
    HF_OWNED(fake_key_release)
    struct fake_key key = {
        .report = {.key = {.type = TOKEN_KEY_EC, .id_len = id_len},
                   .bits = 256,
                   .sensitive = true,
                   .can_sign = true,
                   .destroyable = true}
    };
    CHECK(id_len > 0 && id_len <= sizeof key.report.key.id);
    memcpy(key.report.key.id, id, id_len);
    HF_TRY(text_copy(key.report.label, sizeof key.report.label, label));
    HF_TRY(fake_ec_new(&key.pair));
    HF_TRY(fake_public_part(key.pair, &key.report));
    pthread_mutex_lock(&fake->lock);
    enum hf_status status = fake_key_add(fake, &key);
    if (status == HF_OK) {
        key.pair = NULL; /* the token's now */
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

HF_STATUS token_fake_copy_key(struct token_fake *from, struct token_fake *to,
                              const uint8_t *id, size_t id_len)
{
    HF_OWNED(fake_key_release) struct fake_key copy = {.pair = NULL};
    pthread_mutex_lock(&from->lock);
    const struct fake_key *key = fake_key_at(from, id, id_len);
    bool there = key != NULL && key->pair == NULL;
    if (there) {
        copy = *key;
    }
    pthread_mutex_unlock(&from->lock);
    if (!there) {
        return HF_E_NOT_FOUND;
    }
    pthread_mutex_lock(&to->lock);
    enum hf_status status = fake_key_add(to, &copy);
    pthread_mutex_unlock(&to->lock);
    return status;
}

void token_fake_state(struct token_fake *fake, const struct token_state *state)
{
    pthread_mutex_lock(&fake->lock);
    fake->state = *state;
    fake->state_is_set = true;
    pthread_mutex_unlock(&fake->lock);
}

HF_STATUS token_fake_restore(struct token_fake *fake, const char *serial)
{
    pthread_mutex_lock(&fake->lock);
    enum hf_status status =
        text_copy(fake->profile.serial, sizeof fake->profile.serial, serial);
    pthread_mutex_unlock(&fake->lock);
    return status;
}

void token_fake_unmet(struct token_fake *fake, bool unmet)
{
    pthread_mutex_lock(&fake->lock);
    fake->unmet = unmet;
    pthread_mutex_unlock(&fake->lock);
}

void token_fake_capacity(struct token_fake *fake, uint64_t free_private_bytes,
                         uint64_t total_private_bytes)
{
    pthread_mutex_lock(&fake->lock);
    fake->profile.free_private_bytes = free_private_bytes;
    fake->profile.total_private_bytes = total_private_bytes;
    pthread_mutex_unlock(&fake->lock);
}

uint64_t token_fake_calls(struct token_fake *fake, enum token_op op)
{
    pthread_mutex_lock(&fake->lock);
    uint64_t calls = fake->faults[op].calls;
    pthread_mutex_unlock(&fake->lock);
    return calls;
}

uint64_t token_fake_confirmed(struct token_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    uint64_t count = fake->confirmed;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

size_t token_fake_keys(struct token_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    size_t count = fake->key_count;
    pthread_mutex_unlock(&fake->lock);
    return count;
}
