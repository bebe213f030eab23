/* token: the port to one PKCS#11 token. Key material happens behind it.
 *
 * Asynchronous and batched: a caller fills requests, submits any number at
 * once, and is told of each by its done function. No caller ever waits inside
 * submit, whatever the module behind does, so a polling thread may call it.
 * Threads that may block use the token_* calls at the end, one request each.
 *
 * Two lanes behind the port: the data lane (SEAL, OPEN, MAC: short, under
 * session objects) never waits for the root lane (everything else).
 *
 * Keys of the port's users:
 *   root key    a token object, found by CKA_ID and, for a key pair, by the
 *               SHA-256 of its public key (struct token_key)
 *   object      a session object made by an unwrap (struct token_object),
 *               non-extractable, dead when the session or the worker that made
 *               it is gone: a handle carries the generation it was made in, so
 *               a stale one can never address another key
 *
 * What every status means is fixed here and classified in one place of the
 * adapter (specification, table 6-A, R-15.9, R-15.12):
 *   HF_OK
 *   HF_E_DENIED       the token refuses the function or the login
 *   HF_E_NOT_FOUND    no such key, confirmed by a canary and a fresh session
 *   HF_E_UNCONFIRMED  no such key, but not sure
 *   HF_E_UNREACHABLE  the token does not answer, or answers with a fault
 *   HF_E_TIMEOUT      no answer within the deadline
 *   HF_E_BAD_BLOB     the wrapped bytes are wrong and the key is fine (canary)
 *   HF_E_EXPIRED HF_E_OVERLOAD HF_E_NO_MEMORY HF_E_RESOURCES HF_E_MISUSE
 *                     our own trouble (class OURS): the token was not asked, or
 *                     was misused by us; never a reason for a fallback
 *   HF_E_UNSUPPORTED  the token's profile lacks the mechanism
 *   HF_E_INVALID      the request is malformed (a bug or an unchecked input)
 *   HF_E_EXISTS       a key with this CKA_ID is there already
 *   HF_E_PRECONDITION a session object of an earlier generation, or one that is
 *                     gone: unwrap again
 *   HF_E_IO           done in the token, but not durable; GENERATE
 *                     and DATA_CREATE are undone, as far as the token lets them
 *   HF_E_CANCELLED    the token was closed meanwhile (class OURS)
 *
 * Sources: PKCS#11 v2.40 (OASIS); RFC 5649 (KWP); RFC 8017 (OAEP).
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How an RSA root wraps a DEP key: found by probing when the token is
 * registered, recorded with every copy, never chosen by retry. The
 * numbers are stored: never reuse one. */
enum token_suite {
    TOKEN_SUITE_NONE = 0,
    TOKEN_SUITE_OAEP_SHA256 = 1, /* RSA-OAEP, SHA-256, MGF1-SHA-256        */
    TOKEN_SUITE_OAEP_SHA1 = 2,   /* RSA-OAEP, SHA-1, MGF1-SHA-1            */
    TOKEN_SUITE_AES_KWP = 3,     /* AES-256 key wrap with padding, RFC 5649 */
};

enum token_key_type {
    TOKEN_KEY_RSA = 1, /* a key pair */
    TOKEN_KEY_EC = 2,  /* a key pair */
    TOKEN_KEY_AES = 3,
    TOKEN_KEY_GENERIC = 4, /* HMAC */
};

/* A root key, as its user names it. */
struct token_key {
    enum token_key_type type;
    uint8_t id[HF_CKA_ID_MAX_BYTES];
    size_t id_len;
    /* SHA-256 of the DER SubjectPublicKeyInfo; all zero for secret keys and
     * when the key is looked at for the first time */
    uint8_t fingerprint[HF_SHA256_BYTES];
};

/* A session object. */
struct token_object {
    uint64_t handle;
    uint64_t generation;
};

/* What the token says of a root key: the attributes report. */
struct token_key_report {
    struct token_key key;
    char label[HF_LABEL_MAX_BYTES + 1];
    uint32_t bits;
    uint8_t spki[HF_SPKI_MAX_BYTES]; /* DER; empty for secret keys */
    size_t spki_len;
    bool sensitive;
    bool extractable;
    bool always_sensitive;
    bool never_extractable;
    bool local; /* generated in the token, not imported */
    bool can_unwrap;
    bool can_decrypt;
    bool can_wrap;
    bool can_encrypt;
    bool can_sign;
    bool modifiable;
    bool destroyable;
    bool unwrap_template; /* CKA_UNWRAP_TEMPLATE forbids readable results */
    /* CKA_ALLOWED_MECHANISMS of an RSA key (hsm/base/mechanisms.h); 0: it is
     * not limited, or the module does not tell */
    uint32_t mechanisms;
};

