#include "server/rpc/stream.h"

#include "hsm/base/check.h"

#include "server/rpc/server.h"

#include <stdlib.h>
#include <string.h>

/* changed topics that are told apart in one tick; over it all streams look */
#define TOPICS_MAX    64
#define FULL_RETRY_MS 100

struct packed {
    uint8_t *bytes;
    size_t len;
};

struct stream {
    struct rpc_call *call;
    struct stream *next;
    struct stream *prev;
    struct stream *over_next; /* of the list of turns that are over */

    /* the turn's; the polling thread's when none is under way */
    struct stream_work work;
    struct problem problem;
    struct rpc_arena arena;
    enum hf_status status;
    struct packed out[STREAM_MESSAGES_MAX];
    size_t out_count;
    size_t out_sent;
    /* set as a turn's last word, before its first message is started: what the
     * turn wrote is seen by who reads this, without trusting gRPC's locks */
    atomic_bool turn_is_over;
    atomic_bool interrupted; /* a turn does not go on by itself */

    /* the polling thread's */
    struct topic topic; /* from its first wait on */
    bool has_turned;
    bool turning;
    bool writing;
    bool waiting;
    bool turn_wanted; /* the slow lane was full */
    bool stirred;     /* its topic changed since its last turn began */
    bool recheck;
    bool ending; /* with call->problem */
    bool gone;   /* the client */
};

struct streams {
    struct rpc *rpc;
    struct stream *first;
    int64_t scan_ms; /* when it is looked whose time has come */

    atomic_bool news; /* any of what follows */
    pthread_mutex_t lock;
    struct stream *over; /* turns that ended without a message */
    struct topic topics[TOPICS_MAX];
    size_t topic_count;
    bool all_topics;
};

/* --- what other threads tell ---------------------------------------------- */

static bool same_topic(const struct topic *a, const struct topic *b)
{
    return a->kind == b->kind && id_equal(&a->id, &b->id);
}

static void topic_changed(void *context, const struct topic *topic)
{
    struct streams *streams = context;
    pthread_mutex_lock(&streams->lock);
    size_t at = 0;
    while (at < streams->topic_count &&
           !same_topic(&streams->topics[at], topic)) {
        at++;
    }
    if (at == TOPICS_MAX) {
        streams->all_topics = true;
    } else if (at == streams->topic_count) {
        streams->topics[streams->topic_count++] = *topic;
    }
    pthread_mutex_unlock(&streams->lock);
    atomic_store(&streams->news, true);
}

HF_STATUS streams_new(struct rpc *rpc, struct streams **out_streams)
{
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (pthread_mutex_init(&streams->lock, NULL) != 0) {
        free(streams);
        return HF_E_RESOURCES;
    }
    streams->rpc = rpc;
    atomic_init(&streams->news, false);
    topics_watch(rpc->settings.service, topic_changed, streams);
    *out_streams = streams;
    return HF_OK;
}

void streams_free(struct streams *streams)
{
    if (streams != NULL) {
        topics_watch(streams->rpc->settings.service, NULL, NULL);
        pthread_mutex_destroy(&streams->lock);
        free(streams);
    }
}

/* --- a turn, on the slow lane --------------------------------------------- */

static void drop_messages(struct stream *stream)
{
    for (size_t i = stream->out_sent; i < stream->out_count; i++) {
        free(stream->out[i].bytes);
    }
    stream->out_count = 0;
    stream->out_sent = 0;
}

static HF_STATUS pack_messages(struct stream *stream)
{
    for (size_t i = 0; i < stream->work.message_count; i++) {
        struct packed *packed = &stream->out[i];
        packed->bytes = reply_pack(stream->work.messages[i], &packed->len);
        if (packed->bytes == NULL) {
            return HF_E_NO_MEMORY;
        }
        stream->out_count++;
    }
    return HF_OK;
}

