/* record: what each record holds, and its canonical bytes.
 *
 * Every encoder writes a format byte first and then each field in the order of
 * the struct; every decoder refuses (HF_E_CORRUPT) another format, a value out
 * of range, bytes left over, or a record under a key that its fields do not
 * call for. Keys of records are made here too, so that one place knows them.
 *
 * Not storable, anywhere: a nil id where the id is part of the key, a number
 * outside its enum, a negative time, a text or blob longer than its field.
 */
#pragma once

#include "server/domain/ak_token.h"
#include "server/domain/dep.h"
#include "server/domain/envelope.h"
#include "server/domain/geo.h"
#include "server/domain/key_life.h"
#include "server/domain/mailbox.h"
#include "server/domain/onboarding.h"
#include "server/domain/operation.h"
#include "server/domain/outage.h"
#include "server/domain/purge.h"
#include "server/domain/tenant_assignment.h"
#include "server/domain/validation.h"

#include "server/store/store.h"

#include <stdbool.h>

struct tenant_record { /* key: tenant */
    struct hf_id id;
    char name[HF_NAME_MAX_BYTES + 1];
    bool production;
    bool licensed;                /* meets the licence requirement of */
    struct hf_id service_managed; /* its built-in DEP */
    int64_t created_ms;
};

#define STATEMENT_MAX_BYTES 1024
struct token_record { /* key: tenant | token */
    struct hf_id id;
    struct hf_id tenant;
    char
        name[HF_NAME_MAX_BYTES + 1]; /* the token's name in the configuration */
    char label[33];
    char serial[17];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    enum deletion_protection protection;
    uint32_t retention_days;
    bool test_only;
    bool hardware;
    int64_t enrolled_ms;
    uint8_t statement[STATEMENT_MAX_BYTES]; /* the custodian's, as signed */
    size_t statement_len;
};

struct customer_key_record { /* key: tenant | customer key */
    struct hf_id id;
    struct hf_id tenant;
    char name[HF_NAME_MAX_BYTES + 1];
    struct hf_id token;
    uint32_t current_version;
    int64_t created_ms;
    enum key_state state; /* since format 2 */
    int64_t deleted_ms;   /* 0: ACTIVE */
    int64_t purge_ms;     /* when its retention is over; 0: ACTIVE */
};

struct key_version_record { /* key: customer key | version u32 */
    struct hf_id key;
    uint32_t version;
    uint8_t cka_id[HF_CKA_ID_MAX_BYTES];
    size_t cka_id_len;
    uint8_t fingerprint[HF_SHA256_BYTES];
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len;
    uint32_t bits;
    uint8_t suite; /* enum token_suite, found by probing at registration */
    bool enabled;
    int64_t not_before_ms; /* 0: none */
    int64_t expires_ms;    /* 0: none */
    bool allows_token;     /* residencies */
    bool allows_memory;
    bool imported;
    int64_t created_ms;
    int64_t updated_ms;
    char label[HF_LABEL_MAX_BYTES + 1]; /* CKA_LABEL; since format 2 */
    /* what the token said of it when it was registered, since format 3; all
     * false in records from before */
    bool attributes_known;
    bool sensitive;
    bool extractable;
    bool always_sensitive;
    bool never_extractable;
    uint32_t mechanisms; /* hsm/base/mechanisms.h; 0: not limited */
};

struct grant_record { /* key: customer key | SHA-256(identity) */
    struct hf_id key;
    char identity[HF_URI_MAX_BYTES + 1];
    uint8_t granted;   /* enum permission bits held now              */
    uint8_t ever_held; /* held at any time: tells withdrawn from never */
    int64_t updated_ms;
};

struct dep_record { /* key: tenant | dep */
    struct hf_id id;
    struct hf_id tenant;
    enum dep_type type;
    char name[HF_NAME_MAX_BYTES + 1];
    char description[HF_DESCRIPTION_MAX_BYTES + 1];
    enum dep_state state;
    enum residency residency;
    uint32_t key_lease_ms;
    uint32_t generation;
    /* the availability key; for SERVICE_MANAGED the tenant's own root */
    uint8_t ak_cka_id[HF_CKA_ID_MAX_BYTES];
    size_t ak_cka_id_len;
    enum ak_state ak_state;
    uint32_t ak_version;
    int64_t created_ms;
    int64_t updated_ms;
    enum key_update key_update; /* since format 2 */
    int64_t fallback_limit_ms;  /* since format 3; 0: none */
};

