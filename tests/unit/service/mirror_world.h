/* mirror_world: a world whose tokens of availability keys have mirrors. */
#pragma once

#include "server/service/ak_capacity.h"
#include "server/service/ak_enrol.h"
#include "server/service/ak_retire.h"

#include "tests/unit/service/purge_world.h"

enum { M1, M2, G1 };

/* What holdfast-hsm ak init makes. */
void mirror_transport(const struct token *token);
/* The mirrors are configured, "ak" and "m1" have their transport pairs; none is
 * enrolled. The service starts anew. */
void mirror_world_start(struct world *world);
/* Orders the enrolment. */
enum hf_status mirror_try_enroll(struct world *world, const char *name,
                                 struct ak_token_view *out);
/* and waits until it is ACTIVE. */
void mirror_enroll(struct world *world, const char *name);
bool mirror_wait_active(struct world *world, const char *name);
void mirror_view(struct world *world, const char *name,
                 struct ak_token_view *out);
/* Every operation of the token is answered that it is away. */
void mirror_away(struct token_fake *fake, bool away);
/* The refusal names the token, and is not of the customers' keys. */
void mirror_is_blamed(struct world *world, const char *name);
/* Both tokens of customers answer nothing. */
void mirror_customers_away(struct world *world, bool away);
/* how many objects a token holds of a DEP */
size_t mirror_objects(const struct token *token, const struct hf_id *dep);
enum hf_status mirror_try_dep(struct world *world, const char *name,
                              struct dep_view *out);
/* The generation has a copy in each of `count` tokens. */
size_t mirror_copies(struct world *world, const struct hf_id *dep,
                     uint32_t generation);
/* One says that the token is to be retired; who is the number of the person. */
enum hf_status mirror_try_retire(struct world *world, const char *name,
                                 unsigned who, const char *disposal);
