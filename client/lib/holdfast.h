/* holdfast: the C client library of Holdfast, over gRPC with mutual TLS.
 *
 *   struct hf_error error = {0};
 *   struct hf_client *client = NULL;
 *   if (hf_client_open(&settings, &client, &error) == HF_CODE_OK) { ... }
 *
 * Every call answers with the canonical code of the service; what is known
 * beyond it (a reason word, the fields that were wrong, the checks that
 * failed) is in struct hf_error. Calls are repeated by themselves, with the
 * same request id, only for UNAVAILABLE, and for RESOURCE_EXHAUSTED when the
 * service says when to come back, and only within the deadline.
 *
 * Plaintext keys are in struct hf_secret: locked memory, left out of core
 * dumps, wiped when freed. Requests and responses are wiped after use, except
 * for the buffers inside gRPC and TLS, which nobody outside them can reach.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_API  __attribute__((visibility("default")))
#define HF_CALL HF_API __attribute__((warn_unused_result)) enum hf_code

/* The canonical codes, with their numbers on the wire (google.rpc.Code). */
enum hf_code {
    HF_CODE_OK = 0,
    HF_CODE_CANCELLED = 1,
    HF_CODE_UNKNOWN = 2,
    HF_CODE_INVALID_ARGUMENT = 3,
    HF_CODE_DEADLINE_EXCEEDED = 4,
    HF_CODE_NOT_FOUND = 5,
    HF_CODE_ALREADY_EXISTS = 6,
    HF_CODE_PERMISSION_DENIED = 7,
    HF_CODE_RESOURCE_EXHAUSTED = 8,
    HF_CODE_FAILED_PRECONDITION = 9,
    HF_CODE_ABORTED = 10,
    HF_CODE_OUT_OF_RANGE = 11,
    HF_CODE_UNIMPLEMENTED = 12,
    HF_CODE_INTERNAL = 13,
    HF_CODE_UNAVAILABLE = 14,
    HF_CODE_DATA_LOSS = 15,
    HF_CODE_UNAUTHENTICATED = 16,
};

/* hf_code_text: its name, for example "NOT_FOUND"; "UNKNOWN" out of range. */
HF_API const char *hf_code_text(enum hf_code code);

/* --- errors ------------------------------------------------------------- */

struct hf_pair {
    char *key;
    char *value;
};

struct hf_violation {
    char *field;
    char *description;
};

enum hf_check_status {
    HF_CHECK_PASS = 1,
    HF_CHECK_FAIL = 2,
    HF_CHECK_WARN = 3,
    HF_CHECK_SKIPPED = 4,
};

enum hf_check_evidence {
    HF_EVIDENCE_MEASURED = 1,
    HF_EVIDENCE_ATTESTED = 2,
    HF_EVIDENCE_DECLARED = 3,
};

/* One check of a validation; status and evidence are 0 when not told. */
struct hf_check {
    char *code;
    char *customer_key; /* resource name; "": about the pair of keys */
    char *text;
    int status;
    int evidence;
};

/* Why a call did not succeed. Texts are never NULL after a failed call, are
 * valid UTF-8 without control characters, and are cut at 1024 bytes. Reasons
 * of the library itself, when no answer of the service is behind the error:
 * CLIENT_SETTINGS, CLIENT_RESOURCES, CLIENT_RESPONSE (an answer that cannot
 * be read).
 */
struct hf_error {
    enum hf_code code;
    char *reason; /* UPPER_SNAKE_CASE; "" when none was given */
    char *message;
    struct hf_pair *metadata;
    size_t metadata_count;
    struct hf_violation *violations;
    size_t violation_count;
    struct hf_check *checks; /* the validation report, when one was sent */
    size_t check_count;
    int64_t retry_delay_ms; /* -1: the service did not say */
    unsigned attempts;      /* how often the service was asked */
};

/* hf_error_free: what the error holds, not the struct; leaves it zeroed. A
 * call that takes a struct hf_error frees what was in it first, so it must be
 * zeroed before its first use. NULL-safe. */
HF_API void hf_error_free(struct hf_error *error);

/* --- secrets ------------------------------------------------------------ */

struct hf_secret;

