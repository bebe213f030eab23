#include "server/domain/reason.h"

struct row {
    const char *word;
    enum answer_code code;
};

static const struct row rows[] = {
#define X(word, code) [REASON_##word] = {#word, ANSWER_##code},
    REASON_TABLE(X)
#undef X
};

/* A number that is no reason can only come from a bug of ours. */
static const struct row *row_of(enum reason reason)
{
    if ((unsigned)reason >= REASON_COUNT) {
        return &rows[REASON_INTERNAL];
    }
    return &rows[reason];
}

const char *reason_word(enum reason reason)
{
    return row_of(reason)->word;
}

enum answer_code reason_code(enum reason reason)
{
    return row_of(reason)->code;
}
