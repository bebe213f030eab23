/* Data objects in all members that are in step, and the view of who is. */
#include "hsm/base/check.h"

#include "hsm/token/mirrored_inside.h"

#include <stdlib.h>
#include <string.h>

/* The epoch's bound, and a view's, with room. */
#define ITEMS_MAX 128

struct items {
    struct token_data at[ITEMS_MAX];
    size_t count;
};

static bool data_equal(const struct token_data *a, const struct token_data *b)
{
    return bytes_equal((struct bytes){a->value, a->value_len},
                       (struct bytes){b->value, b->value_len});
}

static bool items_have(const struct items *items, const struct token_data *data)
{
    bool found = false;
    for (size_t i = 0; i < items->count && !found; i++) {
        found = data_equal(&items->at[i], data);
    }
    return found;
}

static enum hf_status ask(struct mirrored *self, size_t i,
                          const struct token_request *how)
{
    struct token_request request = *how;
    if (request.attempt_ms == 0) {
        request.attempt_ms = self->settings.attempt_ms;
    }
    enum hf_status status = token_call(&self->members[i].token, &request);
    if (status != HF_OK) {
        mirror_state_set(self, i, MIRROR_AWAY, status);
    }
    return status;
}

/* --- the view ------------------------------------------------------------- */

static struct mirror_view view_over(struct mirrored *self, unsigned members)
{
    struct mirror_view view = {.number = ++self->view_number};
    for (size_t i = 0; i < self->count; i++) {
        if ((members & MEMBER(i)) != 0) {
            view.members[view.count++] = self->members[i].report.name;
        }
    }
    return view;
}

/* Which of them took it. */
static unsigned write_view(struct mirrored *self,
                           const struct mirror_view *view, unsigned members,
                           enum hf_status *out_status)
{
    unsigned took = 0;
    for (size_t i = 0; i < self->count; i++) {
        if ((members & MEMBER(i)) == 0) {
            continue;
        }
        enum hf_status status = mirror_view_write(
            &self->members[i].token, self->settings.attempt_ms, view);
        if (status == HF_OK) {
            took |= MEMBER(i);
        } else {
            *out_status = status;
            mirror_state_set(self, i, MIRROR_AWAY, status);
        }
    }
    return took;
}

/* Rules (1) and (2) of the header: a view counts when all its members hold it;
 * those that do not take it are left out by the next. The newcomer is last. */
static HF_STATUS set_view(struct mirrored *self, unsigned members,
                          unsigned newcomer)
{
    enum hf_status status = HF_E_UNREACHABLE;
    self->view_settled = false;
    while (members != 0) {
        const struct mirror_view view = view_over(self, members);
        unsigned stay = members & ~newcomer;
        unsigned took = write_view(self, &view, stay, &status);
        if (took == stay) {
            took |= write_view(self, &view, members & newcomer, &status);
        }
        if (took == members) {
            self->view = view;
            self->in_view = members;
            self->view_settled = true;
            return HF_OK;
        }
        members = took;
    }
    return status;
}

/* --- what the port is asked ----------------------------------------------- */

static unsigned write_to(struct mirrored *self, unsigned members,
                         const struct token_request *request,
                         enum hf_status *out_status)
{
    unsigned took = 0;
    for (size_t i = 0; i < self->count; i++) {
        if ((members & MEMBER(i)) == 0) {
            continue;
        }
        enum hf_status status = ask(self, i, request);
        took |= status == HF_OK ? MEMBER(i) : 0;
        *out_status = status != HF_OK ? status : *out_status;
    }
    return took;
}

/* HF_OK: durable in every member of the view, which leaves out those that did
 * not take it. */
static enum hf_status write_all(struct mirrored *self,
                                const struct token_request *request)
{
    enum hf_status status = HF_E_UNREACHABLE;
    unsigned there = self->in_view & mirror_answering(self);
    unsigned took = write_to(self, there, request, &status);
    if (took == 0) { /* that they are away may be no longer true */
        took = write_to(self, self->in_view & ~there, request, &status);
    }
    if (took == 0) {
        return status;
    }
    return took == self->in_view && self->view_settled
               ? HF_OK
               : set_view(self, took, 0);
}

static HF_STATUS list_one(struct mirrored *self, size_t i, const char *label,
                          struct items *into)
{
    struct items *found = calloc(1, sizeof *found);
    struct token_request request = {.op = TOKEN_OP_DATA_LIST};
    if (found == NULL) {
        return HF_E_NO_MEMORY;
    }
    request.u.data_list.items = found->at;
    request.u.data_list.cap = ITEMS_MAX;
    request.attempt_ms = self->settings.attempt_ms;
    enum hf_status status = text_copy(request.u.data_list.label,
                                      sizeof request.u.data_list.label, label);
    if (status == HF_OK) {
        status = token_call(&self->members[i].token, &request);
    }
    for (size_t j = 0; status == HF_OK && j < request.u.data_list.count; j++) {
        if (items_have(into, &found->at[j])) {
            continue;
        }
        if (into->count == ITEMS_MAX) {
            status = HF_E_LIMIT;
        } else {
            into->at[into->count++] = found->at[j];
        }
    }
    free(found);
    if (status != HF_OK && status != HF_E_LIMIT) {
        mirror_state_set(self, i, MIRROR_AWAY, status);
    }
    return status;
}

