#include "hsm/worker/serve_desk.h"

#include "hsm/base/check.h"

#include "hsm/sys/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* --- entries -------------------------------------------------------------- */

HF_STATUS serve_desk_init(struct serve_desk *desk, int socket,
                          struct token *token, size_t per_lane)
{
    *desk = (struct serve_desk){
        .socket = socket, .token = token, .per_lane = per_lane};
    pthread_mutex_init(&desk->lock, NULL);
    desk->entries = calloc(2 * per_lane, sizeof *desk->entries);
    desk->in = malloc(FRAME_PACKET_MAX);
    desk->out = malloc(FRAME_PACKET_MAX);
    if (desk->entries == NULL || desk->in == NULL || desk->out == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 2 * per_lane; i > 0; i--) {
        struct serve_desk_entry *entry = &desk->entries[i - 1];
        entry->desk = desk;
        entry->is_data = i - 1 < per_lane;
        entry->next = desk->free[entry->is_data];
        desk->free[entry->is_data] = entry;
    }
    return HF_OK;
}

void serve_desk_free(struct serve_desk *desk)
{
    free(desk->entries);
    free(desk->in);
    free(desk->out);
    pthread_mutex_destroy(&desk->lock);
}

struct serve_desk_entry *serve_desk_take(struct serve_desk *desk,
                                         enum token_op op)
{
    pthread_mutex_lock(&desk->lock);
    struct serve_desk_entry **free_list = &desk->free[token_op_is_data(op)];
    struct serve_desk_entry *entry = *free_list;
    if (entry != NULL) {
        *free_list = entry->next;
        entry->next = NULL;
        entry->listed = 0;
    }
    pthread_mutex_unlock(&desk->lock);
    return entry;
}

/* Wipes what was secret in it and frees what was its own. */
static void clear(struct serve_desk_entry *entry)
{
    struct token_request *request = &entry->request;
    if (request->op == TOKEN_OP_OPEN) {
        wipe(entry->room.u.data.out, request->u.aead.in.len);
    } else if (request->op == TOKEN_OP_SEAL) {
        wipe(entry->room.u.data.in, request->u.aead.in.len);
    } else if (request->op == TOKEN_OP_DECRYPT) {
        secret_free(request->u.unwrap.secret);
        request->u.unwrap.secret = NULL;
    }
    free(entry->list);
}

/* Lock held. */
static void put_back(struct serve_desk *desk, struct serve_desk_entry *entry)
{
    desk->lists -= entry->list != NULL ? 1 : 0;
    entry->list = NULL;
    entry->next = desk->free[entry->is_data];
    desk->free[entry->is_data] = entry;
}

void serve_desk_give_back(struct serve_desk *desk,
                          struct serve_desk_entry *entry)
{
    clear(entry);
    pthread_mutex_lock(&desk->lock);
    put_back(desk, entry);
    pthread_mutex_unlock(&desk->lock);
}

static size_t at_most(size_t cap)
{
    return cap < SERVE_ITEMS_MAX ? cap : SERVE_ITEMS_MAX;
}

/* Sets the array of a list; without one there is nothing to do. */
static HF_STATUS allocate(struct serve_desk_entry *entry)
{
    struct token_request *request = &entry->request;
    if (request->op == TOKEN_OP_LIST) {
        struct token_list *list = &request->u.list;
        list->cap = at_most(list->cap);
        list->reports = calloc(list->cap + 1, sizeof *list->reports);
        entry->list = list->reports;
    } else {
        struct token_data_list *list = &request->u.data_list;
        list->cap = at_most(list->cap);
        list->items = calloc(list->cap + 1, sizeof *list->items);
        entry->list = list->items;
    }
    return entry->list != NULL ? HF_OK : HF_E_NO_MEMORY;
}

HF_STATUS serve_desk_make_room(struct serve_desk *desk,
                               struct serve_desk_entry *entry)
{
    entry->request.done = serve_desk_done;
    if (entry->request.op != TOKEN_OP_LIST &&
        entry->request.op != TOKEN_OP_DATA_LIST) {
        return HF_OK;
    }
    pthread_mutex_lock(&desk->lock);
    bool may = desk->lists < SERVE_LISTS_MAX;
    pthread_mutex_unlock(&desk->lock);
    HF_TRY(may ? allocate(entry) : HF_E_OVERLOAD);
    pthread_mutex_lock(&desk->lock);
    desk->lists += 1; /* only the thread that receives adds to them */
    pthread_mutex_unlock(&desk->lock);
    return HF_OK;
}