/* What the token is and can do; probed once when it is opened, all zero before
 * (token_profile_is_known). */
struct token_profile {
    char label[33];
    char serial[17];
    char manufacturer[33];
    char model[17];
    bool login_required;
    bool pin_count_low;
    bool pin_final_try;
    bool pin_locked;
    bool oaep_sha256;
    bool oaep_sha1;
    bool unwrap_to_object; /* C_UnwrapKey of an AES key works */
    bool aes_kwp;
    bool aes_gcm;
    bool hmac_sha256;
    bool ecdsa_p256;
    bool unwrap_template_honoured;
    bool destroyable_honoured;
    bool hardware; /* CKF_HW on RSA key generation */
    /* as of the opening or the last HEALTH */
    uint64_t free_private_bytes;
    uint64_t total_private_bytes; /* 0: not told */
};

enum token_op {
    /* data lane */
    TOKEN_OP_SEAL, /* AES-256-GCM encrypt under an object    */
    TOKEN_OP_OPEN, /* AES-256-GCM decrypt under an object    */
    TOKEN_OP_MAC,  /* HMAC-SHA-256 under a token key's session copy */
    /* root lane */
    TOKEN_OP_FIND,         /* the report of one root key             */
    TOKEN_OP_LIST,         /* the reports of root keys, or of some   */
    TOKEN_OP_GENERATE,     /* a new root key; durable when done      */
    TOKEN_OP_UNWRAP,       /* wrapped key -> object (TOKEN residency)*/
    TOKEN_OP_DECRYPT,      /* wrapped key -> secret (MEMORY)         */
    TOKEN_OP_MINT,         /* a fresh AES key that leaves only wrapped */
    TOKEN_OP_SIGN,         /* ECDSA P-256 over a SHA-256 digest      */
    TOKEN_OP_DESTROY,      /* a root key; durable when done          */
    TOKEN_OP_FORGET,       /* a session object                       */
    TOKEN_OP_DATA_LIST,    /* data objects by label                  */
    TOKEN_OP_DATA_CREATE,  /* a data object; durable when done       */
    TOKEN_OP_DATA_DESTROY, /* a data object; durable when done       */
    TOKEN_OP_HEALTH,       /* is it there, logged in, answering      */
};

/* SEAL and OPEN. iv is chosen by the caller, random, never reused. sealed text
 * is ciphertext || 16-byte tag; shorter tags are not accepted. */
struct token_aead {
    struct token_object key;
    uint8_t iv[HF_GCM_IV_BYTES];
    struct bytes aad; /* at most HF_CONTEXT_MAX_BYTES */
    struct bytes in;  /* at most HF_SEALED_MAX_BYTES */
    uint8_t *out;     /* SEAL: in.len + 16; OPEN: in.len - 16 */
    size_t out_cap;
    size_t out_len; /* result */
};

struct token_mac {
    struct token_key key; /* TOKEN_KEY_GENERIC */
    struct bytes in;      /* at most TOKEN_MAC_MAX_BYTES */
    uint8_t out[HF_SHA256_BYTES];
};
#define TOKEN_MAC_MAX_BYTES 8704

/* tentative: the key may never have been there, and nothing hangs on its
 * absence. A key that is not shown is then answered HF_E_UNCONFIRMED at once,
 * never HF_E_NOT_FOUND: to be sure may cost every lease of the module (the
 * adapter may have to initialise it again), and whoever may ask for any key
 * could bring that about at will. */
struct token_find {
    struct token_key key; /* fingerprint zero: not compared */
    bool tentative;
    struct token_key_report *report; /* result */
};

/* Which keys: those whose label begins with label_prefix, and those whose
 * CKA_ID begins with id_prefix; all, when both are empty. */
struct token_list {
    char label_prefix[HF_LABEL_MAX_BYTES + 1];
    uint8_t id_prefix[HF_CKA_ID_MAX_BYTES];
    size_t id_prefix_len;
    struct token_key_report *reports; /* result, caller's array */
    size_t cap;
    size_t count; /* result; HF_E_LIMIT when there are more than cap */
};
/* token_list_wants: is this key among those asked for. For adapters. */
bool token_list_wants(const struct token_list *list,
                      const struct token_key *key, const char *label);

