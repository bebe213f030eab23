/* service_double: the functions of server/service, linked in its place.
 *
 * A double, not the service: it knows no key, no role and no store. It answers
 * by the words in the names it is asked for, so that a test can have every
 * answer of the real one, and writes what it was asked to standard output.
 *
 *   mailbox     ok        the key 5a..., at once on the calling thread
 *               later     the same, from another thread
 *               wait-MS   the same, after so many milliseconds
 *               effect-MS waits; unless cancelled, then says "effect"
 *               denied bad down overload  the refusals of those names
 *   any name    missing   NOT_FOUND
 *               failing   VALIDATION_FAILED with every check
 *               wait-MS   waits on the pool's thread
 *   caller of   crowded   finds the pool full
 *   tenant      queued    waits 300 ms in the pool's queue
 *
 * Commands on standard input: health UUID NUMBER (0: forget it); operation DONE
 * STATE, how the operation that streams look at stands now; audit + NUMBER, so
 * many more records; topics + NUMBER, so many changes of other operations;
 * quit. Streams of the operation "still" see one that nobody changes,
 * those of "late" tell what they saw 400 ms later.
 */
#pragma once

#include "server/service/service.h"

struct service *double_start(void);
/* double_stop: waits for what is out. */
void double_stop(struct service *service);
/* double_command: one line of the above but quit. */
void double_command(struct service *service, const char *line);
/* What its files share: the number behind "wait-" and the like, -1 when the
 * name does not begin so; the one DEP there is. */
long double_number_in(const char *name, const char *word);
extern const struct hf_id double_dep;
#define DOUBLE_TIME_MS 1750000000123ll
/* double_use_case: what every blocking use case of the double does: says what
 * was asked for, and answers by the name of what it is about. */
HF_STATUS double_use_case(const struct caller *caller, const char *what,
                          const char *tenant, const char *name,
                          struct problem *problem);

/* What the commands for streams do. */
void double_operation(uint64_t done, int state);
void double_audit(uint64_t records);
void double_topics(int count);
/* double_hurry: from now on nothing waits and nothing is said (for fuzzing). */
void double_hurry(void);
/* double_say: one line on standard output. Threads: any. */
__attribute__((format(printf, 1, 2))) void double_say(const char *format, ...);
