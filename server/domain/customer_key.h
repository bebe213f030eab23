/* customer_key: may this key be used for that, now, by this identity?
 * (specification 4.1, R-4.20 to, table 6-A row DENIED, R-15.4)
 */
#pragma once

#include "server/domain/fallback.h"
#include "server/domain/types.h"

/* 9999-12-31T00:00:00Z, the one expiry that is allowed. */
#define CUSTOMER_KEY_NO_EXPIRY_MS    253402214400000ll
#define CUSTOMER_KEY_CLOCK_LEEWAY_MS 300000 /* */

struct customer_key_facts {
    bool deleted; /* the key, not the version: soft-deleted or gone */
    bool enabled;
    int64_t not_before_ms; /* 0: none */
    int64_t expires_ms;    /* 0: none */
    int64_t now_ms;
    uint32_t granted;   /* permissions the identity holds now           */
    uint32_t ever_held; /* permissions it held at any time, now included */
};

enum customer_key_use { KEY_USE_GET, KEY_USE_WRAP, KEY_USE_UNWRAP };

struct customer_key_verdict {
    bool allowed;    /* else the attempt is ATTEMPT_DENIED, the token unasked */
    bool never_held; /* the permission was never granted            */
    bool warn;       /* allowed outside not-before..expiry          */
};

struct customer_key_verdict
customer_key_decide(const struct customer_key_facts *facts,
                    enum customer_key_use use);

/* caller_gate: what the grants of one caller on a DEP's two keys allow before
 * any lease or token is looked at.
 *   GATE_OPEN      at least one key may be tried, or serve from the lease
 *   GATE_WITHDRAWN both refuse, at least one grant existed: DENIED + DENIED,
 *                  table 6-B decides
 *   GATE_STRANGER  unwrap was never held on either: refused before table 6-B
 */
enum caller_gate { GATE_OPEN, GATE_WITHDRAWN, GATE_STRANGER };
enum caller_gate caller_gate_of(const struct customer_key_verdict verdicts[2]);
