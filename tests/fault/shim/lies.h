/* lies: what the shim says in place of the truth (rules.h has the words). */
#pragma once

#include "tests/fault/shim/rules.h"

#define TEMPLATE_MAX 32

/* lie_about: falsifies the output of a call that answered rv, and its code. */
CK_RV lie_about(enum lie lie, CK_RV rv, CK_BYTE *out, CK_ULONG *out_len);

/* lie_hide: lie_leave_out_hidden leaves this object out of what a search found,
 * until lie_hide_nothing: handles name other objects when the module is
 * initialised anew. */
void lie_hide(CK_OBJECT_HANDLE object);
void lie_hide_nothing(void);
void lie_leave_out_hidden(CK_OBJECT_HANDLE *objects, CK_ULONG *objects_len);

/* lie_loosened, lie_for_session: the same template, but for SENSITIVE and
 * EXTRACTABLE, but for TOKEN. Takes: to, of TEMPLATE_MAX. Gives: its length. */
CK_ULONG lie_loosened(const CK_ATTRIBUTE *from, CK_ULONG from_len,
                      CK_ATTRIBUTE *to);
CK_ULONG lie_for_session(const CK_ATTRIBUTE *from, CK_ULONG from_len,
                         CK_ATTRIBUTE *to);

/* lie_another_key: makes an AES key of 32 bytes that nobody asked for. */
CK_RV lie_another_key(const CK_FUNCTION_LIST *real, CK_SESSION_HANDLE session,
                      CK_ATTRIBUTE *template_, CK_ULONG template_len,
                      CK_OBJECT_HANDLE *key);
