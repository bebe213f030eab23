/* world: a service on honest fakes, with one tenant on its way from an empty
 * store to a mailbox that opens. Each step is the use case itself. */
#pragma once

#include "hsm/base/custody.h"
#include "hsm/base/enrolment.h"

#include "server/service/customer_keys.h"
#include "server/service/deps.h"
#include "server/service/keys.h"
#include "server/service/mailboxes.h"
#include "server/service/purges.h"
#include "server/service/service.h"
#include "server/service/tenants.h"
#include "server/service/tokens.h"

#include "tests/fakes/store_memory.h"
#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <stdatomic.h>

#define WORLD_TENANT          "contoso"
#define WORLD_DEP             "dep1"
#define WORLD_MAILBOX         "alice@contoso.example"
#define WORLD_CUSTOMER_TOKENS 3
#define WORLD_MIRRORS         3 /* m1, m2 of "ak"; g1 of "sharepoint-ak" */
#define WORLD_HOLD_MS         (72LL * 3600 * 1000)

struct world {
    struct store_memory *memory;
    struct store store;
    struct token service_token;
    struct token_fake *service_fake;
    struct token ak_token;
    struct token_fake *ak_fake;
    struct token sharepoint_ak_token;
    struct token_fake *sharepoint_ak_fake;
    /* there, and not configured until settings.ak_mirrors says so */
    struct token mirror[WORLD_MIRRORS];
    struct token_fake *mirror_fake[WORLD_MIRRORS];
    struct configured_ak_token mirrors[WORLD_MIRRORS];
    struct token customer[WORLD_CUSTOMER_TOKENS];
    struct token_fake *customer_fake[WORLD_CUSTOMER_TOKENS];
    struct configured_token configured[WORLD_CUSTOMER_TOKENS];
    void *custodian_key; /* EVP_PKEY */
    char custodian_pem[512];
    struct clock clock; /* stands still unless told */
    int64_t now_ms;
    bool enroll_hardware;     /* what custodians declare from now on */
    struct verifier verifier; /* looks through ak_token, as a fresh process */
    enum hf_status verifier_fails;
    size_t verifier_finds; /* says so whatever is there */
    uint64_t verifications;
    struct service_settings settings;
    enum custody_protection protection; /* what enrolments say of a token */
    struct service *service;

    struct caller operator_;
    struct caller admin;
    struct caller workload; /* user-facing */
    struct caller system;   /* also holds the system-workload role */
    struct caller auditor;
    struct caller compliance; /* administers multi-workload DEPs */
    struct caller m365;       /* the workload of those */
    struct caller stranger;   /* a workload of the tenant without any grant */
    struct caller approver[2];
    void *approver_key[2]; /* EVP_PKEY */
    struct caller files;   /* workload-sharepoint */
    struct problem problem;
    struct validation_report report;
};

/* Parts and service; no tenant yet. ak_lease 0, so that every use of the AK is
 * one record. */
void world_start(struct world *world);
void world_stop(struct world *world);
/* Stops the service and starts it on the same store and tokens. */
enum hf_status world_restart(struct world *world);

/* The steps. Each asserts that it worked. */
void world_tenant(struct world *world, const char *name);
/* What its custodian says of a token as it is now, and a request with it. */
struct world_statement {
    uint8_t statement[ENROLMENT_MAX_BYTES];
    uint8_t signature[128];
    struct token_enroll request;
};
void world_statement(struct world *world, const char *tenant, size_t token,
                     struct world_statement *out);
void world_enroll(struct world *world, const char *tenant, size_t token);
/* A key pair in a customer token, registered under the name. */
void world_key(struct world *world, const char *tenant, size_t token,
               const char *name, enum token_purpose purpose);
/* One more version of it. */
void world_key_version(struct world *world, size_t token, const char *name,
                       uint32_t version);
void world_grant(struct world *world, const char *name, const struct caller *to,
                 uint32_t permissions);
void world_revoke(struct world *world, const char *name,
                  const struct caller *from);
void world_dep(struct world *world, const char *name, int64_t key_lease_ms,
               enum residency residency);
/* The same of any type, over any two keys, for any workload. */
struct world_dep_options {
    const char *name;
    enum dep_type type;
    const char *keys[HF_CUSTOMER_KEYS_PER_DEP];
    const struct caller *workload;
    int64_t key_lease_ms;
};
void world_dep_of(struct world *world, const struct world_dep_options *options);
void world_mailbox(struct world *world, const char *id, const char *dep);
/* All of the above: tenant, ck1 and ck2, grants, dep1, the mailbox assigned. */
void world_ready(struct world *world, int64_t key_lease_ms,
                 enum residency residency);

/* One data-plane call, waited for. */
struct outcome {
    enum hf_status status;
    struct problem problem;
    uint8_t key[HF_KEY_BYTES];
    bool has_key;
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    size_t envelope_len;
    struct hf_id dep;
    uint32_t generation;
    bool service_managed;
    uint8_t replaced[ENVELOPE_KEY_BYTES]; /* RENEW_KEY */
    size_t replaced_len;
    uint32_t retired; /* RETIRE_EARLIER_KEYS */
};
struct call_options {
    const struct caller *caller;
    enum verb verb;
    enum initiator initiator;
    enum resource_type type; /* 0: a mailbox */
    const char *mailbox;     /* or site */
    const char *blob;        /* of a site */
    const char *tenant;
    const uint8_t *wrapped;
    size_t wrapped_len;
    const uint8_t *plaintext;
    const char *request_id;
    bool confirm;
    bool validate_only;
    bool cancelled;
    const atomic_bool *cancel; /* NULL, or: cancelled once it is true */
};
void world_call(struct world *world, const struct call_options *options,
                struct outcome *out);
void world_generate(struct world *world, const char *mailbox,
                    struct outcome *out);
void world_unwrap(struct world *world, const struct caller *caller,
                  enum initiator initiator, struct outcome *out);

/* world_settle: waits until nothing is written or asked by itself any more
 * (what is due by the clock, which stands still meanwhile): what is counted
 * from then on is what the test does. */
void world_settle(struct world *world);
/* How many audit records of this activity the tenant has. */
size_t world_audit_count(struct world *world, const char *activity);
/* world_audit_last: the text of the newest record of this activity; "" when
 * there is none. */
#define WORLD_AUDIT_BYTES (RECORD_BODY_MAX_BYTES + 1)
void world_audit_last(struct world *world, const char *activity,
                      char out[WORLD_AUDIT_BYTES]);
