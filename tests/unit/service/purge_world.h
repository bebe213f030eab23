/* purge_world: the steps of leaving, each the use case itself. */
#pragma once

#include "tests/unit/service/world.h"

/* world_ready with a key in the mailbox under dep1 alone, and two officers. */
void purge_world_start(struct world *world);
/* Registers the first `count` approvers, then lets a moment pass. */
void purge_world_officers(struct world *world, size_t count);
/* A mailbox that is generated under this DEP from the start. */
void purge_world_mailbox(struct world *world, const char *id, const char *dep,
                         struct outcome *out);
/* Takes wrap and unwrap of both keys from everybody. */
void purge_world_revoke(struct world *world);

enum hf_status purge_try_request(struct world *world, const char *dep,
                                 bool force, struct purge_view *out);
void purge_request(struct world *world, const char *dep,
                   struct purge_view *out);
void purge_get(struct world *world, const struct purge_view *of,
               struct purge_view *out);
/* signs document with approver's key and submits it */
struct signing {
    size_t approver;  /* whose key signs */
    size_t caller;    /* who submits */
    uint32_t version; /* 0: the view's */
    bool accept;
};
enum hf_status purge_try_approve(struct world *world,
                                 const struct purge_view *of,
                                 const struct signing *how);
void purge_approve(struct world *world, const struct purge_view *of,
                   bool accept);
enum hf_status purge_try_execute(struct world *world,
                                 const struct purge_view *of,
                                 const struct caller *caller,
                                 struct operation_view *out);
/* until the phase is reached; false: not within ten seconds */
bool purge_wait(struct world *world, const struct purge_view *of,
                enum purge_phase phase);
void world_move_clock(struct world *world, int64_t by_ms);
/* request, approve, execute; the hold is over: until PURGED */
void purge_all(struct world *world, const char *dep, bool accept,
               struct purge_view *out);
/* how many objects the AK token holds of a DEP */
size_t purge_ak_objects(struct world *world, const struct hf_id *dep);
#define assert_reason(world, word)                                             \
    assert_string_equal(reason_word((world)->problem.reason), word)