struct wrapped_copy {
    uint8_t suite;    /* enum token_suite; 0: no such copy (SERVICE_MANAGED) */
    struct hf_id key; /* customer key; nil for the AK */
    uint32_t key_version; /* of the customer key or the AK */
    /* enrolled token; of an AK's copy the AK token, nil: the one that was
     * there before there were records of them */
    struct hf_id token;
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t wrapped_len;
};

/* Of one kind, the retired ones not counted. */
#define AK_TOKENS_MAX 4
struct generation_record { /* key: dep | generation u32 */
    struct hf_id tenant;
    struct hf_id dep;
    uint32_t generation;
    struct wrapped_copy copies[ROOT_SLOTS]; /* CK1, CK2, AK */
    uint8_t check_iv[HF_GCM_IV_BYTES];      /* the key commitment */
    uint8_t check_sealed[HF_SEALED_MAX_BYTES];
    size_t check_sealed_len;
    int64_t created_ms;
    /* since format 2: of the AKs of the other AK tokens; in no order,
     * and empty where there is none */
    struct wrapped_copy mirrors[AK_TOKENS_MAX];
};

/* A token of availability keys. */
#define DISPOSAL_MAX_BYTES 128
struct ak_token_record { /* key: AK token */
    struct hf_id id;
    bool sharepoint; /* of those of geos */
    bool first;      /* copies that name no token are its */
    enum ak_token_state state;
    char name[HF_NAME_MAX_BYTES + 1]; /* in the configuration */
    char label[33];
    char serial[17];
    uint8_t transport[HF_SPKI_MAX_BYTES]; /* DER, pinned */
    size_t transport_len;
    int64_t enrolled_ms;
    int64_t active_ms; /* 0: not yet */
    /* what became of it, in the words that three people agreed to */
    char disposal[DISPOSAL_MAX_BYTES + 1];
    char requested_by[HF_URI_MAX_BYTES + 1]; /* "": nobody asked */
    char approved_by[AK_RETIREMENT_APPROVALS][HF_URI_MAX_BYTES + 1];
    int64_t requested_ms;
    int64_t retired_ms; /* 0: it is not */
};

/* Every (DEP, generation) that ever wrapped the resource's current key
 * . Up to format 4 there was room for fewer. */
#define RESOURCE_WRAPS_MAX      280 /* more than DEP_GENERATIONS_MAX */
#define RESOURCE_WRAPS_MAX_OF_4 32
/* A key that another one took the place of: for new data alone, or
 * until what it encrypted is encrypted again. mark tells it from
 * every other key and is of no use else; zero: of a version that made none. */
#define RESOURCE_EARLIER_MAX 8
struct earlier_key {
    struct dep_ref by; /* wrapped by */
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    size_t envelope_len;
    int64_t replaced_ms;
    uint8_t mark[HF_SHA256_BYTES];
};
/* A key that is no more: copies of it may be about that a generation which
 * still opens this resource's envelopes would open. */
#define RESOURCE_RETIRED_MAX 8
struct retired_key {
    struct dep_ref under; /* where its resource was when it was retired */
    uint8_t mark[HF_SHA256_BYTES];
};
struct resource_record { /* key: tenant | type u8 | SHA-256(resource id) */
    struct hf_id tenant;
    enum resource_type type;
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    enum mailbox_kind kind;               /* 0 for what is no mailbox */
    bool licensed;                        /* mailboxes */
    struct hf_id assigned;                /* nil: none */
    struct dep_ref effective;             /* nil: no key yet */
    uint8_t envelope[ENVELOPE_KEY_BYTES]; /* the current wrapped key */
    size_t envelope_len;                  /* 0: no key yet */
    struct dep_ref wraps[RESOURCE_WRAPS_MAX];
    size_t wrap_count;
    int64_t assigned_ms;
    int64_t effective_ms;
    int64_t created_ms;
    bool switched_on; /* a workload with explicit activation */
    struct earlier_key earlier[RESOURCE_EARLIER_MAX]; /* oldest first */
    size_t earlier_count;
    /* since format 3: a mailbox's way to being encrypted (mailbox_move.h) */
    enum mailbox_move move;
    enum move_priority priority; /* of its place; 0: none */
    int64_t queued_ms;           /* its place in the queue; 0: none */
    int64_t waits_since_ms;      /* to be encrypted; 0: it does not */
    struct hf_id claim;          /* the mover's; nil unless MOVING */
    int64_t claim_ends_ms;       /* 0 unless MOVING */
    bool overdue_alerted;        /* once */
    /* since format 4 */
    struct retired_key retired[RESOURCE_RETIRED_MAX];
    size_t retired_count;
};

