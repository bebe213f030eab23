/* Who is there: at the start, and from then on. */
#include "hsm/base/check.h"

#include "hsm/token/mirrored_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* No record's MAC and no derived key begins so (server/service/seals.c). */
#define KNOWN_TEXT "HFD1 mirror check"

static enum hf_status ask(struct mirrored *self, size_t i,
                          struct token_request *request)
{
    request->attempt_ms = self->settings.attempt_ms;
    return token_call(&self->members[i].token, request);
}

/* --- one member ----------------------------------------------------------- */

static HF_STATUS look_at_keys(struct mirrored *self, size_t i,
                              struct member *found)
{
    struct token_request mac = {
        .op = TOKEN_OP_MAC,
        .u.mac = {.key = self->mac_key, .in = bytes_of_text(KNOWN_TEXT)},
    };
    struct token_key_report report = {.spki_len = 0};
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = self->sign_key, .report = &report},
    };
    HF_TRY(ask(self, i, &mac));
    memcpy(found->mac, mac.u.mac.out, sizeof found->mac);
    if (self->sign_key.id_len == 0) {
        return HF_OK;
    }
    enum hf_status status = ask(self, i, &find);
    if (hf_status_class(status) == HF_CLASS_MISSING) {
        return HF_OK;
    }
    HF_TRY(status);
    found->signs = true;
    memcpy(found->sign_fingerprint, report.key.fingerprint,
           sizeof found->sign_fingerprint);
    return HF_OK;
}

/* Some modules take no notice of a token that is back before they are asked for
 * a key that they do not show, and then begin anew for it, at the cost of what
 * everybody holds in them (token.h, FIND). So that is done in rounds 1, 2, 4,
 * 8, ... of its absence, and every 64th. */
#define KNOCK_ROUNDS 64
static bool is_time_to_knock(uint32_t rounds)
{
    return rounds < KNOCK_ROUNDS ? (rounds & (rounds - 1)) == 0
                                 : rounds % KNOCK_ROUNDS == 0;
}

static HF_STATUS knock(struct mirrored *self, size_t i)
{
    struct token_key_report report;
    struct token_request health = {.op = TOKEN_OP_HEALTH};
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = self->mac_key, .report = &report},
    };
    struct member *member = &self->members[i];
    enum hf_status status = ask(self, i, &health);
    if (status == HF_OK) {
        member->rounds_away = 0;
        return HF_OK;
    }
    member->rounds_away++;
    if (is_time_to_knock(member->rounds_away)) {
        HF_IGNORE(ask(self, i, &find), "what counts is asked again");
        status = ask(self, i, &health);
    }
    return status;
}

static HF_STATUS look(struct mirrored *self, size_t i, struct member *found)
{
    struct token_profile profile;
    HF_TRY(knock(self, i));
    token_profile_get(&self->members[i].token, &profile);
    if (!token_profile_is_known(&profile)) {
        return HF_E_UNREACHABLE;
    }
    HF_TRY(text_copy(found->report.name.label, sizeof found->report.name.label,
                     profile.label));
    HF_TRY(text_copy(found->report.name.serial,
                     sizeof found->report.name.serial, profile.serial));
    return look_at_keys(self, i, found);
}

HF_STATUS mirror_join(struct mirrored *self, size_t i)
{
    struct member found = {.signs = false};
    HF_TRY(look(self, i, &found));
    pthread_mutex_lock(&self->lock);
    struct member *member = &self->members[i];
    member->report.name = found.report.name;
    member->signs = found.signs;
    memcpy(member->sign_fingerprint, found.sign_fingerprint,
           sizeof member->sign_fingerprint);
    memcpy(member->mac, found.mac, sizeof member->mac);
    pthread_mutex_unlock(&self->lock);
    return HF_OK;
}

/* The same MAC key, and not one of the others a second time. */
static bool fits(struct mirrored *self, size_t i)
{
    bool same = true;
    pthread_mutex_lock(&self->lock);
    const struct member *member = &self->members[i];
    for (size_t j = 0; j < self->count; j++) {
        const struct member *other = &self->members[j];
        if (j == i || !other->verified) {
            continue;
        }
        same =
            same &&
            equal_constant_time(other->mac, member->mac, sizeof member->mac) &&
            strcmp(other->report.name.serial, member->report.name.serial) != 0;
    }
    self->members[i].verified = same;
    pthread_mutex_unlock(&self->lock);
    return same;
}

