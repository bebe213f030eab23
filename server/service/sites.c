#include "server/service/sites.h"

#include "hsm/base/check.h"

#include "server/service/geo_inside.h"
#include "server/service/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_view(const struct resource_view *view, struct site_view *out)
{
    CHECK(view->tenant != NULL);
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, view->tenant->record.name, sizeof out->tenant);
    if (view->geo != NULL) {
        memcpy(out->geo, view->geo->record.name, sizeof out->geo);
    }
    out->record = view->record;
    out->state = mailbox_state_of(&view->facts);
    out->effective_is_service_managed = id_equal(
        &view->record.effective.dep, &view->tenant->record.service_managed);
    etag_write(&view->stamp, out->etag);
}

static HF_STATUS show(const struct admin *admin, const char *id,
                      struct resource_view *view, struct site_view *out)
{
    enum hf_status status =
        resource_load(admin->service, admin->tenant, RESOURCE_SITE, id, view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such site");
    }
    HF_TRY(problem_of_status(admin->problem, status));
    fill_view(view, out);
    return HF_OK;
}

/* --- register ----------------------------------------------------------- */

static bool id_is_valid(const char *id)
{
    size_t len = strlen(id);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)id[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return false;
        }
    }
    return len > 0 && len <= HF_RESOURCE_ID_MAX_BYTES;
}

/* The index of the sites of a geo. */
static HF_STATUS put_index(const struct resource_view *view,
                           struct change *change)
{
    const struct stamp none = {.version = 0};
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status =
        assigned_encode(&view->record.assigned, &view->record, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    return status;
}

/* The site, and its geo with it when it is the first that names it. */
static HF_STATUS record_new(const struct admin *admin,
                            struct resource_view *view,
                            const struct geo_record *fresh)
{
    struct service *service = admin->service;
    char object[RESOURCE_NAME_BYTES];
    struct stamp stamp = {.version = 0};
    const struct stamp none = {.version = 0};
    const struct hf_id nobody = {{0}};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    char geo[HF_ID_TEXT];
    id_format(&view->record.assigned, geo);
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    details_text(details, "geo", "", geo);
    resource_name(view->tenant->record.name, RESOURCE_SITE, view->record.id,
                  object);
    HF_TRY(change_new(&change));
    if (fresh != NULL) {
        HF_TRY(geo_put(change, fresh, &none, &stamp));
    }
    HF_TRY(resource_put(view, change, NULL));
    HF_TRY(put_index(view, change));
    HF_TRY(admin_finish_change(admin, change, object, details, &nobody));
    HF_TRY(ledger_commit(service->ledger, change));
    return fresh == NULL ? HF_OK : geo_adopt(service, NULL, fresh, &stamp);
}

/* record_lock is held: one that makes the geo, the others find it. */
static HF_STATUS register_locked(const struct admin *admin,
                                 const struct site_register *request,
                                 struct resource_view *view)
{
    struct geo_record fresh;
    struct stamp stamp;
    const struct geo_entry *geo =
        geo_find(admin->service, admin->tenant, request->geo);
    if (geo == NULL) {
        HF_TRY(geo_new(admin, request->geo, &fresh));
        view->record.assigned = fresh.id;
    } else {
        view->record.assigned = geo_copy(admin->service, geo, &stamp).id;
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status =
        record_new(admin, view, geo == NULL ? &fresh : NULL);
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_ALREADY_REGISTERED,
                           "site %s is registered", request->id);
    }
    return admin_answer(admin, status);
}

static void fill_new(const struct admin *admin,
                     const struct site_register *request,
                     struct resource_view *view)
{
    view->tenant = admin->tenant;
    view->record.tenant = admin->tenant->record.id;
    view->record.type = RESOURCE_SITE;
    memcpy(view->record.id, request->id, sizeof view->record.id);
    view->record.created_ms = service_wall_ms(admin->service);
    view->record.assigned_ms = view->record.created_ms;
}

static HF_STATUS run_register(const struct admin *admin,
                              const struct site_register *request,
                              struct resource_view *view, struct site_view *out)
{
    if (!admin->seen) {
        fill_new(admin, request, view);
        pthread_mutex_lock(&admin->service->record_lock);
        enum hf_status status = register_locked(admin, request, view);
        pthread_mutex_unlock(&admin->service->record_lock);
        HF_TRY(status);
    }
    if (request->mutation.validate_only) {
        fill_view(view, out);
        memcpy(out->geo, request->geo, sizeof out->geo);
        return HF_OK;
    }
    return show(admin, request->id, view, out);
}

