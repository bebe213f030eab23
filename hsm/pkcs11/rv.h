/* rv: the one place that says what a CK_RV means (specification, table 6-A,
 *
 *
 * A code alone does not always decide. The table therefore gives a status and
 * what has to be tried before that status is true:
 *
 *   RV_FINAL     the status is the answer
 *   RV_SESSION   the session is gone: repair once inside the attempt
 *   RV_HANDLE    the object handle is gone: look for the key again
 *   RV_DOUBTFUL  bad data or a bad token: a canary with the same key decides
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/cryptoki.h"

#include <stdbool.h>

enum rv_kind { RV_FINAL, RV_SESSION, RV_HANDLE, RV_DOUBTFUL };

struct rv_meaning {
    CK_RV rv;
    enum hf_status status;
    enum rv_kind kind;
    bool broken; /* the session's or the device's fault: nothing more is made on
                    it */
    bool known;  /* false: not in the table; log it (table 6-A) */
    const char *name;
};

/* rv_meaning: never fails; a code that is not in the table is
 * HF_E_UNREACHABLE, known = false. Threads: safe from any thread. */
struct rv_meaning rv_meaning(CK_RV rv);
/* rv_is_trouble: the code is never about what was asked for: the same request
 * may well succeed later. A general error is not among them: some modules have
 * no other word for "no". */
bool rv_is_trouble(const struct rv_meaning *meaning);
/* rv_name: "CKR_..." or "CKR_?" */
const char *rv_name(CK_RV rv);