/* --- the start ------------------------------------------------------------ */

struct start {
    struct mirror_view views[MIRRORS_MAX];
    unsigned there;
    enum hf_status status; /* of the last that is away */
    struct mirror_view newest;
    bool all_the_same;
};

__attribute__((format(printf, 3, 4))) static enum hf_status
say(struct mirrored_problem *problem, enum hf_status status, const char *format,
    ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(problem->text, sizeof problem->text, format, values);
    va_end(values);
    return status;
}

static void look_at_all(struct mirrored *self, struct start *start)
{
    for (size_t i = 0; i < self->count; i++) {
        enum hf_status status = mirror_join(self, i);
        if (status == HF_OK) {
            status =
                mirror_view_read(&self->members[i].token,
                                 self->settings.attempt_ms, &start->views[i]);
        }
        if (status == HF_OK) {
            start->there |= MEMBER(i);
        } else {
            start->status = status;
            self->members[i].to_tell = true;
            self->members[i].report.status = status;
        }
        if (start->views[i].number > start->newest.number) {
            start->newest = start->views[i];
        }
    }
}

static HF_STATUS compare_views(struct mirrored *self, struct start *start,
                               struct mirrored_problem *problem)
{
    start->all_the_same = true;
    if (start->there == 0) {
        return say(problem, start->status, "none of the %zu tokens answers: %s",
                   self->count, hf_status_text(start->status));
    }
    if (start->newest.number == 0) {
        return say(problem, HF_E_PRECONDITION,
                   "these tokens are no mirrors of each other: they are made "
                   "so by holdfast-hsm service init --mirror, before a service "
                   "uses one of them; one that is in use can only be replaced, "
                   "by re-sealing the store");
    }
    for (size_t i = 0; i < self->count; i++) {
        const struct mirror_view *view = &start->views[i];
        if (view->number == start->newest.number &&
            !mirror_view_equal(view, &start->newest)) {
            return say(problem, HF_E_CONFLICT,
                       "two of the tokens each say that they went on without "
                       "the other (view %llu): leave the one out whose service "
                       "was ended first",
                       (unsigned long long)view->number);
        }
        if (mirror_view_has(&start->newest,
                            self->members[i].report.name.serial)) {
            start->all_the_same =
                start->all_the_same && view->number == start->newest.number;
        }
    }
    return HF_OK;
}

/* Those of the view first: what the others hold is measured by them. */
static void verify_all(struct mirrored *self, const struct start *start)
{
    for (int of_view = 1; of_view >= 0; of_view--) {
        for (size_t i = 0; i < self->count; i++) {
            bool has = mirror_view_has(&start->newest,
                                       self->members[i].report.name.serial);
            if ((start->there & MEMBER(i)) == 0 || has != (of_view == 1)) {
                continue;
            }
            bool good = fits(self, i);
            mirror_state_set(self, i, good ? MIRROR_STALE : MIRROR_REFUSED,
                             good ? HF_OK : HF_E_DENIED);
            self->in_view |= good && has ? MEMBER(i) : 0;
        }
    }
}

/* Rule (3) of the header. */
static HF_STATUS must_be_complete(struct mirrored *self,
                                  const struct start *start,
                                  struct mirrored_problem *problem)
{
    for (size_t i = 0; i < start->newest.count; i++) {
        const struct mirror_name *name = &start->newest.members[i];
        bool found = false;
        for (size_t j = 0; j < self->count; j++) {
            found = found || ((self->in_view & MEMBER(j)) != 0 &&
                              strcmp(self->members[j].report.name.serial,
                                     name->serial) == 0);
        }
        if (!found) {
            return say(problem, HF_E_PRECONDITION,
                       "the token \"%s\" (serial %s) is not there, or not as "
                       "it was, and may know of a later state of the store "
                       "than those that are: bring it back; if it is lost for "
                       "ever, say so with holdfast-hsm service forget-mirror",
                       name->label, name->serial);
        }
    }
    return HF_OK;
}

