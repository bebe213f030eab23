/* mirrored: two or more tokens that hold the same record MAC key, as one
 * . What one of them can do alone (MAC, SIGN, FIND) is done by the
 * first that answers, else by the next: a token that goes away fails no call.
 * Data objects (the epoch, R-15.22) are written to every one that is in step.
 *
 *   away --(answers, same MAC key)--> stale --(brought up to date)--> in step
 *    ^                                  |                               |
 *    +------------(does not answer)-----+-------------------------------+
 *
 *   refused: it answers and holds another MAC key: asked for nothing
 *
 * Why an old token never makes an old store look right. One rule of is
 * that a store which agrees with the token's epoch is accepted. A mirror that
 * was away while the others went on still holds an epoch of then; a store of
 * then, put back, would agree with it. So each token holds, beside the epoch, a
 * *view* (mirror_view.h): which tokens hold all that was acknowledged.
 *
 *   (1) An epoch that was acknowledged is in every member of the newest view,
 *       for before the acknowledgement a member that did not take it is left
 *       out by a new view, durable in every member that stays.
 *   (2) A view that takes a token in is written to all members of the one
 *       before, and then to the newcomer, which has been given every epoch.
 *   (3) At the start every member of the newest view that is seen must be
 *       there. A later view would have been written to at least one of them:
 *       one that leaves some out, to all that stay; one that takes one in, to
 *       all. So there is no later one, and by (1) they know the newest epoch.
 *
 * Hence, of two mirrors in step, one alone does not start a service: the other
 * may have gone on without it. One that was left alone while it ran does, for
 * it says so. A token that is lost for ever while nothing ran is taken out of
 * the view by the operator's order (holdfast-hsm service forget-mirror).
 * A token whose view contradicts another's of the same number is refused.
 *
 * When all are away each call is answered as the last of them answered it.
 *
 * What it does not do: GENERATE, DESTROY, UNWRAP, DECRYPT, MINT, SEAL, OPEN and
 * FORGET are HF_E_UNSUPPORTED: a mirrored token holds no key of that kind.
 */
#pragma once

#include "hsm/token/mirror_view.h"
#include "hsm/token/token.h"

enum mirror_state {
    MIRROR_AWAY,
    MIRROR_STALE,
    MIRROR_IN_STEP,
    MIRROR_REFUSED,
};
const char *mirror_state_word(enum mirror_state state);

struct mirror_report {
    struct mirror_name name; /* empty: it was never there */
    enum mirror_state state;
    enum hf_status status; /* what it answered when it went away */
};

/* Told of each change, with the member's place in the settings. On a thread of
 * the mirrored token; may not call it. */
typedef void mirror_told_fn(void *context, size_t member,
                            const struct mirror_report *report);

struct mirrored_settings {
    struct token *members; /* count of them, from 2 to MIRRORS_MAX; taken */
    size_t count;
    const char *mac_key_id;  /* the MAC key they share, by CKA_ID */
    const char *sign_key_id; /* each has its own; "": none */
    const char *data_label;  /* of the data objects they share */
    int64_t probe_ms;        /* between looks at each; 0: 1000 */
    int64_t attempt_ms;      /* of these; 0: HF_TOKEN_ROOT_DEADLINE_MS */
    mirror_told_fn *told;    /* NULL: nobody */
    void *told_context;
};

struct mirrored_problem {
    char text[512]; /* for the operator: what is not as it must be */
};

/* mirrored_new: looks at each member once; those that are away may come later
 * (late.h).
 *
 * Takes     the members, whatever comes of it: they are closed with the token,
 *           or on failure.
 * Returns   HF_OK; HF_E_PRECONDITION a member of the newest view is not there
 *           (3), or none has a view; HF_E_CONFLICT views contradict each other;
 *           HF_E_UNREACHABLE and the like: no member answers; HF_E_NO_MEMORY;
 *           HF_E_RESOURCES. *out_problem says more.
 * Blocks    for some attempts at each member.
 */
HF_STATUS mirrored_new(const struct mirrored_settings *settings,
                       struct token *out_token,
                       struct mirrored_problem *out_problem);

/* mirrored_reports: of each member, as of now. Only for a token of
 * mirrored_new; out has room for MIRRORS_MAX. */
size_t mirrored_reports(const struct token *token, struct mirror_report *out);
/* mirrored_member: one of them, for what its adapter offers beside the port;
 * only to be looked at. */
const struct token *mirrored_member(const struct token *token, size_t i);
bool token_is_mirrored(const struct token *token);
