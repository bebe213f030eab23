/* token_statement: a custodian's word on a token, for enrolment and for binding
 * what was restored. */
#pragma once

#include "hsm/base/enrolment.h"

#include "server/service/admin.h"
#include "server/service/tokens.h"

/* NULL: no such token in the configuration. */
const struct configured_token *token_configured(const struct service *service,
                                                const char *name);
/* token_check_statement: the statement must say just what is: this tenant, this
 * token, its domain; signed by the custodian of the domain. FIELD_INVALID;
 * KEY_UNAVAILABLE while the token could not be opened. */
HF_STATUS token_check_statement(const struct admin *admin,
                                const struct token_enroll *request,
                                const struct configured_token *configured,
                                struct enrolment *out);
/* token_show: as it is now; asks the token whether it answers. */
void token_show(struct service *service, const struct token_entry *token,
                struct token_view *out);
/* token_take_statement: what it says, into the record. */
HF_STATUS token_take_statement(const struct admin *admin,
                               const struct token_enroll *request,
                               const struct enrolment *enrolment,
                               struct token_record *record);
