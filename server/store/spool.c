#include "server/store/spool.h"

#include "hsm/base/check.h"

bool spool_ready(const struct spool *spool)
{
    return spool->port->ready(spool->self);
}

HF_STATUS spool_append(const struct spool *spool, struct spool_record *record)
{
    CHECK(record->method != NULL && record->object != NULL);
    CHECK(record->blob != NULL && record->actor != NULL);
    CHECK(record->request_id != NULL);
    return spool->port->append(spool->self, record);
}

uint64_t spool_records(const struct spool *spool)
{
    return spool->port->records(spool->self);
}

HF_STATUS spool_head(const struct spool *spool, struct spool_head *out)
{
    return spool->port->head(spool->self, out);
}

void spool_close(struct spool *spool)
{
    if (spool->port != NULL) {
        spool->port->close(spool->self);
        *spool = (struct spool){0};
    }
}
