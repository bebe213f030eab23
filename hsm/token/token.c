#include "hsm/token/token.h"

#include "hsm/base/check.h"

#include <pthread.h>
#include <string.h>

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
};

bool token_op_is_data(enum token_op op)
{
    return op == TOKEN_OP_SEAL || op == TOKEN_OP_OPEN || op == TOKEN_OP_MAC;
}

int64_t token_attempt_ms(const struct token_request *request)
{
    if (request->attempt_ms > 0) {
        return request->attempt_ms;
    }
    if (request->op == TOKEN_OP_GENERATE) {
        return HF_TOKEN_GENERATE_DEADLINE_MS;
    }
    return token_op_is_data(request->op) ? HF_TOKEN_DATA_DEADLINE_MS
                                         : HF_TOKEN_ROOT_DEADLINE_MS;
}

static bool aead_is_sound(const struct token_aead *aead, bool sealing)
{
    if (aead->aad.len > HF_CONTEXT_MAX_BYTES ||
        aead->in.len > HF_SEALED_MAX_BYTES || aead->out == NULL) {
        return false;
    }
    if (sealing) {
        return aead->in.len + HF_GCM_TAG_BYTES <= HF_SEALED_MAX_BYTES &&
               aead->out_cap >= aead->in.len + HF_GCM_TAG_BYTES;
    }
    return aead->in.len >= HF_GCM_TAG_BYTES &&
           aead->out_cap >= aead->in.len - HF_GCM_TAG_BYTES;
}

static bool key_is_sound(const struct token_key *key)
{
    return key->id_len > 0 && key->id_len <= sizeof key->id;
}

static bool source_is_sound(const struct token_mint *mint)
{
    const struct token_mint_source *source = &mint->source;
    return source->suite == TOKEN_SUITE_NONE ||
           (key_is_sound(&source->key) && source->wrapped.len > 0 &&
            source->wrapped.len <= HF_RSA_MAX_BYTES &&
            mint->check_sealed_len == mint->check_text.len + HF_GCM_TAG_BYTES);
}

static bool mint_is_sound(const struct token_mint *mint)
{
    if (mint == NULL || mint->copy_count == 0 ||
        mint->copy_count > TOKEN_MINT_COPIES_MAX ||
        mint->check_aad.len > HF_CONTEXT_MAX_BYTES ||
        mint->check_text.len + HF_GCM_TAG_BYTES > HF_SEALED_MAX_BYTES ||
        !source_is_sound(mint)) {
        return false;
    }
    for (size_t i = 0; i < mint->copy_count; i++) {
        const struct token_mint_copy *copy = &mint->copies[i];
        bool by_aes = copy->suite == TOKEN_SUITE_AES_KWP;
        if (copy->suite == TOKEN_SUITE_NONE ||
            (by_aes && !key_is_sound(&copy->key)) ||
            (!by_aes &&
             (copy->spki.len == 0 || copy->spki.len > HF_SPKI_MAX_BYTES))) {
            return false;
        }
    }
    return true;
}

static bool generate_is_sound(const struct token_generate *generate)
{
    return generate->report != NULL && generate->id_len > 0 &&
           generate->id_len <= sizeof generate->id &&
           generate->label[0] != '\0' &&
           memchr(generate->label, 0, sizeof generate->label) != NULL;
}

static bool is_sound(const struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
        return aead_is_sound(&request->u.aead, true);
    case TOKEN_OP_OPEN:
        return aead_is_sound(&request->u.aead, false);
    case TOKEN_OP_MAC:
        return key_is_sound(&request->u.mac.key) &&
               request->u.mac.in.len <= TOKEN_MAC_MAX_BYTES;
    case TOKEN_OP_FIND:
        return key_is_sound(&request->u.find.key) &&
               request->u.find.report != NULL;
    case TOKEN_OP_LIST:
        return request->u.list.reports != NULL && request->u.list.cap > 0 &&
               request->u.list.id_prefix_len <=
                   sizeof request->u.list.id_prefix &&
               memchr(request->u.list.label_prefix, 0,
                      sizeof request->u.list.label_prefix) != NULL;
    case TOKEN_OP_GENERATE:
        return generate_is_sound(&request->u.generate);
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        return key_is_sound(&request->u.unwrap.key) &&
               request->u.unwrap.suite != TOKEN_SUITE_NONE &&
               request->u.unwrap.wrapped.len > 0 &&
               request->u.unwrap.wrapped.len <= HF_RSA_MAX_BYTES;
    case TOKEN_OP_MINT:
        return mint_is_sound(request->u.mint);
    case TOKEN_OP_SIGN:
        return key_is_sound(&request->u.sign.key);
    case TOKEN_OP_DESTROY:
        return key_is_sound(&request->u.destroy.key);
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        return request->u.data != NULL && request->u.data->label[0] != '\0' &&
               request->u.data->value_len <= TOKEN_DATA_MAX_BYTES;
    case TOKEN_OP_DATA_LIST:
        return request->u.data_list.items != NULL &&
               request->u.data_list.label[0] != '\0';
    case TOKEN_OP_FORGET:
    case TOKEN_OP_HEALTH:
        return true;
    }
    return false;
}

