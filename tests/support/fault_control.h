/* fault_control: writes the rules of the fault shim (tests/fault/shim/rules.h
 * has the language), for this process or for one that a test starts. */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct fault_control {
    char file[300]; /* HF_FAULT_CONTROL */
    char log[310];  /* where rules with log=1 write */
};

/* fault_control_start: sets HF_FAULT_MODULE and HF_FAULT_CONTROL in this
 * process's environment, which its children inherit; no rule yet. Comes before
 * the shim is loaded.
 * Takes     folder, where the files go; real_module, a path. */
HF_STATUS fault_control_start(const char *folder, const char *real_module,
                              struct fault_control *out);

/* fault_control_set: these rules and no others, from the next module call on
 * (newline between rules; written to one side and renamed).
 * fault_control_clear: none; what hangs goes on. */
HF_STATUS fault_control_set(const struct fault_control *control,
                            const char *rules);
HF_STATUS fault_control_clear(const struct fault_control *control);

/* fault_control_logged: how many calls of function (for token, or NULL: any)
 * rules with log=1 have written down; fault_control_forget: starts again. */
size_t fault_control_logged(const struct fault_control *control,
                            const char *token, const char *function);
void fault_control_forget(const struct fault_control *control);

/* fault_control_shim: the path of libhf_fault_shim.so: HF_FAULT_SHIM, else in
 * the build folder named by HF_BUILD. */
const char *fault_control_shim(void);