/* hf_secret_new: a copy of len bytes (1 to 4096) in locked memory; the caller
 * wipes its own.
 *
 * Gives     *out_secret, freed with hf_secret_free.
 * Returns   HF_CODE_OK; HF_CODE_INVALID_ARGUMENT for the length;
 *           HF_CODE_RESOURCE_EXHAUSTED without memory to lock.
 * Threads   safe from any thread.
 */
HF_CALL hf_secret_new(const void *bytes, size_t len,
                      struct hf_secret **out_secret);
HF_API const uint8_t *hf_secret_bytes(const struct hf_secret *secret);
HF_API size_t hf_secret_len(const struct hf_secret *secret);
HF_API void hf_secret_free(struct hf_secret *secret); /* NULL-safe */

/* --- the client --------------------------------------------------------- */

struct hf_client;

struct hf_settings {
    const char *target; /* host:port, or unix:path */
    const char *ca_file;
    const char *certificate_file;
    const char *key_file;    /* PEM, not encrypted, at most 4096 bytes */
    const char *server_name; /* expected in the certificate; NULL: target's */
    int64_t deadline_ms;     /* of a call that names none; 0: 10 s */
    /* gRPC writes its own log lines to standard error only if true. The
     * switch is the process's, not this client's: it is gRPC's. */
    bool transport_log;
};

/* hf_client_open: reads the files and makes one channel. Does not connect:
 * the first call does.
 *
 * Gives     *out_client, closed with hf_client_close.
 * Returns   HF_CODE_OK; HF_CODE_INVALID_ARGUMENT / CLIENT_SETTINGS for a
 *           setting or file that cannot be used; HF_CODE_RESOURCE_EXHAUSTED /
 *           CLIENT_RESOURCES.
 * Threads   safe from any thread; so is every call on the client.
 */
HF_CALL hf_client_open(const struct hf_settings *settings,
                       struct hf_client **out_client, struct hf_error *error);
/* hf_client_close: NULL-safe.
 *
 * Takes     a client no call is running on.
 * Blocks    the last client of the process: until gRPC's own threads have
 *           ended; a moment, or up to two seconds when the connection was
 *           lost.
 */
HF_API void hf_client_close(struct hf_client *client);

/* hf_request_id: a fresh random UUID. Returns HF_CODE_OK, or HF_CODE_INTERNAL
 * when the random generator failed. */
#define HF_REQUEST_ID_TEXT 37
HF_CALL hf_request_id(char out_text[HF_REQUEST_ID_TEXT]);

/* One unary call by name; messages as protobuf-c made them. */
struct hf_unary {
    const char *method; /* "holdfast.v1.DepService/GetDep" */
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response;
    int64_t deadline_ms; /* 0: the client's */
};

/* hf_call: a call, repeated as described above.
 *
 * Takes     a request that already carries its request_id, so that every
 *           repetition sends the same bytes.
 * Gives     *out_response, freed with hf_message_free (which wipes it);
 *           untouched on failure. *error on failure; error may be NULL.
 * Returns   the code of the last answer.
 * Blocks    up to the deadline.
 */
HF_CALL hf_call(struct hf_client *client, const struct hf_unary *unary,
                ProtobufCMessage **out_response, struct hf_error *error);
HF_API void hf_message_free(ProtobufCMessage *message); /* NULL-safe */

/* Called for each message of a stream, which is freed behind it; false: no
 * more are wanted. */
typedef bool hf_message_fn(void *context, const ProtobufCMessage *message);

/* hf_stream: a call that is answered with many messages. Repeated as hf_call
 * for as long as none has come; then where to go on is the caller's to know.
 * Beginning it may take as long as any call of the client.
 *
 * Takes     deadline_ms 0: until it ends.
 * Returns   HF_CODE_OK when the stream ended, or each wanted no more; else the
 *           code of its end. *error on failure; may be NULL.
 * Blocks    until then, and in each.
 */
HF_CALL hf_stream(struct hf_client *client, const struct hf_unary *call,
                  hf_message_fn *each, void *context, struct hf_error *error);

/* --- the data plane ----------------------------------------------------- */

enum hf_initiator {
    HF_INITIATOR_USER = 1,
    HF_INITIATOR_SYSTEM = 2,
};