/* Over all that answer: HF_OK when at least one does. */
static HF_STATUS list_over(struct mirrored *self, unsigned members,
                           const char *label, struct items *into)
{
    enum hf_status answer = HF_E_UNREACHABLE;
    for (size_t i = 0; i < self->count; i++) {
        if ((members & MEMBER(i)) == 0) {
            continue;
        }
        enum hf_status status = list_one(self, i, label, into);
        if (status == HF_E_LIMIT) {
            return status;
        }
        answer = answer == HF_OK ? HF_OK : status;
    }
    return answer;
}

static HF_STATUS list_all(struct mirrored *self, struct token_data_list *list,
                          struct items *items)
{
    unsigned there = self->in_view & mirror_answering(self);
    enum hf_status status = list_over(self, there, list->label, items);
    if (status != HF_OK && status != HF_E_LIMIT) {
        status = list_over(self, self->in_view & ~there, list->label, items);
    }
    HF_TRY(status);
    if (items->count > list->cap) {
        return HF_E_LIMIT;
    }
    memcpy(list->items, items->at, items->count * sizeof items->at[0]);
    list->count = items->count;
    return HF_OK;
}

enum hf_status mirror_data(struct mirrored *self, struct token_request *request)
{
    if (request->op != TOKEN_OP_DATA_LIST) {
        return write_all(self, request);
    }
    struct items *items = calloc(1, sizeof *items);
    if (items == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = list_all(self, &request->u.data_list, items);
    free(items);
    return status;
}

/* --- one that comes back -------------------------------------------------- */

static HF_STATUS make_same(struct mirrored *self, size_t i,
                           struct items *wanted, struct items *held)
{
    struct token_request request = {.op = TOKEN_OP_DATA_CREATE};
    for (size_t j = 0; j < wanted->count; j++) {
        request.u.data = &wanted->at[j];
        if (!items_have(held, &wanted->at[j])) {
            HF_TRY(ask(self, i, &request));
        }
    }
    request.op = TOKEN_OP_DATA_DESTROY;
    for (size_t j = 0; j < held->count; j++) {
        request.u.data = &held->at[j];
        if (!items_have(wanted, &held->at[j])) {
            HF_TRY(ask(self, i, &request));
        }
    }
    return HF_OK;
}

/* One that was left out went on by itself: who is right, people say. */
static bool went_on(const struct mirrored *self, const struct mirror_view *view)
{
    return view->number > self->view_number ||
           (self->view_settled && view->number == self->view_number &&
            !mirror_view_equal(view, &self->view));
}

/* One in the view may hold what the others have not been given yet; what one
 * that is not holds beyond theirs is what they have taken away. One whose own
 * view is another than it was given is not the token that it was. */
static HF_STATUS fill_up(struct mirrored *self, size_t i, struct items *wanted,
                         struct items *held)
{
    const char *label = self->settings.data_label;
    unsigned others = self->in_view & mirror_answering(self) & ~MEMBER(i);
    struct mirror_view view;
    HF_TRY(mirror_view_read(&self->members[i].token, self->settings.attempt_ms,
                            &view));
    bool same = self->view_settled && mirror_view_equal(&view, &self->view);
    bool in_view = (self->in_view & MEMBER(i)) != 0;
    if (!in_view && went_on(self, &view)) {
        mirror_state_set(self, i, MIRROR_REFUSED, HF_E_CONFLICT);
        return HF_E_CONFLICT;
    }
    bool trusted = in_view && (same || !self->view_settled);
    unsigned sources = trusted ? others | MEMBER(i) : others;
    HF_TRY(list_one(self, i, label, held));
    HF_TRY(list_over(self, sources, label, wanted));
    HF_TRY(make_same(self, i, wanted, held));
    return in_view && same ? HF_OK
                           : set_view(self, others | MEMBER(i), MEMBER(i));
}

HF_STATUS mirror_catch_up(struct mirrored *self, size_t i)
{
    struct items *wanted = calloc(1, sizeof *wanted);
    struct items *held = calloc(1, sizeof *held);
    enum hf_status status = wanted == NULL || held == NULL
                                ? HF_E_NO_MEMORY
                                : fill_up(self, i, wanted, held);
    free(wanted);
    free(held);
    HF_TRY(status);
    if ((self->in_view & MEMBER(i)) == 0) {
        return HF_E_UNREACHABLE; /* it did not take the view */
    }
    mirror_state_set(self, i, MIRROR_IN_STEP, HF_OK);
    return HF_OK;
}
