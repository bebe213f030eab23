#include "server/rpc/codec.h"

#include "hsm/base/own.h"

#include "server/domain/dep.h"

#include "server/rpc/method.h"

#include <openssl/evp.h>

#include <holdfast/v1/customer_key_service.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANTS     "tenants/"
#define MAX_TIME_MS 253402300799999ll /* 9999-12-31T23:59:59.999Z */
#define PAGE_MAX    1000
#define SHOWN_BYTES 80 /* of a wrong value in a text */

static HF_STATUS name_problem(const struct codec_name *what, const char *text,
                              struct problem *problem)
{
    if (what->collection == NULL) {
        return problem_field(problem, what->field,
                             "\"%.*s\" is not a name: tenants/{tenant}",
                             SHOWN_BYTES, text);
    }
    return problem_field(problem, what->field,
                         "\"%.*s\" is not a name: tenants/{tenant}/%s/{id}",
                         SHOWN_BYTES, text, what->collection);
}

/* The text up to the next '/' or the end; *at behind it. */
static bool take_segment(const char **at, char *out, size_t cap)
{
    size_t len = strcspn(*at, "/");
    if (len == 0 || len >= cap) {
        return false;
    }
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len;
    return true;
}

static bool mailbox_id_is_valid(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > HF_RESOURCE_ID_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return false;
        }
    }
    return true;
}

HF_STATUS codec_parse_name(const struct codec_name *what, const char *text,
                           struct problem *problem)
{
    const char *at = text;
    if (strncmp(at, TENANTS, sizeof TENANTS - 1) != 0) {
        return name_problem(what, text, problem);
    }
    at += sizeof TENANTS - 1;
    if (!take_segment(&at, what->out_tenant, HF_NAME_MAX_BYTES + 1) ||
        !name_is_valid(what->out_tenant)) {
        return name_problem(what, text, problem);
    }
    if (what->collection == NULL) {
        return *at == '\0' ? HF_OK : name_problem(what, text, problem);
    }
    size_t len = strlen(what->collection);
    if (*at != '/' || strncmp(at + 1, what->collection, len) != 0 ||
        at[1 + len] != '/') {
        return name_problem(what, text, problem);
    }
    at += len + 2;
    bool is_mailbox = what->id_cap > HF_NAME_MAX_BYTES + 1;
    if (!take_segment(&at, what->out_id, what->id_cap) || *at != '\0' ||
        !(is_mailbox ? mailbox_id_is_valid(what->out_id)
                     : name_is_valid(what->out_id))) {
        return name_problem(what, text, problem);
    }
    return HF_OK;
}

bool codec_names(const char *text, const char *collection)
{
    if (strncmp(text, TENANTS, sizeof TENANTS - 1) != 0) {
        return false;
    }
    const char *at = strchr(text + sizeof TENANTS - 1, '/');
    size_t len = strlen(collection);
    return at != NULL && strncmp(at + 1, collection, len) == 0 &&
           at[1 + len] == '/';
}

HF_STATUS codec_dep_of(const char *field, const char *text, const char *tenant,
                       char out[HF_NAME_MAX_BYTES + 1], struct problem *problem)
{
    char its_tenant[HF_NAME_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = field,
        .collection = "deps",
        .out_tenant = its_tenant,
        .out_id = out,
        .id_cap = HF_NAME_MAX_BYTES + 1,
    };
    HF_TRY(codec_parse_name(&what, text, problem));
    if (strcmp(its_tenant, tenant) != 0) {
        return problem_field(problem, field,
                             "must be a DEP of the same tenant, "
                             "tenants/%s/deps/{dep}",
                             tenant);
    }
    return HF_OK;
}

HF_STATUS codec_parent(const char *text, char *out_tenant,
                       struct problem *problem)
{
    const struct codec_name what = {
        .field = "parent",
        .out_tenant = out_tenant,
    };
    return codec_parse_name(&what, text, problem);
}

HF_STATUS codec_id(const char *field, const char *text,
                   char out[HF_NAME_MAX_BYTES + 1], struct problem *problem)
{
    if (!name_is_valid(text)) {
        return problem_field(problem, field,
                             "must be 1 to %d of letters, digits, '_', '-' "
                             "and '.'",
                             HF_NAME_MAX_BYTES);
    }
    return text_copy(out, HF_NAME_MAX_BYTES + 1, text);
}

