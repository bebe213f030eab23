/* json: messages of the contract as JSON, after the proto3 JSON mapping:
 * lowerCamelCase names, enums as their full names, 64-bit numbers as text,
 * bytes as base64, times in RFC 3339. Every field is always there; a message
 * that is not set is null.
 */
#pragma once

#include "hsm/base/own.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stdio.h>

static inline void json_freep(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

/* json_text: a JSON text of what may be anything, cleaned. Never NULL while
 * there is memory. */
json_t *json_text(const char *text);

/* json_lines: each item of an array as one line, and flushed. */
bool json_lines(FILE *to, const json_t *array);

/* message_json: a new object; NULL without memory, or for a message deeper
 * than any of the contract. */
json_t *message_json(const ProtobufCMessage *message);
