/* validation_check: one function per check of the table in validation.c. */
#pragma once

#include "server/domain/validation.h"
#include "server/domain/validation_text.h"

#define VALIDATION_RETENTION_DAYS 90 /* */

/* One line of the report while it is written; every check says its
 * status, and words. */
struct line {
    struct check_result *result;
    struct text_out text;
};

typedef void check_fn(const struct validation_facts *facts,
                      const struct key_facts *key, struct line *line);

/* line_say: the status, and the next words of the text. */
void line_say(struct line *line, enum check_status status, const char *words);
/* line_say_required: as line_say, FAIL for a production tenant and WARN for any
 * other. */
void line_say_required(struct line *line, const struct validation_facts *facts,
                       const char *words);

/* About the pair; key is NULL. */
check_fn check_two_custody_domains;
check_fn check_two_tokens;
check_fn check_keys_distinct;
check_fn check_approvers_recorded;
check_fn check_licence;

/* About one token. */
check_fn check_domain_eligible;
check_fn check_token_in_domain;
check_fn check_soft_delete;
check_fn check_purge_protection;
check_fn check_token_protected;
check_fn check_hsm_backed;
check_fn check_token_shared;

/* About one key. */
check_fn check_key_exists;
check_fn check_key_type;
check_fn check_key_size;
check_fn check_key_enabled;
check_fn check_key_no_expiry;
check_fn check_key_not_before;
check_fn check_key_non_exportable;
check_fn check_key_ops;
check_fn check_perm_get;
check_fn check_perm_wrap;
check_fn check_perm_unwrap;
check_fn check_mechanism_probe;
check_fn check_round_trip;
