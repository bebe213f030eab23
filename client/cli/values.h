/* values: words of the command line and of files, read strictly. */
#pragma once

#include "hsm/base/status.h"

#include "client/cli/file.h"

#include <protobuf-c/protobuf-c.h>

#include <stddef.h>
#include <stdint.h>

/* number_parse: decimal, whole text, within min and max; else HF_E_INVALID. */
HF_STATUS number_parse(const char *text, int64_t min, int64_t max,
                       int64_t *out_number);

/* time_parse: RFC 3339 in UTC, "2030-01-31" or "2030-01-31T12:00:00Z"; else
 * HF_E_INVALID. */
HF_STATUS time_parse(const char *text, int64_t *out_seconds);

/* base64_decode: RFC 4648 with padding, no blanks. Returns HF_OK; HF_E_INVALID;
 * HF_E_NO_MEMORY. base64_encode: freed with free; NULL without memory. */
HF_STATUS base64_decode(const char *text, size_t len, struct file_data *out);
char *base64_encode(const uint8_t *data, size_t len);

/* enum_parse: "mail-user" with the prefix "MAILBOX_KIND_" is the value of
 * MAILBOX_KIND_MAIL_USER; else HF_E_INVALID. The zero value has no word. */
HF_STATUS enum_parse(const ProtobufCEnumDescriptor *descriptor,
                     const char *prefix, const char *word, int *out_value);
