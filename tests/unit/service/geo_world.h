/* geo_world: a world with a geo: two customer keys in protected tokens, granted
 * to the SharePoint workload, and sites with keys. */
#pragma once

#include "server/service/geos.h"
#include "server/service/sites.h"

#include "tests/unit/service/world.h"

#define GEO "EMEA"

extern struct world world;

/* The tenant with ck1 and ck2; no geo yet. */
void geo_world_start(void);
/* Time passes; the scheduler looks every 200 ms. */
void geo_pass(int64_t ms);

void geo_add_site(const char *id);
/* A key for it; kept by the caller to be compared with. */
void geo_site_key(const char *id, struct outcome *out);
/* Sites 0 to count - 1 with keys. */
void geo_fill(int count, struct outcome *made);
void geo_site_name(int i, char out[32]);
/* Every one of them opens to the key it was made with. */
void geo_assert_all_open(int count, const struct outcome *made);

void geo_unwrap(const struct caller *caller, const char *site,
                enum initiator initiator, struct outcome *out);
void geo_assert_refused(const struct outcome *out, const char *reason);

struct geo_pair {
    const char *names[2];
    uint32_t versions[2];
};
/* RegisterGeo or RestoreGeo; the operation when it began. */
enum hf_status geo_register_by(const struct caller *caller, bool restore,
                               const struct geo_pair *keys, bool evict,
                               struct operation_view *out);
void geo_register(struct operation_view *out);
enum hf_status geo_roll_to(enum root_slot slot, const char *key,
                           uint32_t version, struct operation_view *out);
void geo_look(struct geo_view *out);
/* Waits until the operation has ended well and the geo is REGISTERED; on the
 * way the percentage never falls and is not 100. */
void geo_wait(const struct operation_view *operation);
/* How many of the sites are under the geo's TIK of now. */
int geo_count_moved(int count);
/* The customer keys of the geo do not answer, or do again. */
void geo_outage(bool down);
/* No site key can be sealed, or again; right after the verb that orders it, an
 * operation makes no progress (its steps begin with the scheduler's rounds). */
void geo_stall(bool stalled);
/* Unwraps that the availability key's token was asked for. */
uint64_t geo_ak_uses(void);
