#include "hsm/tool/dry.h"

#include "hsm/tool/output.h"

HF_STATUS dry_answer(struct tool *tool, const char *would)
{
    return output_object(tool,
                         json_pack("{s:b, s:s}", "dry_run", 1, "would", would),
                         "Nothing was changed.");
}
