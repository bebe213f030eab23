/* ListNotices of DepService. */
#include "hsm/base/check.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"
#include "server/service/notices.h"

#include <holdfast/v1/dep_service.pb-c.h>

#define PATH          "/holdfast.v1.DepService/"
#define PAGE_MAX_HERE 100

static Holdfast__V1__Notice *encode(struct rpc_arena *arena, const char *tenant,
                                    const struct notice_view *view)
{
    const struct notice_record *record = &view->record;
    Holdfast__V1__Notice *out =
        codec_new(arena, Holdfast__V1__Notice, holdfast__v1__notice);
    if (out == NULL) {
        return NULL;
    }
    out->dep = codec_put_dep_name(arena, tenant, &record->dep);
    out->dep_id = rpc_arena_text(arena, "%s", view->dep_name);
    /* the numbers are the same, see NOTICE_* */
    out->event = (Holdfast__V1__NoticeEvent)record->event;
    out->time = codec_put_timestamp(arena, record->time_ms);
    out->outage_start_time = codec_put_timestamp(arena, record->since_ms);
    out->generation = record->generation;
    if (record->limit_ms != 0) {
        out->fallback_limit = codec_put_duration(arena, record->limit_ms);
    }
    return out;
}

static HF_STATUS decode(const Holdfast__V1__ListNoticesRequest *in,
                        struct notice_list_request *out,
                        struct problem *problem)
{
    HF_TRY(codec_parent(in->parent, out->tenant, problem));
    if (in->dep[0] != '\0') {
        HF_TRY(codec_dep_of("dep", in->dep, out->tenant, out->dep, problem));
    }
    return codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &out->page,
                      problem);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListNoticesRequest *in =
        (const Holdfast__V1__ListNoticesRequest *)work->request;
    struct notice_list_request request = {.tenant = ""};
    HF_TRY(decode(in, &request, work->problem));
    struct notice_list found = {.cap = request.page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListNoticesResponse *out =
        codec_new(work->arena, Holdfast__V1__ListNoticesResponse,
                  holdfast__v1__list_notices_response);
    Holdfast__V1__Notice **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(notices_list(work->service, work->caller, &request, &found,
                        work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, found.tenant, &found.views[i]);
        if (items[i] == NULL) {
            return HF_E_NO_MEMORY;
        }
    }
    out->notices = items;
    out->n_notices = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "ListNotices",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_NOTICES,
     .request = &holdfast__v1__list_notices_request__descriptor,
     .admin = list,
     },
};
const struct method_list notice_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