/* --- answers -------------------------------------------------------------- */

static void append(struct serve_entries *list, struct serve_desk_entry *entry)
{
    entry->next = NULL;
    if (list->last == NULL) {
        list->first = entry;
    } else {
        list->last->next = entry;
    }
    list->last = entry;
}

/* What is finished moves to the end of `unsent`; false: there is nothing to
 * send, and we are the sender no more. */
static bool gather(struct serve_desk *desk, struct serve_entries unsent[2])
{
    bool any = false;
    pthread_mutex_lock(&desk->lock);
    for (size_t lane = 0; lane < 2; lane++) {
        struct serve_entries *new = &desk->finished[lane];
        if (new->first != NULL && unsent[lane].last != NULL) {
            unsent[lane].last->next = new->first;
            unsent[lane].last = new->last;
        } else if (new->first != NULL) {
            unsent[lane] = *new;
        }
        *new = (struct serve_entries){.first = NULL};
        any = any || unsent[lane].first != NULL;
    }
    desk->sending = any;
    pthread_mutex_unlock(&desk->lock);
    return any;
}

/* What a HEALTH tells besides. */
static uint64_t free_bytes_of(const struct serve_desk_entry *entry)
{
    struct token_profile profile;
    if (entry->request.op != TOKEN_OP_HEALTH) {
        return 0;
    }
    token_profile_get(entry->desk->token, &profile);
    return profile.free_private_bytes;
}

/* Answers of one lane into the packet, as long as they fit; they move to
 * `packed`. */
static HF_STATUS pack_lane(struct frame_writer *writer,
                           struct serve_entries *unsent,
                           struct serve_entries *packed)
{
    while (unsent->first != NULL) {
        struct serve_desk_entry *entry = unsent->first;
        HF_TRY(frame_reply_put(writer, entry->number, &entry->request,
                               free_bytes_of(entry), &entry->listed));
        unsent->first = entry->next;
        if (unsent->first == NULL) {
            unsent->last = NULL;
        }
        append(packed, entry);
    }
    return HF_OK;
}

static size_t pack(struct serve_desk *desk, struct serve_entries unsent[2],
                   struct serve_entries *packed)
{
    struct token_counters counters;
    struct frame_writer writer = frame_begin(desk->out, FRAME_REPLIES);
    token_counters_get(desk->token, &counters);
    frame_counters_put(&writer, &counters);
    /* the data lane first: a long list does not hold it up */
    if (pack_lane(&writer, &unsent[1], packed) == HF_OK) {
        HF_IGNORE(pack_lane(&writer, &unsent[0], packed),
                  "what does not fit goes into the next one");
    }
    return frame_end(&writer);
}

static void send_packet(struct serve_desk *desk, size_t len)
{
    ssize_t sent = -1;
    do {
        sent = send(desk->socket, desk->out, len, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    wipe(desk->out, len); /* keys that were opened */
    if (sent != (ssize_t)len) {
        /* whoever receives finds the end of its file */
        shutdown(desk->socket, SHUT_RDWR);
    }
}

static void release(struct serve_desk *desk, struct serve_desk_entry *first)
{
    for (struct serve_desk_entry *entry = first; entry != NULL;
         entry = entry->next) {
        clear(entry);
    }
    pthread_mutex_lock(&desk->lock);
    while (first != NULL) {
        struct serve_desk_entry *next = first->next;
        put_back(desk, first);
        first = next;
    }
    pthread_mutex_unlock(&desk->lock);
}

static void send_all(struct serve_desk *desk)
{
    struct serve_entries unsent[2] = {{.first = NULL}, {.first = NULL}};
    while (gather(desk, unsent)) {
        struct serve_entries packed = {.first = NULL};
        size_t len = pack(desk, unsent, &packed);
        /* before it is sent: the other end may ask anew as soon as it reads */
        release(desk, packed.first);
        send_packet(desk, len);
    }
}

void serve_desk_done(struct token_request *request)
{
    struct serve_desk_entry *entry = (struct serve_desk_entry *)request;
    struct serve_desk *desk = entry->desk;
    bool more = request->link != NULL;
    pthread_mutex_lock(&desk->lock);
    append(&desk->finished[entry->is_data], entry);
    bool ours = !desk->sending && !more;
    desk->sending = desk->sending || ours;
    pthread_mutex_unlock(&desk->lock);
    if (ours) {
        send_all(desk);
    }
}
