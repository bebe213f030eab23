#include "hsm/tokend/supervisor.h"

#include "hsm/base/check.h"

#include <stddef.h>

static const struct {
    enum supervisor_state state;
    enum supervisor_event event;
    struct supervisor_step step;
} rules[] = {
  /* from            on event            go to             and do          */
    {SUP_LOCKED,      SUP_EV_PIN,        {SUP_STARTING, SUP_DO_START}     },

    {SUP_PIN_REFUSED, SUP_EV_PIN,        {SUP_STARTING, SUP_DO_START}     },

    {SUP_PAUSED,      SUP_EV_PIN,        {SUP_STARTING, SUP_DO_START}     },
    {SUP_PAUSED,      SUP_EV_PAUSE_OVER, {SUP_STARTING, SUP_DO_START}     },

    {SUP_STARTING,    SUP_EV_OPENED,     {SUP_SERVING, SUP_DO_SERVE}      },
    {SUP_STARTING,    SUP_EV_PIN_BAD,    {SUP_PIN_REFUSED, SUP_DO_NOTHING}},
    {SUP_STARTING,    SUP_EV_FAILED,     {SUP_PAUSED, SUP_DO_PAUSE}       },

    {SUP_SERVING,     SUP_EV_PIN,        {SUP_MOVING, SUP_DO_START}       },
    {SUP_SERVING,     SUP_EV_RENEW,      {SUP_MOVING, SUP_DO_START}       },
    {SUP_SERVING,     SUP_EV_LOST,       {SUP_PAUSED, SUP_DO_PAUSE}       },

    {SUP_MOVING,      SUP_EV_OPENED,     {SUP_SERVING, SUP_DO_SERVE}      },
    {SUP_MOVING,      SUP_EV_PIN_BAD,    {SUP_SERVING, SUP_DO_NOTHING}    },
    {SUP_MOVING,      SUP_EV_FAILED,     {SUP_SERVING, SUP_DO_NOTHING}    },
    {SUP_MOVING,      SUP_EV_LOST,       {SUP_PROVING, SUP_DO_NOTHING}    },

    {SUP_PROVING,     SUP_EV_OPENED,     {SUP_SERVING, SUP_DO_SERVE}      },
    {SUP_PROVING,     SUP_EV_PIN_BAD,    {SUP_PAUSED, SUP_DO_PAUSE}       },
    {SUP_PROVING,     SUP_EV_FAILED,     {SUP_PAUSED, SUP_DO_PAUSE}       },
};

struct supervisor_step supervisor_step(enum supervisor_state state,
                                       enum supervisor_event event)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].state == state && rules[i].event == event) {
            return rules[i].step;
        }
    }
    return (struct supervisor_step){state, SUP_DO_NOTHING};
}

long supervisor_pause_ms(unsigned failures)
{
    if (failures == 0) {
        return 0;
    }
    long pause_ms = SUP_PAUSE_MIN_MS;
    for (unsigned i = 1; i < failures && pause_ms < SUP_PAUSE_MAX_MS; i++) {
        pause_ms *= 2;
    }
    return pause_ms < SUP_PAUSE_MAX_MS ? pause_ms : SUP_PAUSE_MAX_MS;
}