HF_STATUS mirror_begin(struct mirrored *self, struct mirrored_problem *problem)
{
    struct start start = {.there = 0, .status = HF_E_UNREACHABLE};
    look_at_all(self, &start);
    HF_TRY(compare_views(self, &start, problem));
    verify_all(self, &start);
    HF_TRY(must_be_complete(self, &start, problem));
    self->view = start.newest;
    self->view_number = start.newest.number;
    self->view_settled = start.all_the_same;
    enum hf_status status = HF_E_UNREACHABLE;
    unsigned begun = self->in_view;
    for (size_t i = 0; i < self->count; i++) {
        if ((begun & MEMBER(i)) != 0) {
            enum hf_status one = mirror_catch_up(self, i);
            status = status == HF_OK ? HF_OK : one;
        }
    }
    return status == HF_OK
               ? HF_OK
               : say(problem, status, "none of the tokens can be used: %s",
                     hf_status_text(status));
}

/* --- from then on --------------------------------------------------------- */

/* A view that is another than it was given says that the token is another, or
 * an earlier state of itself. */
static HF_STATUS holds_view(struct mirrored *self, size_t i)
{
    struct mirror_view view;
    HF_TRY(mirror_view_read(&self->members[i].token, self->settings.attempt_ms,
                            &view));
    bool member = (self->in_view & MEMBER(i)) != 0;
    return !self->view_settled || !member ||
                   mirror_view_equal(&view, &self->view)
               ? HF_OK
               : HF_E_UNCONFIRMED;
}

/* The lock is not held while a token may hang; what a writer changed meanwhile
 * is looked at again. */
static void probe(struct mirrored *self, size_t i)
{
    struct mirror_view view;
    enum hf_status status = mirror_view_read(&self->members[i].token,
                                             self->settings.attempt_ms, &view);
    if (status == HF_OK) {
        pthread_mutex_lock(&self->data_lock);
        status = holds_view(self, i);
        pthread_mutex_unlock(&self->data_lock);
    }
    if (status != HF_OK) {
        mirror_state_set(self, i, MIRROR_AWAY, status);
    }
}

/* It stays refused, and is told of once, until its view is another. */
static bool is_refused_for_view(struct mirrored *self, size_t i)
{
    const struct mirror_report *report = &self->members[i].report;
    pthread_mutex_lock(&self->lock);
    bool found =
        report->state == MIRROR_REFUSED && report->status == HF_E_CONFLICT;
    pthread_mutex_unlock(&self->lock);
    return found;
}

static void bring_back(struct mirrored *self, size_t i)
{
    enum hf_status status = mirror_join(self, i);
    if (status != HF_OK) {
        mirror_state_set(self, i, MIRROR_AWAY, status);
        return;
    }
    if (!fits(self, i)) {
        mirror_state_set(self, i, MIRROR_REFUSED, HF_E_DENIED);
        return;
    }
    if (!is_refused_for_view(self, i)) {
        mirror_state_set(self, i, MIRROR_STALE, HF_OK);
    }
    pthread_mutex_lock(&self->data_lock);
    HF_IGNORE(mirror_catch_up(self, i), "it is tried again in the next round");
    pthread_mutex_unlock(&self->data_lock);
}

static void look_round(struct mirrored *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (mirror_state_get(self, i) == MIRROR_IN_STEP) {
            probe(self, i);
        } else {
            bring_back(self, i);
        }
    }
}

static void tell(struct mirrored *self)
{
    for (size_t i = 0; i < self->count; i++) {
        pthread_mutex_lock(&self->lock);
        bool changed = self->members[i].to_tell;
        struct mirror_report report = self->members[i].report;
        self->members[i].to_tell = false;
        pthread_mutex_unlock(&self->lock);
        if (changed && self->settings.told != NULL) {
            self->settings.told(self->settings.told_context, i, &report);
        }
    }
}

static bool is_news(const struct mirrored *self)
{
    bool news = self->closing;
    for (size_t i = 0; i < self->count; i++) {
        news = news || self->members[i].to_tell;
    }
    return news;
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

/* Until it is time for the next round; false: closing. */
static bool wait_for_round(struct mirrored *self)
{
    const struct timespec until = after_ms(self->settings.probe_ms);
    int waited = 0;
    bool closing = false;
    while (waited == 0 && !closing) {
        pthread_mutex_lock(&self->lock);
        while (waited == 0 && !is_news(self)) {
            waited = pthread_cond_timedwait(&self->news, &self->lock, &until);
        }
        closing = self->closing;
        pthread_mutex_unlock(&self->lock);
        tell(self);
    }
    return !closing;
}

/* The first round is at once: one that is stale should not stay so. */
void *mirror_keeper(void *argument)
{
    struct mirrored *self = argument;
    do {
        look_round(self);
        tell(self);
    } while (wait_for_round(self));
    return NULL;
}
