/* notices: outages of both customer keys of a DEP, and what its tenant is told
 * of them (R-15.18; server/domain/outage.h has the rules and their drawing).
 *
 * The first use of the availability key in an outage and the notice that it
 * began are one transaction, committed before anything is opened: the tenant is
 * told at once, and the beginning of the outage is remembered whatever ends the
 * process. Later uses are noted in memory alone. A notice is a record
 * (ListNotices), an audit record and a line of the log (fallback.notice).
 *
 * An outage is over when a customer key has answered for every generation that
 * the availability key opened in it and that is still needed. After a start
 * those that the notices name count.
 */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/core.h"
#include "server/service/keys.h"

struct notices;

#define NOTICE_AUDIT_ACTIVITY "FallbackNotice"
/* Notices of outages that are over are kept so long. */
#define NOTICES_KEPT_MS (90LL * 24 * 3600 * 1000)

/* notices_open: the outages that go on, from the notices; the catalogue is
 * there. notices_close: NULL-safe. */
HF_STATUS notices_open(struct service *service, struct problem *problem);
void notices_close(struct notices *notices);

/* notices_since_ms: since when an outage of the DEP goes on (wall clock; 0:
 * there is none). notices_lasts_ms: how long that is by now. Threads   safe
 * from any, also under the catalogue's lock. */
int64_t notices_since_ms(struct service *service, struct dep_entry *dep);
int64_t notices_lasts_ms(struct service *service, struct dep_entry *dep);

/* notices_record_use: ak_audit_use for a use in an outage; the first one of it
 * with its notice. Durable when it returns HF_OK.
 * Blocks    as a commit. */
HF_STATUS notices_record_use(struct service *service,
                             struct generation_entry *generation,
                             const struct key_call *call,
                             const enum attempt *results);
/* notices_note_use: a call is served by the availability key in an outage. */
void notices_note_use(struct service *service,
                      struct generation_entry *generation);

/* notices_round: hands what is due to the pool; called by the scheduler. */
void notices_round(struct service *service, int64_t now_ms);

struct notice_view {
    char dep_name[HF_NAME_MAX_BYTES + 1];
    struct notice_record record;
};
struct notice_list_request {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name; "": of every DEP */
    struct page_request page;
};
struct notice_list {
    struct notice_view *views;
    size_t cap;
    size_t count;
    char tenant[HF_NAME_MAX_BYTES + 1]; /* as it is spelt */
    char next[PAGE_TOKEN_BYTES];
};
/* notices_list: the newest first. HF_OK, else *problem says why. */
HF_STATUS notices_list(struct service *service, const struct caller *caller,
                       const struct notice_list_request *request,
                       struct notice_list *out, struct problem *problem);
