#include "hsm/pkcs11/module.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULES_MAX 16

/* How long a renewal waits for those inside to come out, and keeps new ones
 * from going in: longer than any sound operation but an RSA key generation. */
#define RENEW_WAIT_MS 20
/* A module is not renewed again before this: whoever holds objects pays. */
#define RENEW_PAUSE_MS 2000
/* A token that stays away must not cost the others their objects for ever. */
#define LOOK_PAUSE_MAX_MS 300000

struct p11_module {
    char path[PATH_MAX];
    void *library;
    CK_FUNCTION_LIST *calls;
    /* held while the module initialises or finalises: two openers of one module
     * must not both do it, and those of another module do not wait */
    pthread_mutex_t lock;
    size_t users;
    bool initialised_by_us;
    struct p11_module_user *joined;
    int64_t initialised_ms;
    int64_t looked_ms;     /* last renewal for a token that was away */
    int64_t look_pause_ms; /* before the next */
    atomic_bool down;      /* finalised by a renewal that went wrong */
    pthread_rwlock_t gate; /* read: inside the module; write: renewing it */
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
    *(void **)&get_list = symbol; /* object to function, as POSIX has it */
    if (get_list(&module->calls) != CKR_OK || module->calls == NULL ||
        module->calls->version.major < 2) {
        return HF_E_UNREACHABLE;
    }
    return HF_OK;
}

/* A writer must not wait for ever behind readers that come and go. */
static void gate_init(pthread_rwlock_t *gate)
{
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(gate, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
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
    module->look_pause_ms = RENEW_PAUSE_MS;
    pthread_mutex_init(&module->lock, NULL);
    gate_init(&module->gate);
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
    module->initialised_ms = clock_monotonic_ms(clock_system());
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
    bool up = module->initialised_by_us && !atomic_load(&module->down);
    if (module->users == 0) {
        atomic_store(&module->down, false);
    }
    if (module->users == 0 && up) {
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

void p11_module_join(struct p11_module *module, struct p11_module_user *user)
{
    pthread_mutex_lock(&module->lock);
    user->next = module->joined;
    module->joined = user;
    pthread_mutex_unlock(&module->lock);
}

void p11_module_part(struct p11_module *module, struct p11_module_user *user)
{
    CHECK(user != NULL);
    pthread_mutex_lock(&module->lock);
    struct p11_module_user **at = &module->joined;
    while (*at != NULL && *at != user) {
        at = &(*at)->next;
    }
    if (*at == user) {
        *at = user->next;
    }
    pthread_mutex_unlock(&module->lock);
}

void p11_module_enter(struct p11_module *module)
{
    pthread_rwlock_rdlock(&module->gate);
}

void p11_module_leave(struct p11_module *module)
{
    pthread_rwlock_unlock(&module->gate);
}

int64_t p11_module_age_ms(struct p11_module *module)
{
    pthread_mutex_lock(&module->lock);
    int64_t since_ms = module->initialised_ms;
    pthread_mutex_unlock(&module->lock);
    return clock_monotonic_ms(clock_system()) - since_ms;
}

bool p11_module_down(struct p11_module *module)
{
    return atomic_load_explicit(&module->down, memory_order_relaxed);
}

void p11_module_stale(struct p11_module *module)
{
    pthread_mutex_lock(&module->lock);
    int64_t old_ms = clock_monotonic_ms(clock_system()) - RENEW_PAUSE_MS - 1;
    if (module->initialised_ms > old_ms) {
        module->initialised_ms = old_ms;
    }
    pthread_mutex_unlock(&module->lock);
}

/* Under module->lock. */
static bool can_renew(const struct p11_module *module)
{
    size_t joined = 0;
    for (const struct p11_module_user *user = module->joined; user != NULL;
         user = user->next) {
        joined += 1;
    }
    int64_t now_ms = clock_monotonic_ms(clock_system());
    return module->initialised_by_us && joined == module->users &&
           (atomic_load(&module->down) ||
            now_ms - module->initialised_ms >= RENEW_PAUSE_MS);
}

/* Under module->lock, and alone in the module. */
static HF_STATUS renew_alone(struct p11_module *module)
{
    for (struct p11_module_user *user = module->joined; user != NULL;
         user = user->next) {
        user->reset(user->self);
    }
    CK_RV rv = module->calls->C_Finalize(NULL);
    (void)rv; /* C_Initialize tells whether it worked */
    enum hf_status status = initialise(module, &rv);
    atomic_store(&module->down, status != HF_OK);
    return status;
}

static bool shut_gate(struct p11_module *module)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += RENEW_WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec += 1;
        until.tv_nsec -= 1000000000L;
    }
    return pthread_rwlock_clockwrlock(&module->gate, CLOCK_MONOTONIC, &until) ==
           0;
}

HF_STATUS p11_module_renew(struct p11_module *module)
{
    enum hf_status status = HF_E_UNREACHABLE;
    pthread_mutex_lock(&module->lock);
    if (can_renew(module) && shut_gate(module)) {
        status = renew_alone(module);
        pthread_rwlock_unlock(&module->gate);
    }
    pthread_mutex_unlock(&module->lock);
    return status;
}

HF_STATUS p11_module_look_anew(struct p11_module *module)
{
    enum hf_status status = HF_E_UNREACHABLE;
    pthread_mutex_lock(&module->lock);
    int64_t now_ms = clock_monotonic_ms(clock_system());
    bool due = now_ms - module->looked_ms >= module->look_pause_ms;
    if (due && can_renew(module) && shut_gate(module)) {
        status = renew_alone(module);
        pthread_rwlock_unlock(&module->gate);
        module->looked_ms = now_ms;
        module->look_pause_ms = module->look_pause_ms > LOOK_PAUSE_MAX_MS / 2
                                    ? LOOK_PAUSE_MAX_MS
                                    : 2 * module->look_pause_ms;
    }
    pthread_mutex_unlock(&module->lock);
    return status;
}

void p11_module_found(struct p11_module *module)
{
    pthread_mutex_lock(&module->lock);
    module->look_pause_ms = RENEW_PAUSE_MS;
    pthread_mutex_unlock(&module->lock);
}