/* The multi-workload DEP of a tenant (3.3). */
#define TICKET_MAX_BYTES  64
#define CONTACT_MAX_BYTES 256
#define GROUND_MAX_BYTES  1024
struct tenant_assignment_record { /* key: tenant */
    struct hf_id tenant;
    enum assignment_state state;
    struct hf_id dep;       /* in force, or being left; nil: none ever was */
    uint32_t number;        /* of assignments so far */
    struct hf_id operation; /* the last one begun */
    int64_t assigned_ms;
    int64_t effective_ms; /* A2; 0: not yet */
    int64_t overdue_ms;   /* when the alert was raised; 0: none was */
    int64_t updated_ms;
    char ticket[TICKET_MAX_BYTES + 1]; /* of the last offboarding */
    char contact[CONTACT_MAX_BYTES + 1];
    char ground[GROUND_MAX_BYTES + 1];
};

/* How far a workload is with its data, by its own account. */
struct workload_progress_record { /* key: tenant | workload u32 */
    struct hf_id tenant;
    uint32_t workload;   /* a row of the catalogue */
    uint32_t assignment; /* its number: reports belong to one */
    uint64_t done;
    uint64_t total;
    int64_t reported_ms;
};

/* What came of a request id (AIP-155): on a repeat with the same content the
 * object it made is read and returned; other content is refused. */
struct request_record { /* key: tenant | request */
    struct hf_id tenant;
    uint8_t request[HF_SHA256_BYTES]; /* SHA-256(caller, method, request id) */
    uint8_t digest[HF_SHA256_BYTES];  /* of the request's content */
    struct hf_id object;              /* what it made or changed; may be nil */
    int64_t created_ms;
};

/* A long-running operation: what is to be done and how far it is. */
#define OPERATION_ERROR_MAX_BYTES 256
struct operation_record { /* key: tenant | operation */
    struct hf_id id;
    struct hf_id tenant;
    enum operation_kind kind;
    enum operation_state state;
    struct hf_id object; /* what it is about: a DEP, ...; nil: the tenant */
    uint32_t number;     /* the kind's own: a generation, a version, ... */
    /* where the next step goes on: the key of the last record that was dealt
     * with; empty: from the start */
    uint8_t cursor[RECORD_KEY_MAX_BYTES];
    size_t cursor_len;
    uint64_t done; /* of total; counts of resources */
    uint64_t total;
    uint64_t failed;  /* since the cursor was at the start: come again */
    uint32_t percent; /* never falls */
    char error[OPERATION_ERROR_MAX_BYTES + 1]; /* the last one met; "": none */
    char requester[HF_URI_MAX_BYTES + 1];      /* "": the service itself */
    int64_t created_ms;
    int64_t updated_ms;
    int64_t ended_ms; /* 0: not yet */
};

/* One onboarding request and its result. Sealed records never go, so a
 * tenant has a fixed number of slots: one for each scenario, numbered as it,
 * holds the request that enabled it; the rest of the requests share
 * ONBOARDING_RING slots from ONBOARDING_RING_FIRST on, the newest in place of
 * the oldest. */