/* What a SYSTEM access is for. */
enum hf_purpose {
    HF_PURPOSE_NONE = 0,
    HF_PURPOSE_EDISCOVERY = 1,
    HF_PURPOSE_ANTI_MALWARE = 2,
    HF_PURPOSE_ANTI_SPAM = 3,
    HF_PURPOSE_SEARCH_INDEXING = 4,
    HF_PURPOSE_DATA_LOSS_PREVENTION = 5,
    HF_PURPOSE_MOVE = 6,
    HF_PURPOSE_REWRAP = 7,
};

#define HF_RESOURCE_KEY_BYTES 32
#define HF_WRAPPED_MAX_BYTES  256
#define HF_DEP_NAME_TEXT      192

struct hf_key_request {
    const char *resource;       /* tenants/{tenant}/mailboxes/{mailbox} */
    const uint8_t *wrapped_key; /* unwrap, rewrap; NULL: the stored one */
    size_t wrapped_len;
    const struct hf_secret *key; /* wrap: 32 bytes */
    enum hf_initiator initiator; /* 0: user */
    enum hf_purpose purpose;     /* of a system access */
    const char *request_id;      /* UUID; NULL: a fresh one */
    int64_t deadline_ms;         /* 0: the client's */
};

struct hf_key_answer {
    struct hf_secret *key; /* generate, unwrap, renew: 32 bytes; else NULL */
    /* generate, wrap, rewrap, renew: the wrapped key. unwrap: the new one, when
     * this access moved the key to another DEP or generation; else wrapped_len
     * 0 */
    uint8_t wrapped_key[HF_WRAPPED_MAX_BYTES];
    size_t wrapped_len;
    /* renew: the wrapped key that was stored until now */
    uint8_t replaced_key[HF_WRAPPED_MAX_BYTES];
    size_t replaced_len;
    char dep[HF_DEP_NAME_TEXT]; /* "": service-managed */
    uint32_t generation;
    char request_id[HF_REQUEST_ID_TEXT]; /* the one that was sent */
};

/* hf_generate_key, hf_unwrap_key, hf_wrap_key, hf_rewrap_key, hf_renew_key: one
 * call each of holdfast.v1.KeyService.
 *
 * Gives     *out_answer, cleared with hf_key_answer_clear; untouched on
 *           failure.
 * Returns   as hf_call; HF_CODE_INVALID_ARGUMENT / CLIENT_SETTINGS for a
 *           request that cannot be sent; HF_CODE_INTERNAL / CLIENT_RESPONSE for
 *           an answer with a key of the wrong length.
 * Blocks    up to the deadline.
 * Threads   safe from any thread.
 */
HF_CALL hf_generate_key(struct hf_client *client,
                        const struct hf_key_request *request,
                        struct hf_key_answer *out_answer,
                        struct hf_error *error);
HF_CALL hf_unwrap_key(struct hf_client *client,
                      const struct hf_key_request *request,
                      struct hf_key_answer *out_answer, struct hf_error *error);
HF_CALL hf_wrap_key(struct hf_client *client,
                    const struct hf_key_request *request,
                    struct hf_key_answer *out_answer, struct hf_error *error);
HF_CALL hf_rewrap_key(struct hf_client *client,
                      const struct hf_key_request *request,
                      struct hf_key_answer *out_answer, struct hf_error *error);
HF_CALL hf_renew_key(struct hf_client *client,
                     const struct hf_key_request *request,
                     struct hf_key_answer *out_answer, struct hf_error *error);
/* hf_key_answer_clear: frees the key, zeroes the rest. NULL-safe. */
HF_API void hf_key_answer_clear(struct hf_key_answer *answer);

/* --- health ------------------------------------------------------------- */

enum hf_serving {
    HF_SERVING_UNKNOWN = 0,
    HF_SERVING = 1,
    HF_NOT_SERVING = 2,
};

/* hf_health: grpc.health.v1.Health/Check of a service name ("": the whole
 * server). Returns as hf_call; HF_CODE_NOT_FOUND for a name it does not know.
 */
HF_CALL hf_health(struct hf_client *client, const char *service,
                  enum hf_serving *out_serving, struct hf_error *error);

#ifdef __cplusplus
}
#endif
