#include "hsm/base/mechanisms.h"

size_t token_mechanisms_text(uint32_t mechanisms,
                             const char *names[TOKEN_MECHANISM_MAX])
{
    size_t count = 0;
#define X(bit, name, text)                                                     \
    if ((mechanisms & (uint32_t)TOKEN_MECHANISM_##name) != 0) {                \
        names[count++] = (text);                                               \
    }
    TOKEN_MECHANISM_TABLE(X)
#undef X
    return count;
}