/* Attributes are fixed by purpose, after crypto.md and. */
enum token_purpose {
    TOKEN_FOR_CUSTOMER_KEY_TOKEN,  /* RSA, UNWRAP only                 */
    TOKEN_FOR_CUSTOMER_KEY_MEMORY, /* RSA, UNWRAP and DECRYPT          */
    TOKEN_FOR_AVAILABILITY_KEY,    /* AES-256, WRAP and UNWRAP         */
    TOKEN_FOR_RECORD_MAC,          /* generic secret 256 bits, SIGN    */
    TOKEN_FOR_AUDIT_SIGNING,       /* EC P-256, SIGN                   */
    TOKEN_FOR_CANARY,              /* RSA-2048, UNWRAP and DECRYPT     */
    TOKEN_FOR_AVAILABILITY_PAIR,   /* RSA-2048, UNWRAP only   */
    TOKEN_FOR_TRANSPORT_PAIR,      /* RSA-3072, UNWRAP only   */
};

struct token_generate {
    enum token_purpose purpose;
    uint32_t bits; /* RSA: 2048, 3072, 4096; else 0 */
    char label[HF_LABEL_MAX_BYTES + 1];
    uint8_t id[HF_CKA_ID_MAX_BYTES]; /* HF_E_EXISTS when taken */
    size_t id_len;
    struct token_key_report *report; /* result */
};

/* UNWRAP and DECRYPT. UNWRAP makes a SENSITIVE, not EXTRACTABLE AES-256
 * session object with ENCRYPT and DECRYPT only. DECRYPT is for the OAEP suites
 * (KWP: HF_E_UNSUPPORTED). The result is 32 bytes or HF_E_BAD_BLOB; where a
 * module does not tell the length of an unwrapped key (SoftHSM), it is a length
 * that AES has. The caller checks the key's commitment before using it. */
struct token_unwrap {
    struct token_key key;
    enum token_suite suite;
    struct bytes wrapped;
    struct token_object object; /* result of UNWRAP */
    struct secret *secret;      /* result of DECRYPT, the caller's to free */
};

/* MINT: an AES-256 key is born as a sensitive session object, wrapped
 * under every root named here, seals one check text, and is destroyed. It is
 * never seen outside the token. */
struct token_mint_copy {
    enum token_suite suite;
    struct bytes spki;    /* OAEP: the pinned public key, DER          */
    struct token_key key; /* KWP: a root of this token                 */
    uint8_t wrapped[HF_RSA_MAX_BYTES]; /* result */
    size_t wrapped_len;                /* result */
};
/* two customer keys, the availability key, and the transport keys of so many
 * mirrors */
#define TOKEN_MINT_COPIES_MAX 6
/* Instead of a fresh key, one that a root of this token unwraps (R-7.11,
 * only a root that was made for AVAILABILITY_KEY, AVAILABILITY_PAIR or
 * TRANSPORT_PAIR may (else HF_E_DENIED or HF_E_MISUSE, as the token says it).
 */
struct token_mint_source {
    enum token_suite suite; /* NONE: a fresh key */
    struct token_key key;
    struct bytes wrapped;
};
struct token_mint {
    struct token_mint_source source;
    struct token_mint_copy copies[TOKEN_MINT_COPIES_MAX];
    size_t copy_count;
    uint8_t check_iv[HF_GCM_IV_BYTES];
    struct bytes check_aad;
    struct bytes check_text;
    /* result; with a source: given, and nothing is wrapped unless the key opens
     * it to check_text (HF_E_BAD_BLOB) */
    uint8_t check_sealed[HF_SEALED_MAX_BYTES];
    size_t check_sealed_len;
};

struct token_sign {
    struct token_key key; /* TOKEN_KEY_EC */
    uint8_t digest[HF_SHA256_BYTES];
    uint8_t signature[64]; /* result: r || s */
};

/* DESTROY: by CKA_ID, every object (both halves of a pair) with it; a key that
 * is not there is HF_OK: the step may run twice. */
struct token_destroy {
    struct token_key key;
};

#define TOKEN_DATA_MAX_BYTES 512
struct token_data {
    char label[HF_LABEL_MAX_BYTES + 1];
    uint8_t value[TOKEN_DATA_MAX_BYTES];
    size_t value_len;
};
/* DATA_LIST: every data object with this label. DATA_CREATE: one more.
 * DATA_DESTROY: every data object with exactly this label and value. */
struct token_data_list {
    char label[HF_LABEL_MAX_BYTES + 1];
    struct token_data *items; /* result, caller's array */
    size_t cap;
    size_t count; /* result */
};

struct token_request;
typedef void token_done_fn(struct token_request *request);

struct token_request {
    enum token_op op;
    /* drop_dead_ms: monotonic milliseconds after which nobody waits any more:
     * a request that has not begun by then is answered HF_E_EXPIRED and not
     * started. 0: never.
     * attempt_ms: how long the token may take from the moment the work begins:
     * time in our own queue is not attempt time. 0: the lane's own,
     * HF_TOKEN_DATA_DEADLINE_MS or HF_TOKEN_ROOT_DEADLINE_MS; for GENERATE
     * 30 s. What comes back later is undone as far as possible: the object of
     * an UNWRAP, the key of a GENERATE, the object of a DATA_CREATE. */
    int64_t drop_dead_ms;
    int64_t attempt_ms;
    /* called exactly once, on any thread, possibly before submit returns; must
     * not block. Afterwards the port touches nothing of the request. */
    token_done_fn *done;
    void *owner;

