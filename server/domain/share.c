#include "server/domain/share.h"

#include <stddef.h>

/* FNV-1a */
uint32_t share_of(const char *tenant)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; tenant[i] != '\0'; i++) {
        hash = (hash ^ (unsigned char)tenant[i]) * 16777619u;
    }
    return hash % SHARES;
}

uint32_t share_half(uint32_t whole)
{
    return (whole + 1) / 2;
}
