/* dry: the answer of a command that was only to say what it would do. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

/* dry_answer: {"dry_run": true, "would": would}. As output_object. */
HF_STATUS dry_answer(struct tool *tool, const char *would);