HF_STATUS codec_mailbox_id(const char *field, const char *text,
                           char out[HF_RESOURCE_ID_MAX_BYTES + 1],
                           struct problem *problem)
{
    if (!mailbox_id_is_valid(text)) {
        return problem_field(problem, field,
                             "must be 1 to %d bytes without '/' and control "
                             "characters",
                             HF_RESOURCE_ID_MAX_BYTES);
    }
    return text_copy(out, HF_RESOURCE_ID_MAX_BYTES + 1, text);
}

HF_STATUS codec_text(const char *field, const char *text, char *out, size_t cap,
                     struct problem *problem)
{
    size_t len = strlen(text);
    if (len >= cap) {
        return problem_field(problem, field,
                             "is %zu bytes long; at most %zu are possible", len,
                             cap - 1);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            return problem_field(problem, field,
                                 "holds a control character (0x%02x)", c);
        }
    }
    return text_copy(out, cap, text);
}

static HF_STATUS uri_with_scheme(const char *field, const char *scheme,
                                 const char *text, char *out,
                                 struct problem *problem)
{
    size_t len = strlen(text);
    size_t scheme_len = strlen(scheme);
    bool good = len > scheme_len && len <= HF_URI_MAX_BYTES &&
                strncmp(text, scheme, scheme_len) == 0;
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] > 0x20 && text[i] < 0x7f;
    }
    if (!good) {
        return problem_field(problem, field,
                             "must be a URI that begins with %s, of at most "
                             "%d printable ASCII characters",
                             scheme, HF_URI_MAX_BYTES);
    }
    return text_copy(out, HF_URI_MAX_BYTES + 1, text);
}

HF_STATUS codec_spiffe(const char *field, const char *text,
                       char out[HF_URI_MAX_BYTES + 1], struct problem *problem)
{
    return uri_with_scheme(field, "spiffe://", text, out, problem);
}

HF_STATUS codec_pkcs11(const char *field, const char *text,
                       char out[HF_URI_MAX_BYTES + 1], struct problem *problem)
{
    return uri_with_scheme(field, "pkcs11:", text, out, problem);
}

HF_STATUS codec_request_id(const char *field, const char *text,
                           char out[HF_ID_TEXT], struct problem *problem)
{
    out[0] = '\0';
    if (text[0] == '\0') {
        return HF_OK;
    }
    struct hf_id id;
    if (id_parse(text, &id) != HF_OK) {
        return problem_field(problem, field,
                             "\"%.*s\" is not a UUID (36 characters) and not "
                             "empty",
                             SHOWN_BYTES, text);
    }
    id_format(&id, out);
    return HF_OK;
}

/* What tells a repeat from another request under the same id: the message as
 * this side writes it, whatever order its fields came in. */
static HF_STATUS content_of(const struct admin_work *work,
                            uint8_t out[HF_SHA256_BYTES])
{
    size_t len = protobuf_c_message_get_packed_size(work->request);
    uint8_t *bytes = rpc_arena_alloc(work->arena, len > 0 ? len : 1);
    if (bytes == NULL) {
        return problem_of_status(work->problem, HF_E_NO_MEMORY);
    }
    protobuf_c_message_pack(work->request, bytes);
    if (EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) != 1) {
        return problem_of_status(work->problem, HF_E_NO_MEMORY);
    }
    return HF_OK;
}

HF_STATUS codec_mutation(const struct codec_mutation *in,
                         const struct admin_work *work, struct mutation *out)
{
    struct problem *problem = work->problem;
    const char *field =
        in->request_id_field != NULL ? in->request_id_field : "request_id";
    HF_TRY(codec_request_id(field, in->request_id, out->request_id, problem));
    if (out->request_id[0] != '\0') {
        HF_TRY(content_of(work, out->content));
    }
    out->etag[0] = '\0';
    if (in->etag != NULL) {
        HF_TRY(codec_text(in->etag_field != NULL ? in->etag_field : "etag",
                          in->etag, out->etag, sizeof out->etag, problem));
    }
    out->validate_only = in->validate_only != 0;
    out->cancellation = work->cancellation;
    return HF_OK;
}

