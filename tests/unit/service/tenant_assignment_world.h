/* tenant_assignment_world: the steps in which a tenant comes under a
 * multi-workload DEP and leaves it, each the use case itself. */
#pragma once

#include "server/service/tenant_assignments.h"

#include "tests/unit/service/world.h"

#define PAUSE_US 2000
#define TRIES    10000
#define ALL      "everything" /* the DEP, over ck1 and ck2 */
#define CHAT     "teams-chat"
#define SIGNALS  "exchange-signals"
#define PCS      "cloud-pcs"
#define FREE_BOX "free@contoso.example" /* without a mailbox DEP */
#define HOUR_MS  3600000

extern const uint32_t every_permission;
extern struct world world;

void new_dep(const char *name, const char *first, const char *second);
void grant(const char *key);
const struct caller *owner_of(const char *word);
void enlist(const char *word);
int start(void **state);
int stop(void **state);
void call_workload(enum verb verb, const struct caller *caller,
                   const char *word, const struct outcome *blob,
                   struct outcome *out);
void generate(const char *word, struct outcome *out);
void open_workload(const char *word, const struct outcome *kept,
                   struct outcome *out);
void open_box(const char *box, struct outcome *out);
bool same_key(const struct outcome *a, const struct outcome *b);
struct hf_id id_of(const char *dep, enum dep_type type);
bool is_under(const struct outcome *opened, const char *dep);
enum hf_status try_assign(const char *dep, struct operation_view *out);
enum hf_status try_offboard(struct operation_view *out);
void assert_refused(enum hf_status status, const char *reason);
struct tenant_assignment_view assignment(void);
void wait_for(enum assignment_state state);
void assign(const char *dep);
void offboard(void);
void tokens_are_down(bool down);
void let_pass(int64_t ms);
void wait_for_trouble(const struct operation_view *order);
