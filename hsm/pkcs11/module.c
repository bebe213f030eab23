#include "hsm/pkcs11/module.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_MAX 16

struct p11_module {
    char path[PATH_MAX];
    void *library;
    CK_FUNCTION_LIST *calls;
    /* held while the module initialises or finalises: two openers of one module
     * must not both do it, and those of another module do not wait */
    pthread_mutex_t lock;
    size_t users;
    bool initialised_by_us;
};

/* C_Initialize is per process, so this list is too. Entries are never
 * removed. */
static struct {
    pthread_mutex_t lock;
    struct p11_module *modules[MODULES_MAX];
    size_t count;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct p11_module *find_loaded(const char *path)
{
    for (size_t i = 0; i < registry.count; i++) {
        if (strcmp(registry.modules[i]->path, path) == 0) {
            return registry.modules[i];
        }
    }
    return NULL;
}

static HF_STATUS load_functions(struct p11_module *module)
{
    /* RTLD_LOCAL: two vendors' modules may well export the same names */
    module->library = dlopen(module->path, RTLD_NOW | RTLD_LOCAL);
    if (module->library == NULL) {
        return HF_E_UNREACHABLE;
    }
    void *symbol = dlsym(module->library, "C_GetFunctionList");
    if (symbol == NULL) {
        return HF_E_UNREACHABLE;
    }
    CK_C_GetFunctionList get_list = NULL;
    memcpy(&get_list, &symbol, sizeof get_list); /* object to function */
    if (get_list(&module->calls) != CKR_OK || module->calls == NULL ||
        module->calls->version.major < 2) {
        return HF_E_UNREACHABLE;
    }
    return HF_OK;
}

static HF_STATUS load(const char *path, struct p11_module **out_module)
{
    if (registry.count == MODULES_MAX) {
        return HF_E_LIMIT;
    }
    struct p11_module *module = calloc(1, sizeof *module);
    if (module == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = text_copy(module->path, sizeof module->path, path);
    if (status == HF_OK) {
        status = load_functions(module);
    }
    if (status != HF_OK) {
        if (module->library != NULL) {
            dlclose(module->library);
        }
        free(module);
        return status;
    }
    pthread_mutex_init(&module->lock, NULL);
    registry.modules[registry.count++] = module;
    *out_module = module;
    return HF_OK;
}

static HF_STATUS initialise(struct p11_module *module, CK_RV *out_rv)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = module->calls->C_Initialize(&args);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        /* another library in this process uses it too (a TLS key in a token):
         * then it is not ours to finalise */
        module->initialised_by_us = false;
        return HF_OK;
    }
    if (rv != CKR_OK) {
        *out_rv = rv;
        return HF_E_UNREACHABLE;
    }
    module->initialised_by_us = true;
    return HF_OK;
}

static HF_STATUS find_or_load(const char *path, struct p11_module **out_module)
{
    struct p11_module *module = find_loaded(path);
    if (module == NULL) {
        HF_TRY(load(path, &module));
    }
    *out_module = module;
    return HF_OK;
}

HF_STATUS p11_module_open(const char *path, struct p11_module **out_module,
                          CK_RV *out_rv)
{
    *out_rv = CKR_OK;
    char resolved[PATH_MAX] = "";
    /* one file, one entry, whatever name it is called by */
    if (path == NULL || realpath(path, resolved) == NULL) {
        return HF_E_UNREACHABLE;
    }
    struct p11_module *module = NULL;
    pthread_mutex_lock(&registry.lock);
    enum hf_status status = find_or_load(resolved, &module);
    pthread_mutex_unlock(&registry.lock);
    HF_TRY(status);

    pthread_mutex_lock(&module->lock);
    if (module->users == 0) {
        status = initialise(module, out_rv);
    }
    if (status == HF_OK) {
        module->users += 1;
        *out_module = module;
    }
    pthread_mutex_unlock(&module->lock);
    return status;
}

struct p11_module *p11_module_share(struct p11_module *module)
{
    pthread_mutex_lock(&module->lock);
    CHECK(module->users > 0);
    module->users += 1;
    pthread_mutex_unlock(&module->lock);
    return module;
}

void p11_module_release(struct p11_module *module)
{
    if (module == NULL) {
        return;
    }
    pthread_mutex_lock(&module->lock);
    CHECK(module->users > 0);
    module->users -= 1;
    if (module->users == 0 && module->initialised_by_us) {
        /* nothing can be done about a module that fails to end */
        CK_RV rv = module->calls->C_Finalize(NULL);
        (void)rv;
    }
    pthread_mutex_unlock(&module->lock);
}

void p11_module_releasep(struct p11_module **module)
{
    p11_module_release(*module);
    *module = NULL;
}

CK_FUNCTION_LIST *p11_module_calls(const struct p11_module *module)
{
    return module->calls;
}

const char *p11_module_path(const struct p11_module *module)
{
    return module->path;
}
