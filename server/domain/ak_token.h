/* ak_token: a token that holds availability keys, from its enrolment to its end
 * (R-15.5).
 *
 *   (enrol) --> ENROLLING --CARRIED--> ACTIVE
 *                   |                    |
 *                   +------RETIRE--------+--> RETIRED
 *
 *   ENROLLING  whatever is new is written to it too; what was there before is
 *              being carried over
 *   ACTIVE     it holds a copy of every key, and may serve alone
 *   RETIRED    dead, or disposed of: nothing is written to it, it serves
 *              nobody, and no purge waits for it. Nothing leads back
 *
 * A retirement takes three people: one who asks for it, and two others who
 * agree to the same words.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"

#include <stdbool.h>
#include <stdint.h>

/* Stored: never reuse a number. */
enum ak_token_state {
    AK_TOKEN_ENROLLING = 1,
    AK_TOKEN_ACTIVE = 2,
    AK_TOKEN_RETIRED = 3,
};

enum ak_token_event {
    AK_TOKEN_EV_CARRIED,
    AK_TOKEN_EV_RETIRE,
    AK_TOKEN_EVENT_COUNT,
};

/* ak_token_next: HF_OK with *out_next; HF_E_PRECONDITION with *out_reason. */
HF_STATUS ak_token_next(enum ak_token_state state, enum ak_token_event event,
                        enum ak_token_state *out_next, enum reason *out_reason);
const char *ak_token_state_text(enum ak_token_state state);

#define AK_RETIREMENT_APPROVALS 2u
/* Who says it later than this asks for it anew. */
#define AK_RETIREMENT_WINDOW_MS (7 * 24 * 60 * 60 * 1000LL)

struct ak_retirement_facts {
    enum ak_token_state state;
    bool other_active; /* another token of its kind holds every key */
    bool asked;        /* by somebody, within the window */
    bool same_words;   /* serial and disposal are what was asked for */
    bool is_requester; /* the caller asked for it */
    bool gave_before;  /* the caller approved it */
    uint32_t approvals;
};

enum ak_retirement {
    AK_RETIREMENT_ASK,     /* the caller asks for it, or with other words */
    AK_RETIREMENT_APPROVE, /* one more agrees */
    AK_RETIREMENT_DONE,    /* the last one agrees */
};

/* ak_retirement_decide: what this call comes to.
 *
 * Returns   HF_OK with *out_step; HF_E_PRECONDITION with *out_reason:
 *           STATE_CONFLICT it is retired, or the last one that holds every
 *           key; SECOND_PERSON_REQUIRED the caller asked for it, or approved
 *           it before.
 */
HF_STATUS ak_retirement_decide(const struct ak_retirement_facts *facts,
                               enum ak_retirement *out_step,
                               enum reason *out_reason);