static bool begins_with(struct bytes whole, struct bytes prefix)
{
    return prefix.len > 0 && whole.len >= prefix.len &&
           bytes_equal((struct bytes){whole.data, prefix.len}, prefix);
}

bool token_list_wants(const struct token_list *list,
                      const struct token_key *key, const char *label)
{
    bool all = list->label_prefix[0] == '\0' && list->id_prefix_len == 0;
    return all ||
           begins_with(bytes_of_text(label),
                       bytes_of_text(list->label_prefix)) ||
           begins_with((struct bytes){key->id, key->id_len},
                       (struct bytes){list->id_prefix, list->id_prefix_len});
}

void token_submit(const struct token *token,
                  struct token_request *const *requests, size_t count)
{
    struct token_request *sound[TOKEN_BATCH_MAX];
    size_t sound_count = 0;
    CHECK(count <= TOKEN_BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        CHECK(requests[i]->done != NULL);
        requests[i]->rv = 0;
        requests[i]->link = NULL;
        if (is_sound(requests[i])) {
            sound[sound_count++] = requests[i];
            continue;
        }
        requests[i]->status = HF_E_INVALID;
        requests[i]->done(requests[i]);
    }
    if (sound_count > 0) {
        token->port->submit(token->self, sound, sound_count);
    }
}

static void wake(struct token_request *request)
{
    struct waiter *waiter = request->owner;
    pthread_mutex_lock(&waiter->lock);
    waiter->done = true;
    pthread_cond_signal(&waiter->answered);
    pthread_mutex_unlock(&waiter->lock);
}

HF_STATUS token_call(const struct token *token, struct token_request *request)
{
    struct waiter waiter = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .answered = PTHREAD_COND_INITIALIZER,
    };
    request->done = wake;
    request->owner = &waiter;
    token_submit(token, &request, 1);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.done) {
        pthread_cond_wait(&waiter.answered, &waiter.lock);
    }
    pthread_mutex_unlock(&waiter.lock);
    pthread_cond_destroy(&waiter.answered);
    pthread_mutex_destroy(&waiter.lock);
    return request->status;
}

void token_profile_get(const struct token *token, struct token_profile *out)
{
    token->port->profile(token->self, out);
}

bool token_profile_is_known(const struct token_profile *profile)
{
    return profile->label[0] != '\0';
}

void token_counters_get(const struct token *token, struct token_counters *out)
{
    token->port->counters(token->self, out);
}

void token_state_get(const struct token *token, struct token_state *out)
{
    *out = (struct token_state){.condition = TOKEN_OPEN};
    if (token->port->state != NULL) {
        token->port->state(token->self, out);
    }
}

const char *token_condition_text(enum token_condition condition)
{
    switch (condition) {
    case TOKEN_OPENING:
        return "opening";
    case TOKEN_OPEN:
        return "open";
    case TOKEN_AWAITING_ACTIVATION:
        return "awaiting activation";
    case TOKEN_PIN_REFUSED:
        return "PIN refused";
    case TOKEN_REFUSED:
        return "refused";
    case TOKEN_UNAVAILABLE:
        return "unavailable";
    case TOKEN_CONDITION_COUNT:
        break;
    }
    return "unknown";
}

enum hf_status token_answer_while_shut(enum hf_status status)
{
    if (status == HF_E_LIMIT || status == HF_E_IO || status == HF_E_INTERNAL) {
        return HF_E_RESOURCES;
    }
    enum hf_class class_ = hf_status_class(status);
    if (class_ == HF_CLASS_OURS) {
        return status;
    }
    return class_ == HF_CLASS_DENIED ? HF_E_DENIED : HF_E_UNREACHABLE;
}

void token_close(struct token *token)
{
    if (token != NULL && token->port != NULL) {
        token->port->close(token->self);
        *token = (struct token){0};
    }
}

enum token_suite token_suite_preferred(const struct token_profile *profile)
{
    if (profile->oaep_sha256) {
        return TOKEN_SUITE_OAEP_SHA256;
    }
    return profile->oaep_sha1 ? TOKEN_SUITE_OAEP_SHA1 : TOKEN_SUITE_NONE;
}

const char *token_suite_text(enum token_suite suite)
{
    switch (suite) {
    case TOKEN_SUITE_NONE:
        return "none";
    case TOKEN_SUITE_OAEP_SHA256:
        return "RSA-OAEP-SHA256";
    case TOKEN_SUITE_OAEP_SHA1:
        return "RSA-OAEP-SHA1";
    case TOKEN_SUITE_AES_KWP:
        return "AES-256-KWP";
    }
    return "unknown";
}
