/* fields: the parts that several frames have in common, and their checks. */
#pragma once

#include "hsm/base/bytes.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* field_text_is_sound: ends within cap. */
bool field_text_is_sound(const char *text, size_t cap);
bool field_key_is_sound(const struct token_key *key);
/* Whether a number is one of the enum. */
bool field_suite_is_known(unsigned suite);
bool field_purpose_is_known(unsigned purpose);

void put_flag(struct byte_writer *writer, bool flag);
bool get_flag(struct byte_reader *reader);

/* get_at_most: a number that is bad above max. */
uint32_t get_at_most(struct byte_reader *reader, uint32_t max);
/* get_copy: a length-prefixed field of at most cap bytes, copied. */
struct bytes get_copy(struct byte_reader *reader, uint8_t *into, size_t cap);

void put_key(struct byte_writer *writer, const struct token_key *key);
void get_key(struct byte_reader *reader, struct token_key *key);
/* The lower half of the generation goes over; get_object puts `worker` into the
 * upper one. */
void put_object(struct byte_writer *writer, const struct token_object *object);
void get_object(struct byte_reader *reader, uint32_t worker,
                struct token_object *object);
void put_report(struct byte_writer *writer,
                const struct token_key_report *report);
void get_report(struct byte_reader *reader, struct token_key_report *report);
void put_data_object(struct byte_writer *writer, const struct token_data *data);
void get_data_object(struct byte_reader *reader, struct token_data *data);
