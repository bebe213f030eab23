#include "hsm/base/status.h"

struct row {
    enum hf_class class;
    const char *text;
    const char *name;
};

static const struct row rows[] = {
#define X(code, class_, text) [code] = {HF_CLASS_##class_, text, #code},
    HF_STATUS_TABLE(X)
#undef X
};

static const struct row *row_of(enum hf_status status)
{
    if ((unsigned)status >= HF_STATUS_COUNT) {
        return &rows[HF_E_INTERNAL];
    }
    return &rows[status];
}

enum hf_class hf_status_class(enum hf_status status)
{
    return row_of(status)->class;
}

const char *hf_status_text(enum hf_status status)
{
    return row_of(status)->text;
}

const char *hf_status_name(enum hf_status status)
{
    return row_of(status)->name;
}
