#include "hsm/tool/doctor/diagnosis.h"

#include "hsm/base/check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 64

static const struct {
    const char *name;
    enum severity severity;
    enum hf_status status;
} rows[FINDING_COUNT] = {
#define X(code_, name_, severity_, status_)                                    \
    [code_] = {.name = (name_),                                                \
               .severity = SEVERITY_##severity_,                               \
               .status = (status_)},
    FINDING_TABLE(X)
#undef X
};

void diagnosis_add(struct diagnosis *diagnosis, enum finding_code code,
                   const char *next, const char *format, ...)
{
    va_list args;
    if (diagnosis->count == FINDINGS_MAX) {
        return;
    }
    struct finding *finding = &diagnosis->findings[diagnosis->count];
    finding->code = code;
    va_start(args, format);
    vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
    snprintf(finding->next, sizeof finding->next, "%s",
             next == NULL ? "" : next);
    diagnosis->count += 1;
}

const char *finding_name(enum finding_code code)
{
    return rows[code].name;
}

enum severity finding_severity(enum finding_code code)
{
    return rows[code].severity;
}

enum hf_status diagnosis_status(const struct diagnosis *diagnosis)
{
    for (size_t i = 0; i < diagnosis->count; i++) {
        enum finding_code code = diagnosis->findings[i].code;
        if (rows[code].severity == SEVERITY_FAULT) {
            return rows[code].status;
        }
    }
    return HF_OK;
}

bool diagnosis_has_fault(const struct diagnosis *diagnosis)
{
    return diagnosis_status(diagnosis) != HF_OK;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t text_distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES) {
        return a_len + b_len;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t before = row[0]; /* of the row above, one to the left */
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = tolower((unsigned char)a[i - 1]) ==
                        tolower((unsigned char)b[j - 1]);
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, before + (same ? 0 : 1));
            before = above;
        }
    }
    return row[b_len];
}
