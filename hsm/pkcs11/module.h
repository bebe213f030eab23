/* module: PKCS#11 modules, each loaded and initialised once per process.
 *
 * Any number of users share one module; the last release finalises it. A
 * module stays mapped until the process ends: unmapping one whose threads or
 * exit handlers still run has crashed more programs than it has saved memory.
 *
 * The list of modules is the one thing here that is shared by the whole
 * process, because PKCS#11 itself says so: C_Initialize is per process.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "hsm/pkcs11/cryptoki.h"

struct p11_module;

/* p11_module_open: loads and initialises, or joins those who did.
 *
 * Gives     *out_module, released with p11_module_release; *out_rv the
 *           module's own code when C_Initialize failed, else 0.
 * Returns   HF_OK; HF_E_UNREACHABLE when it cannot be loaded, is not a
 *           PKCS#11 module or does not initialise; HF_E_NO_MEMORY;
 *           HF_E_LIMIT when too many different modules are open.
 * Blocks    as long as the module does.
 * Threads   safe from any thread.
 */
HF_STATUS p11_module_open(const char *path, struct p11_module **out_module,
                          CK_RV *out_rv);

/* p11_module_share: one more user of a module that is open. */
struct p11_module *p11_module_share(struct p11_module *module);

/* p11_module_release: the last one finalises the module (unless somebody else
 * in this process had initialised it first). Must not be called while a thread
 * of the releasing user is inside the module. NULL-safe. */
void p11_module_release(struct p11_module *module);
void p11_module_releasep(struct p11_module **module);

/* p11_module_calls: the module's functions; valid until the release. */
CK_FUNCTION_LIST *p11_module_calls(const struct p11_module *module);
const char *p11_module_path(const struct p11_module *module);
