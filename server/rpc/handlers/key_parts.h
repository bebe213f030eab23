/* key_parts: what the handlers of the two data planes have in common. */
#pragma once

#include "server/service/keys.h"

#include <holdfast/v1/key_service.pb-c.h>

/* Decoders as codec.h. key_decode_wrapped: every bad blob gets one answer,
 * which the service gives: one that is too long is cut to a length that is
 * wrong as well. key_decode_plaintext: exactly 32 bytes. */
HF_STATUS key_decode_access(const Holdfast__V1__AccessContext *access,
                            struct key_call *call, struct problem *problem);
void key_decode_wrapped(ProtobufCBinaryData wrapped, struct key_call *call);
HF_STATUS key_decode_plaintext(ProtobufCBinaryData plaintext,
                               struct key_call *call, struct problem *problem);

/* tenants/{tenant}/deps/{UUID}; "" for the service-managed one. Written by
 * hand: it is on the hot path. */
#define DEP_NAME_BYTES (8 + HF_NAME_MAX_BYTES + 6 + HF_ID_TEXT)
void key_dep_name(const struct key_call *call, char out[DEP_NAME_BYTES]);

/* Views: protobuf-c has no const. */
ProtobufCBinaryData key_view_of(const uint8_t *data, size_t len);
ProtobufCBinaryData key_plaintext_of(const struct key_call *call);