static HF_STATUS take_turn(struct stream *stream)
{
    const struct rpc_call *call = stream->call;
    struct stream_work *work = &stream->work;
    work->caller = &call->peer->caller;
    work->now_ms = clock_monotonic_ms(call->slot->rpc->settings.clock);
    work->next = STREAM_END;
    work->wake_ms = 0;
    work->message_count = 0;
    enum hf_status status = call->slot->method->stream(work);
    CHECK(work->message_count <= STREAM_MESSAGES_MAX);
    if (status == HF_OK && stream->arena.refused) {
        status = HF_E_NO_MEMORY;
    }
    if (status == HF_OK) {
        status = pack_messages(stream);
    }
    if (status != HF_OK && stream->problem.reason == REASON_NONE) {
        return problem_of_status(&stream->problem, status);
    }
    return status;
}

/* Back to the polling thread: with the first message, which comes back as
 * written, or without one by the list. */
static void hand_back(struct stream *stream)
{
    struct streams *streams = stream->call->slot->rpc->streams;
    if (stream->out_count > 0) {
        struct packed first = stream->out[0];
        stream->out_sent = 1;
        atomic_store(&stream->turn_is_over, true);
        call_stream_write(stream->call, first.bytes, first.len);
        return;
    }
    atomic_store(&stream->turn_is_over, true);
    pthread_mutex_lock(&streams->lock);
    stream->over_next = streams->over;
    streams->over = stream;
    pthread_mutex_unlock(&streams->lock);
    atomic_store(&streams->news, true);
}

static bool goes_on_at_once(const struct stream *stream)
{
    return stream->status == HF_OK && stream->out_count == 0 &&
           stream->work.next == STREAM_AGAIN &&
           !atomic_load(&stream->interrupted);
}

static void run_turn(void *argument)
{
    struct stream *stream = argument;
    struct rpc_call *call = stream->call;
    stream->status = take_turn(stream);
    if (stream->status != HF_OK) {
        drop_messages(stream);
    }
    rpc_arena_reset(&stream->arena, RPC_REPLY_CAP_BYTES);
    /* nothing found so far: others first, then the next part */
    if (goes_on_at_once(stream) &&
        service_pool_run(call->slot->rpc->settings.service,
                         call->peer->caller.tenant, run_turn, stream)) {
        return;
    }
    hand_back(stream);
}

/* --- the polling thread --------------------------------------------------- */

static void unlink_stream(struct stream *stream)
{
    struct streams *streams = stream->call->slot->rpc->streams;
    *(stream->prev != NULL ? &stream->prev->next : &streams->first) =
        stream->next;
    if (stream->next != NULL) {
        stream->next->prev = stream->prev;
    }
}

/* NULL: OK. The client's going away is no answer to anybody. */
static void end(struct stream *stream, const struct problem *problem)
{
    unlink_stream(stream);
    drop_messages(stream);
    if (stream->gone) {
        struct rpc_call *call = stream->call;
        call->ended = true;
        call->reason = REASON_CANCELLED;
        rpc_let_go(call);
        return;
    }
    call_stream_end(stream->call, problem);
}

static void end_overloaded(struct stream *stream, const char *text)
{
    struct rpc_call *call = stream->call;
    HF_IGNORE(problem_set(&call->problem, REASON_OVERLOADED, "%s", text),
              "it is the answer");
    call->problem.retry_ms = FULL_RETRY_MS;
    end(stream, &call->problem);
}

static void start_turn(struct stream *stream)
{
    struct rpc_call *call = stream->call;
    struct rpc *rpc = call->slot->rpc;
    drop_messages(stream);
    stream->waiting = false;
    stream->stirred = false;
    atomic_store(&stream->turn_is_over, false);
    atomic_store(&stream->interrupted, false);
    stream->turning = service_pool_run(
        rpc->settings.service, call->peer->caller.tenant, run_turn, stream);
    stream->turn_wanted = !stream->turning; /* the next scan tries again */
    if (stream->turn_wanted && !stream->has_turned) {
        atomic_fetch_add_explicit(&rpc->overloaded, 1, memory_order_relaxed);
        end_overloaded(stream, "the queue for administration is full; repeat "
                               "later");
        return;
    }
    stream->has_turned = true;
}

