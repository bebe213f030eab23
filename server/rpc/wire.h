/* wire: is this message well-formed, before protobuf-c makes it into structs?
 *
 * protobuf-c takes text that is no UTF-8, text with a NUL inside (which then
 * ends it early) and enum values nobody knows. This walk over the wire format
 * refuses them and names the field. It allocates nothing and is bounded: the
 * messages do not recurse, and deeper than WIRE_DEPTH_MAX is refused.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <protobuf-c/protobuf-c.h>

#define WIRE_DEPTH_MAX 8

struct problem;

/* wire_check: HF_OK; HF_E_INVALID with *problem FIELD_INVALID. Fields the
 * message does not know are passed over, as proto3 demands. */
HF_STATUS wire_check(const ProtobufCMessageDescriptor *message,
                     struct bytes body, struct problem *problem);

/* wire_is_utf8: well-formed (no surrogates, no overlong form, at most U+10FFFF)
 * and without NUL. */
bool wire_is_utf8(struct bytes text);

/* One field of a message: for the few who read the wire format themselves. */
struct wire_field {
    uint32_t number;
    uint32_t type;      /* 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
    uint64_t value;     /* of a varint or a fixed one */
    struct bytes bytes; /* of type 2 */
};
/* wire_next: takes the next field off *rest. HF_E_INVALID for a malformed
 * one. Takes rest->len > 0. */
HF_STATUS wire_next(struct bytes *rest, struct wire_field *out_field);
