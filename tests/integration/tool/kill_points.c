/* kill_points: a process dies at its n-th step that leaves a trace (kill -9),
 * for n = 1, 2, ... until it passes: HF_KILL_AT=n.
 *
 * Both preloaded, which makes points of the system calls that make something
 * durable, and loaded as the PKCS#11 module, which makes points of the calls
 * that change the real token behind (HF_REAL_MODULE). A point is before a sync
 * and after a change; a line of a transcript (*.jsonl) also dies unwritten and
 * half written. */
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST shown;

static void point(void)
{
    static long passed;
    const char *at = getenv("HF_KILL_AT");
    passed += 1;
    if (at != NULL && strtol(at, NULL, 10) == passed) {
        kill(getpid(), SIGKILL);
    }
}

/* The next one of this name after ours. ISO C has no cast from a pointer to an
 * object to one to a function. */
static void next_of(const char *name, void *out_function)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        abort();
    }
    memcpy(out_function, &found, sizeof found);
}

static bool is_transcript(int fd)
{
    char link[64];
    char path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    const char *end = ".jsonl";
    size_t end_len = strlen(end);
    return len > (ssize_t)end_len &&
           strncmp(path + len - end_len, end, end_len) == 0;
}

ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t (*next)(int, const void *, size_t) = NULL;
    next_of("write", &next);
    if (!is_transcript(fd)) {
        return next(fd, data, len);
    }
    point();
    ssize_t half = next(fd, data, len / 2);
    if (half != (ssize_t)(len / 2)) {
        abort();
    }
    point();
    ssize_t rest = next(fd, (const char *)data + half, len - (size_t)half);
    return rest < 0 ? rest : half + rest;
}

int fsync(int fd)
{
    int (*next)(int) = NULL;
    next_of("fsync", &next);
    point();
    return next(fd);
}

int syncfs(int fd)
{
    int (*next)(int) = NULL;
    next_of("syncfs", &next);
    point();
    return next(fd);
}

static bool makes_token_object(const CK_ATTRIBUTE *at, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (at[i].type == CKA_TOKEN) {
            return *(const CK_BBOOL *)at[i].pValue != CK_FALSE;
        }
    }
    return false;
}

static CK_RV init_token(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG len,
                        CK_UTF8CHAR *label)
{
    CK_RV rv = real->C_InitToken(slot, pin, len, label);
    point();
    return rv;
}

static CK_RV init_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv = real->C_InitPIN(session, pin, len);
    point();
    return rv;
}

static CK_RV set_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR *old,
                     CK_ULONG old_len, CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv = real->C_SetPIN(session, old, old_len, pin, len);
    point();
    return rv;
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_ATTRIBUTE *public_at, CK_ULONG public_count,
                           CK_ATTRIBUTE *private_at, CK_ULONG private_count,
                           CK_OBJECT_HANDLE *public_key,
                           CK_OBJECT_HANDLE *private_key)
{
    CK_RV rv = real->C_GenerateKeyPair(session, mechanism, public_at,
                                       public_count, private_at, private_count,
                                       public_key, private_key);
    if (makes_token_object(private_at, private_count)) {
        point();
    }
    return rv;
}

static CK_RV create(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count,
                    CK_OBJECT_HANDLE *out)
{
    CK_RV rv = real->C_CreateObject(session, at, count, out);
    if (makes_token_object(at, count)) {
        point();
    }
    return rv;
}

static CK_RV unwrap(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                    CK_OBJECT_HANDLE by, CK_BYTE *wrapped, CK_ULONG len,
                    CK_ATTRIBUTE *at, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    CK_RV rv =
        real->C_UnwrapKey(session, mechanism, by, wrapped, len, at, count, out);
    if (makes_token_object(at, count)) {
        point();
    }
    return rv;
}

static bool is_token_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_BBOOL token = CK_FALSE;
    CK_ATTRIBUTE asked = {CKA_TOKEN, &token, sizeof token};
    CK_RV told = real->C_GetAttributeValue(session, object, &asked, 1);
    return told == CKR_OK && token != CK_FALSE;
}

static CK_RV set_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE *at, CK_ULONG count)
{
    CK_RV rv = real->C_SetAttributeValue(session, object, at, count);
    if (is_token_object(session, object)) {
        point();
    }
    return rv;
}

static CK_RV destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    bool token = is_token_object(session, object);
    CK_RV rv = real->C_DestroyObject(session, object);
    if (token) {
        point();
    }
    return rv;
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    const char *path = getenv("HF_REAL_MODULE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *found = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    memcpy(&get, &found, sizeof found);
    if (get == NULL || get(&real) != CKR_OK) {
        return CKR_GENERAL_ERROR;
    }
    shown = *real;
    shown.C_InitToken = init_token;
    shown.C_InitPIN = init_pin;
    shown.C_SetPIN = set_pin;
    shown.C_GenerateKeyPair = generate_pair;
    shown.C_CreateObject = create;
    shown.C_UnwrapKey = unwrap;
    shown.C_DestroyObject = destroy;
    shown.C_SetAttributeValue = set_attribute;
    *out = &shown;
    return CKR_OK;
}
