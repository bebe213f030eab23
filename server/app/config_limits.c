#include "server/app/config_limits.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/pkcs11.h"

#include <string.h>

struct limit {
    const char *key;
    size_t offset;
    uint32_t low;
    uint32_t high;
    uint32_t otherwise;
};

#define LIMIT(name, low, high, otherwise)                                      \
    {                                                                          \
#name, offsetof(struct config_limits, name), low, high, otherwise      \
    }

/* clang-format off */
static const struct limit table[] = {
    /*    key                       from    to        default */
    LIMIT(connections,              1,      65536,    1024),
    LIMIT(connections_per_identity, 1,      65536,    256),
    LIMIT(handshake_timeout_ms,     100,    60000,    5000),
    LIMIT(idle_timeout_ms,          1000,   86400000, 600000),
    LIMIT(data_calls,               1,      65536,    1024),
    LIMIT(admin_calls,              1,      4096,     128),
    LIMIT(streams,                  1,      65536,    256),
    LIMIT(slow_threads,             1,      256,      4),
    LIMIT(slow_queue,               1,      65536,    1024),
    LIMIT(row_cache,                16,     16777216, 65536),
    LIMIT(token_sessions,           0,      1024,     0),
    LIMIT(token_queue,              1,      65536,    1024),
    LIMIT(store_readers,            1,      64,       4),
    LIMIT(ak_lease_ms,              0,      HF_AK_LEASE_MAX_MS,
                                                      HF_AK_LEASE_MAX_MS),
    LIMIT(attempt_timeout_ms,       50,     60000,    HF_TOKEN_ROOT_DEADLINE_MS),
    LIMIT(probe_interval_ms,        1000,   3600000,  300000),
    LIMIT(ak_roll_interval_days,    0,      36500,    0),
    LIMIT(encryption_overdue_days,  1,      365,      7),
    LIMIT(drain_ms,                 0,      600000,   10000),
    LIMIT(purge_hold_s,             0,      31536000, 259200), /* 72 h */
    LIMIT(spool_segment_kb,         64,     1048576,  16384),
    LIMIT(spool_keep_mb,            1,      67108864, 16384),
};
/* clang-format on */
#define LIMITS HF_COUNT(table)

/* 0 lets the token decide; what cannot work is no number of sessions. */
static void check_sessions(struct yaml_reader *reader,
                           const struct yaml_place *place, uint32_t sessions)
{
    if (sessions != 0 && sessions < PKCS11_SESSIONS_MIN) {
        struct yaml_place one = yaml_member(reader, place, "token_sessions");
        yaml_mistake(reader, one.line,
                     "%s is %u; a token needs at least %d to unwrap, and 0 "
                     "takes what it allows",
                     one.name, sessions, PKCS11_SESSIONS_MIN);
    }
}

void config_limits_read(struct yaml_reader *reader,
                        const struct yaml_place *place,
                        struct config_limits *out)
{
    const char *known[LIMITS + 1] = {NULL};
    for (size_t i = 0; i < LIMITS; i++) {
        known[i] = table[i].key;
        memcpy((char *)out + table[i].offset, &table[i].otherwise,
               sizeof table[i].otherwise);
    }
    if (place->node == NULL || !yaml_map(reader, place, known)) {
        return;
    }
    for (size_t i = 0; i < LIMITS; i++) {
        struct yaml_place one = yaml_member(reader, place, table[i].key);
        uint32_t value = 0;
        if (one.node != NULL &&
            yaml_number(reader, &one, table[i].low, table[i].high, &value)) {
            memcpy((char *)out + table[i].offset, &value, sizeof value);
        }
    }
    check_sessions(reader, place, out->token_sessions);
    if (out->connections_per_identity > out->connections) {
        struct yaml_place one =
            yaml_member(reader, place, "connections_per_identity");
        if (one.node == NULL) {
            out->connections_per_identity = out->connections;
        } else {
            yaml_mistake(reader, one.line,
                         "%s is %u; at most limits.connections (%u)", one.name,
                         out->connections_per_identity, out->connections);
        }
    }
}
