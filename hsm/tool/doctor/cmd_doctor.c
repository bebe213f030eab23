/* token doctor. */
#include "hsm/base/check.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/doctor/diagnosis.h"
#include "hsm/tool/output.h"

#include <stdlib.h>

static const char *severity_text(enum severity severity)
{
    switch (severity) {
    case SEVERITY_NOTE:
        return "note";
    case SEVERITY_WARNING:
        return "warning";
    case SEVERITY_FAULT:
        return "fault";
    }
    return "?";
}

static json_t *findings(const struct diagnosis *diagnosis)
{
    json_t *list = json_array();
    for (size_t i = 0; i < diagnosis->count; i++) {
        const struct finding *at = &diagnosis->findings[i];
        if (json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:o, s:o}", "severity",
                          severity_text(finding_severity(at->code)), "code",
                          finding_name(at->code), "text", output_text(at->text),
                          "next", output_text(at->next))) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static enum hf_status tell(struct tool *tool, const struct diagnosis *diagnosis)
{
    static const struct output_column columns[] = {
        {"severity", "SEVERITY"    },
        {"code",     "CODE"        },
        {"text",     "WHAT IS SO"  },
        {"next",     "NEXT TO TYPE"},
    };
    return output_list(tool,
                       json_pack("{s:b, s:o}", "healthy",
                                 (int)!diagnosis_has_fault(diagnosis),
                                 "findings", findings(diagnosis)),
                       "findings", columns, HF_COUNT(columns));
}

HF_STATUS cmd_token_doctor(struct tool *tool)
{
    struct diagnosis *diagnosis = calloc(1, sizeof *diagnosis);
    if (diagnosis == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    doctor_host(tool, diagnosis);
    if (!diagnosis_has_fault(diagnosis)) {
        doctor_token(tool, diagnosis);
    }
    enum hf_status status = tell(tool, diagnosis);
    if (status == HF_OK && diagnosis_has_fault(diagnosis)) {
        status = tool_fail(tool, diagnosis_status(diagnosis),
                           "the token cannot be used as it is");
    }
    free(diagnosis);
    return status;
}
