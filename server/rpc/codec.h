/* codec: what the fields of the requests mean, checked once, at the edge, and
 * the other way round.
 *
 * Every decoder: HF_OK; HF_E_INVALID with *problem FIELD_INVALID naming the
 * field, what was found and what would be right. Texts come from protobuf-c
 * after wire_check: UTF-8, without NUL, never NULL.
 */
#pragma once

#include "hsm/base/ids.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "server/domain/types.h"

#include "server/rpc/arena.h"
#include "server/service/keys.h"
#include "server/service/service.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <holdfast/v1/common.pb-c.h>

/* A name of one collection: its text, and where its parts go. */
struct codec_name {
    const char *field;      /* of the request */
    const char *collection; /* "deps"; NULL: the tenant alone */
    char *out_tenant;       /* HF_NAME_MAX_BYTES + 1 */
    char *out_id;
    size_t id_cap;
};

/* codec_parse_name: tenants/{tenant} or tenants/{tenant}/COLLECTION/{id}. */
HF_STATUS codec_parse_name(const struct codec_name *what, const char *text,
                           struct problem *problem);
/* codec_names: is the name one of this collection, by its looks. */
bool codec_names(const char *text, const char *collection);
/* codec_dep_of: a DEP of this tenant, by UUID or name. */
HF_STATUS codec_dep_of(const char *field, const char *text, const char *tenant,
                       char out[HF_NAME_MAX_BYTES + 1],
                       struct problem *problem);
/* codec_parent: tenants/{tenant} in the field parent. */
HF_STATUS codec_parent(const char *text, char *out_tenant,
                       struct problem *problem);
/* codec_id: 1 to 64 letters, digits, '_', '-', '.'. */
HF_STATUS codec_id(const char *field, const char *text,
                   char out[HF_NAME_MAX_BYTES + 1], struct problem *problem);
/* codec_mailbox_id: 1 to 256 bytes, no '/', no control characters. */
HF_STATUS codec_mailbox_id(const char *field, const char *text,
                           char out[HF_RESOURCE_ID_MAX_BYTES + 1],
                           struct problem *problem);
/* codec_text: at most cap - 1 bytes, no control characters but newline and
 * tab. */
HF_STATUS codec_text(const char *field, const char *text, char *out, size_t cap,
                     struct problem *problem);
/* codec_spiffe: the URI of a workload identity; codec_pkcs11: RFC 7512, at
 * least the scheme; the rest is the service's to read. */
HF_STATUS codec_spiffe(const char *field, const char *text,
                       char out[HF_URI_MAX_BYTES + 1], struct problem *problem);
HF_STATUS codec_pkcs11(const char *field, const char *text,
                       char out[HF_URI_MAX_BYTES + 1], struct problem *problem);

/* What every mutating request carries. etag NULL: the request has none. */
struct codec_mutation {
    const char *request_id_field;
    const char *request_id;
    const char *etag_field;
    const char *etag;
    protobuf_c_boolean validate_only;
};
struct admin_work;
HF_STATUS codec_mutation(const struct codec_mutation *in,
                         const struct admin_work *work, struct mutation *out);
/* codec_request_id: "" or a UUID, written in lower case. */
HF_STATUS codec_request_id(const char *field, const char *text,
                           char out[HF_ID_TEXT], struct problem *problem);
/* codec_page: size 0 to 1000; more than max is served as max (a page may be
 * smaller than asked for). */
HF_STATUS codec_page(int32_t size, const char *token, uint32_t max,
                     struct page_request *out, struct problem *problem);

/* codec_timestamp: years 1970 to 9999; NULL gives 0. Whole milliseconds. */
HF_STATUS codec_timestamp(const char *field,
                          const Google__Protobuf__Timestamp *in,
                          int64_t *out_ms, struct problem *problem);
/* codec_duration: 0 to max_ms, whole milliseconds. Takes in not NULL. */
HF_STATUS codec_duration(const char *field,
                         const Google__Protobuf__Duration *in, int64_t max_ms,
                         int64_t *out_ms, struct problem *problem);
/* codec_mask: which of the known paths (a bit each) are named; at least one,
 * none twice, none unknown. */
HF_STATUS codec_mask(const Google__Protobuf__FieldMask *mask,
                     const char *const *known, size_t known_count,
                     uint32_t *out_bits, struct problem *problem);
/* codec_permissions: at least one unless none_is_all. */
HF_STATUS codec_permissions(const void *values, size_t count, bool none_is_all,
                            uint32_t *out_bits, struct problem *problem);
/* codec_key_pair: exactly two customer keys of the tenant, by name. */
HF_STATUS
codec_key_pair(char *const *names, size_t count, const char *tenant,
               char out[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1],
               struct problem *problem);
/* codec_residency: unset means TOKEN. */
enum residency codec_residency(Holdfast__V1__Residency in);

/* Encoders: all memory is the arena's; NULL or "" when it is refused, which
 * the caller of the handler looks at once (arena->refused). */
Google__Protobuf__Timestamp *codec_put_timestamp(struct rpc_arena *arena,
                                                 int64_t ms); /* 0: NULL */
Google__Protobuf__Duration *codec_put_duration(struct rpc_arena *arena,
                                               int64_t ms);
char *codec_put_id(struct rpc_arena *arena, const struct hf_id *id);
char *codec_put_name(struct rpc_arena *arena, const char *tenant,
                     const char *collection, const char *id);
char *codec_put_dep_name(struct rpc_arena *arena, const char *tenant,
                         const struct hf_id *dep); /* nil: "" */
/* codec_put_revision: the number of an etag, which rises; "": 0. */
uint64_t codec_put_revision(const char *etag);
ProtobufCBinaryData codec_put_bytes(struct rpc_arena *arena, struct bytes in);

/* codec_new: a message of this type in the arena, initialised; NULL when
 * refused. codec_array: count pointers. */
#define codec_new(arena, type, lower)                                          \
    ((type *)codec_new_message((arena), &lower##__descriptor))
ProtobufCMessage *codec_new_message(struct rpc_arena *arena,
                                    const ProtobufCMessageDescriptor *type);
