/* status: the one error type of Holdfast.
 *
 * Every function that can fail returns enum hf_status, and the caller must
 * look at it (HF_STATUS carries warn_unused_result). Outputs are written only
 * on HF_OK. Decide on the class (hf_status_class), not on single codes; a code
 * exists only where some caller acts differently. The classes of one attempt at
 * a root key (specification, table 6-A) are among them, so that they are
 * decided once, in the token adapter, and never re-guessed above it.
 */
#pragma once

/* What a caller can do about it. */
enum hf_class {
    HF_CLASS_OK,
    HF_CLASS_CALLER,    /* the request is wrong; repeating it is pointless */
    HF_CLASS_DENIED,    /* refused on purpose                             */
    HF_CLASS_MISSING,   /* it is not there                                */
    HF_CLASS_CONFLICT,  /* somebody else was first; read again            */
    HF_CLASS_TRANSIENT, /* the other side cannot be reached just now      */
    HF_CLASS_OURS,      /* our own trouble; never a fallback    */
    HF_CLASS_BROKEN,    /* data or code is damaged; a person must look    */
};

/* code, class, text */
#define HF_STATUS_TABLE(X)                                                     \
    X(HF_OK, OK, "ok")                                                         \
    X(HF_E_INVALID, CALLER, "invalid argument")                                \
    X(HF_E_PRECONDITION, CALLER, "not in a state that allows this")            \
    X(HF_E_LIMIT, CALLER, "a limit is reached")                                \
    X(HF_E_UNSUPPORTED, CALLER, "not supported here")                          \
    X(HF_E_DENIED, DENIED, "refused")                                          \
    X(HF_E_NOT_FOUND, MISSING, "not found")                                    \
    X(HF_E_UNCONFIRMED, MISSING, "not found, and not yet sure (R-15.9)")       \
    X(HF_E_EXISTS, CONFLICT, "already exists")                                 \
    X(HF_E_CONFLICT, CONFLICT, "changed by somebody else meanwhile")           \
    X(HF_E_UNREACHABLE, TRANSIENT, "cannot be reached just now")               \
    X(HF_E_TIMEOUT, TRANSIENT, "no answer within the deadline")                \
    X(HF_E_CANCELLED, OURS, "cancelled by the caller")                         \
    X(HF_E_EXPIRED, OURS, "the deadline passed before the work began")         \
    X(HF_E_OVERLOAD, OURS, "a queue of ours is full")                          \
    X(HF_E_NO_MEMORY, OURS, "out of memory")                                   \
    X(HF_E_RESOURCES, OURS, "out of descriptors, threads or sessions")         \
    X(HF_E_MISUSE, OURS, "we misused the token")                               \
    X(HF_E_BAD_BLOB, BROKEN, "wrapped data does not open")                     \
    X(HF_E_CORRUPT, BROKEN, "stored data is damaged")                          \
    X(HF_E_IO, BROKEN, "input or output failed")                               \
    X(HF_E_INTERNAL, BROKEN, "internal error")

enum hf_status {
#define X(code, class_, text) code,
    HF_STATUS_TABLE(X)
#undef X
        HF_STATUS_COUNT
};

#define HF_STATUS __attribute__((warn_unused_result)) enum hf_status

/* hf_status_class: what the caller of a failed function can do.
 * hf_status_text:  a lower-case phrase for people, without a full stop.
 * hf_status_name:  the code's own name, for logs.
 *
 * Takes     any value; one out of range counts as HF_E_INTERNAL.
 * Threads   safe from any thread.
 */
enum hf_class hf_status_class(enum hf_status status);
const char *hf_status_text(enum hf_status status);
const char *hf_status_name(enum hf_status status);
