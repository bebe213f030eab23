/* operation_steps: which step belongs to which kind of operation. */
#pragma once

#include "server/service/operations.h"

operation_step_fn *operation_step_of(enum operation_kind kind);
