/* The rpc layer on the service double, for stock clients: one socket for each
 * identity, in the folder given:
 *
 *   workload (tenant acme)  operator (no tenant)  other (tenant other)
 *   crowded, queued (see service_double.h)
 *   many (tenant acme; may have many streams)
 *   stranger (not in the table)  gone (no connection of the edge)
 *
 * Says "ready" and then what the double says; reads commands until "quit",
 * which drains: "drained 1" when every call ended by itself.
 */
#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/rpc/rpc.h"

#include "tests/unit/rpc/service_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct door {
    const char *name;
    const char *uri;
    const char *tenant;
    uint32_t roles;
};

static const struct door doors[] = {
    {"workload", "spiffe://t/workload", "acme",    ROLE_WORKLOAD_EXCHANGE},
    {"operator", "spiffe://t/operator", "",        ROLE_OPERATOR         },
    {"other",    "spiffe://t/other",    "other",   ROLE_TENANT_ADMIN     },
    {"crowded",  "spiffe://t/crowded",  "crowded", ROLE_TENANT_ADMIN     },
    {"queued",   "spiffe://t/queued",   "queued",  ROLE_TENANT_ADMIN     },
    {"many",     "spiffe://t/many",     "acme",    ROLE_TENANT_ADMIN     },
    {"stranger", "spiffe://t/stranger", NULL,      0                     },
    {"gone",     NULL,                  NULL,      0                     },
};
#define DOORS (sizeof doors / sizeof doors[0])

static enum hf_status connection(void *self, const char *peer_name,
                                 uint64_t *out_connection_id)
{
    const struct door *door = self;
    CHECK(strncmp(peer_name, "unix:", 5) == 0);
    *out_connection_id = 1 + (uint64_t)(door - doors);
    return door->uri != NULL ? HF_OK : HF_E_NOT_FOUND;
}

static enum hf_status identity(void *self, const char *peer_name,
                               struct edge_identity *out_identity)
{
    const struct door *door = self;
    memset(out_identity, 0, sizeof *out_identity);
    HF_TRY(connection(self, peer_name, &out_identity->connection_id));
    return text_copy(out_identity->uri, sizeof out_identity->uri, door->uri);
}

static struct rpc_identities *table(void)
{
    struct rpc_identity lines[DOORS];
    size_t count = 0;
    memset(lines, 0, sizeof lines);
    for (size_t i = 0; i < DOORS; i++) {
        if (doors[i].tenant != NULL) {
            CHECK(text_copy(lines[count].uri, sizeof lines[count].uri,
                            doors[i].uri) == HF_OK);
            CHECK(text_copy(lines[count].tenant, sizeof lines[count].tenant,
                            doors[i].tenant) == HF_OK);
            lines[count++].roles = doors[i].roles;
        }
    }
    struct rpc_identities *out = NULL;
    CHECK(rpc_identities_new(lines, count, &out) == HF_OK);
    return out;
}

static bool echo(void *context, struct bytes request, uint8_t *reply,
                 size_t reply_cap, size_t *out_len)
{
    (void)context;
    CHECK(request.len <= reply_cap);
    if (request.len > 0) {
        memcpy(reply, request.data, request.len);
    }
    *out_len = request.len;
    return true;
}

static struct rpc *open_door(struct service *service, const char *folder,
                             const struct door *door)
{
    static char paths[DOORS][200];
    char *path = paths[door - doors];
    snprintf(path, sizeof paths[0], "%s/%s", folder, door->name);
    static const struct rpc_extra_method extra = {
        .path = "/test.Echo/Echo",
        .answer = echo,
    };
    const struct rpc_settings settings = {
        .socket_path = path,
        .service = service,
        .peers = {connection, identity, (void *)(uintptr_t)door},
        .identities = table(),
        .clock = clock_system(),
 /* for each tenant half of it */
        .data_calls_max = 32,
        .admin_calls_max = 16,
        .streams_max = strcmp(door->name, "many") == 0 ? 128 : 8,
        .extra = &extra,
        .extra_count = 1,
    };
    struct rpc *rpc = NULL;
    enum hf_status status = rpc_start(&settings, &rpc);
    if (status != HF_OK) {
        fprintf(stderr, "%s: %s\n", path, hf_status_text(status));
        exit(1);
    }
    return rpc;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    CHECK(secret_heap_start((size_t)1 << 20) == HF_OK);
    struct service *service = double_start();
    struct rpc *rpcs[DOORS];
    for (size_t i = 0; i < DOORS; i++) {
        rpcs[i] = open_door(service, argv[1], &doors[i]);
    }
    double_say("ready");
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL &&
           strcmp(line, "quit\n") != 0) {
        if (strcmp(line, "debug\n") == 0) {
            log_level_set(LOG_DEBUG);
        } else {
            double_command(service, line);
        }
    }
    for (size_t i = 0; i < DOORS; i++) {
        double_say("drained %d", rpc_drain(rpcs[i], i == 0 ? 3000 : 0));
    }
    for (size_t i = 0; i < DOORS; i++) {
        rpc_stop(rpcs[i]);
    }
    double_stop(service);
    double_say("stopped");
    return 0;
}
