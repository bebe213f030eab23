/* What one member can do alone is done by the first that can. */
#include "hsm/token/mirrored_inside.h"

#include <stdlib.h>

struct relay {
    struct token_request inner;
    struct token_request *outer;
    struct mirrored *self;
    size_t member;
    unsigned tried;
};

#define NOBODY MIRRORS_MAX

static bool is_zero(const uint8_t fingerprint[HF_SHA256_BYTES])
{
    static const uint8_t zero[HF_SHA256_BYTES];
    return bytes_equal((struct bytes){fingerprint, HF_SHA256_BYTES},
                       BYTES_OF(zero));
}

/* Each signs with a key of its own: who asks for one by its fingerprint gets
 * that one or none, and the others are not searched for it. */
static bool suits(const struct member *member,
                  const struct token_request *request)
{
    const struct token_key *key =
        request->op == TOKEN_OP_SIGN   ? &request->u.sign.key
        : request->op == TOKEN_OP_FIND ? &request->u.find.key
                                       : NULL;
    if (key == NULL || key->type != TOKEN_KEY_EC || is_zero(key->fingerprint)) {
        return true;
    }
    return member->signs && bytes_equal(BYTES_OF(member->sign_fingerprint),
                                        BYTES_OF(key->fingerprint));
}

/* Those that answer come first; that one is away may be no longer true. */
static size_t choose(struct mirrored *self, const struct relay *relay)
{
    size_t found = NOBODY;
    pthread_mutex_lock(&self->lock);
    for (int away = 0; away < 2 && found == NOBODY; away++) {
        for (size_t i = 0; i < self->count && found == NOBODY; i++) {
            const struct member *member = &self->members[i];
            bool asked = (member->report.state == MIRROR_AWAY) == (away == 1);
            if (asked && member->verified && (relay->tried & MEMBER(i)) == 0 &&
                suits(member, &relay->inner)) {
                found = i;
            }
        }
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* Our own trouble, and what is wrong with the request, is the same with the
 * next. */
static bool next_may_help(enum hf_status status)
{
    switch (hf_status_class(status)) {
    case HF_CLASS_DENIED:
    case HF_CLASS_MISSING:
    case HF_CLASS_TRANSIENT:
    case HF_CLASS_BROKEN:
        return true;
    case HF_CLASS_OK:
    case HF_CLASS_CALLER:
    case HF_CLASS_CONFLICT:
    case HF_CLASS_OURS:
        break;
    }
    return false;
}

/* A key that FIND does not show may be missing in all of them. */
static bool says_away(enum token_op op, enum hf_status status)
{
    enum hf_class class_ = hf_status_class(status);
    return class_ == HF_CLASS_TRANSIENT || class_ == HF_CLASS_DENIED ||
           (class_ == HF_CLASS_MISSING && op == TOKEN_OP_MAC);
}

static void finish(struct relay *relay, enum hf_status status)
{
    struct token_request *outer = relay->outer;
    outer->u = relay->inner.u;
    outer->rv = relay->inner.rv;
    outer->status = status;
    free(relay);
    outer->done(outer);
}

static void ask_next(struct relay *relay, enum hf_status so_far)
{
    struct token_request *inner = &relay->inner;
    relay->member = choose(relay->self, relay);
    if (relay->member == NOBODY) {
        finish(relay, so_far);
        return;
    }
    relay->tried |= MEMBER(relay->member);
    token_submit(&relay->self->members[relay->member].token, &inner, 1);
}

static void answered(struct token_request *inner)
{
    struct relay *relay = inner->owner;
    enum hf_status status = inner->status;
    if (says_away(inner->op, status)) {
        mirror_state_set(relay->self, relay->member, MIRROR_AWAY, status);
    }
    if (status != HF_OK && next_may_help(status)) {
        ask_next(relay, status);
    } else {
        finish(relay, status);
    }
}

void mirror_relay(struct mirrored *self, struct token_request *request)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL) {
        request->status = HF_E_NO_MEMORY;
        request->done(request);
        return;
    }
    relay->inner = *request;
    relay->inner.done = answered;
    relay->inner.owner = relay;
    relay->outer = request;
    relay->self = self;
    ask_next(relay, HF_E_UNREACHABLE);
}