    enum hf_status status; /* result */
    unsigned long rv;      /* the module's own last code, for logs; 0: none */

    /* the port's while the request is in flight; while done is called, not
     * NULL says that the next done follows at once, on this thread */
    struct token_request *link;
    union {
        struct token_aead aead;
        struct token_mac mac;
        struct token_find find;
        struct token_list list;
        struct token_generate generate;
        struct token_unwrap unwrap;
        struct token_mint *mint;
        struct token_sign sign;
        struct token_destroy destroy;
        struct token_object forget;
        struct token_data *data;
        struct token_data_list data_list;
    } u;
};

struct token_counters {
    uint64_t data_ops;
    uint64_t
        root_ops; /* every request of the root lane that reached the token */
    uint64_t unwraps; /* UNWRAP and DECRYPT among them */
    uint64_t refused; /* answered OURS without asking the token */
    uint64_t objects; /* session objects alive */
};

/* How it stands with the token, for its operator; no answer of a request rests
 * on it. */
enum token_condition {
    TOKEN_OPENING,             /* for the first time, or anew            */
    TOKEN_OPEN,                /* it answers requests                    */
    TOKEN_AWAITING_ACTIVATION, /* somebody has to enter its PIN          */
    TOKEN_PIN_REFUSED,         /* not tried again: another PIN is needed */
    TOKEN_REFUSED,             /* it does not pass its self-test         */
    TOKEN_UNAVAILABLE,         /* away, or broken: tried again           */
    TOKEN_CONDITION_COUNT
};
#define TOKEN_WHY_BYTES 256
struct token_state {
    enum token_condition condition;
    uint32_t worker;   /* the number of the process that serves; 0: none */
    uint32_t restarts; /* how often such a process was replaced unplanned */
    char why[TOKEN_WHY_BYTES]; /* in words, without secrets; may be empty */
};

/* The port: one table per adapter, one struct token per token. */
struct token_port {
    void (*submit)(void *self, struct token_request *const *requests,
                   size_t count);
    void (*profile)(void *self, struct token_profile *out);
    void (*counters)(void *self, struct token_counters *out);
    /* NULL: it is open as long as it is there */
    void (*state)(void *self, struct token_state *out);
    /* ends the log-in, answers what is in flight, frees everything */
    void (*close)(void *self);
};

struct token {
    const struct token_port *port;
    void *self;
};

/* token_submit: hands requests over; each is answered through its done.
 *
 * Takes     count up to TOKEN_BATCH_MAX; every request and what it points to
 *           stays in place until its done was called. Malformed requests
 *           (lengths, missing outputs) are answered HF_E_INVALID here, once,
 *           for all adapters.
 * Blocks    never.
 * Threads   safe from any thread.
 */
#define TOKEN_BATCH_MAX 256
void token_submit(const struct token *token,
                  struct token_request *const *requests, size_t count);

/* token_call: submits one request and waits for it. Returns request->status;
 * done and owner are the call's own.
 *
 * Blocks    up to the request's deadlines; not for a polling thread.
 */
HF_STATUS token_call(const struct token *token, struct token_request *request);

void token_profile_get(const struct token *token, struct token_profile *out);
/* token_profile_is_known: false for a token that could not be opened yet
 * (late.h): nothing is known of it, not even that it is the right one. */
bool token_profile_is_known(const struct token_profile *profile);
void token_counters_get(const struct token *token, struct token_counters *out);
void token_state_get(const struct token *token, struct token_state *out);
const char *token_condition_text(enum token_condition condition);
/* token_answer_while_shut: what a request is answered while its token cannot be
 * opened for this reason (table 6-A): not being there is no word about any key
 * in it, and a token that fails its self-test is as good as away; our own
 * trouble stays our own. For adapters. */
enum hf_status token_answer_while_shut(enum hf_status status);
/* token_close: closes the adapter; token is empty afterwards. NULL-safe. */
void token_close(struct token *token);

/* token_suite_preferred: OAEP-SHA-256 where the profile has it, else
 * OAEP-SHA-1, else TOKEN_SUITE_NONE. */
enum token_suite token_suite_preferred(const struct token_profile *profile);
const char *token_suite_text(enum token_suite suite);
bool token_op_is_data(enum token_op op);
/* token_attempt_ms: how long the token may take, with what 0 stands for. */
int64_t token_attempt_ms(const struct token_request *request);
