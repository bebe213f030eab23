#include "server/domain/outage.h"

bool fallback_limit_is_valid(int64_t limit_ms)
{
    return limit_ms == 0 || (limit_ms >= FALLBACK_LIMIT_MIN_MS &&
                             limit_ms <= FALLBACK_LIMIT_MAX_MS);
}

int64_t outage_lasts_ms(const struct outage *outage, int64_t now_ms)
{
    return outage->since_ms != 0 && now_ms > outage->since_ms
               ? now_ms - outage->since_ms
               : 0;
}

bool outage_limit_reached(int64_t lasts_ms, int64_t limit_ms)
{
    return limit_ms != 0 && lasts_ms >= limit_ms;
}

enum notice_event outage_due(const struct outage *outage, bool over,
                             int64_t limit_ms, int64_t now_ms)
{
    if (outage->since_ms == 0) {
        return NOTICE_NONE;
    }
    if (over) {
        return NOTICE_ENDED;
    }
    if (limit_ms != outage->told_limit_ms &&
        outage_limit_reached(outage_lasts_ms(outage, now_ms), limit_ms)) {
        return NOTICE_LIMIT_REACHED;
    }
    return outage->used_ms > outage->told_ms &&
                   now_ms - outage->told_ms >= NOTICE_EVERY_MS
               ? NOTICE_GOES_ON
               : NOTICE_NONE;
}

void outage_told(struct outage *outage, enum notice_event event,
                 int64_t limit_ms, int64_t now_ms)
{
    switch (event) {
    case NOTICE_NONE:
        return;
    case NOTICE_BEGAN:
        *outage = (struct outage){.since_ms = now_ms, .used_ms = now_ms};
        break;
    case NOTICE_GOES_ON:
        break;
    case NOTICE_LIMIT_REACHED:
        outage->told_limit_ms = limit_ms;
        break;
    case NOTICE_ENDED:
        *outage = (struct outage){.since_ms = 0};
        return;
    }
    outage->told_ms = now_ms;
}

const char *notice_event_text(enum notice_event event)
{
    switch (event) {
    case NOTICE_NONE:
        return "NONE";
    case NOTICE_BEGAN:
        return "BEGAN";
    case NOTICE_GOES_ON:
        return "GOES_ON";
    case NOTICE_LIMIT_REACHED:
        return "LIMIT_REACHED";
    case NOTICE_ENDED:
        return "ENDED";
    }
    return "?";
}