HF_STATUS codec_page(int32_t size, const char *token, uint32_t max,
                     struct page_request *out, struct problem *problem)
{
    if (size < 0 || size > PAGE_MAX) {
        return problem_field(problem, "page_size",
                             "%d is out of range: 0 (for 100) to %d", size,
                             PAGE_MAX);
    }
    uint32_t wanted = size == 0 ? 100 : (uint32_t)size;
    out->size = wanted < max ? wanted : max;
    return codec_text("page_token", token, out->token, sizeof out->token,
                      problem);
}

HF_STATUS codec_timestamp(const char *field,
                          const Google__Protobuf__Timestamp *in,
                          int64_t *out_ms, struct problem *problem)
{
    *out_ms = 0;
    if (in == NULL) {
        return HF_OK;
    }
    if (in->seconds < 0 || in->seconds > MAX_TIME_MS / 1000 || in->nanos < 0 ||
        in->nanos > 999999999) {
        return problem_field(problem, field,
                             "must lie between 1970-01-01 and the end of 9999, "
                             "with nanos from 0 to 999999999");
    }
    *out_ms = in->seconds * 1000 + in->nanos / 1000000;
    return HF_OK;
}

HF_STATUS codec_duration(const char *field,
                         const Google__Protobuf__Duration *in, int64_t max_ms,
                         int64_t *out_ms, struct problem *problem)
{
    if (in->seconds < 0 || in->seconds > max_ms / 1000 || in->nanos < 0 ||
        in->nanos > 999999999 || in->nanos % 1000000 != 0 ||
        in->seconds * 1000 + in->nanos / 1000000 > max_ms) {
        return problem_field(problem, field,
                             "must be 0 to %lld s, in whole milliseconds",
                             (long long)(max_ms / 1000));
    }
    *out_ms = in->seconds * 1000 + in->nanos / 1000000;
    return HF_OK;
}

static HF_STATUS mask_problem(const char *const *known, size_t known_count,
                              const char *found, struct problem *problem)
{
    char list[160] = "";
    size_t at = 0;
    for (size_t i = 0; i < known_count && at < sizeof list; i++) {
        int n = snprintf(list + at, sizeof list - at, "%s%s",
                         i == 0 ? "" : ", ", known[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return problem_field(problem, "update_mask", "%.*s%s; possible paths: %s",
                         SHOWN_BYTES, found,
                         found[0] == '\0' ? "names nothing to change"
                                          : " is unknown or named twice",
                         list);
}

HF_STATUS codec_mask(const Google__Protobuf__FieldMask *mask,
                     const char *const *known, size_t known_count,
                     uint32_t *out_bits, struct problem *problem)
{
    uint32_t bits = 0;
    size_t count = mask != NULL ? mask->n_paths : 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < known_count && strcmp(known[k], mask->paths[i]) != 0) {
            k++;
        }
        if (k == known_count || (bits >> k & 1) != 0) {
            const char *path = mask->paths[i];
            return mask_problem(known, known_count,
                                path[0] == '\0' ? "\"\"" : path, problem);
        }
        bits |= 1u << k;
    }
    if (bits == 0) {
        return mask_problem(known, known_count, "", problem);
    }
    *out_bits = bits;
    return HF_OK;
}

HF_STATUS codec_permissions(const void *values, size_t count, bool none_is_all,
                            uint32_t *out_bits, struct problem *problem)
{
    const Holdfast__V1__Permission *items = values;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        switch (items[i]) {
        case HOLDFAST__V1__PERMISSION__PERMISSION_GET:
            bits |= PERMISSION_GET;
            break;
        case HOLDFAST__V1__PERMISSION__PERMISSION_WRAP:
            bits |= PERMISSION_WRAP;
            break;
        case HOLDFAST__V1__PERMISSION__PERMISSION_UNWRAP:
            bits |= PERMISSION_UNWRAP;
            break;
        case HOLDFAST__V1__PERMISSION__PERMISSION_UNSPECIFIED:
        case _HOLDFAST__V1__PERMISSION_IS_INT_SIZE:
            return problem_field(problem, "permissions",
                                 "must be GET, WRAP or UNWRAP");
        }
    }
    if (bits == 0 && none_is_all) {
        bits = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    }
    if (bits == 0) {
        return problem_field(problem, "permissions",
                             "at least one of GET, WRAP, UNWRAP is needed");
    }
    *out_bits = bits;
    return HF_OK;
}