HF_STATUS sites_register(struct service *service, const struct caller *caller,
                         const struct site_register *request,
                         struct site_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_REGISTER_SITE,
                          .mutation = &request->mutation,
                          .problem = problem};
    if (!id_is_valid(request->id)) {
        return problem_field(problem, "site_id",
                             "must have 1 to %d bytes, no '/' and no control "
                             "characters",
                             HF_RESOURCE_ID_MAX_BYTES);
    }
    HF_TRY(admin_begin(&admin, request->tenant));
    struct resource_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = run_register(&admin, request, view, out);
    free(view);
    return status;
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS sites_get(struct service *service, const struct caller *caller,
                    const char *tenant, const char *id, struct site_view *out,
                    struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_SITE, tenant, &admin.tenant,
                         problem));
    struct resource_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = show(&admin, id, view, out);
    bool registered = status == HF_OK && view->assigned != NULL;
    free(view);
    HF_TRY(status);
    return registered ? HF_OK
                      : problem_set(problem, REASON_GEO_NOT_REGISTERED,
                                    "no customer keys are registered for geo "
                                    "%s",
                                    out->geo);
}

struct walk {
    struct service *service;
    struct tenant_entry *tenant;
    const struct geo_entry *geo; /* NULL: all */
    struct site_list *out;
    size_t size;
    struct resource_view view;
    uint8_t last[RECORD_KEY_MAX_BYTES];
    size_t last_len;
    bool more;
};

/* One record beyond the page tells that there is another. */
static enum hf_status step(void *context, const struct record *record,
                           const struct stamp *stamp)
{
    struct walk *walk = context;
    struct resource_view *view = &walk->view;
    if (walk->out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    *view = (struct resource_view){.tenant = walk->tenant, .stamp = *stamp};
    HF_TRY(resource_decode(record, &view->record));
    HF_TRY(resource_look_up(walk->service, view));
    memcpy(walk->last, record->key, record->key_len);
    walk->last_len = record->key_len;
    if (walk->geo == NULL || view->geo == walk->geo) {
        fill_view(view, &walk->out->views[walk->out->count++]);
    }
    return HF_OK;
}

static HF_STATUS run_walk(struct walk *walk, struct bytes after)
{
    uint8_t prefix[HF_ID_BYTES + 1];
    memcpy(prefix, walk->tenant->record.id.bytes, HF_ID_BYTES);
    prefix[HF_ID_BYTES] = RESOURCE_SITE;
    const struct store_page page = {
        .prefix = BYTES_OF(prefix),
        .after = after,
        .max = SIZE_MAX,
    };
    walk->out->count = 0;
    walk->out->next[0] = '\0';
    enum hf_status status =
        ledger_each(walk->service->ledger, RECORD_RESOURCE, &page, step, walk);
    if (status == HF_E_LIMIT && walk->more) {
        hex_encode(walk->last, walk->last_len, walk->out->next,
                   sizeof walk->out->next);
        return HF_OK;
    }
    return status;
}

HF_STATUS sites_list(struct service *service, const struct caller *caller,
                     const struct site_list_request *request,
                     struct site_list *out, struct problem *problem)
{
    uint8_t after[RECORD_KEY_MAX_BYTES];
    size_t after_len = 0;
    struct page_walk page;
    struct tenant_entry *tenant = NULL;
    const struct geo_entry *geo = NULL;
    const struct page_request sizes = {.size = request->page.size};
    HF_TRY(service_admit(service, caller, VERB_LIST_SITES, request->tenant,
                         &tenant, problem));
    HF_TRY(page_begin(&sizes, out->cap, &page, problem));
    if (hex_decode(request->page.token, after, sizeof after, &after_len) !=
        HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    if (request->geo[0] != '\0') {
        geo = geo_find(service, tenant, request->geo);
        if (geo == NULL) {
            return problem_set(problem, REASON_NOT_FOUND, "no such geo");
        }
    }
    struct walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    walk->service = service;
    walk->tenant = tenant;
    walk->geo = geo;
    walk->out = out;
    walk->size = page.size;
    enum hf_status status = run_walk(walk, (struct bytes){after, after_len});
    free(walk);
    return problem_of_status(problem, status);
}
