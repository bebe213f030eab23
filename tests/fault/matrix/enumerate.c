#include "tests/fault/matrix/enumerate.h"

#include "tests/fault/matrix/world.h"

#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define SLOTS_MAX   16
#define OBJECTS_MAX 256
#define VALUE_BYTES 600

static CK_FUNCTION_LIST *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *calls = NULL;
    memcpy(&get, &symbol, sizeof get);
    if (get == NULL || get(&calls) != CKR_OK ||
        calls->C_Initialize(NULL) != CKR_OK) {
        return NULL;
    }
    return calls;
}

static void print_object(CK_FUNCTION_LIST *calls, CK_SESSION_HANDLE session,
                         CK_OBJECT_HANDLE object, char token)
{
    CK_OBJECT_CLASS class_ = 0;
    unsigned char value[VALUE_BYTES] = {0};
    CK_ATTRIBUTE what = {CKA_CLASS, &class_, sizeof class_};
    if (calls->C_GetAttributeValue(session, object, &what, 1) != CKR_OK) {
        return;
    }
    bool is_data = class_ == CKO_DATA;
    CK_ATTRIBUTE name = {is_data ? CKA_VALUE : CKA_ID, value, sizeof value};
    if (calls->C_GetAttributeValue(session, object, &name, 1) != CKR_OK) {
        return;
    }
    printf("%c %s ", token, is_data ? "data" : "key");
    for (CK_ULONG i = 0; i < name.ulValueLen; i++) {
        if (is_data) {
            putchar(value[i] == ' ' ? '-' : value[i]);
        } else {
            printf("%02x", (unsigned)value[i]);
        }
    }
    putchar('\n');
}

static int print_slot(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot, char token)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE filter = {CKA_TOKEN, &yes, sizeof yes};
    CK_OBJECT_HANDLE found[OBJECTS_MAX];
    CK_ULONG count = 0;
    if (calls->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) !=
            CKR_OK ||
        calls->C_Login(session, CKU_USER, (CK_UTF8CHAR *)WORLD_PIN,
                       strlen(WORLD_PIN)) != CKR_OK ||
        calls->C_FindObjectsInit(session, &filter, 1) != CKR_OK ||
        calls->C_FindObjects(session, found, OBJECTS_MAX, &count) != CKR_OK ||
        calls->C_FindObjectsFinal(session) != CKR_OK) {
        return 1;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        print_object(calls, session, found[i], token);
    }
    return 0;
}

int enumerate(const char *module_path)
{
    CK_FUNCTION_LIST *calls = load(module_path);
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    size_t seen = 0;
    if (calls == NULL ||
        calls->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) {
        return 1;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        for (size_t which = 0; which < 2; which++) {
            size_t len = strlen(world_labels[which]);
            if (calls->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
                strncmp((const char *)info.label, world_labels[which], len) ==
                    0) {
                seen += 1;
                if (print_slot(calls, slots[i], which == 0 ? 'a' : 'b') != 0) {
                    return 1;
                }
            }
        }
    }
    return seen == 2 ? 0 : 1;
}
