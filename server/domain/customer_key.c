#include "server/domain/customer_key.h"

/* a is later than b by more than the leeway of. */
static bool is_after(int64_t a_ms, int64_t b_ms)
{
    return a_ms > b_ms &&
           (uint64_t)a_ms - (uint64_t)b_ms > CUSTOMER_KEY_CLOCK_LEEWAY_MS;
}

static bool is_in_its_time(const struct customer_key_facts *facts)
{
    bool begun = !is_after(facts->not_before_ms, facts->now_ms);
    bool over =
        facts->expires_ms != 0 && is_after(facts->now_ms, facts->expires_ms);
    return begun && !over;
}

static uint32_t permission_for(enum customer_key_use use)
{
    switch (use) {
    case KEY_USE_GET:
        return PERMISSION_GET;
    case KEY_USE_WRAP:
        return PERMISSION_WRAP;
    case KEY_USE_UNWRAP:
        return PERMISSION_UNWRAP;
    }
    return 0; /* nobody holds it */
}

struct customer_key_verdict
customer_key_decide(const struct customer_key_facts *facts,
                    enum customer_key_use use)
{
    uint32_t needed = permission_for(use);
    bool granted = (facts->granted & needed) != 0;
    bool in_time = is_in_its_time(facts);
    struct customer_key_verdict verdict = {
        .never_held = !granted && (facts->ever_held & needed) == 0,
        /* what was wrapped must stay readable: disabled,
         * deleted and not granted stop everything */
        .allowed = !facts->deleted && facts->enabled && granted &&
                   (in_time || use != KEY_USE_WRAP),
    };
    verdict.warn = verdict.allowed && !in_time;
    return verdict;
}

enum caller_gate caller_gate_of(const struct customer_key_verdict verdicts[2])
{
    if (verdicts[0].allowed || verdicts[1].allowed) {
        return GATE_OPEN;
    }
    return verdicts[0].never_held && verdicts[1].never_held ? GATE_STRANGER
                                                            : GATE_WITHDRAWN;
}