#define ONBOARDING_RING_FIRST 16
#define ONBOARDING_RING       16
#define ONBOARDING_TEXT_BYTES 120
#define ONBOARDING_CHECKS_MAX 50
struct onboarding_check {
    enum check_code code;
    int key; /* 0 or 1; -1: about the pair */
    enum check_status status;
    enum check_evidence evidence;
    char text[ONBOARDING_TEXT_BYTES]; /* cut to fit */
};
struct onboarding_record { /* key: tenant | slot u32 */
    struct hf_id tenant;
    uint32_t slot;
    struct hf_id id;
    uint64_t number; /* of the tenant's requests: the newest has the highest */
    enum dep_type scenario;
    enum onboarding_mode mode;
    char domains[HF_CUSTOMER_KEYS_PER_DEP]
                [HF_NAME_MAX_BYTES + 1]; /* as asked */
    char names[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    struct hf_id keys[HF_CUSTOMER_KEYS_PER_DEP];
    uint32_t versions[HF_CUSTOMER_KEYS_PER_DEP]; /* that were looked at */
    char identity[HF_URI_MAX_BYTES + 1];
    enum residency residency;
    char requester[HF_URI_MAX_BYTES + 1];
    bool passed;
    enum enablement enablement;
    int64_t created_ms;
    struct onboarding_check checks[ONBOARDING_CHECKS_MAX];
    size_t check_count;
};

/* An officer of the tenant who may approve. Never taken away: one who
 * was replaced is no longer active. */
#define OFFICER_KEY_MAX_BYTES 128 /* SubjectPublicKeyInfo, DER */
struct officer_record {           /* key: tenant | SHA-256(identity) */
    struct hf_id tenant;
    char identity[HF_URI_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1]; /* for people */
    uint8_t public_key[OFFICER_KEY_MAX_BYTES];
    size_t public_key_len;
    bool active;
    int64_t since_ms; /* with this key */
    int64_t updated_ms;
};

/* The purge of a DEP: one record through all its phases. */
#define PURGE_TEXT_MAX_BYTES 256
#define PURGE_EARLIER_MAX    20
#define PURGE_NONCE_BYTES    16
#define PURGE_EVIDENCE_BYTES 256
struct purge_earlier { /* an earlier wrap, and of how many resources */
    struct dep_ref ref;
    uint64_t resources;
};
struct purge_record { /* key: tenant | purge */
    struct hf_id id;
    struct hf_id tenant;
    struct hf_id dep;
    enum purge_phase phase;
    bool paused;
    bool force;
    enum dep_state before; /* T9 */
    char reason[PURGE_TEXT_MAX_BYTES + 1];
    char contact[PURGE_TEXT_MAX_BYTES + 1];
    char requester[HF_URI_MAX_BYTES + 1];
    int64_t requested_ms;
    /* the document that is signed */
    uint32_t version;
    uint8_t nonce[PURGE_NONCE_BYTES];
    int64_t expires_ms;
    struct purge_earlier earlier[PURGE_EARLIER_MAX]; /* as it is signed */
    size_t earlier_count;
    uint64_t resources;    /* asked for; from DESTROYING on: tombstoned */
    uint32_t approvals;    /* valid ones, of this version */
    bool earlier_accepted; /* by every one of them */
    int64_t approved_ms;   /* 0: not yet */
    int64_t hold_until_ms;
    char executor[HF_URI_MAX_BYTES + 1];
    int64_t executed_ms;
    /* over every tombstone of it; count is resources */
    uint8_t tombstones[HF_SHA256_BYTES];
    int64_t tombstoned_ms;
    int64_t destroyed_ms;
    int64_t verified_ms;
    char evidence[PURGE_EVIDENCE_BYTES + 1]; /* what the fresh process said */
    int64_t purged_ms;
    /* earlier wraps that are there when all is marked; since format 2 */
    struct purge_earlier residual[PURGE_EARLIER_MAX];
    size_t residual_count;
};

#define APPROVAL_TEXT_MAX_BYTES 6144
struct approval_record { /* key: purge | SHA-256(identity) */
    struct hf_id tenant;
    struct hf_id purge;
    char identity[HF_URI_MAX_BYTES + 1];
    uint32_t version;
    uint8_t key_fingerprint[HF_SHA256_BYTES];
    uint8_t document[HF_SHA256_BYTES];
    bool earlier_accepted;
    uint8_t signature[80];
    size_t signature_len;
    int64_t approved_ms;
    uint8_t text[APPROVAL_TEXT_MAX_BYTES]; /* that was signed; since format 2 */
    size_t text_len;
};

/* A purged resource: no envelope of it opens, under any root, ever. */
struct tombstone_record { /* key: as the resource's */
    struct hf_id tenant;
    enum resource_type type;
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    struct hf_id purge;
    int64_t created_ms;
};

/* A deleted resource: the same, by a seal of its own. */
struct deletion_record { /* key: as the resource's */
    struct hf_id tenant;
    enum resource_type type;
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    char identity[HF_URI_MAX_BYTES + 1]; /* who deleted it */
    int64_t deleted_ms;
};

/* text, and its signature by the service token's audit key. */
#define CERTIFICATE_MAX_BYTES 7168
struct certificate_record { /* key: tenant | purge */
    struct hf_id tenant;
    struct hf_id purge;
    uint8_t text[CERTIFICATE_MAX_BYTES];
    size_t text_len;
    uint8_t signature[80]; /* ECDSA P-256 with SHA-256, DER */
    size_t signature_len;
    uint8_t public_key[OFFICER_KEY_MAX_BYTES]; /* SubjectPublicKeyInfo, DER */
    size_t public_key_len;
};

/* A SharePoint geo: known since a site named it or it was registered. Its DEPs
 * are those of type SHAREPOINT_GEO that bear its name. */
struct geo_record { /* key: tenant | geo */
    struct hf_id id;
    struct hf_id tenant;
    char name[HF_NAME_MAX_BYTES + 1];
    enum geo_state state;
    struct hf_id dep;       /* whose newest key is the TIK; nil: UNREGISTERED */
    struct hf_id operation; /* brings the sites under it; nil: none so far */
    uint8_t ak_fingerprint[HF_SHA256_BYTES]; /* of the DEP's AK pair */
    bool evict_on_denied;                    /* */
    enum geo_recovery recovery;
    char requested_by[HF_URI_MAX_BYTES + 1]; /* three people */
    char enabled_by[HF_URI_MAX_BYTES + 1];
    char confirmed_by[HF_URI_MAX_BYTES + 1];
    char ticket[TICKET_MAX_BYTES + 1];
    int64_t requested_ms;
    int64_t window_ms; /* how long it will be open, from the confirmation on */
    int64_t until_ms;  /* 0: not open */
    int64_t created_ms;
    int64_t updated_ms;
};

/* What a tenant was told of an outage of both customer keys of a DEP.
 * The newest one of a DEP says whether its outage goes on: whoever starts knows
 * since when. */
struct notice_record { /* key: tenant | time backwards | DEP | event u8 */
    struct hf_id tenant;
    struct hf_id dep;
    int64_t time_ms;
    enum notice_event event;
    uint32_t generation; /* that the availability key opened last */
    int64_t since_ms;    /* of the outage */
    int64_t limit_ms;    /* of the DEP then; 0: none */
};

struct seals_record { /* key: dep | generation u32 */
    struct hf_id dep;
    uint32_t generation;
    uint64_t reserved; /* seals handed out in blocks (crypto.md) */
};

/* Scopes of RECORD_NAME: key = scope u8 | owner 16 | folded name. */
#define RECORD_NAME_MAX_BYTES (RECORD_KEY_MAX_BYTES - 1 - HF_ID_BYTES)
enum name_scope {
    NAME_TENANT = 1,       /* owner nil */
    NAME_TOKEN = 2,        /* owner tenant */
    NAME_CUSTOMER_KEY = 3, /* owner tenant */
    NAME_DEP = 4,          /* owner tenant; see name_of_dep */
    NAME_TOKEN_SERIAL = 5, /* owner nil: a token belongs to one tenant */
    NAME_GEO = 6,          /* owner tenant */
};

/* Encoders fill record->kind, key and body (version and MACs are the ledger's)
 * and return HF_E_INVALID for what cannot be stored; decoders are strict. */
HF_STATUS tenant_encode(const struct tenant_record *in, struct record *out);
HF_STATUS tenant_decode(const struct record *in, struct tenant_record *out);
HF_STATUS token_record_encode(const struct token_record *in,
                              struct record *out);
HF_STATUS token_record_decode(const struct record *in,
                              struct token_record *out);
HF_STATUS customer_key_encode(const struct customer_key_record *in,
                              struct record *out);
HF_STATUS customer_key_decode(const struct record *in,
                              struct customer_key_record *out);
HF_STATUS key_version_encode(const struct key_version_record *in,
                             struct record *out);
HF_STATUS key_version_decode(const struct record *in,
                             struct key_version_record *out);
HF_STATUS grant_encode(const struct grant_record *in, struct record *out);
HF_STATUS grant_decode(const struct record *in, struct grant_record *out);
HF_STATUS dep_encode(const struct dep_record *in, struct record *out);
HF_STATUS dep_decode(const struct record *in, struct dep_record *out);
HF_STATUS generation_encode(const struct generation_record *in,
                            struct record *out);
HF_STATUS generation_decode(const struct record *in,
                            struct generation_record *out);
HF_STATUS resource_encode(const struct resource_record *in, struct record *out);
HF_STATUS resource_decode(const struct record *in, struct resource_record *out);
HF_STATUS request_encode(const struct request_record *in, struct record *out);
HF_STATUS request_decode(const struct record *in, struct request_record *out);
HF_STATUS onboarding_encode(const struct onboarding_record *in,
                            struct record *out);
HF_STATUS onboarding_decode(const struct record *in,
                            struct onboarding_record *out);
HF_STATUS seals_encode(const struct seals_record *in, struct record *out);
HF_STATUS seals_decode(const struct record *in, struct seals_record *out);
HF_STATUS operation_encode(const struct operation_record *in,
                           struct record *out);
HF_STATUS operation_decode(const struct record *in,
                           struct operation_record *out);
HF_STATUS tenant_assignment_encode(const struct tenant_assignment_record *in,
                                   struct record *out);
HF_STATUS tenant_assignment_decode(const struct record *in,
                                   struct tenant_assignment_record *out);
HF_STATUS workload_progress_encode(const struct workload_progress_record *in,
                                   struct record *out);
HF_STATUS workload_progress_decode(const struct record *in,
                                   struct workload_progress_record *out);
HF_STATUS officer_encode(const struct officer_record *in, struct record *out);
HF_STATUS officer_decode(const struct record *in, struct officer_record *out);
HF_STATUS purge_encode(const struct purge_record *in, struct record *out);
HF_STATUS purge_decode(const struct record *in, struct purge_record *out);
HF_STATUS approval_encode(const struct approval_record *in, struct record *out);
HF_STATUS approval_decode(const struct record *in, struct approval_record *out);
HF_STATUS tombstone_encode(const struct tombstone_record *in,
                           struct record *out);
HF_STATUS tombstone_decode(const struct record *in,
                           struct tombstone_record *out);
/* The heads of both audit chains, as signed. Of one head of the chain
 * in the store the newest checkpoint is kept. Key: what is left of UINT64_MAX
 * behind audit_index, so that the newest comes first. */
struct checkpoint_record {
    uint64_t audit_index; /* 0: nothing was chained yet */
    uint8_t audit_hash[HF_SHA256_BYTES];
    struct hf_id spool;     /* nil: there is none */
    uint64_t spool_records; /* so many it has had */
    uint8_t spool_hash[HF_SHA256_BYTES];
    int64_t signed_ms;
    uint8_t key_fingerprint[HF_SHA256_BYTES];
    uint8_t signature[80]; /* ECDSA P-256 with SHA-256, DER */
    size_t signature_len;
};
HF_STATUS checkpoint_encode(const struct checkpoint_record *in,
                            struct record *out);
HF_STATUS checkpoint_decode(const struct record *in,
                            struct checkpoint_record *out);

HF_STATUS deletion_encode(const struct deletion_record *in, struct record *out);
HF_STATUS deletion_decode(const struct record *in, struct deletion_record *out);
HF_STATUS certificate_encode(const struct certificate_record *in,
                             struct record *out);
HF_STATUS certificate_decode(const struct record *in,
                             struct certificate_record *out);
HF_STATUS geo_encode(const struct geo_record *in, struct record *out);
HF_STATUS geo_decode(const struct record *in, struct geo_record *out);
HF_STATUS ak_token_encode(const struct ak_token_record *in, struct record *out);
HF_STATUS ak_token_decode(const struct record *in, struct ak_token_record *out);
HF_STATUS notice_encode(const struct notice_record *in, struct record *out);
HF_STATUS notice_decode(const struct record *in, struct notice_record *out);
/* name index: body is the id. */
HF_STATUS name_encode(enum name_scope scope, const struct hf_id *owner,
                      const char *folded_name, const struct hf_id *id,
                      struct record *out);
HF_STATUS name_decode(const struct record *in, struct hf_id *out_id);
/* assigned index: body is empty; the resource's key is in the key. */
HF_STATUS assigned_encode(const struct hf_id *dep,
                          const struct resource_record *resource,
                          struct record *out);
/* encrypted index: the same for the mailboxes that are encrypted under it. */
HF_STATUS encrypted_encode(const struct hf_id *dep,
                           const struct resource_record *resource,
                           struct record *out);
/* wrapped index: which resources' current keys a generation wraps;
 * body is empty; the resource's key is in the key, behind WRAPPED_PREFIX_BYTES.
 */
#define WRAPPED_PREFIX_BYTES (HF_ID_BYTES + 4)
HF_STATUS wrapped_encode(const struct dep_ref *under,
                         const struct resource_record *resource,
                         struct record *out);
/* held index: under which generations a client was given a wrap of a key that
 * is not the resource's stored one; as the wrapped index. It counts as long as
 * the generation is among the resource's wraps. */
HF_STATUS held_encode(const struct dep_ref *under,
                      const struct resource_record *resource,
                      struct record *out);
/* move index: the moves of a tenant; body is empty. Those that are queued in
 * the order in which they are served: by priority, then by when they
 * were queued. Those that run by when their claims end. */
struct move_line {
    enum mailbox_move move; /* QUEUED or MOVING; anything else: no line */
    uint8_t priority;       /* of a running one 0: it matters no longer */
    int64_t at_ms;
};
struct move_line move_line_of(const struct resource_record *resource);
HF_STATUS move_line_encode(const struct move_line *line,
                           const struct resource_record *resource,
                           struct record *out);
/* move_line_decode: *out_key is the resource's, valid as long as the record;
 * HF_E_CORRUPT for a row that is none of the index. */
HF_STATUS move_line_decode(const struct record *in, struct move_line *out,
                           struct bytes *out_key);
/* An index that came with a later version is built at the first start with it,
 * or says nothing of what was before it; this record says that it is there.
 * Key: its number; body: the time since which it is kept (INDEX_HELD). */
enum index_word {
    INDEX_WRAPPED = 1,
    INDEX_ENCRYPTED = 2,
    INDEX_HELD = 3,
};
void index_encode(enum index_word index, struct record *out);
void index_encode_since(enum index_word index, int64_t since_ms,
                        struct record *out);
HF_STATUS index_decode_since(const struct record *in, int64_t *out_since_ms);
/* assigned_resource: the resource's key in it, valid as long as the record.
 * HF_E_CORRUPT for a row that is none of the index. */
HF_STATUS assigned_resource(const struct record *in, struct bytes *out_key);

/* Keys to look records up by. */
struct record_key {
    uint8_t bytes[RECORD_KEY_MAX_BYTES];
    size_t len;
};
struct bytes record_key_view(const struct record_key *key);
struct record_key key_of_id(const struct hf_id *id);
struct record_key key_of_pair(const struct hf_id *owner,
                              const struct hf_id *id);
struct record_key key_of_numbered(const struct hf_id *owner, uint32_t number);
struct record_key key_of_checkpoint(uint64_t audit_index);
struct record_key key_of_grant(const struct hf_id *customer_key,
                               const char *identity);
struct record_key key_of_resource(const struct hf_id *tenant,
                                  enum resource_type type,
                                  const char *resource_id);
/* key_of_move_lines: what the keys of those that are queued, or run, begin
 * with.
 */
struct record_key key_of_move_lines(const struct hf_id *tenant,
                                    enum mailbox_move move);
/* key_of_notices_until: behind it in the order of keys are the tenant's notices
 * of this time and of before. */
struct record_key key_of_notices_until(const struct hf_id *tenant,
                                       int64_t time_ms);
/* key_of_name: an empty key, which the store refuses as HF_E_INVALID, for an
 * empty name or one longer than RECORD_NAME_MAX_BYTES. */
struct record_key key_of_name(enum name_scope scope, const struct hf_id *owner,
                              const char *folded_name);
/* name_of_dep: what stands in the index for a DEP's folded name: names are
 * unique per type. A mailbox DEP's is the name itself, the others'
 * begins with the type's number and a sign that no name has. */
#define NAME_OF_DEP_BYTES (HF_NAME_MAX_BYTES + 3)
void name_of_dep(enum dep_type type, const char *folded_name,
                 char out[NAME_OF_DEP_BYTES]);
struct record_key key_of_request(const struct hf_id *tenant,
                                 const uint8_t digest[HF_SHA256_BYTES]);
/* resource_hash: SHA-256 of the resource id, as in keys and contexts. */
void resource_hash(const char *resource_id, uint8_t out[HF_SHA256_BYTES]);