static void wait_for_topic(struct stream *stream)
{
    /* what happened before the topic was known is looked for once more */
    bool look_again = stream->stirred || stream->topic.kind == TOPIC_NONE;
    CHECK(stream->work.topic.kind != TOPIC_NONE);
    stream->topic = stream->work.topic;
    stream->waiting = true;
    if (look_again) {
        start_turn(stream);
    }
}

/* Neither a turn nor a message is under way. */
static void go_on(struct stream *stream)
{
    struct rpc_call *call = stream->call;
    if (stream->recheck) {
        stream->recheck = false;
        stream->stirred = true;
        if (!stream->ending && lane_identify(call) != HF_OK) {
            stream->ending = true; /* call->problem says why */
        }
    }
    if (stream->gone || stream->ending) {
        end(stream, &call->problem);
        return;
    }
    if (stream->status != HF_OK) {
        call->problem = stream->problem;
        end(stream, &call->problem);
        return;
    }
    switch (stream->work.next) {
    case STREAM_AGAIN:
        start_turn(stream);
        return;
    case STREAM_WAIT:
        wait_for_topic(stream);
        return;
    case STREAM_END:
        end(stream, NULL);
        return;
    }
}

static void turn_over(struct stream *stream)
{
    CHECK(stream->turning && atomic_load(&stream->turn_is_over));
    stream->turning = false;
}

void stream_written(struct rpc_call *call, bool ok)
{
    struct stream *stream = call->u.stream;
    if (stream->turning) {
        turn_over(stream);
    }
    stream->writing = false;
    if (!ok) {
        stream->gone = true;
    }
    if (!stream->gone && !stream->ending &&
        stream->out_sent < stream->out_count) {
        struct packed next = stream->out[stream->out_sent++];
        stream->writing = true;
        call_stream_write(call, next.bytes, next.len);
        return;
    }
    go_on(stream);
}

void stream_closed(struct rpc_call *call)
{
    struct stream *stream = call->u.stream;
    if (stream == NULL || call->ended) {
        return;
    }
    stream->gone = true;
    atomic_store(&stream->interrupted, true);
    if (!stream->turning && !stream->writing) {
        end(stream, NULL);
    }
}

static size_t streams_of(const struct streams *streams,
                         const struct rpc_call *call)
{
    size_t count = 0;
    for (const struct stream *other = streams->first; other != NULL;
         other = other->next) {
        count += strcmp(other->call->peer->caller.identity,
                        call->peer->caller.identity) == 0;
    }
    return count;
}

/* NULL: refused, call->problem says why. */
static struct stream *make_stream(struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    ProtobufCMessage *request = NULL;
    if (streams_of(rpc->streams, call) >= STREAMS_PER_IDENTITY_MAX) {
        HF_IGNORE(problem_set(&call->problem, REASON_OVERLOADED,
                              "this identity has %d streams open; end one",
                              STREAMS_PER_IDENTITY_MAX),
                  "it is the answer");
        call->problem.retry_ms = FULL_RETRY_MS;
        return NULL;
    }
    if (lane_unpack(call, &request) != HF_OK) {
        return NULL;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        HF_IGNORE(problem_of_status(&call->problem, HF_E_NO_MEMORY),
                  "it is the answer");
        return NULL;
    }
    stream->call = call;
    atomic_init(&stream->turn_is_over, false);
    atomic_init(&stream->interrupted, false);
    rpc_arena_init(&stream->arena, RPC_REPLY_CAP_BYTES);
    stream->work = (struct stream_work){
        .service = rpc->settings.service,
        .request = request,
        .arena = &stream->arena,
        .problem = &stream->problem,
        .deadline_ms = call->deadline_ms,
    };
    return stream;
}

