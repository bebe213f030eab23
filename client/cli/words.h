/* words: what the service names, in the words of this command.
 *
 * The service speaks to programs: it names the verb to call and the field that
 * is wrong. Who typed a command wants the command to type and the option that
 * is missing. Programs (--json) get the service's own words. Pure tables.
 */
#pragma once

#include "client/cli/args.h"

#define FIELD_WORDS_BYTES 80

/* words_of_text: the text, in which every verb of the contract that a command
 * makes stands as that command: "holdfast dep refresh" for RefreshDep. Freed
 * with free; NULL without memory. */
char *words_of_text(const char *text);

/* words_of_field: what fills a field of the request in this command: the option
 * ("--confirm"), the operand ("MAILBOX"), or, where nothing does, the field's
 * own name. Returns the option, or NULL. */
const struct option *words_of_field(const struct command *command,
                                    const char *field,
                                    char out[FIELD_WORDS_BYTES]);

/* words_filled: a sentence, in whose quoted commands the words of operands and
 * that were given stand as typed: "holdfast purge show PURGE" with the purge at
 * hand. Freed with free; NULL without memory. */
char *words_filled(const char *sentence, const struct args *args);
