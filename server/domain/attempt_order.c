#include "server/domain/attempt_order.h"

size_t first_attempt_slot(uint8_t random)
{
    return random & 1u;
}