void stream_begin(struct rpc_call *call)
{
    struct streams *streams = call->slot->rpc->streams;
    struct stream *stream = make_stream(call);
    call->u.stream = stream;
    if (stream == NULL) {
        call_reply_problem(call, &call->problem);
        return;
    }
    stream->next = streams->first;
    if (stream->next != NULL) {
        stream->next->prev = stream;
    }
    streams->first = stream;
    call_arm_close(call);
    start_turn(stream);
}

void stream_clear(struct rpc_call *call)
{
    struct stream *stream = call->u.stream;
    call->u.stream = NULL;
    if (stream != NULL) {
        drop_messages(stream);
        rpc_arena_reset(&stream->arena, 0);
        free(stream);
    }
}

/* Goes on now, or as soon as what is under way is over. */
static void interrupt(struct stream *stream)
{
    atomic_store(&stream->interrupted, true);
    if (!stream->turning && !stream->writing) {
        go_on(stream);
    }
}

void streams_end_all(struct streams *streams)
{
    struct stream *stream = streams->first;
    while (stream != NULL) {
        struct stream *next = stream->next;
        stream->ending = true;
        HF_IGNORE(problem_set(&stream->call->problem,
                              REASON_SERVICE_UNAVAILABLE,
                              "the server shuts down"),
                  "it is the answer");
        interrupt(stream);
        stream = next;
    }
}

void streams_recheck(struct streams *streams)
{
    struct stream *stream = streams->first;
    while (stream != NULL) {
        struct stream *next = stream->next;
        stream->recheck = true;
        interrupt(stream);
        stream = next;
    }
}

/* --- ticks ---------------------------------------------------------------- */

struct news {
    struct stream *over;
    struct topic topics[TOPICS_MAX];
    size_t topic_count;
    bool all_topics;
};

static void take_news(struct streams *streams, struct news *out)
{
    pthread_mutex_lock(&streams->lock);
    out->over = streams->over;
    out->topic_count = streams->topic_count;
    out->all_topics = streams->all_topics;
    memcpy(out->topics, streams->topics,
           streams->topic_count * sizeof out->topics[0]);
    streams->over = NULL;
    streams->topic_count = 0;
    streams->all_topics = false;
    pthread_mutex_unlock(&streams->lock);
}

static bool is_stirred_by(const struct stream *stream, const struct news *news)
{
    bool stirred = news->all_topics && stream->topic.kind != TOPIC_NONE;
    for (size_t i = 0; i < news->topic_count && !stirred; i++) {
        stirred = same_topic(&stream->topic, &news->topics[i]);
    }
    return stirred;
}

static void serve_news(struct streams *streams)
{
    struct news news;
    take_news(streams, &news);
    while (news.over != NULL) {
        struct stream *stream = news.over;
        news.over = stream->over_next;
        turn_over(stream);
        go_on(stream);
    }
    struct stream *stream = streams->first;
    while (stream != NULL) {
        struct stream *next = stream->next;
        if (is_stirred_by(stream, &news)) {
            stream->stirred = true;
            if (stream->waiting) {
                start_turn(stream);
            }
        }
        stream = next;
    }
}

static void scan(struct streams *streams)
{
    int64_t now_ms = streams->rpc->now_ms;
    struct stream *stream = streams->first;
    while (stream != NULL) {
        struct stream *next = stream->next;
        bool is_due = stream->waiting && stream->work.wake_ms != 0 &&
                      stream->work.wake_ms <= now_ms;
        if (stream->turn_wanted || is_due) {
            start_turn(stream);
        }
        stream = next;
    }
}

void streams_tick(struct streams *streams)
{
    if (atomic_load_explicit(&streams->news, memory_order_relaxed) &&
        atomic_exchange(&streams->news, false)) {
        serve_news(streams);
    }
    if (streams->first != NULL && streams->scan_ms <= streams->rpc->now_ms) {
        streams->scan_ms = streams->rpc->now_ms + RPC_TICK_MS;
        scan(streams);
    }
}
