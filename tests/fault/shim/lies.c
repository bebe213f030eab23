#include "tests/fault/shim/lies.h"

#include "hsm/base/check.h"
#include "hsm/base/limits.h"

#include <pthread.h>
#include <string.h>

#define HIDDEN_MAX 64

/* Objects that were said to be destroyed, and are not. */
static struct {
    pthread_mutex_t lock;
    CK_OBJECT_HANDLE at[HIDDEN_MAX];
    size_t count;
} hidden = {.lock = PTHREAD_MUTEX_INITIALIZER};

void lie_hide(CK_OBJECT_HANDLE object)
{
    pthread_mutex_lock(&hidden.lock);
    CHECK(hidden.count < HIDDEN_MAX);
    hidden.at[hidden.count++] = object;
    pthread_mutex_unlock(&hidden.lock);
}

void lie_hide_nothing(void)
{
    pthread_mutex_lock(&hidden.lock);
    hidden.count = 0;
    pthread_mutex_unlock(&hidden.lock);
}

static bool is_hidden(CK_OBJECT_HANDLE object)
{
    for (size_t i = 0; i < hidden.count; i++) {
        if (hidden.at[i] == object) {
            return true;
        }
    }
    return false;
}

void lie_leave_out_hidden(CK_OBJECT_HANDLE *objects, CK_ULONG *objects_len)
{
    CK_ULONG kept = 0;
    pthread_mutex_lock(&hidden.lock);
    for (CK_ULONG i = 0; i < *objects_len; i++) {
        if (!is_hidden(objects[i])) {
            objects[kept++] = objects[i];
        }
    }
    pthread_mutex_unlock(&hidden.lock);
    *objects_len = kept;
}

/* The same template, but for SENSITIVE and EXTRACTABLE. */
CK_ULONG lie_loosened(const CK_ATTRIBUTE *from, CK_ULONG from_len,
                      CK_ATTRIBUTE *to)
{
    static CK_BBOOL yes = CK_TRUE;
    static CK_BBOOL no = CK_FALSE;
    CHECK(from_len + 2 <= TEMPLATE_MAX);
    CK_ULONG len = 0;
    for (CK_ULONG i = 0; i < from_len; i++) {
        if (from[i].type != CKA_SENSITIVE && from[i].type != CKA_EXTRACTABLE) {
            to[len++] = from[i];
        }
    }
    to[len++] = (CK_ATTRIBUTE){CKA_SENSITIVE, &no, sizeof no};
    to[len++] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, sizeof yes};
    return len;
}

/* The same template, but for TOKEN. */
CK_ULONG lie_for_session(const CK_ATTRIBUTE *from, CK_ULONG from_len,
                         CK_ATTRIBUTE *to)
{
    static CK_BBOOL no = CK_FALSE;
    CHECK(from_len + 1 <= TEMPLATE_MAX);
    CK_ULONG len = 0;
    for (CK_ULONG i = 0; i < from_len; i++) {
        if (from[i].type != CKA_TOKEN) {
            to[len++] = from[i];
        }
    }
    to[len++] = (CK_ATTRIBUTE){CKA_TOKEN, &no, sizeof no};
    return len;
}

/* An AES key of 32 bytes that nobody asked for. */
CK_RV lie_another_key(const CK_FUNCTION_LIST *real, CK_SESSION_HANDLE session,
                      CK_ATTRIBUTE *template_, CK_ULONG template_len,
                      CK_OBJECT_HANDLE *key)
{
    static CK_ULONG len = HF_KEY_BYTES;
    CK_ATTRIBUTE with_len[TEMPLATE_MAX];
    CHECK(template_len + 1 <= TEMPLATE_MAX);
    memcpy(with_len, template_, template_len * sizeof *template_);
    with_len[template_len] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &len, sizeof len};
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    return real->C_GenerateKey(session, &generate, with_len, template_len + 1,
                               key);
}

#define EXPORTED_BYTES 40
#define TAG_BYTES      16

CK_RV lie_about(enum lie lie, CK_RV rv, CK_BYTE *out, CK_ULONG *out_len)
{
    if (lie == LIE_FLIP && rv == CKR_OK && out != NULL && *out_len > 0) {
        out[0] ^= 1;
    }
    if (lie == LIE_EXPORT && rv != CKR_OK && *out_len >= EXPORTED_BYTES) {
        memset(out, 0x5a, EXPORTED_BYTES);
        *out_len = EXPORTED_BYTES;
        return CKR_OK;
    }
    if (lie == LIE_NO_TAG && rv != CKR_OK && *out_len >= TAG_BYTES) {
        *out_len -= TAG_BYTES;
        return CKR_OK;
    }
    return rv;
}