HF_STATUS
codec_key_pair(char *const *names, size_t count, const char *tenant,
               char out[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1],
               struct problem *problem)
{
    if (count != HF_CUSTOMER_KEYS_PER_DEP) {
        return problem_field(problem, "customer_keys",
                             "%zu names; exactly two are needed (R-3.7)",
                             count);
    }
    for (size_t i = 0; i < count; i++) {
        char its_tenant[HF_NAME_MAX_BYTES + 1];
        const struct codec_name what = {
            .field = "customer_keys",
            .collection = "customerKeys",
            .out_tenant = its_tenant,
            .out_id = out[i],
            .id_cap = HF_NAME_MAX_BYTES + 1,
        };
        HF_TRY(codec_parse_name(&what, names[i], problem));
        if (strcmp(its_tenant, tenant) != 0) {
            return problem_field(problem, "customer_keys",
                                 "must be keys of the same tenant, "
                                 "tenants/%s/customerKeys/{customer_key}",
                                 tenant);
        }
    }
    return HF_OK;
}

enum residency codec_residency(Holdfast__V1__Residency in)
{
    return in == HOLDFAST__V1__RESIDENCY__RESIDENCY_MEMORY ? RESIDENCY_MEMORY
                                                           : RESIDENCY_TOKEN;
}

ProtobufCMessage *codec_new_message(struct rpc_arena *arena,
                                    const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *out = rpc_arena_alloc(arena, type->sizeof_message);
    if (out != NULL) {
        protobuf_c_message_init(type, out);
    }
    return out;
}

Google__Protobuf__Timestamp *codec_put_timestamp(struct rpc_arena *arena,
                                                 int64_t ms)
{
    if (ms <= 0) {
        return NULL;
    }
    Google__Protobuf__Timestamp *out = codec_new(
        arena, Google__Protobuf__Timestamp, google__protobuf__timestamp);
    if (out != NULL) {
        out->seconds = ms / 1000;
        out->nanos = (int32_t)(ms % 1000) * 1000000;
    }
    return out;
}

Google__Protobuf__Duration *codec_put_duration(struct rpc_arena *arena,
                                               int64_t ms)
{
    Google__Protobuf__Duration *out = codec_new(
        arena, Google__Protobuf__Duration, google__protobuf__duration);
    if (out != NULL) {
        out->seconds = ms / 1000;
        out->nanos = (int32_t)(ms % 1000) * 1000000;
    }
    return out;
}

char *codec_put_id(struct rpc_arena *arena, const struct hf_id *id)
{
    char text[HF_ID_TEXT];
    id_format(id, text);
    return rpc_arena_text(arena, "%s", text);
}

char *codec_put_name(struct rpc_arena *arena, const char *tenant,
                     const char *collection, const char *id)
{
    return rpc_arena_text(arena, TENANTS "%s/%s/%s", tenant, collection, id);
}

char *codec_put_dep_name(struct rpc_arena *arena, const char *tenant,
                         const struct hf_id *dep)
{
    if (id_is_nil(dep)) {
        return rpc_arena_text(arena, "%s", "");
    }
    char text[HF_ID_TEXT];
    id_format(dep, text);
    return codec_put_name(arena, tenant, "deps", text);
}

ProtobufCBinaryData codec_put_bytes(struct rpc_arena *arena, struct bytes in)
{
    ProtobufCBinaryData out = {.len = 0, .data = NULL};
    if (in.len == 0) {
        return out;
    }
    out.data = rpc_arena_alloc(arena, in.len);
    if (out.data != NULL) {
        memcpy(out.data, in.data, in.len);
        out.len = in.len;
    }
    return out;
}

uint64_t codec_put_revision(const char *etag)
{
    return strtoull(etag, NULL, 10);
}
