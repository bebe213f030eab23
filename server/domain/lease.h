/* lease: how long an unwrapped DEP key may be used, when it is renewed, and
 * which calls a lease got by the availability key may serve (R-15.4, R-15.4a).
 *
 *   opened          3/4 of its life        expires
 *     |------------------|-------------------|
 *     live, not renewed    renewal is due,     dead: opened anew by the next
 *                          if it was used      call
 *
 * A lease belongs to the DEP, permission to the caller: before any of this the
 * caller's own grants are asked (caller_gate_of). Disable, Revoke, purge and
 * every change of the DEP's state end a lease whatever its times say. Times are
 * monotonic milliseconds; whoever fills opened_ms reads the clock before it
 * asks the token, so that the time the token took is inside the life.
 */
#pragma once

#include "server/domain/fallback.h"
#include "server/domain/types.h"

/* What opened it. */
enum lease_source {
    LEASE_BY_CUSTOMER_KEY = 1,
    LEASE_BY_AVAILABILITY_KEY = 2,
    LEASE_BY_SERVICE_ROOT = 3, /* SERVICE_MANAGED DEPs */
    LEASE_AS_TIK = 4, /* by a customer key of a geo: tik.h has its rules */
    LEASE_FOR_RECOVERY = 5, /* by a geo's availability key: for one call */
};

struct lease_times {
    enum lease_source source;
    int64_t opened_ms;
    int64_t expires_ms;
    /* when a call was last served; anything before opened_ms: never. The call
     * that opened it counts, the renewal that opened it does not. */
    int64_t last_used_ms;
};

/* lease_life_ms: how long a lease from this source lives: key_lease, or
 * ak_lease for the availability key; 0 (serves only the call that opened it)
 * for a source that is none, and never more than and R-15.4a allow. */
int64_t lease_life_ms(enum lease_source source, int64_t key_lease_ms,
                      int64_t ak_lease_ms);
/* key_lease_is_valid: 0 to HF_KEY_LEASE_MAX_MS. */
bool key_lease_is_valid(int64_t key_lease_ms);

/* lease_is_live: opened_ms <= now_ms < expires_ms. */
bool lease_is_live(const struct lease_times *lease, int64_t now_ms);

/* lease_renew_due_ms: the moment from which the lease is to be renewed if it
 * was used; INT64_MAX: never (R-15.4a: an AK lease is not renewed, each of its
 * operations is a use of its own). */
int64_t lease_renew_due_ms(const struct lease_times *lease);
/* lease_renew_due: renew it now: live, past lease_renew_due_ms, and used since
 * it was opened. One that is used late becomes due by that use. */
bool lease_renew_due(const struct lease_times *lease, int64_t now_ms);

/* lease_serves: may this lease serve this call? A live lease of a customer key
 * or of the service's own root: yes. A live AK lease: only when table 6-B, with
 * the classes known now, would choose the availability key for this call; never
 * USER while any class is DENIED.
 *
 * Takes     now_facts only read for an AK lease; NULL then means no. */
bool lease_serves(const struct lease_times *lease, int64_t now_ms,
                  const struct fallback_facts *now_facts);
