/* bench_server: holdfastd, made of the same objects, and two methods more:
 *   Echo      a reply of HF_BENCH_REPLY_BYTES bytes: what a call costs on the
 *             same listener when it does nothing
 *   Counters  the service's counters as text: proof of what the hot lane did
 *             not do
 */
#include "server/app/app.h"
#include "server/service/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct service *service;
static size_t reply_bytes;

static bool echo(void *context, struct bytes request, uint8_t *reply,
                 size_t reply_cap, size_t *out_len)
{
    (void)context;
    (void)request;
    if (reply_bytes > reply_cap) {
        return false;
    }
    memset(reply, 'x', reply_bytes);
    *out_len = reply_bytes;
    return true;
}

static bool counters(void *context, struct bytes request, uint8_t *reply,
                     size_t reply_cap, size_t *out_len)
{
    struct service_counters now;
    (void)context;
    (void)request;
    service_counters_get(service, &now);
    int len = snprintf(
        (char *)reply, reply_cap,
        "{\"store_writes\": %llu, \"root_ops\": %llu, \"ak_uses\": %llu, "
        "\"hot_calls\": %llu, \"slow_calls\": %llu, \"overloaded\": %llu, "
        "\"checkpoints\": %llu}",
        (unsigned long long)now.store_writes, (unsigned long long)now.root_ops,
        (unsigned long long)now.ak_uses, (unsigned long long)now.hot_calls,
        (unsigned long long)now.slow_calls, (unsigned long long)now.overloaded,
        (unsigned long long)now.checkpoints);
    *out_len = (size_t)len;
    return len > 0 && (size_t)len < reply_cap;
}

int main(int argc, char **argv)
{
    const char *asked = getenv("HF_BENCH_REPLY_BYTES");
    static const struct rpc_extra_method methods[] = {
        {.path = "/holdfast.bench.v1.Bench/Echo",     .answer = echo    },
        {.path = "/holdfast.bench.v1.Bench/Counters", .answer = counters},
    };
    reply_bytes = asked == NULL ? 102 : strtoul(asked, NULL, 10);
    const struct app_extras extras = {
        .methods = methods,
        .method_count = sizeof methods / sizeof methods[0],
        .service = &service,
    };
    return app_main(argc, argv, &extras);
}
