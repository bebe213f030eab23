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

#include <stdbool.h>
#include <stdint.h>

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

/* Renewal: C_Finalize and C_Initialize, with every user told in between.
 *
 * Some modules go on seeing what they once failed to read as deleted, until
 * they are initialised again (SoftHSM, after descriptors ran out: facts.md).
 * Handles start from the beginning then, so an old one may name another thing:
 * every user must drop all it has, and nobody may be inside meanwhile. Hence
 * the gate: calls are made between enter and leave, never nested.
 *
 * p11_module_join:  one who can be told. reset is called with nobody inside and
 *                   must not call the module.
 * p11_module_part:  no longer; not while inside.
 * p11_module_renew: not while inside. p11_module_age_ms: since it was
 *                   initialised; p11_module_stale: counts as old from now on.
 *
 * Returns   HF_OK; HF_E_UNREACHABLE, and nothing has happened, when somebody is
 *           inside for too long (a call that hangs), when the module is used by
 *           somebody who has not joined or was initialised by others, or was
 *           renewed just now; or when it does not initialise again.
 * Blocks    20 ms and what the module takes.
 */
struct p11_module_user {
    void (*reset)(void *self);
    void *self;
    struct p11_module_user *next;
};
void p11_module_join(struct p11_module *module, struct p11_module_user *user);
void p11_module_part(struct p11_module *module, struct p11_module_user *user);
void p11_module_enter(struct p11_module *module);
void p11_module_leave(struct p11_module *module);
HF_STATUS p11_module_renew(struct p11_module *module);
int64_t p11_module_age_ms(struct p11_module *module);
void p11_module_stale(struct p11_module *module);
/* p11_module_down: a renewal has finalised it and could not initialise it;
 * p11_module_renew tries again. */
bool p11_module_down(struct p11_module *module);

/* p11_module_look_anew: a renewal for the sake of a token that is in no slot:
 * some modules look for tokens only when they are initialised (SoftHSM). Not
 * while inside. Everybody's objects die with it, so it happens after 2 s at the
 * earliest, then after pauses that double up to 5 minutes, until
 * p11_module_found says that a token was away and is back.
 * Returns   HF_OK: renewed, search again; HF_E_UNREACHABLE: not now. */
HF_STATUS p11_module_look_anew(struct p11_module *module);
void p11_module_found(struct p11_module *module);

/* p11_module_calls: the module's functions; valid until the release. */
CK_FUNCTION_LIST *p11_module_calls(const struct p11_module *module);
const char *p11_module_path(const struct p11_module *module);
